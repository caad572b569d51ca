/* Whole plans on a faked bus, with the real journal and the real sandbox: whatever call fails,
 * whoever dies, whoever takes over, an act runs at most once and the outcome does not lie. */
#include "tests/unit/executor/fake_bus.h"

#include <dirent.h>
#include <sys/wait.h>

#include "common/log.h"
#include "executor/decision.h"
#include "executor/executor.h"
#include "executor/sandboxes/sandbox.h"

static char *dir; /* ledger/, tools/, one journal an executor */
static struct executor_config config;

static const char ledger_tool[] =
	"name: ledger\nsummary: one file for each run\nlevel: soft\nparams:\n  run: {type: "
	"string}\n"
	"argv: [/usr/bin/mktemp, '{{ .target.ledger }}/{{ .params.run }}.XXXXXXXX']\n"
	"sandbox: {user: '{{ .target.user }}', writable: ['{{ .target.ledger }}']}\n"
	"rollback: {tool: unledger, params: {run: 'undo-{{ .params.run }}'}}\n";
static const char unledger_tool[] =
	"name: unledger\nsummary: one file for each run\nlevel: soft\nparams:\n  run: {type: "
	"string}\n"
	"argv: [/usr/bin/mktemp, '{{ .target.ledger }}/{{ .params.run }}.XXXXXXXX']\n"
	"sandbox: {user: '{{ .target.user }}', writable: ['{{ .target.ledger }}']}\n";
static const char yes_tool[] =
	"name: 'yes'\nsummary: always good\nlevel: none\nargv: [/usr/bin/true]\n";
static const char no_tool[] =
	"name: 'no'\nsummary: never good\nlevel: none\nargv: [/usr/bin/false]\n";

static int setup(void **state)
{
	(void)state;
	world_new();
	dir = support_dir();
	auto_free char *tools = mem_printf("%s/tools", dir);
	auto_free char *ledger = mem_printf("%s/ledger", dir);
	assert_int_equal(mkdir(tools, 0700), 0);
	assert_int_equal(mkdir(ledger, 0777), 0);
	support_write(tools, "ledger.yaml", ledger_tool);
	support_write(tools, "unledger.yaml", unledger_tool);
	support_write(tools, "yes.yaml", yes_tool);
	support_write(tools, "no.yaml", no_tool);
	const char *user = geteuid() == 0 ? "root" : getlogin();
	auto_free char *yaml = mem_printf(
		"autonomy: auto\nrate: {target_per_hour: 10, cooldown: 1h}\n"
		"groups:\n  - {id: g, min_healthy: 1}\n"
		"rules:\n  - {match: ['target=\"asked\"'], autonomy: approve}\n"
		"targets:\n"
		"  - {id: t, tools: ['*'], attributes: {ledger: %s/ledger, user: %s}}\n"
		"  - {id: asked, tools: ['*'], attributes: {ledger: %s/ledger, user: %s}}\n"
		"  - {id: last, group: g, tools: ['*'], check: {tool: 'yes'}, "
		"attributes: {ledger: %s/ledger, user: %s}}\n"
		"  - {id: down, group: g, tools: ['*'], check: {tool: 'no'}, "
		"attributes: {ledger: %s/ledger, user: %s}}\n",
		dir, user, dir, user, dir, user, dir, user);
	support_config(&config, yaml, tools);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	support_config_release(&config);
	support_remove(dir);
	free(dir);
	world_free();
	return 0;
}

/* ---- one delivery, in a process of its own ---- */

static bool no_sleep(void *ctx, int64_t ms)
{
	(void)ctx;
	(void)ms;
	return false;
}

struct delivery {
	const Healbus__Plan *plan;
	const Healbus__Decision *decision;
	const char *journal; /* whose: each name is an executor */
};

static enum plan_end deliver_once(const struct delivery *d)
{
	struct journal *j = NULL;
	struct why why = {0};
	struct arena arena = {0};
	auto_buf packed = {0};
	char boot[ID_BYTES];
	auto_free char *path = mem_printf("%s/%s", dir, d->journal);
	if (journal_open(path, 1 << 20, &j, &why))
		fail_msg("%s", why.text);
	id_random(boot);
	struct holder *holder = holder_new(journal_owner(j), boot);
	struct executor ex = {.journal = j,
			      .holder = holder,
			      .config = &config,
			      .boot = boot,
			      .instance = "test",
			      .sleep = no_sleep};
	struct plan_run run = {.ex = &ex,
			       .arena = &arena,
			       .plan = d->plan,
			       .decision = d->decision,
			       .cause = "cause",
			       .seq = 1};
	wire_pack(&d->plan->base, &packed);
	plan_run_init(&run, packed.data, packed.len);
	enum plan_end end = d->decision ? plan_decided(&run) : plan_arrived(&run);
	plan_run_release(&run);
	holder_free(holder);
	journal_close(j);
	arena_release(&arena);
	return end;
}

enum { EXIT_DIED = 99 };

/* PLAN_SETTLED, PLAN_WAIT, or EXIT_DIED. */
static int deliver_forked(const struct delivery *d)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit((int)deliver_once(d));
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static size_t ran(const char *run)
{
	auto_free char *path = mem_printf("%s/ledger", dir);
	auto_free char *prefix = mem_printf("%s.", run);
	size_t n = 0;
	DIR *d = opendir(path);
	for (struct dirent *e; (e = readdir(d));)
		n += str_starts(e->d_name, prefix);
	closedir(d);
	return n;
}

static void expect_outcome(Healbus__Verdict verdict, const char *reason)
{
	struct arena arena = {0};
	const Healbus__Outcome *o =
		(const Healbus__Outcome *)world_message(KIND_OUTCOME, 0, &arena);
	assert_non_null(o);
	if (o->verdict != verdict || !strstr(o->reason, reason))
		fail_msg("%s: %s", wire_enum_name(&healbus__verdict__descriptor, (int)o->verdict),
			 o->reason);
	assert_int_equal(world_count(KIND_OUTCOME), 1);
	arena_release(&arena);
}

static bool waited_for(const char *reason)
{
	struct arena arena = {0};
	bool found = false;
	const Healbus__StepReport *r;
	for (size_t i = 0; (r = (const Healbus__StepReport *)world_message(KIND_STEP, i, &arena));
	     i++)
		found = found || (r->state == HEALBUS__STEP_STATE__STEP_WAITING && r->reason &&
				  strstr(r->reason, reason));
	arena_release(&arena);
	return found;
}

/* ---- the course of a plan ---- */

static void test_healed(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_HEALED, "all steps done");
	assert_int_equal(ran("a"), 1);
	size_t messages = world->n_messages;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	d.journal = "two";
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(world->n_messages, messages);
	assert_int_equal(ran("a"), 1);
	arena_release(&arena);
}

/* With `again` as a second step that cannot succeed. */
static Healbus__Plan *failing_plan(struct arena *arena, const char *tool)
{
	Healbus__Plan *p = support_plan(arena, "ledger", "t", PARAMS("run=a"));
	Healbus__Plan *q = support_plan(arena, tool, "t", PARAMS());
	Healbus__Step **steps = arena_alloc(arena, 2 * sizeof(*steps));
	steps[0] = p->steps[0];
	steps[1] = q->steps[0];
	p->steps = steps;
	p->n_steps = 2;
	return p;
}

static void test_failed(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = failing_plan(&arena, "no"), .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_FAILED, "step 2: it failed (1)");
	assert_int_equal(ran("undo-a"), 0);
	arena_release(&arena);
}

static void test_rolled_back(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Plan *p = failing_plan(&arena, "no");
	SET(p, rollback_on_failure, true);
	struct delivery d = {.plan = p, .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_ROLLED_BACK, "step 2");
	assert_int_equal(ran("undo-a"), 1);
	arena_release(&arena);
}

static void test_keep_going(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Plan *p = failing_plan(&arena, "no");
	SET(p->steps[1], keep_going, true);
	struct delivery d = {.plan = p, .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_HEALED, "all steps done");
	arena_release(&arena);
}

static void test_verify_fails(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Plan *p = support_plan(&arena, "ledger", "t", PARAMS("run=a"));
	Healbus__Check check = HEALBUS__CHECK__INIT;
	check.tool = (char *)"no";
	check.target = (char *)"t";
	SET(&check, deadline_ms, 50);
	SET(&check, interval_ms, 100);
	p->verify = &check;
	struct delivery d = {.plan = p, .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_FAILED, "the plan's check failed");
	arena_release(&arena);
}

/* ---- asking ---- */

static uint8_t any_digest[DIGEST_BYTES];

static void decide(Healbus__Decision *d, Healbus__DecisionVerdict verdict, const char *id)
{
	healbus__decision__init(d);
	d->id = (char *)id;
	d->incident = (char *)"incident-1";
	d->plan_id = (char *)"plan-1";
	d->by = (char *)"kim";
	SET(d, plan_digest, ((ProtobufCBinaryData){.data = any_digest, .len = sizeof(any_digest)}));
	SET(d, verdict, verdict);
}

static void test_asked(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Decision yes, no;
	struct delivery d = {.plan = support_plan(&arena, "ledger", "asked", PARAMS("run=a")),
			     .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(world_count(KIND_APPROVAL), 1);
	assert_int_equal(world_count(KIND_OUTCOME), 0);
	assert_int_equal(ran("a"), 0);
	decide(&yes, HEALBUS__DECISION_VERDICT__DECISION_APPROVE, "d1");
	d.decision = &yes;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_HEALED, "all steps done");
	decide(&no, HEALBUS__DECISION_VERDICT__DECISION_DENY, "d2");
	d.decision = &no;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(world_count(KIND_OUTCOME), 1);
	assert_int_equal(ran("a"), 1);
	arena_release(&arena);
}

static void test_denied(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Decision yes, no;
	struct delivery d = {.plan = support_plan(&arena, "ledger", "asked", PARAMS("run=a")),
			     .journal = "one"};
	decide(&no, HEALBUS__DECISION_VERDICT__DECISION_DENY, "d1");
	d.decision = &no;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_DENIED, "denied by kim");
	decide(&yes, HEALBUS__DECISION_VERDICT__DECISION_APPROVE, "d2");
	d.decision = &yes;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_DENIED, "denied by kim");
	assert_int_equal(ran("a"), 0);
	arena_release(&arena);
}

/* ---- not now ---- */

static void pause_all(Healbus__ControlKind kind, const char *id)
{
	auto_buf packed = {0};
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	c.id = (char *)id;
	c.by = (char *)"kim";
	SET(&c, kind, kind);
	wire_pack(&c.base, &packed);
	struct bus_msg m = {
		.subject = "heal.control.pause", .id = id, .data = packed.data, .len = packed.len};
	assert_int_equal(bus_publish(NULL, &m, 0, NULL, NULL), 0);
}

static void test_paused(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	pause_all(HEALBUS__CONTROL_KIND__CONTROL_PAUSE, "p1");
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	size_t messages = world->n_messages;
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	assert_int_equal(world->n_messages, messages); /* the reason is said once */
	assert_true(waited_for("paused by kim"));
	pause_all(HEALBUS__CONTROL_KIND__CONTROL_RESUME, "p2");
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(ran("a"), 1);
	arena_release(&arena);
}

static void test_locked(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct lock lock;
	struct why why = {0};
	struct holder *other = holder_new("other", "boot");
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	assert_int_equal(lock_acquire(NULL, other, "target-t", "somebody", &lock, &why), 0);
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	assert_true(waited_for("target-t is held by somebody"));
	lock_release_held(NULL, other, &lock);
	holder_free(other);
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	arena_release(&arena);
}

/* Stopped past its leases after the last look at them, a process must not begin when it wakes up:
 * others have gone on without it. */
static void test_stalled(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	world->stall_ms = LOCK_KILL_MS;
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	assert_true(waited_for("its locks ran out before it began"));
	assert_int_equal(ran("a"), 0);
	world->stall_ms = 0;
	world_expire();
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_HEALED, "all steps done");
	assert_int_equal(ran("a"), 1);
	arena_release(&arena);
}

static void test_cooldown(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	d.plan = support_plan(&arena, "ledger", "t", PARAMS("run=b"));
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	assert_true(waited_for("target t is cooling down"));
	assert_int_equal(ran("b"), 0);
	d.plan = support_plan(&arena, "yes", "t", PARAMS());
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED); /* reading is never held back */
	arena_release(&arena);
}

static void test_min_healthy(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "last", PARAMS("run=a")),
			     .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	assert_true(waited_for("group g has too few healthy members"));
	assert_int_equal(ran("a"), 0);
	/* The member that is down already may be acted upon. */
	d.plan = support_plan(&arena, "ledger", "down", PARAMS("run=b"));
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(ran("b"), 1);
	arena_release(&arena);
}

static void test_expired(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Plan *p = support_plan(&arena, "ledger", "t", PARAMS("run=a"));
	SET(p, not_after_ms, clock_real_ms() - 1);
	struct delivery d = {.plan = p, .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_EXPIRED, "not_after");
	assert_int_equal(ran("a"), 0);
	arena_release(&arena);
}

/* ---- trouble at every call ---- */

static void forget_all(void)
{
	auto_free char *ledger = mem_printf("%s/ledger", dir);
	auto_free char *one = mem_printf("%s/one", dir);
	auto_free char *two = mem_printf("%s/two", dir);
	memset(world, 0, sizeof(*world));
	support_remove(ledger);
	support_remove(one);
	support_remove(two);
	assert_int_equal(mkdir(ledger, 0777), 0);
}

static void check_world(unsigned at, const char *what)
{
	struct arena arena = {0};
	const Healbus__Outcome *o =
		(const Healbus__Outcome *)world_message(KIND_OUTCOME, 0, &arena);
	size_t n = ran("a");
	if (!o || world_count(KIND_OUTCOME) != 1 || n > 1)
		fail_msg("%s at call %u: %zu outcomes, %zu runs", what, at,
			 world_count(KIND_OUTCOME), n);
	bool healed = o->verdict == HEALBUS__VERDICT__VERDICT_HEALED;
	bool unknown = o->verdict == HEALBUS__VERDICT__VERDICT_UNKNOWN;
	if ((!healed && !unknown) || (healed && n != 1))
		fail_msg("%s at call %u: %s after %zu runs", what, at,
			 wire_enum_name(&healbus__verdict__descriptor, (int)o->verdict), n);
	arena_release(&arena);
}

/* False when the plan was over before that call. */
static bool trouble_at(enum trouble trouble, unsigned at, const char *successor)
{
	struct arena arena = {0};
	forget_all();
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	world->trouble = trouble;
	world->at = at;
	int first = deliver_forked(&d);
	bool reached = world->calls >= at;
	world->trouble = TROUBLE_NONE;
	d.journal = successor;
	int end = first;
	for (int tries = 0; end != PLAN_SETTLED && tries < 5; tries++) {
		world_expire();
		end = deliver_forked(&d);
	}
	assert_int_equal(end, PLAN_SETTLED);
	check_world(at, successor);
	arena_release(&arena);
	return reached;
}

static void trouble_everywhere(enum trouble trouble, const char *successor)
{
	unsigned at = 1;
	while (trouble_at(trouble, at, successor))
		at++;
	printf("# %u calls, each in trouble once\n", at - 1);
	assert_true(at > 15);
}

static void test_dies(void **state)
{
	(void)state;
	trouble_everywhere(DIE_BEFORE, "one");
	trouble_everywhere(DIE_AFTER, "one");
}

static void test_dies_for_good(void **state)
{
	(void)state;
	trouble_everywhere(DIE_BEFORE, "two");
	trouble_everywhere(DIE_AFTER, "two");
}

static void test_bus_fails(void **state)
{
	(void)state;
	trouble_everywhere(FAIL_BEFORE, "one");
	trouble_everywhere(FAIL_AFTER, "one");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_healed),       T(test_failed),  T(test_rolled_back),   T(test_keep_going),
		T(test_verify_fails), T(test_asked),   T(test_denied),        T(test_paused),
		T(test_locked),       T(test_stalled), T(test_cooldown),      T(test_min_healthy),
		T(test_expired),      T(test_dies),    T(test_dies_for_good), T(test_bus_fails)};
	sandbox_probe(SANDBOX_WISH_AUTO);
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
