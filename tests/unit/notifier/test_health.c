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

/* One exchange; error NULL: an answer. budget: permille, negative: none. */
static void exchanged(struct bench *b, const char *provider, const char *error, int budget)
{
	Healbus__ModelExchange m = HEALBUS__MODEL_EXCHANGE__INIT;
	m.id = (char *)"x1";
	m.incident = (char *)"inc1";
	m.provider = (char *)provider;
	m.prompt = (char *)"what is wrong?";
	m.error = (char *)error;
	SET(&m, state, HEALBUS__MODEL_STATE__MODEL_EXCHANGED);
	SET(&m, started_at_ms, b->now_ms);
	if (budget >= 0)
		SET(&m, budget_permille, (uint32_t)budget);
	bench_send(b, KIND_MODEL, "inc1", &m.base, NULL);
}

static void fails(struct bench *b, const char *provider, int times)
{
	while (times-- > 0)
		exchanged(b, provider, "HTTP 500: boom", -1);
}

/* It was not asked. */
static void passed_over(struct bench *b, const char *provider, const char *error, bool left_alone)
{
	Healbus__ModelExchange m = HEALBUS__MODEL_EXCHANGE__INIT;
	m.id = (char *)"x1";
	m.incident = (char *)"inc1";
	m.provider = (char *)provider;
	m.error = (char *)error;
	SET(&m, state, HEALBUS__MODEL_STATE__MODEL_EXCHANGED);
	if (left_alone)
		SET(&m, left_alone, 1);
	bench_send(b, KIND_MODEL, "inc1", &m.base, NULL);
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

static void test_a_model_that_fails(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, RULES(""));
	fails(&b, "one", 4);
	exchanged(&b, "one", NULL, -1);
	fails(&b, "one", 4);
	fails(&b, "two", 1);
	bench_wait(&b, HOUR);
	assert_null(said(&b, 0)); /* four in a row are not five */
	fails(&b, "one", 1);
	bench_wait(&b, MINUTE);
	assert_string_equal(said(&b, 0)->subject,
			    "[warning] healbus: a model fails: one since 22:13 UTC (last: HTTP "
			    "500: boom)");
	assert_int_equal(said(&b, 0)->severity, HEALBUS__SEVERITY__SEVERITY_WARNING);
	assert_non_null(strstr(said(&b, 0)->text, "HealbusModelFailing"));
	fails(&b, "one", 20);
	bench_wait(&b, 2 * HOUR);
	assert_null(said(&b, 1));
	/* Over, and said once; who never was told of is not told of now. */
	exchanged(&b, "one", NULL, -1);
	exchanged(&b, "one", NULL, -1);
	exchanged(&b, "two", NULL, -1);
	bench_wait(&b, MINUTE);
	assert_string_equal(said(&b, 1)->subject,
			    "[warning] healbus: a model answers again: one after 181 min");
	exchanged(&b, "one", NULL, -1);
	bench_wait(&b, 3 * HOUR);
	assert_null(said(&b, 2));
	bench_close(&b);
}

static void test_models_that_come_and_go(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, RULES(""));
	fails(&b, "one", 5);
	exchanged(&b, "one", NULL, -1); /* over before it was told */
	bench_wait(&b, HOUR);
	assert_null(said(&b, 0));
	fails(&b, "one", 5);
	bench_wait(&b, MINUTE);
	assert_non_null(said(&b, 0));
	/* An answer that did not last is not told. */
	exchanged(&b, "one", NULL, -1);
	fails(&b, "one", 5);
	bench_wait(&b, 2 * HOUR);
	assert_null(said(&b, 1));
	/* Two at once are told in one. */
	fails(&b, "two", 5);
	fails(&b, "three", 5);
	bench_wait(&b, MINUTE);
	assert_non_null(strstr(said(&b, 1)->text, ", two since"));
	assert_non_null(strstr(said(&b, 1)->text, ", three since"));
	assert_null(said(&b, 2));
	bench_close(&b);
}

static void test_who_was_not_asked_did_not_fail(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, RULES(""));
	for (int i = 0; i < 20; i++)
		passed_over(&b, "one", "budget of the day: 3 tokens left, which may not do", false);
	bench_wait(&b, HOUR);
	assert_null(said(&b, 0));
	/* The breaker opened after fewer than five in a row. */
	fails(&b, "one", 3);
	passed_over(&b, "one", "failed too often; left alone for 5 s", true);
	bench_wait(&b, MINUTE);
	assert_non_null(strstr(said(&b, 0)->subject, "HTTP 500: boom"));
	bench_close(&b);
}

/* More providers than are remembered, words without an end and over several lines. */
static void test_many_models(void **state UNUSED)
{
	struct bench b;
	char name[200], error[1000];
	bench_open(&b, RULES(""));
	error[0] = 0;
	for (size_t i = 0; i + 6 < sizeof(error); i += 5)
		snprintf(error + i, sizeof(error) - i, "a\n\xe2\x82\xac");
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "model-%d-%0150d", i, 0);
		for (int k = 0; k < 5; k++)
			exchanged(&b, name, error, -1);
	}
	bench_wait(&b, MINUTE);
	assert_non_null(said(&b, 0));
	assert_null(strchr(said(&b, 0)->subject, '\n'));
	assert_null(said(&b, 1));
	bench_close(&b);
}

static void test_budget(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, RULES(""));
	exchanged(&b, "one", NULL, 799);
	exchanged(&b, "one", NULL, -1);
	bench_wait(&b, 30 * MINUTE);
	assert_null(said(&b, 0));
	exchanged(&b, "one", NULL, 800);
	exchanged(&b, "one", NULL, 990);
	bench_wait(&b, MINUTE);
	assert_string_equal(said(&b, 0)->subject, "[warning] healbus: 80 % of the day's budget "
						  "for models is used (of one, or of all)");
	exchanged(&b, "two", NULL, 10); /* the books of another reasoner */
	exchanged(&b, "one", "budget of the day", 1000);
	exchanged(&b, "one", "budget of the day", 1000);
	bench_wait(&b, MINUTE);
	assert_non_null(strstr(said(&b, 1)->subject, "[critical] healbus: the day's budget"));
	assert_int_equal(said(&b, 1)->severity, HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	bench_wait(&b, 70 * MINUTE); /* 23:55 */
	exchanged(&b, "one", "budget of the day", 1000);
	bench_wait(&b, 3 * MINUTE);
	assert_null(said(&b, 2));
	/* The next day, from the start; used up at once: one notice, not two. */
	bench_wait(&b, HOUR);
	exchanged(&b, "one", NULL, 850);
	exchanged(&b, "one", NULL, 1000);
	bench_wait(&b, 2 * HOUR);
	assert_non_null(strstr(said(&b, 2)->subject, "[critical]"));
	assert_null(said(&b, 3));
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
		cmocka_unit_test(test_a_model_that_fails),
		cmocka_unit_test(test_models_that_come_and_go),
		cmocka_unit_test(test_who_was_not_asked_did_not_fail),
		cmocka_unit_test(test_many_models),
		cmocka_unit_test(test_budget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
