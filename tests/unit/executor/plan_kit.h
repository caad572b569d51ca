/*
 * Whole plans on a faked bus, with the real journal and the real sandbox: each delivery runs in a
 * process of its own, and a ledger of files counts what was run. For cmocka programs.
 */
#ifndef TESTS_EXECUTOR_PLAN_KIT_H
#define TESTS_EXECUTOR_PLAN_KIT_H

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

static UNUSED int setup(void **state)
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

static UNUSED int teardown(void **state)
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
	bool again;          /* the bus had lost the plan */
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
			       .seq = 1,
			       .first = true, /* a consumer made anew says so of each */
			       .again = d->again};
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
static UNUSED int deliver_forked(const struct delivery *d)
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

static UNUSED size_t ran(const char *run)
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

static UNUSED void expect_outcome(Healbus__Verdict verdict, const char *reason)
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

static UNUSED bool waited_for(const char *reason)
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

/* A test with a world of its own. */
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static UNUSED int run_group(const struct CMUnitTest *tests, size_t n)
{
	sandbox_probe(SANDBOX_WISH_AUTO);
	log_set_level(LOG_ERROR);
	return _cmocka_run_group_tests("tests", tests, n, NULL, NULL);
}

#endif
