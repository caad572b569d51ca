/*
 * The real store, with two things around it: its environments stay open from schedule to schedule,
 * since opening one forks a child that looks at the file (and a schedule has half a millisecond);
 * and a process may die in the middle of a message, before a commit and behind it. The linker puts
 * these in the way of store.c's callers (--wrap).
 */
#include "common/store_impl.h"
#include "tests/sim/sim.h"

#include <sys/stat.h>

enum { STORES_MAX = 16, MAP_BYTES = 64 << 20, APPLY_DEATHS_MAX = 2 };

/* The names that the linker gives them. */
int real_store_open(const struct store_options *options, struct store **out,
		    struct why *out_why) __asm__("__real_store_open");
int real_store_commit(struct store_txn *txn) __asm__("__real_store_commit");
void real_store_put(struct store_txn *txn, const struct store_table *table, const void *key,
		    size_t key_len, const void *data, size_t len) __asm__("__real_store_put");
int wrap_store_open(const struct store_options *options, struct store **out,
		    struct why *out_why) __asm__("__wrap_store_open");
void wrap_store_close(struct store *s) __asm__("__wrap_store_close");
int wrap_store_commit(struct store_txn *txn) __asm__("__wrap_store_commit");
void wrap_store_put(struct store_txn *txn, const struct store_table *table, const void *key,
		    size_t key_len, const void *data, size_t len) __asm__("__wrap_store_put");

static struct kept {
	char *dir;
	struct store *store;
	bool tries; /* fold.try holds something */
} kept[STORES_MAX];

/* For the plant "offset-first": the last row of fold_meta that was put. */
static struct {
	const struct store_table *table;
	char key[32], data[256];
	size_t key_len, len;
} meta;

static struct kept *kept_find(const char *dir)
{
	for (size_t i = 0; i < STORES_MAX; i++)
		if (!kept[i].dir || str_eq(kept[i].dir, dir))
			return &kept[i];
	abort();
}

const char *sim_store_dir(const char *name)
{
	auto_free char *dir = mem_printf("%s/%s", sim.dir, name);
	struct kept *k = kept_find(dir);
	if (!k->dir)
		k->dir = mem_strdup(dir);
	mkdir(dir, 0700);
	return k->dir;
}

int wrap_store_open(const struct store_options *options, struct store **out, struct why *out_why)
{
	struct kept *k = kept_find(options->dir);
	struct store_options o = *options;
	o.no_sync = true;
	o.map_bytes = MAP_BYTES;
	int rc = k->store ? 0 : real_store_open(&o, &k->store, out_why);
	if (!rc)
		*out = k->store;
	return rc;
}

void wrap_store_close(struct store *s UNUSED)
{
}

void sim_store_wipe(const char *dir)
{
	struct kept *k = kept_find(dir);
	if (k->tries) {
		auto_free char *path = mem_printf("%s/fold.try", dir);
		unlink(path);
	}
	k->tries = false;
	if (!k->store)
		return;
	struct store_txn *txn = store_begin_write(k->store);
	for (size_t i = 0; i < k->store->n_tables; i++)
		if (store_count(txn, k->store->tables[i]) > 0)
			store_clear(txn, k->store->tables[i]);
	if (real_store_commit(txn))
		abort();
}

static void commit_offset_only(struct store *s)
{
	if (!meta.table)
		return;
	struct store_txn *txn = store_begin_write(s);
	real_store_put(txn, meta.table, meta.key, meta.key_len, meta.data, meta.len);
	real_store_commit(txn);
}

int wrap_store_commit(struct store_txn *txn)
{
	struct task *t = task_current();
	struct store *s = txn->store;
	if (is_dead()) {
		store_end(txn);
		return ERR_IO;
	}
	if (t && fault(W->rates.crash)) {
		proc_kill(t->proc, "before a commit");
		store_end(txn);
		commit_offset_only(s);
		meta.table = NULL;
		return ERR_IO;
	}
	meta.table = NULL;
	int rc = real_store_commit(txn);
	if (!rc && t && fault(W->rates.crash)) {
		proc_kill(t->proc, "after a commit");
		return ERR_IO;
	}
	return rc;
}

/* In the middle of applying a message; twice at most, since the third time it would be buried. */
static bool dies_applying(struct task *t)
{
	if (!t->proc->fold || t->proc->apply_deaths >= APPLY_DEATHS_MAX ||
	    !fault(W->rates.crash / 4))
		return false;
	t->proc->apply_deaths++;
	kept_find(t->proc->store_dir)->tries = true;
	proc_kill(t->proc, "in the middle of a message");
	return true;
}

void wrap_store_put(struct store_txn *txn, const struct store_table *table, const void *key,
		    size_t key_len, const void *data, size_t len)
{
	struct task *t = task_current();
	if (t && planted("offset-first") && str_eq(table->name, "fold_meta")) {
		meta.table = table;
		meta.key_len = MIN(key_len, sizeof(meta.key));
		meta.len = MIN(len, sizeof(meta.data));
		memcpy(meta.key, key, meta.key_len);
		memcpy(meta.data, data, meta.len);
	}
	if (t && (is_dead() || dies_applying(t))) {
		store_fail(txn, ERR_INTERNAL);
		return;
	}
	real_store_put(txn, table, key, key_len, data, len);
}
