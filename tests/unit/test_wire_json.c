#include "common/wire.h"

#include "tests/unit/wire_fill.h"

#include <setjmp.h>
#include <cmocka.h>

#define auto_arena __attribute__((cleanup(arena_release))) struct arena

static void assert_json(const ProtobufCMessage *msg, const char *want)
{
	json_t *json = wire_to_json(msg);
	auto_free char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(json);
	assert_string_equal(text, want);
}

static void test_incident(void **state)
{
	(void)state;
	auto_arena a = {0};
	Healbus__Incident i = HEALBUS__INCIDENT__INIT;
	i.id = arena_strdup(&a, "i1");
	SET(&i, state, HEALBUS__INCIDENT_STATE__INCIDENT_OPEN);
	SET(&i, severity, HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	SET(&i, trusted, 0);
	SET(&i, resolved_at_ms, 0);
	Healbus__Label *labels[] = {label_new(&a, "a.b", "1"), label_new(&a, "service", "db")};
	i.labels = labels;
	i.n_labels = 2;
	assert_json(
		&i.base,
		"{\"events\":[],\"id\":\"i1\",\"labels\":{\"a.b\":\"1\",\"service\":\"db\"},"
		"\"resolved_at_ms\":0,\"severity\":\"critical\",\"state\":\"open\",\"tried\":[],"
		"\"trusted\":false}");
}

static void test_parameters_keep_their_types(void **state)
{
	(void)state;
	auto_arena a = {0};
	Healbus__Param *params[5];
	for (size_t i = 0; i < ARRAY_SIZE(params); i++)
		params[i] = param_new_string(&a, "s", "x");
	for (size_t i = 1; i < ARRAY_SIZE(params); i++)
		params[i]->string_value = NULL;
	params[1]->name = arena_strdup(&a, "i");
	SET(params[1], int_value, -5);
	params[2]->name = arena_strdup(&a, "b");
	SET(params[2], bool_value, 1);
	params[3]->name = arena_strdup(&a, "d");
	SET(params[3], double_value, 0.5);
	params[4]->name = arena_strdup(&a, "nan");
	SET(params[4], double_value, 0.0 / 0.0);
	Healbus__Rollback r = HEALBUS__ROLLBACK__INIT;
	r.tool = arena_strdup(&a, "t");
	r.params = params;
	r.n_params = ARRAY_SIZE(params);
	assert_json(&r.base, "{\"params\":{\"b\":true,\"d\":0.5,\"i\":-5,\"nan\":null,\"s\":\"x\"},"
			     "\"tool\":\"t\"}");
}

static void test_bytes_enums_nesting(void **state)
{
	(void)state;
	uint8_t digest[] = {0x00, 0xff, 0x1a};
	Healbus__Outcome o = HEALBUS__OUTCOME__INIT;
	Healbus__Decision d = HEALBUS__DECISION__INIT;
	SET(&o, plan_digest, ((ProtobufCBinaryData){sizeof(digest), digest}));
	SET(&o, verdict, HEALBUS__VERDICT__VERDICT_ROLLED_BACK);
	SET(&d, verdict, (Healbus__DecisionVerdict)99);
	o.decision = &d;
	assert_json(&o.base,
		    "{\"changes\":[],\"decision\":{\"verdict\":\"unknown\"},"
		    "\"plan_digest\":\"00ff1a\",\"steps\":[],\"verdict\":\"rolled_back\"}");
}

static void test_bad_text_is_still_json(void **state)
{
	(void)state;
	auto_arena a = {0};
	Healbus__Notice n = HEALBUS__NOTICE__INIT;
	n.text = arena_strdup(&a, "a\xff\"b");
	assert_json(&n.base, "{\"incidents\":[],\"labels\":{},\"text\":\"a?\\\"b\",\"to\":[]}");
}

static void test_every_message_becomes_json(void **state)
{
	(void)state;
	struct fill f = {.state = fill_seed()};
	for (size_t i = 0; i < 1200; i++) {
		auto_arena a = {0};
		f.arena = &a;
		f.full = i % 7 == 0;
		size_t k = i % ARRAY_SIZE(json_msg_kinds);
		json_t *json = wire_to_json(fill_message(&f, json_msg_kinds[k].descriptor, 0));
		auto_free char *text = json_dumps(json, 0);
		json_t *again = json_loads(text, 0, NULL);
		assert_non_null(again);
		if (f.full)
			assert_int_equal(json_object_size(json),
					 json_msg_kinds[k].descriptor->n_fields);
		json_decref(json);
		json_decref(again);
	}
}

/* Fields that came later may be there besides, as empty lists: in messages inside of it too. */
static bool still_means(const json_t *want, const json_t *have)
{
	const char *key;
	json_t *value;
	size_t i;
	if (json_is_object(want)) {
		json_object_foreach(
			(json_t *)(uintptr_t)want, key,
			value) if (!still_means(value, json_object_get(have, key))) return false;
		return true;
	}
	if (!json_is_array(want))
		return json_equal(want, have);
	json_array_foreach(want, i,
			   value) if (!still_means(value, json_array_get(have, i))) return false;
	return json_array_size(want) == json_array_size(have);
}

/* The packed message and its meaning, side by side: a renumbered field is noticed here. */
static void golden_compare(const char *dir, bool write)
{
	for (size_t i = 0; i < ARRAY_SIZE(json_msg_kinds); i++) {
		auto_arena a = {0};
		auto_buf bytes = {0};
		char path[128];
		ProtobufCMessage *msg = NULL;
		const char *name = kind_name(json_msg_kinds[i].kind);
		snprintf(path, sizeof(path), "%s/%s.bin", dir, name);
		print_message("# %s\n", path);
		assert_int_equal(buf_read_file(&bytes, path, 1 << 20), 0);
		assert_int_equal(
			wire_unpack(json_msg_kinds[i].kind, bytes.data, bytes.len, &a, &msg, NULL),
			0);
		json_t *have = wire_to_json(msg);
		snprintf(path, sizeof(path), "%s/%s.json", dir, name);
		if (write)
			assert_int_equal(
				json_dump_file(have, path, JSON_INDENT(2) | JSON_SORT_KEYS), 0);
		json_t *want = json_load_file(path, 0, NULL);
		assert_non_null(want);
		const char *key;
		json_t *value;
		json_object_foreach(want, key,
				    value) if (!still_means(value, json_object_get(have, key)))
			fail_msg("%s: %s differs", path, key);
		json_decref(have);
		json_decref(want);
	}
}

static void test_golden(void **state)
{
	(void)state;
	size_t last = ARRAY_SIZE(fill_golden) - 1;
	for (size_t i = 0; i <= last; i++)
		golden_compare(fill_golden[i], i == last && getenv("HEALBUS_GOLDEN_WRITE"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_incident),
		cmocka_unit_test(test_parameters_keep_their_types),
		cmocka_unit_test(test_bytes_enums_nesting),
		cmocka_unit_test(test_bad_text_is_still_json),
		cmocka_unit_test(test_every_message_becomes_json),
		cmocka_unit_test(test_golden),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
