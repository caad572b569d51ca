/*
 * The executor's sandbox and its way of taking results out, as commands:
 *     sandboxctl run WORKDIR CMD...      CMD in a copy of WORKDIR; what it leaves comes back
 *     sandboxctl collect DIR PATH        one file that hostile code wrote
 *     sandboxctl diff DIR GIT_DIR        what DIR changes against a pristine repository
 *     sandboxctl apply DIR PATCH         a patch, through the guard
 *     sandboxctl untar ARCHIVE DIR
 * SBX_PLACE: docker runs CMD in a container (SBX_IMAGE). SBX_UID: the user; SBX_WALL: seconds;
 * SBX_LEVEL: bwrap, landlock or none (refuses).
 */
#include "common/base.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/mem.h"
#include "executor/edits/edits.h"
#include "executor/guard.h"
#include "executor/sandboxes/archive.h"
#include "executor/sandboxes/place.h"

enum { LIMIT_BYTES = 1 << 20 };

static const struct sandbox_room room = {.disk_bytes = 64 << 20, .files = 8192};
static const struct spawn_bounds bounds = {
	.memory_bytes = 256 << 20, .processes = 64, .open_files = 256};

static const char *setting(const char *name, const char *fallback)
{
	const char *value = getenv(name);
	return value && *value ? value : fallback;
}

static int64_t wall_ms(void)
{
	return strtoll(setting("SBX_WALL", "10"), NULL, 10) * 1000;
}

static int complain(const char *text)
{
	fprintf(stderr, "refused: %s\n", text);
	return 1;
}

static int open_dir(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int run(char **args)
{
	static char *const env[] = {(char *)"PATH=/usr/bin:/bin", (char *)"HOME=/work",
				    (char *)"LANG=C.UTF-8", (char *)"TMPDIR=/tmp", NULL};
	const struct place_settings places = {
		.docker = {.socket = (char *)"/var/run/docker.sock",
			   .image = (char *)setting("SBX_IMAGE", "debian:bookworm-slim")}};
	const struct cell c = {
		.dir = args[0], .room = room, .place = getenv("SBX_PLACE"), .places = &places};
	const struct sandbox_job job = {.argv = args + 1,
					.env = env,
					.user = setting("SBX_UID", "64321"),
					.bounds = bounds};
	const struct run_limits limits = {.timeout_ms = wall_ms(),
					  .output_limit_bytes = LIMIT_BYTES};
	struct run_result r = {0};
	if (args[1][0] != '/')
		return complain("the program must be an absolute path");
	cell_run(&c, &job, &limits, &r);
	fwrite(buf_str(&r.output), 1, r.output.len, stdout);
	fflush(stdout);
	buf_release(&r.output);
	if (r.state == RUN_ENDED)
		return r.exit_code;
	fprintf(stderr, "%s\n", r.why.text);
	return 124;
}

static int collect(char **args)
{
	struct why why = {0};
	auto_buf text = {0};
	auto_fd int dir = open_dir(args[0]);
	if (dir < 0 || archive_collect(dir, args[1], LIMIT_BYTES, &text, &why))
		return complain(why.text);
	fwrite(text.data, 1, text.len, stdout);
	return 0;
}

/* A copy that the sandbox's user can read; caller frees, and removes it. */
static char *readable_copy(const char *dir)
{
	const struct archive_limits limits = {.bytes = 1 << 30, .files = 100000};
	struct why why = {0};
	char *copy = mem_strdup("/var/tmp/sandboxctl-XXXXXX");
	auto_fd int from = open_dir(dir);
	auto_fd int pipe_file = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (!mkdtemp(copy) || chmod(copy, 0755))
		abort();
	auto_fd int to = open_dir(copy);
	if (archive_pack(from, pipe_file, &limits, NULL, &why) || lseek(pipe_file, 0, SEEK_SET) ||
	    archive_extract(pipe_file, to, &limits, NULL, &why))
		fprintf(stderr, "%s\n", why.text);
	return copy;
}

static int diff(char **args)
{
	struct why why = {0};
	auto_buf text = {0};
	auto_free char *git_dir = readable_copy(args[1]);
	const struct cell_tree tree = {.dir = args[0],
				       .git_dir = git_dir,
				       .user = setting("SBX_UID", "64321"),
				       .timeout_ms = wall_ms(),
				       .limit_bytes = LIMIT_BYTES};
	int rc = cell_diff(&tree, &text, &why);
	auto_fd int dir = open_dir(git_dir);
	struct why left = {0};
	archive_clear(dir, &left);
	rmdir(git_dir);
	if (rc)
		return complain(why.text);
	fwrite(buf_str(&text), 1, text.len, stdout);
	return 0;
}

static int guarded(const struct buf *patch)
{
	struct guard_changes changes = {0};
	struct guard_report report;
	struct why why = {0};
	auto_buf text = {0};
	if (guard_changes_from_diff(buf_str(patch), patch->len, &changes, &why))
		return complain(why.text);
	guard_review(NULL, changes.items, changes.n, &report);
	guard_report_text(&report, &text);
	enum guard_verdict verdict = report.verdict;
	guard_report_release(&report);
	guard_changes_release(&changes);
	return verdict == GUARD_ALLOW ? 0 : complain(buf_str(&text));
}

static int apply(char **args)
{
	struct why why = {0};
	struct edits edits = {0};
	auto_buf patch = {0};
	auto_buf report = {0};
	auto_fd int dir = open_dir(args[0]);
	if (buf_read_file(&patch, args[1], LIMIT_BYTES))
		return complain("cannot read the patch");
	if (guarded(&patch))
		return 1;
	int rc = edits_parse(buf_str(&patch), patch.len, &edits, &why);
	if (!rc)
		rc = edits_apply(&edits, dir, &report, &why);
	edits_release(&edits);
	return rc ? complain(why.text) : 0;
}

static int untar(char **args)
{
	const struct archive_limits limits = {.bytes = LIMIT_BYTES, .files = 1000};
	struct why why = {0};
	auto_fd int in = open(args[0], O_RDONLY | O_CLOEXEC);
	auto_fd int dir = open_dir(args[1]);
	return archive_extract(in, dir, &limits, NULL, &why) ? complain(why.text) : 0;
}

static const struct {
	const char *name;
	int (*run)(char **args);
} commands[] = {
	{"run", run}, {"collect", collect}, {"diff", diff}, {"apply", apply}, {"untar", untar}};

int main(int argc, char **argv)
{
	const char *level = setting("SBX_LEVEL", "auto");
	if (argc < 4)
		return complain("sandboxctl run|collect|diff|apply|untar DIR ...");
	if (!str_eq(level, "none"))
		sandbox_probe(str_eq(level, "landlock") ? SANDBOX_WISH_LANDLOCK
							: SANDBOX_WISH_AUTO);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (str_eq(commands[i].name, argv[1]))
			return commands[i].run(argv + 2);
	return complain(argv[1]);
}
