/* Processes and their tasks: coroutines that run until a call to the outside lets others run. */
#include "tests/sim/sim.h"

#include <sys/mman.h>
#include <ucontext.h>

enum { STACK_BYTES = 256 << 10, UNWIND_MAX = 100000 };

static ucontext_t scheduler_context;
static ucontext_t contexts[SIM_PROCS * SIM_TASKS_PER_PROC];
static char *stacks[SIM_PROCS * SIM_TASKS_PER_PROC];
static struct task *current;

struct task *task_current(void)
{
	return current;
}

void clocks_set(const struct proc *p)
{
	int64_t mono = W->now_ms - SIM_START_MS + SIM_HOUR;
	clock_fake(W->now_ms + (p ? p->wall_offset_ms : 0), mono);
}

/* ---- tasks ---- */

static void entry(void)
{
	struct task *t = current;
	t->run(t->arg);
	t->done = true;
	swapcontext(&contexts[t->slot], &scheduler_context);
	abort();
}

void task_start(struct proc *p, void *(*run)(void *), void *arg)
{
	size_t i = 0;
	while (p->tasks[i].started && !p->tasks[i].done)
		i++;
	assert(i < SIM_TASKS_PER_PROC);
	struct task *t = &p->tasks[i];
	size_t slot = p->index * SIM_TASKS_PER_PROC + i;
	*t = (struct task){.proc = p, .run = run, .arg = arg, .started = true, .slot = slot};
	p->n_tasks = MAX(p->n_tasks, i + 1);
	if (!stacks[slot])
		stacks[slot] = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ucontext_t *c = &contexts[slot];
	getcontext(c);
	c->uc_stack.ss_sp = stacks[slot];
	c->uc_stack.ss_size = STACK_BYTES;
	c->uc_link = NULL;
	makecontext(c, entry, 0);
}

void task_resume(struct task *t)
{
	current = t;
	t->ready = NULL;
	clocks_set(t->proc);
	swapcontext(&scheduler_context, &contexts[t->slot]);
	current = NULL;
	clocks_set(NULL);
}

void task_wait(int64_t until_ms, bool (*ready)(const void *), const void *arg)
{
	struct task *t = current;
	if (!t || t->proc->dead)
		return;
	t->wake_ms = until_ms;
	t->ready = ready;
	t->ready_arg = arg;
	swapcontext(&contexts[t->slot], &scheduler_context);
}

bool task_runnable(const struct task *t)
{
	if (!t->started || t->done)
		return false;
	return t->wake_ms <= W->now_ms || (t->ready && t->ready(t->ready_arg));
}

/* ---- processes ---- */

bool is_dead(void)
{
	return current && current->proc->dead;
}

bool proc_frozen(const struct proc *p)
{
	return p->stopped_until_ms > W->now_ms;
}

bool proc_connected(const struct proc *p)
{
	return p->up && !p->dead && p->connect_ms <= W->now_ms;
}

static void restart(void *arg)
{
	proc_start(arg);
}

void proc_kill(struct proc *p, const char *where)
{
	static const int64_t downs[] = {50, 1000, 12000, 45000, 200000};
	if (!p->up || p->dead)
		return;
	TRACE("%s dies: %s", p->name, where);
	p->dead = true;
	p->last_seen_ms = W->now_ms;
	p->stopped_until_ms = 0;
	p->epoch++;
	todo_add(W->now_ms + downs[draw(ARRAY_SIZE(downs))], restart, p);
}

void procs_reap(void)
{
	for (size_t i = 0; i < W->n_procs; i++) {
		struct proc *p = &W->procs[i];
		if (!p->dead)
			continue;
		for (size_t k = 0, n = 0; k < p->n_tasks; k++)
			while (p->tasks[k].started && !p->tasks[k].done && n++ < UNWIND_MAX)
				task_resume(&p->tasks[k]);
		p->reap(p);
		p->dead = p->up = false;
	}
}

void proc_start(struct proc *p)
{
	char number[16];
	if (p->up)
		return;
	snprintf(number, sizeof(number), "%u", ++p->boots);
	id_make(p->boot, "boot", p->name, number);
	if (p->wipe) {
		TRACE("%s: its store is deleted", p->name);
		sim_store_wipe(p->store_dir);
	}
	p->wipe = false;
	p->up = true;
	p->epoch++;
	p->n_tasks = 0;
	p->connect_ms = p->connected_at_ms = W->now_ms;
	memset(p->tasks, 0, sizeof(p->tasks));
	TRACE("%s starts", p->name);
	clocks_set(p);
	p->start(p);
	clocks_set(NULL);
}

void proc_cut(struct proc *p, int64_t ms)
{
	if (!p->up || p->dead)
		return;
	TRACE("%s loses its connection for %" PRId64 " ms", p->name, ms);
	p->epoch++;
	p->connect_ms = p->connected_at_ms = W->now_ms + ms;
}

/* ---- calls to the outside ---- */

static void let_others_run(void)
{
	if (chance(W->rates.interleave))
		task_wait(W->now_ms + (int64_t)draw(20), NULL, NULL);
}

bool dies(const char *when, const char *what)
{
	char where[96];
	if (is_dead())
		return true;
	if (!fault(W->rates.crash))
		return false;
	snprintf(where, sizeof(where), "%s %s", when, what);
	proc_kill(current->proc, where);
	return true;
}

bool point(const char *what)
{
	let_others_run();
	return dies("at", what);
}

/* Without waiting for what never comes. */
int call_send(const char *what)
{
	if (!current)
		return 0;
	let_others_run();
	if (dies("before", what))
		return ERR_CLOSED;
	if (proc_connected(current->proc) && !fault(W->rates.fail))
		return 0;
	TRACE("%s: %s is lost", current->proc->name, what);
	return ERR_TIMEOUT;
}

int call_answer(const char *what)
{
	if (!current)
		return 0;
	if (dies("after", what))
		return ERR_CLOSED;
	if (fault(W->rates.fail)) {
		TRACE("%s: %s is done, but the answer is lost", current->proc->name, what);
		return ERR_TIMEOUT;
	}
	let_others_run();
	return is_dead() ? ERR_CLOSED : 0;
}

static int waited(int rc)
{
	if (rc == ERR_TIMEOUT)
		task_wait(W->now_ms + BUS_REQUEST_TIMEOUT_MS, NULL, NULL);
	return rc == ERR_TIMEOUT && is_dead() ? ERR_CLOSED : rc;
}

int call_begin(const char *what)
{
	return waited(call_send(what));
}

int call_end(const char *what)
{
	return waited(call_answer(what));
}

bool call_late(void)
{
	return current && fault(W->rates.late);
}
