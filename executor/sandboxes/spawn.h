/*
 * Starting one program and ending it with everything it started. A supervisor process stands
 * between: it is the subreaper of the tree, so that what daemonised itself is found and killed, and
 * it dies (killing the tree) when the executor's thread or process dies. The program gets a clean
 * environment, its own session, no descriptors but 0-2 and the ones named, and limits.
 */
#ifndef EXECUTOR_SPAWN_H
#define EXECUTOR_SPAWN_H

#include "common/base.h"

#include <sys/types.h>

#include "common/buf.h"
#include "executor/runners/runner.h"

enum {
	SPAWN_FDS_MAX = 32,
	SPAWN_FD_BASE = 10, /* fds[i] becomes descriptor SPAWN_FD_BASE + i */
	SPAWN_KILL_GRACE_MS = 2000,
};

struct spawn_ids {
	uid_t uid;
	gid_t gid;
	bool change; /* false: stay who we are */
};

/* What one program and its children may use. 0: the default. */
struct spawn_bounds {
	int64_t memory_bytes; /* data of each process; default: no limit */
	int64_t file_bytes;   /* largest file; default 1 GiB */
	int64_t processes;    /* of the program's user, when that is not the executor's; default: no
				 limit */
	int64_t open_files;   /* of each process; default 256 */
};

struct spawn {
	char *const *argv; /* argv[0]: absolute path */
	char *const *env;
	int fds[SPAWN_FDS_MAX];
	size_t n_fds;
	struct spawn_ids ids;
	int64_t cpu_limit_s;
	struct spawn_bounds bounds;
	/* Runs in the child just before exec; async-signal-safe; non-zero: do not start. */
	int (*confine)(const void *ctx);
	const void *confine_ctx;
	size_t confine_len; /* plain data: it may be copied to another process */
};

/* Blocks until the program and all its children have ended or were killed. Fills result. */
void spawn_run(const struct spawn *s, const struct run_limits *limits, struct run_result *result);

#endif
