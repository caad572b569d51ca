/* Executors: the real protocol on the bus in memory, with the real journal. What stage_effect.c and
 * main.c do around it (take, handle, settle) is done here by a worker a consumer. */
#include "common/lease.h"
#include "executor/decision.h"
#include "executor/executor.h"
#include "executor/gate.h"
#include "executor/sandboxes/sandbox.h"
#include "tests/sim/sim.h"

#include <sys/stat.h>

enum { ENTRIES_MAX = 64, ACK_WAIT_MS = 30000, EXECUTORS_MAX = 2 };

struct queue;

static const char *const names[EXECUTORS_MAX] = {"exec-1", "exec-2"};
static struct executor_config config;

struct worker {
	struct proc *proc;
	struct queue *queue;
	enum plan_end (*handle)(struct worker *w, const struct message *m, int64_t *out_wait_ms);
	struct arena arena;
};

/* ---- the shared consumers ---- */

enum entry_state { ENTRY_WAITS, ENTRY_OUT, ENTRY_SETTLED };

struct entry {
	struct message message;
	enum entry_state state;
	int64_t at_ms; /* delivered then, or again */
	const struct proc *holder;
	unsigned boot; /* of the holder */
};

struct queue {
	struct entry entries[ENTRIES_MAX];
	size_t n;
};

static struct queue plans, decisions;

void executors_watch(const struct message *m)
{
	struct queue *q = m->topic.kind == KIND_PLAN       ? &plans
			  : m->topic.kind == KIND_DECISION ? &decisions
							   : NULL;
	if (!q || W->kind == SIM_FOLD)
		return;
	if (q->n == ENTRIES_MAX)
		abort();
	q->entries[q->n++] = (struct entry){.message = *m, .at_ms = W->now_ms};
}

/* Somebody who is at it keeps the delivery alive. */
static bool kept_alive(const struct entry *e)
{
	const struct proc *p = e->holder;
	return e->state == ENTRY_OUT && p && p->boots == e->boot && p->up && !p->dead &&
	       !proc_frozen(p) && proc_connected(p);
}

static bool available(const struct entry *e)
{
	return e->state != ENTRY_SETTLED && e->at_ms <= W->now_ms && !kept_alive(e);
}

/* ---- taking ---- */

static bool has_work(const void *arg)
{
	const struct worker *w = arg;
	const struct queue *q = w->queue;
	if (!proc_connected(w->proc))
		return false;
	for (size_t i = 0; i < q->n; i++)
		if (available(&q->entries[i]))
			return true;
	return false;
}

static int64_t next_ms(const struct queue *q)
{
	int64_t next = W->end_ms;
	for (size_t i = 0; i < q->n; i++)
		if (q->entries[i].state != ENTRY_SETTLED && q->entries[i].at_ms > W->now_ms)
			next = MIN(next, q->entries[i].at_ms);
	return next;
}

/* In any order: a shared consumer promises none. */
static struct entry *take(struct queue *q)
{
	struct entry *chosen = NULL;
	uint64_t n = 0;
	for (size_t i = 0; i < q->n; i++)
		if (available(&q->entries[i]) && draw(++n) == 0)
			chosen = &q->entries[i];
	return chosen;
}

static bool settled(const struct queue *q)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->entries[i].state != ENTRY_SETTLED)
			return false;
	return true;
}

bool executors_idle(void)
{
	return settled(&plans) && settled(&decisions);
}

/* ---- the programs they run ---- */

enum sandbox_level sandbox_level(void)
{
	return SANDBOX_FULL;
}

const char *sandbox_level_name(enum sandbox_level level UNUSED)
{
	return "simulated";
}

int sandbox_user(const char *name UNUSED, struct spawn_ids *out UNUSED, struct why *out_why)
{
	return why_set(out_why, ERR_NOT_FOUND, "nobody runs as anybody here");
}

static const struct plan_run *run_of(const struct held *held)
{
	const char *lock = (const char *)held->plan;
	return (const struct plan_run *)(const void *)(lock - offsetof(struct plan_run, lock));
}

/* Mostly short; sometimes longer than a lease. False: killed. */
static bool takes_time(const struct run_limits *limits)
{
	int64_t left = draw(8) ? (int64_t)draw(300) : (int64_t)draw(60000);
	for (; left > 0; left -= 4000) {
		task_wait(W->now_ms + MIN(left, 4000), NULL, NULL);
		if (point("an act") || !limits->tick(limits->tick_ctx))
			return false;
	}
	return !point("the end of an act");
}

static void act(const char *name, const struct run_limits *limits, struct run_result *result)
{
	const struct held *held = limits->tick_ctx;
	struct ledger_run *r = judge_starts(task_current()->proc, run_of(held)->digest, name);
	if (!r || !takes_time(limits)) {
		why_set(&result->why, ERR_CLOSED, "killed");
		judge_ends(r);
		return;
	}
	judge_ends(r);
	result->state = RUN_ENDED;
	result->exit_code = draw(6) == 0;
	if (!result->exit_code)
		people_act_done(judge_target(r));
}

void sandbox_run(const struct sandbox_job *job, const struct run_limits *limits,
		 struct run_result *result)
{
	result->state = RUN_FAILED;
	if (dies("at", "the start of a program"))
		return;
	if (str_eq(job->argv[0], "/sim/act")) {
		act(job->argv[1], limits, result);
		return;
	}
	result->state = RUN_ENDED;
	result->exit_code = draw(5) == 0;
}

/* ---- workers ---- */

struct simulated {
	struct journal *journal;
	struct holder *holder;
	struct worker workers[2];
};

static bool nap(void *ctx UNUSED, int64_t ms)
{
	task_wait(W->now_ms + ms, NULL, NULL);
	return is_dead();
}

static struct executor view(const struct worker *w)
{
	const struct simulated *s = w->proc->data;
	return (struct executor){.journal = s->journal,
				 .holder = s->holder,
				 .config = &config,
				 .boot = w->proc->boot,
				 .instance = w->proc->name,
				 .sleep = nap};
}

static const ProtobufCMessage *unpack(struct worker *w, const struct message *m)
{
	ProtobufCMessage *msg = NULL;
	struct why why = {0};
	if (wire_unpack(m->topic.kind, m->data, m->len, &w->arena, &msg, &why))
		sim_fail("%s cannot be read: %s", m->subject, why.text);
	return msg;
}

static enum plan_end handle_plan(struct worker *w, const struct message *m, int64_t *out_wait_ms)
{
	struct executor ex = view(w);
	struct plan_run run = {.ex = &ex,
			       .arena = &w->arena,
			       .plan = (const Healbus__Plan *)unpack(w, m),
			       .cause = m->id,
			       .seq = m->seq,
			       .first = draw(4) > 0}; /* a consumer made anew says so again */
	plan_run_init(&run, m->data, m->len);
	enum plan_end end = plan_arrived(&run);
	*out_wait_ms = run.wait_ms;
	if (end == PLAN_WAIT)
		TRACE("%s: plan %" PRIu64 " waits: %s", w->proc->name, m->seq, run.wait.text);
	plan_run_release(&run);
	return end;
}

static enum plan_end handle_decision(struct worker *w, const struct message *m,
				     int64_t *out_wait_ms)
{
	struct executor ex = view(w);
	struct decision_job job = {.ex = &ex,
				   .arena = &w->arena,
				   .decision = (const Healbus__Decision *)unpack(w, m),
				   .id = m->id,
				   .time_ms = m->time_ms};
	enum plan_end end = decision_arrived(&job);
	*out_wait_ms = job.wait_ms;
	return end;
}

/* Not even an ack is sure to arrive. */
static void settle(const struct worker *w, struct entry *e, enum plan_end end, int64_t wait_ms)
{
	bool ours = !is_dead() && e->holder == w->proc && e->boot == w->proc->boots;
	if (ours)
		e->holder = NULL;
	if (!ours || fault(W->rates.fail))
		return;
	e->state = end == PLAN_SETTLED ? ENTRY_SETTLED : ENTRY_WAITS;
	e->at_ms = W->now_ms + MAX(wait_ms, 1);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	while (!is_dead()) {
		struct entry *e = proc_connected(w->proc) ? take(w->queue) : NULL;
		int64_t wait_ms = 0;
		if (!e) {
			int64_t until = MAX(next_ms(w->queue), w->proc->connect_ms);
			task_wait(until, has_work, w);
			continue;
		}
		e->state = ENTRY_OUT;
		e->holder = w->proc;
		e->boot = w->proc->boots;
		e->at_ms = W->now_ms + ACK_WAIT_MS;
		if (planted("ack-first"))
			e->state = ENTRY_SETTLED;
		enum plan_end end = w->handle(w, &e->message, &wait_ms);
		settle(w, e, end, wait_ms);
		arena_reset(&w->arena);
	}
	return NULL;
}

/* ---- lives ---- */

static void start(struct proc *p)
{
	struct simulated *s = p->data;
	struct why why = {0};
	if (journal_open(p->store_dir, 0, &s->journal, &why)) {
		sim_fail("%s: journal: %s", p->name, why.text);
		return;
	}
	s->holder = holder_new(journal_owner(s->journal), p->boot);
	s->workers[0] = (struct worker){.proc = p, .queue = &plans, .handle = handle_plan};
	s->workers[1] = (struct worker){.proc = p, .queue = &decisions, .handle = handle_decision};
	for (size_t i = 0; i < ARRAY_SIZE(s->workers); i++)
		task_start(p, work, &s->workers[i]);
}

static void reap(struct proc *p)
{
	struct simulated *s = p->data;
	holder_free(s->holder);
	s->holder = NULL;
	journal_close(s->journal);
	s->journal = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(s->workers); i++)
		arena_release(&s->workers[i].arena);
}

void executors_add(unsigned n)
{
	plans.n = decisions.n = 0;
	for (unsigned i = 0; i < MIN(n, EXECUTORS_MAX); i++) {
		struct proc *p = &W->procs[W->n_procs];
		*p = (struct proc){.name = names[i],
				   .index = W->n_procs++,
				   .start = start,
				   .reap = reap,
				   .store_dir = sim_store_dir(names[i]),
				   .data = arena_alloc(&W->arena, sizeof(struct simulated))};
		sim_store_wipe(p->store_dir);
		proc_start(p);
	}
}

/* ---- configuration ---- */

static const char act_tool[] =
	"name: act\nsummary: what is counted\nlevel: soft\n"
	"params:\n  run: {type: string}\nargv: [/sim/act, '{{ .params.run }}']\n"
	"rollback: {tool: act, params: {run: 'undo-{{ .params.run }}'}}\n";
static const char look_tool[] = "name: look\nsummary: a check\nlevel: none\nargv: [/sim/look]\n";
static const char yaml[] =
	"autonomy: auto\napproval_deadline: 2m\napproval_deadline_soft: 2m\n"
	"rate: {target_per_hour: 500, global_per_hour: 500, cooldown: 3s}\n"
	"rules:\n  - {match: ['target=~\"ask.*\"'], autonomy: approve}\n"
	"targets:\n  - {id: auto-1, tools: ['*']}\n  - {id: auto-2, tools: ['*']}\n"
	"  - {id: ask-1, tools: ['*']}\n  - {id: ask-2, tools: ['*']}\n";

static void write_file(const char *dir, const char *name, const char *text)
{
	auto_free char *path = mem_printf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
}

static const char *no_environment(const char *name UNUSED)
{
	return NULL;
}

void executors_setup(const char *dir)
{
	struct why why = {0};
	auto_free char *tools = mem_printf("%s/tools", dir);
	mkdir(tools, 0700);
	write_file(tools, "act.yaml", act_tool);
	write_file(tools, "look.yaml", look_tool);
	write_file(dir, "executor.yaml", yaml);
	int rc = config_load(&executor_options, dir, no_environment, &config, &why);
	if (!rc) {
		free(config.tools_dir);
		config.tools_dir = mem_strdup(tools);
		config.decision_key_file = mem_strdup(people_key_file());
		rc = executor_prepare(&config, &why);
	}
	if (rc) {
		fprintf(stderr, "executor: %s\n", why.text);
		exit(70);
	}
}
