/*
 * restart: kills a service and says how long it took until its successor's main().
 *
 *     restart [-n kills] [-g gap_ms] [-w wait_ms] HOW stamps...
 *
 * stamps are files that the service (svc) appends "pid time" to; kill i is of the last pid in the
 * i-th file, counting round. HOW:
 *
 *     -s svc             starts it itself, told by a pidfd: the limit
 *     -p port -b bodies  posts the i-th body to /webhook/alertmanager when a pidfd tells it: an
 *                        event, whose receiver must start the service
 *     (none)             only waits: somebody else notices
 *
 * Before each kill it waits gap_ms and up to a second more, so that kills hit a poller at any
 * phase. Prints n, lost (not back within wait_ms), and the latencies.
 */
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

struct options {
	uint64_t kills;
	uint64_t gap_ms;
	uint64_t wait_ms;
	char *program;
	uint64_t port;
	const char *bodies;
	char **stamps;
	size_t n_stamps;
};

struct life {
	pid_t pid;
	uint64_t since_ns;
	size_t n; /* how many lines there are */
};

/* ---- stamps ---- */

static struct life last_life(const char *path)
{
	struct life l = {0};
	int pid;
	uint64_t since;
	auto_file FILE *f = fopen(path, "re");
	while (f && fscanf(f, "%d %" SCNu64, &pid, &since) == 2)
		l = (struct life){pid, since, l.n + 1};
	return l;
}

static void nap_ms(uint64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&t, NULL);
}

static bool wait_next(const char *path, size_t n, uint64_t wait_ms, struct life *out)
{
	for (uint64_t end = now_ns() + wait_ms * 1000000; now_ns() < end; nap_ms(1)) {
		*out = last_life(path);
		if (out->n > n)
			return true;
	}
	return false;
}

/* ---- who tells ---- */

static int dial(uint64_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)))
		die("port %" PRIu64 ": %s", port, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void post(int fd, const char *body, size_t len)
{
	char head[256], answer[4096];
	int n = snprintf(head, sizeof(head),
			 "POST /webhook/alertmanager HTTP/1.1\r\nHost: bench\r\nContent-Type: "
			 "application/json\r\nContent-Length: %zu\r\n\r\n",
			 len);
	char *request = must(malloc((size_t)n + len));
	memcpy(request, head, (size_t)n);
	memcpy(request + n, body, len);
	if (send(fd, request, (size_t)n + len, MSG_NOSIGNAL) != n + (ssize_t)len)
		die("post: %s", strerror(errno));
	free(request);
	ssize_t got = recv(fd, answer, sizeof(answer) - 1, 0);
	answer[MAX(got, 0)] = 0;
	if (!str_starts(answer, "HTTP/1.1 202"))
		die("answer: %.80s", answer);
}

static void start(char *program, char *stamps)
{
	char *argv[] = {program, stamps, NULL};
	pid_t pid;
	if (posix_spawn(&pid, program, NULL, NULL, argv, environ))
		die("%s cannot be started", program);
}

static void wait_dead(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
}

/* ---- the kills ---- */

struct victim {
	int pidfd;
	struct life life;
};

/* The last one to have started, once it lives: who restarts it may have needed two tries. */
static struct victim choose(const struct options *o, char *stamps)
{
	struct victim v = {.pidfd = -1};
	if (o->program && !last_life(stamps).n)
		start(o->program, stamps);
	for (uint64_t end = now_ns() + o->wait_ms * 1000000; v.pidfd < 0; nap_ms(1)) {
		v.life = last_life(stamps);
		if (v.life.n)
			v.pidfd = (int)syscall(SYS_pidfd_open, v.life.pid, 0);
		if (v.pidfd < 0 && now_ns() > end)
			die("%s: no process %d", stamps, v.life.pid);
	}
	return v;
}

static bool kill_once(const struct options *o, char *stamps, const char *body, uint64_t *out_ns)
{
	struct victim v = choose(o, stamps);
	struct life next = {0};
	int connection = o->port ? dial(o->port) : -1;
	uint64_t killed = now_ns();
	kill(v.life.pid, SIGKILL);
	wait_dead(v.pidfd);
	if (o->program)
		start(o->program, stamps);
	if (connection >= 0)
		post(connection, body, strlen(body));
	bool back = wait_next(stamps, v.life.n, o->wait_ms, &next);
	*out_ns = next.since_ns - killed;
	close(v.pidfd);
	if (connection >= 0)
		close(connection);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return back;
}

static char *next_body(FILE *f)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n = f ? getline(&line, &cap, f) : -1;
	if (f && n <= 0)
		die("too few bodies");
	if (n > 0 && line[n - 1] == '\n')
		line[n - 1] = 0;
	return line;
}

static void run(const struct options *o)
{
	struct samples took = {0};
	uint64_t lost = 0;
	auto_file FILE *bodies = o->bodies ? fopen(o->bodies, "re") : NULL;
	for (uint64_t i = 0; i < o->kills; i++) {
		uint64_t ns = 0;
		auto_free char *body = next_body(bodies);
		nap_ms(o->gap_ms + (o->gap_ms ? i * 373 % 1000 : 0));
		if (kill_once(o, o->stamps[i % o->n_stamps], body, &ns))
			sample_add(&took, ns);
		else
			lost++;
	}
	printf("n=%zu lost=%" PRIu64 " ", took.n, lost);
	samples_print(&took);
	printf("\n");
	if (o->program)
		for (size_t i = 0; i < o->n_stamps; i++)
			kill(last_life(o->stamps[i]).pid, SIGKILL);
}

int main(int argc, char **argv)
{
	struct options o = {.kills = 10, .wait_ms = 5000};
	int letter;
	while ((letter = getopt(argc, argv, "n:g:w:s:p:b:")) > 0) {
		if (letter == 'n')
			o.kills = option_number(optarg, 1);
		else if (letter == 'g')
			o.gap_ms = option_number(optarg, 0);
		else if (letter == 'w')
			o.wait_ms = option_number(optarg, 1);
		else if (letter == 's')
			o.program = optarg;
		else if (letter == 'p')
			o.port = option_number(optarg, 1);
		else if (letter == 'b')
			o.bodies = optarg;
		else
			return 64;
	}
	if (optind == argc || !o.port != !o.bodies)
		return 64;
	o.stamps = argv + optind;
	o.n_stamps = (size_t)(argc - optind);
	run(&o);
	return 0;
}
