#include "executor/sandboxes/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "executor/sandboxes/sandbox.h"
#include "executor/sandboxes/supervise.h"

enum {
	REQUEST_BYTES = 128 << 10,
	CONTEXT_BYTES = 64,
	STRINGS_MAX = 600,
	FDS_MAX = SPAWN_FDS_MAX + 2, /* output and status first */
};

/* What is sent, followed by argv and env, each string with its NUL. Both ends are one program. */
struct request {
	size_t n_argv, n_env, n_fds;
	struct spawn_ids ids;
	int64_t cpu_limit_s;
	struct spawn_bounds bounds;
	int (*confine)(const void *ctx);
	_Alignas(16) unsigned char context[CONTEXT_BYTES];
};

union fd_space {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
};

/* The launcher's socket; -1: none. */
static atomic_int launcher = -1;

/* ---- in the launcher: one thread, no memory but its own stack and this ---- */

static struct {
	_Alignas(struct request) char bytes[REQUEST_BYTES];
	char *strings[STRINGS_MAX + 2];
	int fds[FDS_MAX];
	struct spawn spawn;
} work;

static bool parse_strings(size_t len, const struct request *q)
{
	const char *end = work.bytes + len;
	char *at = work.bytes + sizeof(*q);
	size_t n = 0;
	if (q->n_argv == 0 || q->n_argv + q->n_env > STRINGS_MAX)
		return false;
	for (size_t i = 0; i < q->n_argv + q->n_env; i++) {
		char *nul = memchr(at, '\0', (size_t)(end - at));
		if (!nul)
			return false;
		if (i == q->n_argv)
			work.strings[n++] = NULL;
		work.strings[n++] = at;
		at = nul + 1;
	}
	if (q->n_env == 0)
		work.strings[n++] = NULL;
	work.strings[n] = NULL;
	return true;
}

static bool parse_request(size_t len, size_t n_fds)
{
	const struct request *q = (const void *)work.bytes;
	if (len < sizeof(*q) || n_fds != q->n_fds + 2 || !parse_strings(len, q))
		return false;
	work.spawn = (struct spawn){.argv = work.strings,
				    .env = work.strings + q->n_argv + 1,
				    .n_fds = q->n_fds,
				    .ids = q->ids,
				    .cpu_limit_s = q->cpu_limit_s,
				    .bounds = q->bounds,
				    .confine = q->confine,
				    .confine_ctx = q->context};
	memcpy(work.spawn.fds, work.fds + 2, q->n_fds * sizeof(int));
	return true;
}

/* 0 at the end: the executor is gone. */
static ssize_t receive(int from, size_t *out_n_fds)
{
	union fd_space space;
	struct iovec io = {.iov_base = work.bytes, .iov_len = sizeof(work.bytes)};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = space.bytes,
			   .msg_controllen = sizeof(space.bytes)};
	ssize_t len = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = len > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	*out_n_fds = 0;
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return len;
	*out_n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(work.fds, CMSG_DATA(c), *out_n_fds * sizeof(int));
	return len;
}

static bool send_fd(int to, int fd)
{
	char made = 1;
	union fd_space space = {0};
	struct iovec io = {.iov_base = &made, .iov_len = 1};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = space.bytes,
			   .msg_controllen = CMSG_SPACE(sizeof(int))};
	space.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
					.cmsg_type = SCM_RIGHTS,
					.cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(&space.header), &fd, sizeof(int));
	return sendmsg(to, &m, MSG_NOSIGNAL) == 1;
}

/* Starts nothing before the launcher says so. */
static void __attribute__((noreturn))
wait_and_supervise(const int *go, int out, int status, pid_t parent)
{
	char byte;
	close(go[1]);
	if (read(go[0], &byte, 1) != 1)
		_exit(126);
	supervise(&work.spawn, out, status, parent);
}

/* The executor has the pidfd before anything runs: who was not told of one may start the program
 * himself. */
static void launch(int out, int status)
{
	int go[2];
	pid_t me = getpid();
	if (pipe2(go, O_CLOEXEC))
		return;
	pid_t pid = fork();
	if (pid == 0)
		wait_and_supervise(go, out, status, me);
	int pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd >= 0 && send_fd(status, pidfd) && write(go[1], "", 1) != 1)
		kill(pid, SIGKILL);
	close(go[0]);
	close(go[1]);
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
		size_t n_fds = 0;
		ssize_t len = receive(3, &n_fds);
		if (len == 0 || (len < 0 && errno != EINTR))
			_exit(0);
		if (len > 0 && parse_request((size_t)len, n_fds))
			launch(work.fds[0], work.fds[1]);
		for (size_t i = 0; i < n_fds; i++)
			close(work.fds[i]);
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

void launcher_close(void)
{
	int fd = atomic_exchange(&launcher, -1);
	if (fd >= 0)
		close(fd);
}

static size_t add_strings(struct buf *b, char *const *list)
{
	size_t n = 0;
	for (; list[n]; n++)
		buf_add(b, list[n], strlen(list[n]) + 1);
	return n;
}

static int pack(const struct spawn *s, struct buf *out)
{
	struct request q = {.n_fds = s->n_fds,
			    .ids = s->ids,
			    .cpu_limit_s = s->cpu_limit_s,
			    .bounds = s->bounds,
			    .confine = s->confine};
	if (s->confine_len > sizeof(q.context))
		return ERR_TOO_LARGE;
	if (s->confine_len > 0)
		memcpy(q.context, s->confine_ctx, s->confine_len);
	buf_add(out, &q, sizeof(q));
	q.n_argv = add_strings(out, s->argv);
	q.n_env = add_strings(out, s->env);
	memcpy(out->data, &q, sizeof(q));
	bool fits = out->len <= REQUEST_BYTES && q.n_argv + q.n_env <= STRINGS_MAX;
	return fits ? 0 : ERR_TOO_LARGE;
}

static int send_request(int to, const struct buf *request, const int *fds, size_t n_fds)
{
	union fd_space space = {0};
	struct iovec io = {.iov_base = request->data, .iov_len = request->len};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = space.bytes,
			   .msg_controllen = CMSG_SPACE(n_fds * sizeof(int))};
	space.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
					.cmsg_type = SCM_RIGHTS,
					.cmsg_len = CMSG_LEN(n_fds * sizeof(int))};
	memcpy(CMSG_DATA(&space.header), fds, n_fds * sizeof(int));
	ssize_t sent = sendmsg(to, &m, MSG_NOSIGNAL);
	return sent == (ssize_t)request->len ? 0 : ERR_UNAVAILABLE;
}

int launcher_made(int status, int *out_pidfd)
{
	char made = 0;
	union fd_space space;
	struct iovec io = {.iov_base = &made, .iov_len = 1};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = space.bytes,
			   .msg_controllen = sizeof(space.bytes)};
	ssize_t len = recvmsg(status, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = len == 1 && made ? CMSG_FIRSTHDR(&m) : NULL;
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return ERR_UNAVAILABLE;
	memcpy(out_pidfd, CMSG_DATA(c), sizeof(int));
	return 0;
}

int launcher_ask(const struct spawn *s, int out, int status)
{
	int to = atomic_load(&launcher);
	int fds[FDS_MAX] = {out, status};
	auto_buf request = {0};
	if (to < 0)
		return ERR_UNAVAILABLE;
	int rc = pack(s, &request);
	memcpy(fds + 2, s->fds, s->n_fds * sizeof(int));
	return rc ? rc : send_request(to, &request, fds, s->n_fds + 2);
}
