#include "reasoner/memory/memory.h"
#include "reasoner/memory/statistics.h"
#include "tests/unit/reasoner/world.h"

#define MINUTE 60000

static struct world w;

static int setup(void **state)
{
	(void)state;
	world_open(&w, NULL);
	w.config.cases.diagnose = DIAGNOSE_REPOSITORIES;
	w.config.cases.answer_timeout_ms = 15 * MINUTE;
	w.config.cases.max_attempts = 3;
	w.config.cases.resolve_within_ms = 60 * MINUTE;
	w.config.cases.effective_window_ms = 30 * MINUTE;
	w.config.cases.recall_min = 0.9;
	w.config.cases.fix_branch_prefix = (char *)"fix/";
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

/* A failed build as the monitor tells it; annotations is `"sha":"...", ...`, more as in world.h. */
static void build_failed(const char *state, int revision, const char *annotations, const char *more)
{
	auto_free char *id = mem_printf("ci-%d", revision);
	auto_free char *json = mem_printf(
		"{\"id\":\"i1\",\"key\":\"k1\",\"state\":\"%s\",\"revision\":%d,\"trusted\":true,"
		"\"severity\":\"error\",\"set_by\":\"monitor\",\"title\":\"build failed\","
		"\"labels\":{\"alertname\":\"CIFailure\",\"branch\":\"topic\","
		"\"repository\":\"octo-org/octo.repo\"},\"events\":[{\"id\":\"e%d\","
		"\"source\":\"github\",\"fingerprint\":\"0123456789abcdef\",\"status\":\"firing\","
		"\"annotations\":{%s}}]%s}",
		state, revision, revision, annotations, more);
	world_send(&w, "incident", id, json);
}

static void first_failure(void)
{
	build_failed("open", 1, "\"sha\":\"aaaaaaaaaaaa\",\"pr\":\"7\",\"base\":\"main\"", "");
}

/* The worker answers the last question. */
static void answer(const char *diagnosis)
{
	json_t *ask = world_output(&w, KIND_MODEL, -1);
	assert_non_null(ask);
	auto_free char *id = mem_printf("answer-%s", text_of(ask, "id"));
	auto_free char *json = mem_printf(
		"{\"id\":\"%s\",\"incident\":\"i1\",\"state\":\"answered\",\"ask\":\"%s\","
		"\"diagnosis\":{\"failure_type\":\"c_compile\",\"specialist\":\"atlas\","
		"\"confidence\":0.9,\"evidence\":[{\"source\":\"log\",\"line\":3,"
		"\"text\":\"a.c:1: error: `</a> @kim #1\"}]%s}}",
		id, text_of(ask, "id"), diagnosis);
	json_decref(ask);
	world_send(&w, "model", id, json);
}

/* The model wants x to be `value`. */
static void propose(int value)
{
	auto_free char *more = mem_printf(
		",\"proposal\":\"{\\\"analysis\\\":\\\"x is wrong\\\",\\\"confidence\\\":0.5,"
		"\\\"edits\\\":\\\"<<<<<<< SEARCH a.c\\\\nint x = 1;\\\\n=======\\\\nint x = "
		"%d;\\\\n>>>>>>> REPLACE\\\\n\\\",\\\"title\\\":\\\"Set x\\\",\\\"steps\\\":[],"
		"\\\"give_up\\\":\\\"\\\"}\"",
		value);
	answer(more);
}

static const char *last_reason(void)
{
	static char reason[1100];
	json_t *told = world_output(&w, KIND_INCIDENT, -1);
	snprintf(reason, sizeof(reason), "%s", told ? text_of(told, "reason") : "");
	json_decref(told);
	return reason;
}

static void assert_reason_has(const char *text)
{
	if (!strstr(last_reason(), text))
		fail_msg("\"%s\" is not in \"%s\"", text, last_reason());
}

static const char *param(const json_t *plan, size_t step, const char *name)
{
	json_t *s = json_array_get(json_object_get(plan, "steps"), step);
	return text_of(json_object_get(s, "params"), name);
}

/* ---- tests ---- */

static void asks_when_no_runbook_answers(void **state)
{
	(void)state;
	first_failure();
	assert_int_equal(world_outputs(&w, KIND_PLAN), 0);
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 0);
	json_t *ask = world_output(&w, KIND_MODEL, 0);
	assert_string_equal(text_of(ask, "state"), "asked");
	assert_int_equal(number_of(ask, "attempt"), 1);
	assert_string_equal(text_of(json_object_get(ask, "subject"), "title"), "build failed");
	json_decref(ask);
}

static void others_are_escalated_at_once(void **state)
{
	(void)state;
	world_incident(&w, "i2", "k2", "open", 1, "");
	assert_int_equal(world_outputs(&w, KIND_MODEL), 0);
	assert_reason_has("no runbook answers");
}

static void edits_become_three_steps(void **state)
{
	(void)state;
	first_failure();
	propose(2);
	json_t *plan = world_output(&w, KIND_PLAN, 0);
	assert_non_null(plan);
	json_t *steps = json_object_get(plan, "steps");
	assert_int_equal(json_array_size(steps), 3);
	assert_string_equal(text_of(plan, "provenance"), "model");
	assert_string_equal(text_of(plan, "specialist"), "atlas");
	assert_string_equal(text_of(json_array_get(steps, 0), "tool"), "code_fix");
	assert_string_equal(text_of(json_array_get(steps, 0), "target"), "octo-org_octo_repo");
	assert_string_equal(param(plan, 0, "sha"), "aaaaaaaaaaaa");
	assert_true(str_starts(param(plan, 0, "edits"), "<<<<<<< SEARCH a.c\n"));
	assert_string_equal(param(plan, 1, "branch"), "topic");
	assert_string_equal(param(plan, 1, "expect"), "aaaaaaaaaaaa");
	assert_string_equal(param(plan, 2, "head"), "topic");
	assert_string_equal(param(plan, 2, "base"), "main");
	assert_string_equal(param(plan, 2, "title"), "Set x");
	assert_non_null(strstr(param(plan, 2, "body"), "`a.c:1: error: '‹/a› @ kim # 1`\n"));
	json_decref(plan);
}

static void a_branch_of_its_own_without_pull_request(void **state)
{
	(void)state;
	build_failed("open", 1, "\"sha\":\"aaaaaaaaaaaa\"", "");
	propose(2);
	json_t *plan = world_output(&w, KIND_PLAN, 0);
	assert_string_equal(param(plan, 1, "branch"), "fix/c_compile-aaaaaaaa");
	assert_string_equal(param(plan, 1, "expect"), "");
	assert_string_equal(param(plan, 2, "base"), "topic");
	json_decref(plan);
}

static void the_next_question_knows_what_failed(void **state)
{
	(void)state;
	first_failure();
	propose(2);
	json_t *plan = world_output(&w, KIND_PLAN, 0);
	auto_free char *step =
		mem_printf("{\"incident\":\"i1\",\"plan_id\":\"%s\",\"step_id\":\"s1\",\"index\":0,"
			   "\"phase\":\"act\",\"state\":\"failed\",\"output\":\"FAIL: test_x\"}",
			   text_of(plan, "id"));
	json_decref(plan);
	world_send(&w, "step", "s1:failed", step);
	world_outcome(&w, "failed", "step 1: checks failed", "");
	json_t *ask = world_output(&w, KIND_MODEL, -1);
	json_t *tried =
		json_array_get(json_object_get(json_object_get(ask, "subject"), "tried"), 0);
	assert_int_equal(number_of(ask, "attempt"), 2);
	assert_string_equal(text_of(tried, "detail"), "FAIL: test_x");
	assert_string_equal(text_of(tried, "specialist"), "atlas");
	assert_true(str_starts(text_of(tried, "edits"), "<<<<<<< SEARCH"));
	json_decref(ask);
	propose(3);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
}

static void the_same_again_is_refused(void **state)
{
	(void)state;
	first_failure();
	propose(2);
	world_outcome(&w, "failed", "no", "");
	propose(2);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	assert_reason_has("was tried before");
	assert_reason_has("a.c:1: error");
}

/* The executor could not try what was proposed. */
static void nothing_tried(const char *why)
{
	world_outcome(&w, "failed", why,
		      ",\"steps\":[{\"incident\":\"i1\",\"plan_id\":\"p\",\"step_id\":\"s\","
		      "\"index\":0,\"phase\":\"act\",\"state\":\"failed\",\"tool\":\"code_fix\","
		      "\"not_tried\":true}]");
}

static uint64_t failures_of_atlas(void)
{
	struct statistic s;
	const struct statistic_key key = {"c_compile", "atlas", ""};
	auto_txn txn = store_begin_read(fold_store(w.f));
	assert_int_equal(statistics_get(txn, &key, NULL, &s), 0);
	return s.failures;
}

/* The same may be proposed again, nobody's record suffers, and it does not go on for ever. */
static void what_could_not_be_tried_is_no_attempt(void **state)
{
	static const int64_t waits_ms[] = {MINUTE, 4 * MINUTE};
	(void)state;
	first_failure();
	for (size_t i = 0; i < ARRAY_SIZE(waits_ms); i++) {
		propose(2);
		nothing_tried("step failed: step 1: docker: did not start");
		assert_int_equal(world_outputs(&w, KIND_MODEL), i + 1);
		world_tick(&w, waits_ms[i] - 1);
		assert_int_equal(world_outputs(&w, KIND_MODEL), i + 1);
		world_tick(&w, 1);
		json_t *ask = world_output(&w, KIND_MODEL, -1);
		assert_int_equal(number_of(ask, "attempt"), 1);
		assert_int_equal(
			json_array_size(json_object_get(json_object_get(ask, "subject"), "tried")),
			0);
		json_decref(ask);
	}
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 0);
	propose(2);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 3);
	nothing_tried("step failed: step 1: docker: did not start");
	assert_reason_has("nothing could be tried");
	assert_reason_has("docker: did not start");
	world_tick(&w, 60 * MINUTE);
	assert_int_equal(world_outputs(&w, KIND_MODEL), 3);
	assert_int_equal(failures_of_atlas(), 0);
}

static void what_failed_before_and_after_counts(void **state)
{
	(void)state;
	first_failure();
	propose(2);
	world_outcome(&w, "failed", "no", "");
	propose(3);
	nothing_tried("no sandbox");
	world_tick(&w, MINUTE);
	json_t *ask = world_output(&w, KIND_MODEL, -1);
	assert_int_equal(number_of(ask, "attempt"), 2);
	json_decref(ask);
	propose(3);
	world_outcome(&w, "failed", "no", "");
	assert_int_equal(failures_of_atlas(), 2);
}

/* Nothing of it was run, so the same is no second time. */
static void what_expired_may_be_proposed_again(void **state)
{
	(void)state;
	first_failure();
	propose(2);
	world_outcome(&w, "expired", "not_after has passed", "");
	propose(2);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 0);
}

static void attempts_end(void **state)
{
	(void)state;
	first_failure();
	for (int i = 0; i < 3; i++) {
		propose(2 + i);
		assert_int_equal(world_outputs(&w, KIND_PLAN), i + 1);
		world_outcome(&w, "failed", "no", "");
	}
	assert_int_equal(world_outputs(&w, KIND_MODEL), 3);
	assert_reason_has("3 attempts did not help");
}

static void a_newer_failure_after_the_fix_asks_again(void **state)
{
	(void)state;
	first_failure();
	propose(2);
	world_outcome(&w, "healed", "", "");
	build_failed("open", 2, "\"sha\":\"aaaaaaaaaaaa\",\"pr\":\"7\"", "");
	assert_int_equal(world_outputs(&w, KIND_MODEL), 1);
	build_failed("open", 3, "\"sha\":\"bbbbbbbbbbbb\",\"pr\":\"7\"", "");
	assert_int_equal(world_outputs(&w, KIND_MODEL), 2);
	json_t *ask = world_output(&w, KIND_MODEL, -1);
	assert_int_equal(number_of(ask, "attempt"), 2);
	json_decref(ask);
}

static void green_is_the_end(void **state)
{
	(void)state;
	first_failure();
	propose(2);
	world_outcome(&w, "healed", "", "");
	build_failed("resolved", 2, "\"sha\":\"bbbbbbbbbbbb\"", "");
	world_tick(&w, 2 * 60 * MINUTE);
	assert_int_equal(world_outputs(&w, KIND_MODEL), 1);
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 0);
}

static void no_proposal_is_told_with_what_was_found(void **state)
{
	(void)state;
	first_failure();
	answer(",\"reason\":\"no model is configured\",\"missing\":[\"loki: timed out\"]");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 0);
	assert_reason_has("no model is configured");
	assert_reason_has("c_compile (atlas, 90 % sure)");
	assert_reason_has("loki: timed out");
}

static void the_executor_has_tools(void)
{
	world_send(&w, "control", "c0",
		   "{\"id\":\"c0\",\"kind\":\"catalogue\",\"executor\":\"x\",\"tools\":["
		   "{\"name\":\"service_restart\",\"level\":\"soft\",\"runner\":\"command\"}]}");
}

#define RECALLED(similarity)                                                                       \
	",\"recalled\":[{\"incident\":\"i0\",\"similarity\":" similarity ",\"healed\":true,"       \
	"\"what\":\"restarted "                                                                    \
	"it\",\"steps\":[{\"tool\":\"service_restart\",\"target\":\"octo-org_octo_repo\"}]}]"

static void memory_helps_without_a_model(void **state)
{
	(void)state;
	the_executor_has_tools();
	first_failure();
	answer(RECALLED("0.95"));
	json_t *plan = world_output(&w, KIND_PLAN, 0);
	assert_string_equal(text_of(plan, "provenance"), "memory");
	assert_string_equal(text_of(plan, "memory"), "i0");
	json_decref(plan);
	world_outcome(&w, "failed", "no", "");
	answer(RECALLED("0.95"));
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
}

static void a_vague_memory_does_not(void **state)
{
	(void)state;
	the_executor_has_tools();
	first_failure();
	answer(RECALLED("0.89"));
	assert_int_equal(world_outputs(&w, KIND_PLAN), 0);
}

static void silence_is_told(void **state)
{
	(void)state;
	first_failure();
	world_tick(&w, 16 * MINUTE);
	assert_reason_has("no diagnosis came in time");
	propose(2);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 0);
}

static void resolved_meanwhile(void **state)
{
	(void)state;
	first_failure();
	build_failed("resolved", 2, "\"sha\":\"bbbbbbbbbbbb\"", "");
	propose(2);
	world_tick(&w, 16 * MINUTE);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 0);
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 0);
}

#define COMMAND(id, verb) ",\"command\":{\"id\":\"" id "\",\"verb\":\"" verb "\",\"by\":\"kim\"}"

static void people_stop_and_start_it(void **state)
{
	(void)state;
	const char *sha = "\"sha\":\"aaaaaaaaaaaa\",\"pr\":\"7\"";
	first_failure();
	build_failed("open", 2, sha, COMMAND("c1", "stop"));
	propose(2);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 0);
	build_failed("open", 3, sha, COMMAND("c1", "stop"));
	assert_int_equal(world_outputs(&w, KIND_MODEL), 1);
	build_failed("open", 4, sha, COMMAND("c2", "retry"));
	assert_int_equal(world_outputs(&w, KIND_MODEL), 2);
	propose(2);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	json_t *plan = world_output(&w, KIND_PLAN, 0);
	assert_string_equal(text_of(plan, "requested_by"), "kim"); /* and may not approve it */
	json_decref(plan);
}

static void a_retry_forgives_attempts(void **state)
{
	(void)state;
	attempts_end(state);
	build_failed("open", 2, "\"sha\":\"aaaaaaaaaaaa\"", COMMAND("c1", "retry"));
	assert_int_equal(world_outputs(&w, KIND_MODEL), 4);
	propose(9);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 4);
}

static void a_push_of_theirs_ends_ours(void **state)
{
	(void)state;
	first_failure();
	propose(2);
	build_failed("open", 2, "\"sha\":\"cccccccccccc\",\"pr\":\"7\"", COMMAND("p1", "push"));
	world_outcome(&w, "failed", "a person pushed to topic", "");
	assert_int_equal(world_outputs(&w, KIND_MODEL), 1);
}

static void a_closed_incident_is_remembered(void **state)
{
	(void)state;
	first_failure();
	propose(2);
	world_outcome(&w, "failed", "no", "");
	propose(3);
	world_outcome(&w, "healed", "", "");
	build_failed("resolved", 2, "\"sha\":\"bbbbbbbbbbbb\"", "");
	auto_txn txn = store_begin_read(fold_store(w.f));
	struct arena a = {0};
	struct statistic_record *records = NULL;
	size_t n = 0;
	assert_int_equal(memory_count(txn), 1);
	assert_int_equal(statistics_for_type(txn, "c_compile", NULL, &a, &records, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(records[0].specialist, "atlas");
	assert_int_equal(records[0].s.successes, 1);
	assert_int_equal(records[0].s.failures, 1);
	arena_release(&a);
}

static void agent_reports(const char *patch)
{
	json_t *plan = world_output(&w, KIND_PLAN, -1);
	assert_non_null(plan);
	json_t *step =
		json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "incident", "i1", "plan_id",
			  text_of(plan, "id"), "step_id", "a1", "index", 0, "phase", "act", "state",
			  "done", "tool", "agent_x", "patch", patch);
	auto_free char *text = json_dumps(step, 0);
	world_send(&w, "step", "a1:done", text);
	world_outcome(&w, "healed", "", "");
	json_decref(step);
	json_decref(plan);
}

static void fork_failed(void)
{
	world_send(
		&w, "incident", "ci-fork",
		"{\"id\":\"i1\",\"key\":\"k1\",\"state\":\"open\",\"revision\":1,\"trusted\":true,"
		"\"severity\":\"error\",\"set_by\":\"monitor\",\"title\":\"build failed\","
		"\"labels\":{\"alertname\":\"CIFailure\",\"branch\":\"kim:topic\","
		"\"repository\":\"octo-org/octo.repo\"},\"events\":[{\"id\":\"e1\","
		"\"source\":\"github\",\"fingerprint\":\"0123456789abcdef\",\"status\":"
		"\"firing\",\"annotations\":{\"sha\":\"aaaaaaaaaaaa\",\"pr\":\"7\","
		"\"base\":\"main\"}}]}");
}

/* The one step of the last plan is a comment on pull request 7; its text. */
static char *comment_planned(void)
{
	json_t *plan = world_output(&w, KIND_PLAN, -1);
	assert_non_null(plan);
	json_t *steps = json_object_get(plan, "steps");
	assert_int_equal(json_array_size(steps), 1);
	assert_string_equal(text_of(json_array_get(steps, 0), "tool"), "pull_request_comment");
	assert_int_equal(number_of(json_object_get(json_array_get(steps, 0), "params"), "number"),
			 7);
	char *body = mem_strdup(param(plan, 0, "body"));
	json_decref(plan);
	return body;
}

static void a_fork_is_only_told(void **state)
{
	(void)state;
	fork_failed();
	propose(2);
	auto_free char *body = comment_planned();
	assert_non_null(strstr(body, "pushes nothing"));
	assert_non_null(strstr(body, "x is wrong"));
	assert_non_null(strstr(body, "- Evidence: `a.c:1: error: '‹/a› @ kim # 1`"));
	assert_non_null(strstr(body, "\n```\n<<<<<<< SEARCH a.c\nint x = 1;\n"));
	world_outcome(&w, "healed", "all steps done",
		      ",\"steps\":[{\"incident\":\"i1\",\"plan_id\":\"p\",\"step_id\":\"s\","
		      "\"index\":0,\"phase\":\"act\",\"state\":\"done\",\"url\":"
		      "\"https://github.example/7#c1\"}]");
	assert_reason_has("nothing is pushed to a fork");
	assert_reason_has("https://github.example/7#c1");
	world_tick(&w, 120 * MINUTE);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	assert_int_equal(world_outputs(&w, KIND_MODEL), 1);
	struct statistic s;
	const struct statistic_key key = {"c_compile", "atlas", ""};
	auto_txn txn = store_begin_read(fold_store(w.f));
	assert_int_equal(statistics_get(txn, &key, NULL, &s), 0);
	assert_int_equal(s.successes + s.failures, 0);
}

static void nothing_in_a_suggestion_ends_its_fence(void **state)
{
	(void)state;
	fork_failed();
	answer(",\"proposal\":\"{\\\"analysis\\\":\\\"x\\\",\\\"confidence\\\":0.5,"
	       "\\\"edits\\\":\\\"<<<<<<< SEARCH a.md\\\\nx\\\\n=======\\\\n````\\\\n@kim"
	       "\\\\n>>>>>>> REPLACE\\\\n\\\",\\\"title\\\":\\\"\\\",\\\"steps\\\":[],"
	       "\\\"give_up\\\":\\\"\\\"}\"");
	auto_free char *body = comment_planned();
	assert_non_null(strstr(body, "\n`````\n<<<<<<< SEARCH a.md\n"));
	assert_non_null(strstr(body, "REPLACE\n`````\n"));
	world_outcome(&w, "failed", "step failed: step 1: 403", "");
	assert_reason_has("403");
	assert_int_equal(world_outputs(&w, KIND_MODEL), 1);
}

static void no_agent_works_on_a_fork(void **state)
{
	(void)state;
	w.config.cases.agent_tool = (char *)"agent_x";
	fork_failed();
	answer(",\"task\":\"repair it\"");
	auto_free char *body = comment_planned();
	assert_non_null(strstr(body, "c_compile"));
	assert_null(strstr(body, "might help"));
}

static void an_agents_patch_is_proved_like_a_models(void **state)
{
	(void)state;
	w.config.cases.agent_tool = (char *)"agent_x";
	first_failure();
	answer(",\"reason\":\"no model\",\"task\":\"repair it\"");
	json_t *plan = world_output(&w, KIND_PLAN, 0);
	assert_string_equal(text_of(json_array_get(json_object_get(plan, "steps"), 0), "tool"),
			    "agent_x");
	assert_string_equal(param(plan, 0, "task"), "repair it");
	json_decref(plan);
	agent_reports("diff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-int x = 1;\n"
		      "+int x = 2;\n");
	plan = world_output(&w, KIND_PLAN, 1);
	assert_non_null(plan);
	assert_int_equal(number_of(plan, "attempt"), 1);
	assert_true(str_starts(param(plan, 0, "edits"), "diff --git"));
	json_decref(plan);
	world_outcome(&w, "failed", "no", "");
	assert_int_equal(world_outputs(&w, KIND_MODEL), 2);
}

static void an_agents_patch_of_git_itself_is_refused(void **state)
{
	(void)state;
	w.config.cases.agent_tool = (char *)"agent_x";
	first_failure();
	answer(",\"reason\":\"no model\",\"task\":\"repair it\"");
	agent_reports(
		"diff --git a/.git/config b/.git/config\n--- a/.git/config\n+++ b/.git/config\n"
		"@@ -1 +1 @@\n-a\n+b\n");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	assert_reason_has("refused");
}

static void a_restart_changes_nothing(void **state)
{
	(void)state;
	first_failure();
	world_restart(&w);
	propose(2);
	world_restart(&w);
	world_outcome(&w, "failed", "no", "");
	assert_int_equal(world_outputs(&w, KIND_MODEL), 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(asks_when_no_runbook_answers),
		T(others_are_escalated_at_once),
		T(edits_become_three_steps),
		T(a_branch_of_its_own_without_pull_request),
		T(the_next_question_knows_what_failed),
		T(what_expired_may_be_proposed_again),
		T(what_could_not_be_tried_is_no_attempt),
		T(what_failed_before_and_after_counts),
		T(a_fork_is_only_told),
		T(nothing_in_a_suggestion_ends_its_fence),
		T(no_agent_works_on_a_fork),
		T(the_same_again_is_refused),
		T(attempts_end),
		T(a_newer_failure_after_the_fix_asks_again),
		T(green_is_the_end),
		T(no_proposal_is_told_with_what_was_found),
		T(memory_helps_without_a_model),
		T(a_vague_memory_does_not),
		T(silence_is_told),
		T(resolved_meanwhile),
		T(people_stop_and_start_it),
		T(a_retry_forgives_attempts),
		T(a_push_of_theirs_ends_ours),
		T(a_closed_incident_is_remembered),
		T(an_agents_patch_is_proved_like_a_models),
		T(an_agents_patch_of_git_itself_is_refused),
		T(a_restart_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
