/*
 * State on disk: typed tables in one LMDB environment. The only user of lmdb.h. Every value is
 * stored with magic, version, length and CRC-32C, and checked on read, since LMDB itself checks
 * nothing. A commit waits for the disk, unless the options ask for less. Layer 1.
 *
 * One writer: the thread that owns the stage's fold (or the executor's journal lock). Readers: any
 * thread, each with its own read transaction. A transaction belongs to one thread and never spans a
 * network call. Writes keep the first error inside the transaction; test once, at store_commit().
 */
#ifndef COMMON_STORE_H
#define COMMON_STORE_H

#include "common/err.h"

enum {
	STORE_TABLES_MAX = 32,
	STORE_KEY_MAX = 511,
	STORE_DEFAULT_MAP_BYTES = 1 << 30, /* sparse: costs address space, not disk */
	STORE_GROW_PERCENT =
		70, /* fuller than this: the map is doubled at the next store_begin_write */
	STORE_ALARM_PERCENT = 90, /* fuller than this and at its limit: store_is_full() */
};

struct store;
struct store_txn;

/* One table. Declare as static const; the pointer's name is the identity. */
struct store_table {
	const char *name; /* name in the file, stable for ever */
	uint16_t version; /* of its values; see struct store_migration */
};

/* Borrowed from the map: dies with the transaction or at its next write. Not aligned: memcpy
 * structs out of it. */
struct store_val {
	const void *data;
	size_t len;
};

/*
 * How values of a table get from one version to a later one. store_open() applies what is needed,
 * step by step, to every row of every table in one transaction: a process that dies on the way
 * leaves the old file. The file notes each table's version, so that an up-to-date one costs one
 * look a table.
 *
 * Who changes what a table's values mean raises its version. A projection needs no migration:
 * store_open() says ERR_SCHEMA, and whoever opened it sets the file aside and rebuilds it from the
 * bus. What cannot be rebuilt (the executor's journal and audit chain) needs a row for each step.
 * Keys do not change. There is no way back: a file of a later version is refused.
 */
struct store_row {
	const void *key;
	size_t key_len;
	struct store_val val; /* as the earlier version wrote it */
};
struct buf;
struct store_migration {
	const char *table;
	uint16_t from, to; /* from < to */
	/* Adds the new value to out. 0; ERR_NOT_FOUND: the row has no place any more and is
	 * deleted; any other error: the file stays as it was, and store_open() gives that error. */
	int (*convert)(const struct store_row *row, struct buf *out, struct why *out_why);
};

struct store_options {
	const char *dir; /* created 0700 when missing */
	const struct store_table *const *tables;
	size_t n_tables;
	const struct store_migration *migrations; /* in any order; NULL: none */
	size_t n_migrations;
	int64_t map_bytes;       /* 0: STORE_DEFAULT_MAP_BYTES */
	int64_t map_limit_bytes; /* growth stops here, but for a reserve of an eighth that only
				    deletes may use; 0: 64 times map_bytes */
	/* For what is read again from elsewhere: a commit does not wait for its last page. A crash
	 * of the machine (not of the process) may then undo the last transaction, whole; the one
	 * before it is safe. Costs one wait for the disk in place of two. */
	bool last_may_be_undone;
	bool no_sync; /* tests and backtests only: fast, but the map's pages stay resident, and a
			 full disk is SIGBUS */
};

/*
 * Opens, locks against a second process (ERR_BUSY) and checks header and every table root; a
 * damaged file gives ERR_CORRUPT with the file's name and what to do. Checks run in a child process
 * first, so that a broken map cannot take the stage down. Then values of earlier versions are
 * migrated: ERR_SCHEMA when there is no way from theirs to ours, ERR_UNSUPPORTED when a later
 * release wrote them; the file is untouched then.
 */
int store_open(const struct store_options *options, struct store **out, struct why *out_why);
void store_close(struct store *s);

/*
 * Damage that is met later (a row with a wrong check-sum, a page that leads out of the file) is
 * noted in <dir>/damaged: the next store_open() gives ERR_CORRUPT, until the file is another one.
 * Where a read gives ERR_CORRUPT, that is all. Where the thread cannot go on (it was about to die
 * of SIGBUS), f is called on it with a line that names the file, and must end the process. Without
 * f the line goes to standard error, and the process ends with 70.
 */
typedef void store_damaged(const char *text);
void store_on_damaged(store_damaged *f);

/* Moves the environment's files (and the note of damage) aside to <dir>/set-aside-<ms>/ so that a
 * projection can be rebuilt. The store is not open. */
int store_set_aside(const char *dir, struct why *out_why);

/* Read transactions are cheap (microseconds) and see one moment. Close with store_end, on the
 * thread that began it. Neither returns NULL: when it could not begin, every call on it gives the
 * error. A write transaction blocks while another is open. */
struct store_txn *store_begin_read(struct store *s);
struct store_txn *store_begin_write(struct store *s);
/* Ends a read transaction, or drops a write one. NULL is fine. */
void store_end(struct store_txn *txn);
/* 0, ERR_FULL, ERR_IO or the first error of the transaction; txn is gone either way. Blocks for one
 * fsync. After ERR_FULL while store_is_full() is false, the same transaction can be tried again:
 * the map was too small for it, and the next store_begin_write makes it larger. */
int store_commit(struct store_txn *txn);
/* The first error so far, 0 when none. */
int store_error(const struct store_txn *txn);

static inline void store_end_cleanup(struct store_txn **txn)
{
	store_end(*txn);
}
#define auto_txn __attribute__((cleanup(store_end_cleanup))) struct store_txn *

/* 0, ERR_NOT_FOUND, ERR_CORRUPT or ERR_SCHEMA. */
int store_get(struct store_txn *txn, const struct store_table *table, const void *key,
	      size_t key_len, struct store_val *out);
void store_put(struct store_txn *txn, const struct store_table *table, const void *key,
	       size_t key_len, const void *data, size_t len);
/* Missing is fine. */
void store_del(struct store_txn *txn, const struct store_table *table, const void *key,
	       size_t key_len);
/* Deletes every row of the table. */
void store_clear(struct store_txn *txn, const struct store_table *table);
size_t store_count(struct store_txn *txn, const struct store_table *table);

/* String keys. */
static inline int store_get_str(struct store_txn *txn, const struct store_table *table,
				const char *key, struct store_val *out)
{
	return store_get(txn, table, key, strlen(key), out);
}
static inline void store_put_str(struct store_txn *txn, const struct store_table *table,
				 const char *key, const void *data, size_t len)
{
	store_put(txn, table, key, strlen(key), data, len);
}
static inline void store_del_str(struct store_txn *txn, const struct store_table *table,
				 const char *key)
{
	store_del(txn, table, key, strlen(key));
}

/* Big-endian keys sort by number. */
struct store_key64 {
	uint8_t b[8];
};
struct store_key64 store_key64(uint64_t n);
uint64_t store_key64_value(const void *key);

/*
 * Walks rows in key order, from the first key >= `from` (NULL: the first), or backwards from the
 * last key that starts with the prefix (from the last key <= `from`, when given). `prefix` NULL or
 * a byte string every key must start with. The callback returns 0 to go on, 1 to stop (store_each
 * returns 0) or an error (returned). It may not write to the same table; collect, then write.
 */
typedef int store_visit(void *ctx, const void *key, size_t key_len, struct store_val val);
struct store_range {
	const void *prefix;
	size_t prefix_len;
	const void *from;
	size_t from_len;
	bool backwards;
	size_t limit; /* 0: none */
};
int store_each(struct store_txn *txn, const struct store_table *table,
	       const struct store_range *range, store_visit *visit, void *ctx);

/*
 * Timers: rows (due, key) in one table of the caller's, at most one per key. Setting again moves
 * it. Keys are at most 255 bytes of text.
 */
struct store_timers {
	struct store_table by_due;
	struct store_table by_key;
};
void timer_set(struct store_txn *txn, const struct store_timers *t, const char *key,
	       int64_t due_ms);
void timer_cancel(struct store_txn *txn, const struct store_timers *t, const char *key);
/* The earliest: 0 and its due time and key (copied, at most 255 + NUL), or ERR_NOT_FOUND. */
int timer_next(struct store_txn *txn, const struct store_timers *t, int64_t *out_due_ms,
	       char out_key[static 256]);

/* Percent of the map limit in use; for metrics and alarms. */
unsigned store_used_percent(struct store *s);
bool store_is_full(struct store *s);

/* A hot, compacted copy into an empty directory; readers and the writer go on. */
int store_backup(struct store *s, const char *dir, struct why *out_why);
/* The same from outside: of the environment in from_dir, which another process of this machine (and
 * of the same PID namespace) may have open and write to. ERR_NOT_FOUND: there is none. */
int store_copy(const char *from_dir, const char *dir, struct why *out_why);

/* SHA-256 over every row of the given tables in order: two equal states have equal hashes. */
int store_hash(struct store_txn *txn, const struct store_table *const *tables, size_t n,
	       uint8_t out[static 32]);

#endif
