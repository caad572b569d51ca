/*
 * svc: the service that dies in the benchmark. Appends "pid time" (ns) to a file as its first act,
 * then listens, answers nobody, and stays.
 *
 *     svc [-d] stamps [port]
 *
 * -d goes into the background first, as a program started by a command must.
 */
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

static void stamp(const char *path, uint64_t time)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%d %" PRIu64 "\n", (int)getpid(), time);
	auto_fd int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		die("%s: %s", path, strerror(errno));
}

static int listen_at(uint64_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (const struct sockaddr *)&a, sizeof(a)) || listen(fd, 16))
		die("port %" PRIu64 ": %s", port, strerror(errno));
	return fd;
}

int main(int argc, char **argv)
{
	uint64_t start = now_ns();
	bool background = argc > 1 && str_eq(argv[1], "-d");
	argv += background;
	argc -= background;
	if (argc < 2)
		return 64;
	if (background && (fork() != 0 || setsid() < 0))
		return 0;
	if (background && (!freopen("/dev/null", "r+", stdin) || dup2(0, 1) < 0 || dup2(0, 2) < 0))
		return 1;
	int fd = argc > 2 ? listen_at(option_number(argv[2], 1)) : -1;
	stamp(argv[1], start);
	for (;;) {
		if (fd < 0)
			pause();
		int peer = accept(fd, NULL, NULL);
		if (peer >= 0)
			close(peer);
	}
}
