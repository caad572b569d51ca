#include "common/expr.h"

#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>

#define INCIDENT                                                                                   \
	"{\"id\":\"i1\",\"severity\":\"critical\",\"n\":3,\"f\":1.5,\"none\":null,\"yes\":true,"   \
	"\"labels\":{\"service\":\"db\",\"evil\":\"{{ .id }}; rm -rf $(x) \\\"\"},"                \
	"\"events\":[{\"name\":\"a\"},{\"name\":\"b\"}],\"big\":1795262624477,\"u\":\"\\u00e9\"}"

static json_t *incident(void)
{
	json_t *json = json_loads(INCIDENT, 0, NULL);
	assert_non_null(json);
	return json;
}

/* All outputs as text, or the error's name. */
static char *run(const char *source, const json_t *input)
{
	struct expr *e = NULL;
	struct why why = {0};
	json_t *all = NULL;
	if (expr_compile(source, &e, &why))
		fail_msg("%s", why.text);
	int rc = expr_eval_all(e, input, &all, &why);
	char *text = rc ? mem_strdup(err_name(rc))
			: json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	assert_true(rc == 0 || why.text[0] != '\0');
	json_decref(all);
	expr_free(e);
	return text;
}

static const struct {
	const char *source;
	const char *outputs;
} evals[] = {
	{".id", "[\"i1\"]"},
	{" .labels.service ", "[\"db\"]"},
	{".labels.nothing", "[null]"},
	{".nothing.at.all", "[null]"},
	{".none.x", "[null]"},
	{".id.x", "invalid"},
	{".id.x?", "[]"},
	{".labels", "[{\"evil\":\"{{ .id }}; rm -rf $(x) \\\"\",\"service\":\"db\"}]"},
	{".events[].name", "[\"a\",\"b\"]"},
	{".n + 1", "[4]"},
	{".f * 2", "[3]"},
	{".f", "[1.5]"},
	{".f + 0", "[1.5]"},
	{".big", "[1795262624477]"},
	{".big + 1", "[1795262624478]"},
	{"empty", "[]"},
	{"nan", "[null]"},
	{"1e1000", "[null]"},
	{".yes, .none, false", "[true,null,false]"},
	{"error(\"no\")", "invalid"},
	{"error({a: 1})", "invalid"},
	{"try error(\"no\") catch .", "[\"no\"]"},
	{".labels | to_entries | map(.key) | sort", "[[\"evil\",\"service\"]]"},
	{".u | length", "[1]"},
	{"[range(3)]", "[[0,1,2]]"},
	{"[range(1; 3)]", "[[1,2]]"},
	{"[range(.n)]", "[[0,1,2]]"},
	{"def f(x): x + 1; f(.n)", "[4]"},
	{"\"\\(.n)-\\(.labels.service)\"", "[\"3-db\"]"},
	{"[..] | length", "[17]"},
	{"[recurse] | length", "[17]"},
	{"{env: .id, now: 1, input: 2}", "[{\"env\":\"i1\",\"input\":2,\"now\":1}]"},
	{".env", "[null]"},
	{".labels.now", "[null]"},
	{".id | test(\"^i[0-9]$\")", "[true]"},
	{"\"env now input\"", "[\"env now input\"]"},
	{"1 # env", "[1]"},
	{"\"2026-11-21T09:03:52Z\" | fromdate", "[1795251832]"},
};

static void test_eval(void **state)
{
	(void)state;
	json_t *input = incident();
	for (size_t i = 0; i < ARRAY_SIZE(evals); i++) {
		print_message("# %s\n", evals[i].source);
		auto_free char *text = run(evals[i].source, input);
		assert_string_equal(text, evals[i].outputs);
	}
	json_decref(input);
}

static const char *const refused[] = {
	"env",
	"env.PATH",
	"$ENV",
	"$ ENV",
	"$ENV.PATH",
	"input",
	"[inputs]",
	"now",
	"now | todate",
	"debug",
	".x | stderr",
	"halt",
	"\"x\" | halt_error",
	"input_filename",
	"import \"a\" as a; .",
	"include \"a\"; .",
	"\"\\(env)\"",
	"\"a\\(\"b\\(now)\")\"",
	"@json \"\\($ENV)\"",
	"localtime",
	"[.[] | env]",
	"while(true; .)",
	"until(false; .)",
	"repeat(.)",
	"[range(infinite)]",
	"recurse(.)",
	"recurse (.)",
	"implode",
	"{env}",
	"get_search_list",
	"modulemeta",
	".[",
	"",
	"nosuchfunction",
	"$nosuchvariable",
	". as [$a",
};

/* What the short way gives, jq gives: `(EXPR) | .` is never short. */
static void test_simple_is_jq(void **state)
{
	(void)state;
	static const char *const sources[] = {
		".a",
		".a.b",
		".a.b.c",
		".missing",
		".a // .b",
		".missing // .s",
		".no // .nope",
		".f // .n // \"last\"",
		".f // .f",
		".s.x // 7",
		".s.x",
		".n // .s.x",
		".l // 1",
		".l.x // 1",
		".n // 0",
		".s == \"text\"",
		".s==\"other\"",
		".n == \"null\"",
		".s.x == \"t\"",
		" .a.b // \"\" ",
		".i == \"5\"",
		".n // \"\" // 1",
		".s // .s.x",
		".a._x9 // 12",
	};
	static const char *const inputs[] = {
		"{\"a\":{\"b\":{\"c\":1},\"_x9\":[2]},\"b\":\"B\",\"s\":\"text\",\"f\":false,\"n\":"
		"null,"
		"\"l\":[1],\"i\":5}",
		"{\"a\":\"A\",\"s\":{\"x\":\"t\"}}",
		"null",
		"[1]",
		"\"s\"",
	};
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		auto_free char *full = mem_printf("(%s) | .", sources[i]);
		struct expr *brief = NULL, *jq = NULL;
		assert_int_equal(expr_compile(sources[i], &brief, NULL), 0);
		assert_int_equal(expr_compile(full, &jq, NULL), 0);
		for (size_t j = 0; j < ARRAY_SIZE(inputs); j++) {
			json_t *input = json_loads(inputs[j], JSON_DECODE_ANY, NULL);
			json_t *got = NULL, *want = NULL;
			int rc = expr_eval(brief, input, &got, NULL);
			int rc_jq = expr_eval(jq, input, &want, NULL);
			if (rc != rc_jq || (!rc && !json_equal(got, want)))
				fail_msg("%s on %s: %d, jq %d", sources[i], inputs[j], rc, rc_jq);
			json_decref(got);
			json_decref(want);
			json_decref(input);
		}
		expr_free(brief);
		expr_free(jq);
	}
}

static void test_refused_at_compile_time(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct expr *e = NULL;
		struct why why = {0};
		print_message("# %s\n", refused[i]);
		/* jq reads nothing as ".". */
		int want = refused[i][0] ? ERR_CONFIG : 0;
		assert_int_equal(expr_compile(refused[i], &e, &why), want);
		assert_true(!want || why.text[0] != '\0');
		assert_true(!want == !!e);
		expr_free(e);
	}
}

static void test_source_length(void **state)
{
	(void)state;
	auto_free char *source = mem_alloc(EXPR_SOURCE_MAX_BYTES + 2);
	struct expr *e = NULL;
	memset(source, ' ', EXPR_SOURCE_MAX_BYTES + 1);
	source[0] = '1';
	assert_int_equal(expr_compile(source, &e, NULL), ERR_CONFIG);
	source[EXPR_SOURCE_MAX_BYTES] = '\0';
	assert_int_equal(expr_compile(source, &e, NULL), 0);
	expr_free(e);
	/* Brackets without end: refused, not a deep stack. */
	memset(source, '(', EXPR_SOURCE_MAX_BYTES);
	assert_int_equal(expr_compile(source, &e, NULL), ERR_CONFIG);
	auto_buf nested = {0};
	for (int i = 0; i < 1000; i++)
		buf_add_str(&nested, "\"\\(");
	assert_int_equal(expr_compile(nested.data, &e, NULL), ERR_CONFIG);
}

/* Endless inside libjq: only the watch can end these. The same expression is used again after. */
static void test_endless_is_stopped(void **state)
{
	(void)state;
	static const char *const endless[] = {
		"if . == 1 then (def f: f; f) else 7 end",
		"if . == 1 then ([limit(1000000000; (def f: 1, f; f))]) else 7 end",
		"if . == 1 then (\"abc\" | gsub(\"\";\"x\")) else 7 end",
		"if . == 1 then [range(1000000000000)] else 7 end",
		"if . == 1 then [range(9999) | range(9999)] | length else 7 end",
	};
	for (size_t i = 0; i < ARRAY_SIZE(endless); i++) {
		struct expr *e = NULL;
		struct why why = {0};
		json_t *one = json_integer(1), *two = json_integer(2), *out = NULL;
		print_message("# %s\n", endless[i]);
		assert_int_equal(expr_compile(endless[i], &e, &why), 0);
		int rc = expr_eval(e, one, &out, &why);
		assert_int_equal(rc, ERR_TIMEOUT);
		assert_null(out);
		assert_int_equal(expr_eval(e, two, &out, &why), 0);
		assert_int_equal(json_integer_value(out), 7);
		json_decref(out);
		json_decref(one);
		json_decref(two);
		expr_free(e);
	}
}

static int eval_rc(const char *source, bool all)
{
	struct expr *e = NULL;
	struct why why = {0};
	json_t *input = incident(), *out = NULL;
	assert_int_equal(expr_compile(source, &e, &why), 0);
	int rc = all ? expr_eval_all(e, input, &out, &why) : expr_eval(e, input, &out, &why);
	json_decref(out);
	json_decref(input);
	expr_free(e);
	return rc;
}

static void test_output_limits(void **state)
{
	(void)state;
	assert_int_equal(eval_rc("range(10000)", true), ERR_TOO_LARGE);
	assert_int_equal(eval_rc("range(9999)", true), 0);
	assert_int_equal(eval_rc("range(10000)", false), 0);
	assert_int_equal(eval_rc("\"0123456789\" * 110000", false), ERR_TOO_LARGE);
	assert_int_equal(eval_rc("\"0123456789\" * 100000", false), 0);
	assert_int_equal(eval_rc("reduce range(300) as $i (0; [.])", false), ERR_TOO_LARGE);
}

static const struct {
	const char *source;
	int rc;
	bool out;
} tests_of_truth[] = {
	{".n > 2", 0, true},
	{".n > 3", 0, false},
	{".none", 0, false},
	{".yes", 0, true},
	{"0", 0, true},
	{"\"\"", 0, true},
	{"empty", 0, false},
	{"error(\"x\")", ERR_INVALID, false},
	{".labels.service == \"db\"", 0, true},
};

static void test_truth(void **state)
{
	(void)state;
	json_t *input = incident();
	for (size_t i = 0; i < ARRAY_SIZE(tests_of_truth); i++) {
		struct expr *e = NULL;
		bool out = true;
		print_message("# %s\n", tests_of_truth[i].source);
		assert_int_equal(expr_compile(tests_of_truth[i].source, &e, NULL), 0);
		assert_string_equal(expr_source(e), tests_of_truth[i].source);
		assert_int_equal(expr_test(e, input, &out, NULL), tests_of_truth[i].rc);
		assert_int_equal(out, tests_of_truth[i].out);
		expr_free(e);
	}
	json_decref(input);
}

/* ---- templates ---- */

static const struct {
	const char *source;
	const char *text;
	bool constant;
} templates[] = {
	{"", "", true},
	{"plain } text {", "plain } text {", true},
	{"{{.id}}", "i1", false},
	{"a {{ .id }} b {{ .n }} c", "a i1 b 3 c", false},
	{"{{ .labels.evil }}", "{{ .id }}; rm -rf $(x) \"", false},
	{"{{ .none }}|{{ .nothing }}|{{ empty }}", "||", false},
	{"{{ .yes }} {{ .f }} {{ .events }}", "true 1.5 [{\"name\":\"a\"},{\"name\":\"b\"}]",
	 false},
	{"{{ {a:{b:.n}} }}", "{\"a\":{\"b\":3}}", false},
	{"{{ {a:{b:.n}}}}", "{\"a\":{\"b\":3}}", false},
	{"{{ \"}}\" }}!", "}}!", false},
	{"{{ \"a\\(.n)}}\" }}", "a3}}", false},
	{"{{{{ .id }}", "{{ .id }}", true},
	{"${{{{ x }} {{ .id }}", "${{ x }} i1", false},
};

static void test_templates(void **state)
{
	(void)state;
	json_t *input = incident();
	for (size_t i = 0; i < ARRAY_SIZE(templates); i++) {
		struct template *t = NULL;
		struct why why = {0};
		auto_buf out = {0};
		print_message("# %s\n", templates[i].source);
		if (template_compile(templates[i].source, &t, &why))
			fail_msg("%s", why.text);
		assert_int_equal(template_is_constant(t), templates[i].constant);
		assert_int_equal(template_render(t, input, &out, &why), 0);
		assert_string_equal(buf_str(&out), templates[i].text);
		template_free(t);
	}
	json_decref(input);
}

static void test_bad_templates(void **state)
{
	(void)state;
	static const char *const bad[] = {"{{",          "{{ .id",   "{{ .id }", "{{ \"}} }",
					  "a {{ env }}", "{{ .[ }}", "{{ now }}"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct template *t = NULL;
		struct why why = {0};
		print_message("# %s\n", bad[i]);
		assert_int_equal(template_compile(bad[i], &t, &why), ERR_CONFIG);
		assert_null(t);
		assert_true(why.text[0] != '\0');
	}
	struct template *t = NULL;
	auto_buf out = {0};
	json_t *input = incident();
	buf_add_str(&out, "kept");
	assert_int_equal(template_compile("a {{ .id.x }}", &t, NULL), 0);
	assert_int_equal(template_render(t, input, &out, NULL), ERR_INVALID);
	assert_string_equal(out.data, "kept");
	template_free(t);
	template_free(NULL);
	expr_free(NULL);
	json_decref(input);
}

/* ---- several threads, each with its own expressions ---- */

static void *eval_many(void *ctx)
{
	json_t *input = incident();
	struct expr *e = NULL;
	if (expr_compile(".n * 2 + (.events | length)", &e, NULL))
		return ctx;
	for (int i = 0; i < 3000; i++) {
		json_t *out = NULL;
		if (expr_eval(e, input, &out, NULL) || json_integer_value(out) != 8)
			*(int *)ctx += 1;
		json_decref(out);
	}
	expr_free(e);
	json_decref(input);
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	pthread_t threads[4];
	int wrong[4] = {0};
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, eval_many, &wrong[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		void *failed = NULL;
		pthread_join(threads[i], &failed);
		assert_null(failed);
		assert_int_equal(wrong[i], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eval),
		cmocka_unit_test(test_simple_is_jq),
		cmocka_unit_test(test_refused_at_compile_time),
		cmocka_unit_test(test_source_length),
		cmocka_unit_test(test_endless_is_stopped),
		cmocka_unit_test(test_output_limits),
		cmocka_unit_test(test_truth),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_bad_templates),
		cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
