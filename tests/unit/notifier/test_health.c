#include "tests/unit/notifier/bench.h"

#define HEALED HEALBUS__VERDICT__VERDICT_HEALED
#define FAILED HEALBUS__VERDICT__VERDICT_FAILED
#define DENIED HEALBUS__VERDICT__VERDICT_DENIED
#define HOUR (60 * MINUTE)

/* What is told of incidents waits a day, so that all else is about healbus. */
#define RULES(route)                                                                               \
	"channels:\n"                                                                              \
	"  - {name: tty, type: terminal, path: /dev/null}\n"                                       \
	"  - {name: mail, type: terminal, path: /dev/null}\n"                                      \
	"receivers:\n"                                                                             \
	"  - {name: ops, channels: [tty]}\n"                                                       \
	"  - {name: keepers, channels: [mail]}\n"                                                  \
	"time_intervals:\n"                                                                        \
	"  - {name: late, time_intervals: [{times: [{start_time: '22:00', end_time: "              \
	"'24:00'}]}]}\n"                                                                           \
	"route: {receiver: ops, group_wait: 1d" route "}\n"

static void ended(struct bench *b, Healbus__Verdict verdict, int times)
{
	for (int i = 0; i < times; i++)
		bench_outcome(b, "plan1", "inc1", verdict, NULL);
}

static void seen(struct bench *b, uint64_t dead_seq, uint64_t behind)
{
	Healbus__Health health = HEALBUS__HEALTH__INIT;
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	SET(&health, dead_seq, dead_seq);
	SET(&health, behind, behind);
	health.slowest = (char *)"plans";
	c.health = &health;
	bench_control(b, &c, HEALBUS__CONTROL_KIND__CONTROL_HEALTH, "health");
}

/* The n-th notice about healbus itself, from 0; NULL when there are fewer. */
static Healbus__Notice *said(struct bench *b, size_t n)
{
	for (size_t i = 0; bench_notice(b, i); i++)
		if (str_eq(bench_notice(b, i)->kind, "health") && n-- == 0)
			return bench_notice(b, i);
	return NULL;
}

static void test_failing_repairs(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, RULES(""));
	ended(&b, HEALED, 7);
	ended(&b, FAILED, 3);
	bench_wait(&b, MINUTE);
	assert_null(said(&b, 0)); /* 30 % is not over 30 % */
	ended(&b, FAILED, 1);
	bench_wait(&b, 29 * SECOND);
	assert_null(said(&b, 0));
	bench_wait(&b, SECOND);
	assert_string_equal(said(&b, 0)->subject,
			    "[critical] healbus: 4 of the last 11 repairs failed (36 %)");
	assert_int_equal(said(&b, 0)->severity, HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	/* Again at most once an hour, in one. */
	ended(&b, FAILED, 5);
	bench_wait(&b, 50 * MINUTE);
	assert_null(said(&b, 1));
	bench_wait(&b, 10 * MINUTE);
	assert_non_null(strstr(said(&b, 1)->text, "5 times in"));
	/* What is long ago does not count. */
	bench_wait(&b, 2 * HOUR);
	ended(&b, FAILED, 4);
	bench_wait(&b, HOUR);
	assert_null(said(&b, 2));
	bench_close(&b);
}

static void test_too_few_and_refused_ones_say_nothing(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, RULES(""));
	ended(&b, FAILED, 4);
	ended(&b, DENIED, 20);
	bench_wait(&b, HOUR);
	assert_null(said(&b, 0));
	bench_close(&b);
}

static void test_over_before_it_was_told(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, RULES(""));
	ended(&b, FAILED, 2);
	ended(&b, HEALED, 4);
	ended(&b, FAILED, 1); /* 3 of 7 */
	ended(&b, HEALED, 4); /* 3 of 11 */
	bench_wait(&b, HOUR);
	assert_null(said(&b, 0));
	bench_close(&b);
}

static void test_dead_letters(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, RULES(""));
	seen(&b, 2, 0);
	bench_wait(&b, MINUTE);
	assert_non_null(strstr(said(&b, 0)->subject, "2 messages could not be read"));
	seen(&b, 2, 0);
	bench_wait(&b, 2 * HOUR);
	assert_null(said(&b, 1));
	seen(&b, 3, 0);
	bench_wait(&b, MINUTE);
	assert_non_null(strstr(said(&b, 1)->subject, "1 message could not be read"));
	seen(&b, 1, 0); /* a new stream, and what it holds is not new to us */
	seen(&b, 2, 0);
	bench_wait(&b, 2 * HOUR);
	assert_non_null(strstr(said(&b, 2)->subject, "1 message could not be read"));
	bench_close(&b);
}

static void test_lag(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, RULES(""));
	seen(&b, 0, 999);
	seen(&b, 0, 5000);
	seen(&b, 0, 3); /* caught up */
	bench_wait(&b, MINUTE);
	assert_null(said(&b, 0));
	seen(&b, 0, 5000);
	bench_wait(&b, MINUTE);
	assert_string_equal(said(&b, 0)->subject,
			    "[warning] healbus: plans is 5000 messages behind");
	bench_close(&b);
}

static void test_routes_floors_and_quiet_hours(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, RULES(", severity: error, mute_time_intervals: [late], routes: [{matchers: "
			     "['service=\"healbus\"', 'alertname=\"HealbusDeadLetters\"'], "
			     "receiver: keepers, severity: info}]"));
	seen(&b, 1, 5000); /* a lag is a warning, under the floor */
	ended(&b, FAILED, 5);
	bench_wait(&b, MINUTE);
	assert_string_equal(said(&b, 0)->channel, "mail");
	assert_null(said(&b, 1));
	bench_wait(&b, 106 * MINUTE); /* midnight */
	assert_string_equal(said(&b, 1)->channel, "tty");
	assert_non_null(strstr(said(&b, 1)->text, "HealbusHealingFailing"));
	assert_null(said(&b, 2));
	bench_close(&b);
}

static void test_a_late_repair(void **state UNUSED)
{
	Healbus__Outcome o = HEALBUS__OUTCOME__INIT;
	static uint8_t digest[DIGEST_BYTES] = {1};
	struct bench b;
	bench_open(&b, RULES(""));
	o.id = (char *)"o1";
	o.incident = (char *)"inc1";
	o.plan_id = (char *)"plan1";
	o.has_plan_digest = 1;
	o.plan_digest = (ProtobufCBinaryData){sizeof(digest), digest};
	SET(&o, attempt, 3);
	SET(&o, verdict, HEALED);
	bench_send(&b, KIND_OUTCOME, "inc1", &o.base, NULL);
	bench_wait(&b, MINUTE);
	assert_string_equal(said(&b, 0)->subject,
			    "[info] healbus: incident inc1 was healed at attempt 3 with 0 steps");
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failing_repairs),
		cmocka_unit_test(test_too_few_and_refused_ones_say_nothing),
		cmocka_unit_test(test_over_before_it_was_told),
		cmocka_unit_test(test_dead_letters),
		cmocka_unit_test(test_lag),
		cmocka_unit_test(test_routes_floors_and_quiet_hours),
		cmocka_unit_test(test_a_late_repair),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
