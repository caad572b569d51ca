#include "tests/unit/reasoner/world.h"

static const char runbook[] = "name: one\n"
			      "description: one way\n"
			      "match: ['alertname=\"Down\"']\n"
			      "attempts:\n"
			      "  - {why: 'x', steps: [{tool: service_restart, target: web}]}\n"
			      "cooldown: 5m\n"
			      "resolve_within: 10m\n";

static struct world w;

static int setup(void **state)
{
	(void)state;
	world_open(&w, runbook);
	w.config.cases.max_open_plans = 3;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static void open_incidents(int n)
{
	for (int i = 0; i < n; i++) {
		auto_free char *id = mem_printf("i%d", i);
		auto_free char *key = mem_printf("k%d", i);
		world_incident(&w, id, key, "open", 1, "");
	}
}

static void assert_last_plan(const char *incident)
{
	json_t *plan = world_output(&w, KIND_PLAN, -1);
	assert_string_equal(text_of(plan, "incident"), incident);
	json_decref(plan);
}

static void the_rest_waits_in_order(void **state)
{
	(void)state;
	open_incidents(12);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 3);
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 1); /* told once */
	for (int i = 3; i < 12; i++) {
		auto_free char *next = mem_printf("i%d", i);
		world_outcome(&w, "healed", "", "");
		assert_int_equal(world_outputs(&w, KIND_PLAN), i + 1);
		assert_last_plan(next);
	}
	world_outcome(&w, "healed", "", "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 12);
	json_t *storm = world_output(&w, KIND_INCIDENT, -1);
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 2);
	assert_string_equal(text_of(storm, "state"), "resolved");
	json_decref(storm);
}

static void the_storm_is_told_once(void **state)
{
	(void)state;
	open_incidents(6);
	json_t *storm = world_output(&w, KIND_INCIDENT, 0);
	assert_string_equal(text_of(storm, "state"), "escalated");
	assert_non_null(strstr(text_of(storm, "reason"), "3 plans are under way"));
	assert_string_equal(text_of(json_object_get(storm, "labels"), "alertname"),
			    "HealbusStormGuard");
	json_decref(storm);
	world_restart(&w);
	world_incident(&w, "j", "kj", "open", 1, "");
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 1);
}

static void resolved_while_waiting(void **state)
{
	(void)state;
	open_incidents(6);
	world_incident(&w, "i3", "k3", "resolved", 2, "");
	world_outcome(&w, "healed", "", "");
	assert_last_plan("i4");
	world_incident(&w, "i3", "k3", "open", 3, "");
	world_outcome(&w, "healed", "", "");
	assert_last_plan("i5");
	world_outcome(&w, "healed", "", "");
	assert_last_plan("i3");
}

static void lost_plans_make_room(void **state)
{
	(void)state;
	open_incidents(4);
	world_tick(&w, 76 * 60000);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 4);
	assert_last_plan("i3");
}

static void undo_does_not_wait(void **state)
{
	(void)state;
	open_incidents(3);
	world_outcome(&w, "healed", "",
		      ",\"changes\":[{\"id\":\"c1\",\"tool\":\"t\",\"target\":\"web\",\"undo\":{"
		      "\"tool\":\"t\",\"target\":\"web\"}}]");
	open_incidents(0);
	world_incident(&w, "j1", "kj", "open", 1, "");
	world_incident(&w, "j2", "kk", "open", 1, "");
	world_send(&w, "control", "u",
		   "{\"id\":\"u\",\"kind\":\"undo\",\"incident\":\"i2\",\"change\":\"c1\"}");
	assert_last_plan("i2");
}

static void cooldown_between_plans_of_a_key(void **state)
{
	(void)state;
	open_incidents(1);
	world_outcome(&w, "failed", "", "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	world_tick(&w, 4 * 60000);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	world_tick(&w, 61000);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
	json_t *plan = world_output(&w, KIND_PLAN, -1);
	assert_int_equal(number_of(plan, "created_at_ms"), START_MS + 5 * 60000);
	json_decref(plan);
}

static void resolved_while_cooling(void **state)
{
	(void)state;
	open_incidents(1);
	world_outcome(&w, "failed", "", "");
	world_incident(&w, "i0", "k0", "resolved", 2, "");
	world_tick(&w, 3600000);
	assert_int_equal(w.out.n, 1);
}

/* A new incident of a key waits for the plan that its predecessor still has under way. */
static void one_plan_a_key(void **state)
{
	(void)state;
	open_incidents(1);
	world_incident(&w, "i0", "k0", "resolved", 2, "");
	world_incident(&w, "i0b", "k0", "open", 1, "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	world_outcome(&w, "failed", "", "");
	world_tick(&w, 4 * 60000);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	world_tick(&w, 2 * 60000);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
	assert_last_plan("i0b");
}

static void human_takes_a_waiting_one(void **state)
{
	(void)state;
	open_incidents(5);
	world_send(&w, "control", "c", "{\"id\":\"c\",\"kind\":\"ack\",\"incident\":\"i3\"}");
	world_outcome(&w, "healed", "", "");
	assert_last_plan("i4");
}

static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	TEST(the_rest_waits_in_order),   TEST(the_storm_is_told_once),
	TEST(resolved_while_waiting),    TEST(lost_plans_make_room),
	TEST(undo_does_not_wait),        TEST(cooldown_between_plans_of_a_key),
	TEST(resolved_while_cooling),    TEST(one_plan_a_key),
	TEST(human_takes_a_waiting_one),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
