#include "executor/sandboxes/archive.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/mem.h"
#include "executor/sandboxes/archive_private.h"

enum { META_MAX_BYTES = 64 << 10 };

unsigned tar_sum(const struct tar_header *h)
{
	const unsigned char *at = (const unsigned char *)h;
	unsigned sum = 0;
	for (size_t i = 0; i < sizeof(*h); i++) {
		bool own = i >= offsetof(struct tar_header, sum) &&
			   i < offsetof(struct tar_header, type);
		sum += own ? ' ' : at[i];
	}
	return sum;
}

/* Opens below dir without following a link anywhere. -1 with errno. */
static int tar_open(int dir, const char *path, int flags, unsigned mode)
{
	struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC | O_NOFOLLOW,
			       .mode = mode,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					  RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* ---- reading ---- */

struct reader {
	int in, dir;
	const struct archive_limits *limits;
	struct archive_count count;
	struct buf path, link; /* from extended headers, for the next entry */
	struct why *why;
};

static int take(struct reader *r, void *to, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(r->in, (char *)to + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return why_set(r->why, ERR_IO, "archive: %s", strerror(errno));
		if (n == 0)
			return why_set(r->why, ERR_CORRUPT, "archive: it ends early");
		done += (size_t)n;
	}
	return 0;
}

static int skip(struct reader *r, uint64_t len)
{
	char block[TAR_BLOCK];
	int rc = 0;
	for (uint64_t left = len; !rc && left; left -= MIN(left, sizeof(block)))
		rc = take(r, block, MIN(left, sizeof(block)));
	return rc;
}

static uint64_t padded(uint64_t size)
{
	return (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

static int number(struct reader *r, const char *field, size_t size, uint64_t *out)
{
	uint64_t n = 0;
	size_t i = 0;
	while (i < size && field[i] == ' ')
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		n = n * 8 + (uint64_t)(field[i] - '0');
	if (i < size && field[i] != ' ' && field[i] != '\0')
		return why_set(r->why, ERR_CORRUPT, "archive: not a number in a header");
	*out = n;
	return 0;
}

/* The text of an extended header or a long name. */
static int take_text(struct reader *r, uint64_t size, struct buf *out)
{
	char block[TAR_BLOCK];
	int rc = 0;
	if (size > META_MAX_BYTES)
		return why_set(r->why, ERR_TOO_LARGE, "archive: a header of %" PRIu64 " bytes",
			       size);
	buf_reset(out);
	for (uint64_t left = size; !rc && left; left -= MIN(left, sizeof(block))) {
		rc = take(r, block, sizeof(block));
		if (!rc)
			buf_add(out, block, MIN(left, sizeof(block)));
	}
	return rc;
}

static int pax(struct reader *r, const struct buf *text)
{
	for (size_t at = 0; at < text->len;) {
		char *end = NULL;
		const char *begin = text->data + at;
		size_t len = strtoul(begin, &end, 10), used = (size_t)(end - begin);
		if (*end != ' ' || len <= used + 1 || len > text->len - at ||
		    begin[len - 1] != '\n')
			return why_set(r->why, ERR_CORRUPT, "archive: an extended header");
		const char *key = end + 1, *stop = begin + len - 1;
		const char *value = memchr(key, '=', (size_t)(stop - key));
		if (value) {
			struct buf *to = str_starts(key, "path=")       ? &r->path
					 : str_starts(key, "linkpath=") ? &r->link
									: NULL;
			/* Sizes beyond 8 GiB would be said here; nothing that large is taken. */
			if (str_starts(key, "size="))
				return why_set(r->why, ERR_TOO_LARGE, "archive: a huge file");
			if (to) {
				buf_reset(to);
				buf_add(to, value + 1, (size_t)(stop - value - 1));
			}
		}
		at += len;
	}
	return 0;
}

/* ---- names ---- */

/* "./a//b/" -> "a/b" in place; false when it leads out, into nothing, or too deep. */
static bool plain(char *path)
{
	char *out = path;
	int depth = 0;
	if (*path == '/')
		return false;
	for (char *at = path; *at;) {
		size_t n = strcspn(at, "/");
		if (n == 2 && at[0] == '.' && at[1] == '.')
			return false;
		if (n && !(n == 1 && *at == '.')) {
			if (out != path)
				*out++ = '/';
			memmove(out, at, n);
			out += n;
			depth++;
		}
		at += n;
		at += *at == '/';
	}
	*out = '\0';
	return *path && depth <= ARCHIVE_DEPTH_MAX && (size_t)(out - path) <= ARCHIVE_PATH_MAX;
}

static void own(struct reader *r, int fd)
{
	if (r->limits->chown && fchown(fd, r->limits->owner, r->limits->group))
		r->count.skipped++;
}

/* A directory of its own at the place, made with all above it; -1. */
static int make_dirs(struct reader *r, char *path)
{
	int dir = fcntl(r->dir, F_DUPFD_CLOEXEC, 0);
	for (char *at = path; dir >= 0 && *at;) {
		size_t n = strcspn(at, "/");
		char kept = at[n];
		at[n] = '\0';
		bool made = mkdirat(dir, at, 0755) == 0;
		int next = tar_open(dir, at, O_RDONLY | O_DIRECTORY, 0);
		if (next >= 0 && made)
			own(r, next);
		at[n] = kept;
		close(dir);
		dir = next;
		at += n + (kept == '/');
	}
	return dir;
}

/* The directory that will hold it, and its last component in *out_name. -1. */
static int parent_of(struct reader *r, char *path, const char **out_name)
{
	char *slash = strrchr(path, '/');
	*out_name = slash ? slash + 1 : path;
	if (!slash)
		return fcntl(r->dir, F_DUPFD_CLOEXEC, 0);
	*slash = '\0';
	int dir = make_dirs(r, path);
	*slash = '/';
	return dir;
}

/* ---- entries ---- */

struct item {
	char *path;
	const char *link;
	unsigned mode;
	uint64_t size;
};

static int copy_content(struct reader *r, int fd, uint64_t size)
{
	char chunk[32768];
	int rc = 0;
	for (uint64_t left = size; !rc && left;) {
		size_t n = MIN(left, sizeof(chunk));
		rc = take(r, chunk, n);
		if (!rc && write(fd, chunk, n) != (ssize_t)n)
			rc = why_set(r->why, err_from_errno(errno), "archive: %s", strerror(errno));
		left -= n;
	}
	return rc ? rc : skip(r, padded(size) - size);
}

static int make_file(struct reader *r, const struct item *i)
{
	const char *name = NULL;
	auto_fd int dir = parent_of(r, i->path, &name);
	if (dir >= 0)
		unlinkat(dir, name, 0);
	auto_fd int fd = dir < 0 ? -1 : tar_open(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0) {
		r->count.skipped++;
		return skip(r, padded(i->size));
	}
	int rc = copy_content(r, fd, i->size);
	own(r, fd);
	if (!rc && fchmod(fd, i->mode & 0111 ? 0755 : 0644))
		rc = why_set(r->why, ERR_IO, "archive: %s", strerror(errno));
	return rc;
}

static int make_dir(struct reader *r, const struct item *i)
{
	auto_fd int dir = make_dirs(r, i->path);
	r->count.skipped += dir < 0;
	return skip(r, padded(i->size));
}

/* It is made as it was, wherever it leads: nothing here or in collect ever follows one. */
static int make_link(struct reader *r, const struct item *i)
{
	const char *name = NULL;
	auto_fd int dir = parent_of(r, i->path, &name);
	if (dir >= 0)
		unlinkat(dir, name, 0);
	bool made = dir >= 0 && *i->link && symlinkat(i->link, dir, name) == 0;
	if (made && r->limits->chown)
		made = fchownat(dir, name, r->limits->owner, r->limits->group,
				AT_SYMLINK_NOFOLLOW) == 0;
	r->count.skipped += !made;
	return skip(r, padded(i->size));
}

static int make_nothing(struct reader *r, const struct item *i)
{
	r->count.skipped++;
	return skip(r, padded(i->size));
}

static const struct {
	char type;
	int (*make)(struct reader *r, const struct item *i);
} types[] = {
	{'0', make_file}, {'\0', make_file}, {'7', make_file}, {'5', make_dir}, {'2', make_link}};

static int make(struct reader *r, const struct tar_header *h, struct item *i)
{
	r->count.files++;
	r->count.bytes += (int64_t)i->size;
	if (r->count.files > r->limits->files)
		return why_set(r->why, ERR_TOO_LARGE, "archive: more than %" PRId64 " files",
			       r->limits->files);
	if (r->count.bytes > r->limits->bytes)
		return why_set(r->why, ERR_TOO_LARGE, "archive: more than %" PRId64 " bytes",
			       r->limits->bytes);
	if (!plain(i->path))
		return make_nothing(r, i);
	for (size_t t = 0; t < ARRAY_SIZE(types); t++)
		if (types[t].type == h->type)
			return types[t].make(r, i);
	return make_nothing(r, i);
}

static char *entry_name(const struct reader *r, const struct tar_header *h)
{
	if (r->path.len)
		return mem_strdup(buf_str(&r->path));
	size_t n = strnlen(h->name, sizeof(h->name)), m = strnlen(h->prefix, sizeof(h->prefix));
	bool ustar = memcmp(h->magic, "ustar", 6) == 0;
	if (!ustar || !m)
		return mem_dup(h->name, n);
	return mem_printf("%.*s/%.*s", (int)m, h->prefix, (int)n, h->name);
}

static int entry(struct reader *r, const struct tar_header *h)
{
	uint64_t size = 0, mode = 0, sum = 0;
	auto_buf text = {0};
	int rc = number(r, h->size, sizeof(h->size), &size);
	if (!rc)
		rc = number(r, h->mode, sizeof(h->mode), &mode);
	if (!rc)
		rc = number(r, h->sum, sizeof(h->sum), &sum);
	if (!rc && sum != tar_sum(h))
		rc = why_set(r->why, ERR_CORRUPT, "archive: a header's sum is wrong");
	if (rc)
		return rc;
	if (h->type == 'x') {
		rc = take_text(r, size, &text);
		return rc ? rc : pax(r, &text);
	}
	if (h->type == 'g')
		return take_text(r, size, &text);
	if (h->type == 'L' || h->type == 'K')
		return take_text(r, size, h->type == 'L' ? &r->path : &r->link);
	auto_free char *path = entry_name(r, h);
	auto_free char *link = r->link.len ? mem_strdup(buf_str(&r->link))
					   : mem_dup(h->link, strnlen(h->link, sizeof(h->link)));
	struct item i = {.path = path, .link = link, .mode = (unsigned)mode, .size = size};
	buf_reset(&r->path);
	buf_reset(&r->link);
	return make(r, h, &i);
}

int archive_extract(int in_fd, int dir_fd, const struct archive_limits *limits,
		    struct archive_count *out, struct why *out_why)
{
	static const struct tar_header end;
	struct reader r = {.in = in_fd, .dir = dir_fd, .limits = limits, .why = out_why};
	struct tar_header h;
	int rc = 0;
	while (!(rc = take(&r, &h, sizeof(h))) && memcmp(&h, &end, sizeof(h)) != 0) {
		rc = entry(&r, &h);
		if (rc)
			break;
	}
	buf_release(&r.path);
	buf_release(&r.link);
	if (out)
		*out = r.count;
	return rc;
}

/* ---- deleting ---- */

/* Descends without recursion in depth of descriptors: a hostile tree is deeper than they last. */
static bool clear_one(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return true;
	return unlinkat(dir, name, AT_REMOVEDIR) == 0;
}

/* Moves what is in a sub-directory up into top under a name nothing else has, so that no path gets
 * deeper. */
static bool lift(int top, int from, const char *name, uint64_t *serial)
{
	char place[40];
	snprintf(place, sizeof(place), ".healbus-clear-%" PRIu64, (*serial)++);
	return renameat(from, name, top, place) == 0;
}

static bool empty_into(int top, const char *name, uint64_t *serial)
{
	int fd = tar_open(top, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return false;
	fchmod(fd, 0700);
	DIR *d = fdopendir(fd);
	bool all = d != NULL;
	for (struct dirent *e; d && (e = readdir(d));)
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			all = (clear_one(fd, e->d_name) || lift(top, fd, e->d_name, serial)) && all;
	if (d)
		closedir(d);
	return unlinkat(top, name, AT_REMOVEDIR) == 0 && all;
}

int archive_clear(int dir_fd, struct why *out_why)
{
	uint64_t serial = 0;
	bool again = true;
	while (again) {
		int own_fd = tar_open(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
		DIR *d = own_fd < 0 ? NULL : fdopendir(own_fd);
		bool moved = false;
		if (!d)
			return why_set(out_why, ERR_IO, "cannot clear a directory: %s",
				       strerror(errno));
		again = false;
		for (struct dirent *e; (e = readdir(d));) {
			if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
				continue;
			again = true;
			moved = clear_one(dir_fd, e->d_name) ||
				empty_into(dir_fd, e->d_name, &serial) || moved;
		}
		closedir(d);
		if (again && !moved)
			return why_set(out_why, ERR_IO, "cannot clear a directory: %s",
				       strerror(errno));
	}
	return 0;
}

/* ---- one file ---- */

int archive_collect(int dir_fd, const char *path, size_t limit_bytes, struct buf *out,
		    struct why *out_why)
{
	struct stat st;
	auto_fd int fd = tar_open(dir_fd, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 && errno == ENOENT)
		return why_set(out_why, ERR_NOT_FOUND, "%s is not there", path);
	if (fd < 0)
		return why_set(out_why, ERR_DENIED, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return why_set(out_why, ERR_DENIED, "%s is not a regular file", path);
	if ((uint64_t)st.st_size > limit_bytes)
		return why_set(out_why, ERR_TOO_LARGE, "%s has %lld bytes, more than %zu", path,
			       (long long)st.st_size, limit_bytes);
	char chunk[32768];
	for (size_t left = limit_bytes; left;) {
		ssize_t n = read(fd, chunk, MIN(left, sizeof(chunk)));
		if (n < 0 && errno != EINTR)
			return why_set(out_why, ERR_IO, "%s: %s", path, strerror(errno));
		if (n == 0)
			break;
		buf_add(out, chunk, n > 0 ? (size_t)n : 0);
		left -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}
