/* Runs a program and takes what it says. For doctor and manual. */
#ifndef NOTIFIER_CTL_RUN_H
#define NOTIFIER_CTL_RUN_H

#include "common/buf.h"

/*
 * argv[0] NULL stands for the program's path. Standard output and error go to out, at most 64 KiB;
 * killed after 10 s. 0 and *out_status (exit status, 128 + signal), or ERR_NOT_FOUND, ERR_TIMEOUT,
 * ERR_IO. Main thread.
 */
int run_program(const char *path, const char **argv, struct buf *out, int *out_status);
/* The same for a program in healctl's own directory, else in PATH. */
int run_beside(const char *name, const char **argv, struct buf *out, int *out_status);

#endif
