/* A store in a directory of its own, for the tests of store*.c. */
#ifndef TESTS_UNIT_STORE_KIT_H
#define TESTS_UNIT_STORE_KIT_H

#include "common/buf.h"
#include "common/mem.h"
#include "common/store.h"

#include <setjmp.h>
#include <cmocka.h>
#include <ftw.h>
#include <sys/stat.h>

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

static inline void reopen(struct fixture *f)
{
	struct why why = {0};
	store_close(f->store);
	f->store = NULL;
	if (store_open(&f->options, &f->store, &why))
		fail_msg("%s", why.text);
}

static inline int setup(void **state)
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

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;
	store_close(f->store);
	nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static inline void put(struct store *s, const struct store_table *t, const char *key,
		       const char *value)
{
	struct store_txn *txn = store_begin_write(s);
	store_put_str(txn, t, key, value, strlen(value));
	assert_int_equal(store_commit(txn), 0);
}

/* The value as text in memory of its own, or NULL; *rc may be NULL. */
static inline char *get(struct store *s, const struct store_table *t, const char *key, int *rc)
{
	auto_txn txn = store_begin_read(s);
	struct store_val v;
	int result = store_get_str(txn, t, key, &v);
	if (rc)
		*rc = result;
	return result ? NULL : mem_dup(v.data, v.len);
}

static inline void assert_value(struct store *s, const struct store_table *t, const char *key,
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

static inline int collect(void *ctx, const void *key, size_t len, struct store_val val)
{
	(void)val;
	buf_add(ctx, key, len);
	buf_add_char(ctx, ' ');
	return 0;
}

static inline int fill_rows(struct store *s, int from, int n, size_t size)
{
	auto_free char *data = mem_alloc(size);
	struct store_txn *txn = store_begin_write(s);
	for (int i = from; i < from + n; i++) {
		struct store_key64 k = store_key64((uint64_t)i);
		store_put(txn, &table_a, &k, sizeof(k), data, size);
	}
	return store_commit(txn);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
