#include "common/systemd.h"
#include "common/err.h"

#include <unistd.h>

/* Takes a whole positive number of the environment; 0 for anything else. */
static int64_t take_number(const char *name)
{
	const char *text = getenv(name);
	char *end = NULL;
	errno = 0;
	int64_t n = text && *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : 0;
	bool good = end && *end == '\0' && errno == 0;
	unsetenv(name);
	return good ? n : 0;
}

static bool set_address(struct systemd *sd, const char *name)
{
	size_t len = strlen(name);
	if ((name[0] != '/' && name[0] != '@') || len >= sizeof(sd->address.sun_path))
		return false;
	sd->address.sun_family = AF_UNIX;
	memcpy(sd->address.sun_path, name, len + 1);
	/* An abstract name begins with a zero, and ends where its length says. */
	if (name[0] == '@')
		sd->address.sun_path[0] = '\0';
	size_t path = name[0] == '@' ? len : len + 1;
	sd->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path);
	return true;
}

void systemd_open(struct systemd *sd)
{
	const char *name = getenv("NOTIFY_SOCKET");
	*sd = (struct systemd){.fd = -1};
	bool listens = name && set_address(sd, name);
	unsetenv("NOTIFY_SOCKET");
	int64_t watchdog_us = take_number("WATCHDOG_USEC");
	bool others = getenv("WATCHDOG_PID") != NULL;
	others = others && take_number("WATCHDOG_PID") != getpid();
	if (!listens)
		return;
	sd->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sd->listens = sd->fd >= 0;
	sd->watchdog_ms = others ? 0 : watchdog_us / 1000;
}

void systemd_close(struct systemd *sd)
{
	if (sd->listens)
		close(sd->fd);
	*sd = (struct systemd){.fd = -1};
}

int systemd_notify(const struct systemd *sd, const char *lines)
{
	if (!sd->listens)
		return 0;
	ssize_t n = sendto(sd->fd, lines, strlen(lines), MSG_DONTWAIT | MSG_NOSIGNAL,
			   (const struct sockaddr *)&sd->address, sd->address_len);
	return n < 0 ? ERR_UNAVAILABLE : 0;
}
