/*
 * A program to start, as a message from the executor to a supervisor. Both ends are one program, so
 * it is structs and addresses of functions.
 */
#ifndef EXECUTOR_JOB_H
#define EXECUTOR_JOB_H

#include "executor/sandboxes/spawn.h"

/* ERR_TOO_LARGE: it does not fit into a message. ERR_UNAVAILABLE: nobody is there. In both cases
 * nothing was started and nothing will be. out: where the program's output goes. */
int job_send(int to, const struct spawn *s, int out);

/* In the supervisor, which has memory for one job. Blocks. ERR_CLOSED: there will be none.
 * ERR_INVALID: not a job. What *out_spawn points to lasts until job_forget, which closes the
 * descriptors and overwrites the text, for there may be secrets in it. */
int job_receive(int from, struct spawn *out_spawn, int *out_fd);
void job_forget(void);

#endif
