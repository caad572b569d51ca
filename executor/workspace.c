#include "executor/workspace.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/id.h"
#include "common/mem.h"
#include "executor/beneath.h"

enum {
	DEPTH_MAX = 60,        /* deeper directories are moved up before they are removed */
	VISITS_MAX = 10000000, /* somebody still makes files faster than we remove them */
};

/* ---- opening ---- */

static int make_dir(const char *path, struct why *out_why)
{
	if (mkdir(path, 0711) == 0 || errno == EEXIST)
		return 0;
	return beneath_error(path, errno, out_why);
}

int workspace_find(const char *state_dir, const char *plan, struct workspace *out,
		   struct why *out_why)
{
	*out = (struct workspace)WORKSPACE_NONE;
	if (!state_dir || !plan || !token_valid(plan))
		return why_set(out_why, ERR_INVALID, "a workspace is for a plan");
	auto_free char *path = mem_printf("%s/work/%s", state_dir, plan);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return beneath_error("the plan's workspace", errno, out_why);
	*out = (struct workspace){.path = mem_strdup(path), .fd = fd};
	return 0;
}

/* Programs run as nobody, who must be able to get there; what lies beside it is closed to him. */
static int let_through(const char *state_dir, struct why *out_why)
{
	struct stat st;
	if (geteuid() != 0)
		return 0;
	auto_free char *path = mem_strdup(state_dir);
	char *slot = strrchr(path, '/');
	if (stat(state_dir, &st) == 0 && !(st.st_mode & S_IXOTH) &&
	    chmod(state_dir, (st.st_mode | S_IXOTH) & 07777))
		return beneath_error(state_dir, errno, out_why);
	/* What executors share is ours like the slot in it. */
	if (slot && str_starts(slot, "/slot-")) {
		*slot = 0;
		if (stat(path, &st) == 0 && !(st.st_mode & S_IXOTH) &&
		    chmod(path, (st.st_mode | S_IXOTH) & 07777))
			return beneath_error(path, errno, out_why);
		*slot = '/';
	}
	for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
		*slash = 0;
		if (stat(path, &st) == 0 && !(st.st_mode & S_IXOTH))
			return why_set(out_why, ERR_CONFIG,
				       "state_dir: %s keeps nobody out, as whom programs run: "
				       "chmod o+x it, or choose another state_dir",
				       path);
		*slash = '/';
	}
	return 0;
}

int workspace_open(const char *state_dir, const char *plan, struct workspace *out,
		   struct why *out_why)
{
	*out = (struct workspace)WORKSPACE_NONE;
	if (!state_dir || !plan || !token_valid(plan))
		return why_set(out_why, ERR_INVALID, "a workspace is for a plan");
	auto_free char *all = mem_printf("%s/work", state_dir);
	auto_free char *path = mem_printf("%s/%s", all, plan);
	int rc = let_through(state_dir, out_why);
	if (!rc)
		rc = make_dir(all, out_why);
	if (!rc)
		rc = make_dir(path, out_why);
	return rc ? rc : workspace_find(state_dir, plan, out, out_why);
}

void workspace_close(struct workspace *w)
{
	free(w->path);
	if (w->fd >= 0)
		close(w->fd);
	*w = (struct workspace)WORKSPACE_NONE;
}

/* ---- removing ---- */

/* A tree being removed: one directory of it, the names for those moved up, and how much is left. */
struct removal {
	int top;
	unsigned moved;
	unsigned visits;
};

static DIR *open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && fchmodat(at, name, 0700, 0) == 0)
		fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d && fd >= 0)
		close(fd);
	return d;
}

static bool is_dot(const char *name)
{
	return str_eq(name, ".") || str_eq(name, "..");
}

static void empty_dir(struct removal *r, DIR *d, int depth);

static void remove_entry(struct removal *r, int at, const char *name, int depth)
{
	char up[32];
	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return;
	if (depth >= DEPTH_MAX) {
		snprintf(up, sizeof(up), ".up-%u", r->moved++);
		renameat(at, name, r->top, up);
		return;
	}
	DIR *d = open_dir(at, name);
	if (!d)
		return;
	/* A directory without write permission keeps its entries from its owner. */
	if (fchmod(dirfd(d), 0700) == 0)
		empty_dir(r, d, depth + 1);
	closedir(d);
	unlinkat(at, name, AT_REMOVEDIR);
}

static void empty_dir(struct removal *r, DIR *d, int depth)
{
	for (struct dirent *e; (e = readdir(d)) && r->visits++ < VISITS_MAX;)
		if (!is_dot(e->d_name))
			remove_entry(r, dirfd(d), e->d_name, depth);
}

/* Rounds, for what was moved up while it was read. */
static void remove_tree(int at, const char *name)
{
	struct removal r = {0};
	for (unsigned before = 1; before != r.moved || before == 1;) {
		before = r.moved;
		if (unlinkat(at, name, 0) == 0)
			return;
		DIR *d = open_dir(at, name);
		if (!d)
			return;
		r.top = dirfd(d);
		empty_dir(&r, d, 0);
		closedir(d);
		if (unlinkat(at, name, AT_REMOVEDIR) == 0 || r.visits >= VISITS_MAX)
			return;
	}
}

static int open_all(const char *state_dir)
{
	auto_free char *path = mem_printf("%s/work", state_dir);
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

void workspace_remove(const char *state_dir, const char *plan)
{
	auto_fd int all = state_dir && plan && token_valid(plan) ? open_all(state_dir) : -1;
	if (all >= 0)
		remove_tree(all, plan);
}

void workspace_sweep(const char *state_dir, int64_t now_ms)
{
	auto_fd int all = open_all(state_dir);
	DIR *d = all >= 0 ? open_dir(all, ".") : NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		struct stat st;
		if (is_dot(e->d_name) || fstatat(all, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (now_ms - (int64_t)st.st_mtim.tv_sec * 1000 > WORKSPACE_AGE_MS)
			remove_tree(all, e->d_name);
	}
	if (d)
		closedir(d);
}

/* ---- what is in it ---- */

int workspace_fresh(const struct workspace *w, const char *name, unsigned uid, unsigned gid,
		    struct why *out_why)
{
	remove_tree(w->fd, name);
	if (mkdirat(w->fd, name, 0755))
		return beneath_error(name, errno, out_why);
	if (geteuid() == 0 && fchownat(w->fd, name, uid, gid, AT_SYMLINK_NOFOLLOW))
		return beneath_error(name, errno, out_why);
	return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, data + at, len - at);
		if (n < 0 && errno != EINTR)
			return -1;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int workspace_write(const struct workspace *w, const char *name, const void *data, size_t len,
		    struct why *out_why)
{
	if (unlinkat(w->fd, name, 0) && errno != ENOENT)
		return beneath_error(name, errno, out_why);
	auto_fd int fd =
		openat(w->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || write_all(fd, data, len) || fchmod(fd, 0644))
		return beneath_error(name, errno, out_why);
	return 0;
}

int workspace_read(const struct workspace *w, const char *name, size_t max_bytes, struct buf *out,
		   struct why *out_why)
{
	struct stat st;
	auto_fd int fd = beneath_open(w->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return beneath_error(name, errno, out_why);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return why_set(out_why, ERR_DENIED, "%s: not a plain file of one name", name);
	int rc = beneath_read(fd, max_bytes, out, out_why);
	return rc ? why_prefix(out_why, rc, "%s", name) : 0;
}
