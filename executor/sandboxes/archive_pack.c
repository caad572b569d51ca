#include "executor/sandboxes/archive_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/mem.h"

enum { BUFFER_BYTES = 64 << 10 };

struct packer {
	int out;
	const struct archive_limits *limits;
	struct archive_count count;
	struct buf pending;
	struct buf path; /* of what is being packed, relative */
	struct why *why;
};

static int flush(struct packer *p)
{
	for (size_t done = 0; done < p->pending.len;) {
		ssize_t n = write(p->out, p->pending.data + done, p->pending.len - done);
		if (n < 0 && errno != EINTR)
			return why_set(p->why, ERR_IO, "archive: %s", strerror(errno));
		done += n > 0 ? (size_t)n : 0;
	}
	buf_reset(&p->pending);
	return 0;
}

static int put(struct packer *p, const void *data, size_t len)
{
	buf_add(&p->pending, data, len);
	return p->pending.len >= BUFFER_BYTES ? flush(p) : 0;
}

static int pad(struct packer *p, uint64_t size)
{
	static const char zeros[TAR_BLOCK];
	size_t over = size % TAR_BLOCK;
	return over ? put(p, zeros, TAR_BLOCK - over) : 0;
}

static void octal(char *field, size_t size, uint64_t value)
{
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
	field[size - 1] = '\0';
}

/* Fields of ustar that are full have no NUL. */
static void text(char *field, size_t size, const char *from)
{
	for (size_t i = 0; i < size && from[i]; i++)
		field[i] = from[i];
}

struct entry {
	char type;
	unsigned mode;
	uint64_t size;
	const char *name;
	const char *link;
};

static int put_header(struct packer *p, const struct entry *e)
{
	struct tar_header h = {.type = e->type, .magic = "ustar", .version = {'0', '0'}};
	text(h.name, sizeof(h.name), e->name);
	text(h.link, sizeof(h.link), e->link);
	octal(h.mode, sizeof(h.mode), e->mode);
	octal(h.uid, sizeof(h.uid), p->limits->chown ? p->limits->owner : 0);
	octal(h.gid, sizeof(h.gid), p->limits->chown ? p->limits->group : 0);
	octal(h.size, sizeof(h.size), e->size);
	octal(h.mtime, sizeof(h.mtime), 0);
	snprintf(h.sum, sizeof(h.sum), "%06o", tar_sum(&h) & 0777777);
	h.sum[7] = ' ';
	return put(p, &h, sizeof(h));
}

/* "27 path=...\n": the number counts itself. */
static void pax_record(struct buf *out, const char *key, const char *value)
{
	size_t rest = strlen(key) + strlen(value) + 3, len = rest + 1;
	for (size_t digits = 1, ten = 10; len >= ten; ten *= 10)
		len = rest + ++digits;
	buf_printf(out, "%zu %s=%s\n", len, key, value);
}

static int put_entry(struct packer *p, const struct entry *e)
{
	auto_buf pax = {0};
	if (strlen(e->name) >= 100)
		pax_record(&pax, "path", e->name);
	if (strlen(e->link) >= 100)
		pax_record(&pax, "linkpath", e->link);
	if (e->size > 077777777777)
		return why_set(p->why, ERR_TOO_LARGE, "archive: %s: too large", e->name);
	int rc = 0;
	if (pax.len) {
		const struct entry x = {
			.type = 'x', .mode = 0644, .size = pax.len, .name = "pax", .link = ""};
		rc = put_header(p, &x);
		if (!rc)
			rc = put(p, pax.data, pax.len);
		if (!rc)
			rc = pad(p, pax.len);
	}
	return rc ? rc : put_header(p, e);
}

/* Exactly so many bytes: a file that shrinks meanwhile is filled up. */
static int put_content(struct packer *p, int fd, uint64_t size)
{
	char chunk[32768];
	uint64_t left = size;
	while (left) {
		size_t want = MIN(left, sizeof(chunk));
		ssize_t n = read(fd, chunk, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			memset(chunk, 0, want);
			n = (ssize_t)want;
		}
		int rc = put(p, chunk, (size_t)n);
		if (rc)
			return rc;
		left -= (uint64_t)n;
	}
	return pad(p, size);
}

static int count(struct packer *p, int64_t bytes)
{
	p->count.files++;
	p->count.bytes += bytes;
	if (p->count.files > p->limits->files)
		return why_set(p->why, ERR_TOO_LARGE, "archive: more than %" PRId64 " files",
			       p->limits->files);
	if (p->count.bytes > p->limits->bytes)
		return why_set(p->why, ERR_TOO_LARGE, "archive: more than %" PRId64 " bytes",
			       p->limits->bytes);
	return 0;
}

static int pack_dir(struct packer *p, int dir, int depth);

static int pack_file(struct packer *p, int dir, const char *name)
{
	struct stat st;
	auto_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		p->count.skipped++;
		return 0;
	}
	const struct entry e = {.type = '0',
				.mode = st.st_mode & 0111 ? 0755 : 0644,
				.size = (uint64_t)st.st_size,
				.name = buf_str(&p->path),
				.link = ""};
	int rc = count(p, st.st_size);
	if (!rc)
		rc = put_entry(p, &e);
	return rc ? rc : put_content(p, fd, e.size);
}

static int pack_link(struct packer *p, int dir, const char *name)
{
	char target[ARCHIVE_PATH_MAX + 1];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
	if (n <= 0 || n == ARCHIVE_PATH_MAX) {
		p->count.skipped++;
		return 0;
	}
	target[n] = '\0';
	const struct entry e = {
		.type = '2', .mode = 0777, .name = buf_str(&p->path), .link = target};
	int rc = count(p, 0);
	return rc ? rc : put_entry(p, &e);
}

static int pack_child(struct packer *p, int dir, const char *name, int depth)
{
	auto_fd int fd =
		openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const struct entry e = {.type = '5', .mode = 0755, .name = buf_str(&p->path), .link = ""};
	if (fd < 0 || depth >= ARCHIVE_DEPTH_MAX) {
		p->count.skipped++;
		return 0;
	}
	int rc = count(p, 0);
	if (!rc)
		rc = put_entry(p, &e);
	return rc ? rc : pack_dir(p, fd, depth + 1);
}

static int pack_one(struct packer *p, int dir, const char *name, int depth)
{
	struct stat st;
	size_t before = p->path.len;
	int rc = 0;
	buf_printf(&p->path, "%s%s", before ? "/" : "", name);
	if (p->path.len > ARCHIVE_PATH_MAX || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		p->count.skipped++;
	else if (S_ISDIR(st.st_mode))
		rc = pack_child(p, dir, name, depth);
	else if (S_ISLNK(st.st_mode))
		rc = pack_link(p, dir, name);
	else if (S_ISREG(st.st_mode))
		rc = pack_file(p, dir, name);
	else
		p->count.skipped++;
	p->path.len = before;
	p->path.data[before] = '\0';
	return rc;
}

static int pack_dir(struct packer *p, int dir, int depth)
{
	int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = own < 0 ? NULL : fdopendir(own);
	int rc = 0;
	if (!d) {
		if (own >= 0)
			close(own);
		return why_set(p->why, ERR_IO, "archive: a directory: %s", strerror(errno));
	}
	for (struct dirent *e; !rc && (e = readdir(d));)
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			rc = pack_one(p, dir, e->d_name, depth);
	closedir(d);
	return rc;
}

int archive_pack(int dir_fd, int out_fd, const struct archive_limits *limits,
		 struct archive_count *out, struct why *out_why)
{
	static const char end[2 * TAR_BLOCK];
	struct packer p = {.out = out_fd, .limits = limits, .why = out_why};
	buf_add_str(&p.path, "");
	int rc = pack_dir(&p, dir_fd, 0);
	if (!rc)
		rc = put(&p, end, sizeof(end));
	if (!rc)
		rc = flush(&p);
	buf_release(&p.pending);
	buf_release(&p.path);
	if (out)
		*out = p.count;
	return rc;
}
