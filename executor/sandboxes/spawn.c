#include "executor/sandboxes/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/clock.h"

enum { FD_PARKED = 500, TICK_MS = 200, CHILDREN_TEXT_BYTES = 4096, LAUNCH_STACK_BYTES = 32 << 10 };

/* ---- in the children: only async-signal-safe calls ---- */

static void say_and_exit(const char *text)
{
	ssize_t ignored = write(2, text, strlen(text));
	(void)ignored;
	_exit(126);
}

static void arrange_fds(const struct spawn *s, int out)
{
	int null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	int parked[SPAWN_FDS_MAX];
	for (size_t i = 0; i < s->n_fds; i++)
		parked[i] = fcntl(s->fds[i], F_DUPFD, FD_PARKED);
	for (size_t i = 0; i < s->n_fds; i++)
		if (parked[i] < 0 || dup2(parked[i], SPAWN_FD_BASE + (int)i) < 0)
			say_and_exit("sandbox: descriptors\n");
	syscall(SYS_close_range, 3, SPAWN_FD_BASE - 1, 0);
	syscall(SYS_close_range, SPAWN_FD_BASE + (unsigned)s->n_fds, ~0U, 0);
}

static void limit(__rlimit_resource_t what, rlim_t value)
{
	struct rlimit now;
	if (getrlimit(what, &now))
		return;
	if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value)
		value = now.rlim_max;
	struct rlimit wanted = {value, value};
	setrlimit(what, &wanted);
}

static void set_limits(const struct spawn *s)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, (rlim_t)1 << 30);
	limit(RLIMIT_NOFILE, 256);
	limit(RLIMIT_CPU, (rlim_t)s->cpu_limit_s);
	limit(RLIMIT_MEMLOCK, 0);
	limit(RLIMIT_MSGQUEUE, 0);
	limit(RLIMIT_RTPRIO, 0);
}

/* The raw calls change this process only; glibc's would want its threads, which fork left behind.
 */
static int set_ids(const struct spawn_ids *ids)
{
	if (!ids->change)
		return 0;
	if (syscall(SYS_setgroups, 0, NULL))
		return -1;
	if (syscall(SYS_setresgid, ids->gid, ids->gid, ids->gid))
		return -1;
	return (int)syscall(SYS_setresuid, ids->uid, ids->uid, ids->uid);
}

static void __attribute__((noreturn)) become_program(const struct spawn *s)
{
	sigset_t none;
	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	set_limits(s);
	if (set_ids(&s->ids))
		say_and_exit("sandbox: cannot change user\n");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		say_and_exit("sandbox: no_new_privs\n");
	if (s->confine && s->confine(s->confine_ctx))
		say_and_exit("sandbox: cannot confine\n");
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(s->argv[0], s->argv, s->env);
	say_and_exit("cannot execute the program\n");
	_exit(127);
}

static int launch(void *spawn)
{
	become_program(spawn);
}

/* Shares the supervisor's memory until it executes: nothing is copied that exec would throw away.
 */
static pid_t start_program(const struct spawn *s)
{
	char stack[LAUNCH_STACK_BYTES] __attribute__((aligned(64)));
	return clone(launch, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD,
		     (void *)(uintptr_t)s);
}

/* Kills every direct child; orphans of the tree have become direct children. */
static void kill_children(void)
{
	char text[CHILDREN_TEXT_BYTES + 1];
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, text, CHILDREN_TEXT_BYTES);
	if (fd >= 0)
		close(fd);
	pid_t pid = 0;
	for (ssize_t i = 0; i < len; i++) {
		if (text[i] >= '0' && text[i] <= '9') {
			pid = pid * 10 + (text[i] - '0');
			continue;
		}
		if (pid > 0)
			kill(pid, SIGKILL);
		pid = 0;
	}
}

static int exit_code_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Reaps what has ended; true when the program was among it. */
static bool reap(pid_t program, int *out_code)
{
	bool ended = false;
	int status = 0;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		if (pid != program)
			continue;
		*out_code = exit_code_of(status);
		ended = true;
	}
	return ended;
}

static void __attribute__((noreturn)) supervise(const struct spawn *s)
{
	sigset_t all, wake;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setpgid(0, 0);
	pid_t program = start_program(s);
	if (program < 0)
		say_and_exit("sandbox: cannot fork\n");
	sigemptyset(&wake);
	sigaddset(&wake, SIGCHLD);
	sigaddset(&wake, SIGTERM);
	int code = 128 + SIGKILL;
	while (!reap(program, &code))
		if (sigwaitinfo(&wake, NULL) == SIGTERM)
			break;
	for (;;) {
		kill_children();
		if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
			break;
	}
	_exit(code);
}

/* ---- in the executor ---- */

static void keep_output(struct run_result *r, const char *data, size_t len, size_t max)
{
	size_t room = r->output.len < max ? max - r->output.len : 0;
	buf_add(&r->output, data, MIN(room, len));
	r->truncated = r->truncated || len > room;
}

/* True at the end of the output: the program and all its children are gone. */
static bool read_output(int fd, struct run_result *r, size_t max, int64_t wait_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	if (poll(&p, 1, (int)MAX(wait_ms, 0)) <= 0)
		return false;
	char chunk[16384];
	ssize_t n = read(fd, chunk, sizeof(chunk));
	if (n > 0)
		keep_output(r, chunk, (size_t)n, max);
	return n == 0 || (n < 0 && errno != EINTR);
}

static void drain_until(int fd, struct run_result *r, size_t max, int64_t deadline)
{
	while (clock_mono_ms() < deadline)
		if (read_output(fd, r, max, deadline - clock_mono_ms()))
			return;
}

static void kill_tree(pid_t supervisor, int fd, struct run_result *r, size_t max)
{
	kill(supervisor, SIGTERM);
	drain_until(fd, r, max, clock_mono_ms() + SPAWN_KILL_GRACE_MS);
	kill(supervisor, SIGKILL);
}

/* Follows the program to its end; false when it had to be killed, with the reason in r->why. */
static bool follow(pid_t supervisor, int fd, const struct run_limits *l, struct run_result *r)
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
		if (read_output(fd, r, l->output_limit_bytes, MIN(TICK_MS, deadline - now)))
			return true;
	}
	kill_tree(supervisor, fd, r, l->output_limit_bytes);
	return false;
}

void spawn_run(const struct spawn *s, const struct run_limits *limits, struct run_result *result)
{
	int ends[2];
	result->state = RUN_FAILED;
	if (pipe2(ends, O_CLOEXEC)) {
		why_set(&result->why, ERR_IO, "no pipe: %s", strerror(errno));
		return;
	}
	auto_fd int in = ends[0];
	pid_t supervisor = fork();
	if (supervisor == 0) {
		arrange_fds(s, ends[1]);
		supervise(s);
	}
	close(ends[1]);
	if (supervisor < 0) {
		why_set(&result->why, ERR_UNAVAILABLE, "cannot fork: %s", strerror(errno));
		return;
	}
	bool ended = follow(supervisor, in, limits, result);
	int status = 0;
	while (waitpid(supervisor, &status, 0) < 0 && errno == EINTR)
		;
	result->exit_code = exit_code_of(status);
	if (ended)
		result->state = RUN_ENDED;
}
