/* GitHub's deliveries: what the reader makes of them. */
#include "tests/unit/monitor/desk.h"
#include "tests/unit/monitor/github_bodies.h"

static void take(struct desk *d, const char *event, char *body)
{
	desk_kind = event;
	desk_text(d, "github", body);
}

static const char *label(const struct desk *d, const char *name)
{
	const Healbus__Event *e = first(d);
	const char *value = label_get(e->labels, e->n_labels, name);

	return value ? value : "";
}

static const char *note(const struct desk *d, const char *name)
{
	const Healbus__Event *e = first(d);
	const char *value = label_get(e->annotations, e->n_annotations, name);

	return value ? value : "";
}

/* Reads, calls the body's free(), and leaves the result to look at. */
#define WITH(d, event, body)                                                                       \
	for (auto_free char *text = body; text && (take(d, event, text), true);                    \
	     desk_free(d), free(text), text = NULL)

static void test_a_failed_job(void **state)
{
	struct desk d;

	(void)state;
	WITH(&d, "workflow_job", told_job((struct told){.branch = "feature"}))
	{
		const Healbus__Event *e = first(&d);

		assert_string_equal(label(&d, "alertname"), "CIFailure");
		assert_string_equal(label(&d, "repository"), "octo-org/octo.repo");
		assert_string_equal(label(&d, "branch"), "feature");
		assert_string_equal(label(&d, "workflow"), "Test");
		assert_string_equal(label(&d, "job"), "test");
		assert_string_equal(note(&d, "sha"), SHA1);
		assert_string_equal(note(&d, "run_id"), "7000");
		assert_string_equal(note(&d, "job_id"), "9001");
		assert_string_equal(note(&d, "step"), "Run tests");
		assert_string_equal(note(&d, "conclusion"), "failure");
		assert_string_equal(note(&d, "actor"), "ada");
		assert_string_equal(note(&d, "installation_id"), "42");
		assert_string_equal(note(&d, "default_branch"), "main");
		assert_int_equal(e->status, HEALBUS__STATUS__STATUS_FIRING);
		assert_int_equal(e->severity, HEALBUS__SEVERITY__SEVERITY_WARNING);
		assert_string_equal(e->partition_key, "octo-org/octo.repo");
	}
	WITH(&d, "workflow_job", told_job((struct told){.branch = "main"}))
	assert_int_equal(first(&d)->severity, HEALBUS__SEVERITY__SEVERITY_ERROR);
}

/* One thing has one fingerprint, whoever tells of it and however it went. */
static void test_identity(void **state)
{
	char job[FINGERPRINT_LEN + 1], run[FINGERPRINT_LEN + 1];
	struct desk d;

	(void)state;
	WITH(&d, "workflow_job", told_job((struct told){0}))
	memcpy(job, first(&d)->fingerprint, sizeof(job));
	WITH(&d, "check_run", told_check((struct told){.sha = SHA2, .conclusion = "success"}))
	assert_string_equal(first(&d)->fingerprint, job);
	WITH(&d, "workflow_job", told_job((struct told){.name = "lint"}))
	assert_string_not_equal(first(&d)->fingerprint, job);
	WITH(&d, "workflow_run", told_run((struct told){0}))
	memcpy(run, first(&d)->fingerprint, sizeof(run));
	assert_string_not_equal(run, job);
	WITH(&d, "workflow_run", told_run((struct told){.branch = "other"}))
	assert_string_not_equal(first(&d)->fingerprint, run);
}

static void test_success_covers(void **state)
{
	static const struct told good = {.conclusion = "success"};
	struct desk d;

	(void)state;
	WITH(&d, "workflow_job", told_job(good))
	assert_false(first(&d)->covers);
	WITH(&d, "workflow_run", told_run(good))
	{
		assert_true(first(&d)->covers);
		assert_string_equal(label(&d, "workflow"), "Test");
		assert_string_equal(label(&d, "severity"), "");
	}
	WITH(&d, "check_suite",
	     told_suite(good)) /* of one workflow, and it does not say of which */
	assert_false(first(&d)->covers);
	WITH(&d, "check_suite",
	     told_suite((struct told){.conclusion = "success", .name = "codecov"}))
	{
		assert_true(first(&d)->covers);
		assert_string_equal(label(&d, "app"), "codecov");
	}
	WITH(&d, "pull_request", told_pull("closed", "feature", NULL))
	{
		assert_true(first(&d)->covers);
		assert_string_equal(label(&d, "branch"), "feature");
		assert_string_equal(note(&d, "pr"), "12");
	}
}

/* A fork's "main" is not ours. */
static void test_forks(void **state)
{
	struct desk d;

	(void)state;
	WITH(&d, "pull_request", told_pull("opened", "main", "eve/octo.repo"))
	{
		assert_string_equal(label(&d, "branch"), "eve:main");
		assert_int_equal(first(&d)->status, HEALBUS__STATUS__STATUS_UNKNOWN);
	}
}

static void test_ignored(void **state)
{
	static const struct told bot = {.sender = "renovate[bot]", .type = "Bot"};
	const struct {
		const char *event, *reason;
		char *body;
	} rows[] = {
		{"star", "event", told_job((struct told){0})},
		{"workflow_job", "conclusion", told_job((struct told){.conclusion = "cancelled"})},
		{"workflow_job", "conclusion", told_job((struct told){.conclusion = "skipped"})},
		{"workflow_job", "conclusion",
		 told_job((struct told){.conclusion = "action_required"})},
		{"workflow_job", "bot", told_job(bot)},
		{"push", "bot", told_push(bot)},
		{"push", "own_push",
		 told_push((struct told){.message = "Fix\\n\\nHealbus-Incident: abc"})},
		{"push", "own_push",
		 told_push(
			 (struct told){.message = "Merge pull request #5 from octo-org/fix/x-1"})},
		{"status", "not_concluded", told_status((struct told){.conclusion = "pending"})},
		{"pull_request", "action", told_pull("labeled", "x", NULL)},
		{"issue_comment", "no_command", told_comment("ada", "OWNER", "please /heal fix")},
		{"issue_comment", "no_command", told_comment("ada", "OWNER", "> /heal fix")},
		{"issue_comment", "no_command",
		 told_comment("ada", "OWNER", "```\\n/heal fix\\n```")},
		{"issue_comment", "no_command", told_comment("ada", "OWNER", "/healer fix")},
		{"issue_comment", "unknown_command", told_comment("ada", "OWNER", "/heal dance")},
		{"issue_comment", "unknown_command", told_comment("ada", "OWNER", "/heal")},
		{"issue_comment", "not_allowed", told_comment("eve", "NONE", "/heal fix")},
		{"issue_comment", "not_allowed", told_comment("eve", "CONTRIBUTOR", "/heal fix")},
		{"issue_comment", "bot", told_comment("x[bot]", "OWNER", "/heal fix")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct desk d;

		take(&d, rows[i].event, rows[i].body);
		if (d.rc || d.r.n || d.r.refused || !d.r.ignored ||
		    !str_eq(d.r.ignored, rows[i].reason))
			fail_msg("row %zu: %s %s%s", i, OR(d.r.ignored, "taken"), d.why.text,
				 d.r.refused_why.text);
		desk_free(&d);
		free(rows[i].body);
	}
}

static void test_commands(void **state)
{
	struct desk d;

	(void)state;
	WITH(&d, "issue_comment",
	     told_comment("ada", "MEMBER", "Thanks.\\r\\n\\r\\n/heal Fix the  flaky test \\nbye"))
	{
		const Healbus__Command *c = first(&d)->command;

		assert_non_null(c);
		assert_string_equal(c->verb, "fix");
		assert_string_equal(c->text, "the  flaky test ");
		assert_string_equal(c->by, "ada");
		assert_int_equal(first(&d)->status, HEALBUS__STATUS__STATUS_UNKNOWN);
		assert_string_equal(label(&d, "pr"), "12");
		assert_string_equal(label(&d, "branch"), "");
	}
	WITH(&d, "push", told_push((struct told){.branch = "feature/x", .sha = SHA2}))
	{
		assert_string_equal(first(&d)->command->verb, "push");
		assert_string_equal(first(&d)->command->text, SHA2);
		assert_string_equal(label(&d, "branch"), "feature/x");
	}
}

#define REPOSITORY                                                                                 \
	"\"repository\":{\"full_name\":\"a/b\"},\"sender\":{\"login\":\"ada\",\"type\":\"User\"}"

static void test_buttons_and_reviews(void **state)
{
	static const char review[] =
		"{\"action\":\"submitted\"," REPOSITORY
		",\"pull_request\":{\"number\":3,\"head\":{\"ref\":\"x\"}},\"review\":{\"state\":"
		"\"%s\",\"user\":{\"login\":\"ada\",\"type\":\"User\"},\"author_association\":"
		"\"%s\",\"body\":\"%s\"}}";
	static const char button[] =
		"{\"action\":\"requested_action\"," REPOSITORY
		",\"check_run\":{\"head_sha\":\"" SHA1
		"\",\"check_suite\":{\"head_branch\":\"x\"}},\"requested_action\":{\"identifier\":"
		"\"%s\"}}";
	struct desk d;

	(void)state;
	WITH(&d, "pull_request_review", mem_printf(review, "approved", "MEMBER", ""))
	{
		assert_null(first(&d)->command);
		assert_int_equal(first(&d)->status, HEALBUS__STATUS__STATUS_UNKNOWN);
		assert_string_equal(note(&d, "review"), "approved");
		assert_string_equal(note(&d, "pr"), "3");
	}
	WITH(&d, "pull_request_review", mem_printf(review, "commented", "MEMBER", "/heal retry"))
	assert_string_equal(first(&d)->command->verb, "retry");
	WITH(&d, "pull_request_review", mem_printf(review, "commented", "NONE", "/heal retry"))
	assert_string_equal(d.r.ignored, "not_allowed");
	WITH(&d, "check_run", mem_printf(button, "heal_stop"))
	{
		assert_string_equal(first(&d)->command->verb, "stop");
		assert_string_equal(label(&d, "branch"), "x");
	}
	WITH(&d, "check_run", mem_printf(button, "heal_all"))
	assert_string_equal(d.r.ignored, "unknown_command");
	WITH(&d, "check_run", mem_printf(button, "lgtm"))
	assert_string_equal(d.r.ignored, "no_command");
}

static void test_ends_of_branches(void **state)
{
	static const struct {
		const char *event, *body, *branch;
	} rows[] = {
		{"delete", "{" REPOSITORY ",\"ref\":\"x/y\",\"ref_type\":\"branch\"}", "x/y"},
		{"push", "{" REPOSITORY ",\"ref\":\"refs/heads/x/y\",\"deleted\":true}", "x/y"},
		{"merge_group",
		 "{\"action\":\"destroyed\"," REPOSITORY
		 ",\"merge_group\":{\"head_ref\":\"refs/heads/gh-readonly-queue/main/pr-1-2\"}}",
		 "gh-readonly-queue/main/pr-1-2"},
		{"delete", "{" REPOSITORY ",\"ref\":\"v1\",\"ref_type\":\"tag\"}", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct desk d;

		desk_kind = rows[i].event;
		desk_text(&d, "github", rows[i].body);
		if (rows[i].branch) {
			assert_true(first(&d)->covers);
			assert_string_equal(label(&d, "branch"), rows[i].branch);
			assert_string_equal(label(&d, "workflow"), "");
		} else {
			assert_string_equal(d.r.ignored, "tag");
		}
		desk_free(&d);
	}
}

static void test_what_a_message_says(void **state)
{
	struct desk d;

	(void)state;
	WITH(&d, "workflow_run", told_run((struct told){.message = "wip [skip-heal]"}))
	{
		assert_int_equal(first(&d)->status, HEALBUS__STATUS__STATUS_UNKNOWN);
		assert_string_equal(note(&d, "skip"), "true");
	}
	WITH(&d, "workflow_run",
	     told_run((struct told){.branch = "fix/lint-1",
				    .message = "Fix\\n\\nHealbus-Incident: abc234"}))
	{
		assert_string_equal(note(&d, "incident"), "abc234");
		assert_string_equal(note(&d, "message"), "Fix");
	}
	WITH(&d, "workflow_run", /* only on branches that we make */
	     told_run((struct told){.message = "Fix\\n\\nHealbus-Incident: abc234"}))
	assert_string_equal(note(&d, "incident"), "");
}

static void test_refusals_name_the_field(void **state)
{
	static const struct {
		const char *event, *body, *says;
	} rows[] = {
		{NULL, "{}", "X-GitHub-Event"},
		{"push", "[1]", "body: not an object"},
		{"push", "{", "not JSON"},
		{"push", "{}", "repository.full_name: missing"},
		{"push", "{\"repository\":{\"full_name\":7}}", "repository.full_name: not text"},
		{"push", "{\"repository\":{\"full_name\":\"a/../b\"}}", "not owner/name"},
		{"push", "{\"repository\":{\"full_name\":\"a/b\"}}", "ref: missing"},
		{"workflow_job",
		 "{\"action\":\"completed\",\"repository\":{\"full_name\":\"a/b\"}}",
		 "workflow_job: missing"},
		{"workflow_job",
		 "{\"action\":\"completed\",\"repository\":{\"full_name\":\"a/b\"},"
		 "\"workflow_job\":{\"name\":\"x\",\"head_sha\":\"--upload-pack\"}}",
		 "workflow_job.head_sha: not a commit's id"},
		{"workflow_job",
		 "{\"action\":\"completed\",\"repository\":{\"full_name\":\"a/b\"},"
		 "\"workflow_job\":{\"name\":\"x\",\"head_sha\":\"" SHA1
		 "\",\"conclusion\":\"failure\",\"started_at\":\"soon\"}}",
		 "workflow_job.started_at"},
		{"issue_comment",
		 "{\"action\":\"created\",\"repository\":{\"full_name\":\"a/b\"},\"comment\":{}}",
		 "comment.user.login: missing"},
		{"dependabot_alert",
		 "{\"action\":\"created\",\"repository\":{\"full_name\":\"a/b\"},\"alert\":{}}",
		 "alert.number: missing"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct desk d;

		desk_kind = rows[i].event;
		desk_text(&d, "github", rows[i].body);
		if (!d.rc || !strstr(d.why.text, rows[i].says))
			fail_msg("row %zu: %d %s", i, d.rc, d.why.text);
		desk_free(&d);
	}
}

static void test_repositories(void **state)
{
	static char listed[] = "Octo-Org/*", other[] = "octo-org/else";
	char *items[] = {other};
	struct desk d;

	(void)state;
	config.rules.github.repositories = (struct names){items, 1};
	WITH(&d, "workflow_job", told_job((struct told){0}))
	assert_string_equal(d.r.ignored, "repository");
	items[0] = listed;
	WITH(&d, "workflow_job", told_job((struct told){0}))
	assert_int_equal(d.r.n, 1);
	config.rules.github.repositories = (struct names){0};
}

static void test_alerts(void **state)
{
	char fingerprint[FINGERPRINT_LEN + 1];
	struct desk d;

	(void)state;
	desk_kind = "code_scanning_alert";
	desk_text(&d, "github",
		  "{\"action\":\"created\",\"repository\":{\"full_name\":\"a/b\"},\"alert\":{"
		  "\"number\":10,\"created_at\":\"2026-01-01T00:00:00Z\",\"rule\":{\"id\":"
		  "\"js/xss\",\"severity\":\"warning\",\"security_severity_level\":\"critical\","
		  "\"description\":\"text\"}}}");
	assert_string_equal(label(&d, "alertname"), "CodeScanningAlert");
	assert_string_equal(label(&d, "number"), "10");
	assert_string_equal(label(&d, "rule"), "js/xss");
	assert_int_equal(first(&d)->severity, HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	desk_free(&d);
	/* Two events tell of Dependabot's alerts. */
	WITH(&d, "dependabot_alert",
	     mem_strdup("{\"action\":\"created\"," REPOSITORY
			",\"alert\":{\"number\":5,\"security_advisory\":{\"severity\":\"high\"}}}"))
	{
		memcpy(fingerprint, first(&d)->fingerprint, sizeof(fingerprint));
		assert_int_equal(first(&d)->severity, HEALBUS__SEVERITY__SEVERITY_ERROR);
	}
	WITH(&d, "repository_vulnerability_alert",
	     mem_strdup("{\"action\":\"dismiss\"," REPOSITORY ",\"alert\":{\"number\":5}}"))
	{
		assert_string_equal(first(&d)->fingerprint, fingerprint);
		assert_int_equal(first(&d)->status, HEALBUS__STATUS__STATUS_RESOLVED);
	}
	desk_kind = "secret_scanning_alert";
	desk_text(&d, "github",
		  "{\"action\":\"resolved\",\"repository\":{\"full_name\":\"a/b\"},\"alert\":{"
		  "\"number\":3,\"secret_type\":\"aws\"}}");
	assert_int_equal(first(&d)->status, HEALBUS__STATUS__STATUS_RESOLVED);
	desk_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_failed_job),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_success_covers),
		cmocka_unit_test(test_forks),
		cmocka_unit_test(test_ignored),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_buttons_and_reviews),
		cmocka_unit_test(test_ends_of_branches),
		cmocka_unit_test(test_what_a_message_says),
		cmocka_unit_test(test_refusals_name_the_field),
		cmocka_unit_test(test_repositories),
		cmocka_unit_test(test_alerts),
	};

	return cmocka_run_group_tests(tests, desk_load, desk_unload);
}
