/* What an agent asks for becomes a plan of its own, once. */
#include "tests/unit/reasoner/world.h"

static const char runbook[] = "name: one\n"
			      "description: one way\n"
			      "match: ['alertname=\"Down\"']\n"
			      "attempts:\n"
			      "  - {why: 'x', steps: [{tool: deploy_rollback, target: web}]}\n"
			      "cooldown: 0\n";

#define CALL(id, incident, more)                                                                   \
	"{\"id\":\"" id "\",\"kind\":\"call\",\"by\":\"agent:robin\",\"incident\":\"" incident     \
	"\",\"call\":{\"tool\":\"reload\",\"target\":\"web\",\"params\":{\"n\":7}}" more "}"

static struct world w;

static int setup(void **state)
{
	(void)state;
	world_open(&w, runbook);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static bool is_trusted(const json_t *plan)
{
	return json_is_true(json_object_get(plan, "trusted"));
}

static void a_call_is_a_plan(void **state)
{
	(void)state;
	char id[ID_BYTES];
	world_send(&w, "control", "c1", CALL("c1", "x1", ",\"trusted\":true"));
	json_t *plan = world_output(&w, KIND_PLAN, 0);
	assert_non_null(plan);
	id_make(id, "plan", "x1", "call", "c1");
	assert_string_equal(text_of(plan, "id"), id);
	assert_string_equal(text_of(plan, "provenance"), "agent");
	assert_string_equal(text_of(plan, "requested_by"), "agent:robin");
	assert_string_equal(text_of(plan, "why"), "agent:robin asked for reload on web");
	auto_free char *steps = json_dumps(json_object_get(plan, "steps"), JSON_COMPACT);
	assert_string_equal(steps,
			    "[{\"tool\":\"reload\",\"target\":\"web\",\"params\":{\"n\":7}}]");
	assert_true(is_trusted(plan));
	json_decref(plan);
	/* Said again, it is no second plan. */
	world_send(&w, "control", "c1-again", CALL("c1", "x1", ",\"trusted\":true"));
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	assert_int_equal(world_outputs(&w, KIND_DEAD), 0);
}

static void trust_is_both_of_them(void **state)
{
	static const struct {
		const char *incident; /* more of it; NULL: there is none */
		const char *call;
		bool trusted;
	} t[] = {
		{NULL, CALL("c1", "i1", ""), false},
		{NULL, CALL("c1", "i1", ",\"trusted\":true"), true},
		{"", CALL("c1", "i1", ",\"trusted\":true"), true},
		{"", CALL("c1", "i1", ""), false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		int before;
		if (t[i].incident)
			world_incident(&w, "i1", "k1", "open", 1, t[i].incident);
		before = (int)world_outputs(&w, KIND_PLAN);
		world_send(&w, "control", "c1", t[i].call);
		json_t *plan = world_output(&w, KIND_PLAN, before);
		assert_non_null(plan);
		assert_int_equal(is_trusted(plan), t[i].trusted);
		assert_string_equal(text_of(plan, "incident_key"), t[i].incident ? "k1" : "i1");
		json_decref(plan);
		teardown(NULL);
		setup(NULL);
	}
}

/* The case goes on as if nobody had asked. */
static void a_call_is_no_attempt(void **state)
{
	(void)state;
	world_incident(&w, "i1", "k1", "open", 1, "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 1);
	world_send(&w, "control", "c1", CALL("c1", "i1", ""));
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
	world_outcome(&w, "failed", "no", "");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 2);
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), 0);
}

static void what_says_no_call_is_refused(void **state)
{
	(void)state;
	world_send(&w, "control", "c1", "{\"id\":\"c1\",\"kind\":\"call\",\"incident\":\"i1\"}");
	assert_int_equal(world_outputs(&w, KIND_PLAN), 0);
	assert_int_equal(world_outputs(&w, KIND_DEAD), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(a_call_is_a_plan), T(trust_is_both_of_them),
					   T(a_call_is_no_attempt),
					   T(what_says_no_call_is_refused)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
