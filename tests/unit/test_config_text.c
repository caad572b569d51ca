#include "common/config.h"

#include <setjmp.h>
#include <cmocka.h>

static void test_bytes(void **state UNUSED)
{
	static const struct {
		const char *text;
		int64_t bytes;
	} good[] = {{"0", 0},
		    {"4096", 4096},
		    {"1B", 1},
		    {"64KiB", 65536},
		    {"64MiB", 64 << 20},
		    {"2GiB", INT64_C(2) << 30},
		    {"1TiB", INT64_C(1) << 40},
		    {"5kB", 5000},
		    {"5MB", 5000000},
		    {"5GB", INT64_C(5000000000)},
		    {"1TB", INT64_C(1000000000000)}};
	static const char *const bad[] = {"",
					  "MiB",
					  "-1",
					  "1.5MiB",
					  "1 MiB",
					  "1mib",
					  "1K",
					  "1M",
					  "9223372036854775808",
					  "9007199254740992KiB",
					  "1KiBx"};
	int64_t bytes = 42;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(bytes_parse(good[i].text, &bytes), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
	bytes = 42;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(bytes_parse(bad[i], &bytes), ERR_INVALID);
	assert_int_equal(bytes, 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
