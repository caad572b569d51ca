#include "common/breaker.h"

#include <setjmp.h>
#include <cmocka.h>

static void record_n(struct breaker *b, unsigned n, bool ok, int64_t took_ms)
{
	for (unsigned i = 0; i < n; i++)
		breaker_record(b, 1000, ok, took_ms);
}

static void test_defaults(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b, NULL);
	assert_int_equal(b.options.open_ms, 5000);
	assert_int_equal(b.options.open_max_ms, 300000);
	assert_int_equal(b.options.calls_min, 5);
	assert_true(b.options.failure_rate_max > 0.49 && b.options.failure_rate_max < 0.51);
	assert_string_equal(breaker_state_name(b.state), "closed");
	assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half-open");
	assert_string_equal(breaker_state_name((enum breaker_state)9), "unknown");
}

/* good calls, then bad ones: how many bad ones open it */
static const struct row {
	const char *name;
	unsigned good;
	int64_t good_ms;
	bool ok; /* of the bad ones: slow, not failing */
	int64_t bad_ms;
	unsigned opens_after_min, opens_after_max; /* 0: never within 100 */
} rows[] = {
	{"all fail from the start", 0, 0, false, 10, 5, 5},
	{"failures after a long good time", 100, 20, false, 20, 3, 3},
	{"latency times ten", 100, 100, true, 1000, 3, 12},
	{"latency times two", 100, 100, true, 200, 0, 0},
	{"fast is fast: 1 ms against 9 ms", 100, 1, true, 9, 0, 0},
	{"all well", 100, 50, true, 50, 0, 0},
};

static void test_opens(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct breaker b;
		unsigned n = 0;

		breaker_init(&b, NULL);
		record_n(&b, rows[i].good, true, rows[i].good_ms);
		assert_int_equal(b.state, BREAKER_CLOSED);
		while (n < 100 && b.state == BREAKER_CLOSED) {
			breaker_record(&b, 1000, rows[i].ok, rows[i].bad_ms);
			n++;
		}
		if (b.state == BREAKER_CLOSED)
			n = 0;
		if (n < rows[i].opens_after_min || n > rows[i].opens_after_max)
			fail_msg("%s: opened after %u", rows[i].name, n);
	}
}

static void test_single_failure_is_tolerated(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b, NULL);
	for (unsigned i = 0; i < 200; i++)
		breaker_record(&b, 1000, i % 10 != 9, 30);
	assert_int_equal(b.state, BREAKER_CLOSED);
}

static void test_cool_off_doubles_to_cap(void **state)
{
	struct breaker b;
	int64_t now = 0, wait = 0;
	static const int64_t expect[] = {5000, 10000, 20000, 40000, 80000, 160000, 300000, 300000};

	(void)state;
	breaker_init(&b, NULL);
	for (unsigned i = 0; i < 5; i++)
		breaker_record(&b, now, false, 1);
	for (size_t i = 0; i < ARRAY_SIZE(expect); i++) {
		assert_int_equal(b.state, BREAKER_OPEN);
		assert_false(breaker_allow(&b, now, &wait));
		assert_int_equal(wait, expect[i]);
		assert_false(breaker_allow(&b, now + wait - 1, &wait));
		now += expect[i];
		assert_true(breaker_allow(&b, now, &wait));
		assert_int_equal(b.state, BREAKER_HALF_OPEN);
		breaker_record(&b, now, false, 1);
	}
}

static void test_one_probe_at_a_time(void **state)
{
	struct breaker b;
	int64_t wait = 0;

	(void)state;
	breaker_init(&b, NULL);
	record_n(&b, 5, false, 1);
	assert_true(breaker_allow(&b, 6000, &wait));
	assert_false(breaker_allow(&b, 6000, &wait));
	assert_true(wait > 0);
	breaker_record(&b, 6001, true, 10);
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_true(breaker_allow(&b, 6002, &wait));
	/* Still on probation: failing again at once waits longer than the first time. */
	record_n(&b, 5, false, 1);
	assert_false(breaker_allow(&b, 1000, &wait));
	assert_int_equal(wait, 10000);
}

static void test_good_calls_end_the_row(void **state)
{
	struct breaker b;
	int64_t wait = 0;

	(void)state;
	breaker_init(&b, NULL);
	record_n(&b, 5, false, 1);
	assert_true(breaker_allow(&b, 6000, &wait));
	breaker_record(&b, 6000, true, 1);
	record_n(&b, 20, true, 1);
	record_n(&b, 5, false, 1);
	assert_false(breaker_allow(&b, 1000, &wait));
	assert_int_equal(wait, 5000);
}

static void test_late_result_while_open(void **state)
{
	struct breaker b;

	(void)state;
	breaker_init(&b, NULL);
	record_n(&b, 5, false, 1);
	record_n(&b, 5, true, 1);
	assert_int_equal(b.state, BREAKER_OPEN);
}

static void test_backoff(void **state)
{
	int64_t ms = 0;

	(void)state;
	assert_int_equal(backoff_next_ms(0, 100, 5000, 0), 100);
	assert_int_equal(backoff_next_ms(100, 100, 5000, 0.5), 200);
	assert_int_equal(backoff_next_ms(4000, 100, 5000, 0.999999999), 4999);
	assert_int_equal(backoff_next_ms(50, 100, 80, 0.5), 80);
	for (unsigned i = 0; i < 1000; i++) {
		ms = backoff_next_ms(ms, 20, 1000, (double)(i * 7919 % 1000) / 1000);
		assert_in_range(ms, 20, 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_single_failure_is_tolerated),
		cmocka_unit_test(test_cool_off_doubles_to_cap),
		cmocka_unit_test(test_one_probe_at_a_time),
		cmocka_unit_test(test_good_calls_end_the_row),
		cmocka_unit_test(test_late_result_while_open),
		cmocka_unit_test(test_backoff),
	};

	return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
