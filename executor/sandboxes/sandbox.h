/*
 * Where commands run. Three strengths: full (bubblewrap: own namespaces, an empty root, seccomp),
 * landlock (no namespaces: file rules, seccomp), none. Probed once at start; a tool never runs
 * weaker than what was found, unless it says `sandbox: none` and the configuration allows that.
 */
#ifndef EXECUTOR_SANDBOX_H
#define EXECUTOR_SANDBOX_H

#include "common/base.h"

#include "common/buf.h"
#include "executor/runners/runner.h"
#include "executor/sandboxes/spawn.h"

enum sandbox_level { SANDBOX_NONE, SANDBOX_LANDLOCK, SANDBOX_FULL };
enum sandbox_wish { SANDBOX_WISH_AUTO, SANDBOX_WISH_BWRAP, SANDBOX_WISH_LANDLOCK };

struct sandbox_bind {
	char *path; /* on the host */
	char *at;   /* inside; NULL: the same */
	bool writable;
};

/* One program to run. All borrowed. */
struct sandbox_job {
	char *const *argv;
	char *const *env; /* complete */
	const struct sandbox_bind *binds;
	size_t n_binds;
	const char *user; /* NULL: nobody, or whoever the executor is when it is not root */
	const char *cwd;  /* one of the binds; NULL: where nothing of the host is */
	struct spawn_bounds bounds;
	bool network;
	bool unconfined; /* the tool said so and the configuration allowed it */
};

/* Finds out what this machine can do. Called once, before threads start; runs a few programs. */
void sandbox_probe(enum sandbox_wish wish);
enum sandbox_level sandbox_level(void);
const char *sandbox_level_name(enum sandbox_level level);

/* Blocks until the program and all its children have ended. Never weaker than sandbox_level(). */
void sandbox_run(const struct sandbox_job *job, const struct run_limits *limits,
		 struct run_result *result);

/* Whom a program runs as. ERR_NOT_FOUND (no such user), ERR_DENIED (we are not root and it is
 * somebody else). */
int sandbox_user(const char *name, struct spawn_ids *out, struct why *out_why);

/* ---- the rows: one sandbox each ---- */

struct sandbox {
	const char *name;
	enum sandbox_level level;
	/* Runs the job; also used to probe, with /bin/true. */
	void (*run)(const struct sandbox_job *job, const struct run_limits *limits,
		    struct run_result *result);
};
extern const struct sandbox sandbox_bwrap;
extern const struct sandbox sandbox_bwrap_noproc; /* where no fresh /proc can be mounted */
extern const struct sandbox sandbox_landlock;
extern const struct sandbox sandbox_off;

/* Two seccomp programs (see seccomp.c), as struct sock_filter arrays. network: sockets of
 * AF_INET/6; without namespaces no sockets at all otherwise. */
enum seccomp_flavour { SECCOMP_NAMESPACED, SECCOMP_BARE, SECCOMP_BARE_NETWORK };
enum { SECCOMP_FILTERS = 2 };
const struct buf *seccomp_filter(enum seccomp_flavour flavour, size_t i);

#endif
