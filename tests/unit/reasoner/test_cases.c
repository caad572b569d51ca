/* A case from its first plan to its last attempt. Whether what healed lasts: test_lasting. */
#include "tests/unit/reasoner/cases_kit.h"

static void first_plan(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	json_t *plan = world_output(&w, KIND_PLAN, 0);
	json_t *rb = json_object_get(plan, "runbook_digest");
	assert_int_equal(strlen(json_string_value(rb)), 16);
	json_object_del(plan, "runbook_digest");
	auto_free char *text = json_dumps(plan, JSON_COMPACT | JSON_SORT_KEYS);
	char id[ID_BYTES];
	id_make(id, "plan", "i1", "1", "runbook");
	auto_free char *want = mem_printf(
		"{\"attempt\":1,\"confidence\":0.80000000000000004,\"created_at_ms\":%" PRId64
		",\"id\":\"%s\",\"incident\":\"i1\",\"incident_key\":\"k1\",\"labels\":{"
		"\"alertname\":\"Down\",\"service\":\"web\"},\"max_attempts\":3,\"not_after_ms\":"
		"%" PRId64 ",\"provenance\":\"runbook\",\"rollback_on_failure\":false,"
		"\"runbook\":\"three\",\"severity\":\"critical\",\"steps\":[{\"params\":{},"
		"\"target\":\"web\","
		"\"tool\":\"service_restart\"}],\"tried\":[],\"trusted\":true,\"why\":\"first\"}",
		START_MS, id, START_MS + 3600000);
	assert_string_equal(text, want);
	assert_string_equal(w.out.items[0].id, "i1-1@1:reasoner:0");
	json_decref(plan);
}

static void updates_and_repeats_change_nothing(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	world_incident(&w, "i1", "k1", "open", 2, "");
	world_incident(&w, "i1", "k1", "open", 1, "");
	assert_int_equal(w.out.n, 1);
}

static void untrusted_is_copied(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, ",\"trusted\":false");
	json_t *plan = world_output(&w, KIND_PLAN, 0);
	assert_true(json_is_false(json_object_get(plan, "trusted")));
	json_decref(plan);
}

static void next_attempt_knows_what_failed(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	world_outcome(&w, "failed", "exit code 1", "");
	assert_string_equal(plan_tool(1), "service_stop");
	json_t *plan = world_output(&w, KIND_PLAN, 1);
	auto_free char *tried = json_dumps(json_object_get(plan, "tried"), JSON_COMPACT);
	assert_int_equal(number_of(plan, "attempt"), 2);
	assert_non_null(strstr(tried, "\"verdict\":\"failed\",\"reason\":\"exit code 1\","
				      "\"what\":\"service_restart(web)\""));
	assert_non_null(strstr(text_of(plan, "why"), "second\nTried before:\n1. service_restart"
						     "(web): exit code 1"));
	json_decref(plan);
}

static void three_failures_escalate_once(void **state)
{
	(void)state;
	static const char *const verdicts[] = {"failed", "rolled_back", "unknown"};
	world_incident(&w, "i1", "k1", "open", 1, "");
	for (size_t i = 0; i < 3; i++)
		world_outcome(&w, verdicts[i], "no", "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 3);
	assert_string_equal(plan_tool(2), "service_start");
	assert_escalated(1, "3 attempts did not help\nAsk web. Tried 3.");
	json_t *told = world_output(&w, KIND_INCIDENT, 0);
	assert_int_equal(json_array_size(json_object_get(told, "tried")), 3);
	json_decref(told);
	world_incident(&w, "i1", "k1", "open", 2, "");
	world_outcome(&w, "failed", "again", "");
	assert_int_equal(w.out.n, 4);
}

static void no_runbook_escalates(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, ",\"labels\":{\"alertname\":\"Other\"}");
	assert_escalated(1, "no runbook answers this incident");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 0);
}

static void no_target_escalates(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, ",\"labels\":{\"alertname\":\"Down\"}");
	assert_escalated(1, "runbook three: steps[0]: service_restart: no target");
}

static void hostile_label_is_no_target(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1,
		       ",\"labels\":{\"alertname\":\"Down\",\"service\":\"x; rm -rf /\"}");
	assert_escalated(1, "is not the id of an inventory entry");
	world_incident(&w, "i2", "k2", "open", 1,
		       ",\"labels\":{\"alertname\":\"Down\",\"service\":\"{{ .x }}\"}");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 0);
}

static void refused_and_denied_escalate_at_once(void **state)
{
	(void)state;
	static const char *const verdicts[] = {"refused", "denied", "rollback_failed"};
	for (size_t i = 0; i < 3; i++) {
		auto_free char *id = mem_printf("i%zu", i);
		auto_free char *key = mem_printf("k%zu", i);
		world_incident(&w, id, key, "open", 1, "");
		world_outcome(&w, verdicts[i], "policy: tool unknown", "");
		assert_escalated(i + 1, "the plan was stopped: policy: tool unknown");
	}
	assert_int_equal(world_outputs(&w, KIND_PLAN), 3);
}

/* An interrupted step without a check is a human's, unless once more does no harm. */
static void what_nobody_saw_end_is_not_repeated(void **state)
{
	(void)state;
#define REPORT(phase, state)                                                                       \
	"{\"incident\":\"i\",\"plan_id\":\"p\",\"step_id\":\"s\",\"index\":0,\"phase\":\"" phase   \
	"\",\"state\":\"" state "\"}"
	static const struct {
		const char *steps;
		bool again;
	} rows[] = {
		{",\"steps\":[" REPORT("act", "unknown") "]", false},
		{",\"steps\":[" REPORT("act", "unknown") "," REPORT("verify", "failed") "]", true},
		{"", true}, /* nothing was started */
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_free char *id = mem_printf("i%zu", i);
		auto_free char *key = mem_printf("k%zu", i);
		size_t plans = world_outputs(&w, KIND_PLAN);
		size_t told = world_outputs(&w, KIND_INCIDENT);
		world_incident(&w, id, key, "open", 1, "");
		world_outcome(&w, "unknown", "nobody knows how it ended: step 1", rows[i].steps);
		assert_int_equal(world_outputs(&w, KIND_PLAN) - plans, rows[i].again ? 2 : 1);
		assert_int_equal(world_outputs(&w, KIND_INCIDENT) - told, rows[i].again ? 0 : 1);
	}
}

static void observed_and_rehearsed_do_nothing(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	world_outcome(&w, "rehearsed", "dry run", "");
	world_tick(&w, 1000);
	world_outcome(&w, "observed", "autonomy observe", "");
	world_tick(&w, 100 * MINUTE);
	assert_int_equal(w.out.n, 1);
}

static void expired_gets_one_new_plan(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	world_outcome(&w, "expired", "too late", "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
	assert_string_equal(plan_tool(1), "service_restart");
	world_outcome(&w, "expired", "too late", "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
	assert_escalated(1, "too late");
}

static void closed_incident_gets_no_further_attempt(void **state)
{
	(void)state;
	static const char *const states[] = {"resolved", "suppressed"};
	for (size_t i = 0; i < 2; i++) {
		auto_free char *id = mem_printf("i%zu", i);
		auto_free char *key = mem_printf("k%zu", i);
		world_incident(&w, id, key, "open", 1, "");
		world_incident(&w, id, key, states[i], 2, "");
		world_outcome(&w, "failed", "no", "");
		assert_int_equal(w.out.n, i + 1);
	}
	/* The silence ends, and it still fires: the next way. */
	world_incident(&w, "i1", "k1", "open", 3, "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 3);
	assert_string_equal(plan_tool(-1), "service_stop");
}

static void lost_plan_escalates(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	world_tick(&w, 74 * MINUTE);
	assert_int_equal(w.out.n, 1);
	world_tick(&w, 2 * MINUTE);
	assert_escalated(1, "nobody executed the plan");
	world_outcome(&w, "healed", "late", "");
	assert_int_equal(w.out.n, 2);
}

static void send_report(const char *step)
{
	json_t *plan = world_output(&w, KIND_PLAN, -1);
	auto_free char *json = mem_printf("{\"incident\":\"i1\",\"plan_id\":\"%s\",\"step_id\":"
					  "\"%s\",\"state\":\"started\",\"phase\":\"act\"}",
					  text_of(plan, "id"), step);
	json_decref(plan);
	world_send(&w, "step", step, json);
}

static void started_plan_is_given_time(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	w.now_ms += 70 * MINUTE;
	send_report("s1");
	struct world_message first = w.in.items[w.in.n - 1];
	w.now_ms += 4 * MINUTE;
	send_report("s2");
	world_feed(&w, &first); /* redelivered: it does not shorten the wait */
	world_tick(&w, 14 * MINUTE);
	assert_int_equal(w.out.n, 1);
	world_tick(&w, 2 * MINUTE);
	assert_escalated(1, "how it ended is not known");
}

static void human_takes_it(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	world_send(&w, "control", "c1", "{\"id\":\"c1\",\"kind\":\"ack\",\"incident\":\"i1\"}");
	world_outcome(&w, "failed", "no", "");
	world_tick(&w, 100 * MINUTE);
	assert_int_equal(w.out.n, 1);
}

static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	TEST(first_plan),
	TEST(updates_and_repeats_change_nothing),
	TEST(untrusted_is_copied),
	TEST(next_attempt_knows_what_failed),
	TEST(three_failures_escalate_once),
	TEST(no_runbook_escalates),
	TEST(no_target_escalates),
	TEST(hostile_label_is_no_target),
	TEST(refused_and_denied_escalate_at_once),
	TEST(what_nobody_saw_end_is_not_repeated),
	TEST(observed_and_rehearsed_do_nothing),
	TEST(expired_gets_one_new_plan),
	TEST(closed_incident_gets_no_further_attempt),
	TEST(lost_plan_escalates),
	TEST(started_plan_is_given_time),
	TEST(human_takes_it),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
