#include "executor/sandboxes/launcher.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "executor/sandboxes/pass.h"
#include "executor/sandboxes/sandbox.h"
#include "executor/sandboxes/supervise.h"

/* The launcher's socket; -1: none. */
static atomic_int launcher = -1;

static struct {
	pthread_mutex_t lock;
	struct supervisor items[LAUNCHER_IDLE_MAX];
	size_t n;
} idle = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- in the launcher ---- */

/* Whoever asked has the pidfd before he can send a job. */
static void make(int jobs)
{
	char made = 1;
	pid_t me = getpid();
	pid_t pid = fork();
	if (pid == 0)
		supervise(jobs, me);
	int pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
	const struct pass word = {.data = &made, .len = 1, .fds = {pidfd}, .n_fds = 1};
	if (pid > 0 && (pidfd < 0 || pass_send(jobs, &word)))
		kill(pid, SIGKILL);
	if (pidfd >= 0)
		close(pidfd);
}

static void __attribute__((noreturn)) serve(int from, pid_t executor)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_IGN); /* the kernel reaps supervisors */
	prctl(PR_SET_NAME, "launcher");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != executor)
		_exit(0);
	if (dup2(from, 3) < 0)
		_exit(1);
	syscall(SYS_close_range, 4, ~0U, 0);
	for (;;) {
		char byte;
		struct pass word = {.data = &byte, .len = 1};
		if (pass_receive(3, &word)) /* the executor is gone */
			_exit(0);
		if (word.n_fds == 1)
			make(word.fds[0]);
		for (size_t i = 0; i < word.n_fds; i++)
			close(word.fds[i]);
	}
}

/* ---- in the executor ---- */

int launcher_open(struct why *out_why)
{
	int ends[2];
	pid_t me = getpid();
	seccomp_filter(SECCOMP_BARE, 0); /* built here, found by every child */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return why_set(out_why, ERR_IO, "launcher: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0)
		serve(ends[1], me);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return why_set(out_why, ERR_UNAVAILABLE, "launcher: cannot fork");
	}
	atomic_store(&launcher, ends[0]);
	return 0;
}

static void supervisor_close(struct supervisor *s)
{
	close(s->jobs);
	if (s->pidfd >= 0)
		close(s->pidfd);
	while (s->pid && waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void launcher_close(void)
{
	struct supervisor s;
	int fd = atomic_exchange(&launcher, -1);
	if (fd >= 0)
		close(fd);
	while (launcher_take(&s))
		supervisor_close(&s);
}

bool launcher_take(struct supervisor *out)
{
	pthread_mutex_lock(&idle.lock);
	bool any = idle.n > 0;
	if (any)
		*out = idle.items[--idle.n];
	pthread_mutex_unlock(&idle.lock);
	return any;
}

int launcher_make(struct supervisor *out)
{
	int to = atomic_load(&launcher), ends[2];
	char byte = 0;
	if (to < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return ERR_UNAVAILABLE;
	const struct pass wish = {.data = &byte, .len = 1, .fds = {ends[1]}, .n_fds = 1};
	struct pass made = {.data = &byte, .len = 1};
	int rc = pass_send(to, &wish);
	close(ends[1]);
	if (rc == 0)
		rc = pass_receive(ends[0], &made) || made.n_fds != 1 ? ERR_UNAVAILABLE : 0;
	if (rc)
		close(ends[0]);
	else
		*out = (struct supervisor){.jobs = ends[0], .pidfd = made.fds[0]};
	return rc;
}

/* Our own children die with the thread that forked them, which nobody else may be hit by. */
void launcher_give(struct supervisor *s, bool ended)
{
	pthread_mutex_lock(&idle.lock);
	bool keep =
		ended && s->pidfd >= 0 && atomic_load(&launcher) >= 0 && idle.n < LAUNCHER_IDLE_MAX;
	if (keep)
		idle.items[idle.n++] = *s;
	pthread_mutex_unlock(&idle.lock);
	if (!keep)
		supervisor_close(s);
}
