#include "common/store_impl.h"

#include "common/id.h"
#include "common/mem.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { GROW_WAIT_MS = 200, DISK_FULL_BYTES = 1 << 20 };

int store_rc(int mdb_rc)
{
	switch (mdb_rc) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return ERR_NOT_FOUND;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return ERR_FULL;
	case MDB_BAD_VALSIZE:
		return ERR_TOO_LARGE;
	case MDB_READERS_FULL:
		return ERR_BUSY;
	case MDB_PANIC: /* a write of the last page failed: the map is of no more use to this
			   process */
		return ERR_IO;
	case MDB_PAGE_NOTFOUND:
	case MDB_CORRUPTED:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_CURSOR_FULL:
	case MDB_PAGE_FULL:
		return ERR_CORRUPT;
	default:
		return mdb_rc > 0 ? err_from_errno(mdb_rc) : ERR_INTERNAL;
	}
}

/* ---- the map's size ---- */

static int64_t map_bytes(struct store *s)
{
	MDB_envinfo info;
	mdb_env_info(s->env, &info);
	return (int64_t)info.me_mapsize;
}

static int64_t file_bytes(struct store *s)
{
	MDB_envinfo info;
	MDB_stat stat;
	mdb_env_info(s->env, &info);
	mdb_env_stat(s->env, &stat);
	return (int64_t)(info.me_last_pgno + 1) * (int64_t)stat.ms_psize;
}

/* LMDB needs free pages even to delete: the map gets a reserve that only deletes may use. */
static int64_t map_most_bytes(const struct store *s)
{
	return (s->map_limit_bytes + s->map_limit_bytes / 8) / 4096 * 4096;
}

static bool shared_lock_all(struct store *s, bool urgent)
{
	if (pthread_rwlock_trywrlock(&s->resizing) == 0)
		return true;
	if (!urgent)
		return false;
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)GROW_WAIT_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return pthread_rwlock_timedwrlock(&s->resizing, &until) == 0;
}

/* A long reader may be in the way: then the next writer tries again. */
static void grow_if_needed(struct store *s)
{
	int64_t size = map_bytes(s);
	bool urgent = atomic_load(&s->was_too_small);
	bool wanted = urgent || file_bytes(s) > size / 100 * STORE_GROW_PERCENT;
	int64_t most = map_most_bytes(s);
	if (!wanted || size >= most || !shared_lock_all(s, urgent))
		return;
	if (mdb_env_set_mapsize(s->env, (size_t)MIN(2 * size, most)) == 0)
		atomic_store(&s->was_too_small, false);
	store_map_moved(s);
	pthread_rwlock_unlock(&s->resizing);
}

/* LMDB shows its list of free pages to read transactions only. */
static int64_t used_bytes(struct store *s)
{
	auto_txn txn = store_begin_read(s);
	size_t free_pages = 0;
	MDB_stat stat;
	if (store_error(txn) || store_free_pages(txn->mdb, 0, &free_pages) ||
	    mdb_env_stat(s->env, &stat))
		return s->map_limit_bytes + 1;
	return MAX(file_bytes(s) - (int64_t)free_pages * (int64_t)stat.ms_psize, 0);
}

unsigned store_used_percent(struct store *s)
{
	return (unsigned)MIN(used_bytes(s) * 100 / s->map_limit_bytes, 100);
}

bool store_is_full(struct store *s)
{
	return store_used_percent(s) > STORE_ALARM_PERCENT;
}

/* ---- open and close ---- */

static int open_dbis(struct store *s, MDB_txn *txn, const struct store_options *options)
{
	int rc = 0;
	for (size_t i = 0; i < options->n_tables; i++)
		s->tables[i] = options->tables[i];
	s->tables[options->n_tables] = &store_schema_table;
	s->n_tables = options->n_tables + STORE_OWN_TABLES;
	for (size_t i = 0; i < s->n_tables && !rc; i++)
		rc = mdb_dbi_open(txn, s->tables[i]->name, MDB_CREATE, &s->dbis[i]);
	return store_rc(rc);
}

/* Whatever went wrong, nothing was written. */
static int open_tables_once(struct store *s, const struct store_options *options,
			    struct why *out_why)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
	if (rc)
		return store_rc(rc);
	rc = open_dbis(s, txn, options);
	if (!rc)
		rc = store_schema_apply(s, txn, options, out_why);
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	return store_rc(mdb_txn_commit(txn));
}

/* A migration may need more room than the map has yet. */
static int open_tables(struct store *s, const struct store_options *options, struct why *out_why)
{
	int rc = open_tables_once(s, options, out_why);
	while (rc == ERR_FULL && map_bytes(s) < map_most_bytes(s)) {
		int64_t size = MIN(2 * map_bytes(s), map_most_bytes(s));
		*out_why = (struct why){0};
		rc = store_rc(mdb_env_set_mapsize(s->env, (size_t)size));
		store_map_moved(s);
		if (!rc)
			rc = open_tables_once(s, options, out_why);
	}
	return rc;
}

static int64_t page_round(int64_t bytes)
{
	return (bytes + 4095) / 4096 * 4096;
}

static int open_env(struct store *s, const struct store_options *options)
{
	int64_t size = options->map_bytes ? options->map_bytes : STORE_DEFAULT_MAP_BYTES;
	size = page_round(size);
	s->map_limit_bytes =
		options->map_limit_bytes ? page_round(options->map_limit_bytes) : 64 * size;
	s->map_limit_bytes = MAX(s->map_limit_bytes, size);
	int rc = mdb_env_create(&s->env);
	if (!rc)
		rc = mdb_env_set_maxdbs(s->env, STORE_TABLES_MAX + STORE_OWN_TABLES);
	if (!rc)
		rc = mdb_env_set_mapsize(s->env, (size_t)size);
	s->no_sync = options->no_sync;
	/* The map is written to itself, in place of pages that are then copied into the file. */
	unsigned flags = MDB_NOTLS;
	if (options->last_may_be_undone)
		flags |= (unsigned)MDB_NOMETASYNC;
	if (options->no_sync)
		flags |= (unsigned)MDB_NOSYNC | MDB_WRITEMAP;
	if (!rc)
		rc = mdb_env_open(s->env, s->dir, flags, 0600);
	if (rc)
		return store_rc(rc);
	int dead;
	mdb_reader_check(s->env, &dead);
	store_guard(s);
	return 0;
}

static int open_in(struct store *s, const struct store_options *options, struct why *out_why)
{
	int rc = store_lock_dir(options->dir, &s->lock_fd, out_why);
	if (rc)
		return rc;
	rc = store_check_files(options, out_why);
	if (rc)
		return rc;
	rc = open_env(s, options);
	if (rc)
		return why_set(out_why, rc, "%s/data.mdb: cannot open: %s", options->dir,
			       err_name(rc));
	grow_if_needed(s);
	struct why why = {0};
	rc = open_tables(s, options, &why);
	if (rc)
		return why_set(out_why, rc, "%s/data.mdb: %s%s", options->dir,
			       why.text[0] ? "" : "cannot open the tables: ",
			       why.text[0] ? why.text : err_name(rc));
	return 0;
}

/* Busy readers must not keep a writer from growing the map; its wait has an end, so that a thread
 * with two read transactions is delayed at worst. */
static void init_resizing(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

int store_open(const struct store_options *options, struct store **out, struct why *out_why)
{
	assert(options->n_tables <= STORE_TABLES_MAX);
	if (mkdir(options->dir, 0700) && errno != EEXIST) {
		int rc = err_from_errno(errno);
		return why_set(out_why, rc, "%s: %s", options->dir, strerror(errno));
	}
	struct store *s = mem_alloc(sizeof(*s));
	s->lock_fd = s->statm_fd = -1;
	s->dir = mem_strdup(options->dir);
	s->data_path = mem_printf("%s/data.mdb", s->dir);
	s->damage_path = mem_printf("%s/" STORE_DAMAGE_NOTE, s->dir);
	init_resizing(&s->resizing);
	int rc = open_in(s, options, out_why);
	if (rc)
		store_close(s);
	else
		*out = s;
	return rc;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_unguard(s);
	if (s->env)
		mdb_env_close(s->env);
	if (atomic_load(&s->damaged))
		store_note_damage(s);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->statm_fd >= 0)
		close(s->statm_fd);
	pthread_rwlock_destroy(&s->resizing);
	free(s->dir);
	free(s->data_path);
	free(s->damage_path);
	free(s);
}

int store_backup(struct store *s, const char *dir, struct why *out_why)
{
	pthread_rwlock_rdlock(&s->resizing);
	int rc = store_copy_env(s->env, dir, out_why);
	pthread_rwlock_unlock(&s->resizing);
	return rc;
}

/* ---- transactions ---- */

static struct store_txn *begin(struct store *s, bool write)
{
	struct store_txn *txn = mem_alloc(sizeof(*txn));
	txn->store = s;
	txn->write = write;
	pthread_rwlock_rdlock(&s->resizing);
	int rc = mdb_txn_begin(s->env, NULL, write ? 0 : MDB_RDONLY, &txn->mdb);
	if (rc)
		txn->mdb = NULL;
	txn->error = store_rc(rc);
	return txn;
}

static void end(struct store_txn *txn)
{
	pthread_rwlock_unlock(&txn->store->resizing);
	buf_release(&txn->scratch);
	free(txn);
}

struct store_txn *store_begin_read(struct store *s)
{
	return begin(s, false);
}

struct store_txn *store_begin_write(struct store *s)
{
	grow_if_needed(s);
	bool over = file_bytes(s) > s->map_limit_bytes && used_bytes(s) > s->map_limit_bytes;
	struct store_txn *txn = begin(s, true);
	txn->only_deletes = over;
	return txn;
}

void store_end(struct store_txn *txn)
{
	if (!txn)
		return;
	if (txn->mdb)
		mdb_txn_abort(txn->mdb);
	end(txn);
}

/* LMDB says EIO when a write came out short, which is how a disk fills up. */
static int commit_rc(const struct store *s, int mdb_rc)
{
	struct statvfs disk;
	if (mdb_rc == EIO && statvfs(s->dir, &disk) == 0 &&
	    (uint64_t)disk.f_bavail * disk.f_frsize < DISK_FULL_BYTES)
		return ERR_FULL;
	return store_rc(mdb_rc);
}

int store_commit(struct store_txn *txn)
{
	assert(txn->write);
	if (!txn->error && txn->mdb) {
		store_fail(txn, commit_rc(txn->store, mdb_txn_commit(txn->mdb)));
		txn->mdb = NULL;
	}
	int rc = txn->error;
	store_end(txn);
	return rc;
}

int store_error(const struct store_txn *txn)
{
	return txn->error;
}

int store_fail(struct store_txn *txn, int rc)
{
	if (rc == ERR_FULL)
		atomic_store(&txn->store->was_too_small, true);
	if (rc == ERR_CORRUPT)
		store_note_damage(txn->store);
	if (rc && !txn->error)
		txn->error = rc;
	return rc;
}

MDB_dbi store_dbi(const struct store_txn *txn, const struct store_table *table)
{
	const struct store *s = txn->store;
	for (size_t i = 0; i < s->n_tables; i++)
		if (s->tables[i] == table)
			return s->dbis[i];
	abort(); /* a table that the store was not opened with */
}

/* ---- rows ---- */

int store_get(struct store_txn *txn, const struct store_table *table, const void *key,
	      size_t key_len, struct store_val *out)
{
	if (txn->error)
		return txn->error;
	if (key_len == 0 || key_len > STORE_KEY_MAX)
		return ERR_NOT_FOUND;
	MDB_val k = {key_len, (void *)(uintptr_t)key}, v;
	int rc = store_rc(mdb_get(txn->mdb, store_dbi(txn, table), &k, &v));
	if (!rc)
		rc = store_open_value(table, &k, &v, out);
	if (rc == ERR_CORRUPT)
		store_note_damage(txn->store);
	return rc;
}

/* Pages of files that are mapped into this process now, programs and libraries included. */
static size_t resident_file_bytes(struct store *s)
{
	char text[128] = "";
	size_t shared = 0;
	if (s->statm_fd < 0)
		s->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (pread(s->statm_fd, text, sizeof(text) - 1, 0) <= 0 ||
	    sscanf(text, "%*u %*u %zu", &shared) != 1)
		return SIZE_MAX;
	return shared * (size_t)sysconf(_SC_PAGESIZE);
}

/* Pages of the map that were read stay in this process's resident set although the kernel has them
 * in its cache anyway. Letting go of them keeps a stage small; what is needed again costs a fault,
 * which is more than a read costs, so only what is over the limit goes, part by part around the
 * map. The map is read-only and a transaction's own pages lie elsewhere: nothing is lost, and
 * pointers into the map stay good. */
static void let_go(struct store *s)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t part = ((size_t)file_bytes(s) / STORE_LET_GO_PARTS + page) / page * page;
	s->puts = 0;
	for (int i = 0; !s->no_sync && i < STORE_LET_GO_PARTS; i++) {
		if (resident_file_bytes(s) < STORE_RESIDENT_BYTES)
			return;
		char *map = atomic_load(&s->map);
		size_t from = s->part++ % STORE_LET_GO_PARTS * part;
		if (map && from + part <= atomic_load(&s->map_size))
			madvise(map + from, part, MADV_DONTNEED);
	}
}

void store_put(struct store_txn *txn, const struct store_table *table, const void *key,
	       size_t key_len, const void *data, size_t len)
{
	assert(txn->write);
	if (txn->error)
		return;
	if (key_len == 0 || key_len > STORE_KEY_MAX || len > UINT32_MAX) {
		store_fail(txn, ERR_TOO_LARGE);
		return;
	}
	if (txn->only_deletes) {
		store_fail(txn, ERR_FULL);
		return;
	}
	/* Key and data may lie in the map, whose pages this very write moves: copy both first. */
	char key_copy[STORE_KEY_MAX];
	memcpy(key_copy, key, key_len);
	MDB_val k = {key_len, key_copy};
	buf_reset(&txn->scratch);
	store_seal_value(table, &k, &(struct store_val){data, len}, &txn->scratch);
	MDB_val v = {txn->scratch.len, txn->scratch.data};
	store_fail(txn, store_rc(mdb_put(txn->mdb, store_dbi(txn, table), &k, &v, 0)));
	if (++txn->store->puts >= STORE_LET_GO_PUTS)
		let_go(txn->store);
}

void store_del(struct store_txn *txn, const struct store_table *table, const void *key,
	       size_t key_len)
{
	assert(txn->write);
	if (txn->error || key_len == 0 || key_len > STORE_KEY_MAX)
		return;
	char key_copy[STORE_KEY_MAX];
	memcpy(key_copy, key, key_len);
	MDB_val k = {key_len, key_copy};
	int rc = mdb_del(txn->mdb, store_dbi(txn, table), &k, NULL);
	if (rc != MDB_NOTFOUND)
		store_fail(txn, store_rc(rc));
}

void store_clear(struct store_txn *txn, const struct store_table *table)
{
	assert(txn->write);
	if (!txn->error)
		store_fail(txn, store_rc(mdb_drop(txn->mdb, store_dbi(txn, table), 0)));
}

size_t store_count(struct store_txn *txn, const struct store_table *table)
{
	MDB_stat stat;
	if (txn->error || mdb_stat(txn->mdb, store_dbi(txn, table), &stat))
		return 0;
	return stat.ms_entries;
}
