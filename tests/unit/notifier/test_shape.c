#include "tests/unit/notifier/bench.h"
#include "tests/unit/notifier/hostile.h"

#include "common/expr.h"
#include "notifier/channels/shape.h"

static json_t *json(const char *text)
{
	json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
	assert_non_null(j);
	return j;
}

static int make(const char *source, const json_t *input, json_t **out, struct why *why)
{
	struct shape *s = NULL;
	json_t *tree = json(source);
	int rc = shape_compile(tree, &s, why);
	json_decref(tree);
	if (!rc)
		rc = shape_make(s, input, out, why);
	shape_free(s);
	return rc;
}

static void test_values_keep_their_types(void **state UNUSED)
{
	static const char *const cases[][2] = {
		{"\"{{ .n }}\"", "7"},
		{"\"n is {{ .n }}\"", "\"n is 7\""},
		{"{\"a\": \"{{ .list }}\", \"b\": [1, true, null, \"{{ .s }}!\"]}",
		 "{\"a\": [1, 2], \"b\": [1, true, null, \"x {{ .n }} y!\"]}"},
		{"\"{{ .absent }}\"", "null"},
		{"\"{{ empty }}\"", "null"},
		{"\"[{{ .absent }}]\"", "\"[]\""},
		{"\"{{ {k: {v: .n}} }}\"", "{\"k\": {\"v\": 7}}"},
		{"{\"{{ .n }}\": 1}", "{\"{{ .n }}\": 1}"},
		{"\"{{{{ .n }}\"", "\"{{ .n }}\""},
	};
	json_t *input = json("{\"n\": 7, \"s\": \"x {{ .n }} y\", \"list\": [1, 2]}");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *made = NULL, *want = json(cases[i][1]);
		struct why why = {0};
		print_message("# %s\n", cases[i][0]);
		assert_int_equal(make(cases[i][0], input, &made, &why), 0);
		assert_true(json_equal(made, want));
		json_decref(made);
		json_decref(want);
	}
	json_decref(input);
}

static void test_wrong_ones_are_named(void **state UNUSED)
{
	json_t *made = NULL, *input = json("{\"s\": \"x\"}");
	struct why why = {0};
	assert_int_equal(make("{\"a\": [\"ok\", \"{{ .x \"]}", input, &made, &why), ERR_CONFIG);
	assert_true(str_starts(why.text, "a: [1]: "));
	why = (struct why){0};
	assert_int_equal(make("\"{{ env }}\"", input, &made, &why), ERR_CONFIG);
	why = (struct why){0};
	assert_int_equal(make("[\"{{ .s | tonumber }}\"]", input, &made, &why), ERR_INVALID);
	assert_true(*why.text);
	json_decref(input);
}

static int path(const char *source, const char *value, struct buf *out)
{
	struct template *t = NULL;
	struct why why = {0};
	json_t *input = json_pack("{s:s}", "v", value);
	assert_int_equal(template_compile(source, &t, &why), 0);
	int rc = shape_path(source, t, input, out, &why);
	assert_true(!rc || strstr(why.text, "@uri"));
	template_free(t);
	json_decref(input);
	return rc;
}

static void test_a_path_keeps_its_structure(void **state UNUSED)
{
	static const struct {
		const char *source, *value, *want;
	} cases[] = {
		{"/v1/{{ .v }}", "abc", "/v1/abc"},
		{"/v1/{{ .v }}", "a/b", NULL},
		{"/v1/{{ .v }}", "..", NULL},
		{"/v1/{{ .v }}/x", "", NULL},
		{"/v1/{{ .v }}", "a?b", NULL},
		{"/v1/{{ .v }}", "a#b", NULL},
		{"/v1/{{ .v }}", "a b", NULL},
		{"/v1/{{ .v }}", "%2e%2e", NULL},
		{"/v1/{{ .v }}", "h\xc3\xa9", NULL},
		{"/v1/{{ .v | @uri }}", "a/b?c", "/v1/a%2Fb%3Fc"},
		{"/v1?q={{ .v }}", "1", "/v1?q=1"},
		{"/v1?q={{ .v }}", "1&admin=1", NULL},
		{"/v1?q={{ .v | @uri }}", "1&a=1", "/v1?q=1%26a%3D1"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_buf out = {0};
		print_message("# %s %s\n", cases[i].source, cases[i].value);
		int rc = path(cases[i].source, cases[i].value, &out);
		assert_int_equal(rc, cases[i].want ? 0 : ERR_REJECTED);
		assert_string_equal(buf_str(&out), cases[i].want ? cases[i].want : "");
	}
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		auto_buf out = {0};
		if (!utf8_valid(hostile[i], strlen(hostile[i])))
			continue;
		int rc = path("/v1/{{ .v | @uri }}", hostile[i], &out);
		if (!rc)
			assert_int_equal(strcspn(buf_str(&out) + 4, "/?#&= <>\r\n"), out.len - 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_keep_their_types),
		cmocka_unit_test(test_wrong_ones_are_named),
		cmocka_unit_test(test_a_path_keeps_its_structure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
