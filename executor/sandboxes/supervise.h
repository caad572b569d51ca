/*
 * The process between executor and program, see spawn.h. Runs after a fork of a process that may
 * have threads: nothing but system calls.
 */
#ifndef EXECUTOR_SUPERVISE_H
#define EXECUTOR_SUPERVISE_H

#include "executor/sandboxes/spawn.h"

/* Takes one job after the other (job.h) at the socket: runs the program to its end, with everything
 * that it started, says its exit code there, and closes the output. Ends when the other side has
 * closed, or with its parent. */
void __attribute__((noreturn)) supervise(int jobs, pid_t parent);
/* The same for one program only, which may be too large for a message. out: where its output goes;
 * status: where the exit code is said; parent: whose death ends it all. */
void __attribute__((noreturn))
supervise_one(const struct spawn *s, int out, int status, pid_t parent);

#endif
