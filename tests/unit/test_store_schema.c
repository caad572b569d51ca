/* Values of earlier releases are brought to today's version when a store is opened. */
#include "tests/unit/store_kit.h"

#include <signal.h>
#include <sys/wait.h>

/* The same table as five releases would declare it; b and the timers stay. */
static const struct store_table as[] = {{"a", 1}, {"a", 2}, {"a", 3}, {"a", 4}, {"a", 5}};

static int to_2(const struct store_row *row, struct buf *out, struct why *out_why)
{
	(void)out_why;
	buf_add_str(out, "2:");
	buf_add(out, row->val.data, row->val.len);
	return 0;
}

/* Rows that are marked as old have no place in version 3. */
static int to_3(const struct store_row *row, struct buf *out, struct why *out_why)
{
	(void)out_why;
	if (row->key_len >= 3 && memcmp(row->key, "old", 3) == 0)
		return ERR_NOT_FOUND;
	buf_add_str(out, "3:");
	buf_add(out, row->key, row->key_len);
	buf_add_char(out, ':');
	buf_add(out, row->val.data, row->val.len);
	return 0;
}

/* Values grow a thousandfold. */
static int to_4(const struct store_row *row, struct buf *out, struct why *out_why)
{
	static char wide[4000];
	(void)out_why;
	memset(wide, 'w', sizeof(wide));
	buf_add(out, row->val.data, row->val.len);
	buf_add(out, wide, sizeof(wide));
	return 0;
}

static int dies_at;
static int to_5(const struct store_row *row, struct buf *out, struct why *out_why)
{
	if (dies_at && --dies_at == 0)
		raise(SIGKILL);
	if (row->val.len == 0)
		return why_set(out_why, ERR_INVALID, "an empty value");
	buf_add_str(out, "5");
	return 0;
}

static const struct store_migration steps[] = {
	{"a", 2, 3, to_3}, {"a", 1, 2, to_2}, {"a", 3, 4, to_4}, {"a", 4, 5, to_5}};

static int open_as(struct fixture *f, size_t version, size_t n_steps, struct why *why)
{
	static const struct store_table *list[4];
	const struct store_table *const all[] = {&as[version - 1], &table_b, &timers.by_due,
						 &timers.by_key};
	memcpy(list, all, sizeof(list));
	store_close(f->store);
	f->store = NULL;
	f->options.tables = list;
	f->options.migrations = n_steps ? steps : NULL;
	f->options.n_migrations = n_steps;
	*why = (struct why){0};
	return store_open(&f->options, &f->store, why);
}

static void must_open(struct fixture *f, size_t version)
{
	struct why why;
	if (open_as(f, version, ARRAY_SIZE(steps), &why))
		fail_msg("%s", why.text);
}

static void fill_version_1(struct fixture *f)
{
	must_open(f, 1);
	put(f->store, &as[0], "k", "one");
	put(f->store, &as[0], "old", "gone");
	put(f->store, &as[0], "old2", "gone too");
	put(f->store, &as[0], "z", "last");
	put(f->store, &table_b, "k", "two");
}

static void test_values_go_through_every_step(void **state)
{
	struct fixture *f = *state;
	fill_version_1(f);
	must_open(f, 3);
	assert_value(f->store, &as[2], "k", "3:k:2:one");
	assert_value(f->store, &as[2], "old", NULL);
	assert_value(f->store, &as[2], "old2", NULL);
	assert_value(f->store, &as[2], "z", "3:z:2:last");
	assert_value(f->store, &table_b, "k", "two");
	must_open(f, 3);
	assert_value(f->store, &as[2], "k", "3:k:2:one");
}

static void test_without_a_step_nothing_changes(void **state)
{
	struct fixture *f = *state;
	struct why why;
	fill_version_1(f);
	assert_int_equal(open_as(f, 3, 1, &why), ERR_SCHEMA); /* 2 to 3 only */
	assert_non_null(strstr(why.text, "table a has version 1, wanted 3"));
	assert_non_null(strstr(why.text, f->dir));
	must_open(f, 1);
	assert_value(f->store, &as[0], "old", "gone");
}

/* Also where no row of the newer version is left. */
static void test_a_later_release_is_not_taken_back(void **state)
{
	struct fixture *f = *state;
	struct why why;
	fill_version_1(f);
	must_open(f, 3);
	struct store_txn *txn = store_begin_write(f->store);
	store_clear(txn, &as[2]);
	assert_int_equal(store_commit(txn), 0);
	assert_int_equal(open_as(f, 2, ARRAY_SIZE(steps), &why), ERR_UNSUPPORTED);
	assert_non_null(strstr(why.text, "table a has version 3, this program knows 2"));
	assert_non_null(strstr(why.text, "Install that release again"));
	must_open(f, 3);
}

static void test_a_failing_step_leaves_all_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct why why;
	must_open(f, 4);
	put(f->store, &as[3], "a", "full");
	put(f->store, &as[3], "b", "");
	assert_int_equal(open_as(f, 5, ARRAY_SIZE(steps), &why), ERR_INVALID);
	assert_non_null(strstr(why.text, "an empty value"));
	must_open(f, 4);
	assert_value(f->store, &as[3], "a", "full");
}

static void test_the_map_grows_with_the_values(void **state)
{
	struct fixture *f = *state;
	must_open(f, 3);
	for (int i = 0; i < 3000; i++) {
		char key[16];
		snprintf(key, sizeof(key), "%06d", i);
		put(f->store, &as[2], key, "x");
	}
	must_open(f, 4); /* 12 MB into a map of 1 */
	auto_txn txn = store_begin_read(f->store);
	struct store_val v;
	assert_int_equal(store_count(txn, &as[3]), 3000);
	assert_int_equal(store_get_str(txn, &as[3], "002999", &v), 0);
	assert_int_equal(v.len, 4001);
}

static void die_in_the_middle(struct fixture *f)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct why why;
		dies_at = 50;
		_exit(open_as(f, 5, ARRAY_SIZE(steps), &why) ? 1 : 2);
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_killed_in_the_middle(void **state)
{
	struct fixture *f = *state;
	f->options.no_sync = false;
	must_open(f, 4);
	struct store_txn *txn = store_begin_write(f->store);
	for (uint64_t i = 0; i < 100; i++) {
		struct store_key64 key = store_key64(i);
		store_put(txn, &as[3], &key, sizeof(key), "4", 1);
	}
	assert_int_equal(store_commit(txn), 0);
	store_close(f->store);
	f->store = NULL;
	die_in_the_middle(f);
	struct why why;
	assert_int_equal(open_as(f, 4, 0, &why), 0);
	struct store_key64 key = store_key64(7);
	struct store_val v;
	struct store_txn *read = store_begin_read(f->store);
	assert_int_equal(store_get(read, &as[3], &key, sizeof(key), &v), 0);
	assert_memory_equal(v.data, "4", 1);
	store_end(read);
	must_open(f, 5);
	read = store_begin_read(f->store);
	assert_int_equal(store_get(read, &as[4], &key, sizeof(key), &v), 0);
	assert_memory_equal(v.data, "5", 1);
	store_end(read);
}

int main(void)
{
	const struct CMUnitTest tests_here[] = {
		T(test_values_go_through_every_step),
		T(test_without_a_step_nothing_changes),
		T(test_a_later_release_is_not_taken_back),
		T(test_a_failing_step_leaves_all_as_it_was),
		T(test_the_map_grows_with_the_values),
		T(test_killed_in_the_middle),
	};
	return cmocka_run_group_tests(tests_here, NULL, NULL);
}
