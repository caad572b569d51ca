/*
 * Opening what lies below a directory, and nothing else: no link is followed, nowhere (openat2,
 * Linux 5.6). For directories that programs in a sandbox could write.
 */
#ifndef EXECUTOR_BENEATH_H
#define EXECUTOR_BENEATH_H

#include "common/buf.h"
#include "common/err.h"

/* As openat, always with O_NOFOLLOW and O_CLOEXEC; -1 with errno: ELOOP or EXDEV for a link. */
int beneath_open(int dir, const char *path, int flags);
/* What errnum means for `what`: ERR_DENIED (a link is in the way), ERR_NOT_FOUND, or as
 * err_from_errno. */
int beneath_error(const char *what, int errnum, struct why *out_why);
/* Appends what is left to read. ERR_TOO_LARGE: more than max_bytes (nothing of the rest is read);
 * else as err_from_errno. out_why does not name the file. */
int beneath_read(int fd, size_t max_bytes, struct buf *out, struct why *out_why);

#endif
