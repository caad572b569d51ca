#include "reasoner/memory/memory_private.h"
#include "tests/unit/reasoner/world.h"

#define CALL(tool) "{tool: " tool "}"

static const char three_ways[] =
	"name: three\n"
	"description: three ways\n"
	"match: ['alertname=\"Down\"']\n"
	"target: '{{ .labels.service }}'\n"
	"attempts:\n"
	"  - {why: 'first', steps: [" CALL(
		"service_restart") "]}\n"
				   "  - {why: 'second', steps: [" CALL(
					   "service_stop") "]}\n"
							   "  - {why: 'third', steps: [" CALL(
								   "service_start") "]}\n"
										    "cooldown: 0\n"
										    "effective_"
										    "window: 30m\n"
										    "resolve_"
										    "within: 10m\n"
										    "escalate: "
										    "'Ask {{ "
										    ".labels."
										    "service }}. "
										    "Tried {{ "
										    ".tried | "
										    "length }}.'\n";

#define MINUTE 60000

static struct world w;

static int setup(void **state)
{
	(void)state;
	world_open(&w, three_ways);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static const char *plan_tool(int n)
{
	static char tool[64];
	json_t *plan = world_output(&w, KIND_PLAN, n);
	snprintf(tool, sizeof(tool), "%s",
		 plan ? text_of(json_array_get(json_object_get(plan, "steps"), 0), "tool") : "");
	json_decref(plan);
	return tool;
}

/* How many escalations; the last one's reason must contain `text`. */
static void assert_escalated(size_t n, const char *text)
{
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), n);
	json_t *told = world_output(&w, KIND_INCIDENT, -1);
	assert_string_equal(text_of(told, "state"), "escalated");
	assert_string_equal(text_of(told, "set_by"), "reasoner");
	if (!strstr(text_of(told, "reason"), text))
		fail_msg("\"%s\" is not in \"%s\"", text, text_of(told, "reason"));
	json_decref(told);
}

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

static void healed_and_resolved_is_quiet(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	world_outcome(&w, "healed", "", "");
	world_incident(&w, "i1", "k1", "resolved", 2, "");
	world_tick(&w, 31 * MINUTE);
	/* After the window it is a new problem: the first way again. */
	world_incident(&w, "i2", "k1", "open", 1, "");
	assert_int_equal(w.out.n, 2);
	assert_string_equal(plan_tool(1), "service_restart");
}

static void healed_but_still_firing_is_a_failure(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	world_outcome(&w, "healed", "", "");
	world_tick(&w, 9 * MINUTE);
	assert_int_equal(w.out.n, 1);
	world_tick(&w, 2 * MINUTE);
	assert_string_equal(plan_tool(1), "service_stop");
	json_t *plan = world_output(&w, KIND_PLAN, 1);
	json_t *last = json_array_get(json_object_get(plan, "tried"), 0);
	assert_string_equal(text_of(last, "reason"),
			    "healed, but still firing 10m later; fix 1 of 5 in a row that did not "
			    "last");
	json_decref(plan);
}

/* A window shorter than the wait for "resolved" does not hide that the fix was useless. */
static void short_window(void **state)
{
	(void)state;
	runbooks_free(w.config.cases.runbooks);
	world_write(&w, "one.yaml",
		    "name: s\ndescription: d\nmatch: ['alertname=\"Down\"']\ntarget: t\n"
		    "attempts: [{why: w, steps: [{tool: t}]}]\ncooldown: 0\n"
		    "effective_window: 1m\nresolve_within: 10m\nmax_attempts: 2\n");
	world_load(&w);
	world_incident(&w, "i1", "k1", "open", 1, "");
	world_outcome(&w, "healed", "", "");
	world_tick(&w, 11 * MINUTE);
	json_t *plan = world_output(&w, KIND_PLAN, 1);
	json_t *last = json_array_get(json_object_get(plan, "tried"), 0);
	assert_non_null(strstr(text_of(last, "reason"), "still firing 10m later; fix 1 of 5"));
	json_decref(plan);
}

static void return_starts_with_the_next_way(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	world_outcome(&w, "healed", "", "");
	world_incident(&w, "i1", "k1", "resolved", 2, "");
	w.now_ms += 4 * MINUTE;
	world_incident(&w, "i2", "k1", "open", 1, "");
	assert_string_equal(plan_tool(1), "service_stop");
	json_t *plan = world_output(&w, KIND_PLAN, 1);
	assert_int_equal(number_of(plan, "attempt"), 1);
	json_t *last = json_array_get(json_object_get(plan, "tried"), 0);
	assert_string_equal(text_of(last, "what"), "service_restart(web)");
	assert_non_null(strstr(text_of(last, "reason"), "came back after 4m; fix 1 of 5"));
	assert_non_null(strstr(text_of(plan, "why"), "came back after 4m"));
	json_decref(plan);
}

static bool remembered_healed(const char *incident)
{
	struct memory_place place = {0};
	struct store_val val = {0};
	auto_txn txn = store_begin_read(fold_store(w.f));
	assert_int_equal(store_get_str(txn, &table_memory_places, incident, &val), 0);
	memcpy(&place, val.data, MIN(val.len, sizeof(place)));
	return place.healed;
}

static void say_held(const char *id, const char *incident, bool held)
{
	auto_free char *json = mem_printf("{\"id\":\"%s\",\"kind\":\"feedback\",\"by\":\"ann\","
					  "\"incident\":\"%s\",\"held\":%s}",
					  id, incident, held ? "true" : "false");
	world_send(&w, "control", id, json);
}

/* What people say afterwards counts: once, and for the memory that the incident became. */
static void feedback_counts(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	world_outcome(&w, "healed", "", "");
	world_incident(&w, "i1", "k1", "resolved", 2, "");
	assert_true(remembered_healed("i1"));
	say_held("f1", "i1", true);
	assert_true(remembered_healed("i1"));
	say_held("f2", "i1", false);
	assert_false(remembered_healed("i1"));
	say_held("f3", "i1", false);
	say_held("f4", "nobody", false);
	assert_false(remembered_healed("i1"));
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
}

/* A fix that succeeds and is useless, over and over: it ends (five plans here), survives restarts,
 * and starts again only after a human or a quiet window. */
static size_t useless_rounds(size_t rounds, size_t from)
{
	for (size_t i = from; i < from + rounds; i++) {
		auto_free char *id = mem_printf("r%zu", i);
		size_t plans = world_outputs(&w, KIND_PLAN);
		world_incident(&w, id, "k1", "open", 1, "");
		if (world_outputs(&w, KIND_PLAN) > plans)
			world_outcome(&w, "healed", "", "");
		w.now_ms += MINUTE;
		world_incident(&w, id, "k1", "resolved", 2, "");
		w.now_ms += 4 * MINUTE;
		world_restart(&w);
	}
	return world_outputs(&w, KIND_PLAN);
}

static void useless_fixes_end(void **state)
{
	(void)state;
	assert_int_equal(useless_rounds(20, 0), 5);
	assert_escalated(15, "the last 5 fixes of this problem did not last");
}

static void ack_lets_it_try_again(void **state)
{
	(void)state;
	assert_int_equal(useless_rounds(7, 0), 5);
	world_send(&w, "control", "c1", "{\"id\":\"c1\",\"kind\":\"ack\",\"incident\":\"r6\"}");
	assert_int_equal(useless_rounds(1, 7), 6);
}

static void quiet_window_lets_it_try_again(void **state)
{
	(void)state;
	assert_int_equal(useless_rounds(7, 0), 5);
	world_tick(&w, 20 * MINUTE);
	assert_int_equal(useless_rounds(1, 7), 5);
	world_tick(&w, 31 * MINUTE);
	assert_int_equal(useless_rounds(1, 8), 6);
}

/* An inconclusive outcome, and the alert comes back by itself: bounded as well. */
static void inconclusive_rounds_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < 20; i++) {
		auto_free char *id = mem_printf("r%zu", i);
		size_t plans = world_outputs(&w, KIND_PLAN);
		world_incident(&w, id, "k1", "open", 1, "");
		for (size_t n = plans; world_outputs(&w, KIND_PLAN) > n;) {
			n = world_outputs(&w, KIND_PLAN);
			world_outcome(&w, "unknown", "", "");
		}
		world_incident(&w, id, "k1", "resolved", 2, "");
		w.now_ms += MINUTE;
	}
	assert_int_equal(world_outputs(&w, KIND_PLAN), 5 * 3);
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 20);
}

/* The same incident flips several times a second. */
static void flipping_incident_ends(void **state)
{
	(void)state;
	for (int i = 0; i < 300; i++) {
		size_t plans = world_outputs(&w, KIND_PLAN);
		world_incident(&w, "i1", "k1", i % 2 ? "resolved" : "open", i + 1, "");
		if (world_outputs(&w, KIND_PLAN) > plans)
			world_outcome(&w, "healed", "", "");
		w.now_ms += 100;
	}
	assert_int_equal(world_outputs(&w, KIND_PLAN), 3);
	assert_escalated(1, "3 attempts did not help");
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
	TEST(healed_and_resolved_is_quiet),
	TEST(healed_but_still_firing_is_a_failure),
	TEST(short_window),
	TEST(return_starts_with_the_next_way),
	TEST(feedback_counts),
	TEST(useless_fixes_end),
	TEST(ack_lets_it_try_again),
	TEST(quiet_window_lets_it_try_again),
	TEST(inconclusive_rounds_end),
	TEST(flipping_incident_ends),
	TEST(human_takes_it),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
