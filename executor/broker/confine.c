#include "executor/broker/confine.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "common/mem.h"

/* The kernel's names for these are newer than Debian 12's headers. */
enum {
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_SOCK = 1 << 9,
	FS_ABI_1 = 0x1fff,
	RULE_PATH_BENEATH = 1,
	CALL_CREATE = 444,
	CALL_ADD_RULE = 445,
	CALL_RESTRICT = 446,
};

struct path_rule {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

static int allow(int rules, const char *path, uint64_t access)
{
	auto_fd int fd = open(path, O_PATH | O_CLOEXEC);
	struct path_rule rule = {.access = access, .fd = fd};

	return fd < 0 || syscall(CALL_ADD_RULE, rules, RULE_PATH_BENEATH, &rule, 0) ? ERR_IO : 0;
}

int confine_files(const char *socket_path, const char *config_dir, struct why *out_why)
{
	const char *const readable[] = {config_dir, "/etc/passwd", "/etc/group"};
	uint64_t handled = FS_ABI_1;
	auto_free char *dir = mem_strdup(socket_path);
	auto_fd int rules = (int)syscall(CALL_CREATE, &handled, sizeof(handled), 0);

	if (rules < 0)
		return why_set(out_why, ERR_UNSUPPORTED, "the kernel has no Landlock");
	*strrchr(dir, '/') = 0;
	if (allow(rules, *dir ? dir : "/", FS_MAKE_SOCK | FS_REMOVE_FILE))
		return why_set(out_why, ERR_CONFIG, "listen: %s: %s", dir, strerror(errno));
	(void)allow(rules, "/proc", FS_READ_FILE | FS_READ_DIR);
	for (size_t i = 0; i < ARRAY_SIZE(readable); i++)
		(void)allow(rules, readable[i], FS_READ_FILE);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(CALL_RESTRICT, rules, 0))
		return why_set(out_why, ERR_UNSUPPORTED, "Landlock: %s", strerror(errno));
	return 0;
}

/* What serving and asking needs once everything is open. */
static const char *const calls[] = {"accept",
				    "accept4",
				    "brk",
				    "clock_getres",
				    "clock_gettime",
				    "clock_nanosleep",
				    "close",
				    "connect",
				    "epoll_create1",
				    "epoll_ctl",
				    "epoll_pwait",
				    "epoll_wait",
				    "eventfd2",
				    "exit",
				    "exit_group",
				    "fcntl",
				    "fstat",
				    "futex",
				    "getdents64",
				    "getegid",
				    "geteuid",
				    "getgid",
				    "getpeername",
				    "getpid",
				    "getppid",
				    "getrandom",
				    "getrusage",
				    "getsockname",
				    "getsockopt",
				    "gettid",
				    "gettimeofday",
				    "getuid",
				    "ioctl",
				    "lseek",
				    "madvise",
				    "mmap",
				    "mprotect",
				    "mremap",
				    "munmap",
				    "nanosleep",
				    "newfstatat",
				    "pipe2",
				    "poll",
				    "ppoll",
				    "pread64",
				    "prlimit64",
				    "read",
				    "readv",
				    "recvfrom",
				    "recvmsg",
				    "restart_syscall",
				    "rseq",
				    "rt_sigaction",
				    "rt_sigprocmask",
				    "rt_sigreturn",
				    "rt_sigtimedwait",
				    "sched_getaffinity",
				    "sched_yield",
				    "sendfile",
				    "sendmsg",
				    "sendto",
				    "set_robust_list",
				    "setsockopt",
				    "shutdown",
				    "sigaltstack",
				    "statx",
				    "sysinfo",
				    "tgkill",
				    "times",
				    "uname",
				    "unlink",
				    "unlinkat",
				    "write",
				    "writev"};

static int add_rules(scmp_filter_ctx ctx)
{
	/* Files: to read only. */
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
				  SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, 0));

	/* Sockets: to the Engine, and the pairs by which threads wake each other. */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				      SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
				      SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
	for (size_t i = 0; !rc && i < ARRAY_SIZE(calls); i++) {
		int nr = seccomp_syscall_resolve_name(calls[i]);

		if (nr != __NR_SCMP_ERROR)
			rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
	}
	return rc;
}

int confine_calls(struct why *out_why)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = ctx ? seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

	if (!rc)
		rc = add_rules(ctx);
	if (!rc)
		rc = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	return rc ? why_set(out_why, ERR_UNSUPPORTED, "seccomp: %s", strerror(-rc)) : 0;
}
