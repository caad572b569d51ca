#include "common/base.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "common/mem.h"
#include "executor/inventory.h"
#include "executor/sandboxes/proxy.h"
#include "executor/sandboxes/sandbox.h"

#define BWRAP "/usr/bin/bwrap"

#define SHM_BYTES "67108864"

enum { ARGS_MAX = 400, TMP_BYTES = 16 << 20, PROXY_BACKLOG = 64 };

/* bwrap's own tmpfs has no limit of files. Where it can be done, ours is mounted before, in a
 * namespace that only the program has, over a directory that no bind is taken from. */
static const char room_at[] = "/media";

/* What this machine lets us do. */
struct way {
	bool fresh_proc;
	bool counted; /* mount the work directory ourselves */
};

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
	ARGS(w, "--dev", "/dev", "--remount-ro", "/dev");
}

/* /tmp always; for code of strangers the work directory and shared memory, too. */
static void add_room(struct wrap *w, const struct sandbox_room *room, bool counted)
{
	char size[32];
	snprintf(size, sizeof(size), "%" PRId64, room ? room->disk_bytes : (int64_t)TMP_BYTES);
	ARGS(w, "--size", size, "--tmpfs", "/tmp");
	if (!room)
		return;
	ARGS(w, "--size", SHM_BYTES, "--tmpfs", "/dev/shm");
	if (counted)
		ARGS(w, "--bind", room_at, SANDBOX_WORK);
	else
		ARGS(w, "--size", size, "--tmpfs", SANDBOX_WORK);
}

/* Behind the proxy the namespace is ours already (make_space). */
static void add_network(struct wrap *w, const struct sandbox_job *job)
{
	static const char *const files[] = {
		"/etc/resolv.conf", "/etc/hosts",           "/etc/nsswitch.conf",
		"/etc/ssl/certs",   "/etc/ssl/openssl.cnf", "/usr/local/share/ca-certificates"};
	if (!job->network && !job->proxy) {
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
		 const struct way *way, struct why *out_why)
{
	int rc = sandbox_user(job->user, &w->spawn.ids, out_why);
	if (rc)
		return rc;
	if (job->fd)
		w->spawn.fds[w->spawn.n_fds++] = fcntl(job->fd, F_DUPFD_CLOEXEC, 3);
	add_root(w, way->fresh_proc);
	add_room(w, job->room, way->counted);
	add_network(w, job);
	rc = add_accounts(w, job->user);
	if (!rc)
		rc = add_binds(w, job, target, out_why);
	enum seccomp_flavour flavour =
		job->network ? SECCOMP_NAMESPACED_NETWORK : SECCOMP_NAMESPACED;
	for (size_t i = 0; !rc && i < SECCOMP_FILTERS; i++)
		rc = add_file(w, "--add-seccomp-fd", seccomp_filter(flavour, i), NULL);
	if (rc)
		return why_set(out_why, rc, "sandbox: %s", err_name(rc));
	const char *cwd = job->cwd ? job->cwd : job->room ? SANDBOX_WORK : "/tmp";
	ARGS(w, "--remount-ro", "/", "--chdir", cwd, "--");
	args(w, (const char *const *)job->argv);
	return 0;
}

/* ---- a work directory with a limit of files ---- */

/* Plain data: it crosses to the launcher. */
struct space {
	bool room;
	int64_t bytes, files;
	uid_t uid;
	gid_t gid;
	int proxy; /* where the listening socket goes; 0: no network at all */
};

/* Between fork and exec: nothing but system calls, so digits by hand. */
static char *add_number(char *to, uint64_t n)
{
	char digits[24];
	size_t len = 0;
	do
		digits[len++] = (char)('0' + n % 10);
	while (n /= 10);
	while (len)
		*to++ = digits[--len];
	return to;
}

static char *add_text(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	return to;
}

static bool put_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, len) == (ssize_t)len;
	if (fd >= 0)
		close(fd);
	return done;
}

static bool put_map(const char *path, unsigned id)
{
	char line[64], *end = add_number(line, id);
	end = add_number(add_text(end, " "), id);
	end = add_text(end, " 1\n");
	return put_file(path, line, (size_t)(end - line));
}

static bool mount_room(const struct space *m)
{
	char options[128];
	char *end = add_number(add_text(options, "mode=0755,size="), (uint64_t)m->bytes);
	*add_number(add_text(end, ",nr_inodes="), (uint64_t)m->files) = '\0';
	return mount("healbus", room_at, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
}

/* A namespace with a loopback of its own; who listens there is outside. */
static int listen_inside(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(PROXY_PORT),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &up) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, PROXY_BACKLOG))
		return -1;
	return fd;
}

static bool hand_out(int to, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} space = {.header = {.cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
			      .cmsg_len = CMSG_LEN(sizeof(int))}};
	char byte = 1;
	struct iovec io = {.iov_base = &byte, .iov_len = 1};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = space.bytes,
			   .msg_controllen = sizeof(space.bytes)};
	memcpy(CMSG_DATA(&space.header), &fd, sizeof(int));
	bool sent = fd >= 0 && sendmsg(to, &m, MSG_NOSIGNAL) == 1;
	if (fd >= 0)
		close(fd);
	close(to);
	return sent;
}

static int make_space(const void *ctx)
{
	const struct space *m = ctx;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | (m->proxy ? CLONE_NEWNET : 0)))
		return -1;
	/* Who has just changed his user may not write his own /proc before he says so. */
	prctl(PR_SET_DUMPABLE, 1);
	bool mapped = put_file("/proc/self/setgroups", "deny", 4) &&
		      put_map("/proc/self/uid_map", m->uid) &&
		      put_map("/proc/self/gid_map", m->gid);
	prctl(PR_SET_DUMPABLE, 0);
	if (!mapped || (m->room && !mount_room(m)))
		return -1;
	return m->proxy && !hand_out(m->proxy, listen_inside()) ? -1 : 0;
}

static void add_space(struct wrap *w, const struct sandbox_job *job, struct space *m)
{
	*m = (struct space){.room = job->room != NULL,
			    .bytes = job->room ? job->room->disk_bytes : 0,
			    .files = job->room ? job->room->files : 0,
			    .uid = w->spawn.ids.uid,
			    .gid = w->spawn.ids.gid};
	if (job->proxy) {
		m->proxy = SPAWN_FD_BASE + (int)w->spawn.n_fds;
		w->spawn.fds[w->spawn.n_fds++] = fcntl(job->proxy, F_DUPFD_CLOEXEC, 3);
	}
	w->spawn.confine = make_space;
	w->spawn.confine_ctx = m;
	w->spawn.confine_len = sizeof(*m);
}

static void run_way(const struct sandbox_job *job, const struct run_limits *limits,
		    struct run_result *result, const struct way *way)
{
	struct wrap w = {0};
	struct space space;
	if (build(&w, job, limits->target, way, &result->why)) {
		result->state = RUN_FAILED;
		wrap_release(&w);
		return;
	}
	w.spawn.argv = w.args;
	w.spawn.env = job->env;
	w.spawn.cpu_limit_s = limits->timeout_ms / 500 + 1;
	w.spawn.bounds = job->bounds;
	if (way->counted)
		add_space(&w, job, &space);
	spawn_run(&w.spawn, limits, result);
	wrap_release(&w);
}

/* Found out once: a machine may allow bwrap its namespaces and nobody else any. */
static bool can_count;

static void find_out(void)
{
	static const struct sandbox_room room = {.disk_bytes = 1 << 20, .files = 100};
	char *const argv[] = {(char *)"/usr/bin/true", NULL}, *const env[] = {NULL};
	const struct way way = {.counted = true};
	struct sandbox_job job = {.argv = argv, .env = env, .room = &room};
	struct run_limits limits = {.timeout_ms = 10000, .output_limit_bytes = 1024};
	struct run_result result = {0};
	run_way(&job, &limits, &result, &way);
	can_count = result.state == RUN_ENDED && result.exit_code == 0;
	buf_release(&result.output);
}

static void run(const struct sandbox_job *job, const struct run_limits *limits,
		struct run_result *result, bool fresh_proc)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct way way = {.fresh_proc = fresh_proc};
	if (job->room || job->proxy) {
		pthread_once(&once, find_out);
		way.counted = can_count;
	}
	if (job->proxy && !can_count) {
		result->state = RUN_FAILED;
		why_set(&result->why, ERR_UNSUPPORTED,
			"listed hosts need a network namespace, which this machine does not give");
		return;
	}
	run_way(job, limits, result, &way);
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
