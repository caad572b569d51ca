#include "executor/sandboxes/supervise.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "executor/sandboxes/job.h"

enum {
	FD_PARKED = 500,
	KEPT_FD = 3,
	CHILDREN_TEXT_BYTES = 4096,
	LAUNCH_STACK_BYTES = 32 << 10,
	FILE_BYTES = 1 << 30,
	OPEN_FILES = 256,
};

static void say_and_exit(const char *text)
{
	ssize_t ignored = write(2, text, strlen(text));
	(void)ignored;
	_exit(126);
}

/* Afterwards there are 0-2 and what the program is given, nothing else; where keep is one, also
 * that, as KEPT_FD. */
static void arrange_fds(const struct spawn *s, int out, int keep)
{
	int parked[SPAWN_FDS_MAX], parked_keep = keep < 0 ? -1 : fcntl(keep, F_DUPFD, FD_PARKED);
	int null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	for (size_t i = 0; i < s->n_fds; i++)
		parked[i] = fcntl(s->fds[i], F_DUPFD, FD_PARKED);
	for (size_t i = 0; i < s->n_fds; i++)
		if (parked[i] < 0 || dup2(parked[i], SPAWN_FD_BASE + (int)i) < 0)
			say_and_exit("sandbox: descriptors\n");
	if (keep >= 0 && dup3(parked_keep, KEPT_FD, O_CLOEXEC) < 0)
		say_and_exit("sandbox: descriptors\n");
	syscall(SYS_close_range, KEPT_FD + (keep >= 0), SPAWN_FD_BASE - 1, 0);
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
	const struct spawn_bounds *b = &s->bounds;
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, (rlim_t)(b->file_bytes ? b->file_bytes : FILE_BYTES));
	limit(RLIMIT_NOFILE, (rlim_t)(b->open_files ? b->open_files : OPEN_FILES));
	if (b->memory_bytes)
		limit(RLIMIT_DATA, (rlim_t)b->memory_bytes);
	/* It counts all processes of the user: of ours there may be many already. */
	if (b->processes && s->ids.change)
		limit(RLIMIT_NPROC, (rlim_t)b->processes);
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

static void __attribute__((noreturn)) become_program(const struct spawn *s, int out)
{
	arrange_fds(s, out, -1);
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

struct start {
	const struct spawn *spawn;
	int out;
};

static int launch(void *start)
{
	const struct start *s = start;
	become_program(s->spawn, s->out);
}

/* Shares the supervisor's memory until it executes: nothing is copied that exec would throw away.
 */
static pid_t start_program(const struct spawn *s, int out)
{
	char stack[LAUNCH_STACK_BYTES] __attribute__((aligned(64)));
	struct start start = {s, out};
	return clone(launch, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
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

/* Until the program has ended or somebody wants it to; its exit code. */
static int wait_for_end(pid_t program)
{
	sigset_t wake;
	int code = 128 + SIGKILL;
	sigemptyset(&wake);
	sigaddset(&wake, SIGCHLD);
	sigaddset(&wake, SIGTERM);
	while (!reap(program, &code))
		if (sigwaitinfo(&wake, NULL) == SIGTERM)
			break;
	return code;
}

static void end_all(void)
{
	do
		kill_children();
	while (waitpid(-1, NULL, 0) >= 0 || errno != ECHILD);
}

static int run_program(const struct spawn *s, int out)
{
	static const char cannot[] = "sandbox: cannot fork\n";
	pid_t program = start_program(s, out);
	int code = 126;
	if (program < 0 && write(out, cannot, sizeof(cannot) - 1) < 0)
		return code;
	if (program > 0)
		code = wait_for_end(program);
	end_all();
	return code;
}

static void begin(pid_t parent)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(126);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setpgid(0, 0);
}

static void let_term_end_us(bool yes)
{
	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(yes ? SIG_UNBLOCK : SIG_BLOCK, &term, NULL);
}

void supervise(int jobs, pid_t parent)
{
	begin(parent);
	if (dup2(jobs, KEPT_FD) < 0)
		_exit(126);
	syscall(SYS_close_range, KEPT_FD + 1, ~0U, 0);
	for (;;) {
		struct spawn s;
		int out = -1;
		let_term_end_us(true);
		int rc = job_receive(KEPT_FD, &s, &out);
		let_term_end_us(false);
		if (rc)
			_exit(0);
		int code = run_program(&s, out);
		send(KEPT_FD, &code, sizeof(code), MSG_NOSIGNAL);
		job_forget(); /* closes the output: from now on we may be given the next */
	}
}

void supervise_one(const struct spawn *s, int out, int status, pid_t parent)
{
	struct spawn moved = *s;
	begin(parent);
	arrange_fds(s, out, status);
	for (size_t i = 0; i < s->n_fds; i++)
		moved.fds[i] = SPAWN_FD_BASE + (int)i;
	int code = run_program(&moved, 1);
	send(KEPT_FD, &code, sizeof(code), MSG_NOSIGNAL);
	_exit(code);
}
