/* What the reasoner asks, and what it does with the answer. */
#include "reasoner/memory/memory.h"
#include "reasoner/memory/statistics.h"
#include "tests/unit/reasoner/asked.h"

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
		T(a_restart_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
