#include "common/store_impl.h"

#include "common/mem.h"

#include <fcntl.h>
#include <sys/stat.h>

/* The writer may have grown the file between our looking at its size and our transaction. */
enum { COPY_TRIES = 5 };

int store_copy_env(MDB_env *env, const char *dir, struct why *out_why)
{
	if (mkdir(dir, 0700) && errno != EEXIST)
		return why_set(out_why, err_from_errno(errno), "%s: %s", dir, strerror(errno));
	auto_free char *path = mem_printf("%s/data.mdb", dir);
	if (access(path, F_OK) == 0)
		return why_set(out_why, ERR_EXISTS, "%s is there already", path);
	int rc = mdb_env_copy2(env, dir, MDB_CP_COMPACT);
	if (rc) {
		unlink(path);
		return why_set(out_why, rc == MDB_MAP_RESIZED ? ERR_BUSY : store_rc(rc), "%s: %s",
			       path, mdb_strerror(rc));
	}
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		return why_set(out_why, ERR_IO, "%s: %s", path, strerror(errno));
	return 0;
}

static int copy_once(const char *from_dir, const char *dir, struct why *out_why)
{
	MDB_env *env;
	int rc = mdb_env_create(&env);
	if (rc)
		return store_rc(rc);
	rc = mdb_env_open(env, from_dir, MDB_RDONLY | MDB_NOTLS, 0600);
	if (rc == MDB_SUCCESS)
		rc = store_copy_env(env, dir, out_why);
	else
		rc = why_set(out_why, store_rc(rc), "%s/data.mdb: %s", from_dir, mdb_strerror(rc));
	mdb_env_close(env);
	return rc;
}

int store_copy(const char *from_dir, const char *dir, struct why *out_why)
{
	auto_free char *path = mem_printf("%s/data.mdb", from_dir);
	struct why why = {0};
	if (access(path, F_OK))
		return why_set(out_why, err_from_errno(errno), "%s: %s", path, strerror(errno));
	int rc = copy_once(from_dir, dir, &why);
	for (int n = 1; rc == ERR_BUSY && n < COPY_TRIES; n++) {
		why = (struct why){0};
		rc = copy_once(from_dir, dir, &why);
	}
	return rc ? why_set(out_why, rc, "%s", why.text) : 0;
}
