/*
 * What systemd asks of a service (sd_notify(3), sd_watchdog_enabled(3)): one datagram of lines
 * NAME=value to the socket that it names in the environment. Without systemd all of this does
 * nothing. Layer 0.
 */
#ifndef COMMON_SYSTEMD_H
#define COMMON_SYSTEMD_H

#include "common/base.h"

#include <sys/socket.h>
#include <sys/un.h>

/* Zeroed: nobody listens. */
struct systemd {
	bool listens;
	int fd;
	struct sockaddr_un address;
	socklen_t address_len;
	int64_t watchdog_ms; /* WATCHDOG=1 is expected so often; 0: never */
};

/* Takes NOTIFY_SOCKET (a path, or @ and an abstract name), WATCHDOG_USEC and WATCHDOG_PID out of
 * the environment, since no child of ours is the service. Before threads. What cannot be used
 * counts as absent. */
void systemd_open(struct systemd *sd);
void systemd_close(struct systemd *sd);

/* Sends the lines, separated by \n. Never blocks. 0, also when nobody listens; ERR_UNAVAILABLE:
 * not sent, try again later. Any thread. */
int systemd_notify(const struct systemd *sd, const char *lines);

#endif
