/*
 * What the broker takes from itself: files (Landlock: nothing but /proc, to measure itself, the
 * directory of its socket, and, to read, what a reload needs: that of its configuration, and the
 * names of users and groups), and system calls (seccomp: no programs, no new processes, no files to
 * write, only unix sockets). Where the kernel has none of it the broker works all the same, and
 * says so.
 */
#ifndef EXECUTOR_BROKER_CONFINE_H
#define EXECUTOR_BROKER_CONFINE_H

#include "common/err.h"

/* Before threads are started; they inherit it. socket_path: where a socket may be made and removed;
 * config_dir: where files may be read. ERR_UNSUPPORTED: the kernel has no Landlock. */
int confine_files(const char *socket_path, const char *config_dir, struct why *out_why);

/* Once all threads run and all listening sockets are bound: holds for every thread. */
int confine_calls(struct why *out_why);

#endif
