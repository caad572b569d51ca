/*
 * Socket addresses: which ones are ours, which ones belong to the public internet. Layer 0. Any
 * thread.
 */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <sys/socket.h>

#include "common/err.h"

enum { ADDRESS_TEXT_BYTES = 64 };

/* "127.0.0.1", "::1"; an IPv4-mapped address as IPv4; "?" for other families. Returns out. */
const char *address_text(const struct sockaddr *a, char out[static ADDRESS_TEXT_BYTES]);

/* 127.0.0.0/8, ::1, and the same mapped into IPv6; a unix socket too. */
bool address_is_loopback(const struct sockaddr *a);

/*
 * Global unicast by the IANA registries: not loopback, private, shared, link-local (with the
 * clouds' metadata service), documentation, multicast or reserved. An IPv4 address inside IPv6
 * (mapped, compatible, NAT64, 6to4) counts as what it is; Teredo is refused.
 */
bool address_is_public(const struct sockaddr *a);

/*
 * A listening TCP socket for "127.0.0.1:9095", "[::1]:9095", "name:9095" or ":9095" (all
 * addresses). Non-blocking, close-on-exec. ERR_INVALID (text), ERR_UNAVAILABLE (cannot bind).
 */
int address_listen(const char *text, int *out_fd, unsigned *out_port, struct why *out_why);

enum { ADDRESS_UNIX_PATH_MAX = 107, ADDRESS_UNIX_MODE = 0660 };

struct address_unix {
	const char *path; /* at most ADDRESS_UNIX_PATH_MAX bytes */
	unsigned mode;    /* permissions; 0: ADDRESS_UNIX_MODE */
	int64_t gid;      /* its group; -1: the process's own */
};

/*
 * A listening unix stream socket, with its owner and permissions before anybody can connect.
 * Non-blocking, close-on-exec. What a process that died left at the path is replaced. ERR_INVALID
 * (path), ERR_BUSY (somebody listens there), ERR_EXISTS (no socket is there), ERR_DENIED (group,
 * permissions), ERR_UNAVAILABLE (cannot bind).
 */
int address_listen_unix(const struct address_unix *where, int *out_fd, struct why *out_why);

#endif
