/* Edits and files. Every path is opened below the directory, without following any link. */
#include "executor/edits/edits.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "executor/beneath.h"

/* One file's change, worked out and not yet written. */
struct change {
	const struct edit_file *file;
	struct buf text;
	bool remove; /* f->path goes */
	mode_t mode;
};

/* ---- reading ---- */

static int read_old(int dir, const char *path, struct buf *out, mode_t *out_mode,
		    struct why *out_why)
{
	struct stat st;
	auto_fd int fd = beneath_open(dir, path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return beneath_error(path, errno, out_why);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return why_set(out_why, ERR_DENIED, "%s: not a regular file", path);
	*out_mode = st.st_mode & 0111 ? 0755 : 0644;
	int rc = beneath_read(fd, EDITS_FILE_MAX_BYTES, out, out_why);
	return rc ? why_prefix(out_why, rc, "%s", path) : 0;
}

static bool exists(int dir, const char *path)
{
	auto_fd int fd = beneath_open(dir, path, O_PATH);
	return fd >= 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* ---- working out ---- */

/* A block with an empty SEARCH part on an empty file fills it. */
static int load(int dir, const struct edit_file *f, struct buf *old, struct change *c,
		struct why *out_why)
{
	const char *from = f->kind == EDIT_RENAME ? f->old_path : f->path;
	bool there = exists(dir, f->path);
	c->mode = 0644;
	if (f->kind == EDIT_CREATE && !there)
		return 0;
	if (f->kind == EDIT_RENAME && there)
		return why_set(out_why, ERR_EXISTS, "%s: is there already", f->path);
	int rc = read_old(dir, from, old, &c->mode, out_why);
	if (!rc && f->kind == EDIT_CREATE && old->len > 0)
		return why_set(out_why, ERR_EXISTS,
			       "%s: is there already: an empty SEARCH part makes a new file; to "
			       "change it, show the lines to replace",
			       f->path);
	return rc;
}

static int work_out(int dir, const struct edit_file *f, struct change *c, struct buf *report,
		    struct why *out_why)
{
	auto_buf old = {0};
	c->file = f;
	int rc = load(dir, f, &old, c, out_why);
	if (rc) {
		buf_printf(report, "%s\n", out_why->text);
		return rc;
	}
	struct edit_result result = {.report = report};
	rc = edit_file_apply(f, old.data, old.len, &result, out_why);
	c->text = result.text;
	c->remove = result.gone || f->kind == EDIT_DELETE;
	c->mode = f->mode ? f->mode : c->mode;
	if (!rc && f->kind == EDIT_DELETE && result.text.len > 0) {
		buf_printf(report, "%s: to delete it, its whole text must be given\n", f->path);
		rc = why_set(out_why, ERR_CONFLICT, "%s: is not deleted by halves", f->path);
	}
	return rc;
}

/* ---- writing ---- */

/* Opens the directory that holds path, making what is missing on the way. */
static int open_parent(int dir, const char *path, const char **out_name, struct why *out_why)
{
	int at = beneath_open(dir, ".", O_RDONLY | O_DIRECTORY);
	const char *rest = path;
	for (const char *slash; at >= 0 && (slash = strchr(rest, '/')); rest = slash + 1) {
		auto_free char *name = mem_dup(rest, (size_t)(slash - rest));
		if (mkdirat(at, name, 0755) && errno != EEXIST) {
			int rc = beneath_error(path, errno, out_why);
			close(at);
			return rc;
		}
		int next = beneath_open(at, name, O_RDONLY | O_DIRECTORY);
		int errnum = errno;
		close(at);
		errno = errnum;
		at = next;
	}
	*out_name = rest;
	return at >= 0 ? at : beneath_error(path, errno, out_why);
}

static int write_all(int fd, const struct buf *text)
{
	const char *data = buf_str(text);
	for (size_t at = 0; at < text->len;) {
		ssize_t n = write(fd, data + at, text->len - at);
		if (n < 0 && errno != EINTR)
			return -1;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Beside it and then in its place: what is there is never written through. */
static int write_new(int dir, const struct change *c, struct why *out_why)
{
	static const char temporary[] = ".healbus-edit";
	const char *name = "";
	auto_fd int parent = open_parent(dir, c->file->path, &name, out_why);
	if (parent < 0)
		return parent;
	unlinkat(parent, temporary, 0);
	auto_fd int fd = openat(parent, temporary,
				O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || write_all(fd, &c->text) || fchmod(fd, c->mode))
		return beneath_error(c->file->path, errno, out_why);
	if (renameat(parent, temporary, parent, name))
		return beneath_error(c->file->path, errno, out_why);
	return 0;
}

static int remove_old(int dir, const char *path, struct why *out_why)
{
	const char *name = "";
	auto_fd int parent = open_parent(dir, path, &name, out_why);
	if (parent < 0)
		return parent;
	return unlinkat(parent, name, 0) ? beneath_error(path, errno, out_why) : 0;
}

static int write_change(int dir, const struct change *c, struct why *out_why)
{
	int rc = c->remove ? remove_old(dir, c->file->path, out_why) : write_new(dir, c, out_why);
	if (!rc && c->file->kind == EDIT_RENAME)
		rc = remove_old(dir, c->file->old_path, out_why);
	return rc;
}

int edits_apply(const struct edits *e, int dir_fd, struct buf *report, struct why *out_why)
{
	struct change *changes = mem_calloc(e->n, sizeof(*changes));
	size_t start = report->len;
	int rc = 0;
	for (size_t i = 0; i < e->n; i++) {
		struct why why = {0};
		int one = work_out(dir_fd, &e->files[i], &changes[i], report, &why);
		if (one && !rc)
			rc = why_set(out_why, one, "%s", why.text);
	}
	for (size_t i = 0; !rc && i < e->n; i++)
		rc = write_change(dir_fd, &changes[i], out_why);
	for (size_t i = 0; i < e->n; i++)
		buf_release(&changes[i].text);
	free(changes);
	if (report->len - start > EDITS_REPORT_MAX_BYTES) {
		report->len = start + EDITS_REPORT_MAX_BYTES;
		report->data[report->len] = 0;
	}
	return rc;
}
