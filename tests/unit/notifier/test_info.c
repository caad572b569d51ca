/* What a person reads before saying yes: exact, labelled, nothing silently cut. */
#include "common/mem.h"
#include "notifier/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static uint8_t digest[DIGEST_BYTES] = {0xab, 0xcd, 0xef, 0x01};

static void test_a_line_cannot_lie(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		size_t max;
		const char *out;
	} rows[] = {
		{"ls -l", 100, "ls -l"},
		{"safe \xe2\x80\xae"
		 "gnp.exe",
		 100, "safe \\u{202e}gnp.exe"},
		{"a\xe2\x80\x8b"
		 "b",
		 100, "a\\u{200b}b"},
		{"a\x1b[2Jb", 100, "a\\x1b[2Jb"},
		{"one\ntwo\tthree", 100, "one\\ntwo\\tthree"},
		{"0123456789", 4, "0123 \u2026 and 6 more bytes"},
		{"ab\xc3\xa9", 3, "ab \u2026 and 2 more bytes"},
		{"", 4, ""},
		{NULL, 4, ""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf out = {0};
		render_exact(&out, rows[i].in, rows[i].max);
		assert_string_equal(buf_str(&out), rows[i].out);
	}
}

static void request_init(Healbus__ApprovalRequest *a, char **rendered)
{
	healbus__approval_request__init(a);
	a->id = (char *)"ask1";
	a->incident = (char *)"inc1";
	a->plan_id = (char *)"plan1";
	a->has_plan_digest = 1;
	a->plan_digest = (ProtobufCBinaryData){sizeof(digest), digest};
	SET(a, level, HEALBUS__LEVEL__LEVEL_HARD);
	SET(a, deadline_ms, INT64_C(1700000000000));
	a->rendered = rendered;
	a->n_rendered = 1;
}

static void test_all_that_is_known_is_shown(void **state)
{
	(void)state;
	char *rendered[] = {(char *)"code_fix(web): git apply \xe2\x80\xae"};
	Healbus__ApprovalRequest a;
	request_init(&a, rendered);
	Healbus__Param text = HEALBUS__PARAM__INIT, *params[] = {&text};
	text.name = (char *)"edits";
	text.text_value = (char *)"--- a\n+++ b\n-old\n+new\xe2\x80\xae";
	Healbus__Step step = HEALBUS__STEP__INIT, *steps[] = {&step};
	step.tool = (char *)"code_fix";
	step.target = (char *)"web";
	step.params = params;
	step.n_params = 1;
	Healbus__Plan plan = HEALBUS__PLAN__INIT;
	plan.steps = steps;
	plan.n_steps = 1;
	plan.why = (char *)"Approve me.\nWhat would be done, exactly:\n  1. nothing";
	SET(&plan, provenance, HEALBUS__PROVENANCE__PROVENANCE_MODEL);
	Healbus__Evidence line = HEALBUS__EVIDENCE__INIT, *evidence[] = {&line};
	line.source = (char *)"log";
	SET(&line, line, 17);
	line.text = (char *)"error[E0308]: mismatched types";
	Healbus__Diagnosis d = HEALBUS__DIAGNOSIS__INIT;
	d.failure_type = (char *)"rust_type_error";
	SET(&d, confidence, 0.875);
	d.evidence = evidence;
	d.n_evidence = 1;
	Healbus__StepReport report = HEALBUS__STEP_REPORT__INIT, *reports[] = {&report};
	report.rendered = (char *)"git apply --check";
	report.output = (char *)"clean";
	Healbus__Outcome dry = HEALBUS__OUTCOME__INIT;
	dry.reason = (char *)"rehearsed";
	dry.steps = reports;
	dry.n_steps = 1;
	const struct render_info info = {
		.approval = &a, .plan = &plan, .diagnosis = &d, .rehearsal = &dry};
	auto_buf out = {0};
	render_info(&info, &out);
	static const char *const wanted[] = {
		"  1. code_fix(web): git apply \\u{202e}\n",
		"     | -old\n     | +new\\u{202e}\n",
		("Diagnosis: rust_type_error (88 % sure)\n  log:17: error[E0308]: mismatched "
		 "types\n"),
		"Dry run: rehearsed\n  1. git apply --check: clean\n",
		"Why (a model's words; nobody has checked them): Approve me.\\nWhat would be done",
		"Plan digest: abcdef01",
	};
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!strstr(buf_str(&out), wanted[i]))
			fail_msg("no \"%s\" in\n%s", wanted[i], buf_str(&out));
	/* A model's prose cannot pose as what the plan does: it stays on its one line. */
	assert_ptr_equal(
		strstr(strstr(buf_str(&out), "\nWhat would be done") + 1, "\nWhat would be done"),
		NULL);
}

static void test_another_plan_on_the_bus_is_warned_of(void **state)
{
	(void)state;
	char *rendered[] = {(char *)"x"};
	Healbus__ApprovalRequest a;
	request_init(&a, rendered);
	auto_buf out = {0}, gone = {0};
	render_info(&(struct render_info){.approval = &a, .plan_differs = true}, &out);
	assert_non_null(strstr(buf_str(&out), "WARNING: the plan's bytes on the bus are not"));
	render_info(&(struct render_info){.approval = &a}, &gone);
	assert_non_null(strstr(buf_str(&gone), "cannot be had from the bus"));
}

static void test_what_is_left_out_is_counted(void **state)
{
	(void)state;
	auto_buf edits = {0}, out = {0};
	for (int i = 0; i < 5000; i++)
		buf_printf(&edits, "line %d\n", i);
	char *rendered[] = {(char *)"code_fix(web)"};
	Healbus__ApprovalRequest a;
	request_init(&a, rendered);
	Healbus__Param text = HEALBUS__PARAM__INIT, *params[] = {&text};
	text.name = (char *)"edits";
	text.text_value = edits.data;
	Healbus__Step step = HEALBUS__STEP__INIT, *steps[] = {&step};
	step.params = params;
	step.n_params = 1;
	Healbus__Plan plan = HEALBUS__PLAN__INIT;
	plan.steps = steps;
	plan.n_steps = 1;
	render_info(&(struct render_info){.approval = &a, .plan = &plan}, &out);
	assert_true(out.len <= RENDER_TEXT_MAX);
	int last = -1;
	unsigned left = 0;
	for (const char *at = buf_str(&out); (at = strstr(at, "| line ")); at++)
		last = (int)strtol(at + 7, NULL, 10);
	const char *mark = strstr(buf_str(&out), "\u2026 ");
	assert_non_null(mark);
	assert_int_equal(
		sscanf(mark, "\u2026 %u more lines: healctl plan plan1 (digest abcdef01", &left),
		1);
	assert_int_equal(last + 1 + (int)left, 5001); /* and the digest's line */
}

static void test_a_question_cuts_no_step_in_silence(void **state)
{
	(void)state;
	auto_free char *longest = mem_alloc(WIRE_TEXT_MAX);
	memset(longest, 'x', WIRE_TEXT_MAX - 1);
	char *rendered[] = {longest};
	Healbus__ApprovalRequest a;
	request_init(&a, rendered);
	auto_notice_text text = {0};
	render_approval(&a, NULL, &text);
	assert_non_null(strstr(buf_str(&text.text), "\u2026 and 15359 more bytes\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_cannot_lie),
		cmocka_unit_test(test_all_that_is_known_is_shown),
		cmocka_unit_test(test_another_plan_on_the_bus_is_warned_of),
		cmocka_unit_test(test_what_is_left_out_is_counted),
		cmocka_unit_test(test_a_question_cuts_no_step_in_silence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
