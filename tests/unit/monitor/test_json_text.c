#include "monitor/json_text.h"
#include "common/buf.h"

#include <jansson.h>
#include <setjmp.h>
#include <cmocka.h>

static bool valid(const char *text)
{
	struct why why = {0};

	return json_text_check(text, strlen(text), &why) == 0;
}

static void test_valid(void **state)
{
	static const char *const texts[] = {"{}",
					    "[]",
					    "0",
					    "-0.5e+10",
					    "\"\"",
					    "null",
					    "true",
					    " [ 1 , 2 ] \n",
					    "{\"a\":{\"b\":[{},[],[[]]]},\"c\":\"\\u00e9\\n\\\\\"}",
					    "1E3",
					    "\"\xc3\xa9\"",
					    "\"\\ud83d\\ude00\\uDBFF\\uDFFF\"",
					    "[{\"a\":1},{\"b\":[null,false]}]"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_true(valid(texts[i]));
}

static void test_invalid(void **state)
{
	static const char *const texts[] = {"",
					    " ",
					    "{",
					    "}",
					    "[1,]",
					    "{\"a\":1,}",
					    "{a:1}",
					    "01",
					    "+1",
					    ".5",
					    "1.",
					    "1e",
					    "-",
					    "nul",
					    "truex",
					    "[1 2]",
					    "{\"a\" 1}",
					    "{\"a\":}",
					    "\"",
					    "\"\\x\"",
					    "\"\\u12g4\"",
					    "\"\t\"",
					    "[1]]",
					    "{} {}",
					    "[}",
					    "{]",
					    "\xff",
					    "\"\xc3\"",
					    "{\"a\"",
					    "{\"a\":1",
					    "[\"a\"",
					    "'a'",
					    "\"\\ud83d\"",
					    "\"\\ude00\"",
					    "\"\\ud83d\\u0041\"",
					    "\"\\ud83dude00\"",
					    "\"\\ud83d\\ud83d\""};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (valid(texts[i]))
			fail_msg("taken: %s", texts[i]);
	}
}

static void test_depth_and_position(void **state)
{
	auto_buf text = {0};
	struct why why = {0};

	(void)state;
	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		buf_add_char(&text, '[');
	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		buf_add_char(&text, ']');
	assert_true(valid(buf_str(&text)));
	buf_reset(&text);
	for (int i = 0; i <= JSON_DEPTH_MAX; i++)
		buf_add_char(&text, '[');
	assert_false(valid(buf_str(&text)));
	assert_int_equal(json_text_check("{\"a\":?}", 7, &why), ERR_INVALID);
	assert_string_equal(why.text, "not JSON: byte 5: a value is missing");
}

/* Random documents, whole and damaged: the same answer as the parser that reads them later. */
static void random_value(struct buf *out, unsigned *seed, int depth)
{
	static const char *const scalars[] = {"null",  "true",           "-12.5e3",         "0",
					      "\"x\"", "\"\\u0041\\n\"", "\"\xe2\x82\xac\""};
	int kind = rand_r(seed) % (depth > 4 ? 1 : 3), n = rand_r(seed) % 4;

	if (kind == 0) {
		buf_add_str(out, scalars[(size_t)rand_r(seed) % ARRAY_SIZE(scalars)]);
		return;
	}
	buf_add_char(out, kind == 1 ? '[' : '{');
	for (int i = 0; i < n; i++) {
		buf_add_str(out, i ? ", " : " ");
		if (kind == 2)
			buf_printf(out, "\"k%d\" : ", i);
		random_value(out, seed, depth + 1);
	}
	buf_add_char(out, kind == 1 ? ']' : '}');
}

static void test_agrees_with_the_parser(void **state)
{
	const char *given = getenv("HEALBUS_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);

	(void)state;
	print_message("# seed %u\n", seed);
	for (int i = 0; i < 20000; i++) {
		auto_buf text = {0};
		json_error_t error = {0};
		json_t *parsed;

		random_value(&text, &seed, 0);
		for (int k = rand_r(&seed) % 3; k > 0; k--)
			text.data[(size_t)rand_r(&seed) % text.len] =
				" []{},:\"0e.-\\ntf1\x01"[rand_r(&seed) % 18];
		/* jansson takes one thing RFC 8259 does too: any value at the top. */
		parsed = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
		/* A number that fits no double is well-formed all the same. */
		if (!parsed && json_error_code(&error) == json_error_numeric_overflow)
			continue;
		if ((parsed != NULL) != (json_text_check(text.data, text.len, NULL) == 0))
			fail_msg("%s: parser says %s", buf_str(&text), parsed ? "yes" : "no");
		json_decref(parsed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_depth_and_position),
		cmocka_unit_test(test_agrees_with_the_parser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
