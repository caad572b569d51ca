/* Whether a fix lasts, and that rounds of fixes that do not last come to an end. */
#include "reasoner/memory/memory_private.h"
#include "tests/unit/reasoner/cases_kit.h"

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

static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
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
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
