#include "common/matcher.h"

#include "common/buf.h"
#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>

struct pair {
	const char *name;
	const char *value;
};

static const char *lookup(const void *labels, const char *name)
{
	for (const struct pair *p = labels; p->name; p++)
		if (str_eq(p->name, name))
			return p->value;
	return NULL;
}

static const struct pair db[] = {{"service", "db"},
				 {"severity", "critical"},
				 {"env", "dev-2"},
				 {"quote", "a\"b\\c\nd"},
				 {0}};

static const struct {
	const char *text;
	bool match;
} matches[] = {
	{"service=\"db\"", true},
	{"service=db", true},
	{"service = db", true},
	{"{service=\"db\"}", true},
	{" { service = \"db\" , severity =~ \"critical|page\" } ", true},
	{"service=\"db\",", true},
	{"{service=\"db\",}", true},
	{"service=\"d\"", false},
	{"service!=\"db\"", false},
	{"service!=\"web\"", true},
	{"severity=~\"critical|page\"", true},
	{"severity=~\"crit\"", false},
	{"severity=~\"critical|pa\"", true},
	{"severity=~\"ritical|x\"", false},
	{"severity=~\"c.*\"", true},
	{"severity!~\"c.*\"", false},
	{"env!~\"dev.*\"", false},
	{"env=~\"dev-\\d\"", true},
	{"env=~\"dev-\\\\d\"", true},
	{"missing=\"\"", true},
	{"missing!=\"\"", false},
	{"missing=~\".*\"", true},
	{"missing=~\".+\"", false},
	{"missing!~\".+\"", true},
	{"service=\"db\",env=\"prod\"", false},
	{"quote=\"a\\\"b\\\\c\\nd\"", true},
	{"quote=~\"a.b.c.d\"", true},
	{"service=\"d,b\"", false},
};

static void test_match(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
		struct matchers m = {0};
		struct why why = {0};
		print_message("# %s\n", matches[i].text);
		if (matchers_parse(matches[i].text, &m, &why))
			fail_msg("%s", why.text);
		assert_int_equal(matchers_match(&m, lookup, db), matches[i].match);
		matchers_release(&m);
	}
}

static void test_no_matchers_match_everything(void **state)
{
	(void)state;
	struct matchers m = {0};
	assert_true(matchers_match(&m, lookup, db));
	assert_int_equal(matchers_from_yaml(NULL, &m, NULL), 0);
	assert_int_equal(m.n, 0);
	matchers_release(&m);
}

static const struct {
	const char *text;
	const char *why;
} errors[] = {
	{"", "expected a label name"},
	{"{}", "expected a label name"},
	{"service", "expected one of"},
	{"service~\"x\"", "expected one of"},
	{"=\"x\"", "expected a label name"},
	{"1a=\"x\"", "not a label name"},
	{"service=\"x", "closing quote"},
	{"service=\"x\\", "escaped character"},
	{"service=\"x\" env=\"y\"", "or the end"},
	{"{service=\"x\"", "\"}\""},
	{"{service=\"x\"} x", "or the end"},
	{"service=\"x\"}", "or the end"},
	{"service=~\"(\"", "regular expression \"(\""},
	{"service=~\"\\\\C\"", "regular expression"},
	{"service=\"\xff\"", "not UTF-8"},
	{"good=\"x\",bad", "expected one of"},
};

static void test_errors_say_where_and_leave_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct matchers m = {0};
		struct why why = {0};
		assert_int_equal(matchers_add(&m, "kept", MATCHER_EQUAL, "x", NULL), 0);
		print_message("# %s\n", errors[i].why);
		assert_int_equal(matchers_parse(errors[i].text, &m, &why), ERR_INVALID);
		if (!strstr(why.text, errors[i].why))
			fail_msg("%s", why.text);
		assert_int_equal(m.n, 1);
		matchers_release(&m);
	}
}

static void test_limits(void **state)
{
	(void)state;
	struct matchers m = {0};
	auto_free char *big = mem_alloc(5000);
	memset(big, 'x', 4999);
	assert_int_equal(matchers_add(&m, "a", MATCHER_EQUAL, big, NULL), ERR_TOO_LARGE);
	assert_int_equal(matchers_add(&m, "a", 0, "x", NULL), ERR_INVALID);
	for (int i = 0; i < 64; i++)
		assert_int_equal(matchers_add(&m, "a", MATCHER_EQUAL, "x", NULL), 0);
	assert_int_equal(matchers_add(&m, "a", MATCHER_EQUAL, "x", NULL), ERR_TOO_LARGE);
	matchers_release(&m);
}

static void test_print_parses_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
		struct matchers m = {0}, again = {0};
		auto_buf text = {0}, second = {0};
		assert_int_equal(matchers_parse(matches[i].text, &m, NULL), 0);
		matchers_print(&m, &text);
		assert_int_equal(matchers_parse(buf_str(&text), &again, NULL), 0);
		matchers_print(&again, &second);
		assert_string_equal(buf_str(&text), buf_str(&second));
		assert_int_equal(again.n, m.n);
		for (size_t j = 0; j < m.n; j++)
			assert_string_equal(again.items[j].value, m.items[j].value);
		assert_int_equal(matchers_match(&again, lookup, db), matches[i].match);
		matchers_release(&m);
		matchers_release(&again);
	}
}

static int64_t cpu_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Exponential for a backtracking engine without limits. What it costs, not how long others let it
 * wait. */
static void test_hostile_labels_are_not_slow(void **state)
{
	(void)state;
	struct matchers m = {0};
	auto_free char *value = mem_alloc(4097);
	memset(value, 'a', 4095);
	value[4095] = '!';
	const struct pair labels[] = {{"x", value}, {0}};
	assert_int_equal(matchers_parse("x=~\"(a+)+(a|aa)+\"", &m, NULL), 0);
	int64_t start = cpu_ms();
	for (int i = 0; i < 100; i++)
		assert_false(matchers_match(&m, lookup, labels));
	assert_true(cpu_ms() - start < 2000);
	matchers_release(&m);
	/* A label that cannot be judged must not count as "is not prod". */
	assert_int_equal(matchers_parse("x!~\"(a+)+(a|aa)+\"", &m, NULL), 0);
	assert_false(matchers_match(&m, lookup, labels));
	matchers_release(&m);
}

static void test_yaml(void **state)
{
	(void)state;
	static const char text[] = "list: ['service=\"db\"', 'env=~\"dev.*\"']\n"
				   "map: {service: db, severity: critical}\n"
				   "bad:\n  - 'service=\"db\"'\n  - 'env'\n"
				   "scalar: x\n";
	struct yaml_doc doc = {0};
	struct matchers m = {0};
	struct why why = {0};
	assert_int_equal(yaml_parse_text("test.yaml", text, sizeof(text) - 1, &doc, NULL), 0);
	assert_int_equal(matchers_from_yaml(yaml_get(doc.root, "list"), &m, &why), 0);
	assert_int_equal(m.n, 2);
	assert_int_equal(matchers_from_yaml(yaml_get(doc.root, "map"), &m, &why), 0);
	assert_int_equal(m.n, 4);
	assert_true(matchers_match(&m, lookup, db));
	assert_int_equal(matchers_from_yaml(yaml_get(doc.root, "bad"), &m, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "test.yaml:5"));
	assert_int_equal(matchers_from_yaml(yaml_get(doc.root, "scalar"), &m, NULL), ERR_CONFIG);
	assert_int_equal(m.n, 4);
	matchers_release(&m);
	yaml_release(&doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_no_matchers_match_everything),
		cmocka_unit_test(test_errors_say_where_and_leave_nothing),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_print_parses_back),
		cmocka_unit_test(test_hostile_labels_are_not_slow),
		cmocka_unit_test(test_yaml),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
