#include "common/store.h"

#include "common/buf.h"
#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct store_table table_a = {"a", 1};
static const struct store_table table_b = {"b", 1};
static const struct store_table table_a2 = {"a", 2};
static const struct store_timers timers = {{"due", 1}, {"timer", 1}};
static const struct store_table *const tables[] = {&table_a, &table_b, &timers.by_due,
						   &timers.by_key};

struct fixture {
	char dir[64];
	struct store_options options;
	struct store *store;
};

static void reopen(struct fixture *f)
{
	struct why why = {0};
	store_close(f->store);
	f->store = NULL;
	if (store_open(&f->options, &f->store, &why))
		fail_msg("%s", why.text);
}

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));
	memcpy(f->dir, "/tmp/healbus-test-store-XXXXXX", 31);
	if (!mkdtemp(f->dir))
		return -1;
	f->options = (struct store_options){.dir = f->dir,
					    .tables = tables,
					    .n_tables = ARRAY_SIZE(tables),
					    .map_bytes = 1 << 20,
					    .no_sync = true};
	reopen(f);
	*state = f;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	store_close(f->store);
	nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static void put(struct store *s, const struct store_table *t, const char *key, const char *value)
{
	struct store_txn *txn = store_begin_write(s);
	store_put_str(txn, t, key, value, strlen(value));
	assert_int_equal(store_commit(txn), 0);
}

/* The value as text in memory of its own, or NULL; *rc may be NULL. */
static char *get(struct store *s, const struct store_table *t, const char *key, int *rc)
{
	auto_txn txn = store_begin_read(s);
	struct store_val v;
	int result = store_get_str(txn, t, key, &v);
	if (rc)
		*rc = result;
	return result ? NULL : mem_dup(v.data, v.len);
}

static void assert_value(struct store *s, const struct store_table *t, const char *key,
			 const char *want)
{
	auto_free char *have = get(s, t, key, NULL);
	if (!want) {
		assert_null(have);
		return;
	}
	assert_non_null(have);
	assert_string_equal(have, want);
}

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

static void test_another_version_reads_as_schema(void **state)
{
	struct fixture *f = *state;
	put(f->store, &table_a, "k", "one");
	const struct store_table *const newer[] = {&table_a2};
	f->options.tables = newer;
	f->options.n_tables = 1;
	reopen(f);
	int rc = 0;
	assert_null(get(f->store, &table_a2, "k", &rc));
	assert_int_equal(rc, ERR_SCHEMA);
}

/* ---- ranges ---- */

static int collect(void *ctx, const void *key, size_t len, struct store_val val)
{
	(void)val;
	buf_add(ctx, key, len);
	buf_add_char(ctx, ' ');
	return 0;
}

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

/* ---- size ---- */

static int fill_rows(struct store *s, int from, int n, size_t size)
{
	auto_free char *data = mem_alloc(size);
	struct store_txn *txn = store_begin_write(s);
	for (int i = from; i < from + n; i++) {
		struct store_key64 k = store_key64((uint64_t)i);
		store_put(txn, &table_a, &k, sizeof(k), data, size);
	}
	return store_commit(txn);
}

static void test_map_grows(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(fill_rows(f->store, i * 50, 50, 4000), 0);
	assert_false(store_is_full(f->store));
	reopen(f);
	auto_txn txn = store_begin_read(f->store);
	assert_int_equal(store_count(txn, &table_a), 5000);
}

static void test_one_large_transaction_fits_after_tries(void **state)
{
	struct fixture *f = *state;
	int rc = ERR_FULL, tries = 0;
	for (; rc == ERR_FULL && tries < 8; tries++) {
		rc = fill_rows(f->store, 0, 2000, 4000);
		assert_false(store_is_full(f->store));
	}
	assert_int_equal(rc, 0);
	assert_true(tries > 1);
}

static void test_full_at_the_limit_and_deleting_helps(void **state)
{
	struct fixture *f = *state;
	f->options.map_limit_bytes = 4 << 20;
	reopen(f);
	int rc = 0, i = 0;
	for (; rc == 0 && i < 1000; i++)
		rc = fill_rows(f->store, i * 10, 10, 4000);
	assert_int_equal(rc, ERR_FULL);
	assert_true(store_is_full(f->store));
	assert_true(store_used_percent(f->store) > STORE_ALARM_PERCENT);
	struct store_txn *txn = store_begin_write(f->store);
	store_clear(txn, &table_a);
	assert_int_equal(store_commit(txn), 0);
	assert_true(store_used_percent(f->store) < 20);
	assert_false(store_is_full(f->store));
	assert_int_equal(fill_rows(f->store, 0, 10, 4000), 0);
}

struct reading {
	struct store *store;
	_Atomic bool stop;
	_Atomic int wrong;
	_Atomic int reads;
};

/* Every transaction wrote all rows of a round: a reader must never see half of one. */
static void *read_on(void *ctx)
{
	struct reading *r = ctx;
	while (!atomic_load(&r->stop)) {
		auto_txn txn = store_begin_read(r->store);
		if (store_count(txn, &table_a) % 50 != 0)
			atomic_fetch_add(&r->wrong, 1);
		atomic_fetch_add(&r->reads, 1);
	}
	return NULL;
}

static void test_readers_while_the_map_grows(void **state)
{
	struct fixture *f = *state;
	struct reading r = {.store = f->store};
	pthread_t threads[3];
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, &r), 0);
	for (int i = 0; i < 60; i++) {
		int rc = fill_rows(f->store, i * 50, 50, 4000);
		for (int tries = 0; rc == ERR_FULL && tries < 50; tries++)
			rc = fill_rows(f->store, i * 50, 50, 4000);
		assert_int_equal(rc, 0);
	}
	atomic_store(&r.stop, true);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(r.wrong, 0);
	assert_true(r.reads > 0);
}

/* ---- damage and locks ---- */

static void data_path(const struct fixture *f, char out[static 128])
{
	snprintf(out, 128, "%s/data.mdb", f->dir);
}

static void test_a_flipped_bit_is_noticed(void **state)
{
	struct fixture *f = *state;
	char path[128];
	data_path(f, path);
	put(f->store, &table_a, "first", "x");
	put(f->store, &table_a, "k", "a value that will be damaged");
	put(f->store, &table_a, "last", "x");
	store_close(f->store);
	f->store = NULL;
	auto_buf b = {0};
	assert_int_equal(buf_read_file(&b, path, 16 << 20), 0);
	auto_fd int fd = open(path, O_WRONLY);
	size_t flipped = 0;
	for (char *at = b.data;
	     (at = memmem(at, b.len - (size_t)(at - b.data), "a value that", 12)); at++, flipped++)
		assert_int_equal(pwrite(fd, "A", 1, at - b.data), 1);
	assert_true(flipped > 0);
	reopen(f);
	int rc = 0;
	assert_null(get(f->store, &table_a, "k", &rc));
	assert_int_equal(rc, ERR_CORRUPT);
	auto_txn txn = store_begin_read(f->store);
	auto_buf keys = {0};
	assert_int_equal(store_each(txn, &table_a, NULL, collect, &keys), ERR_CORRUPT);
}

static int open_again(struct fixture *f, struct why *why)
{
	store_close(f->store);
	f->store = NULL;
	return store_open(&f->options, &f->store, why);
}

static void close_for_damage(struct fixture *f)
{
	for (int i = 0; i < 20; i++)
		assert_int_equal(fill_rows(f->store, i * 10, 10, 1000), 0);
	store_close(f->store);
	f->store = NULL;
}

static void test_damaged_files_are_refused(void **state)
{
	struct fixture *f = *state;
	char path[128];
	data_path(f, path);
	close_for_damage(f);
	auto_buf good = {0};
	assert_int_equal(buf_read_file(&good, path, 16 << 20), 0);
	static const char zeros[4096 * 4];
	static const off_t lengths[] = {0, 100, 4096, 8192, 12288, 40960};
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct why why = {0};
		assert_int_equal(truncate(path, lengths[i]), 0);
		int rc = open_again(f, &why);
		print_message("# cut to %ld: %s\n", (long)lengths[i], why.text);
		assert_int_equal(rc, ERR_CORRUPT);
		assert_non_null(strstr(why.text, path));
	}
	auto_fd int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, good.data, good.len, 0), (ssize_t)good.len);
	struct why why = {0};
	assert_int_equal(open_again(f, &why), 0);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(pwrite(fd, zeros, 8192, 0), 8192);
	assert_int_equal(open_again(f, &why), ERR_CORRUPT);
}

static void test_set_aside_starts_anew(void **state)
{
	struct fixture *f = *state;
	char path[128];
	data_path(f, path);
	put(f->store, &table_a, "k", "one");
	assert_int_equal(store_set_aside(f->dir, NULL), ERR_BUSY);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(store_set_aside(f->dir, NULL), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(store_set_aside(f->dir, NULL), 0);
	reopen(f);
	assert_value(f->store, &table_a, "k", NULL);
}

static void test_second_opener_is_refused(void **state)
{
	struct fixture *f = *state;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *s = NULL;
		struct why why = {0};
		_exit(store_open(&f->options, &s, &why) == ERR_BUSY && why.text[0] ? 0 : 1);
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_killed_writer_leaves_the_last_commit(void **state)
{
	struct fixture *f = *state;
	store_close(f->store);
	f->store = NULL;
	f->options.no_sync = false;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *s = NULL;
		if (store_open(&f->options, &s, NULL))
			_exit(1);
		struct store_txn *txn = store_begin_write(s);
		store_put_str(txn, &table_a, "k", "one", 3);
		if (store_commit(txn))
			_exit(1);
		txn = store_begin_write(s);
		store_put_str(txn, &table_a, "k", "two", 3);
		_exit(0); /* in the middle of a transaction, holding the writer's lock */
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	reopen(f);
	assert_value(f->store, &table_a, "k", "one");
	put(f->store, &table_a, "k", "three");
}

/* ---- hash and backup ---- */

static void hash_of(struct store *s, uint8_t out[static 32])
{
	auto_txn txn = store_begin_read(s);
	assert_int_equal(store_hash(txn, tables, ARRAY_SIZE(tables), out), 0);
}

static void test_hash_is_of_the_state_not_of_its_history(void **state)
{
	struct fixture *f = *state;
	uint8_t first[32], second[32], third[32];
	put(f->store, &table_a, "x", "1");
	put(f->store, &table_b, "y", "2");
	hash_of(f->store, first);
	put(f->store, &table_a, "x", "other");
	hash_of(f->store, third);
	assert_memory_not_equal(first, third, 32);
	put(f->store, &table_a, "z", "3");
	struct store_txn *txn = store_begin_write(f->store);
	store_del_str(txn, &table_a, "z");
	store_put_str(txn, &table_a, "x", "1", 1);
	assert_int_equal(store_commit(txn), 0);
	reopen(f);
	hash_of(f->store, second);
	assert_memory_equal(first, second, 32);
}

static void test_hash_knows_rows_from_tables(void **state)
{
	struct fixture *f = *state;
	uint8_t first[32], second[32];
	put(f->store, &table_a, "x", "1");
	hash_of(f->store, first);
	struct store_txn *txn = store_begin_write(f->store);
	store_del_str(txn, &table_a, "x");
	store_put_str(txn, &table_b, "x", "1", 1);
	assert_int_equal(store_commit(txn), 0);
	hash_of(f->store, second);
	assert_memory_not_equal(first, second, 32);
}

static void test_backup_is_equal(void **state)
{
	struct fixture *f = *state;
	char dir[128];
	uint8_t have[32], want[32];
	snprintf(dir, sizeof(dir), "%s/backup", f->dir);
	for (int i = 0; i < 10; i++)
		assert_int_equal(fill_rows(f->store, i * 10, 10, 500), 0);
	hash_of(f->store, want);
	assert_int_equal(store_backup(f->store, dir, NULL), 0);
	assert_int_equal(store_backup(f->store, dir, NULL), ERR_EXISTS);
	struct store_options options = f->options;
	options.dir = dir;
	struct store *copy = NULL;
	assert_int_equal(store_open(&options, &copy, NULL), 0);
	hash_of(copy, have);
	store_close(copy);
	assert_memory_equal(have, want, 32);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_rows_survive_a_restart),
		T(test_dropped_transaction_leaves_nothing),
		T(test_delete_clear_count),
		T(test_first_error_stays),
		T(test_a_borrowed_value_can_be_put),
		T(test_another_version_reads_as_schema),
		T(test_ranges),
		T(test_numbers_sort),
		T(test_timers_behave_like_a_naive_model),
		T(test_long_timer_key),
		T(test_map_grows),
		T(test_one_large_transaction_fits_after_tries),
		T(test_full_at_the_limit_and_deleting_helps),
		T(test_readers_while_the_map_grows),
		T(test_a_flipped_bit_is_noticed),
		T(test_damaged_files_are_refused),
		T(test_set_aside_starts_anew),
		T(test_second_opener_is_refused),
		T(test_killed_writer_leaves_the_last_commit),
		T(test_hash_is_of_the_state_not_of_its_history),
		T(test_hash_knows_rows_from_tables),
		T(test_backup_is_equal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
