/*
 * A directory that code of strangers works in: a repository's checks, an agent. The program sees a
 * copy, of limited size; when it has ended, what is left of the copy comes back through
 * archive.h, which takes files, directories and links and nothing else. Nothing outside of
 * the sandbox ever opens what the program wrote other than through archive.h. Where no sandbox
 * works here, it is refused.
 */
#ifndef EXECUTOR_CELL_H
#define EXECUTOR_CELL_H

#include "executor/sandboxes/sandbox.h"

enum {
	CELL_PROCESSES = 512,
	CELL_OPEN_FILES = 4096,
	CELL_FILES = 400000,
};
#define CELL_DISK_BYTES ((int64_t)4 << 30)
#define CELL_MEMORY_BYTES ((int64_t)4 << 30)

struct place_settings;

struct cell {
	const char *dir;          /* on the host; absolute */
	const char *scratch_dir;  /* for what is on its way; NULL: /var/tmp */
	struct sandbox_room room; /* zeroes: the defaults above; likewise the job's bounds */
	const char *input; /* a file on the host: the program's standard input; NULL: empty */
	bool discard;      /* nothing comes back */
	const char *place; /* a row of place.h; NULL: this machine's own sandbox */
	const struct place_settings *places;
};

/*
 * Runs the job in a copy of c->dir, which is its working directory: SANDBOX_WORK, or another name
 * where the sandbox cannot rename (the job's own cwd is not used). Blocks up to the time-out and
 * the copying. After RUN_ENDED the directory holds what the program left, whatever its exit code;
 * after a time-out, or when the tree did not come back whole (RUN_FAILED, why), it is as it was or
 * empty. The program can always damage what comes back: it is as hostile as before. result's
 * not_tried: the sandbox or the place failed, and the program never began.
 */
void cell_run(const struct cell *c, const struct sandbox_job *job, const struct run_limits *limits,
	      struct run_result *result);

/*
 * What the tree in dir differs by from HEAD of the repository git_dir, as a unified diff with new
 * files, without those that its .gitignore names. git reads the hostile tree inside a sandbox, with
 * a copy of git_dir and no configuration but that one's. Neither is changed. ERR_TOO_LARGE: more
 * than limit_bytes. ERR_DENIED: no sandbox. ERR_REJECTED: git failed; why has its words.
 */
struct cell_tree {
	const char *dir;
	const char *git_dir; /* absolute; never one that the sandbox could write */
	const char *user;    /* as in struct sandbox_job */
	int64_t timeout_ms;
	size_t limit_bytes;
};
int cell_diff(const struct cell_tree *t, struct buf *out, struct why *out_why);

#endif
