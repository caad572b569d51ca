#include "common/secret.h"
#include "common/id.h"
#include "common/mem.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Whole pages of its own, so that leaving them out of core dumps leaves out nothing else. */
enum { SECRET_MAP_BYTES = SECRET_MAX_BYTES + 4096 };

static char *pages_new(void)
{
	char *pages = mmap(NULL, SECRET_MAP_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		abort();
	(void)madvise(pages, SECRET_MAP_BYTES, MADV_DONTDUMP);
	return pages;
}

void secret_release(struct secret *s)
{
	if (s && s->data) {
		explicit_bzero(s->data, SECRET_MAP_BYTES);
		munmap(s->data, SECRET_MAP_BYTES);
	}
	if (s)
		*s = (struct secret){0};
}

/* Our own file is for us alone. One of root's may let a group read it, as those that systemd and
 * Kubernetes hand to a service do. */
static int check_mode(int fd, const char *path, struct why *out_why)
{
	struct stat st;
	mode_t closed = S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;

	if (fstat(fd, &st) < 0)
		return why_set(out_why, ERR_CONFIG, "%s: %s", path, strerror(errno));
	if (st.st_uid == 0 && geteuid() != 0)
		closed = S_IWGRP | S_IROTH | S_IWOTH;
	if (st.st_mode & closed)
		return why_set(out_why, ERR_CONFIG,
			       "%s: mode %04o lets group or others in; chmod 600 it", path,
			       (unsigned)st.st_mode & 07777);
	return 0;
}

static int fill(int fd, struct secret *s, const char *path, struct why *out_why)
{
	while (s->len <= SECRET_MAX_BYTES) {
		ssize_t n = read(fd, s->data + s->len, SECRET_MAX_BYTES + 1 - s->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return why_set(out_why, ERR_CONFIG, "%s: %s", path, strerror(errno));
		if (n == 0)
			return 0;
		s->len += (size_t)n;
	}
	return why_set(out_why, ERR_CONFIG, "%s: more than %d bytes", path, SECRET_MAX_BYTES);
}

static int check_content(struct secret *s, const char *path, struct why *out_why)
{
	if (s->len && s->data[s->len - 1] == '\n')
		s->data[--s->len] = '\0';
	if (s->len == 0)
		return why_set(out_why, ERR_CONFIG, "%s: empty", path);
	if (memchr(s->data, '\0', s->len))
		return why_set(out_why, ERR_CONFIG, "%s: a NUL byte inside", path);
	return 0;
}

int secret_read(struct secret *out, const char *path, struct why *out_why)
{
	auto_fd int fd = -1;
	struct secret s = {0};
	int rc;

	if (!path || !*path) {
		*out = (struct secret){0};
		return 0;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return why_set(out_why, ERR_CONFIG, "%s: %s", path, strerror(errno));
	rc = check_mode(fd, path, out_why);
	if (rc)
		return rc;
	s.data = pages_new();
	rc = fill(fd, &s, path, out_why);
	if (rc == 0)
		rc = check_content(&s, path, out_why);
	if (rc) {
		secret_release(&s);
		return rc;
	}
	*out = s;
	return 0;
}

int secret_set(struct secret *out, const char *text, size_t len)
{
	if (len > SECRET_MAX_BYTES)
		return ERR_TOO_LARGE;
	*out = (struct secret){.data = pages_new(), .len = len};
	memcpy(out->data, text, len);
	return 0;
}

size_t secret_lines(struct secret *text, struct secret **out)
{
	struct secret *lines = NULL;
	size_t n = 0;

	for (char *rest = text->data, *line; (line = strsep(&rest, "\r\n"));) {
		if (!*line)
			continue;
		lines = mem_realloc(lines, (n + 1) * sizeof(*lines));
		lines[n++] = (struct secret){.data = line, .len = strlen(line)};
	}
	*out = lines;
	return n;
}

bool secret_equal(const struct secret *s, const char *text, size_t len)
{
	return s->len && s->len == len && digest_equal(s->data, text, len);
}
