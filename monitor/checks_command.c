#include "common/clock.h"
#include "monitor/checks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const char *const keys[] = {"command", NULL};

static int parse(struct check *c, const struct yaml_node *node, struct why *out_why)
{
	const struct yaml_node *list = yaml_get(node, "command");
	size_t n = 0;

	if (!list || list->type != YAML_LIST || !list->count || list->count > CHECK_ARGS_MAX)
		return yaml_error(node, out_why, "command: a list of 1 to %d arguments",
				  CHECK_ARGS_MAX);
	YAML_EACH(item, list)
	{
		const char *text;
		int rc = yaml_str(item, "command", &text, out_why);

		if (rc)
			return rc;
		c->argv[n++] = mem_strdup(text);
	}
	if (c->argv[0][0] != '/')
		return yaml_error(list, out_why, "command: \"%s\" is not an absolute path",
				  c->argv[0]);
	return 0;
}

/* A group of its own, so that what it starts dies with it; no descriptor but its output. */
static int spawn(const struct check *c, int out_fd, pid_t *out_pid)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
	char *const env[] = {path, locale, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
	posix_spawn_file_actions_adddup2(&actions, out_fd, 2);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	rc = posix_spawn(out_pid, c->argv[0], &actions, &attr, c->argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static void output_read(int fd, char *text, size_t size, size_t *len)
{
	char rest[512];
	ssize_t n = read(fd, rest, sizeof(rest));

	if (n <= 0)
		return;
	n = MIN(n, (ssize_t)(size - 1 - *len));
	memcpy(text + *len, rest, (size_t)n);
	*len += (size_t)n;
	text[*len] = '\0';
}

/* True when it ended in time. Output beyond the buffer is read and dropped. */
static bool wait_end(int pid_fd, int fd, int64_t deadline_ms, char *text, size_t size)
{
	struct pollfd p[] = {{.fd = pid_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
	size_t len = 0;

	for (;;) {
		int64_t left = deadline_ms - clock_mono_ms();

		if (left <= 0 || poll(p, ARRAY_SIZE(p), (int)left) < 0)
			return false;
		if (p[1].revents & POLLIN)
			output_read(fd, text, size, &len);
		else if (p[0].revents)
			return true;
		if (p[1].revents & POLLHUP)
			p[1].fd = -1;
	}
}

static void judge(const struct check *c, int status, bool ended, const char *text,
		  struct check_result *out)
{
	if (!ended)
		snprintf(out->detail, sizeof(out->detail), "%s: killed after %" PRId64 " ms",
			 c->argv[0], c->timeout_ms);
	else if (WIFEXITED(status))
		snprintf(out->detail, sizeof(out->detail), "%s: exit status %d%s%.300s", c->argv[0],
			 WEXITSTATUS(status), *text ? ": " : "", text);
	else
		snprintf(out->detail, sizeof(out->detail), "%s: signal %d", c->argv[0],
			 WTERMSIG(status));
	out->ok = ended && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void run(const struct check *c, struct check_tools *tools, struct check_result *out)
{
	int64_t deadline = clock_mono_ms() + c->timeout_ms;
	char text[256] = "";
	int pipe_fds[2], status = 0, rc;
	pid_t pid;
	bool ended;

	(void)tools;
	if (pipe2(pipe_fds, O_CLOEXEC))
		return;
	fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK); /* not the child's end */
	auto_fd int from = pipe_fds[0];
	rc = spawn(c, pipe_fds[1], &pid);
	close(pipe_fds[1]);
	if (rc) {
		snprintf(out->detail, sizeof(out->detail), "%s: %s", c->argv[0],
			 strerrordesc_np(rc));
		return;
	}
	auto_fd int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	ended = pid_fd >= 0 && wait_end(pid_fd, from, deadline, text, sizeof(text));
	kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	judge(c, status, ended, text, out);
}

const struct check_kind check_command = {
	.name = "command",
	.keys = keys,
	.parse = parse,
	.run = run,
};
