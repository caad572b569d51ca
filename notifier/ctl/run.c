#include "notifier/ctl/run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"

extern char **environ;

enum { RUN_TIMEOUT_MS = 10000, RUN_OUTPUT_MAX_BYTES = 64 << 10 };

/* 0 at the end of output, ERR_TIMEOUT. */
static int take(int fd, struct buf *out)
{
	int64_t deadline = clock_mono_ms() + RUN_TIMEOUT_MS;

	for (;;) {
		char chunk[4096];
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - clock_mono_ms();

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return ERR_TIMEOUT;
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n <= 0)
			return 0;
		buf_add(out, chunk,
			MIN((size_t)n,
			    RUN_OUTPUT_MAX_BYTES - MIN(out->len, (size_t)RUN_OUTPUT_MAX_BYTES)));
	}
}

int run_program(const char *path, const char **argv, struct buf *out, int *out_status)
{
	posix_spawn_file_actions_t actions;
	int pipe_fds[2], status = 0;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC))
		return ERR_IO;
	auto_fd int in = pipe_fds[0];
	argv[0] = path;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDERR_FILENO);
	int rc = posix_spawnp(&pid, path, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fds[1]);
	if (rc)
		return rc == ENOENT ? ERR_NOT_FOUND : ERR_IO;
	rc = take(in, out);
	if (rc)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	*out_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return rc;
}

int run_beside(const char *name, const char **argv, struct buf *out, int *out_status)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[MAX(n, 0)] = 0;
	char *slash = strrchr(self, '/');
	if (slash) {
		auto_free char *path = mem_printf("%.*s/%s", (int)(slash - self), self, name);

		if (access(path, X_OK) == 0)
			return run_program(path, argv, out, out_status);
	}
	return run_program(name, argv, out, out_status);
}
