#include "common/clock.h"
#include "monitor/checks.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

static const char *const keys[] = {"host", "port", NULL};

static int parse(struct check *c, const struct yaml_node *node, struct why *out_why)
{
	if (!c->host || !*c->host || !c->port)
		return yaml_error(node, out_why, "host and port are needed");
	return 0;
}

/* 0, or an errno. */
static int connect_wait(int fd, const struct addrinfo *to, int64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int64_t left = deadline_ms - clock_mono_ms();
	int error = 0;
	socklen_t len = sizeof(error);

	if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	if (left <= 0 || poll(&p, 1, (int)left) <= 0)
		return ETIMEDOUT;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return error;
}

int check_connect(const char *host, int64_t port, int64_t timeout_ms, struct why *out_why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	int64_t deadline = clock_mono_ms() + timeout_ms;
	char service[8];
	int rc, error = EHOSTUNREACH;

	snprintf(service, sizeof(service), "%d", (int)port);
	rc = getaddrinfo(host, service, &hints, &list);
	if (rc)
		return why_set(out_why, ERR_UNAVAILABLE, "%s: %s", host, gai_strerror(rc));
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd < 0)
			continue;
		error = connect_wait(fd, a, deadline);
		if (!error) {
			freeaddrinfo(list);
			return fd;
		}
		close(fd);
	}
	freeaddrinfo(list);
	return why_set(out_why, err_from_errno(error), "%s:%d: %s", host, (int)port,
		       strerrordesc_np(error));
}

static void run(const struct check *c, struct check_tools *tools, struct check_result *out)
{
	struct why why = {0};
	auto_fd int fd = check_connect(c->host, c->port, c->timeout_ms, &why);

	(void)tools;
	out->ok = fd >= 0;
	if (out->ok)
		snprintf(out->detail, sizeof(out->detail), "%s:%d takes connections", c->host,
			 (int)c->port);
	else
		snprintf(out->detail, sizeof(out->detail), "%.500s", why.text);
}

const struct check_kind check_tcp = {.name = "tcp", .keys = keys, .parse = parse, .run = run};
