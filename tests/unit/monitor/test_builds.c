/* From GitHub's deliveries to incidents: the reader and the correlator together, without a network.
 */
#include "tests/unit/monitor/github_bodies.h"
#include "tests/unit/monitor/kit.h"

static const char yaml[] =
	"group_wait: 1s\ngroup_interval: 30s\ngithub:\n  own_login: healbus[bot]\n";

/* Reads a delivery and gives what comes of it to the fold; frees the body. Events made. */
static size_t tell_as(struct kit *k, const char *event, char *body, bool trusted)
{
	struct arena arena = {0};
	struct why why = {0};
	uint8_t digest[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1], raw_id[ID_BYTES];
	struct reading r = {.source = "github",
			    .rules = &k->config.rules,
			    .data = body,
			    .len = strlen(body),
			    .kind = event,
			    .trusted = trusted,
			    .raw_id = raw_id,
			    .time_ms = k->now_ms,
			    .arena = &arena};
	size_t n;

	digest_sha256(body, strlen(body), digest);
	hex_encode(digest, sizeof(digest), hex);
	id_make(raw_id, "raw", hex);
	if (reading_run(&r, &format_github, &why) || r.refused)
		fail_msg("%s: %s%s\n%s", event, why.text, r.refused_why.text, body);
	for (size_t i = 0; i < r.n; i++)
		kit_apply(k, "event.00.github", r.events[i]->id, &r.events[i]->base);
	n = r.n;
	reading_release(&r);
	arena_release(&arena);
	free(body);
	return n;
}

static size_t tell(struct kit *k, const char *event, char *body)
{
	return tell_as(k, event, body, true);
}

static const char *label(const Healbus__Incident *i, const char *name)
{
	const char *value = label_get(i->labels, i->n_labels, name);

	return value ? value : "";
}

/* The annotation of the incident's only event about this job. */
static const char *note(const Healbus__Incident *i, const char *job, const char *name)
{
	for (size_t n = 0; n < i->n_events; n++) {
		const Healbus__Event *e = i->events[n];
		const char *its = label_get(e->labels, e->n_labels, "job");
		const char *value = label_get(e->annotations, e->n_annotations, name);

		if (its && str_eq(its, job))
			return value ? value : "";
	}
	return "";
}

/* A red build of one commit, as all five kinds of event tell it. */
static void all_red(struct kit *k, struct told t)
{
	tell(k, "workflow_job", told_job(t));
	tell(k, "check_run", told_check(t));
	tell(k, "workflow_run", told_run(t));
	tell(k, "check_suite", told_suite(t));
	tell(k, "status", told_status(t));
}

static void test_one_build_is_one_incident(void **state)
{
	struct kit *k = kit_new(yaml);

	(void)state;
	all_red(k, (struct told){0});
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 1);
	assert_int_equal(kit_last(k)->state, OPEN);
	assert_int_equal(kit_last(k)->fingerprints, 4); /* the job and its check run are one */
	assert_string_equal(label(kit_last(k), "repository"), "octo-org/octo.repo");
	assert_string_equal(label(kit_last(k), "branch"), "main");
	assert_string_equal(kit_last(k)->title, "CIFailure on octo-org/octo.repo (4 alerts)");
	tell(k, "workflow_run",
	     told_run((struct told){.conclusion = "success", .minute = 5, .sha = SHA2}));
	assert_int_equal(k->n, 2);
	assert_int_equal(kit_last(k)->state, RESOLVED);
	assert_string_equal(kit_last(k)->id, k->out[0]->id);
	kit_free(k);
}

static void test_branches_and_repositories_differ(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	tell(k, "workflow_job", told_job((struct told){0}));
	tell(k, "workflow_job", told_job((struct told){.branch = "other"}));
	assert_int_equal(k->n, 2);
	assert_string_not_equal(k->out[0]->id, k->out[1]->id);
	kit_free(k);
}

static void test_a_body_counts_once(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");
	struct store_txn *txn;

	(void)state;
	tell(k, "workflow_job", told_job((struct told){0}));
	tell(k, "workflow_job", told_job((struct told){.conclusion = "success"}));
	assert_int_equal(kit_last(k)->state, RESOLVED);
	kit_wait(k, 29 * 24 * HOUR); /* the alert is long forgotten */
	tell(k, "workflow_job", told_job((struct told){0}));
	assert_int_equal(k->n, 2);
	kit_wait(k, 2 * 24 * HOUR);
	txn = store_begin_read(fold_store(k->f));
	assert_int_equal(store_count(txn, &table_bodies), 0);
	store_end(txn);
	kit_free(k);
}

/* A workflow's success is no other's. */
static void test_covers_agree_on_labels(void **state)
{
	static const struct told lint_good = {.name = "Lint", .conclusion = "success", .minute = 9};
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	all_red(k, (struct told){0});
	tell(k, "workflow_run", told_run(lint_good));
	kit_wait(k, MINUTE);
	assert_int_equal(kit_last(k)->state, OPEN);
	/* The suite and the status of Actions name no workflow: they ended. */
	assert_int_equal(kit_last(k)->firing, 2);
	tell(k, "check_suite",
	     told_suite((struct told){.name = "codecov", .conclusion = "success", .minute = 10}));
	kit_wait(k, MINUTE);
	assert_int_equal(kit_last(k)->firing, 2);
	tell(k, "pull_request", told_pull("closed", "main", NULL));
	assert_int_equal(kit_last(k)->state, RESOLVED);
	assert_string_equal(kit_last(k)->reason, "pull request 12 merged");
	kit_free(k);
}

/* The success of an older commit, told late, ends nothing. */
static void test_late_success(void **state)
{
	struct told old = {.conclusion = "success", .sha = SHA1, .minute = 1, .run = 1};
	struct told bad = {.sha = SHA2, .minute = 5, .run = 2};
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	tell(k, "workflow_job", told_job(bad));
	tell(k, "workflow_run", told_run(old));
	tell(k, "workflow_job", told_job(old));
	assert_int_equal(kit_last(k)->state, OPEN);
	old.minute = 6;
	tell(k, "workflow_run", told_run(old));
	assert_int_equal(kit_last(k)->state, RESOLVED);
	kit_free(k);
}

static void test_a_new_failure_is_told(void **state)
{
	struct kit *k = kit_new(yaml);

	(void)state;
	tell(k, "workflow_job", told_job((struct told){0}));
	kit_wait(k, SECOND);
	assert_int_equal(k->n, 1);
	tell(k, "workflow_job", told_job((struct told){.sender = "eve"})); /* the same again */
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 1);
	tell(k, "workflow_job", told_job((struct told){.sha = SHA2, .run = 7001, .minute = 3}));
	kit_wait(k, SECOND);
	assert_int_equal(k->n, 2);
	assert_int_equal(kit_last(k)->revision, 2);
	assert_string_equal(kit_last(k)->id, k->out[0]->id);
	assert_string_equal(note(kit_last(k), "test", "pr"), "");
	assert_string_equal(note(kit_last(k), "test", "sha"), SHA2);
	assert_string_equal(note(kit_last(k), "test", "run_id"), "7001");
	tell(k, "workflow_job",
	     told_job((struct told){.sha = SHA2, .run = 7001, .minute = 4, .attempt = 1}));
	kit_wait(k, SECOND);
	assert_int_equal(k->n, 3); /* run again */
	tell(k, "workflow_job", told_job((struct told){.minute = 1, .run = 3}));
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 3); /* an older one, late */
	kit_free(k);
}

/* Red again soon after it was green: the same incident goes on. Later it is another. */
static void test_return(void **state)
{
	struct kit *k = kit_new(yaml);

	(void)state;
	all_red(k, (struct told){0});
	kit_wait(k, SECOND);
	tell(k, "workflow_run", told_run((struct told){.conclusion = "success", .minute = 2}));
	assert_int_equal(kit_last(k)->state, RESOLVED);
	kit_wait(k, 9 * MINUTE);
	all_red(k, (struct told){.minute = 11, .sha = SHA2, .run = 8});
	kit_wait(k, SECOND);
	assert_int_equal(k->n, 3);
	assert_string_equal(kit_last(k)->id, k->out[0]->id);
	assert_int_equal(kit_last(k)->revision, 3);
	assert_int_equal(kit_last(k)->state, OPEN);
	assert_int_equal(kit_last(k)->fingerprints, 4);
	assert_string_equal(label(kit_last(k), "branch"), "main");
	tell(k, "workflow_run", told_run((struct told){.conclusion = "success", .minute = 12}));
	kit_wait(k, 11 * MINUTE);
	all_red(k, (struct told){.minute = 24, .run = 9});
	kit_wait(k, SECOND);
	assert_string_not_equal(kit_last(k)->id, k->out[0]->id);
	assert_string_equal(kit_last(k)->key, k->out[0]->key);
	assert_int_equal(kit_last(k)->revision, 1);
	kit_free(k);
}

/* A job and its check run each say what the other does not. */
static void test_one_failure_told_twice(void **state)
{
	struct kit *k = kit_new(yaml);

	(void)state;
	tell(k, "check_run", told_check((struct told){0}));
	kit_wait(k, SECOND);
	assert_string_equal(note(kit_last(k), "test", "job_id"), "");
	tell(k, "workflow_job", told_job((struct told){0}));
	kit_wait(k, SECOND);
	assert_int_equal(k->n, 2);
	assert_int_equal(kit_last(k)->fingerprints, 1);
	assert_string_equal(note(kit_last(k), "test", "job_id"), "9001");
	assert_string_equal(note(kit_last(k), "test", "pr"), "12");
	assert_string_equal(note(kit_last(k), "test", "step"), "Run tests");
	tell(k, "workflow_run", /* its workflow is known now */
	     told_run((struct told){.name = "Lint", .conclusion = "success", .minute = 3}));
	kit_wait(k, MINUTE);
	assert_int_equal(kit_last(k)->state, OPEN);
	kit_free(k);
}

static void test_commands(void **state)
{
	struct kit *k = kit_new(yaml);
	const Healbus__Incident *last;

	(void)state;
	tell(k, "check_run", told_check((struct told){.branch = "feature"})); /* knows its pull */
	kit_wait(k, SECOND);
	tell(k, "issue_comment", told_comment("ada", "OWNER", "/heal retry with care"));
	kit_wait(k, SECOND);
	last = kit_last(k);
	assert_int_equal(k->n, 2);
	assert_int_equal(last->state, OPEN);
	assert_string_equal(last->id, k->out[0]->id);
	assert_string_equal(last->command->verb, "retry");
	assert_string_equal(last->command->text, "with care");
	assert_string_equal(last->command->by, "ada");
	assert_int_equal(last->fingerprints, 1);
	tell(k, "push", told_push((struct told){.branch = "feature", .sha = SHA2}));
	kit_wait(k, SECOND);
	assert_string_equal(kit_last(k)->command->verb, "push");
	assert_string_not_equal(kit_last(k)->command->id, last->command->id);
	assert_int_equal(
		tell(k, "push",
		     told_push((struct told){
			     .branch = "feature", .sender = "healbus[bot]", .type = "Bot"})),
		0);
	tell_as(k, "issue_comment", told_comment("eve", "OWNER", "/heal stop"), false);
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 3);
	kit_free(k);
}

static void test_fix_opens(void **state)
{
	struct kit *k = kit_new(yaml);

	(void)state;
	tell(k, "pull_request", told_pull("opened", "feature", NULL));
	tell(k, "issue_comment", told_comment("ada", "OWNER", "/heal stop"));
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 0); /* nothing to stop */
	tell(k, "issue_comment", told_comment("ada", "OWNER", "/heal fix the docs"));
	kit_wait(k, SECOND);
	assert_int_equal(k->n, 1);
	assert_string_equal(label(kit_last(k), "branch"), "feature");
	assert_string_equal(kit_last(k)->command->text, "the docs");
	tell(k, "workflow_job", told_job((struct told){.branch = "feature"}));
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 2);
	assert_string_equal(kit_last(k)->id, k->out[0]->id);
	tell(k, "pull_request", told_pull("closed", "feature", NULL));
	assert_int_equal(kit_last(k)->state, RESOLVED);
	kit_free(k);
}

/* A pull request whose branch was never told still opens something of its own. */
static void test_fix_of_an_unknown_pull(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	tell(k, "issue_comment", told_comment("ada", "OWNER", "/heal fix"));
	assert_int_equal(k->n, 1);
	assert_string_equal(label(kit_last(k), "pr"), "12");
	kit_free(k);
}

static void test_skipped_commits(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	tell(k, "push", told_push((struct told){.message = "wip [skip-heal]", .sha = SHA2}));
	tell(k, "workflow_job", told_job((struct told){.sha = SHA2}));
	tell(k, "workflow_run", told_run((struct told){.sha = SHA2, .message = "[skip-heal]"}));
	assert_int_equal(k->n, 0);
	tell(k, "workflow_job", told_job((struct told){.sha = SHA1}));
	assert_int_equal(k->n, 1);
	kit_free(k);
}

/* What fails on the branch that was made for an incident is told with it, and opens nothing. */
static void test_our_own_branch(void **state)
{
	struct kit *k = kit_new(yaml);
	struct told ours = {.branch = "fix/test-11111111",
			    .sha = SHA2,
			    .minute = 8,
			    .run = 7100,
			    .sender = "healbus[bot]",
			    .type = "Bot"};
	auto_free char *message = NULL;

	(void)state;
	tell(k, "workflow_job", told_job((struct told){0}));
	kit_wait(k, SECOND);
	message = mem_printf("Fix it\\n\\nHealbus-Incident: %s\\n", kit_last(k)->id);
	ours.message = message;
	assert_int_equal(tell(k, "push", told_push(ours)), 1);
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 1);
	ours.sender = "ada";
	ours.type = NULL;
	ours.name = "test2";
	tell(k, "workflow_job", told_job(ours));
	kit_wait(k, SECOND);
	assert_int_equal(k->n, 2);
	assert_string_equal(kit_last(k)->id, k->out[0]->id);
	assert_int_equal(kit_last(k)->firing, 1);
	assert_string_equal(note(kit_last(k), "test2", "run_id"), "7100");
	tell(k, "check_run", told_check(ours));
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 2);
	ours.conclusion = "success";
	ours.name = NULL;
	ours.minute = 9;
	tell(k, "workflow_run", told_run(ours)); /* green, but not yet on main */
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 3);
	assert_int_equal(kit_last(k)->state, OPEN);
	tell(k, "workflow_run", told_run((struct told){.conclusion = "success", .minute = 20}));
	assert_int_equal(kit_last(k)->state, RESOLVED);
	ours.conclusion = "failure";
	ours.minute = 25;
	tell(k, "workflow_job", told_job(ours)); /* its incident is over */
	kit_wait(k, HOUR);
	assert_int_equal(k->n, 4);
	kit_free(k);
}

/* The jobs of a fork's "main" name no owner. */
static void test_forks(void **state)
{
	struct told fork = {.owner = "eve", .sha = SHA2, .action = "requested", .run = 66};
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	assert_int_equal(tell(k, "workflow_run", told_run(fork)), 1);
	tell(k, "workflow_job", told_job(fork));
	tell(k, "status", told_status(fork));
	assert_int_equal(k->n, 0);
	fork.action = NULL;
	tell(k, "workflow_run", told_run(fork));
	assert_int_equal(k->n, 1);
	assert_string_equal(label(kit_last(k), "branch"), "eve:main");
	fork.owner = NULL;
	fork.action = "requested";
	assert_int_equal(tell(k, "workflow_run", told_run(fork)), 0);
	tell(k, "push", told_push(fork)); /* the commit has come to ours */
	tell(k, "check_run", told_check(fork));
	assert_int_equal(k->n, 2);
	assert_string_equal(label(kit_last(k), "branch"), "main");
	kit_free(k);
}

/* A fork's run does not say which pull request it is of: that was heard before. */
static void test_a_forks_pull_request(void **state)
{
	struct told fork = {.owner = "eve", .branch = "topic", .sha = SHA2};
	struct kit *k = kit_new("group_wait: 0s\n");
	const Healbus__Event *e;

	(void)state;
	tell(k, "pull_request", told_pull("opened", "topic", "eve/octo.repo"));
	tell(k, "workflow_run", told_run(fork));
	assert_int_equal(k->n, 1);
	assert_string_equal(label(kit_last(k), "branch"), "eve:topic");
	e = kit_last(k)->events[kit_last(k)->n_events - 1];
	assert_string_equal(label_get(e->annotations, e->n_annotations, "pr"), "12");
	kit_free(k);
}

/* Nobody repeats what GitHub said once: it does not end by itself for a month. */
static void test_no_repeat_is_needed(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	tell(k, "workflow_job", told_job((struct told){0}));
	kit_wait(k, 29 * 24 * HOUR);
	assert_int_equal(k->n, 1);
	kit_wait(k, 2 * 24 * HOUR);
	assert_int_equal(kit_last(k)->state, RESOLVED);
	kit_free(k);
}

static void test_untrusted_covers_nothing(void **state)
{
	struct told good = {.conclusion = "success", .minute = 9};
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	tell(k, "workflow_job", told_job((struct told){0}));
	tell_as(k, "workflow_run", told_run(good), false);
	tell_as(k, "pull_request", told_pull("closed", "main", NULL), false);
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 1);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_build_is_one_incident),
		cmocka_unit_test(test_branches_and_repositories_differ),
		cmocka_unit_test(test_a_body_counts_once),
		cmocka_unit_test(test_covers_agree_on_labels),
		cmocka_unit_test(test_late_success),
		cmocka_unit_test(test_a_new_failure_is_told),
		cmocka_unit_test(test_return),
		cmocka_unit_test(test_one_failure_told_twice),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_fix_opens),
		cmocka_unit_test(test_fix_of_an_unknown_pull),
		cmocka_unit_test(test_skipped_commits),
		cmocka_unit_test(test_our_own_branch),
		cmocka_unit_test(test_forks),
		cmocka_unit_test(test_a_forks_pull_request),
		cmocka_unit_test(test_no_repeat_is_needed),
		cmocka_unit_test(test_untrusted_covers_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
