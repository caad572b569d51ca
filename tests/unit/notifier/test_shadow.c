#include "notifier/shadow.h"

#include <setjmp.h>
#include <cmocka.h>

static struct shadow_deeds deeds(const char *tool, const char *target)
{
	struct shadow_deeds d = {0};
	shadow_deed_add(&d, "look", "web");
	shadow_deed_add(&d, tool, target);
	return d;
}

struct row {
	const char *what;
	int64_t resolved_ms, acked_ms;
	bool acted;
	struct {
		enum shadow_verdict says;
		int64_t at_ms;
		const char *tool, *target;
	} signs[3];
	enum shadow_verdict want;
	int64_t want_sign_ms; /* 0: none */
};

/* The plan restarts db at 1000; patience is 100. */
static const struct row rows[] = {
	{"still firing", .want = SHADOW_OPEN},
	{"went away", .resolved_ms = 1100, .want = SHADOW_NEEDLESS},
	{"went away too late to say", .resolved_ms = 1101, .want = SHADOW_OPEN},
	{"another plan was run", .resolved_ms = 1050, .acted = true, .want = SHADOW_OPEN},
	{"taken", .acked_ms = 1010, .want = SHADOW_TAKEN},
	{"taken and over soon", .acked_ms = 1010, .resolved_ms = 1050, .want = SHADOW_TAKEN},
	{"the same was allowed", .signs = {{SHADOW_SAME, 1200, "restart", "db"}},
	 .want = SHADOW_SAME, .want_sign_ms = 1200},
	{"a word counts more than taking it", .acked_ms = 1010,
	 .signs = {{SHADOW_DENIED, 1020, "restart", "db"}}, .want = SHADOW_DENIED,
	 .want_sign_ms = 1020},
	{"the latest word counts",
	 .signs = {{SHADOW_UNDONE, 1300, "restart", "db"},
		   {SHADOW_SAME, 1200, "restart", "db"},
		   {SHADOW_DENIED, 1100, "restart", "db"}},
	 .want = SHADOW_UNDONE, .want_sign_ms = 1300},
	{"another target", .resolved_ms = 1050, .signs = {{SHADOW_SAME, 1010, "restart", "cache"}},
	 .want = SHADOW_NEEDLESS},
	{"another tool", .resolved_ms = 1050, .signs = {{SHADOW_SAME, 1010, "stop", "db"}},
	 .want = SHADOW_NEEDLESS},
	{"a word from before", .resolved_ms = 1050, .signs = {{SHADOW_SAME, 999, "restart", "db"}},
	 .want = SHADOW_NEEDLESS},
	{"a word from after the end", .resolved_ms = 1050,
	 .signs = {{SHADOW_DENIED, 1051, "restart", "db"}}, .want = SHADOW_NEEDLESS},
	{"a word at the last moment", .resolved_ms = 1050,
	 .signs = {{SHADOW_DENIED, 1050, "restart", "db"}}, .want = SHADOW_DENIED,
	 .want_sign_ms = 1050},
};

static void test_verdicts(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		struct shadow_sign signs[3];
		struct shadow_plan p = {.at_ms = 1000,
					.resolved_ms = r->resolved_ms,
					.acked_ms = r->acked_ms,
					.acted = r->acted};
		size_t n = 0;
		shadow_deed_add(&p.deeds, "restart", "db");
		for (; n < 3 && r->signs[n].tool; n++) {
			/* What people did reads something too; that both read is no agreement. */
			signs[n] = (struct shadow_sign){
				.says = r->signs[n].says,
				.at_ms = r->signs[n].at_ms,
				.deeds = deeds(r->signs[n].tool, r->signs[n].target)};
		}
		struct shadow_judgement j = shadow_judge(&p, signs, n, 100);
		if (j.verdict != r->want || (j.sign ? j.sign->at_ms : 0) != r->want_sign_ms)
			fail_msg("%s: %s", r->what, shadow_verdict_name(j.verdict));
	}
}

static void test_tally(void **state UNUSED)
{
	static const enum shadow_verdict seen[] = {SHADOW_SAME,   SHADOW_SAME,     SHADOW_TAKEN,
						   SHADOW_DENIED, SHADOW_NEEDLESS, SHADOW_OPEN};
	struct shadow_tally t = {0};
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		shadow_count(&t, seen[i]);
	assert_int_equal(t.agree, 3);
	assert_int_equal(t.disagree, 2);
	assert_int_equal(t.by_verdict[SHADOW_SAME], 2);
	assert_int_equal(t.by_verdict[SHADOW_OPEN], 1);
	assert_string_equal(shadow_verdict_name(SHADOW_UNDONE), "undone");
	assert_string_equal(shadow_verdict_name((enum shadow_verdict)99), "open");
}

static void test_deeds(void **state UNUSED)
{
	struct shadow_deeds d = {0};
	shadow_deed_add(&d, NULL, "web");
	shadow_deed_add(&d, "", "web");
	shadow_deed_add(&d, "restart", NULL);
	assert_int_equal(d.n, 0);
	for (int i = 0; i < 2 * SHADOW_DEEDS_MAX; i++)
		shadow_deed_add(&d, "restart", "web");
	assert_int_equal(d.n, SHADOW_DEEDS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_tally),
		cmocka_unit_test(test_deeds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
