#include "executor/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

int beneath_open(int dir, const char *path, int flags)
{
	struct open_how how = {.flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					  RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

int beneath_error(const char *what, int errnum, struct why *out_why)
{
	if (errnum == ELOOP || errnum == EXDEV)
		return why_set(out_why, ERR_DENIED, "%s: a symbolic link is in the way", what);
	if (errnum == ENOENT || errnum == ENOTDIR)
		return why_set(out_why, ERR_NOT_FOUND, "%s: there is no such file", what);
	return why_set(out_why, err_from_errno(errnum), "%s: %s", what, strerror(errnum));
}

int beneath_read(int fd, size_t max_bytes, struct buf *out, struct why *out_why)
{
	char chunk[16384];
	size_t start = out->len;
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return why_set(out_why, err_from_errno(errno), "%s", strerror(errno));
		if (out->len - start + (size_t)n > max_bytes)
			return why_set(out_why, ERR_TOO_LARGE, "more than %zu bytes", max_bytes);
		buf_add(out, chunk, (size_t)n);
	}
}
