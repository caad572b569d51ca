/* Properties of folds over random scripts; SEED=n repeats a run. */
#include "common/clock.h"
#include "common/fold.h"
#include "common/mem.h"
#include "tests/toy/script.h"
#include "tests/toy/toy.h"

#include <setjmp.h>
#include <cmocka.h>

static unsigned seed_of_run(void)
{
	const char *text = getenv("SEED");
	unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)clock_real_ns();
	print_message("SEED=%u\n", seed);
	return seed;
}

static void random_script(struct script *s, unsigned *seed, size_t n)
{
	static const char *const names[] = {"a", "b", "c", "d", "refuse"};
	int64_t at = 0;
	for (size_t i = 0; i < n; i++) {
		at += rand_r(seed) % 4000 - 300;
		script_add(s, names[(unsigned)rand_r(seed) % ARRAY_SIZE(names)], MAX(0, at));
	}
}

static void apply_in_pieces(struct fold *f, const struct script *s, size_t from, unsigned *seed)
{
	while (from < s->n) {
		size_t n = 1 + (unsigned)rand_r(seed) % 40;
		size_t to = MIN(from + n, s->n);
		apply_range(f, s, from, to);
		from = to;
	}
}

static void assert_same(struct fold *a, struct fold *b)
{
	uint8_t ha[DIGEST_BYTES], hb[DIGEST_BYTES];
	assert_int_equal(fold_hash(a, ha), 0);
	assert_int_equal(fold_hash(b, hb), 0);
	assert_memory_equal(ha, hb, sizeof(ha));
	auto_free char *oa = outbox(a);
	auto_free char *ob = outbox(b);
	assert_string_equal(oa, ob);
}

static void test_replay_is_byte_identical(void **state)
{
	(void)state;
	unsigned seed = seed_of_run();
	struct script s = {0};
	random_script(&s, &seed, 500);
	struct fold *a = open_in("a");
	struct fold *b = open_in("b");
	apply_in_pieces(a, &s, 0, &seed);
	for (size_t i = 0; i < s.n; i++) {
		apply_range(b, &s, i, i + 1);
		if (rand_r(&seed) % 20 == 0) {
			fold_close(b);
			b = open_in("b");
		}
	}
	assert_same(a, b);
	fold_close(a);
	fold_close(b);
	script_release(&s);
}

/* The bus loses its tail after we read it, and what was lost comes again in any order, under new
 * sequence numbers, mixed with what is new: the state is as if nothing had happened. */
static void test_shuffled_redelivery_changes_nothing(void **state)
{
	(void)state;
	unsigned seed = seed_of_run();
	struct script s = {0};
	random_script(&s, &seed, 400);
	struct fold *a = open_in("a");
	struct fold *b = open_in("b");
	apply_in_pieces(a, &s, 0, &seed);
	size_t read = 250, back = 180;
	for (size_t i = 0; i < read; i++)
		apply_range(b, &s, i, i + 1);
	assert_int_equal(fold_skip_seen(b, NULL), 0);
	struct script again = {.msgs = mem_calloc(s.n, sizeof(*s.msgs))};
	for (size_t i = back; i < read; i++)
		again.msgs[again.n++] = s.msgs[i];
	for (size_t i = again.n - 1; i > 0; i--) {
		size_t k = (unsigned)rand_r(&seed) % (i + 1);
		struct fold_message m = again.msgs[i];
		again.msgs[i] = again.msgs[k];
		again.msgs[k] = m;
	}
	/* Half of it before a restart, half after: what was seen is loaded again by itself. */
	apply_range(b, &again, 0, again.n / 2);
	fold_close(b);
	b = open_in("b");
	apply_range(b, &again, again.n / 2, again.n);
	apply_in_pieces(b, &s, read, &seed);
	assert_same(a, b);
	fold_close(a);
	fold_close(b);
	free(again.msgs);
	script_release(&s);
}

/* After the bus went back, what is lost comes again and is passed over; a repeat under the same id,
 * later than all that was read, is news. */
static void test_a_repeat_is_no_redelivery(void **state)
{
	(void)state;
	struct script s = {0};
	struct fold *f = open_in("a");
	script_add(&s, "x", 0);
	script_add(&s, "x", FOLD_BACK_MARGIN_MS);
	script_add(&s, "x", FOLD_BACK_MARGIN_MS + 1);
	struct fold_message lost = s.msgs[1], repeat = s.msgs[2];
	lost.id = repeat.id = s.msgs[0].id;
	apply_range(f, &s, 0, 1);
	assert_int_equal(fold_skip_seen(f, NULL), 0);
	assert_int_equal(fold_apply(f, &lost, 1, NULL), 0);
	assert_int_equal(toy_count(f, "x"), 1);
	fold_close(f);
	f = open_in("a");
	assert_int_equal(fold_apply(f, &repeat, 1, NULL), 0);
	assert_int_equal(toy_count(f, "x"), 2);
	fold_close(f);
	script_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_replay_is_byte_identical, script_make_dir,
						script_drop_dir),
		cmocka_unit_test_setup_teardown(test_shuffled_redelivery_changes_nothing,
						script_make_dir, script_drop_dir),
		cmocka_unit_test_setup_teardown(test_a_repeat_is_no_redelivery, script_make_dir,
						script_drop_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
