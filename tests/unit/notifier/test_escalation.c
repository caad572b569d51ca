#include "tests/unit/notifier/bench.h"

#define APPROVE HEALBUS__DECISION_VERDICT__DECISION_APPROVE
#define DENY HEALBUS__DECISION_VERDICT__DECISION_DENY
#define FAILED HEALBUS__VERDICT__VERDICT_FAILED

/* T0 is a Tuesday, 22:13:20 UTC. Two on call by the day; the route itself waits an hour, so that
 * what is told before is a call. */
#define LADDER(route)                                                                              \
	"channels:\n"                                                                              \
	"  - {name: tty, type: terminal, path: /dev/null}\n"                                       \
	"  - {name: phone, type: terminal, path: /dev/null}\n"                                     \
	"  - {name: mail, type: terminal, path: /dev/null}\n"                                      \
	"receivers:\n"                                                                             \
	"  - {name: ops, channels: [tty]}\n"                                                       \
	"  - {name: bosses, channels: [mail, tty]}\n"                                              \
	"time_intervals:\n"                                                                        \
	"  - {name: late, time_intervals: [{times: [{start_time: '22:00', end_time: "              \
	"'24:00'}]}]}\n"                                                                           \
	"oncall:\n"                                                                                \
	"  - {name: primary, rotation: [ann, bob], shift: 1d, start: 2023-11-13T22:20}\n"          \
	"escalations:\n"                                                                           \
	"  - name: night\n"                                                                        \
	"    summary_after: 10m\n"                                                                 \
	"    steps:\n"                                                                             \
	"      - {to: ['oncall:primary'], repeat: 2, every: 4m}\n"                                 \
	"      - {after: 10m, to: [cy, 'oncall:primary', 'channel:phone', 'receiver:bosses']}\n"   \
	"route: {receiver: ops, group_wait: 1h, escalation: night" route "}\n"

static const char ladder[] = LADDER("");

/* Every call so far as "minutes kind channel to,to;". */
static char *calls(struct bench *b)
{
	auto_buf out = {0};
	for (size_t i = 0; bench_notice(b, i); i++) {
		const Healbus__Notice *n = bench_notice(b, i);
		bool call = str_eq(n->kind, "called") || str_eq(n->kind, "summary") ||
			    (str_eq(n->kind, "approval") && n->n_to);
		if (!call)
			continue;
		buf_printf(&out, "%" PRId64 " %s %s ", (n->at_ms - T0) / MINUTE, n->kind,
			   n->channel);
		for (size_t k = 0; k < n->n_to; k++)
			buf_printf(&out, "%s%s", k ? "," : "", n->to[k]);
		buf_add_char(&out, ';');
	}
	return mem_strdup(buf_str(&out));
}

static void expect(struct bench *b, const char *what)
{
	auto_free char *seen = calls(b);
	assert_string_equal(seen, what);
}

static void pass(struct bench *b, int minutes)
{
	for (int i = 0; i < minutes; i++)
		bench_wait(b, MINUTE);
}

static void ack(struct bench *b, const char *incident)
{
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	c.by = (char *)"ann";
	c.incident = (char *)incident;
	bench_control(b, &c, HEALBUS__CONTROL_KIND__CONTROL_ACK, incident);
}

#define FIRST_THREE "0 called tty ann;4 called tty ann;8 called tty bob;"
#define THEN "10 called phone cy,bob;10 called mail cy,bob;10 called tty cy,bob;"
#define LAST "20 summary phone cy,bob;20 summary mail cy,bob;20 summary tty cy,bob;"

/* ann is relieved by bob at 22:20, seven minutes on. */
static void test_whole_ladder(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, ladder);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	pass(&b, 1);
	expect(&b, "");
	b.now_ms = T0;
	bench_close(&b);

	bench_open(&b, ladder);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_incident(&b, "inc1", ESCALATED, 1, "db");
	pass(&b, 50);
	expect(&b, FIRST_THREE THEN LAST);
	bench_close(&b);
}

/* The same calls when time comes in one leap, or the process begins anew in between. */
static void test_time_in_one_leap(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, ladder);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_incident(&b, "inc1", ESCALATED, 1, "db");
	bench_wait(&b, 5 * MINUTE);
	fold_close(b.fold);
	bench_start(&b);
	bench_wait(&b, 45 * MINUTE);
	expect(&b, FIRST_THREE THEN LAST);
	bench_close(&b);
}

static void test_who_ends_it(void **state UNUSED)
{
	struct bench b;
	enum { BY_ACK, BY_RESOLVED, BY_SUPPRESSED, BY_DECISION, WAYS };
	for (int way = 0; way < WAYS; way++) {
		bench_open(&b, ladder);
		bench_incident(&b, "inc1", OPEN, 1, "db");
		bench_plan(&b, "plan1", "inc1", NULL);
		bench_incident(&b, "inc1", ESCALATED, 1, "db");
		pass(&b, 5);
		if (way == BY_ACK)
			ack(&b, "inc1");
		else if (way == BY_DECISION)
			bench_decide(&b, "ask1", "plan1", "inc1", DENY, "ann");
		else
			bench_incident(&b, "inc1", way == BY_RESOLVED ? RESOLVED : SUPPRESSED, 2,
				       "db");
		/* What the monitor says of it later changes nothing. */
		if (way == BY_ACK || way == BY_DECISION)
			bench_incident(&b, "inc1", OPEN, 3, "db");
		pass(&b, 40);
		expect(&b, "0 called tty ann;4 called tty ann;");
		bench_close(&b);
	}
}

static void test_taken_before_and_again_after(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, ladder);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	ack(&b, "inc1");
	bench_incident(&b, "inc1", ESCALATED, 1, "db");
	pass(&b, 40);
	expect(&b, "");
	bench_incident(&b, "inc1", RESOLVED, 2, "db");
	bench_incident(&b, "inc1", OPEN, 3, "db");
	bench_incident(&b, "inc1", ESCALATED, 3, "db");
	pass(&b, 1);
	expect(&b, "40 called tty bob;");
	bench_close(&b);
}

static void test_given_up_again_after_a_decision(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, ladder);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_incident(&b, "inc1", ESCALATED, 1, "db");
	pass(&b, 1);
	bench_decide(&b, "ask1", "plan1", "inc1", APPROVE, "ann");
	pass(&b, 1);
	bench_incident(&b, "inc1", ESCALATED, 1, "db");
	pass(&b, 1);
	expect(&b, "0 called tty ann;2 called tty ann;");
	bench_close(&b);
}

/* A question: called with its approval, until it is decided; quiet hours do not matter. */
static void test_hard_question(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, LADDER(", mute_time_intervals: [late]"));
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_ask(&b, "ask1", "plan1", "inc1", b.now_ms + 30 * MINUTE);
	pass(&b, 5);
	expect(&b, "0 approval tty ann;4 approval tty ann;");
	bench_decide(&b, "ask1", "plan1", "inc1", APPROVE, "ann");
	pass(&b, 30);
	expect(&b, "0 approval tty ann;4 approval tty ann;");
	for (size_t i = 0; bench_notice(&b, i); i++) {
		const Healbus__Notice *n = bench_notice(&b, i);
		if (n->n_to)
			assert_string_equal(n->approval, "ask1");
	}
	bench_close(&b);
}

static void test_question_ends_at_its_deadline(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, ladder);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_ask(&b, "ask1", "plan1", "inc1", b.now_ms + 5 * MINUTE);
	pass(&b, 40);
	expect(&b, "0 approval tty ann;4 approval tty ann;");
	assert_int_equal(bench_rows(&b, &table_ladders), 0);
	bench_close(&b);
}

/* 22:13:20 to midnight is quiet: the first call comes then, and the others as far behind it. */
static void test_quiet_hours_put_it_off(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, LADDER(", mute_time_intervals: [late]"));
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_incident(&b, "inc1", ESCALATED, 1, "db");
	pass(&b, 106);
	expect(&b, "");
	pass(&b, 5);
	expect(&b, "106 called tty bob;110 called tty bob;");
	bench_close(&b);
}

static void test_at_once_where_the_route_says_so(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, LADDER(", escalate_on: opened"));
	bench_incident(&b, "inc1", OPEN, 1, "db");
	pass(&b, 5);
	bench_incident(&b, "inc1", ESCALATED, 1, "db");
	pass(&b, 1);
	expect(&b, "0 called tty ann;4 called tty ann;");
	bench_close(&b);
}

static void test_routes_without_a_policy(void **state UNUSED)
{
	static const char *const routes[] = {
		", routes: [{matchers: ['service=\"db\"'], escalation: ''}]",
		", severity: critical, routes: [{match: {service: db}, escalation: ''}]",
		", routes: [{match_re: {service: 'd.'}, escalation: ''}]",
	};
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		struct bench b;
		auto_free char *yaml =
			mem_printf("%.*s%s}\n", (int)strlen(ladder) - 2, ladder, routes[i]);
		bench_open(&b, yaml);
		bench_incident(&b, "inc1", OPEN, 1, "db");
		bench_incident(&b, "inc1", ESCALATED, 1, "db");
		bench_incident(&b, "inc2", OPEN, 1, "web");
		bench_incident(&b, "inc2", ESCALATED, 1, "web");
		pass(&b, 1);
		expect(&b, "0 called tty ann;");
		bench_close(&b);
	}
}

/* A storm: the receiver's throttle holds calls back, but nothing is lost. */
static void test_storm_ends_in_a_digest(void **state UNUSED)
{
	struct bench b;
	size_t called = 0, told = 0;
	bench_open(&b, "channels: [{name: tty, type: terminal, path: /dev/null}]\n"
		       "receivers: [{name: ops, channels: [tty], throttle: {limit: 3, per: 10m}}]\n"
		       "escalations: [{name: night, steps: [{to: [ann]}], summary_after: 20m}]\n"
		       "route: {receiver: ops, group_wait: 1h, escalation: night}\n");
	for (int i = 0; i < 8; i++) {
		char id[8];
		snprintf(id, sizeof(id), "inc%d", i);
		bench_incident(&b, id, OPEN, 1, id);
		bench_incident(&b, id, ESCALATED, 1, id);
	}
	pass(&b, 12);
	for (size_t i = 0; bench_notice(&b, i); i++) {
		const Healbus__Notice *n = bench_notice(&b, i);
		called += str_eq(n->kind, "called");
		told += str_eq(n->kind, "digest") ? n->n_incidents : 0;
	}
	assert_int_equal(called, 3);
	assert_int_equal(told, 5);
	bench_close(&b);
}

static void test_summary_says_what_to_try(void **state UNUSED)
{
	Healbus__Evidence evidence = HEALBUS__EVIDENCE__INIT, *seen[] = {&evidence};
	Healbus__Recalled recalled = HEALBUS__RECALLED__INIT, *known[] = {&recalled};
	Healbus__Diagnosis d = HEALBUS__DIAGNOSIS__INIT;
	Healbus__ModelExchange m = HEALBUS__MODEL_EXCHANGE__INIT;
	Healbus__Incident i = HEALBUS__INCIDENT__INIT;
	struct bench b;
	static const char *const says[] = {
		"Nobody answered 4 calls since 2023-11-14 22:13:20 UTC",
		"restart(web-1): failed, nginx answers again",
		"Evidence: disk_full (80 % sure)",
		"log:12: No space left \\u{202e}on device",
		"Look at /var first",
		"rm old logs (90 % alike; healctl story old1)",
		"healctl ack inc1",
	};
	bench_open(&b, ladder);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_outcome(&b, "plan1", "inc1", FAILED, NULL);
	evidence.source = (char *)"log";
	SET(&evidence, line, 12);
	evidence.text = (char *)"No space left \xe2\x80\xaeon device";
	recalled.incident = (char *)"old1";
	recalled.what = (char *)"rm old logs";
	SET(&recalled, healed, 1);
	SET(&recalled, similarity, 0.9);
	d.failure_type = (char *)"disk_full";
	SET(&d, confidence, 0.8);
	d.evidence = seen;
	d.n_evidence = 1;
	d.recalled = known;
	d.n_recalled = 1;
	m.id = (char *)"m1";
	m.incident = (char *)"inc1";
	SET(&m, state, HEALBUS__MODEL_STATE__MODEL_ANSWERED);
	m.diagnosis = &d;
	bench_send(&b, KIND_MODEL, "inc1", &m.base, NULL);
	i.id = (char *)"inc1";
	i.key = (char *)"key";
	SET(&i, state, ESCALATED);
	i.reason = (char *)"one attempt did not help\nLook at /var first";
	bench_send(&b, KIND_INCIDENT, "inc1", &i.base, NULL);
	pass(&b, 21);
	const Healbus__Notice *last = bench_notice(&b, bench_count(&b, KIND_NOTICE) - 1);
	assert_string_equal(last->kind, "summary");
	for (size_t k = 0; k < ARRAY_SIZE(says); k++)
		if (!strstr(last->text, says[k]))
			fail_msg("\"%s\" is not in: %s", says[k], last->text);
	bench_close(&b);
}

static void test_nothing_stays(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, ladder);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_incident(&b, "inc1", ESCALATED, 1, "db");
	pass(&b, 30);
	assert_int_equal(bench_rows(&b, &table_ladders), 1);
	bench_wait(&b, 91 * 24 * 60 * MINUTE);
	assert_int_equal(bench_rows(&b, &table_ladders), 0);
	assert_int_equal(bench_rows(&b, &table_kpis), 0);
	assert_int_equal(bench_rows(&b, &table_diagnoses), 0);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_ladder),
		cmocka_unit_test(test_time_in_one_leap),
		cmocka_unit_test(test_who_ends_it),
		cmocka_unit_test(test_taken_before_and_again_after),
		cmocka_unit_test(test_given_up_again_after_a_decision),
		cmocka_unit_test(test_hard_question),
		cmocka_unit_test(test_question_ends_at_its_deadline),
		cmocka_unit_test(test_quiet_hours_put_it_off),
		cmocka_unit_test(test_at_once_where_the_route_says_so),
		cmocka_unit_test(test_routes_without_a_policy),
		cmocka_unit_test(test_storm_ends_in_a_digest),
		cmocka_unit_test(test_summary_says_what_to_try),
		cmocka_unit_test(test_nothing_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
