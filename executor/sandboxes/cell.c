#include "executor/sandboxes/cell.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/mem.h"
#include "executor/sandboxes/archive.h"
#include "executor/sandboxes/place.h"
#include "executor/sandboxes/watch.h"

#define IN_DIR "/in"
#define INPUT "/input"

enum {
	ARGV_MAX = 128,
	BINDS_MAX = 32,
	BEGUN_BYTES = 1, /* before the archive, as soon as the program begins */
	SAID_BYTES = 300,
};

/* Runs inside, around the program: the copy in, the program, an end to all it has left running,
 * the archive out. Whoever tampers with it hurts only what he leaves himself. */
static const char script[] =
	"cp -rP --preserve=mode,timestamps,links " IN_DIR "/. . || exit 125\n"
	"printf x >&10 || exit 125\n"
	"\"$@\" 10>&- <\"$0\"\n"
	"code=$?\n"
	"kill -KILL -1 2>/dev/null\n"
	"chmod -R u+rwX . 2>/dev/null\n"
	"tar -cf - --hard-dereference --ignore-failed-read . >&10 2>/dev/null\n"
	"exit $code\n";
static const char script_discard[] =
	"cp -rP --preserve=mode,timestamps,links " IN_DIR "/. . || exit 125\n"
	"exec \"$@\" <\"$0\"\n";

static struct sandbox_room room_of(const struct cell *c)
{
	struct sandbox_room r = c->room;
	r.disk_bytes = r.disk_bytes ? r.disk_bytes : CELL_DISK_BYTES;
	r.files = r.files ? r.files : CELL_FILES;
	return r;
}

/* What is passed out is all files, with a header each. */
static struct spawn_bounds bounds_of(const struct sandbox_job *job, const struct sandbox_room *room)
{
	struct spawn_bounds b = job->bounds;
	b.memory_bytes = b.memory_bytes ? b.memory_bytes : CELL_MEMORY_BYTES;
	b.processes = b.processes ? b.processes : CELL_PROCESSES;
	b.open_files = b.open_files ? b.open_files : CELL_OPEN_FILES;
	b.file_bytes = room->disk_bytes + room->files * 1024 + (1 << 20);
	return b;
}

static struct archive_limits limits_of(const struct sandbox_room *room)
{
	return (struct archive_limits){.bytes = room->disk_bytes, .files = room->files + 1};
}

static void fail(struct run_result *result, int rc, const char *what)
{
	result->state = RUN_FAILED;
	if (result->why.text[0])
		why_prefix(&result->why, rc, "%s", what);
	else
		why_set(&result->why, rc, "%s", what);
}

/* It never began: the program is not to blame. */
static void fail_before(struct run_result *result, int rc, const char *what)
{
	fail(result, rc, what);
	result->not_tried = true;
}

static const char *scratch_of(const struct cell *c)
{
	return c->scratch_dir ? c->scratch_dir : "/var/tmp";
}

/* Replaces what is in dir by the archive. */
static int bring_back(const struct cell *c, const struct sandbox_room *room, int archive,
		      struct why *out_why)
{
	struct archive_limits limits = limits_of(room);
	struct stat st;
	auto_fd int dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return why_set(out_why, ERR_IO, "%s: %s", c->dir, strerror(errno));
	/* Whoever had the directory can go on with what is in it. */
	limits.chown = geteuid() == 0 && fstat(dir, &st) == 0;
	limits.owner = limits.chown ? st.st_uid : 0;
	limits.group = limits.chown ? st.st_gid : 0;
	if (lseek(archive, 0, SEEK_END) <= BEGUN_BYTES)
		return why_set(out_why, ERR_IO, "nothing came back");
	if (lseek(archive, BEGUN_BYTES, SEEK_SET) != BEGUN_BYTES)
		return why_set(out_why, ERR_IO, "%s", strerror(errno));
	int rc = archive_clear(dir, out_why);
	return rc ? rc : archive_extract(archive, dir, &limits, NULL, out_why);
}

/* ---- with namespaces: the copy is in memory, and nowhere else ---- */

/* bubblewrap ended with a code of its own, the copy did not fit, or no process could be made. */
static void tell_not_begun(struct run_result *result)
{
	if (result->state == RUN_ENDED)
		why_set(&result->why, ERR_UNAVAILABLE, "it ended with %d: %.*s", result->exit_code,
			SAID_BYTES, buf_str(&result->output));
	fail_before(result, ERR_UNAVAILABLE, "the sandbox did not start the program");
}

static void run_copied(const struct cell *c, const struct sandbox_job *given,
		       const struct run_limits *limits, struct run_result *result)
{
	char *argv[ARGV_MAX + 5] = {(char *)"/usr/bin/bash", (char *)"-c",
				    (char *)(c->discard ? script_discard : script),
				    (char *)(c->input ? INPUT : "/dev/null")};
	struct sandbox_bind binds[BINDS_MAX + 2] = {{.path = (char *)c->dir, .at = (char *)IN_DIR}};
	struct sandbox_room room = room_of(c);
	struct sandbox_job job = *given;
	size_t n = 0, n_binds = 1;
	for (; n < ARGV_MAX && given->argv[n]; n++)
		argv[n + 4] = given->argv[n];
	if (given->argv[n] || given->n_binds > BINDS_MAX) {
		fail_before(result, ERR_TOO_LARGE, "cell: too many arguments");
		return;
	}
	if (c->input)
		binds[n_binds++] =
			(struct sandbox_bind){.path = (char *)c->input, .at = (char *)INPUT};
	for (size_t i = 0; i < given->n_binds; i++)
		binds[n_binds++] = given->binds[i];
	auto_fd int archive = open(scratch_of(c), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (archive < 0) {
		why_set(&result->why, ERR_IO, "%s", strerror(errno));
		fail_before(result, ERR_IO, scratch_of(c));
		return;
	}
	job.argv = argv;
	job.binds = binds;
	job.n_binds = n_binds;
	job.room = &room;
	job.bounds = bounds_of(given, &room);
	job.cwd = NULL;
	job.fd = c->discard ? 0 : archive;
	sandbox_run(&job, limits, result);
	if (c->discard)
		return;
	if (lseek(archive, 0, SEEK_END) < BEGUN_BYTES) {
		tell_not_begun(result);
		return;
	}
	if (result->state != RUN_ENDED)
		return;
	int rc = bring_back(c, &room, archive, &result->why);
	if (rc)
		fail(result, rc, "cell");
}

/* ---- without: the copy is a directory that only this run's user may enter ---- */

static int copy_tree(int from, int to, const struct archive_limits *limits, const char *scratch,
		     struct why *out_why)
{
	auto_fd int archive = open(scratch, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (archive < 0)
		return why_set(out_why, ERR_IO, "%s: %s", scratch, strerror(errno));
	int rc = archive_pack(from, archive, limits, NULL, out_why);
	if (!rc && lseek(archive, 0, SEEK_SET) != 0)
		rc = why_set(out_why, ERR_IO, "%s", strerror(errno));
	return rc ? rc : archive_extract(archive, to, limits, NULL, out_why);
}

static void run_there(const struct cell *c, const struct sandbox_job *given, const char *place,
		      int place_fd, const struct run_limits *limits, struct run_result *result)
{
	struct sandbox_room room = room_of(c);
	struct sandbox_bind binds[BINDS_MAX + 1] = {{.path = (char *)place, .writable = true}};
	struct sandbox_job job = *given;
	if (given->n_binds > BINDS_MAX || c->input) {
		fail_before(result, ERR_UNSUPPORTED,
			    "cell: an input, or so many paths, need a sandbox with namespaces");
		return;
	}
	for (size_t i = 0; i < given->n_binds; i++)
		binds[i + 1] = given->binds[i];
	job.binds = binds;
	job.n_binds = given->n_binds + 1;
	job.bounds = bounds_of(given, &room);
	job.cwd = place;
	struct watch watch = {.limits = limits, .room = &room, .dir_fd = place_fd};
	struct run_limits own = *limits;
	own.tick = watch_tick;
	own.tick_ctx = &watch;
	sandbox_run(&job, &own, result);
	watch_tell(&watch, result);
	if (result->state != RUN_ENDED || c->discard)
		return;
	const struct archive_limits back = limits_of(&room);
	auto_fd int dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int rc = dir < 0 ? why_set(&result->why, ERR_IO, "%s", strerror(errno))
			 : archive_clear(dir, &result->why);
	if (!rc)
		rc = copy_tree(place_fd, dir, &back, scratch_of(c), &result->why);
	if (rc)
		fail(result, rc, "cell");
}

static void run_beside(const struct cell *c, const struct sandbox_job *job,
		       const struct run_limits *limits, struct run_result *result)
{
	struct spawn_ids ids;
	struct sandbox_room room = room_of(c);
	struct archive_limits in = limits_of(&room);
	auto_free char *place = mem_printf("%s/healbus-work-XXXXXX", scratch_of(c));
	if (sandbox_user(job->user, &ids, &result->why)) {
		fail_before(result, ERR_DENIED, "cell");
		return;
	}
	auto_fd int from = open(c->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0 || !mkdtemp(place)) {
		why_set(&result->why, ERR_IO, "%s", strerror(errno));
		fail_before(result, ERR_IO, "cell");
		return;
	}
	auto_fd int to = open(place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	in.chown = ids.change;
	in.owner = ids.uid;
	in.group = ids.gid;
	int rc = to < 0 || (ids.change && fchown(to, ids.uid, ids.gid)) ? ERR_IO : 0;
	if (!rc)
		rc = copy_tree(from, to, &in, scratch_of(c), &result->why);
	if (rc)
		fail_before(result, rc, "cell");
	else
		run_there(c, job, place, to, limits, result);
	struct why left = {0};
	archive_clear(to, &left);
	rmdir(place);
}

static void run_elsewhere(const struct cell *c, const struct sandbox_job *job,
			  const struct run_limits *limits, struct run_result *result)
{
	static const struct place_settings none;
	const struct place *place = place_find(c->place);
	if (place)
		place->run(c->places ? c->places : &none, c, job, limits, result);
	else
		fail_before(result, ERR_CONFIG, "cell: there is no such place");
}

void cell_run(const struct cell *c, const struct sandbox_job *job, const struct run_limits *limits,
	      struct run_result *result)
{
	if (c->place)
		run_elsewhere(c, job, limits, result);
	else if (sandbox_level() == SANDBOX_LANDLOCK)
		run_beside(c, job, limits, result);
	else
		run_copied(c, job, limits, result);
}

/* ---- differences ---- */

/* The copy of the repository may be written: git add needs an index. */
static const char diff_script[] =
	"cp -r /git /tmp/git && "
	"git() { /usr/bin/git --git-dir=/tmp/git --work-tree=/work -c core.fsmonitor=false "
	"-c core.hooksPath=/dev/null -c core.attributesFile=/dev/null -c core.bare=false "
	"-c core.quotePath=true -c diff.noprefix=false -c safe.directory='*' \"$@\"; } && "
	"git add -A 2>/tmp/said && "
	"git diff --cached --no-ext-diff --no-textconv --no-color --full-index --no-renames "
	"--src-prefix=a/ --dst-prefix=b/ HEAD -- 2>/tmp/said || { tail -n 3 /tmp/said; exit 1; }";

int cell_diff(const struct cell_tree *t, struct buf *out, struct why *out_why)
{
	static char *const env[] = {(char *)"PATH=/usr/bin:/bin",
				    (char *)"HOME=/nonexistent",
				    (char *)"LANG=C.UTF-8",
				    (char *)"GIT_CONFIG_NOSYSTEM=1",
				    (char *)"GIT_CONFIG_GLOBAL=/dev/null",
				    (char *)"GIT_TERMINAL_PROMPT=0",
				    (char *)"GIT_ATTR_NOSYSTEM=1",
				    (char *)"GIT_ALLOW_PROTOCOL=none",
				    NULL};
	char *const argv[] = {(char *)"/usr/bin/bash", (char *)"-c", (char *)diff_script, NULL};
	const struct sandbox_bind bind = {.path = (char *)t->git_dir, .at = (char *)"/git"};
	const struct cell c = {.dir = t->dir, .discard = true};
	const struct sandbox_job job = {
		.argv = argv, .env = env, .binds = &bind, .n_binds = 1, .user = t->user};
	const struct run_limits limits = {.timeout_ms = t->timeout_ms,
					  .output_limit_bytes = t->limit_bytes};
	struct run_result r = {0};
	cell_run(&c, &job, &limits, &r);
	int rc = 0;
	if (r.state != RUN_ENDED)
		rc = why_set(out_why, sandbox_level() ? ERR_REJECTED : ERR_DENIED, "diff: %s",
			     r.why.text);
	else if (r.exit_code != 0)
		rc = why_set(out_why, ERR_REJECTED, "diff: git ended with %d: %.300s", r.exit_code,
			     buf_str(&r.output));
	else if (r.truncated)
		rc = why_set(out_why, ERR_TOO_LARGE, "diff: more than %zu bytes", t->limit_bytes);
	else
		buf_add(out, buf_str(&r.output), r.output.len);
	buf_release(&r.output);
	return rc;
}
