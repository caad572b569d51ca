#include "common/store_impl.h"

#include "common/clock.h"
#include "common/mem.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

enum { CHECK_SECONDS_MAX = 30, CHECK_DAMAGED = 1, CHECK_UNREADABLE = 2 };

int store_lock_dir(const char *dir, int *out_fd, struct why *out_why)
{
	auto_free char *path = mem_printf("%s/store.lock", dir);
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return why_set(out_why, err_from_errno(errno), "%s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB))
		return why_set(out_why, ERR_BUSY, "%s: in use by another process", dir);
	*out_fd = fd_take(&fd);
	return 0;
}

/* ---- in the child ---- */

int store_free_pages(MDB_txn *txn, size_t first_page, size_t *out)
{
	enum {
		FREE_DBI = 0
	}; /* lmdb.h: "DBI 0: free list"; each value: count, then page numbers */
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, FREE_DBI, &cursor);
	if (rc)
		return rc;
	MDB_val key, value;
	size_t n = 0;
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		size_t count = 0, page;
		memcpy(&count, value.mv_data, sizeof(count));
		for (size_t i = 1; i <= count && (i + 1) * sizeof(page) <= value.mv_size; i++) {
			memcpy(&page, (const char *)value.mv_data + i * sizeof(page), sizeof(page));
			n += page >= first_page;
		}
	}
	mdb_cursor_close(cursor);
	*out = n;
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* LMDB never writes pages that a transaction took and gave back, so the file may end before the
 * last page it knows; but only free pages may be missing. The free list is read in any case: with a
 * damaged one, LMDB says at the first write that the map is full. */
static int check_length(MDB_env *env, MDB_txn *txn, const char *path)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat file;
	if (mdb_env_info(env, &info) || mdb_env_stat(env, &stat) || lstat(path, &file))
		return CHECK_UNREADABLE;
	size_t in_file = (size_t)file.st_size / stat.ms_psize;
	size_t free_behind = 0;
	if (store_free_pages(txn, in_file, &free_behind))
		return CHECK_DAMAGED;
	if (in_file > info.me_last_pgno)
		return 0;
	return free_behind >= info.me_last_pgno + 1 - in_file ? 0 : CHECK_DAMAGED;
}

static int check_table(MDB_txn *txn, const struct store_table *table)
{
	MDB_dbi dbi;
	MDB_cursor *cursor;
	int rc = mdb_dbi_open(txn, table->name, 0, &dbi);
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc || mdb_cursor_open(txn, dbi, &cursor))
		return CHECK_DAMAGED;
	static const MDB_cursor_op ends[] = {MDB_FIRST, MDB_LAST};
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		MDB_val key, value;
		struct store_val out;
		rc = mdb_cursor_get(cursor, &key, &value, ends[i]);
		if (rc == MDB_NOTFOUND)
			return 0;
		if (rc || store_open_value(table, &key, &value, &out) == ERR_CORRUPT)
			return CHECK_DAMAGED;
	}
	return 0;
}

static int check_env(MDB_env *env, const struct store_options *options, const char *path)
{
	MDB_txn *txn;
	if (mdb_env_set_maxdbs(env, STORE_TABLES_MAX) ||
	    mdb_env_open(env, options->dir, MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0600) ||
	    mdb_txn_begin(env, NULL, MDB_RDONLY, &txn))
		return CHECK_DAMAGED;
	int rc = check_length(env, txn, path);
	for (size_t i = 0; i < options->n_tables && !rc; i++)
		rc = check_table(txn, options->tables[i]);
	return rc;
}

static _Noreturn void check_child(const struct store_options *options, const char *path)
{
	/* Whatever the stage set up for these must not run here. */
	static const int fatal[] = {SIGBUS, SIGSEGV, SIGABRT, SIGALRM, SIGTERM, SIGFPE, SIGILL};
	sigset_t none;
	sigemptyset(&none);
	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		signal(fatal[i], SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(CHECK_SECONDS_MAX);
	MDB_env *env;
	_exit(mdb_env_create(&env) ? CHECK_UNREADABLE : check_env(env, options, path));
}

/* ---- in the parent ---- */

static int wait_for(pid_t pid, const char *path, struct why *out_why)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return why_set(out_why, ERR_INTERNAL, "%s: cannot wait for the check: %s",
				       path, strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return why_set(out_why, ERR_CORRUPT, STORE_DAMAGED_TEXT, path,
			       strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status) == CHECK_UNREADABLE)
		return why_set(out_why, ERR_IO, "%s: cannot be read", path);
	return why_set(out_why, ERR_CORRUPT, STORE_DAMAGED_TEXT, path,
		       "header, table root or length");
}

int store_check_files(const struct store_options *options, struct why *out_why)
{
	auto_free char *path = mem_printf("%s/data.mdb", options->dir);
	struct stat st;
	if (stat(path, &st))
		return errno == ENOENT ? 0
				       : why_set(out_why, err_from_errno(errno), "%s: %s", path,
						 strerror(errno));
	if (st.st_size == 0)
		return why_set(out_why, ERR_CORRUPT, STORE_DAMAGED_TEXT, path, "empty");
	int rc = store_check_note(options->dir, &st, out_why);
	if (rc)
		return rc;
	pid_t pid = fork();
	if (pid < 0)
		return why_set(out_why, ERR_INTERNAL, "fork: %s", strerror(errno));
	if (pid == 0)
		check_child(options, path);
	return wait_for(pid, path, out_why);
}

static int make_aside_dir(const char *dir, char **out, struct why *out_why)
{
	for (int64_t ms = clock_real_ms();; ms++) {
		char *aside = mem_printf("%s/set-aside-%" PRId64, dir, ms);
		if (mkdir(aside, 0700) == 0) {
			*out = aside;
			return 0;
		}
		int error = errno;
		free(aside);
		if (error != EEXIST)
			return why_set(out_why, err_from_errno(error), "%s: %s", dir,
				       strerror(error));
	}
}

static int move_file(const char *dir, const char *aside, const char *name, struct why *out_why)
{
	auto_free char *from = mem_printf("%s/%s", dir, name);
	auto_free char *to = mem_printf("%s/%s", aside, name);
	if (rename(from, to) && errno != ENOENT)
		return why_set(out_why, err_from_errno(errno), "%s: %s", from, strerror(errno));
	return 0;
}

int store_set_aside(const char *dir, struct why *out_why)
{
	auto_fd int lock = -1;
	int rc = store_lock_dir(dir, &lock, out_why);
	if (rc)
		return rc;
	auto_free char *aside = NULL;
	rc = make_aside_dir(dir, &aside, out_why);
	if (rc)
		return rc;
	static const char *const names[] = {"data.mdb", "lock.mdb", STORE_DAMAGE_NOTE};
	for (size_t i = 0; i < ARRAY_SIZE(names) && !rc; i++)
		rc = move_file(dir, aside, names[i], out_why);
	return rc;
}

/* ---- where the map is ---- */

/* LMDB tells its map's address only when it was asked for one. */
static void *map_address(MDB_env *env)
{
	struct stat file;
	mdb_filehandle_t fd;
	auto_file FILE *maps = fopen("/proc/self/maps", "re");
	if (!maps || mdb_env_get_fd(env, &fd) || fstat(fd, &file))
		return NULL;
	char line[512];
	while (fgets(line, sizeof(line), maps)) {
		uintptr_t from;
		uint64_t offset, inode;
		unsigned major_id, minor_id;
		if (sscanf(line, "%" SCNxPTR "-%*x %*s %" SCNx64 " %x:%x %" SCNu64, &from, &offset,
			   &major_id, &minor_id, &inode) != 5)
			continue;
		if (offset == 0 && inode == file.st_ino &&
		    makedev(major_id, minor_id) == file.st_dev)
			return (void *)from; // NOLINT(performance-no-int-to-ptr)
	}
	return NULL;
}

void store_map_moved(struct store *s)
{
	MDB_envinfo info;
	mdb_env_info(s->env, &info);
	atomic_store(&s->map, map_address(s->env));
	atomic_store(&s->map_size, info.me_mapsize);
}
