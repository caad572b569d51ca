#include "tests/unit/reasoner/world.h"

static const char runbook[] = "name: one\n"
			      "description: one way\n"
			      "match: ['alertname=\"Down\"']\n"
			      "attempts:\n"
			      "  - {why: 'x', steps: [{tool: deploy_rollback, target: web}]}\n"
			      "cooldown: 0\n";

static const char change[] = ",\"changes\":[{\"id\":\"c1\",\"tool\":\"deploy_rollback\",\"target\":"
			     "\"web\",\"what\":\"deploy web 41\",\"undo\":{\"tool\":"
			     "\"deploy_rollback\",\"target\":\"web\",\"params\":{\"to\":\"42\","
			     "\"n\":7},\"timeout_ms\":5000}},{\"id\":\"c2\",\"tool\":"
			     "\"clean_tmp\",\"target\":\"web\",\"what\":\"rm\"}]";

static const char undo[] = "{\"id\":\"u1\",\"kind\":\"undo\",\"by\":\"alice\",\"reason\":"
			   "\"wrong\",\"incident\":\"i1\",\"change\":\"c1\"}";

static struct world w;

static int setup(void **state)
{
	(void)state;
	world_open(&w, runbook);
	world_incident(&w, "i1", "k1", "open", 1, "");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static void healed(const char *more)
{
	world_outcome(&w, "healed", "", more);
	world_incident(&w, "i1", "k1", "resolved", 2, "");
}

static void undo_makes_a_plan(void **state)
{
	(void)state;
	healed(change);
	world_send(&w, "control", "u1", undo);
	json_t *plan = world_output(&w, KIND_PLAN, 1);
	assert_non_null(plan);
	assert_string_equal(text_of(plan, "provenance"), "undo");
	assert_string_equal(text_of(plan, "undoes"), "c1");
	assert_string_equal(text_of(plan, "requested_by"), "alice");
	assert_string_equal(text_of(plan, "why"),
			    "alice asked to take back: deploy web 41 (wrong)");
	assert_true(json_is_true(json_object_get(plan, "trusted")));
	auto_free char *steps = json_dumps(json_object_get(plan, "steps"), JSON_COMPACT);
	assert_string_equal(steps, "[{\"tool\":\"deploy_rollback\",\"target\":\"web\",\"params\":{"
				   "\"to\":\"42\",\"n\":7},\"timeout_ms\":5000}]");
	json_decref(plan);
}

static void undo_runs_once(void **state)
{
	(void)state;
	healed(change);
	world_send(&w, "control", "u1", undo);
	world_send(&w, "control", "u1", undo);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
	assert_int_equal(world_outputs(&w, KIND_DEAD), 0);
	/* Another request for the same change is told why not. */
	world_send(&w, "control", "u2",
		   "{\"id\":\"u2\",\"kind\":\"undo\",\"incident\":\"i1\",\"change\":\"c1\"}");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
	json_t *dead = world_output(&w, KIND_DEAD, -1);
	assert_non_null(strstr(text_of(dead, "error"), "control.change: c1 is taken back by plan"));
	json_decref(dead);
}

static void undo_that_cannot_be(void **state)
{
	(void)state;
	static const struct {
		const char *json;
		const char *error;
	} rows[] = {
		{"{\"id\":\"u1\",\"kind\":\"undo\",\"incident\":\"i1\",\"change\":\"zz\"}",
		 "control.change: zz is not known"},
		{"{\"id\":\"u1\",\"kind\":\"undo\",\"incident\":\"i1\"}",
		 "control.change: missing"},
		{"{\"id\":\"u1\",\"kind\":\"undo\",\"incident\":\"i1\",\"change\":\"c2\"}",
		 "control.change: c2 cannot be undone"},
		{"{\"id\":\"u1\",\"kind\":\"undo\",\"incident\":\"i2\",\"change\":\"c1\"}",
		 "control.incident: change c1 belongs to i1"},
	};
	healed(change);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_free char *id = mem_printf("m%zu", i);
		world_send(&w, "control", id, rows[i].json);
		json_t *dead = world_output(&w, KIND_DEAD, -1);
		assert_non_null(dead);
		if (!strstr(text_of(dead, "error"), rows[i].error))
			fail_msg("%s: %s", rows[i].error, text_of(dead, "error"));
		json_decref(dead);
	}
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
}

static void undo_that_fails_can_be_asked_again(void **state)
{
	(void)state;
	healed(change);
	world_send(&w, "control", "u1", undo);
	world_outcome(&w, "failed", "no such release", "");
	json_t *told = world_output(&w, KIND_INCIDENT, -1);
	assert_non_null(strstr(text_of(told, "reason"), "did not work: no such release"));
	json_decref(told);
	world_send(&w, "control", "u2",
		   "{\"id\":\"u2\",\"kind\":\"undo\",\"incident\":\"i1\",\"change\":\"c1\"}");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 3);
	world_outcome(&w, "healed", "", "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 3);
}

/* A human was told about this incident already, but not of this. */
static void undo_that_fails_after_escalation(void **state)
{
	(void)state;
	world_outcome(&w, "denied", "", change);
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 1);
	world_send(&w, "control", "u1", undo);
	world_outcome(&w, "failed", "no such release", "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 2);
	json_t *told = world_output(&w, KIND_INCIDENT, -1);
	assert_non_null(strstr(text_of(told, "reason"), "did not work: no such release"));
	json_decref(told);
}

/* Whoever takes a change back does not want it made again. */
static void undo_ends_the_case(void **state)
{
	(void)state;
	world_outcome(&w, "healed", "", change);
	world_send(&w, "control", "u1", undo);
	world_outcome(&w, "healed", "", "");
	world_tick(&w, 3600000);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 0);
}

static void undo_of_a_forgotten_case(void **state)
{
	(void)state;
	healed(change);
	world_tick(&w, INT64_C(8) * 86400000);
	world_send(&w, "control", "u1", undo);
	json_t *plan = world_output(&w, KIND_PLAN, 1);
	assert_string_equal(text_of(plan, "incident_key"), "k1");
	assert_false(json_is_true(json_object_get(plan, "trusted")));
	json_decref(plan);
}

/* What is remembered on purpose: how it went, for the next one like it. */
static bool is_experience(const struct store_table *table)
{
	return str_starts(table->name, "memor") || str_starts(table->name, "statistics");
}

static void changes_are_forgotten(void **state)
{
	(void)state;
	healed(change);
	world_tick(&w, INT64_C(31) * 86400000);
	world_send(&w, "control", "u1", undo);
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	struct store_txn *txn = store_begin_read(fold_store(w.f));
	for (size_t i = 0; i < cases_fold.n_tables; i++)
		if (!is_experience(cases_fold.tables[i]))
			assert_int_equal(store_count(txn, cases_fold.tables[i]), 0);
	store_end(txn);
}

static void outcome_of_another_incident(void **state)
{
	(void)state;
	world_outcome(&w, "healed", "", ",\"incident\":\"i9\"");
	json_t *dead = world_output(&w, KIND_DEAD, 0);
	assert_non_null(strstr(text_of(dead, "error"), "outcome.incident: plan"));
	json_decref(dead);
}

static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	TEST(undo_makes_a_plan),
	TEST(undo_runs_once),
	TEST(undo_that_cannot_be),
	TEST(undo_that_fails_can_be_asked_again),
	TEST(undo_that_fails_after_escalation),
	TEST(undo_ends_the_case),
	TEST(undo_of_a_forgotten_case),
	TEST(changes_are_forgotten),
	TEST(outcome_of_another_incident),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
