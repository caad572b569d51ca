/* Bytes and descriptors in one message over a pair of SOCK_SEQPACKET sockets. Nothing but system
 * calls and the caller's memory: also for a process just forked from one with threads. */
#ifndef EXECUTOR_PASS_H
#define EXECUTOR_PASS_H

#include "common/err.h"

#include <sys/types.h>

enum { PASS_FDS_MAX = 40 };

/* To send: what goes. To receive: where bytes go and how many fit; then how many came. */
struct pass {
	void *data;
	size_t len; /* at least 1 */
	int fds[PASS_FDS_MAX];
	size_t n_fds;
};

/* 0 or ERR_UNAVAILABLE: nobody is there, or it does not fit; then nobody has it. */
int pass_send(int to, const struct pass *p);
/* Blocks. 0, or ERR_CLOSED when the other side has closed. The
 * descriptors are the caller's, and closed at exec. */
int pass_receive(int from, struct pass *p);

#endif
