/*
 * A plan's directory: what its steps share until the plan is over. It lies in the state directory
 * and holds what hostile programs wrote, so it is read and removed without following any link. Any
 * thread; one worker at a time has a plan.
 */
#ifndef EXECUTOR_WORKSPACE_H
#define EXECUTOR_WORKSPACE_H

#include "common/buf.h"
#include "common/err.h"

enum { WORKSPACE_AGE_MS = 24 * 3600 * 1000 }; /* what is older at start is left over */

struct workspace {
	char *path; /* absolute */
	int fd;     /* of it; -1: none */
};
#define WORKSPACE_NONE                                                                             \
	{                                                                                          \
		.fd = -1                                                                           \
	}
#define auto_workspace __attribute__((cleanup(workspace_close))) struct workspace

/* <state_dir>/work/<plan>, made when missing. As root, state_dir becomes passable (o+x) for the
 * programs, who are nobody. ERR_INVALID: plan is no token; ERR_CONFIG: a directory above state_dir
 * is not passable. */
int workspace_open(const char *state_dir, const char *plan, struct workspace *out,
		   struct why *out_why);
/* The same without making it. ERR_NOT_FOUND. */
int workspace_find(const char *state_dir, const char *plan, struct workspace *out,
		   struct why *out_why);
void workspace_close(struct workspace *w);

/* Makes an empty directory in it, whatever was there; owned by uid and gid when we are root. */
int workspace_fresh(const struct workspace *w, const char *name, unsigned uid, unsigned gid,
		    struct why *out_why);
/* Writes a file that programs in the sandbox may read (0644). */
int workspace_write(const struct workspace *w, const char *name, const void *data, size_t len,
		    struct why *out_why);
/*
 * Appends a file that hostile programs may have written: a regular one of a single name, no link on
 * the way. ERR_NOT_FOUND, ERR_DENIED, ERR_TOO_LARGE (over max_bytes), ERR_IO.
 */
int workspace_read(const struct workspace *w, const char *name, size_t max_bytes, struct buf *out,
		   struct why *out_why);

/* Removes a plan's directory; none is fine. */
void workspace_remove(const char *state_dir, const char *plan);
/* Removes those that nobody touched since now_ms - WORKSPACE_AGE_MS. */
void workspace_sweep(const char *state_dir, int64_t now_ms);

#endif
