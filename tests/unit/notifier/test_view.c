#include "tests/unit/notifier/bench.h"
#include "notifier/view.h"

static void prepare(struct bench *b)
{
	bench_open(b, "{}");
	bench_incident(b, "aaa1", OPEN, 1, "db");
	bench_incident(b, "aaa2", OPEN, 1, "web");
	bench_incident(b, "bbb1", OPEN, 1, "web");
	bench_incident(b, "bbb1", RESOLVED, 2, "web");
	bench_plan(b, "plan1", "aaa1", NULL);
	bench_ask(b, "ask1", "plan1", "aaa1", T0 + 5 * MINUTE);
	bench_plan(b, "plan2", "aaa2", NULL);
	bench_outcome(b, "plan2", "aaa2", HEALBUS__VERDICT__VERDICT_HEALED, "change1");
}

static char *dump(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(json);
	return text;
}

static size_t listed(json_t *json, const char *name)
{
	size_t n = json_array_size(json_object_get(json, name));
	json_decref(json);
	return n;
}

static void test_incidents(void **state UNUSED)
{
	struct bench b;
	prepare(&b);
	auto_txn txn = store_begin_read(fold_store(b.fold));
	const struct view_filter all = {0}, open = {.state = "open"}, one = {.limit = 1};
	assert_int_equal(listed(view_incidents(txn, &all), "incidents"), 3);
	assert_int_equal(listed(view_incidents(txn, &open), "incidents"), 2);
	assert_int_equal(listed(view_incidents(txn, &one), "incidents"), 1);
	json_t *list = view_incidents(txn, &all);
	int64_t before = INT64_MAX;
	size_t i;
	const json_t *item;
	json_array_foreach(json_object_get(list, "incidents"), i, item)
	{
		int64_t opened = json_integer_value(json_object_get(item, "opened_at_ms"));
		assert_true(opened <= before);
		assert_null(json_object_get(item, "events"));
		before = opened;
	}
	json_decref(list);
	auto_free char *counts = dump(view_counts(txn));
	assert_string_equal(counts, "{\"open\":2,\"escalated\":0,\"resolved\":1,\"suppressed\":0}");
	assert_null(view_incident(txn, "nobody"));
	json_t *incident = view_incident(txn, "aaa1");
	const json_t *labels = json_object_get(incident, "labels");
	assert_string_equal(json_string_value(json_object_get(labels, "service")), "db");
	json_decref(incident);
	store_end(txn);
	txn = NULL;
	bench_close(&b);
}

static void test_prefixes(void **state UNUSED)
{
	static const struct {
		const char *prefix;
		int rc;
		const char *id;
	} cases[] = {
		{"aaa1", 0, "aaa1"},
		{"b", 0, "bbb1"},
		{"aaa", ERR_CONFLICT, "aaa1, aaa2"},
		{"c", ERR_NOT_FOUND, ""},
		{"", ERR_NOT_FOUND, ""},
		{"a*", ERR_NOT_FOUND, ""},
	};
	struct bench b;
	prepare(&b);
	auto_txn txn = store_begin_read(fold_store(b.fold));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char id[TOKEN_MAX + 1] = "";
		auto_buf candidates = {0};
		assert_int_equal(id_find(txn, &table_incidents, cases[i].prefix, id, &candidates),
				 cases[i].rc);
		assert_string_equal(cases[i].rc == ERR_CONFLICT ? buf_str(&candidates) : id,
				    cases[i].id);
	}
	store_end(txn);
	txn = NULL;
	bench_close(&b);
}

static void test_approvals_and_plans(void **state UNUSED)
{
	struct bench b;
	prepare(&b);
	char id[TOKEN_MAX + 1];
	auto_txn txn = store_begin_read(fold_store(b.fold));
	json_t *list = view_approvals(txn);
	const json_t *one = json_array_get(json_object_get(list, "approvals"), 0);
	assert_string_equal(json_string_value(json_object_get(one, "id")), "ask1");
	assert_string_equal(json_string_value(json_object_get(one, "title")), "db is down");
	assert_string_equal(json_string_value(json_object_get(one, "level")), "hard");
	json_decref(list);
	assert_int_equal(view_pending(txn), 1);
	assert_true(view_last_plan(txn, "aaa1", id));
	assert_string_equal(id, "plan1");
	assert_true(view_approval_of(txn, "aaa1", id));
	assert_string_equal(id, "ask1");
	assert_false(view_approval_of(txn, "aaa2", id));
	assert_false(view_last_plan(txn, "bbb1", id));
	store_end(txn);
	txn = NULL;
	bench_close(&b);
}

static void test_changes(void **state UNUSED)
{
	struct bench b;
	prepare(&b);
	auto_txn txn = store_begin_read(fold_store(b.fold));
	json_t *list = view_changes(txn, 10);
	const json_t *one = json_array_get(json_object_get(list, "changes"), 0);
	assert_string_equal(json_string_value(json_object_get(one, "id")), "change1");
	assert_string_equal(json_string_value(json_object_get(one, "incident")), "aaa2");
	assert_string_equal(json_string_value(json_object_get(one, "plan_id")), "plan2");
	assert_true(json_is_true(json_object_get(one, "undoable")));
	assert_true(json_is_null(json_object_get(one, "undone_by")));
	json_decref(list);
	store_end(txn);
	bench_plan(&b, "plan3", "aaa2", "change1");
	bench_outcome(&b, "plan3", "aaa2", HEALBUS__VERDICT__VERDICT_HEALED, NULL);
	txn = store_begin_read(fold_store(b.fold));
	list = view_changes(txn, 10);
	one = json_array_get(json_object_get(list, "changes"), 0);
	assert_true(json_is_false(json_object_get(one, "undoable")));
	assert_string_equal(json_string_value(json_object_get(one, "undone_by")), "plan3");
	json_decref(list);
	store_end(txn);
	txn = NULL;
	bench_close(&b);
}

static void test_machinery(void **state UNUSED)
{
	struct bench b;
	Healbus__ToolInfo tool = HEALBUS__TOOL_INFO__INIT, *tools[] = {&tool};
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	bench_open(&b, "{}");
	auto_txn txn = store_begin_read(fold_store(b.fold));
	auto_free char *nothing = dump(view_paused(txn));
	assert_string_equal(nothing, "{\"on\":false}");
	assert_int_equal(listed(view_tools(txn), "tools"), 0);
	store_end(txn);
	tool.name = (char *)"restart";
	c.id = (char *)"c1";
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_CATALOGUE);
	SET(&c, at_ms, T0);
	c.executor = (char *)"host:1";
	c.tools = tools;
	c.n_tools = 1;
	bench_send(&b, KIND_CONTROL, "catalogue", &c.base, NULL);
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_PAUSE);
	c.by = (char *)"ann";
	c.reason = (char *)"deploy";
	bench_send(&b, KIND_CONTROL, "pause", &c.base, NULL);
	txn = store_begin_read(fold_store(b.fold));
	auto_free char *paused = dump(view_paused(txn)), *executors = dump(view_executors(txn));
	assert_string_equal(paused, "{\"on\":true,\"by\":\"ann\",\"at_ms\":1700000000000,"
				    "\"reason\":\"deploy\"}");
	assert_string_equal(executors, "[{\"executor\":\"host:1\",\"at_ms\":1700000000000,"
				       "\"tools\":1}]");
	assert_int_equal(listed(view_tools(txn), "tools"), 1);
	store_end(txn);
	txn = NULL;
	bench_close(&b);
}

static void test_silences(void **state UNUSED)
{
	static const struct {
		bool all;
		int64_t now_ms;
		size_t n;
	} cases[] = {
		{false, T0, 1}, {false, T0 + MINUTE, 0}, {true, T0 + MINUTE, 1}, {false, 0, 1}};
	struct bench b;
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	Healbus__Silence s = HEALBUS__SILENCE__INIT;
	Healbus__Matcher matcher = HEALBUS__MATCHER__INIT, *matchers[] = {&matcher};
	bench_open(&b, "{}");
	s.id = (char *)"sil1";
	matcher.name = (char *)"service";
	SET(&matcher, op, HEALBUS__MATCH_OP__MATCH_EQUAL);
	matcher.value = (char *)"db";
	s.matchers = matchers;
	s.n_matchers = 1;
	SET(&s, starts_at_ms, T0);
	SET(&s, ends_at_ms, T0 + MINUTE);
	c.id = (char *)"c1";
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_SILENCE);
	c.silence = &s;
	bench_send(&b, KIND_CONTROL, "silence", &c.base, NULL);
	auto_txn txn = store_begin_read(fold_store(b.fold));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(
			listed(view_silences(txn, cases[i].all, cases[i].now_ms), "silences"),
			cases[i].n);
	store_end(txn);
	txn = NULL;
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_incidents),           cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_approvals_and_plans), cmocka_unit_test(test_changes),
		cmocka_unit_test(test_machinery),           cmocka_unit_test(test_silences),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
