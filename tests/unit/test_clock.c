#include "common/clock.h"
#include "common/err.h"

#include <setjmp.h>
#include <cmocka.h>

struct row {
	const char *text;
	int64_t ms;
};

static void test_clocks(void **state UNUSED)
{
	int64_t real = clock_real_ms();
	int64_t mono = clock_mono_ms();

	assert_true(real > INT64_C(1700000000000));
	assert_true(clock_real_ns() / 1000000 >= real);
	assert_true(clock_mono_ms() >= mono);
	clock_fake(1000, 7);
	assert_int_equal(clock_real_ms(), 1000);
	assert_int_equal(clock_real_ns(), 1000000000);
	assert_int_equal(clock_mono_ms(), 7);
	clock_unfake();
	assert_true(clock_real_ms() >= real);
}

static void test_time_format(void **state UNUSED)
{
	static const struct row rows[] = {
		{"1970-01-01T00:00:00.000Z", 0},
		{"2026-11-21T09:03:52.079Z", INT64_C(1795251832079)},
		{"2000-02-29T23:59:59.999Z", INT64_C(951868799999)},
		{"1969-12-31T23:59:59.999Z", -1},
		{"0000-01-01T00:00:00.000Z", INT64_MIN},
		{"9999-12-31T23:59:59.999Z", INT64_MAX},
	};
	char out[TIME_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(time_format(rows[i].ms, out), rows[i].text);
}

static void test_time_parse(void **state UNUSED)
{
	static const struct row rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-21T09:03:52.079Z", INT64_C(1795251832079)},
		{"2026-11-21T10:03:52.079+01:00", INT64_C(1795251832079)},
		{"2026-11-21t03:33:52.079999999-05:30", INT64_C(1795251832079)},
		{"2026-11-21T09:03:52.5z", INT64_C(1795251832500)},
		{"2016-12-31T23:59:60Z", INT64_C(1483228800000)},
		{"2017-01-01T00:59:60+01:00", INT64_C(1483228800000)},
		{"0001-01-01T00:00:00Z", 0},
		{"0001-01-01T00:00:00.001Z", INT64_C(-62135596799999)},
		{"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
		{"2000-02-29T00:00:00Z", INT64_C(951782400000)},
		{"1969-12-31T23:59:59.5Z", -500},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t ms = -2;

		assert_int_equal(time_parse(rows[i].text, &ms), 0);
		assert_int_equal(ms, rows[i].ms);
	}
}

static void test_time_parse_refuses(void **state UNUSED)
{
	static const char *const rows[] = {
		"",
		"2026",
		"2026-11-21",
		"2026-11-21T09:03:52",
		"2026-11-21 09:03:52Z",
		"2026-11-21T09:03Z",
		"2026-11-21T09:03:52.Z",
		"2026-11-21T09:03:52.1234567890Z",
		"2026-13-21T09:03:52Z",
		"2026-00-21T09:03:52Z",
		"2026-11-31T09:03:52Z",
		"2026-11-00T09:03:52Z",
		"2023-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2026-11-21T24:00:00Z",
		"2026-11-21T09:60:00Z",
		"2026-11-21T09:03:61Z",
		"2026-11-21T09:03:60Z",
		"2026-11-21T09:03:52+24:00",
		"2026-11-21T09:03:52+01:60",
		"2026-11-21T09:03:52+0100",
		"2026-11-21T09:03:52Zx",
		" 2026-11-21T09:03:52Z",
		"+026-11-21T09:03:52Z",
		"2026-11-21T09:03:52+1:00",
		"2026-1-21T09:03:52Z",
	};
	int64_t ms = 42;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(time_parse(rows[i], &ms), ERR_INVALID);
	assert_int_equal(ms, 42);
}

static void test_every_day_comes_back(void **state UNUSED)
{
	char out[TIME_TEXT_BYTES];

	for (int64_t day = -719528; day < 2932896; day += 13) {
		int64_t ms = day * 86400000 + 45296789;
		int64_t back;
		struct tm tm;
		time_t at = ms / 1000 - (ms % 1000 < 0);

		time_format(ms, out);
		assert_int_equal(time_parse(out, &back), 0);
		assert_int_equal(back, ms);
		gmtime_r(&at, &tm);
		assert_int_equal(strtol(out, NULL, 10), tm.tm_year + 1900);
		assert_int_equal(strtol(out + 8, NULL, 10), tm.tm_mday);
	}
}

static void test_duration_parse(void **state UNUSED)
{
	static const struct row rows[] = {
		{"0", 0},
		{"0s", 0},
		{"90ms", 90},
		{"30s", 30000},
		{"5m", 300000},
		{"2h", 7200000},
		{"1d", 86400000},
		{"1h30m", 5400000},
		{"1w", 604800000},
		{"1y", INT64_C(31536000000)},
		{"1d2h3m4s5ms", 93784005},
		{"9223372036854775807ms", INT64_MAX},
		{"007s", 7000},
	};
	static const char *const bad[] = {
		"",
		"s",
		"5",
		"00",
		"-5s",
		"+5s",
		"5 s",
		"5s ",
		" 5s",
		"1.5h",
		"5S",
		"5min",
		"30m1h",
		"1s1s",
		"1ms1s",
		"5sx",
		"9223372036854775808ms",
		"9223372036854775807s",
		"9223372036854775807ms1s",
		"99999999999999999999s",
		"106751991168d",
		"106751991167d8h",
	};
	int64_t ms = 42;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(duration_parse(rows[i].text, &ms), 0);
		assert_int_equal(ms, rows[i].ms);
	}
	ms = 42;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(duration_parse(bad[i], &ms), ERR_INVALID);
	assert_int_equal(ms, 42);
}

static void test_duration_format(void **state UNUSED)
{
	static const struct row rows[] = {
		{"0s", 0},
		{"1m30s", 90000},
		{"999ms", 999},
		{"1d", 86400000},
		{"7d", 604800000},
		{"1d2h3m4s5ms", 93784005},
		{"-1s", -1000},
		{"106751991167d7h12m55s807ms", INT64_MAX},
		{"-106751991167d7h12m55s808ms", INT64_MIN},
	};
	char out[DURATION_TEXT_BYTES];
	int64_t back;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_string_equal(duration_format(rows[i].ms, out), rows[i].text);
		if (rows[i].ms < 0)
			continue;
		assert_int_equal(duration_parse(out, &back), 0);
		assert_int_equal(back, rows[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_time_format),
		cmocka_unit_test(test_time_parse),
		cmocka_unit_test(test_time_parse_refuses),
		cmocka_unit_test(test_every_day_comes_back),
		cmocka_unit_test(test_duration_parse),
		cmocka_unit_test(test_duration_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
