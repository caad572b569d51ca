#include "common/fold.h"

#include "common/mem.h"
#include "tests/toy/script.h"
#include "tests/toy/toy.h"

#include <setjmp.h>
#include <sys/wait.h>
#include <cmocka.h>

static void assert_outbox(struct fold *f, const char *wanted)
{
	auto_free char *got = outbox(f);
	assert_string_equal(got, wanted);
}

static void ack_all(struct fold *f, int64_t now_ms)
{
	for (uint64_t row = fold_outbox_oldest(f); row < fold_outbox_next(f); row++)
		fold_outbox_acked(f, row, now_ms);
}

/* ---- tests ---- */

static void test_outputs_in_order_with_timers_first(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *f = open_in("a");
	script_add(&s, "x", 0);
	script_add(&s, "y", 5);
	script_add(&s, "x", 6);     /* moves x's timer */
	script_add(&s, "z", 20000); /* both timers are due, y first */
	assert_int_equal(fold_next_due_ms(f), INT64_MAX);
	apply_range(f, &s, 0, 4);
	assert_outbox(f, "m1@1:monitor:0 m1 @0 x\n"
			 "m2@2:monitor:0 m2 @5 y\n"
			 "m3@3:monitor:0 m3 @6 x\n"
			 "m4@4:monitor:0 m4 @10005 timer y\n"
			 "m4@4:monitor:1 m4 @10006 timer x\n"
			 "m4@4:monitor:2 m4 @20000 z\n");
	assert_int_equal(fold_next_due_ms(f), START_MS + 30000);
	struct fold_offset o = fold_offset(f);
	assert_int_equal(o.seq, 4);
	assert_int_equal(o.time_ms, START_MS + 20000);
	assert_int_equal(o.stream_ns, (START_MS + INT64_C(20000)) * 1000000);
	fold_close(f);
	f = open_in("a");
	assert_int_equal(fold_offset(f).seq, 4);
	assert_int_equal(fold_next_due_ms(f), START_MS + 30000);
	assert_int_equal(fold_outbox_unacked(f), 6);
	assert_int_equal(toy_count(f, "x"), 2);
	fold_close(f);
	script_release(&s);
}

static void test_time_never_goes_back(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *f = open_in("a");
	script_add(&s, "x", 1000);
	script_add(&s, "y", 10);
	apply_range(f, &s, 0, 2);
	assert_outbox(f, "m1@1:monitor:0 m1 @1000 x\nm2@2:monitor:0 m2 @1000 y\n");
	fold_close(f);
	script_release(&s);
}

static void test_a_tick_moves_time_only(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *f = open_in("a");
	script_add(&s, "x", 0);
	Healbus__Tick tick = HEALBUS__TICK__INIT;
	auto_buf packed = {0};
	tick.stage = (char *)(uintptr_t) "monitor";
	SET(&tick, at_ms, 5);
	wire_pack(&tick.base, &packed);
	script_add(&s, "unused", TOY_TIMER_MS);
	struct fold_message m = s.msgs[1];
	m.subject = "event.03.tick";
	m.data = packed.data;
	m.len = packed.len;
	apply_range(f, &s, 0, 1);
	assert_int_equal(fold_apply(f, &m, 1, NULL), 0);
	assert_outbox(f, "m1@1:monitor:0 m1 @0 x\nm2@2:monitor:0 m2 @10000 timer x\n");
	assert_int_equal(fold_next_due_ms(f), INT64_MAX);
	fold_close(f);
	script_release(&s);
}

static void test_unreadable_and_refused_go_to_dead(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *f = open_in("a");
	script_add(&s, "x", 0);
	script_add(&s, "refuse", 1);
	script_add(&s, "x", 2);
	script_add(&s, "x", 20000);
	s.msgs[2].len = 3; /* cut */
	s.msgs[3].subject = "nonsense.subject";
	apply_range(f, &s, 0, 4);
	auto_free char *got = outbox(f);
	assert_non_null(strstr(got, "m1@1:monitor:0 m1 @0 x\n"
				    "m2@2:monitor:0 m2 @1 event.name: refused\n"
				    "m3@3:monitor:0 m3 @2 "));
	assert_non_null(strstr(got,
			       "m4@4:monitor:0 m4 @10000 timer x\n"
			       "m4@4:monitor:1 m4 @20000 subject is not in the topic table\n"));
	assert_int_equal(toy_count(f, "refuse"), 0);
	assert_int_equal(fold_offset(f).seq, 4);
	fold_close(f);
	script_release(&s);
}

static void test_what_a_newer_release_says(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *f = open_in("a");
	script_add(&s, "x", 0);
	script_add(&s, "x", 1);
	script_add(&s, "x", 2);
	s.msgs[0].subject = "heal.forecast.abc"; /* a kind that nobody knows is passed over */
	s.msgs[1].schema = SCHEMA_NUMBER + 1;    /* other rules are not */
	s.msgs[2].schema = SCHEMA_NUMBER;
	apply_range(f, &s, 0, 3);
	auto_free char *got = outbox(f);
	assert_string_equal(got, "m2@2:monitor:0 m2 @1 schema 2, this release reads up to 1\n"
				 "m3@3:monitor:0 m3 @2 x\n");
	assert_int_equal(fold_offset(f).seq, 3);
	fold_close(f);
	script_release(&s);
}

static void test_a_bug_changes_nothing(void **state)
{
	(void)state;
	struct script s = {0};
	struct why why = {0};
	struct fold *f = open_in("a");
	script_add(&s, "x", 0);
	script_add(&s, "bug", 1);
	assert_int_equal(fold_apply(f, s.msgs, 2, &why), ERR_INTERNAL);
	assert_non_null(strstr(why.text, "incident"));
	assert_int_equal(fold_offset(f).seq, 0);
	assert_int_equal(toy_count(f, "x"), 0);
	assert_outbox(f, "");
	fold_close(f);
	script_release(&s);
}

static void test_acked_rows_are_retained_then_go(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *f = open_in("a");
	for (int i = 0; i < 5; i++)
		script_add(&s, "x", i);
	apply_range(f, &s, 0, 3);
	assert_int_equal(fold_outbox_unacked(f), 3);
	assert_int_equal(fold_outbox_oldest(f), 0);
	fold_outbox_acked(f, 1, 1000);
	assert_int_equal(fold_outbox_oldest(f), 0);
	fold_outbox_acked(f, 0, 1000);
	fold_outbox_acked(f, 0, 1500); /* again: no matter */
	assert_int_equal(fold_outbox_oldest(f), 2);
	assert_int_equal(fold_trim(f, 1000 + RETAIN_MS - 1, NULL), 0);
	auto_free char *kept = outbox(f);
	assert_non_null(strstr(kept, "m1@1:monitor:0"));
	assert_int_equal(fold_trim(f, 1000 + RETAIN_MS, NULL), 0);
	assert_outbox(f, "m3@3:monitor:0 m3 @2 x\n");
	fold_outbox_acked(f, 2, 2000 + RETAIN_MS);
	fold_outbox_acked(f, 2, 2000 + 3 * RETAIN_MS); /* the caller's clock goes on */
	apply_range(f, &s, 3, 5);                      /* a batch trims too */
	assert_outbox(f, "m4@4:monitor:0 m4 @3 x\nm5@5:monitor:0 m5 @4 x\n");
	assert_int_equal(fold_outbox_next(f), 5);
	ack_all(f, 5);
	assert_int_equal(fold_outbox_unacked(f), 0);
	fold_outbox_unack(f);
	assert_int_equal(fold_outbox_unacked(f), 2);
	assert_int_equal(fold_outbox_oldest(f), 3);
	fold_close(f);
	f = open_in("a");
	assert_int_equal(fold_outbox_oldest(f), 3);
	assert_int_equal(fold_outbox_next(f), 5);
	fold_close(f);
	script_release(&s);
}

static int note_again(void *ctx, const struct fold_row *row)
{
	char *seen = ctx;
	seen[row->row] = row->again ? 'a' : '-';
	return 0;
}

static void assert_again(struct fold *f, const char *expected)
{
	char seen[16] = "";
	assert_int_equal(fold_outbox_each(f, 0, note_again, seen), 0);
	assert_string_equal(seen, expected);
}

static void test_what_was_acked_once_is_said_again(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *f = open_in("a");
	for (int i = 0; i < 5; i++)
		script_add(&s, "x", i);
	apply_range(f, &s, 0, 4);
	assert_again(f, "----");
	fold_outbox_acked(f, 0, 1000);
	fold_outbox_acked(f, 1, 1000);
	fold_outbox_acked(f, 3, 1000);
	fold_outbox_unack(f);
	assert_again(f, "aa-a");
	apply_range(f, &s, 4, 5); /* a batch remembers what had been acked up to the first gap */
	fold_close(f);
	f = open_in("a");
	assert_again(f, "aa---");
	assert_int_equal(fold_outbox_unacked(f), 5);
	fold_close(f);
	script_release(&s);
}

static void test_known_outputs_are_not_said_again(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *a = open_in("a");
	struct fold *b = open_in("b");
	for (int i = 0; i < 4; i++)
		script_add(&s, i % 2 ? "x" : "y", i * 7000);
	apply_range(a, &s, 0, 4);
	fold_known_outputs_add(b, "m1@1:monitor:0");
	fold_known_outputs_add(b, "m3@3:monitor:1");
	apply_range(b, &s, 0, 4);
	auto_free char *all = outbox(a);
	auto_free char *rest = outbox(b);
	assert_non_null(strstr(all, "m1@1:monitor:0 "));
	assert_non_null(strstr(all, "m3@3:monitor:1 "));
	assert_null(strstr(rest, "m1@1:monitor:0 "));
	assert_null(strstr(rest, "m3@3:monitor:1 "));
	assert_non_null(strstr(rest, "m3@3:monitor:0 "));
	uint8_t ha[DIGEST_BYTES], hb[DIGEST_BYTES];
	assert_int_equal(fold_hash(a, ha), 0);
	assert_int_equal(fold_hash(b, hb), 0);
	assert_memory_equal(ha, hb, sizeof(ha));
	fold_close(a);
	fold_close(b);
	script_release(&s);
}

/* The process dies in the middle of `name` (or of its timer); what it had committed stays. */
static void die_on(const struct script *s, const char *variable)
{
	pid_t pid = fork();
	if (pid == 0) {
		setenv(variable, "1", 1);
		struct fold *f = open_in("a");
		fold_apply(f, s->msgs, s->n, NULL);
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 9);
}

/* Another owner said them in our place. */
static void test_rows_that_others_said_are_settled(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *f = open_in("a");
	script_add(&s, "x", 0);
	script_add(&s, "y", 1);
	script_add(&s, "z", 2);
	apply_range(f, &s, 0, 3);
	assert_int_equal(fold_outbox_unacked(f), 3);
	fold_known_outputs_add(f, "m1@1:monitor:0");
	fold_known_outputs_add(f, "m3@3:monitor:0");
	fold_outbox_settle_known(f, 1000);
	assert_int_equal(fold_outbox_unacked(f), 1);
	assert_int_equal(fold_outbox_oldest(f), fold_outbox_next(f) - 2);
	fold_known_outputs_clear(f);
	fold_outbox_unack(f);
	fold_outbox_settle_known(f, 1000);
	assert_int_equal(fold_outbox_unacked(f), 3);
	fold_close(f);
	script_release(&s);
}

static void test_poison_is_buried_after_three_deaths(void **state)
{
	(void)state;
	struct script s = {0};
	script_add(&s, "x", 0);
	script_add(&s, "kill", 1);
	script_add(&s, "y", 2);
	for (int i = 0; i < FOLD_POISON_TRIES; i++)
		die_on(&s, "HEALBUS_TOY_KILL");
	setenv("HEALBUS_TOY_KILL", "1", 1);
	struct fold *f = open_in("a");
	apply_range(f, &s, 0, 3);
	unsetenv("HEALBUS_TOY_KILL");
	assert_outbox(f, "m1@1:monitor:0 m1 @0 x\n"
			 "m2@2:monitor:0 m2 @1 the process died on it 3 times\n"
			 "m3@3:monitor:0 m3 @2 y\n");
	assert_int_equal(toy_count(f, "kill"), 0);
	fold_close(f);
	script_release(&s);
}

static void test_two_deaths_are_not_poison(void **state)
{
	(void)state;
	struct script s = {0};
	script_add(&s, "x", 0);
	script_add(&s, "kill", 1);
	for (int i = 0; i < FOLD_POISON_TRIES - 1; i++)
		die_on(&s, "HEALBUS_TOY_KILL");
	struct fold *f = open_in("a");
	apply_range(f, &s, 0, 2);
	assert_outbox(f, "m1@1:monitor:0 m1 @0 x\nm2@2:monitor:0 m2 @1 kill\n");
	fold_close(f);
	script_release(&s);
}

static void test_a_poisonous_timer_is_dropped(void **state)
{
	(void)state;
	struct script s = {0};
	script_add(&s, "kill", 0);
	script_add(&s, "y", 20000);
	for (int i = 0; i < FOLD_POISON_TRIES; i++)
		die_on(&s, "HEALBUS_TOY_KILL_TIMER");
	setenv("HEALBUS_TOY_KILL_TIMER", "1", 1);
	struct fold *f = open_in("a");
	apply_range(f, &s, 0, 2);
	unsetenv("HEALBUS_TOY_KILL_TIMER");
	assert_outbox(f, "m1@1:monitor:0 m1 @0 kill\n"
			 "m2@2:monitor:0 m2 @10000 timer kill: the process died on it 3 times\n"
			 "m2@2:monitor:1 m2 @20000 y\n");
	fold_close(f);
	script_release(&s);
}

static void test_a_message_without_id_gets_one(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *f = open_in("a");
	script_add(&s, "x", 1);
	struct fold_message m = s.msgs[0];
	m.id = "";
	char long_id[200];
	memset(long_id, 'i', sizeof(long_id) - 1);
	long_id[sizeof(long_id) - 1] = '\0';
	assert_int_equal(fold_apply(f, &m, 1, NULL), 0);
	m.id = long_id;
	assert_int_equal(fold_apply(f, &m, 1, NULL), 0);
	auto_free char *got = outbox(f);
	assert_non_null(strstr(got, "s1-1700000001000000@1:monitor:0 "));
	assert_true(strcspn(strchr(got, '\n') + 1, " ") < 40);
	fold_close(f);
	script_release(&s);
}

/* The same id again, behind the stream's duplicate window: a repeated alert, or a tick said anew.
 * Its outputs are others, and the bus must not take them for the first one's. */
static void test_an_id_that_comes_again_has_outputs_of_its_own(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *f = open_in("a");
	script_add(&s, "x", 0);
	script_add(&s, "y", 300000);
	struct fold_message again = s.msgs[1];
	again.id = s.msgs[0].id;
	apply_range(f, &s, 0, 1);
	assert_int_equal(fold_apply(f, &again, 1, NULL), 0);
	assert_outbox(f, "m1@1:monitor:0 m1 @0 x\n"
			 "m1@2:monitor:0 m1 @10000 timer x\n"
			 "m1@2:monitor:1 m1 @300000 y\n");
	fold_close(f);
	script_release(&s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, script_make_dir, script_drop_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_outputs_in_order_with_timers_first),
		TEST(test_time_never_goes_back),
		TEST(test_a_tick_moves_time_only),
		TEST(test_unreadable_and_refused_go_to_dead),
		TEST(test_what_a_newer_release_says),
		TEST(test_a_bug_changes_nothing),
		TEST(test_acked_rows_are_retained_then_go),
		TEST(test_what_was_acked_once_is_said_again),
		TEST(test_known_outputs_are_not_said_again),
		TEST(test_rows_that_others_said_are_settled),
		TEST(test_poison_is_buried_after_three_deaths),
		TEST(test_two_deaths_are_not_poison),
		TEST(test_a_poisonous_timer_is_dropped),
		TEST(test_a_message_without_id_gets_one),
		TEST(test_an_id_that_comes_again_has_outputs_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
