#include "tests/unit/notifier/bench.h"

#define APPROVE HEALBUS__DECISION_VERDICT__DECISION_APPROVE
#define HEALED HEALBUS__VERDICT__VERDICT_HEALED

static void test_group_wait_interval_repeat(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_incident(&b, "inc2", OPEN, 1, "db");
	bench_wait(&b, 9 * SECOND);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 0);
	bench_wait(&b, SECOND);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 1);
	assert_string_equal(bench_notice(&b, 0)->kind, "digest");
	assert_int_equal(bench_notice(&b, 0)->n_incidents, 2);
	bench_incident(&b, "inc3", OPEN, 1, "db"); /* waits for the group's interval */
	bench_wait(&b, 59 * SECOND);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 1);
	bench_wait(&b, SECOND);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 2);
	assert_string_equal(bench_notice(&b, 1)->kind, "opened");
	assert_string_equal(bench_notice(&b, 1)->incident, "inc3");
	bench_wait(&b, 60 * MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 3); /* all three, again */
	assert_int_equal(bench_notice(&b, 2)->n_incidents, 3);
	for (int i = 1; i <= 3; i++)
		bench_incident(&b, i == 1 ? "inc1" : i == 2 ? "inc2" : "inc3", RESOLVED, 2, "db");
	bench_wait(&b, MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 4);
	bench_wait(&b, 10 * 60 * MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 4);
	assert_int_equal(bench_rows(&b, &table_items), 0);
	assert_int_equal(bench_rows(&b, &table_groups), 0);
	bench_close(&b);
}

static void test_one_notice_tells_the_whole_of_a_quick_repair(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_outcome(&b, "plan1", "inc1", HEALED, NULL);
	bench_incident(&b, "inc1", RESOLVED, 2, "db");
	bench_wait(&b, MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 1);
	const Healbus__Notice *n = bench_notice(&b, 0);
	assert_string_equal(n->kind, "resolved");
	assert_string_equal(n->subject, "[critical] healed and resolved: db is down");
	assert_non_null(strstr(n->text, "restart(web-1): healed, nginx answers again"));
	assert_non_null(strstr(n->text, "Needed from you: nothing"));
	bench_close(&b);
}

static void test_escalation_does_not_wait_for_the_interval(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_wait(&b, 10 * SECOND);
	bench_incident(&b, "inc1", ESCALATED, 1, "db");
	bench_wait(&b, 10 * SECOND);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 2);
	assert_string_equal(bench_notice(&b, 1)->kind, "escalated");
	assert_non_null(strstr(bench_notice(&b, 1)->text, "three attempts did not help"));
	bench_close(&b);
}

static void test_suppressed_says_nothing(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", SUPPRESSED, 1, "db");
	bench_incident(&b, "inc2", OPEN, 1, "db");
	bench_incident(&b, "inc2", SUPPRESSED, 2, "db"); /* before the group's wait was over */
	bench_wait(&b, 10 * MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 0);
	bench_incident(&b, "inc1", OPEN, 2, "db");
	bench_wait(&b, MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 1);
	bench_close(&b);
}

static void test_ack_ends_repeats(void **state UNUSED)
{
	struct bench b;
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_wait(&b, 10 * SECOND);
	c.incident = (char *)"inc1";
	bench_control(&b, &c, HEALBUS__CONTROL_KIND__CONTROL_ACK, "inc1");
	bench_wait(&b, 5 * 60 * MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 1);
	bench_close(&b);
}

static const char throttled_mute[] =
	"channels: [{name: tty, type: terminal, path: /dev/null}]\n"
	"receivers: [{name: ops, channels: [tty], throttle: {limit: 2, per: 1h}}]\n"
	"time_intervals:\n"
	"  - name: night\n"
	"    time_intervals: [{times: [{start_time: '22:00', end_time: '23:00'}]}]\n"
	"route:\n"
	"  receiver: ops\n"
	"  group_wait: 0s\n"
	"  routes:\n"
	"    - {matchers: ['service=\"quiet\"'], mute_time_intervals: [night]}\n"
	"    - {matchers: ['service=\"deaf\"'], severity: critical}\n";

static void test_throttle_holds_back_and_tells_in_one(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, throttled_mute);
	for (int i = 0; i < 30; i++) {
		char id[16];
		snprintf(id, sizeof(id), "inc%d", i);
		bench_incident(&b, id, OPEN, 1, "db");
	}
	bench_wait(&b, SECOND);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 2);
	bench_ask(&b, "ask1", "plan1", "inc1", b.now_ms + 10 * MINUTE); /* a question is not held */
	assert_int_equal(bench_count(&b, KIND_NOTICE), 3);
	bench_wait(&b, 60 * MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 4);
	const Healbus__Notice *n = bench_notice(&b, 3);
	assert_string_equal(n->kind, "digest");
	assert_true(str_starts(n->subject, "28 incidents: "));
	assert_non_null(strstr(n->text, "and 8 more: healctl incidents"));
	bench_close(&b);
}

static void test_mute_holds_all_but_questions(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, throttled_mute); /* T0 is 22:13:20 */
	bench_incident(&b, "inc1", OPEN, 1, "quiet");
	bench_wait(&b, MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 0);
	bench_ask(&b, "ask1", "plan1", "inc1", b.now_ms + 10 * MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 1);
	assert_string_equal(bench_notice(&b, 0)->kind, "approval");
	bench_wait(&b, 45 * MINUTE); /* 22:59:20 */
	assert_int_equal(bench_count(&b, KIND_NOTICE), 1);
	bench_wait(&b, MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 2);
	assert_string_equal(bench_notice(&b, 1)->kind, "opened");
	bench_close(&b);
}

static void test_approval_says_how_to_answer(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_ask(&b, "asksomething", "plan1", "inc1", T0 + 5 * MINUTE);
	const Healbus__Notice *n = bench_notice(&b, 0);
	assert_non_null(n);
	assert_string_equal(n->approval, "asksomething");
	static const char *const parts[] = {"systemctl restart nginx",  "level hard",
					    "healctl approve asksomet", "22:18:20 UTC",
					    "digest: abcdef01",         "silence means no"};
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (!strstr(n->text, parts[i]))
			fail_msg("\"%s\" is missing in:\n%s", parts[i], n->text);
	bench_close(&b);
}

static void test_failed_channel_falls_back_once(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_wait(&b, 10 * SECOND);
	const Healbus__Notice *first = bench_notice(&b, 0);
	settle_notice(&b, first, HEALBUS__NOTICE_STATE__NOTICE_FAILED);
	settle_notice(&b, first, HEALBUS__NOTICE_STATE__NOTICE_FAILED);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 4);
	const Healbus__Notice *second = NULL;
	for (size_t i = 0; i < 4; i++)
		if (str_eq(bench_notice(&b, i)->channel, "mail"))
			second = bench_notice(&b, i);
	assert_non_null(second);
	assert_string_equal(second->subject, first->subject);
	assert_string_equal(second->text, first->text);
	assert_string_not_equal(second->id, first->id);
	settle_notice(&b, second, HEALBUS__NOTICE_STATE__NOTICE_FAILED);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 5); /* the list has an end */
	bench_close(&b);
}

static void test_question_that_was_answered_goes_no_further(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_ask(&b, "ask1", "plan1", "inc1", T0 + 5 * MINUTE);
	bench_decide(&b, "ask1", "plan1", "inc1", APPROVE, "ann");
	settle_notice(&b, bench_notice(&b, 0), HEALBUS__NOTICE_STATE__NOTICE_FAILED);
	assert_int_equal(bench_count(&b, KIND_NOTICE), 2);
	bench_close(&b);
}

static void test_sent_stays_sent(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_wait(&b, 10 * SECOND);
	const Healbus__Notice *n = bench_notice(&b, 0);
	settle_notice(&b, n, HEALBUS__NOTICE_STATE__NOTICE_SENT);
	settle_notice(&b, n, HEALBUS__NOTICE_STATE__NOTICE_FAILED);
	auto_txn txn = store_begin_read(fold_store(b.fold));
	const Healbus__Notice *row =
		row_get(txn, &table_notices, n->id, Healbus__Notice, notice, &b.arena);
	assert_int_equal(row->state, HEALBUS__NOTICE_STATE__NOTICE_SENT);
	assert_string_equal(row->subject, n->subject);
	store_end(txn);
	txn = NULL;
	assert_int_equal(bench_count(&b, KIND_NOTICE), 3);
	bench_close(&b);
}

/* The latest of a kind that was queued for this channel; NULL: none. */
static const Healbus__Notice *latest(struct bench *b, const char *channel, const char *kind)
{
	const Healbus__Notice *found = NULL;
	for (size_t i = 0; i < bench_count(b, KIND_NOTICE); i++) {
		const Healbus__Notice *n = bench_notice(b, i);
		if (n->state == HEALBUS__NOTICE_STATE__NOTICE_QUEUED &&
		    str_eq(n->channel, channel) && str_eq(n->kind, kind))
			found = n;
	}
	return found;
}

static void fail_both(struct bench *b, const char *kind)
{
	settle_notice(b, latest(b, "tty", kind), HEALBUS__NOTICE_STATE__NOTICE_FAILED);
	settle_notice(b, latest(b, "mail", kind), HEALBUS__NOTICE_STATE__NOTICE_FAILED);
}

static void test_what_no_channel_took_is_said_anew(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_ask(&b, "ask1", "plan1", "inc1", T0 + 60 * MINUTE);
	const Healbus__Notice *first = latest(&b, "tty", "approval");
	fail_both(&b, "approval");
	bench_wait(&b, 29 * SECOND);
	assert_string_equal(latest(&b, "tty", "approval")->id, first->id);
	bench_wait(&b, 2 * SECOND);
	const Healbus__Notice *again = latest(&b, "tty", "approval");
	assert_string_not_equal(again->id, first->id);
	assert_string_equal(again->text, first->text);
	assert_string_equal(again->approval, "ask1");
	fail_both(&b, "approval");
	for (int i = 0; i < 10; i++) { /* each minute, however often it fails */
		const Healbus__Notice *before = latest(&b, "tty", "approval");
		bench_wait(&b, 61 * SECOND);
		assert_string_not_equal(latest(&b, "tty", "approval")->id, before->id);
		fail_both(&b, "approval");
	}
	bench_wait(&b, 61 * SECOND);
	bench_decide(&b, "ask1", "plan1", "inc1", APPROVE, "ann");
	fail_both(&b, "approval"); /* "it was answered before it was sent" */
	assert_int_equal(bench_rows(&b, &table_unsent), 1); /* that inc1 was opened */
	size_t n = bench_count(&b, KIND_NOTICE);
	bench_wait(&b, 5 * MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), n); /* it is decided: nobody is asked */
	bench_close(&b);
}

static void test_a_channel_that_is_back_gets_what_waits(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_wait(&b, 10 * SECOND);
	const Healbus__Notice *first = latest(&b, "tty", "opened");
	fail_both(&b, "opened");
	assert_int_equal(bench_rows(&b, &table_unsent), 1);
	bench_incident(&b, "inc2", OPEN, 1, "cache");
	bench_wait(&b, 10 * SECOND);
	assert_string_not_equal(latest(&b, "tty", "opened")->incident, first->incident);
	settle_notice(&b, latest(&b, "tty", "opened"), HEALBUS__NOTICE_STATE__NOTICE_SENT);
	bench_wait(&b, SECOND);
	const Healbus__Notice *again = latest(&b, "tty", "opened");
	assert_string_equal(again->subject, first->subject);
	assert_string_not_equal(again->id, first->id);
	settle_notice(&b, again, HEALBUS__NOTICE_STATE__NOTICE_SENT);
	size_t n = bench_count(&b, KIND_NOTICE);
	bench_wait(&b, MINUTE);
	assert_int_equal(bench_count(&b, KIND_NOTICE), n); /* once */
	assert_int_equal(bench_rows(&b, &table_unsent), 0);
	bench_close(&b);
}

static void test_who_took_it_is_told_where_it_was_told(void **state UNUSED)
{
	struct bench b;
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_wait(&b, 10 * SECOND);
	settle_notice(&b, latest(&b, "tty", "opened"), HEALBUS__NOTICE_STATE__NOTICE_SENT);
	c.incident = (char *)"inc1";
	c.by = (char *)"ann";
	bench_control(&b, &c, HEALBUS__CONTROL_KIND__CONTROL_ACK, "inc1");
	const Healbus__Notice *n = latest(&b, "tty", "acked");
	assert_string_equal(n->kind, "acked");
	assert_true(str_starts(n->subject, "taken by ann: "));
	size_t before = bench_count(&b, KIND_NOTICE);
	bench_control(&b, &c, HEALBUS__CONTROL_KIND__CONTROL_ACK, "inc1");
	assert_int_equal(bench_count(&b, KIND_NOTICE), before);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_group_wait_interval_repeat),
		cmocka_unit_test(test_one_notice_tells_the_whole_of_a_quick_repair),
		cmocka_unit_test(test_escalation_does_not_wait_for_the_interval),
		cmocka_unit_test(test_suppressed_says_nothing),
		cmocka_unit_test(test_ack_ends_repeats),
		cmocka_unit_test(test_throttle_holds_back_and_tells_in_one),
		cmocka_unit_test(test_mute_holds_all_but_questions),
		cmocka_unit_test(test_approval_says_how_to_answer),
		cmocka_unit_test(test_failed_channel_falls_back_once),
		cmocka_unit_test(test_question_that_was_answered_goes_no_further),
		cmocka_unit_test(test_sent_stays_sent),
		cmocka_unit_test(test_what_no_channel_took_is_said_anew),
		cmocka_unit_test(test_a_channel_that_is_back_gets_what_waits),
		cmocka_unit_test(test_who_took_it_is_told_where_it_was_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
