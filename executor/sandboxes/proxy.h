/*
 * The only way out of a sandbox without a network: an HTTP proxy that knows CONNECT, a list of
 * hosts, and nothing else. It lives in the executor; its listening socket lives in the sandbox's
 * own network namespace, at 127.0.0.1:PROXY_PORT, and was handed out by the process that made
 * that namespace (bwrap.c). A name is resolved once, here, and the address that was checked is the
 * one that is dialled. Every limit ends the connection; a host that is not listed gets 403 and is
 * remembered.
 */
#ifndef EXECUTOR_PROXY_H
#define EXECUTOR_PROXY_H

#include "common/base.h"

#include "common/buf.h"
#include "common/err.h"

enum {
	PROXY_PORT = 3128,
	PROXY_HOSTS_MAX = 64,
	PROXY_CONNECTIONS_MAX = 64, /* at once */
	PROXY_HEAD_BYTES = 8192,
	PROXY_CONNECT_MS = 10000,
	PROXY_IDLE_MS = 120000,
};

struct proxy_rules {
	const char *const *hosts; /* "name:port", exactly; "name" means port 443 */
	size_t n_hosts;
	bool any_address;  /* also private, loopback and link-local ones */
	int64_t max_bytes; /* of all connections, both ways; 0: 1 GiB */
	int64_t max_ms;    /* of one connection; 0: an hour */
};

struct proxy;

/*
 * Starts serving in a thread of its own. *out_fd is for struct sandbox_job.proxy: the sandbox
 * sends its listening socket there (SCM_RIGHTS, one byte). The caller closes it. rules are copied.
 * ERR_INVALID (a host), ERR_TOO_LARGE, ERR_IO.
 */
int proxy_open(const struct proxy_rules *rules, struct proxy **out, int *out_fd,
	       struct why *out_why);
/* Ends all connections, waits for the threads. NULL: nothing. */
void proxy_close(struct proxy *p);
/* Adds the hosts that were asked for in vain, "name:port, ...": for people. Any time. */
void proxy_refused(struct proxy *p, struct buf *out);

#endif
