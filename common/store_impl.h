/* What the files of the store share. Private to store*.c. Layer 1. */
#ifndef COMMON_STORE_IMPL_H
#define COMMON_STORE_IMPL_H

#include "common/buf.h"
#include "common/store.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

enum { STORE_OWN_TABLES = 1 };

struct store {
	MDB_env *env;
	char *dir, *data_path, *damage_path;
	int lock_fd;
	int statm_fd; /* the writer's; -1: not opened yet */
	int64_t map_limit_bytes;
	pthread_rwlock_t resizing; /* every transaction holds it shared: the map may not move */
	_Atomic bool was_too_small;
	_Atomic bool
		damaged; /* noted; and once more at the end, for it may be written until then */
	bool no_sync;
	size_t puts; /* since the last look at what is resident; this and the next are the writer's
		      */
	size_t part; /* of the map, to be let go of next */
	void *_Atomic map; /* NULL: not known */
	_Atomic size_t map_size;
	const struct store_table *tables[STORE_TABLES_MAX + STORE_OWN_TABLES];
	MDB_dbi dbis[STORE_TABLES_MAX + STORE_OWN_TABLES];
	size_t n_tables; /* with our own, the last ones */
};

struct store_txn {
	struct store *store;
	MDB_txn *mdb;
	bool write;
	bool only_deletes; /* over the limit: what is left is for making room */
	int error;
	struct buf scratch;
};

/* Looked at after so many puts: with more pages of files resident than this, some of the map's are
 * let go of, half of it at a time: each time interrupts the other processors. */
enum { STORE_LET_GO_PUTS = 64, STORE_RESIDENT_BYTES = 24 << 20, STORE_LET_GO_PARTS = 2 };

int store_rc(int mdb_rc);
/* Keeps the first error of the transaction. Returns rc. */
int store_fail(struct store_txn *txn, int rc);
MDB_dbi store_dbi(const struct store_txn *txn, const struct store_table *table);
/* Takes the header off a stored value: 0, ERR_CORRUPT or ERR_SCHEMA. */
int store_open_value(const struct store_table *table, const MDB_val *key, const MDB_val *stored,
		     struct store_val *out);

/* The version of a stored value, whatever it is; ERR_CORRUPT. */
int store_value_version(const MDB_val *key, const MDB_val *stored, uint16_t *out);
/* Adds header and data, as they are stored, to out. */
void store_seal_value(const struct store_table *table, const MDB_val *key,
		      const struct store_val *val, struct buf *out);

/* store_schema.c: which version the values of each table have. */
extern const struct store_table store_schema_table;
/* Brings all tables that were opened in txn to their versions, and notes them. ERR_FULL: the map
 * was too small. */
int store_schema_apply(struct store *s, MDB_txn *txn, const struct store_options *options,
		       struct why *out_why);

/* 0 and a descriptor that holds the lock, or ERR_BUSY, ERR_IO. */
int store_lock_dir(const char *dir, int *out_fd, struct why *out_why);
/* Looks at the files in a child process; 0 when there are none. */
int store_check_files(const struct store_options *options, struct why *out_why);
/* Pages that are free inside the file, from `first_page` on; walks LMDB's own list of them. */
int store_free_pages(MDB_txn *txn, size_t first_page, size_t *out);

/* A compacted copy into a directory, made when it is missing, that holds none yet. */
int store_copy_env(MDB_env *env, const char *dir, struct why *out_why);

/* Finds the map again, after it was made or has grown. Reads /proc/self/maps. */
void store_map_moved(struct store *s);

/* store_damage.c */
#define STORE_DAMAGE_NOTE "damaged"
#define STORE_DAMAGED_TEXT                                                                         \
	"%s: damaged (%s). Restore a backup of it, or move the file aside and start again: "       \
	"a projection is rebuilt from the bus"
enum { STORE_DAMAGE_TEXT_BYTES = 1024, STORE_DAMAGED_EXIT = 70 };
/* From now on a fault in the store's map, and what LMDB asserts, is damage and not a crash. */
void store_guard(struct store *s);
void store_unguard(struct store *s);
/* The next store_open() refuses the file. */
void store_note_damage(struct store *s);
/* 0, or ERR_CORRUPT: damage was noted, and the file was not written since. */
struct stat;
int store_check_note(const char *dir, const struct stat *data, struct why *out_why);

#endif
