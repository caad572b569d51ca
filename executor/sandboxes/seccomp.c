#include "common/base.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "executor/sandboxes/sandbox.h"

/* What a tool may call; everything else answers ENOSYS, so that libc falls back. clone3 is left out
 * on purpose: its flags lie in memory, where a filter cannot look; those of clone can be checked.
 */
static const char *const allowed[] = {
	"accept", "accept4", "access", "alarm", "arch_prctl", "bind", "brk", "capget", "chdir",
	"chown", "clock_getres", "clock_gettime", "clock_nanosleep", "close", "close_range",
	"connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create",
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd",
	"eventfd2", "execve", "execveat", "exit", "exit_group", "faccessat", "faccessat2",
	"fadvise64", "fallocate", "fchdir", "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr",
	"flistxattr", "flock", "fork", "fstat", "fstatfs", "fsync", "ftruncate", "futex", "getcpu",
	"getcwd", "getdents", "getdents64", "getegid", "geteuid", "getgid", "getgroups",
	"getitimer", "getpeername", "getpgid", "getpgrp", "getpid", "getppid", "getpriority",
	"getrandom", "getresgid", "getresuid", "getrlimit", "get_robust_list", "getrusage",
	"getsid", "getsockname", "getsockopt", "gettid", "gettimeofday", "getuid", "getxattr",
	"inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "kill", "lchown",
	"lgetxattr", "link", "linkat", "listen", "listxattr", "llistxattr", "lseek", "lstat",
	"madvise", "membarrier", "memfd_create", "mincore", "mkdir", "mkdirat", "mmap", "mprotect",
	"mremap", "msync", "munlock", "munmap", "nanosleep", "newfstatat", "open", "openat",
	"openat2", "pause", "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "poll", "ppoll",
	"prctl", "pread64", "preadv", "preadv2", "prlimit64", "pselect6", "pwrite64", "pwritev",
	"pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "recvfrom", "recvmmsg",
	"recvmsg", "rename", "renameat", "renameat2", "restart_syscall", "rmdir", "rseq",
	"rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
	"rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_getaffinity",
	"sched_getattr", "sched_getparam", "sched_get_priority_max", "sched_get_priority_min",
	"sched_getscheduler", "sched_setaffinity", "sched_yield", "select", "sendfile", "sendmmsg",
	"sendmsg", "sendto", "setfsgid", "setfsuid", "setgid", "setgroups", "setitimer", "setpgid",
	"setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setrlimit",
	"set_robust_list", "setsid", "setsockopt", "set_tid_address", "setuid", "shutdown",
	"sigaltstack", "signalfd", "signalfd4", "socketpair", "splice", "stat", "statfs", "statx",
	"symlink", "symlinkat", "sync_file_range", "sysinfo", "tee", "tgkill", "time",
	"timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
	"timerfd_create", "timerfd_gettime", "timerfd_settime", "times", "tkill", "truncate",
	"umask", "uname", "unlink", "unlinkat", "utime", "utimensat", "utimes", "vfork", "wait4",
	"waitid", "write", "writev",
	/* narrowed by the second filter */
	"ioctl", "chmod", "fchmod", "fchmodat"};

/* These say "not permitted", so that programs report it instead of trying something else. */
static const char *const refused[] = {"add_key",
				      "bpf",
				      "chroot",
				      "clock_settime",
				      "delete_module",
				      "finit_module",
				      "init_module",
				      "io_uring_setup",
				      "kexec_load",
				      "keyctl",
				      "mknod",
				      "mknodat",
				      "mount",
				      "move_mount",
				      "name_to_handle_at",
				      "open_by_handle_at",
				      "perf_event_open",
				      "pivot_root",
				      "process_vm_readv",
				      "process_vm_writev",
				      "ptrace",
				      "quotactl",
				      "reboot",
				      "request_key",
				      "setdomainname",
				      "sethostname",
				      "setns",
				      "settimeofday",
				      "swapoff",
				      "swapon",
				      "syslog",
				      "umount2",
				      "unshare",
				      "userfaultfd",
				      "vhangup"};

static const unsigned long namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
					CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;

static struct buf filters[SECCOMP_FLAVOURS][SECCOMP_FILTERS];

static int add_names(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t n)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < n; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);
		if (nr != __NR_SCMP_ERROR)
			rc = seccomp_rule_add(ctx, action, nr, 0);
	}
	return rc;
}

static int add_sockets(scmp_filter_ctx ctx, enum seccomp_flavour flavour)
{
	static const unsigned long types[] = {SOCK_STREAM, SOCK_DGRAM};
	const unsigned long families[] = {AF_INET, AF_INET6, AF_UNIX};
	static const size_t counts[] = {[SECCOMP_NAMESPACED] = 3,
					[SECCOMP_NAMESPACED_NETWORK] = 3,
					[SECCOMP_BARE_NETWORK] = 2};
	bool network = flavour == SECCOMP_NAMESPACED_NETWORK || flavour == SECCOMP_BARE_NETWORK;
	size_t n = counts[flavour];
	int rc = 0;
	for (size_t f = 0; f < n; f++)
		for (size_t t = 0; !rc && t < ARRAY_SIZE(types); t++)
			rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
					      SCMP_A0(SCMP_CMP_EQ, families[f], 0),
					      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, types[t]));
	/* The C library asks the kernel which addresses there are. */
	if (!rc && network)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
				      SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0),
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_RAW));
	return rc;
}

static int build_main(scmp_filter_ctx ctx, enum seccomp_flavour flavour)
{
	int rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!rc)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!rc)
		rc = add_names(ctx, SCMP_ACT_ALLOW, allowed, ARRAY_SIZE(allowed));
	if (!rc)
		rc = add_names(ctx, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_SIZE(refused));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				      SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces, 0));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
				      SCMP_A0(SCMP_CMP_EQ, 0, 0));
	return rc ? rc : add_sockets(ctx, flavour);
}

/* A default-deny filter cannot say "this call, except with these values": a second one does. The
 * kernel compares an ioctl's request on its low 32 bits only (CVE-2019-7303), and so do we. */
static int build_exceptions(scmp_filter_ctx ctx)
{
	static const unsigned long requests[] = {TIOCSTI, 0x541C /* TIOCLINUX */, TIOCSETD};
	static const unsigned long modes[] = {04000, 02000};
	int rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	uint32_t no = SCMP_ACT_ERRNO(EPERM);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(requests); i++)
		rc = seccomp_rule_add(ctx, no, SCMP_SYS(ioctl), 1,
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffU, requests[i]));
	for (size_t i = 0; !rc && i < ARRAY_SIZE(modes); i++) {
		struct scmp_arg_cmp second = SCMP_A1(SCMP_CMP_MASKED_EQ, modes[i], modes[i]);
		struct scmp_arg_cmp third = SCMP_A2(SCMP_CMP_MASKED_EQ, modes[i], modes[i]);
		rc = seccomp_rule_add(ctx, no, SCMP_SYS(chmod), 1, second);
		if (!rc)
			rc = seccomp_rule_add(ctx, no, SCMP_SYS(fchmod), 1, second);
		if (!rc)
			rc = seccomp_rule_add(ctx, no, SCMP_SYS(fchmodat), 1, third);
	}
	return rc;
}

static void export_filter(scmp_filter_ctx ctx, struct buf *out)
{
	auto_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
	char chunk[4096];
	if (fd < 0 || seccomp_export_bpf(ctx, fd) || lseek(fd, 0, SEEK_SET) != 0)
		abort();
	for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0;)
		buf_add(out, chunk, (size_t)n);
}

static void build_all(void)
{
	for (size_t f = 0; f < SECCOMP_FLAVOURS; f++) {
		scmp_filter_ctx main_ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
		scmp_filter_ctx rest_ctx = seccomp_init(SCMP_ACT_ALLOW);
		if (!main_ctx || !rest_ctx || build_main(main_ctx, (enum seccomp_flavour)f) ||
		    build_exceptions(rest_ctx))
			abort();
		export_filter(main_ctx, &filters[f][0]);
		export_filter(rest_ctx, &filters[f][1]);
		seccomp_release(main_ctx);
		seccomp_release(rest_ctx);
	}
}

const struct buf *seccomp_filter(enum seccomp_flavour flavour, size_t i)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, build_all);
	return &filters[flavour][i];
}

/* ---- the same for a container engine, which makes its own filter ---- */

static json_t *rule(json_t *names, const char *action)
{
	return json_pack("{s:o, s:s}", "names", names, "action", action);
}

static json_t *names_json(const char *const *names, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(names[i]));
	return list;
}

static json_t *masked(unsigned index, unsigned long mask, unsigned long value)
{
	return json_pack("{s:i, s:I, s:I, s:s}", "index", (int)index, "value", (json_int_t)mask,
			 "valueTwo", (json_int_t)value, "op", "SCMP_CMP_MASKED_EQ");
}

void seccomp_profile(struct buf *out)
{
	static const unsigned long families[] = {AF_INET, AF_INET6, AF_UNIX},
				   types[] = {SOCK_STREAM, SOCK_DGRAM};
	json_t *list = json_array(), *clone = rule(json_pack("[s]", "clone"), "SCMP_ACT_ALLOW");
	json_array_append_new(list,
			      rule(names_json(allowed, ARRAY_SIZE(allowed)), "SCMP_ACT_ALLOW"));
	json_object_set_new(clone, "args", json_pack("[o]", masked(0, namespaces, 0)));
	json_array_append_new(list, clone);
	/* The C library falls back when it is told that there is no such call. */
	json_array_append_new(list, json_pack("{s:[s], s:s, s:i}", "names", "clone3", "action",
					      "SCMP_ACT_ERRNO", "errnoRet", ENOSYS));
	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
			json_t *socket = rule(json_pack("[s]", "socket"), "SCMP_ACT_ALLOW");
			json_object_set_new(socket, "args",
					    json_pack("[o,o]", masked(0, ~0U, families[f]),
						      masked(1, 0xf, types[t])));
			json_array_append_new(list, socket);
		}
	}
	json_t *o = json_pack("{s:s, s:[s], s:o}", "defaultAction", "SCMP_ACT_ERRNO",
			      "architectures", "SCMP_ARCH_X86_64", "syscalls", list);
	auto_free char *text = json_dumps(o, JSON_COMPACT);
	buf_add_str(out, text ? text : "");
	json_decref(o);
}
