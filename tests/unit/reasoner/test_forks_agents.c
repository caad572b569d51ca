/* Pull requests from forks, which are only told; and what an agent leaves. */
#include "reasoner/memory/statistics.h"
#include "tests/unit/reasoner/asked.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_fork_is_only_told),
		T(nothing_in_a_suggestion_ends_its_fence),
		T(no_agent_works_on_a_fork),
		T(an_agents_patch_is_proved_like_a_models),
		T(an_agents_patch_of_git_itself_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
