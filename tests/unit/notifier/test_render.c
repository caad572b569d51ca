#include "tests/unit/notifier/bench.h"

static const char hostile[] =
	"\x1b[2J\x1b]0;owned\x07<!channel> @here {{ .labels }} $(reboot) `id` "
	"\xe2\x80\xae"
	"evil\xe2\x80\x8b\r\nSubject: x\n%s%n&amp;";

static Healbus__Incident incident_of(const char *title)
{
	Healbus__Incident i = HEALBUS__INCIDENT__INIT;
	i.id = (char *)"abcdefghijkl";
	i.title = (char *)title;
	SET(&i, state, OPEN);
	SET(&i, severity, HEALBUS__SEVERITY__SEVERITY_ERROR);
	SET(&i, firing, 2);
	SET(&i, opened_at_ms, T0);
	return i;
}

/* Nothing that a terminal or a mail header would obey, and only lines that we began. */
static void assert_harmless(const struct buf *b)
{
	static const char *const starts[] = {"What ",     "Did ", "Needed ", "Story: ", "  ",
					     "It cannot", "How ", "Plan ",   "[",       "and "};
	struct why why = {0};
	assert_true(utf8_valid(b->data, b->len));
	for (size_t i = 0; i < b->len; i++)
		if ((unsigned char)b->data[i] < ' ' && b->data[i] != '\n')
			fail_msg("control character %d: %s", b->data[i], why.text);
	assert_null(strstr(b->data, "\xe2\x80\xae"));
	assert_null(strstr(b->data, "\xe2\x80\x8b"));
	for (const char *line = b->data; *line;
	     line += strcspn(line, "\n"), line += *line == '\n') {
		bool ours = false;
		for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
			ours = ours || str_starts(line, starts[i]);
		if (!ours)
			fail_msg("a line of its own: %.60s", line);
	}
}

static void test_hostile_words_stay_words(void **state UNUSED)
{
	Healbus__Incident i = incident_of(hostile);
	Healbus__Label label = HEALBUS__LABEL__INIT, *labels[] = {&label};
	Healbus__Attempt a = HEALBUS__ATTEMPT__INIT, *attempts[] = {&a};
	label.name = (char *)"x";
	label.value = (char *)hostile;
	i.labels = labels;
	i.n_labels = 1;
	i.reason = (char *)hostile;
	SET(&i, state, ESCALATED);
	a.what = a.reason = (char *)hostile;
	struct render_incident r = {&i, attempts, 1, TELL_ESCALATED};
	auto_notice_text one = {0}, many = {0}, question = {0};
	render_incident(&r, &one);
	assert_harmless(&one.subject);
	assert_harmless(&one.text);
	assert_null(strchr(one.subject.data, '\n'));
	struct render_incident two[] = {r, r};
	render_digest(two, 2, 2, &many);
	assert_null(strchr(many.subject.data, '\n'));
	assert_harmless(&many.text);
	Healbus__ApprovalRequest q = HEALBUS__APPROVAL_REQUEST__INIT;
	char *lines[] = {(char *)hostile};
	q.id = q.incident = (char *)"abcdefghijkl";
	q.reasons = q.rendered = q.rollback = lines;
	q.n_reasons = q.n_rendered = q.n_rollback = 1;
	render_approval(&q, &i, &question);
	assert_harmless(&question.text);
	assert_null(strchr(question.subject.data, '\n'));
}

static void test_words(void **state UNUSED)
{
	Healbus__Incident i = incident_of("web is down");
	struct render_incident r = {&i, NULL, 0, TELL_OPENED};
	auto_notice_text t = {0};
	render_incident(&r, &t);
	assert_string_equal(t.subject.data, "[error] opened: web is down");
	assert_string_equal(t.text.data,
			    "What broke: web is down (error, 2 firing, since 2023-11-14 22:13:20 "
			    "UTC)\n"
			    "What was done: nothing yet\n"
			    "Did it help: not known yet\n"
			    "Needed from you: nothing\n"
			    "Story: healctl story abcdefgh\n");
}

static void test_headlines(void **state UNUSED)
{
	static const struct {
		Healbus__IncidentState state;
		int verdict; /* -1: no attempt */
		uint32_t tell;
		const char *subject, *kind;
	} cases[] = {
		{OPEN, -1, TELL_OPENED, "[error] opened: t", "opened"},
		{OPEN, HEALBUS__VERDICT__VERDICT_ROLLED_BACK, TELL_OUTCOME,
		 "[error] rolled_back: t", "outcome"},
		{RESOLVED, -1, TELL_RESOLVED, "[error] resolved: t", "resolved"},
		{RESOLVED, HEALBUS__VERDICT__VERDICT_HEALED, TELL_OUTCOME | TELL_RESOLVED,
		 "[error] healed and resolved: t", "resolved"},
		{ESCALATED, HEALBUS__VERDICT__VERDICT_FAILED, TELL_OUTCOME | TELL_ESCALATED,
		 "[error] needs you: t", "escalated"},
		{OPEN, -1, 0, "[error] still open: t", "opened"},
		{ESCALATED, -1, 0, "[error] needs you: t", "escalated"},
	};
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		Healbus__Incident i = incident_of("t");
		Healbus__Attempt a = HEALBUS__ATTEMPT__INIT, *attempts[] = {&a};
		auto_notice_text t = {0};
		SET(&i, state, cases[n].state);
		SET(&a, verdict, (Healbus__Verdict)cases[n].verdict);
		struct render_incident r = {&i, attempts, cases[n].verdict != -1, cases[n].tell};
		render_incident(&r, &t);
		assert_string_equal(t.subject.data, cases[n].subject);
		assert_string_equal(render_kind(&r), cases[n].kind);
	}
}

/* However long the proposal: what is sent fits, and how to answer is in it. */
static void test_answer_survives_the_cut(void **state UNUSED)
{
	Healbus__ApprovalRequest q = HEALBUS__APPROVAL_REQUEST__INIT;
	auto_free char *lng = mem_alloc(WIRE_TEXT_MAX + 1);
	char *lines[WIRE_STEPS_MAX];
	memset(lng, 'x', WIRE_TEXT_MAX);
	for (size_t i = 0; i < WIRE_STEPS_MAX; i++)
		lines[i] = lng;
	q.id = q.incident = (char *)"abcdefghijkl";
	q.rendered = lines;
	q.n_rendered = WIRE_STEPS_MAX;
	auto_notice_text t = {0};
	render_approval(&q, NULL, &t);
	assert_true(t.text.len <= WIRE_TEXT_MAX);
	assert_non_null(strstr(t.text.data, "healctl approve abcdefgh or healctl deny"));
	assert_non_null(strstr(t.text.data, " more lines: healctl plan "));
}

static void test_what(void **state UNUSED)
{
	static const struct {
		Healbus__Phase phase;
		Healbus__StepState state;
	} rows[] = {
		{HEALBUS__PHASE__PHASE_ACT, HEALBUS__STEP_STATE__STEP_DONE},
		{HEALBUS__PHASE__PHASE_VERIFY, HEALBUS__STEP_STATE__STEP_DONE},
		{HEALBUS__PHASE__PHASE_ACT, HEALBUS__STEP_STATE__STEP_SKIPPED},
		{HEALBUS__PHASE__PHASE_ACT, HEALBUS__STEP_STATE__STEP_FAILED},
	};
	Healbus__StepReport reports[ARRAY_SIZE(rows)], *list[ARRAY_SIZE(rows)];
	char names[ARRAY_SIZE(rows)][8];
	Healbus__Outcome o = HEALBUS__OUTCOME__INIT;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		healbus__step_report__init(&reports[i]);
		snprintf(names[i], sizeof(names[i]), "tool%zu", i);
		reports[i].tool = names[i];
		reports[i].target = (char *)(i ? NULL : "web");
		SET(&reports[i], phase, rows[i].phase);
		SET(&reports[i], state, rows[i].state);
		list[i] = &reports[i];
	}
	o.steps = list;
	o.n_steps = ARRAY_SIZE(rows);
	auto_buf what = {0};
	render_what(&o, &what);
	assert_string_equal(what.data, "tool0(web), tool3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile_words_stay_words),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_headlines),
		cmocka_unit_test(test_answer_survives_the_cut),
		cmocka_unit_test(test_what),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
