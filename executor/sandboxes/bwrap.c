#include "common/base.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "common/mem.h"
#include "executor/inventory.h"
#include "executor/sandboxes/sandbox.h"

#define BWRAP "/usr/bin/bwrap"

enum { ARGS_MAX = 400, TMP_BYTES = 16 << 20 };

/* The argument list of bubblewrap and the descriptors it names. */
struct wrap {
	char *args[ARGS_MAX];
	size_t n;
	struct spawn spawn;
	struct buf passwd;
};

static void wrap_release(struct wrap *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->args[i]);
	for (size_t i = 0; i < w->spawn.n_fds; i++)
		close(w->spawn.fds[i]);
	buf_release(&w->passwd);
}

static void arg(struct wrap *w, const char *text)
{
	assert(w->n + 1 < ARGS_MAX);
	w->args[w->n++] = mem_strdup(text);
}

static void args(struct wrap *w, const char *const *list)
{
	for (; *list; list++)
		arg(w, *list);
}

#define ARGS(w, ...) args(w, (const char *const[]){__VA_ARGS__, NULL})

/* Hands the descriptor to the child; adds its number there as an argument. */
static void arg_fd(struct wrap *w, int fd)
{
	assert(w->spawn.n_fds < SPAWN_FDS_MAX);
	char number[16];
	snprintf(number, sizeof(number), "%d", SPAWN_FD_BASE + (int)w->spawn.n_fds);
	w->spawn.fds[w->spawn.n_fds++] = fd;
	arg(w, number);
}

static int memory_file(const void *data, size_t len)
{
	int fd = memfd_create("healbus", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static int add_file(struct wrap *w, const char *option, const struct buf *content, const char *at)
{
	int fd = memory_file(buf_str(content), content->len);
	if (fd < 0)
		return ERR_IO;
	arg(w, option);
	arg_fd(w, fd);
	if (at)
		arg(w, at);
	return 0;
}

static void add_root(struct wrap *w, bool fresh_proc)
{
	ARGS(w, BWRAP, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts",
	     "--unshare-cgroup-try", "--disable-userns", "--die-with-parent", "--new-session",
	     "--cap-drop", "ALL", "--hostname", "healbus");
	ARGS(w, "--size", "1048576", "--tmpfs", "/", "--ro-bind", "/usr", "/usr", "--symlink",
	     "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin", "--symlink", "usr/lib", "/lib",
	     "--symlink", "usr/lib64", "/lib64", "--dir", "/etc", "--ro-bind-try",
	     "/etc/ld.so.cache", "/etc/ld.so.cache", "--ro-bind-try", "/etc/alternatives",
	     "/etc/alternatives");
	if (fresh_proc)
		ARGS(w, "--proc", "/proc");
	else
		ARGS(w, "--size", "65536", "--tmpfs", "/proc");
	ARGS(w, "--dev", "/dev", "--remount-ro", "/dev", "--size", "16777216", "--tmpfs", "/tmp");
}

static void add_network(struct wrap *w, bool network)
{
	static const char *const files[] = {
		"/etc/resolv.conf", "/etc/hosts",           "/etc/nsswitch.conf",
		"/etc/ssl/certs",   "/etc/ssl/openssl.cnf", "/usr/local/share/ca-certificates"};
	if (!network) {
		arg(w, "--unshare-net");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		ARGS(w, "--ro-bind-try", files[i], files[i]);
}

static int add_binds(struct wrap *w, const struct sandbox_job *job, const struct target *target,
		     struct why *out_why)
{
	static const struct target nowhere;
	for (size_t i = 0; i < job->n_binds; i++) {
		const struct sandbox_bind *b = &job->binds[i];
		int fd = -1;
		int rc = target_open_path(target ? target : &nowhere, b->path, &fd, out_why);
		if (rc)
			return rc;
		arg(w, b->writable ? "--bind-fd" : "--ro-bind-fd");
		arg_fd(w, fd);
		arg(w, b->at ? b->at : b->path);
	}
	return 0;
}

static int add_accounts(struct wrap *w, const char *user)
{
	buf_add_str(&w->passwd, "root:x:0:0:root:/tmp:/usr/sbin/nologin\n");
	buf_printf(&w->passwd, "%s:x:%u:%u::/tmp:/usr/sbin/nologin\n", user ? user : "nobody",
		   w->spawn.ids.uid, w->spawn.ids.gid);
	return add_file(w, "--ro-bind-data", &w->passwd, "/etc/passwd");
}

static int build(struct wrap *w, const struct sandbox_job *job, const struct target *target,
		 bool fresh_proc, struct why *out_why)
{
	int rc = sandbox_user(job->user, &w->spawn.ids, out_why);
	if (rc)
		return rc;
	add_root(w, fresh_proc);
	add_network(w, job->network);
	rc = add_accounts(w, job->user);
	if (!rc)
		rc = add_binds(w, job, target, out_why);
	for (size_t i = 0; !rc && i < SECCOMP_FILTERS; i++)
		rc = add_file(w, "--add-seccomp-fd", seccomp_filter(SECCOMP_NAMESPACED, i), NULL);
	if (rc)
		return why_set(out_why, rc, "sandbox: %s", err_name(rc));
	ARGS(w, "--remount-ro", "/", "--chdir", job->cwd ? job->cwd : "/tmp", "--");
	args(w, (const char *const *)job->argv);
	return 0;
}

static void run(const struct sandbox_job *job, const struct run_limits *limits,
		struct run_result *result, bool fresh_proc)
{
	struct wrap w = {0};
	if (build(&w, job, limits->target, fresh_proc, &result->why)) {
		result->state = RUN_FAILED;
		wrap_release(&w);
		return;
	}
	w.spawn.argv = w.args;
	w.spawn.env = job->env;
	w.spawn.cpu_limit_s = limits->timeout_ms / 500 + 1;
	w.spawn.bounds = job->bounds;
	spawn_run(&w.spawn, limits, result);
	wrap_release(&w);
}

static void run_full(const struct sandbox_job *job, const struct run_limits *limits,
		     struct run_result *result)
{
	run(job, limits, result, true);
}

static void run_noproc(const struct sandbox_job *job, const struct run_limits *limits,
		       struct run_result *result)
{
	run(job, limits, result, false);
}

const struct sandbox sandbox_bwrap = {.name = "bwrap", .level = SANDBOX_FULL, .run = run_full};
const struct sandbox sandbox_bwrap_noproc = {
	.name = "bwrap without /proc", .level = SANDBOX_FULL, .run = run_noproc};
