#include "common/stage_private.h"

#include <setjmp.h>
#include <cmocka.h>

enum { LIMIT_MS = 1000 };

/* Whether the stage counts as alive at that time, and who is named if not. */
static bool alive_at(struct stage *s, int64_t mono_ms, const char *named)
{
	auto_buf reasons = {0};
	clock_fake(0, mono_ms);
	bool alive = stage_alive(s, LIMIT_MS, &reasons);
	assert_string_equal(buf_str(&reasons), named);
	return alive;
}

static void test_pulses(void **state UNUSED)
{
	struct stage s = {0};
	clock_fake(0, 5000);
	struct stage_pulse *fold = stage_pulse_new(&s, "fold");
	struct stage_pulse *effect = stage_pulse_new(&s, "effect");
	/* Threads that have not begun are not looked at. */
	assert_true(alive_at(&s, 900000, ""));
	clock_fake(0, 900000);
	stage_pulse(fold);
	stage_pulse(effect);
	assert_true(alive_at(&s, 900000 + LIMIT_MS - 1, ""));
	assert_false(alive_at(&s, 902000, "effect: hangs for 2 s\nfold: hangs for 2 s\n"));
	stage_pulse(fold);
	assert_false(alive_at(&s, 902500, "effect: hangs for 2 s\n"));
	/* A handler may take long. */
	stage_pulse_rest(effect);
	assert_true(alive_at(&s, 902500, ""));
	stage_pulse(effect);
	assert_true(alive_at(&s, 902999, ""));
	assert_false(alive_at(&s, 963000, "effect: hangs for 60 s\nfold: hangs for 61 s\n"));
	clock_unfake();
	stage_pulses_free(&s);
	assert_null(s.pulses);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_pulses)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
