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

/* Where an empty directory of the job's own appears, when it has room. */
#define SANDBOX_WORK "/work"

/* For code of strangers. */
struct sandbox_room {
	int64_t disk_bytes; /* of SANDBOX_WORK, and of /tmp */
	int64_t files;      /* in SANDBOX_WORK; kept where this machine can count them */
};

/* One program to run. All borrowed. */
struct sandbox_job {
	char *const *argv;
	char *const *env; /* complete */
	const struct sandbox_bind *binds;
	size_t n_binds;
	const char *user; /* NULL: nobody, or whoever the executor is when it is not root */
	const char *cwd; /* one of the binds; NULL: SANDBOX_WORK, or where nothing of the host is */
	struct spawn_bounds bounds;
	bool network;
	int proxy; /* proxy.h: a network of its own, from which only listed hosts are reached; 0:
		      none */
	bool unconfined;                 /* the tool said so and the configuration allowed it */
	const struct sandbox_room *room; /* NULL: no work directory of its own */
	int fd;                          /* the program has it as SPAWN_FD_BASE; 0: none */
};

/* Finds out what this machine can do. Called once, before threads start; runs a few programs. */
void sandbox_probe(enum sandbox_wish wish);
/* As on a machine where none works. */
void sandbox_forget(void);
enum sandbox_level sandbox_level(void);
const char *sandbox_level_name(enum sandbox_level level);

/* Blocks until the program and all its children have ended. Never weaker than sandbox_level(). */
void sandbox_run(const struct sandbox_job *job, const struct run_limits *limits,
		 struct run_result *result);

/* Whom a program runs as: a name or a number. ERR_NOT_FOUND (no such user), ERR_DENIED (we are not
 * root and it is somebody else). */
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
enum seccomp_flavour {
	SECCOMP_BARE,
	SECCOMP_BARE_NETWORK,
	SECCOMP_NAMESPACED,
	SECCOMP_NAMESPACED_NETWORK,
	SECCOMP_FLAVOURS
};
enum { SECCOMP_FILTERS = 2 };
const struct buf *seccomp_filter(enum seccomp_flavour flavour, size_t i);
/* The calls that SECCOMP_NAMESPACED allows as a profile in the Docker Engine's JSON. Adds to out.
 */
void seccomp_profile(struct buf *out);

#endif
