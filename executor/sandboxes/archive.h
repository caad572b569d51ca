/*
 * Trees that cross a sandbox's border, as tar (POSIX ustar with pax names; GNU's long names are
 * read, too). What comes out of a sandbox is hostile: nothing is written outside of the
 * directory, no link is followed, no device, socket, hard link or special right is made, and
 * everything is counted.
 */
#ifndef EXECUTOR_ARCHIVE_H
#define EXECUTOR_ARCHIVE_H

#include "common/base.h"

#include "common/buf.h"
#include "common/err.h"

enum {
	ARCHIVE_PATH_MAX = 4000,
	ARCHIVE_DEPTH_MAX = 64,
};

struct archive_limits {
	int64_t bytes; /* of all files together */
	int64_t files; /* of any kind */
	uid_t owner;   /* of what is made, when chown is set */
	gid_t group;
	bool chown;
};

/* What was left out: other kinds of files, paths too long or too deep, names that lead out. */
struct archive_count {
	int64_t files;
	int64_t bytes;
	int64_t skipped;
};

/* Writes the tree below dir_fd to out_fd (a file, pipe or socket). Blocks on it. ERR_TOO_LARGE,
 * ERR_IO. */
int archive_pack(int dir_fd, int out_fd, const struct archive_limits *limits,
		 struct archive_count *out, struct why *out_why);

/* Reads an archive from in_fd into the directory dir_fd; what is there under a name and is no
 * directory is replaced. ERR_TOO_LARGE, ERR_CORRUPT, ERR_IO. */
int archive_extract(int in_fd, int dir_fd, const struct archive_limits *limits,
		    struct archive_count *out, struct why *out_why);

/* Deletes all that is in the directory, following nothing. ERR_IO when something stays. */
int archive_clear(int dir_fd, struct why *out_why);

/*
 * Appends one regular file below the directory: no link on the way, not larger than limit_bytes.
 * For logs and reports that hostile code has written. Does not block on pipes. ERR_NOT_FOUND,
 * ERR_DENIED (a link, no regular file, a path that leads out), ERR_TOO_LARGE, ERR_IO.
 */
int archive_collect(int dir_fd, const char *path, size_t limit_bytes, struct buf *out,
		    struct why *out_why);

#endif
