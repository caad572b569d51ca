/* One schedule: a world is made, runs with faults for a while, then without, and is judged. */
#include "common/log.h"
#include "tests/sim/sim.h"

enum { STEPS_MAX = 200000 };

const char *const sim_kind_names[SIM_KINDS] = {"claim", "fold", "whole"};
struct world *W;
struct sim_settings sim;

bool planted(const char *name)
{
	return sim.plant && str_eq(sim.plant, name);
}

/* ---- chance: splitmix64 ---- */

uint64_t draw(uint64_t below)
{
	uint64_t z = W->random += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % below;
}

bool chance(unsigned in_ten_thousand)
{
	return in_ten_thousand && draw(10000) < in_ten_thousand;
}

bool fault(unsigned in_ten_thousand)
{
	return W->faults && chance(in_ten_thousand);
}

/* Most schedules know few kinds of trouble, some know all. */
static unsigned rate(unsigned often)
{
	return draw(3) ? 0 : (unsigned)draw(often);
}

static void rates_draw(struct sim_rates *r)
{
	*r = (struct sim_rates){
		.interleave = (unsigned)draw(2500),
		.crash = rate(600),
		.fail = rate(800),
		.late = rate(500),
		.kill = rate(200),
		.stop = rate(150),
		.jump = rate(200),
		.cut = rate(150),
		.again = rate(600),
		.gap = rate(600),
		.wipe = draw(3) ? 0 : 3000,
		.slow = rate(2000),
	};
}

/* ---- what is said ---- */

void sim_fail(const char *fmt, ...)
{
	va_list args;
	if (*W->failure)
		return;
	va_start(args, fmt);
	vsnprintf(W->failure, sizeof(W->failure), fmt, args);
	va_end(args);
	TRACE("FAILURE: %s", W->failure);
}

void sim_trace(const char *fmt, ...)
{
	va_list args;
	printf("%10.3f  ", (double)(W->now_ms - SIM_START_MS) / 1000);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
}

/* ---- things to do ---- */

void todo_add(int64_t at_ms, void (*run)(void *), void *arg)
{
	if (W->n_todos == SIM_TODOS)
		abort();
	W->todos[W->n_todos++] = (struct todo){at_ms, run, arg};
}

static void todo_run(size_t i)
{
	struct todo t = W->todos[i];
	W->todos[i] = W->todos[--W->n_todos];
	t.run(t.arg);
}

/* ---- faults that need no call ---- */

static struct proc *anybody(void)
{
	struct proc *p = &W->procs[draw(W->n_procs)];
	return p->up && !p->dead ? p : NULL;
}

static void stop(struct proc *p)
{
	static const int64_t stops[] = {500, 4000, 15000, 35000, 100000};
	int64_t ms = stops[draw(ARRAY_SIZE(stops))];
	TRACE("%s is stopped for %" PRId64 " ms", p->name, ms);
	if (!proc_frozen(p))
		p->last_seen_ms = W->now_ms;
	p->stopped_until_ms = W->now_ms + ms;
}

static void jump(struct proc *p)
{
	static const int64_t jumps[] = {-3600000, -60000, -1000, 1000, 60000, 600000};
	p->wall_offset_ms = draw(2) ? 0 : jumps[draw(ARRAY_SIZE(jumps))];
	TRACE("%s: its clock is %" PRId64 " ms off", p->name, p->wall_offset_ms);
}

static void kill_one(struct proc *p)
{
	p->wipe = p->store_dir && p->fold && fault(W->rates.wipe);
	proc_kill(p, "killed");
}

static void trouble(void)
{
	struct proc *p = anybody();
	if (!p)
		return;
	if (fault(W->rates.kill))
		kill_one(p);
	else if (fault(W->rates.stop))
		stop(p);
	else if (fault(W->rates.jump))
		jump(p);
	else if (fault(W->rates.cut))
		proc_cut(p, draw(2) ? 20 : (int64_t)draw(30000));
	if (fault(W->rates.slow / 20))
		W->now_ms += (int64_t)draw(5000);
}

/* ---- the scheduler ---- */

enum choice_kind { CHOICE_TASK, CHOICE_TODO, CHOICE_OUTLET };

struct choice {
	enum choice_kind kind;
	size_t index;
	struct task *task;
};

/* The n-th one is chosen with a chance of 1/n, so all are chosen alike. */
static void offer(struct choice *best, uint64_t *n, struct choice c)
{
	if (draw(++*n) == 0)
		*best = c;
}

static bool choose(struct choice *out)
{
	uint64_t n = 0;
	for (size_t i = 0; i < W->n_procs; i++) {
		struct proc *p = &W->procs[i];
		for (size_t k = 0; p->up && !proc_frozen(p) && k < p->n_tasks; k++)
			if (task_runnable(&p->tasks[k]))
				offer(out, &n, (struct choice){.task = &p->tasks[k]});
	}
	for (size_t i = 0; i < W->n_todos; i++)
		if (W->todos[i].at_ms <= W->now_ms)
			offer(out, &n, (struct choice){.kind = CHOICE_TODO, .index = i});
	for (size_t i = 0; i < W->n_outlets; i++)
		if (outlet_busy(W->outlets[i]))
			offer(out, &n, (struct choice){.kind = CHOICE_OUTLET, .index = i});
	return n > 0;
}

static int64_t next_ms(void)
{
	int64_t next = W->faults ? MAX(W->calm_ms, W->now_ms) : INT64_MAX;
	for (size_t i = 0; i < W->n_procs; i++) {
		const struct proc *p = &W->procs[i];
		if (p->stopped_until_ms > W->now_ms)
			next = MIN(next, p->stopped_until_ms);
		if (p->connect_ms > W->now_ms)
			next = MIN(next, p->connect_ms);
		for (size_t k = 0; p->up && k < p->n_tasks; k++) {
			const struct task *t = &p->tasks[k];
			if (t->started && !t->done)
				next = MIN(next, MAX(t->wake_ms, p->stopped_until_ms));
		}
	}
	for (size_t i = 0; i < W->n_todos; i++)
		next = MIN(next, W->todos[i].at_ms);
	return next;
}

static void run_choice(const struct choice *c)
{
	if (c->kind == CHOICE_TASK)
		task_resume(c->task);
	else if (c->kind == CHOICE_TODO)
		todo_run(c->index);
	else
		outlet_deliver(W->outlets[c->index]);
}

static void calm_down(void)
{
	if (!W->faults || W->now_ms < W->calm_ms)
		return;
	TRACE("no more faults");
	W->faults = false;
	for (size_t i = 0; i < W->n_procs; i++) {
		W->procs[i].stopped_until_ms = 0;
		W->procs[i].wall_offset_ms = 0;
	}
}

/* Nothing is left that could still happen. */
static bool at_rest(void)
{
	return W->kind == SIM_CLAIM && W->n_todos == 0 && executors_idle();
}

/* False: it is over. */
static bool step(void)
{
	struct choice c = {0};
	procs_reap();
	calm_down();
	trouble();
	procs_reap();
	if (*W->failure || at_rest())
		return false;
	if (choose(&c)) {
		run_choice(&c);
		W->now_ms += (int64_t)draw(3);
		return true;
	}
	int64_t next = next_ms();
	if (next >= W->end_ms)
		return false;
	W->now_ms = MAX(W->now_ms, next);
	return true;
}

/* ---- a world ---- */

static void streams_open(void)
{
	static const char *const names[SIM_STREAMS] = {STREAM_EVENTS, STREAM_STORY, STREAM_DEAD};
	for (size_t i = 0; i < SIM_STREAMS; i++) {
		W->streams[i].name = names[i];
		W->streams[i].n = 0;
		for (size_t k = 0; k < topic_streams_n; k++)
			if (str_eq(topic_streams[k].name, names[i]))
				W->streams[i].window_ms = topic_streams[k].duplicate_window_ms;
	}
}

static void populate(void)
{
	if (W->kind != SIM_CLAIM) {
		stage_add("monitor", sim_correlator);
		stage_add("reasoner", sim_cases);
		stage_add("notifier", sim_projection);
	}
	executors_add(W->kind == SIM_FOLD ? 0 : 2);
	people_arrive();
}

static void world_new(uint64_t seed, enum sim_kind kind)
{
	static const int64_t troubled[] = {5000, 60000, 300000};
	static struct world world;
	struct arena arena = world.arena;
	struct stream streams[SIM_STREAMS];
	memcpy(streams, world.streams, sizeof(streams));
	arena_reset(&arena);
	world = (struct world){.seed = seed, .random = seed, .kind = kind, .arena = arena};
	world.arena.limit_bytes = 1 << 30;
	memcpy(world.streams, streams, sizeof(streams));
	W = &world;
	W->now_ms = SIM_START_MS;
	W->faults = true;
	W->calm_ms = SIM_START_MS + troubled[draw(ARRAY_SIZE(troubled))];
	W->end_ms = W->calm_ms + 3 * SIM_HOUR;
	rates_draw(&W->rates);
	streams_open();
	judge_new();
	clocks_set(NULL);
}

static void world_end(void)
{
	if (!*W->failure)
		judge_end();
	if (!*W->failure)
		stages_check();
	W->faults = false;
	for (size_t i = 0; i < W->n_procs; i++)
		proc_kill(&W->procs[i], "the end");
	procs_reap();
}

int world_run(uint64_t seed, enum sim_kind kind, char out_failure[static 512])
{
	world_new(seed, kind);
	populate();
	while (step())
		if (++W->steps > STEPS_MAX)
			sim_fail("no rest after %d steps", STEPS_MAX);
	world_end();
	clock_unfake();
	snprintf(out_failure, 512, "%s", W->failure);
	return *W->failure ? -1 : 0;
}
