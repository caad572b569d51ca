#include "notifier/ctl/init/init.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/id.h"
#include "common/mem.h"

enum { FILE_MAX_BYTES = 1 << 20 };

char *init_path(const struct init *in, const char *name)
{
	return mem_printf("%s/%s", in->path, name);
}

bool init_has(const struct init *in, const char *name)
{
	auto_free char *path = init_path(in, name);

	return access(path, F_OK) == 0;
}

/* ---- owner ---- */

static int give(struct init *in, const char *path)
{
	if (!in->chown || chown(path, in->owner, in->group) == 0)
		return 0;
	return why_set(&in->why, ERR_IO, "%s: cannot be given to %u:%u: %s (--owner needs root)",
		       path, (unsigned)in->owner, (unsigned)in->group, strerror(errno));
}

static void tell(struct init *in, const char *name, const char *what)
{
	json_array_append_new(in->made, json_pack("{s:s,s:s}", "file", name, "what", what));
	if (!ctl_flag(in->ctl, "json")) {
		ctl_printf(in->ctl, "made  ");
		ctl_text(in->ctl, name);
		ctl_printf(in->ctl, "%*s%s\n", (int)(30 - MIN(strlen(name), (size_t)28)), "", what);
	}
}

int init_made(struct init *in, const char *name, const char *what)
{
	auto_free char *path = init_path(in, name);
	int rc = give(in, path);

	if (!rc)
		tell(in, name, what);
	return rc;
}

/* ---- writing ---- */

static int sync_folder_of(const char *path)
{
	auto_free char *folder = mem_strdup(path);
	char *slash = strrchr(folder, '/');

	*slash = '\0';
	auto_fd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && fsync(fd) == 0 ? 0 : ERR_IO;
}

static bool write_whole(int fd, const struct buf *text)
{
	for (size_t at = 0; at < text->len;) {
		ssize_t n = write(fd, text->data + at, text->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return fsync(fd) == 0;
}

static int failed(struct init *in, const char *path, int error)
{
	return why_set(&in->why, err_from_errno(error), "%s: %s", path, strerror(error));
}

/* The new text under another name, synced and with its owner. */
static int write_beside(struct init *in, const char *temporary, const struct buf *text)
{
	auto_fd int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || !write_whole(fd, text))
		return failed(in, temporary, errno);
	return give(in, temporary);
}

static int put(struct init *in, const char *name, const struct buf *text, bool over)
{
	char random[ID_BYTES];
	auto_free char *path = init_path(in, name);

	id_random(random);
	auto_free char *temporary = mem_printf("%s.%s", path, random);
	int rc = write_beside(in, temporary, text);
	if (!rc && over && rename(temporary, path))
		rc = failed(in, path, errno);
	if (!rc && !over && link(temporary, path))
		rc = errno == EEXIST ? ERR_EXISTS : failed(in, path, errno);
	if (rc || !over)
		unlink(temporary);
	return !rc && sync_folder_of(path) ? failed(in, path, EIO) : rc;
}

int init_write(struct init *in, const char *name, const struct buf *text, const char *what)
{
	int rc = init_has(in, name) ? ERR_EXISTS : put(in, name, text, false);

	if (!rc)
		tell(in, name, what);
	return rc;
}

int init_replace(struct init *in, const char *name, const struct buf *text, const char *what)
{
	auto_buf old = {0};

	if (init_has(in, name)) {
		int rc = init_read(in, name, &old);

		if (rc)
			return rc;
		if (old.len == text->len && memcmp(old.data, text->data, old.len) == 0)
			return 0;
	}
	int rc = put(in, name, text, true);
	if (!rc)
		tell(in, name, what);
	return rc;
}

int init_read(struct init *in, const char *name, struct buf *out)
{
	auto_free char *path = init_path(in, name);
	int rc = buf_read_file(out, path, FILE_MAX_BYTES);

	return rc ? why_set(&in->why, rc, "%s: cannot be read: %s", path, err_name(rc)) : 0;
}

/* ---- folders ---- */

int init_folder(struct init *in, const char *name)
{
	auto_free char *path = *name ? init_path(in, name) : mem_strdup(in->path);
	struct stat st;

	if (mkdir(path, 0700) == 0)
		return sync_folder_of(path) ? failed(in, path, EIO) : give(in, path);
	if (errno != EEXIST)
		return failed(in, path, errno);
	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		return failed(in, path, ENOTDIR);
	if (st.st_mode & (S_IWGRP | S_IWOTH | S_IROTH | S_IXOTH))
		return why_set(&in->why, ERR_CONFIG,
			       "%s: mode %04o lets others in; chmod 700 it, or name another folder",
			       path, (unsigned)st.st_mode & 07777);
	return 0;
}
