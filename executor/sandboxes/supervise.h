/*
 * The process between executor and program, see spawn.h. Runs after a fork of a process that may
 * have threads: nothing but system calls.
 */
#ifndef EXECUTOR_SUPERVISE_H
#define EXECUTOR_SUPERVISE_H

#include "executor/sandboxes/spawn.h"

/* Runs the program to its end, with everything that it started, and says its exit code on the
 * status socket. out: where its output goes; parent: whose death ends it all. */
void __attribute__((noreturn)) supervise(const struct spawn *s, int out, int status, pid_t parent);

#endif
