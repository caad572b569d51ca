/* The file below the rows: its size, damage, locks, hash and backup. */
#include "tests/unit/store_kit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

/* ---- size ---- */

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

static size_t resident_file_mib(void)
{
	size_t pages = 0;
	auto_file FILE *f = fopen("/proc/self/statm", "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*u %*u %zu", &pages), 1);
	return pages * (size_t)sysconf(_SC_PAGESIZE) >> 20;
}

/* Each batch reads and writes rows all over a map of 120 MiB. */
static void test_what_stays_resident_is_bounded(void **state)
{
	struct fixture *f = *state;
	f->options.map_bytes = 64 << 20;
	f->options.no_sync = false;
	reopen(f);
	for (int i = 0; i < 30; i++)
		assert_int_equal(fill_rows(f->store, i * 1000, 1000, 4000), 0);
	for (int batch = 0; batch < 30; batch++) {
		struct store_txn *txn = store_begin_write(f->store);
		for (int i = batch; i < 30000; i += 30) {
			struct store_key64 k = store_key64((uint64_t)i);
			struct store_val val;
			assert_int_equal(store_get(txn, &table_a, &k, sizeof(k), &val), 0);
			if (i % 8 == 0)
				store_put(txn, &table_b, &k, sizeof(k), "x", 1);
		}
		assert_int_equal(store_commit(txn), 0);
	}
	assert_true(resident_file_mib() < 100);
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
	while (atomic_load(&r.reads) == 0)
		sched_yield();
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
}

/* ---- damage and locks ---- */

static void data_path(const struct fixture *f, char out[static 128])
{
	snprintf(out, 128, "%s/data.mdb", f->dir);
}

static int open_again(struct fixture *f, struct why *why)
{
	store_close(f->store);
	f->store = NULL;
	return store_open(&f->options, &f->store, why);
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
	store_end(txn);
	txn = NULL;

	/* What was met is known to the next life, until another file is there. */
	struct why why = {0};
	put(f->store, &table_b, "written", "after it was met");
	assert_int_equal(open_again(f, &why), ERR_CORRUPT);
	assert_non_null(strstr(why.text, path));
	assert_int_equal(pwrite(fd, b.data, b.len, 0), (ssize_t)b.len);
	assert_int_equal(open_again(f, &why), 0);
	auto_free char *value = get(f->store, &table_a, "k", &rc);
	assert_string_equal(value, "a value that will be damaged");
	reopen(f);
}

static int tell_fd;

static void tell(const char *text)
{
	_exit(write(tell_fd, text, strlen(text)) > 0 ? 9 : 1);
}

/* The rows' pages are gone while the store is open: the kernel's answer is SIGBUS. */
static void read_behind_the_end(struct fixture *f)
{
	char path[128];
	store_on_damaged(tell);
	data_path(f, path);
	reopen(f);
	for (int i = 0; i < 20; i++)
		fill_rows(f->store, i * 10, 10, 1000);
	if (truncate(path, 2L * sysconf(_SC_PAGESIZE)))
		_exit(2);
	auto_txn txn = store_begin_read(f->store);
	auto_buf keys = {0};
	store_each(txn, &table_a, NULL, collect, &keys);
	_exit(3);
}

static void test_a_page_that_is_gone_ends_with_a_reason(void **state)
{
	struct fixture *f = *state;
	char path[128], text[512] = "";
	struct why why = {0};
	int ends[2], status = 0;
	data_path(f, path);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		tell_fd = ends[1];
		read_behind_the_end(f);
	}
	close(ends[1]);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 9);
	assert_non_null(strstr(text, path));
	assert_int_equal(open_again(f, &why), ERR_CORRUPT);
	assert_non_null(strstr(why.text, "met while it was in use"));
	assert_int_equal(store_set_aside(f->dir, &why), 0);
	assert_int_equal(open_again(f, &why), 0);
}

static void close_for_damage(struct fixture *f)
{
	for (int i = 0; i < 20; i++)
		assert_int_equal(fill_rows(f->store, i * 10, 10, 1000), 0);
	store_close(f->store);
	f->store = NULL;
}

/* One bit of the free list's root, in both of LMDB's meta pages (struct MDB_meta of lmdb's mdb.c).
 * Unnoticed, the first write would find the map full. */
static void test_a_damaged_free_list_is_refused(void **state)
{
	enum { PAGE = 4096, ROOT_OF_FREE_LIST = 16 + 24 + 40, BYTE = 5 };
	struct fixture *f = *state;
	char path[128];
	struct why why = {0};
	data_path(f, path);
	close_for_damage(f);
	auto_fd int fd = open(path, O_RDWR);
	for (off_t page = 0; page < 2; page++) {
		uint8_t byte;
		off_t at = page * PAGE + ROOT_OF_FREE_LIST + BYTE;
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x08;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	assert_int_equal(open_again(f, &why), ERR_CORRUPT);
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

static void check_killed_writer(struct fixture *f)
{
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

static void test_killed_writer_leaves_the_last_commit(void **state)
{
	check_killed_writer(*state);
}

/* It is the machine's crash, not the process's, that may undo it. */
static void test_killed_writer_leaves_what_may_be_undone(void **state)
{
	struct fixture *f = *state;
	f->options.last_may_be_undone = true;
	check_killed_writer(f);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_map_grows),
		T(test_what_stays_resident_is_bounded),
		T(test_one_large_transaction_fits_after_tries),
		T(test_full_at_the_limit_and_deleting_helps),
		T(test_readers_while_the_map_grows),
		T(test_a_flipped_bit_is_noticed),
		T(test_a_page_that_is_gone_ends_with_a_reason),
		T(test_a_damaged_free_list_is_refused),
		T(test_damaged_files_are_refused),
		T(test_set_aside_starts_anew),
		T(test_second_opener_is_refused),
		T(test_killed_writer_leaves_the_last_commit),
		T(test_killed_writer_leaves_what_may_be_undone),
		T(test_hash_is_of_the_state_not_of_its_history),
		T(test_hash_knows_rows_from_tables),
		T(test_backup_is_equal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
