/* Questions in the fold: what became of them, votes, references of messages, feedback. */
#include "tests/unit/notifier/bench.h"

#include "notifier/answer_rights.h"

#define APPROVE HEALBUS__DECISION_VERDICT__DECISION_APPROVE
#define DENY HEALBUS__DECISION_VERDICT__DECISION_DENY
#define HEALED HEALBUS__VERDICT__VERDICT_HEALED
#define FAILED HEALBUS__VERDICT__VERDICT_FAILED

static void sent(struct bench *b, const Healbus__Notice *n, const char *ref)
{
	Healbus__Notice out = HEALBUS__NOTICE__INIT;
	out.id = n->id;
	out.incident = n->incident;
	out.channel = n->channel;
	SET(&out, state, HEALBUS__NOTICE_STATE__NOTICE_SENT);
	out.ref = (char *)ref;
	bench_send(b, KIND_NOTICE, n->incident, &out.base, NULL);
}

/* The n-th QUEUED notice of a kind, or NULL. */
static Healbus__Notice *queued(struct bench *b, const char *kind, size_t n)
{
	for (size_t i = 0; bench_notice(b, i); i++) {
		Healbus__Notice *notice = bench_notice(b, i);
		if (notice->state == HEALBUS__NOTICE_STATE__NOTICE_QUEUED &&
		    str_eq(notice->kind, kind) && n-- == 0)
			return notice;
	}
	return NULL;
}

static void ask(struct bench *b)
{
	bench_incident(b, "inc1", OPEN, 1, "db");
	bench_plan(b, "plan1", "inc1", NULL);
	bench_ask(b, "ask1", "plan1", "inc1", b->now_ms + 5 * MINUTE);
}

static void test_who_was_asked_is_told_by_whom(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	ask(&b);
	sent(&b, queued(&b, "approval", 0), "C1:17.5");
	bench_decide(&b, "ask1", "plan1", "inc1", APPROVE, "ann");
	const Healbus__Notice *n = queued(&b, "decided", 0);
	assert_non_null(n);
	assert_string_equal(n->subject, "approved by ann: db is down");
	assert_string_equal(n->channel, "tty");
	assert_string_equal(n->update_of, "C1:17.5");
	assert_string_equal(n->approval, "ask1");
	assert_non_null(strstr(n->text, "Answer: approved by ann at "));
	assert_non_null(strstr(n->text, "systemctl restart nginx"));
	assert_null(strstr(n->text, "healctl approve"));
	assert_null(queued(&b, "decided", 1));
	bench_decide(&b, "ask1", "plan1", "inc1", DENY, "bob"); /* came second */
	assert_null(queued(&b, "decided", 1));
	bench_close(&b);
}

static void test_silence_is_told_as_well(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	ask(&b);
	sent(&b, queued(&b, "approval", 0), "C1:17.5");
	bench_wait(&b, 6 * MINUTE);
	assert_string_equal(queued(&b, "decided", 0)->subject, "expired: db is down");
	bench_outcome(&b, "plan1", "inc1", HEALBUS__VERDICT__VERDICT_DENIED, NULL);
	assert_null(queued(&b, "decided", 1));
	bench_close(&b);
}

static void test_a_plan_that_ends_by_itself(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	ask(&b);
	sent(&b, queued(&b, "approval", 0), NULL);
	bench_outcome(&b, "plan1", "inc1", HEALBUS__VERDICT__VERDICT_EXPIRED, NULL);
	assert_string_equal(queued(&b, "decided", 0)->subject, "no longer needed: db is down");
	bench_close(&b);
}

/* Who was not asked is not told; who is asked too late is told at once. */
static void test_a_question_that_arrives_late(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	ask(&b);
	const Healbus__Notice *question = queued(&b, "approval", 0);
	bench_decide(&b, "ask1", "plan1", "inc1", DENY, "ann");
	assert_null(queued(&b, "decided", 0));
	sent(&b, question, "m9");
	assert_string_equal(queued(&b, "decided", 0)->update_of, "m9");
	assert_string_equal(queued(&b, "decided", 0)->subject, "denied by ann: db is down");
	bench_close(&b);
}

static void test_later_notices_belong_to_the_first_message(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_wait(&b, 10 * SECOND);
	assert_null(queued(&b, "opened", 0)->update_of);
	sent(&b, queued(&b, "opened", 0), "first");
	bench_incident(&b, "inc1", ESCALATED, 1, "db");
	bench_wait(&b, 10 * SECOND);
	assert_string_equal(queued(&b, "escalated", 0)->update_of, "first");
	sent(&b, queued(&b, "escalated", 0), "second");
	bench_incident(&b, "inc1", RESOLVED, 2, "db");
	bench_wait(&b, MINUTE);
	assert_string_equal(queued(&b, "resolved", 0)->update_of, "first");
	bench_wait(&b, 91 * 24 * 60 * MINUTE);
	assert_int_equal(bench_rows(&b, &table_messages), 0);
	bench_close(&b);
}

/* ---- votes ---- */

static const char house[] = "people:\n"
			    "  - {name: ann, roles: [approver]}\n"
			    "  - {name: bob, roles: [approver]}\n"
			    "  - {name: eve, roles: [viewer]}\n"
			    "approvers: [{tools: [restart], count: 2}]\n";

static void house_read(struct bench *b)
{
	struct yaml_doc doc = {0};
	struct why why = {0};
	assert_int_equal(yaml_parse_text("test", house, strlen(house), &doc, &why), 0);
	assert_int_equal(people_parse(&b->config.people, yaml_get(doc.root, "people"), &why), 0);
	assert_int_equal(
		approvers_parse(&b->config.approvers, yaml_get(doc.root, "approvers"), &why), 0);
	yaml_release(&doc);
}

static struct sign_key *key, *other_key;

static Healbus__Control vote_of(struct bench *b, const char *by)
{
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	c.id = (char *)"vote";
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_VOTE);
	SET(&c, at_ms, b->now_ms);
	c.by = (char *)by;
	c.approval = (char *)"ask1";
	c.incident = (char *)"inc1";
	return c;
}

static void vote(struct bench *b, const char *by)
{
	Healbus__Control c = vote_of(b, by);
	assert_int_equal(control_sign(&c, key, &b->arena, NULL), 0);
	bench_send(b, KIND_CONTROL, "inc1", &c.base, NULL);
}

static struct ballot ballot(struct bench *b)
{
	struct ballot out;
	struct why why = {0};
	auto_txn txn = store_begin_read(fold_store(b->fold));
	const struct ballot_box box = {txn, &b->config, key, &b->arena};
	assert_int_equal(ballot_read(&box, "ask1", &out, &why), 0);
	return out;
}

/* Whoever may say heal.control.<incident> is not whoever a person has told. */
static void test_what_no_notifier_has_signed_is_no_vote(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	house_read(&b);
	ask(&b);
	Healbus__Control c = vote_of(&b, "ann");
	bench_send(&b, KIND_CONTROL, "inc1", &c.base, NULL);
	assert_int_equal(bench_rows(&b, &table_votes), 0);
	vote(&b, "ann"); /* and it keeps no place */
	assert_string_equal(ballot(&b).by, "ann");
	c = vote_of(&b, "bob");
	assert_int_equal(control_sign(&c, other_key, &b.arena, NULL), 0);
	bench_send(&b, KIND_CONTROL, "inc1", &c.base, NULL);
	assert_string_equal(ballot(&b).by, "ann");
	bench_close(&b);
}

/* Rights at the bus go by subject: the reasoner may say heal.control.tick. */
static void test_a_kind_is_read_on_its_own_subject_only(void **state UNUSED)
{
	static const char *const elsewhere[] = {"tick", "call", "catalogue", "pause", "inc2"};
	struct bench b;
	bench_open(&b, two_channels);
	house_read(&b);
	ask(&b);
	for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
		Healbus__Control c = vote_of(&b, "ann");
		assert_int_equal(control_sign(&c, key, &b.arena, NULL), 0);
		bench_send(&b, KIND_CONTROL, elsewhere[i], &c.base, NULL);
	}
	assert_int_equal(bench_rows(&b, &table_votes), 0);
	bench_close(&b);
}

static int make_keys(void **state UNUSED)
{
	char dir[] = "/tmp/healbus-test-votes-XXXXXX";
	struct sign_key **keys[] = {&key, &other_key};
	if (!mkdtemp(dir))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		auto_free char *path = mem_printf("%s/%zu", dir, i);
		auto_free char *public_path = mem_printf("%s.pub", path);
		if (sign_key_load_or_create(path, keys[i], NULL))
			return -1;
		unlink(path);
		unlink(public_path);
	}
	return rmdir(dir);
}

static int free_keys(void **state UNUSED)
{
	sign_key_free(key);
	sign_key_free(other_key);
	return 0;
}

static void test_votes_of_different_people_count(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	house_read(&b);
	ask(&b);
	assert_int_equal(ballot(&b).needed, 2);
	assert_int_equal(ballot(&b).votes, 0);
	vote(&b, "ann");
	vote(&b, "ann");      /* one person is one vote */
	vote(&b, "eve");      /* may not */
	vote(&b, "stranger"); /* is nobody */
	assert_int_equal(ballot(&b).votes, 1);
	assert_string_equal(ballot(&b).by, "ann");
	vote(&b, "bob");
	assert_int_equal(ballot(&b).votes, 2);
	assert_string_equal(ballot(&b).by, "ann, bob");
	b.config.people.items[0].roles = ROLE_VIEWER; /* who may no longer does not count */
	assert_string_equal(ballot(&b).by, "bob");
	bench_wait(&b, 91 * 24 * 60 * MINUTE);
	assert_int_equal(bench_rows(&b, &table_votes), 0);
	assert_int_equal(bench_rows(&b, &table_briefs), 0);
	people_release(&b.config.people);
	approvers_release(&b.config.approvers);
	bench_close(&b);
}

/* ---- did it hold? ---- */

static void test_somebody_is_asked_whether_it_held(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	b.config.rules.feedback_after_ms = 30 * MINUTE;
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_outcome(&b, "plan1", "inc1", HEALED, "chg1");
	bench_incident(&b, "inc1", RESOLVED, 2, "db");
	bench_wait(&b, 29 * MINUTE);
	assert_null(queued(&b, "feedback", 0));
	bench_wait(&b, MINUTE);
	const Healbus__Notice *n = queued(&b, "feedback", 0);
	assert_non_null(n);
	assert_string_equal(n->subject, "did it hold? db is down");
	assert_non_null(strstr(n->text, "restart(web-1): healed"));
	bench_wait(&b, 24 * 60 * MINUTE);
	assert_null(queued(&b, "feedback", 1));
	bench_close(&b);
}

static void feedback(struct bench *b, bool held)
{
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	c.by = (char *)(held ? "ann" : "bob");
	c.incident = (char *)"inc1";
	SET(&c, held, held);
	bench_control(b, &c, HEALBUS__CONTROL_KIND__CONTROL_FEEDBACK, "inc1");
}

static void test_nobody_is_asked_without_need(void **state UNUSED)
{
	for (int i = 0; i < 4; i++) {
		struct bench b;
		bench_open(&b, two_channels);
		b.config.rules.feedback_after_ms = i == 3 ? 0 : 30 * MINUTE;
		bench_incident(&b, "inc1", OPEN, 1, "db");
		bench_plan(&b, "plan1", "inc1", NULL);
		bench_outcome(&b, "plan1", "inc1", i == 0 ? FAILED : HEALED, "chg1");
		if (i == 1)
			bench_incident(&b, "inc1", ESCALATED, 1, "db");
		if (i == 2)
			feedback(&b, true);
		bench_wait(&b, 60 * MINUTE);
		assert_null(queued(&b, "feedback", 0));
		bench_close(&b);
	}
}

static void test_the_first_word_about_it_stands(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	feedback(&b, false);
	feedback(&b, true);
	auto_txn txn = store_begin_read(fold_store(b.fold));
	const Healbus__Control *c =
		row_get(txn, &table_feedback, "inc1", Healbus__Control, control, &b.arena);
	assert_string_equal(c->by, "bob");
	assert_int_equal(c->held, 0);
	store_end(txn);
	txn = NULL;
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_was_asked_is_told_by_whom),
		cmocka_unit_test(test_silence_is_told_as_well),
		cmocka_unit_test(test_a_plan_that_ends_by_itself),
		cmocka_unit_test(test_a_question_that_arrives_late),
		cmocka_unit_test(test_later_notices_belong_to_the_first_message),
		cmocka_unit_test(test_what_no_notifier_has_signed_is_no_vote),
		cmocka_unit_test(test_a_kind_is_read_on_its_own_subject_only),
		cmocka_unit_test(test_votes_of_different_people_count),
		cmocka_unit_test(test_somebody_is_asked_whether_it_held),
		cmocka_unit_test(test_nobody_is_asked_without_need),
		cmocka_unit_test(test_the_first_word_about_it_stands),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
