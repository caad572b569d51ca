/*
 * A process that does nothing but make supervisors. It is forked from the executor early, while
 * that is small, and stays small: forking it costs a third of forking the executor, whose threads
 * have to be told of every page that becomes shared. It dies with the executor.
 */
#ifndef EXECUTOR_LAUNCHER_H
#define EXECUTOR_LAUNCHER_H

#include "executor/sandboxes/spawn.h"

/* Once, before any program runs. Without it, or after it died, the executor forks by itself. */
int launcher_open(struct why *out_why);
void launcher_close(void);

/* Asks for a supervisor that will speak on `status`. The caller closes his copy of that, and then
 * waits at its other end for the word that there is one: without, nothing was started and nothing
 * will be. Any thread. */
int launcher_ask(const struct spawn *s, int out, int status);
int launcher_made(int status, int *out_pidfd);

#endif
