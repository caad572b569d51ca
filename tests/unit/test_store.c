#include "tests/unit/store_kit.h"

/* ---- rows ---- */

static void test_rows_survive_a_restart(void **state)
{
	struct fixture *f = *state;
	put(f->store, &table_a, "k", "one");
	put(f->store, &table_b, "k", "two");
	put(f->store, &table_a, "empty", "");
	reopen(f);
	assert_value(f->store, &table_a, "k", "one");
	assert_value(f->store, &table_b, "k", "two");
	assert_value(f->store, &table_a, "empty", "");
	assert_value(f->store, &table_b, "empty", NULL);
}

static void test_dropped_transaction_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	put(f->store, &table_a, "k", "one");
	struct store_txn *txn = store_begin_write(f->store);
	store_put_str(txn, &table_a, "k", "two", 3);
	store_del_str(txn, &table_a, "missing");
	assert_int_equal(store_error(txn), 0);
	store_end(txn);
	store_end(NULL);
	assert_value(f->store, &table_a, "k", "one");
}

static void test_delete_clear_count(void **state)
{
	struct fixture *f = *state;
	for (char key[] = "a"; key[0] <= 'e'; key[0]++)
		put(f->store, &table_a, key, "x");
	struct store_txn *txn = store_begin_write(f->store);
	assert_int_equal(store_count(txn, &table_a), 5);
	store_del_str(txn, &table_a, "b");
	assert_int_equal(store_count(txn, &table_a), 4);
	store_clear(txn, &table_a);
	store_put_str(txn, &table_a, "z", "y", 1);
	assert_int_equal(store_commit(txn), 0);
	assert_value(f->store, &table_a, "a", NULL);
	assert_value(f->store, &table_a, "z", "y");
}

static void test_first_error_stays(void **state)
{
	struct fixture *f = *state;
	char key[STORE_KEY_MAX + 2];
	memset(key, 'k', sizeof(key));
	struct store_txn *txn = store_begin_write(f->store);
	store_put_str(txn, &table_a, "good", "x", 1);
	store_put(txn, &table_a, key, STORE_KEY_MAX + 1, "x", 1);
	assert_int_equal(store_error(txn), ERR_TOO_LARGE);
	store_put_str(txn, &table_a, "later", "x", 1);
	assert_int_equal(store_commit(txn), ERR_TOO_LARGE);
	assert_value(f->store, &table_a, "good", NULL);
	txn = store_begin_write(f->store);
	store_put(txn, &table_a, key, STORE_KEY_MAX, "x", 1);
	assert_int_equal(store_commit(txn), 0);
}

static void test_a_borrowed_value_can_be_put(void **state)
{
	struct fixture *f = *state;
	put(f->store, &table_a, "from", "the value itself");
	struct store_txn *txn = store_begin_write(f->store);
	for (int i = 0; i < 200; i++) {
		char key[16];
		struct store_val v;
		snprintf(key, sizeof(key), "to-%03d", i);
		assert_int_equal(store_get_str(txn, &table_a, "from", &v), 0);
		store_put_str(txn, &table_a, key, v.data, v.len);
	}
	assert_int_equal(store_commit(txn), 0);
	assert_value(f->store, &table_a, "to-000", "the value itself");
	assert_value(f->store, &table_a, "to-199", "the value itself");
}

/* ---- ranges ---- */

static int stop_at_second(void *ctx, const void *key, size_t len, struct store_val val)
{
	collect(ctx, key, len, val);
	return ((struct buf *)ctx)->len > 3;
}

static int fail_visit(void *ctx, const void *key, size_t len, struct store_val val)
{
	(void)ctx, (void)key, (void)len, (void)val;
	return ERR_DENIED;
}

#define KEY(s) s, sizeof(s) - 1
static const struct {
	struct store_range range;
	const char *keys;
} ranges[] = {
	{{0}, "a a1 a2 b b1 b\xff b\xff\xff c "},
	{{.backwards = true}, "c b\xff\xff b\xff b1 b a2 a1 a "},
	{{KEY("a"), .from = NULL}, "a a1 a2 "},
	{{KEY("b"), .from = NULL}, "b b1 b\xff b\xff\xff "},
	{{KEY("b"), .backwards = true}, "b\xff\xff b\xff b1 b "},
	{{KEY("b\xff"), .backwards = true}, "b\xff\xff b\xff "},
	{{KEY("c"), .backwards = true}, "c "},
	{{KEY("d"), .from = NULL}, ""},
	{{KEY("d"), .backwards = true}, ""},
	{{KEY("0"), .backwards = true}, ""},
	{{NULL, 0, KEY("a2"), .limit = 0}, "a2 b b1 b\xff b\xff\xff c "},
	{{KEY("a"), KEY("a11"), .limit = 0}, "a2 "},
	{{KEY("b"), KEY("a"), .limit = 0}, "b b1 b\xff b\xff\xff "},
	{{KEY("a"), KEY("b"), .limit = 0}, ""},
	{{NULL, 0, KEY("a11"), .backwards = true}, "a1 a "},
	{{NULL, 0, KEY("a1"), .backwards = true}, "a1 a "},
	{{NULL, 0, KEY("zz"), .backwards = true, .limit = 2}, "c b\xff\xff "},
	{{KEY("a"), .limit = 2}, "a a1 "},
};

static void test_ranges(void **state)
{
	struct fixture *f = *state;
	static const char *const keys[] = {"b\xff", "c", "a", "b1", "a2", "b", "b\xff\xff", "a1"};
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		put(f->store, &table_a, keys[i], "x");
	auto_txn txn = store_begin_read(f->store);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		auto_buf b = {0};
		assert_int_equal(store_each(txn, &table_a, &ranges[i].range, collect, &b), 0);
		assert_string_equal(buf_str(&b), ranges[i].keys);
	}
	auto_buf b = {0};
	assert_int_equal(store_each(txn, &table_a, NULL, stop_at_second, &b), 0);
	assert_string_equal(buf_str(&b), "a a1 ");
	assert_int_equal(store_each(txn, &table_a, NULL, fail_visit, NULL), ERR_DENIED);
	assert_int_equal(store_each(txn, &table_b, NULL, fail_visit, NULL), 0);
}

static void test_numbers_sort(void **state)
{
	(void)state;
	static const uint64_t numbers[] = {0, 1, 255, 256, 1 << 20, UINT64_MAX};
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct store_key64 k = store_key64(numbers[i]);
		assert_int_equal(store_key64_value(&k), numbers[i]);
		struct store_key64 before = store_key64(i ? numbers[i - 1] : 0);
		assert_true(i == 0 || memcmp(&before, &k, sizeof(k)) < 0);
	}
}

/* ---- timers against a naive model ---- */

enum { MODEL_KEYS = 40 };

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void model_key(size_t i, char out[static 16])
{
	snprintf(out, 16, "t%02zu", i);
}

/* Index of the earliest, by due time and then by key; MODEL_KEYS when none is set. */
static size_t model_first(const int64_t *due, const bool *set)
{
	size_t first = MODEL_KEYS;
	for (size_t i = 0; i < MODEL_KEYS; i++)
		if (set[i] && (first == MODEL_KEYS || due[i] < due[first]))
			first = i;
	return first;
}

static void assert_first(struct store_txn *txn, const int64_t *due, const bool *set)
{
	int64_t have_ms = -1;
	char have[256], want[16];
	size_t first = model_first(due, set);
	int rc = timer_next(txn, &timers, &have_ms, have);
	if (first == MODEL_KEYS) {
		assert_int_equal(rc, ERR_NOT_FOUND);
		return;
	}
	model_key(first, want);
	assert_int_equal(rc, 0);
	assert_string_equal(have, want);
	assert_int_equal(have_ms, due[first]);
}

static void test_timers_behave_like_a_naive_model(void **state)
{
	struct fixture *f = *state;
	const char *text = getenv("HEALBUS_SEED");
	uint64_t x = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) | 1;
	print_message("# HEALBUS_SEED=%" PRIu64 "\n", x);
	int64_t due[MODEL_KEYS] = {0};
	bool set[MODEL_KEYS] = {0};
	struct store_txn *txn = store_begin_write(f->store);
	for (int i = 0; i < 20000; i++) {
		char key[16];
		size_t k = next_random(&x) % MODEL_KEYS;
		model_key(k, key);
		uint64_t what = next_random(&x) % 10;
		if (what < 6) {
			due[k] = (int64_t)(next_random(&x) % 2000) - 1000;
			set[k] = true;
			timer_set(txn, &timers, key, due[k]);
		} else {
			set[k] = false;
			timer_cancel(txn, &timers, key);
		}
		assert_first(txn, due, set);
		if (next_random(&x) % 200 == 0) {
			assert_int_equal(store_commit(txn), 0);
			txn = store_begin_write(f->store);
		}
	}
	size_t n = 0;
	for (size_t i = 0; i < MODEL_KEYS; i++)
		n += set[i];
	assert_int_equal(store_count(txn, &timers.by_due), n);
	assert_int_equal(store_count(txn, &timers.by_key), n);
	assert_int_equal(store_commit(txn), 0);
}

static void test_long_timer_key(void **state)
{
	struct fixture *f = *state;
	char key[256], have[256];
	int64_t due;
	memset(key, 'x', 255);
	key[255] = '\0';
	struct store_txn *txn = store_begin_write(f->store);
	timer_set(txn, &timers, key, 7);
	assert_int_equal(timer_next(txn, &timers, &due, have), 0);
	assert_string_equal(have, key);
	assert_int_equal(store_commit(txn), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_rows_survive_a_restart),
		T(test_dropped_transaction_leaves_nothing),
		T(test_delete_clear_count),
		T(test_first_error_stays),
		T(test_a_borrowed_value_can_be_put),
		T(test_ranges),
		T(test_numbers_sort),
		T(test_timers_behave_like_a_naive_model),
		T(test_long_timer_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
