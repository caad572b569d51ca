#include "common/base.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "executor/inventory.h"
#include "executor/sandboxes/sandbox.h"

/* The kernel's names for these are newer than Debian 12's headers (Landlock ABI 7). */
enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_MAKE_CHAR = 1 << 6,
	FS_MAKE_SOCK = 1 << 9,
	FS_MAKE_FIFO = 1 << 10,
	FS_MAKE_BLOCK = 1 << 11,
	FS_REFER = 1 << 13,
	FS_TRUNCATE = 1 << 14,
	FS_IOCTL_DEV = 1 << 15,
	FS_ABI_1 = 0x1fff,
	NET_ALL = 3,
	SCOPE_ALL = 3,
	RULE_PATH_BENEATH = 1,
	VERSION_FLAG = 1,
	CALL_CREATE = 444,
	CALL_ADD_RULE = 445,
	CALL_RESTRICT = 446,
};

struct rules_attr {
	uint64_t fs, net, scoped;
};

struct path_rule {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

struct confinement {
	int rules;
	int cwd; /* -1: HOME_DIR */
	uint64_t fs;
	enum seccomp_flavour flavour;
};

/* Where a program begins: a directory that it may open. */
#define HOME_DIR "/usr"

static int rules_open(struct confinement *c, bool network)
{
	long abi = syscall(CALL_CREATE, NULL, 0, VERSION_FLAG);
	if (abi < 1)
		return ERR_UNSUPPORTED;
	c->fs = FS_ABI_1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
		(abi >= 5 ? FS_IOCTL_DEV : 0);
	struct rules_attr attr = {.fs = c->fs,
				  .net = abi >= 4 && !network ? NET_ALL : 0,
				  .scoped = abi >= 6 ? SCOPE_ALL : 0};
	size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
	long fd = syscall(CALL_CREATE, &attr, size, 0);
	if (fd < 0)
		return ERR_UNSUPPORTED;
	c->rules = (int)fd;
	return 0;
}

static int allow_fd(const struct confinement *c, int fd, uint64_t access)
{
	struct stat st;
	if (fstat(fd, &st))
		return ERR_IO;
	if (!S_ISDIR(st.st_mode))
		access &= FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
	struct path_rule rule = {.access = access & c->fs, .fd = fd};
	return syscall(CALL_ADD_RULE, c->rules, RULE_PATH_BENEATH, &rule, 0) ? ERR_IO : 0;
}

static void allow_path(const struct confinement *c, const char *path, uint64_t access)
{
	auto_fd int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd >= 0)
		allow_fd(c, fd, access);
}

static void allow_system(const struct confinement *c, bool network)
{
	static const char *const trees[] = {"/usr", "/bin",   "/sbin",
					    "/lib", "/lib64", "/etc/alternatives"};
	static const char *const files[] = {"/etc/ld.so.cache", "/dev/zero", "/dev/urandom",
					    "/etc/passwd"};
	static const char *const net[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf",
					  "/etc/ssl/certs", "/etc/ssl/openssl.cnf"};
	for (size_t i = 0; i < ARRAY_SIZE(trees); i++)
		allow_path(c, trees[i], FS_EXECUTE | FS_READ_FILE | FS_READ_DIR);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		allow_path(c, files[i], FS_READ_FILE);
	for (size_t i = 0; network && i < ARRAY_SIZE(net); i++)
		allow_path(c, net[i], FS_READ_FILE | FS_READ_DIR);
	allow_path(c, "/dev/null", FS_READ_FILE | FS_WRITE_FILE);
}

static const struct target nowhere;

static int allow_binds(const struct confinement *c, const struct sandbox_job *job,
		       const struct target *target, struct why *out_why)
{
	const uint64_t special = FS_MAKE_CHAR | FS_MAKE_BLOCK | FS_MAKE_SOCK | FS_MAKE_FIFO;
	for (size_t i = 0; i < job->n_binds; i++) {
		const struct sandbox_bind *b = &job->binds[i];
		if (b->at && !str_eq(b->at, b->path))
			return why_set(out_why, ERR_UNSUPPORTED,
				       "%s cannot appear elsewhere in this sandbox", b->path);
		auto_fd int fd = -1;
		int rc = target_open_path(target ? target : &nowhere, b->path, &fd, out_why);
		uint64_t access =
			b->writable ? c->fs & ~special : FS_EXECUTE | FS_READ_FILE | FS_READ_DIR;
		if (!rc)
			rc = allow_fd(c, fd, access);
		if (rc)
			return why_set(out_why, rc, "%s: %s", b->path, err_name(rc));
	}
	return 0;
}

/* In the child, between fork and exec: nothing but system calls. */
static int confine(const void *ctx)
{
	const struct confinement *c = ctx;
	if (c->cwd >= 0 ? fchdir(SPAWN_FD_BASE + 1) : chdir(HOME_DIR))
		return -1;
	if (c->cwd >= 0)
		close(SPAWN_FD_BASE + 1);
	if (syscall(CALL_RESTRICT, SPAWN_FD_BASE, 0))
		return -1;
	close(SPAWN_FD_BASE);
	for (size_t i = 0; i < SECCOMP_FILTERS; i++) {
		const struct buf *f = seccomp_filter(c->flavour, i);
		struct sock_fprog program = {
			.len = (unsigned short)(f->len / sizeof(struct sock_filter)),
			.filter = (struct sock_filter *)(void *)f->data};
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
			return -1;
	}
	return 0;
}

static int prepare(struct confinement *c, struct spawn *s, const struct sandbox_job *job,
		   const struct run_limits *limits, struct why *out_why)
{
	int rc = sandbox_user(job->user, &s->ids, out_why);
	if (!rc && rules_open(c, job->network))
		rc = why_set(out_why, ERR_UNSUPPORTED, "the kernel has no Landlock");
	if (rc)
		return rc;
	if (job->cwd)
		rc = target_open_path(limits->target ? limits->target : &nowhere, job->cwd, &c->cwd,
				      out_why);
	if (rc)
		return rc;
	allow_system(c, job->network);
	return allow_binds(c, job, limits->target, out_why);
}

static void run(const struct sandbox_job *job, const struct run_limits *limits,
		struct run_result *result)
{
	struct confinement c = {.rules = -1,
				.cwd = -1,
				.flavour = job->network ? SECCOMP_BARE_NETWORK : SECCOMP_BARE};
	struct spawn s = {.argv = job->argv,
			  .env = job->env,
			  .cpu_limit_s = limits->timeout_ms / 500 + 1,
			  .bounds = job->bounds,
			  .confine = confine,
			  .confine_ctx = &c,
			  .confine_len = sizeof(c)};
	seccomp_filter(c.flavour, 0); /* built before the fork */
	result->state = RUN_FAILED;
	if (job->proxy) {
		why_set(&result->why, ERR_UNSUPPORTED,
			"listed hosts need a network namespace; this sandbox has none");
		return;
	}
	int rc = prepare(&c, &s, job, limits, &result->why);
	auto_fd int rules = c.rules;
	auto_fd int cwd = c.cwd;
	if (rc)
		return;
	s.fds[s.n_fds++] = rules;
	if (cwd >= 0)
		s.fds[s.n_fds++] = cwd;
	spawn_run(&s, limits, result);
}

const struct sandbox sandbox_landlock = {.name = "landlock", .level = SANDBOX_LANDLOCK, .run = run};
