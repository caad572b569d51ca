#include "executor/sandboxes/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "executor/sandboxes/job.h"
#include "executor/sandboxes/launcher.h"
#include "executor/sandboxes/supervise.h"

enum { TICK_MS = 200 };

static void supervisor_signal(const struct supervisor *sup, int sig)
{
	if (sup->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, sup->pidfd, sig, NULL, 0);
	else
		kill(sup->pid, sig);
}

static void drop_oldest(struct run_result *r, size_t max)
{
	if (r->output.len <= max)
		return;
	memmove(r->output.data, r->output.data + r->output.len - max, max);
	r->output.len = max;
	r->output.data[max] = 0;
	r->truncated = true;
}

static void keep_output(struct run_result *r, const char *data, size_t len,
			const struct run_limits *l)
{
	size_t max = l->output_limit_bytes, room = r->output.len < max ? max - r->output.len : 0;
	if (l->keep_end) {
		buf_add(&r->output, data, len);
		if (r->output.len > 2 * max)
			drop_oldest(r, max);
		return;
	}
	buf_add(&r->output, data, MIN(room, len));
	r->truncated = r->truncated || len > room;
}

/* True at the end of the output: the program and all its children are gone. */
static bool read_output(int fd, struct run_result *r, const struct run_limits *l, int64_t wait_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	if (poll(&p, 1, (int)MAX(wait_ms, 0)) <= 0)
		return false;
	char chunk[16384];
	ssize_t n = read(fd, chunk, sizeof(chunk));
	if (n > 0)
		keep_output(r, chunk, (size_t)n, l);
	return n == 0 || (n < 0 && errno != EINTR);
}

static void drain_until(int fd, struct run_result *r, const struct run_limits *l, int64_t deadline)
{
	while (clock_mono_ms() < deadline)
		if (read_output(fd, r, l, deadline - clock_mono_ms()))
			return;
}

static void kill_tree(const struct supervisor *sup, int fd, struct run_result *r,
		      const struct run_limits *l)
{
	supervisor_signal(sup, SIGTERM);
	drain_until(fd, r, l, clock_mono_ms() + SPAWN_KILL_GRACE_MS);
	supervisor_signal(sup, SIGKILL);
}

/* Follows the program to its end; false when it had to be killed, with the reason in r->why. */
static bool follow(const struct supervisor *sup, int fd, const struct run_limits *l,
		   struct run_result *r)
{
	int64_t deadline = clock_mono_ms() + l->timeout_ms, next_tick = 0;
	for (;;) {
		int64_t now = clock_mono_ms();
		if (now >= deadline) {
			why_set(&r->why, ERR_TIMEOUT, "timed out after %" PRId64 " ms",
				l->timeout_ms);
			break;
		}
		if (l->tick && now >= next_tick && !l->tick(l->tick_ctx)) {
			why_set(&r->why, ERR_CLOSED, "stopped: the target's lock was lost");
			break;
		}
		next_tick = now >= next_tick ? now + TICK_MS : next_tick;
		if (read_output(fd, r, l, MIN(TICK_MS, deadline - now)))
			return true;
	}
	kill_tree(sup, fd, r, l);
	return false;
}

static int fork_supervisor(const struct spawn *s, int out, struct supervisor *sup)
{
	int ends[2];
	pid_t me = getpid();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return err_from_errno(errno);
	*sup = (struct supervisor){.jobs = ends[0], .pidfd = -1, .pid = fork()};
	if (sup->pid == 0)
		supervise_one(s, out, ends[1], me);
	close(ends[1]);
	if (sup->pid > 0)
		return 0;
	close(ends[0]);
	return ERR_UNAVAILABLE;
}

/* By one that waits, by a new one, by ourselves. Who takes no job has not begun. */
static int start(const struct spawn *s, int out, struct supervisor *sup, struct why *out_why)
{
	while (launcher_take(sup)) {
		if (job_send(sup->jobs, s, out) == 0)
			return 0;
		launcher_give(sup, false);
	}
	if (launcher_make(sup) == 0) {
		if (job_send(sup->jobs, s, out) == 0)
			return 0;
		launcher_give(sup, false);
	}
	int rc = fork_supervisor(s, out, sup);
	return rc ? why_set(out_why, rc, "cannot fork: %s", err_name(rc)) : 0;
}

/* The supervisor has closed the output, so it is over or about to be. */
static int finish(struct supervisor *sup, bool ended)
{
	int code = 128 + SIGKILL;
	bool said = recv(sup->jobs, &code, sizeof(code), 0) == sizeof(code);
	launcher_give(sup, ended && said);
	return said ? code : 128 + SIGKILL;
}

void spawn_run(const struct spawn *s, const struct run_limits *limits, struct run_result *result)
{
	int ends[2];
	struct supervisor sup = {.pidfd = -1};
	result->state = RUN_FAILED;
	if (pipe2(ends, O_CLOEXEC)) {
		why_set(&result->why, ERR_IO, "no pipe: %s", strerror(errno));
		return;
	}
	auto_fd int in = ends[0];
	int rc = start(s, ends[1], &sup, &result->why);
	close(ends[1]);
	if (rc)
		return;
	bool ended = follow(&sup, in, limits, result);
	result->exit_code = finish(&sup, ended);
	if (limits->keep_end)
		drop_oldest(result, limits->output_limit_bytes);
	if (ended)
		result->state = RUN_ENDED;
}
