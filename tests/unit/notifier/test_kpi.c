#include "tests/unit/notifier/bench.h"

#include "notifier/kpi.h"
#include "notifier/view.h"

static const struct {
	const char *what;
	struct kpi_row row;
	bool counts, alone, false_positive;
} definitions[] = {
	{"open", {.opened_ms = 1}, true, false, false},
	{"suppressed", {.opened_ms = 1, .flags = KPI_SUPPRESSED}, false, false, false},
	{"suppressed, but acted on",
	 {.opened_ms = 1, .acted_ms = 2, .flags = KPI_SUPPRESSED},
	 true,
	 false,
	 false},
	{"healed",
	 {.opened_ms = 1, .acted_ms = 2, .resolved_ms = 3, .flags = KPI_HEALED},
	 true,
	 true,
	 false},
	{"healed, with an approval",
	 {.opened_ms = 1, .acted_ms = 2, .resolved_ms = 3, .flags = KPI_HEALED | KPI_PERSON},
	 true,
	 false,
	 false},
	{"healed after it was given up",
	 {.opened_ms = 1, .acted_ms = 2, .resolved_ms = 3, .flags = KPI_HEALED | KPI_ESCALATED},
	 true,
	 false,
	 false},
	{"over before the first step",
	 {.opened_ms = 1, .acted_ms = 3, .resolved_ms = 2, .flags = KPI_HEALED},
	 true,
	 true,
	 true},
	{"ended by itself though the repair failed",
	 {.opened_ms = 1, .acted_ms = 2, .resolved_ms = 3},
	 true,
	 false,
	 true},
	{"the repair failed and a person looked",
	 {.opened_ms = 1, .acted_ms = 2, .resolved_ms = 3, .flags = KPI_PERSON},
	 true,
	 false,
	 false},
	{"ended by itself", {.opened_ms = 1, .resolved_ms = 3}, true, false, false},
	{"a false alarm",
	 {.opened_ms = 1, .acted_ms = 2, .flags = KPI_FALSE_ALARM | KPI_PERSON},
	 true,
	 false,
	 true},
	{"a false alarm that nothing was done about",
	 {.opened_ms = 1, .flags = KPI_FALSE_ALARM | KPI_PERSON},
	 true,
	 false,
	 false},
};

static void test_definitions(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(definitions); i++)
		if (kpi_counts(&definitions[i].row) != definitions[i].counts ||
		    kpi_is_autonomous(&definitions[i].row) != definitions[i].alone ||
		    kpi_is_false_positive(&definitions[i].row) != definitions[i].false_positive)
			fail_msg("%s", definitions[i].what);
}

static void test_percentiles(void **state UNUSED)
{
	static const struct {
		size_t n;
		unsigned percent;
		int64_t is;
	} rows[] = {{0, 50, -1}, {1, 50, 1}, {1, 90, 1},  {2, 50, 1},   {3, 50, 2},
		    {4, 50, 2},  {9, 90, 9}, {10, 90, 9}, {11, 90, 10}, {100, 90, 90}};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct kpi_cell cell = {0};
		for (size_t k = rows[i].n; k > 0; k--) {
			struct kpi_row row = {.opened_ms = 5,
					      .acted_ms = 5,
					      .resolved_ms = 5 + (int64_t)k,
					      .flags = KPI_HEALED};
			kpi_add(&cell, &row);
		}
		kpi_finish(&cell);
		assert_int_equal(kpi_percentile_ms(&cell, rows[i].percent), rows[i].is);
		kpi_release(&cell);
	}
}

/* ---- what the fold keeps ---- */

static json_t *overall(struct bench *b)
{
	struct kpi_window w = {T0 - 10 * MINUTE, T0 + 10 * MINUTE, MINUTE};
	auto_txn txn = store_begin_read(fold_store(b->fold));
	json_t *all = view_kpis(txn, &w);
	json_t *out = json_incref(json_object_get(all, "overall"));
	json_decref(all);
	return out;
}

static void step_started(struct bench *b, const char *plan, const char *incident)
{
	Healbus__StepReport s = HEALBUS__STEP_REPORT__INIT;
	s.incident = (char *)incident;
	s.plan_id = (char *)plan;
	s.step_id = (char *)"step";
	SET(&s, phase, HEALBUS__PHASE__PHASE_ACT);
	SET(&s, state, HEALBUS__STEP_STATE__STEP_STARTED);
	SET(&s, started_at_ms, b->now_ms);
	bench_send(b, KIND_STEP, incident, &s.base, NULL);
}

static void paid(struct bench *b, const char *incident, Healbus__ModelState state, int64_t cost)
{
	Healbus__ModelExchange m = HEALBUS__MODEL_EXCHANGE__INIT;
	m.id = (char *)"m";
	m.incident = (char *)incident;
	SET(&m, state, state);
	SET(&m, cost_micro_usd, cost);
	bench_send(b, KIND_MODEL, incident, &m.base, NULL);
}

static void is(const json_t *cell, const char *name, double value)
{
	double got = json_number_value(json_object_get(cell, name));
	if (!json_is_number(json_object_get(cell, name)) || got < value || got > value)
		fail_msg("%s: %g, not %g", name, got, value);
}

static void test_a_story(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, "{}");
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	paid(&b, "inc1", HEALBUS__MODEL_STATE__MODEL_EXCHANGED, 1500);
	paid(&b, "inc1", HEALBUS__MODEL_STATE__MODEL_ANSWERED, 1500);
	step_started(&b, "plan1", "inc1");
	bench_outcome(&b, "plan1", "inc1", HEALBUS__VERDICT__VERDICT_FAILED, NULL);
	bench_plan(&b, "plan2", "inc1", NULL);
	bench_outcome(&b, "plan2", "inc1", HEALBUS__VERDICT__VERDICT_HEALED, "change1");
	b.now_ms += 90 * SECOND;
	bench_incident(&b, "inc1", RESOLVED, 2, "db");
	/* Taking back is not an attempt. */
	bench_plan(&b, "undo1", "inc1", "change1");
	bench_outcome(&b, "undo1", "inc1", HEALBUS__VERDICT__VERDICT_FAILED, NULL);
	bench_incident(&b, "inc2", OPEN, 1, "web");
	bench_incident(&b, "inc2", ESCALATED, 1, "web");
	json_t *all = overall(&b);
	is(all, "incidents", 2);
	is(all, "needed", 2);
	is(all, "autonomous", 1);
	is(all, "autonomous_resolution", 0.5);
	is(all, "attempted", 1);
	is(all, "first_attempt_success", 0);
	is(all, "escalation_rate", 0.5);
	is(all, "cost_micro_usd", 1500);
	is(all, "cost_per_incident_micro_usd", 750);
	is(all, "false_positive_rate", 0);
	const Healbus__Incident *i = (const Healbus__Incident *)bench_nth(&b, KIND_INCIDENT, 0);
	is(all, "time_to_heal_p50_ms", (double)(T0 + 90 * SECOND - i->opened_at_ms));
	json_decref(all);
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	c.by = (char *)"ann";
	c.incident = (char *)"inc1";
	SET(&c, false_alarm, 1);
	bench_control(&b, &c, HEALBUS__CONTROL_KIND__CONTROL_ACK, "inc1");
	all = overall(&b);
	is(all, "autonomous", 0);
	is(all, "false_positive_rate", 1);
	json_decref(all);
	bench_close(&b);
}

static void test_windows_and_steps(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, "{}");
	bench_incident(&b, "inc1", OPEN, 1, "db"); /* opened within a second of T0 */
	struct kpi_window w = {T0 - 2 * MINUTE, T0 + MINUTE + 1, MINUTE};
	auto_txn txn = store_begin_read(fold_store(b.fold));
	json_t *all = view_kpis(txn, &w), *steps = json_object_get(all, "steps");
	assert_int_equal(json_array_size(steps), 4);
	for (size_t i = 0; i < 4; i++) {
		is(json_array_get(steps, i), "from_ms", (double)(w.since_ms + (int64_t)i * MINUTE));
		is(json_array_get(steps, i), "incidents", i == 2);
	}
	assert_true(
		json_is_null(json_object_get(json_array_get(steps, 0), "autonomous_resolution")));
	json_decref(all);
	w.until_ms = T0;
	all = view_kpis(txn, &w);
	is(json_object_get(all, "overall"), "incidents", 0);
	json_decref(all);
	store_end(txn);
	txn = NULL;
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_definitions),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_a_story),
		cmocka_unit_test(test_windows_and_steps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
