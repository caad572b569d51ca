#include "common/store_impl.h"

#include "common/id.h"

struct store_key64 store_key64(uint64_t n)
{
	struct store_key64 k;
	for (int i = 7; i >= 0; i--, n >>= 8)
		k.b[i] = (uint8_t)n;
	return k;
}

uint64_t store_key64_value(const void *key)
{
	const uint8_t *b = key;
	uint64_t n = 0;
	for (int i = 0; i < 8; i++)
		n = n << 8 | b[i];
	return n;
}

/* ---- walking ---- */

static bool has_prefix(const MDB_val *key, const struct store_range *range)
{
	return key->mv_size >= range->prefix_len &&
	       memcmp(key->mv_data, range->prefix, range->prefix_len) == 0;
}

/* The first key behind all that start with the prefix; false when there can be none. */
static bool prefix_end(const struct store_range *range, char out[static STORE_KEY_MAX],
		       size_t *out_len)
{
	size_t len = MIN(range->prefix_len, (size_t)STORE_KEY_MAX);
	memcpy(out, range->prefix, len);
	while (len > 0 && (uint8_t)out[len - 1] == 0xff)
		len--;
	if (len == 0)
		return false;
	out[len - 1] = (char)((uint8_t)out[len - 1] + 1);
	*out_len = len;
	return true;
}

static int key_compare(const MDB_val *key, const void *other, size_t len)
{
	int c = memcmp(key->mv_data, other, MIN(key->mv_size, len));
	return c ? c : (key->mv_size > len) - (key->mv_size < len);
}

static int seek_forwards(MDB_cursor *cursor, const struct store_range *range, MDB_val *key,
			 MDB_val *value)
{
	const void *from = range->from;
	size_t len = range->from_len;
	if (!from || (range->prefix && range->prefix_len > 0 &&
		      memcmp(from, range->prefix, MIN(len, range->prefix_len)) < 0)) {
		from = range->prefix;
		len = range->prefix_len;
	}
	if (!from || len == 0)
		return mdb_cursor_get(cursor, key, value, MDB_FIRST);
	*key = (MDB_val){len, (void *)(uintptr_t)from};
	return mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
}

/* The last key <= bound, or < bound. */
static int seek_below(MDB_cursor *cursor, const void *bound, size_t len, bool or_equal,
		      MDB_val *key, MDB_val *value)
{
	*key = (MDB_val){len, (void *)(uintptr_t)bound};
	int rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND)
		return mdb_cursor_get(cursor, key, value, MDB_LAST);
	if (rc || (or_equal && key_compare(key, bound, len) == 0))
		return rc;
	return mdb_cursor_get(cursor, key, value, MDB_PREV);
}

static int seek_backwards(MDB_cursor *cursor, const struct store_range *range, MDB_val *key,
			  MDB_val *value)
{
	char end[STORE_KEY_MAX];
	size_t end_len;
	if (range->from && range->from_len > 0)
		return seek_below(cursor, range->from, range->from_len, true, key, value);
	if (range->prefix && prefix_end(range, end, &end_len))
		return seek_below(cursor, end, end_len, false, key, value);
	return mdb_cursor_get(cursor, key, value, MDB_LAST);
}

/* The damage is the store's, not what a visitor calls so. */
static int damaged(const struct store_txn *txn, int rc)
{
	if (rc == ERR_CORRUPT)
		store_note_damage(txn->store);
	return rc;
}

static int walk(const struct store_txn *txn, MDB_cursor *cursor, const struct store_table *table,
		const struct store_range *range, store_visit *visit, void *ctx)
{
	MDB_val key, value;
	int rc = range->backwards ? seek_backwards(cursor, range, &key, &value)
				  : seek_forwards(cursor, range, &key, &value);
	for (size_t n = 0; rc == 0 && (range->limit == 0 || n < range->limit); n++) {
		struct store_val val;
		if (range->prefix && !has_prefix(&key, range))
			return 0;
		rc = store_open_value(table, &key, &value, &val);
		if (rc)
			return damaged(txn, rc);
		rc = visit(ctx, key.mv_data, key.mv_size, val);
		if (rc)
			return rc < 0 ? rc : 0;
		rc = mdb_cursor_get(cursor, &key, &value, range->backwards ? MDB_PREV : MDB_NEXT);
	}
	return rc == MDB_NOTFOUND ? 0 : damaged(txn, store_rc(rc));
}

int store_each(struct store_txn *txn, const struct store_table *table,
	       const struct store_range *range, store_visit *visit, void *ctx)
{
	static const struct store_range everything;
	MDB_cursor *cursor;
	if (txn->error)
		return txn->error;
	int rc = mdb_cursor_open(txn->mdb, store_dbi(txn, table), &cursor);
	if (rc)
		return store_rc(rc);
	rc = walk(txn, cursor, table, range ? range : &everything, visit, ctx);
	mdb_cursor_close(cursor);
	return rc;
}

/* ---- timers ---- */

enum { TIMER_KEY_MAX = 255 };

struct due_key {
	char bytes[sizeof(struct store_key64) + TIMER_KEY_MAX];
	size_t len;
};

/* Negative times sort before positive ones. */
#define SIGN_BIT (UINT64_C(1) << 63)

static struct due_key due_key(int64_t due_ms, const char *key)
{
	struct due_key k = {.len = sizeof(struct store_key64) + strlen(key)};
	struct store_key64 due = store_key64((uint64_t)due_ms ^ SIGN_BIT);
	assert(strlen(key) <= TIMER_KEY_MAX);
	memcpy(k.bytes, &due, sizeof(due));
	memcpy(k.bytes + sizeof(due), key, strlen(key));
	return k;
}

/* When it is due; false: it is not set. */
static bool timer_get(struct store_txn *txn, const struct store_timers *t, const char *key,
		      int64_t *out_due_ms)
{
	struct store_val val;
	int rc = store_get_str(txn, &t->by_key, key, &val);
	if (rc == ERR_NOT_FOUND || store_error(txn))
		return false;
	if (rc || val.len != sizeof(*out_due_ms)) {
		store_fail(txn, rc ? rc : ERR_CORRUPT);
		return false;
	}
	memcpy(out_due_ms, val.data, sizeof(*out_due_ms));
	return true;
}

static void due_delete(struct store_txn *txn, const struct store_timers *t, const char *key,
		       int64_t due_ms)
{
	struct due_key k = due_key(due_ms, key);
	store_del(txn, &t->by_due, k.bytes, k.len);
}

void timer_cancel(struct store_txn *txn, const struct store_timers *t, const char *key)
{
	int64_t due_ms;
	if (!timer_get(txn, t, key, &due_ms))
		return;
	due_delete(txn, t, key, due_ms);
	store_del_str(txn, &t->by_key, key);
}

void timer_set(struct store_txn *txn, const struct store_timers *t, const char *key, int64_t due_ms)
{
	struct due_key k = due_key(due_ms, key);
	int64_t old_ms;
	if (timer_get(txn, t, key, &old_ms)) {
		if (old_ms == due_ms)
			return;
		due_delete(txn, t, key, old_ms);
	}
	store_put(txn, &t->by_due, k.bytes, k.len, "", 0);
	store_put_str(txn, &t->by_key, key, &due_ms, sizeof(due_ms));
}

struct first_timer {
	int64_t due_ms;
	char *key;
	bool found;
};

static int take_first(void *ctx, const void *key, size_t len, struct store_val val)
{
	(void)val;
	struct first_timer *first = ctx;
	size_t text_len = len - sizeof(struct store_key64);
	if (len <= sizeof(struct store_key64) || text_len > TIMER_KEY_MAX)
		return ERR_CORRUPT;
	first->due_ms = (int64_t)(store_key64_value(key) ^ SIGN_BIT);
	memcpy(first->key, (const char *)key + sizeof(struct store_key64), text_len);
	first->key[text_len] = '\0';
	first->found = true;
	return 1;
}

int timer_next(struct store_txn *txn, const struct store_timers *t, int64_t *out_due_ms,
	       char out_key[static 256])
{
	struct first_timer first = {.key = out_key};
	int rc = store_each(txn, &t->by_due, NULL, take_first, &first);
	if (rc)
		return rc;
	if (!first.found)
		return ERR_NOT_FOUND;
	*out_due_ms = first.due_ms;
	return 0;
}

/* ---- hash ---- */

struct hash {
	uint8_t digest[DIGEST_BYTES];
	struct buf row;
};

static void hash_part(struct buf *row, const void *data, size_t len)
{
	struct store_key64 n = store_key64(len);
	buf_add(row, &n, sizeof(n));
	buf_add(row, data, len);
}

static int hash_row(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct hash *h = ctx;
	buf_reset(&h->row);
	buf_add(&h->row, h->digest, sizeof(h->digest));
	hash_part(&h->row, key, key_len);
	hash_part(&h->row, val.data, val.len);
	digest_sha256(h->row.data, h->row.len, h->digest);
	return 0;
}

int store_hash(struct store_txn *txn, const struct store_table *const *tables, size_t n,
	       uint8_t out[static 32])
{
	struct hash h = {0};
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++) {
		struct store_val version = {&tables[i]->version, sizeof(tables[i]->version)};
		hash_row(&h, tables[i]->name, strlen(tables[i]->name), version);
		rc = store_each(txn, tables[i], NULL, hash_row, &h);
	}
	buf_release(&h.row);
	if (!rc)
		memcpy(out, h.digest, sizeof(h.digest));
	return rc;
}
