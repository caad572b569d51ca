/* The rates' arithmetic. */
#include "executor/rate.h"
#include "tests/unit/executor/support.h"

enum { HOUR = RATE_WINDOW_MS, NOW = 10 * HOUR };

static void test_round_trip(void **state)
{
	(void)state;
	struct rate_log log, again;
	auto_buf text = {0};
	rate_parse("35999000 s1 p1\ngarbage\n35999500 s2 p2\n1 old p0\n", NOW, &log);
	assert_int_equal(log.n, 2);
	assert_string_equal(log.items[1].step, "s2");
	rate_format(&log, &text);
	assert_string_equal(buf_str(&text), "35999000 s1 p1\n35999500 s2 p2\n");
	rate_parse(buf_str(&text), NOW, &again);
	assert_int_equal(again.n, 2);
	rate_parse("", NOW, &again);
	assert_int_equal(again.n, 0);
}

static void test_bounded(void **state)
{
	(void)state;
	struct rate_log log;
	auto_buf text = {0};
	for (int i = 0; i < 2 * RATE_ENTRIES_MAX; i++)
		buf_printf(&text, "%d s%d p%d\n", NOW - 1, i, i);
	rate_parse(buf_str(&text), NOW, &log);
	assert_int_equal(log.n, RATE_ENTRIES_MAX - 1);
}

static void test_decide(void **state)
{
	(void)state;
	static const struct {
		const char *log, *step, *plan;
		int64_t max, cooldown_ms;
		int rc;
		int64_t wait_ms;
	} rows[] = {
		{"", "s", "p", 1, 60000, 0, 0},
		/* the pause between plans, not within one */
		{"35990000 a p1\n", "s", "p2", 9, 60000, ERR_BUSY, 50000},
		{"35990000 a p1\n", "s", "p1", 9, 60000, 0, 0},
		{"35940000 a p1\n", "s", "p2", 9, 60000, 0, 0},
		{"35990000 a p1\n", "s", "p2", 9, 0, 0, 0},
		/* noted a moment after we looked */
		{"36000003 a p1\n", "s", "p2", 9, 0, 0, 0},
		/* another executor's clock is ahead; ours was put back */
		{"36010000 a p1\n", "s", "p2", 9, 60000, ERR_BUSY, 70000},
		{"39600000 a p1\n", "s", "p2", 9, 60000, 0, 0},
		/* so many plans an hour */
		{"33000000 a p1\n34000000 b p2\n", "s", "p3", 2, 0, ERR_BUSY, 600000},
		{"33000000 a p1\n34000000 b p2\n", "s", "p3", 3, 0, 0, 0},
		{"35000000 c p3\n33000000 a p1\n34000000 b p2\n", "s", "p4", 2, 0, ERR_BUSY,
		 1600000},
		{"32400000 a p1\n34000000 b p2\n", "s", "p3", 2, 0, 0, 0},
		{"33000000 a p1\n34000000 b p2\n", "s", "p3", 0, 0, 0, 0},
		/* the steps of one plan count as one, and none is held in its middle */
		{"33000000 a p1\n34000000 b p1\n", "s", "p2", 2, 0, 0, 0},
		{"33000000 a p1\n34000000 b p1\n35000000 c p2\n", "s", "p3", 2, 0, ERR_BUSY,
		 1600000},
		{"33000000 a p1\n34000000 b p2\n", "s", "p2", 2, 0, 0, 0},
		{"35990000 b p1\n", "b", "p1", 1, 60000, 0, 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rate_log log;
		struct why why = {0};
		int64_t wait_ms = 0;
		struct rate_ask ask = {
			.target = "web", .step = rows[i].step, .plan = rows[i].plan, .now_ms = NOW};
		rate_parse(rows[i].log, NOW, &log);
		int rc = rate_decide(&log, &ask, rows[i].max, rows[i].cooldown_ms, &wait_ms, &why);
		if (rc != rows[i].rc || wait_ms != rows[i].wait_ms)
			fail_msg("row %zu: %s, wait %" PRId64 " (%s)", i, err_name(rc), wait_ms,
				 why.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
					   cmocka_unit_test(test_bounded),
					   cmocka_unit_test(test_decide)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
