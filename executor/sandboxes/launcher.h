/*
 * Supervisors (supervise.h), as the executor has them. They are made by the launcher, a process
 * that does nothing else: it is forked from the executor early, while that is small, and stays
 * small, for forking it costs a third of forking the executor, whose threads have to be told of
 * every page that becomes shared. It dies with the executor. Who has run one program to its end,
 * and everything that it started, runs the next one: a few wait for that. Any thread.
 */
#ifndef EXECUTOR_LAUNCHER_H
#define EXECUTOR_LAUNCHER_H

#include "common/err.h"

enum { LAUNCHER_IDLE_MAX = 8 };

struct supervisor {
	int jobs;  /* where it takes a job, and says how that ended */
	int pidfd; /* -1: it is our own child */
	pid_t pid; /* of our own child */
};

/* Once, before any program runs. Without it, or after it died, the executor forks by itself. */
int launcher_open(struct why *out_why);
void launcher_close(void);

/* One that waits; false: none does. It may have died meanwhile: then it takes no job. */
bool launcher_take(struct supervisor *out);
/* A new one. */
int launcher_make(struct supervisor *out);
/* It is needed no more. ended: its job is over, and nobody told it to end. */
void launcher_give(struct supervisor *s, bool ended);

#endif
