#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"

#include <jansson.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/stat.h>

static void test_growing(void **state UNUSED)
{
	auto_buf b = {0};
	auto_free char *detached = NULL;

	assert_string_equal(buf_str(&b), "");
	buf_add(&b, NULL, 0);
	assert_non_null(b.data);
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
	assert_int_equal(strlen(b.data), b.len);
	buf_reset(&b);
	assert_string_equal(buf_str(&b), "");
	buf_printf(&b, "%0500d", 1);
	assert_int_equal(b.len, 500);
	buf_reset(&b);
	buf_add_str(&b, "ab");
	buf_add_char(&b, 'c');
	buf_add_hex(&b, "\x00\xff\x1a", 3);
	assert_string_equal(b.data, "abc00ff1a");
	detached = buf_detach(&b);
	assert_string_equal(detached, "abc00ff1a");
	assert_null(b.data);
	free(detached);
	detached = buf_detach(&b);
	assert_string_equal(detached, "");
	buf_reset(&b);
}

struct pair {
	const char *in;
	const char *out;
};

static void test_json(void **state UNUSED)
{
	static const struct pair rows[] = {
		{"", "\"\""},
		{"plain text, longer than eight bytes", "\"plain text, longer than eight bytes\""},
		{"a\"b\\c/d", "\"a\\\"b\\\\c/d\""},
		{"\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""},
		{"\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\""},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		 "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"12345678\"", "\"12345678\\\"\""},
		{"1234567\n", "\"1234567\\n\""},
		{"a\xff"
		 "b",
		 "\"a\xef\xbf\xbd"
		 "b\""},
		{"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	};
	auto_buf b = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		buf_reset(&b);
		buf_add_json(&b, rows[i].in, strlen(rows[i].in));
		assert_string_equal(b.data, rows[i].out);
	}
	buf_reset(&b);
	buf_add_json(&b, "a\0b", 3);
	assert_string_equal(b.data, "\"a\\u0000b\"");
	buf_reset(&b);
	buf_add_json(&b, NULL, 0);
	assert_string_equal(b.data, "\"\"");
}

/* Whatever the bytes, the result is JSON; and what was UTF-8 comes back as it was. */
static void test_json_of_random_bytes(void **state UNUSED)
{
	const char *given = getenv("HEALBUS_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	unsigned start = seed;
	auto_buf b = {0};

	printf("# seed %u\n", start);
	for (int round = 0; round < 20000; round++) {
		char bytes[40];
		size_t len = (size_t)rand_r(&seed) % sizeof bytes;
		json_t *value;

		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)(rand_r(&seed) % 4 ? 1 + rand_r(&seed) % 0x7f
							    : rand_r(&seed));
		buf_reset(&b);
		buf_add_json(&b, bytes, len);
		assert_true(utf8_valid(b.data, b.len));
		value = json_loadb(b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		assert_non_null(value);
		if (utf8_valid(bytes, len)) {
			assert_int_equal(json_string_length(value), len);
			assert_memory_equal(json_string_value(value), bytes, len);
		}
		json_decref(value);
	}
}

static void test_printable(void **state UNUSED)
{
	static const struct pair rows[] = {
		{"", ""},
		{"two\nlines\tand a tab", "two\nlines\tand a tab"},
		{"\x1b[31mred\x1b[0m\r", "\\x1b[31mred\\x1b[0m\\x0d"},
		{"\x7f\xc2\x9b", "\\x7f\\u{009b}"},
		{"a\xe2\x80\xae"
		 "b",
		 "a\\u{202e}b"},
		{"z\xe2\x80\x8bw", "z\\u{200b}w"},
		{"\xef\xbb\xbf", "\\u{feff}"},
		{"\xf3\xa0\x81\xa1", "\\u{e0061}"},
		{"\xe2\x81\xa6\xd8\x9c", "\\u{2066}\\u{061c}"},
		{"\xff\xc3(", "\\xff\\xc3("},
		{"gr\xc3\xbc\xc3\x9f \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80",
		 "gr\xc3\xbc\xc3\x9f \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80"},
	};
	auto_buf b = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		buf_reset(&b);
		buf_add_printable(&b, rows[i].in, strlen(rows[i].in));
		assert_string_equal(b.data, rows[i].out);
	}
}

static void test_utf8(void **state UNUSED)
{
	static const char *const good[] = {"",
					   "ascii only, long enough",
					   "\xc2\x80",
					   "\xed\x9f\xbf\xee\x80\x80",
					   "\xf4\x8f\xbf\xbf",
					   "12345678\xc3\xa9",
					   "1234567\xc3\xa9"};
	static const char *const bad[] = {"\x80",
					  "\xc1\xbf",
					  "\xe0\x9f\xbf",
					  "\xed\xa0\x80",
					  "\xf0\x8f\xbf\xbf",
					  "\xf4\x90\x80\x80",
					  "\xf5\x80\x80\x80",
					  "\xc3",
					  "\xe2\x82",
					  "\xf0\x9f\x98",
					  "12345678\xff",
					  "1234567\xe2(\xa1"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(utf8_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(utf8_valid(bad[i], strlen(bad[i])));
}

static void test_read_file(void **state UNUSED)
{
	char path[] = "/tmp/test_buf.XXXXXX";
	auto_fd int fd = mkstemp(path);
	auto_buf b = {0};

	assert_true(fd >= 0);
	assert_int_equal(buf_read_file(&b, path, 0), 0);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	buf_add_str(&b, "x");
	assert_int_equal(buf_read_file(&b, path, 9), ERR_TOO_LARGE);
	assert_string_equal(b.data, "x");
	assert_int_equal(buf_read_file(&b, path, 10), 0);
	assert_string_equal(b.data, "x0123456789");
	assert_int_equal(ftruncate(fd, 300000), 0);
	buf_reset(&b);
	assert_int_equal(buf_read_file(&b, path, 299999), ERR_TOO_LARGE);
	assert_int_equal(buf_read_file(&b, path, 300000), 0);
	assert_int_equal(b.len, 300000);
	unlink(path);
	assert_int_equal(buf_read_file(&b, path, 10), ERR_NOT_FOUND);
	assert_int_equal(buf_read_file(&b, "/dev/null/x", 10), ERR_NOT_FOUND);
	assert_int_equal(buf_read_file(&b, "/tmp", 10), ERR_IO);
	assert_int_equal(b.len, 300000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growing),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_of_random_bytes),
		cmocka_unit_test(test_printable),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_read_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
