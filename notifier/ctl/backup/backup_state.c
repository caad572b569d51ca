#include "notifier/ctl/backup/backup.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "common/mem.h"
#include "notifier/ctl/run.h"

enum { FTW_DEPTH_MAX = 8, EXECUTORS_MAX = 64 };

static const char executor[] = "healbus-executor";

/* ---- whose journals ---- */

/* Configuration directories of the executors meant; without --executor the one of -c, if there is
 * one in it. free() the text; the pointers lie in it. */
static size_t executors_of(const struct ctl *c, const char *flag, char **out_text,
			   char *out_dirs[static EXECUTORS_MAX])
{
	const char *given = ctl_flag(c, flag);
	auto_free char *file = mem_printf("%s/executor.yaml", ctl_config_dir(c));
	bool by_default = !given && str_eq(flag, "executor") && access(file, R_OK) == 0;
	size_t n = 0;

	*out_text = mem_strdup(given ? given : by_default ? ctl_config_dir(c) : "");
	for (char *rest = *out_text, *dir; (dir = strsep(&rest, ","));)
		if (*dir && n < EXECUTORS_MAX)
			out_dirs[n++] = dir;
	return n;
}

static int run_executor(const char *config_dir, const char *command, const char *dir,
			struct buf *out, struct why *out_why)
{
	const char *with[] = {NULL, "-c", config_dir, command, dir, NULL};
	const char *without[] = {NULL, command, dir, NULL};
	int status = 0;
	int rc = run_beside(executor, config_dir ? with : without, out, &status);

	if (rc)
		return why_set(out_why, rc, "%s: %s", executor,
			       rc == ERR_NOT_FOUND ? "is not here" : err_name(rc));
	if (status)
		return why_set(out_why, ERR_REJECTED, "%.*s", (int)strcspn(buf_str(out), "\n"),
			       buf_str(out));
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_tree(const char *dir)
{
	nftw(dir, remove_entry, FTW_DEPTH_MAX, FTW_DEPTH | FTW_PHYS);
}

/* ---- into the backup ---- */

static int add_file(struct backup_taking *t, const char *path, const char *name,
		    struct why *out_why)
{
	struct backup_part *files = &t->parts[RECORDING_FILE];
	char subject[48];
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_free char *part = mem_alloc(RECORDING_PART_MAX);
	ssize_t len = 0;
	int rc = fd < 0 ? ERR_IO : 0;

	for (bool first = true; !rc; first = false) {
		len = read(fd, part, RECORDING_PART_MAX);
		if (len < 0 || (len == 0 && !first))
			break;
		snprintf(subject, sizeof(subject), "file.%" PRIu64, files->n + 1);
		const struct recording_record r = {.stream = RECORDING_FILE,
						   .seq = files->n + 1,
						   .subject = subject,
						   .id = name,
						   .cause = "",
						   .content_type = "",
						   .data = part,
						   .len = (size_t)len};
		rc = backup_record(t, &r, out_why);
	}
	return rc || len < 0 ? why_set(out_why, rc ? rc : ERR_IO, "%s: %s", path, strerror(errno))
			     : 0;
}

/* nftw hands nothing through. Main thread only. */
static struct {
	struct backup_taking *taking;
	struct why *why;
	size_t skip; /* bytes of the path before what is below the directory */
	unsigned number;
} walk;

static int add_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type != FTW_F || !S_ISREG(st->st_mode) || !str_eq(path + ftw->base, "data.mdb"))
		return 0;
	auto_free char *name = mem_printf("%u/%s", walk.number, path + walk.skip);
	return add_file(walk.taking, path, name, walk.why);
}

static int add_tree(struct backup_taking *t, const char *dir, unsigned number, struct why *out_why)
{
	size_t before = t->parts[RECORDING_FILE].n;

	walk.taking = t;
	walk.why = out_why;
	walk.skip = strlen(dir) + 1;
	walk.number = number;
	int rc = nftw(dir, add_entry, FTW_DEPTH_MAX, FTW_PHYS);
	if (rc)
		return rc < -1 ? rc : why_set(out_why, ERR_IO, "%s: %s", dir, strerror(errno));
	return t->parts[RECORDING_FILE].n > before
		       ? 0
		       : why_set(out_why, ERR_NOT_FOUND, "%s: no journals there", dir);
}

static int add_executor(struct backup_taking *t, const char *config_dir, const char *beside,
			unsigned number, struct why *out_why)
{
	auto_free char *dir = mem_printf("%s.journals", beside);
	auto_buf said = {0};

	remove_tree(dir);
	int rc = run_executor(config_dir, "backup", dir, &said, out_why);
	if (!rc)
		rc = add_tree(t, dir, number, out_why);
	remove_tree(dir);
	return rc;
}

int backup_take_state(struct backup_taking *t, const char *beside, unsigned *out_n,
		      struct why *out_why)
{
	char *dirs[EXECUTORS_MAX] = {NULL}, *copies[EXECUTORS_MAX] = {NULL};
	auto_free char *here = NULL, *elsewhere = NULL;
	size_t n = executors_of(t->ctl, "executor", &here, dirs);
	size_t n_copies = executors_of(t->ctl, "with", &elsewhere, copies);
	unsigned number = 0;
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		rc = add_executor(t, dirs[i], beside, number++, out_why);
	for (size_t i = 0; i < n_copies && !rc; i++)
		rc = add_tree(t, copies[i], number++, out_why);
	*out_n = number;
	return rc;
}

/* ---- out of the backup ---- */

/* "0/journal/data.mdb", "3/slot-1/journal/data.mdb": nothing that leads out of the directory. */
static bool name_is_sound(const char *name)
{
	size_t parts = 1;

	for (const char *p = name; *p; p++)
		parts += *p == '/';
	return parts <= 4 && *name >= '0' && *name <= '9' && !strstr(name, "..") &&
	       !strstr(name, "//") && strlen(name) > strlen("/data.mdb") &&
	       str_eq(name + strlen(name) - strlen("/data.mdb"), "/data.mdb");
}

static int make_parents(char *path, size_t from, struct why *out_why)
{
	for (char *slash = path + from; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		int failed = mkdir(path, 0700) && errno != EEXIST;
		if (failed)
			why_set(out_why, err_from_errno(errno), "%s: %s", path, strerror(errno));
		*slash = '/';
		if (failed)
			return ERR_IO;
	}
	return 0;
}

static int write_part(const char *dir, const struct recording_record *r, struct why *out_why)
{
	if (!name_is_sound(r->id))
		return why_set(out_why, ERR_INVALID, "%.80s: not a journal's name", r->id);
	auto_free char *path = mem_printf("%s/%s", dir, r->id);
	int rc = make_parents(path, strlen(dir), out_why);
	if (rc)
		return rc;
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, r->data, r->len) != (ssize_t)r->len || fsync(fd))
		return why_set(out_why, ERR_IO, "%s: %s", path, strerror(errno));
	return 0;
}

int backup_extract(struct backup *b, const char *dir, unsigned *out_n, struct why *out_why)
{
	struct recording_record r;
	int rc = backup_rewind(b, out_why);

	*out_n = 0;
	if (!rc && mkdir(dir, 0700))
		rc = why_set(out_why, errno == EEXIST ? ERR_EXISTS : ERR_IO, "%s: %s", dir,
			     strerror(errno));
	while (!rc && !(rc = recording_next_any(b->file, &r, out_why))) {
		if (r.stream != RECORDING_FILE)
			continue;
		rc = write_part(dir, &r, out_why);
		*out_n = MAX(*out_n, (unsigned)strtoul(r.id, NULL, 10) + 1);
	}
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* A directory of its own below $TMPDIR, to be removed with what is in it. */
static int extract_aside(struct backup *b, char **out_dir, unsigned *out_n, struct why *out_why)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = mem_printf("%s/healctl-XXXXXX", tmp && *tmp ? tmp : "/tmp");

	*out_dir = dir;
	if (!mkdtemp(dir))
		return why_set(out_why, ERR_IO, "%s: %s", dir, strerror(errno));
	auto_free char *below = mem_printf("%s/journals", dir);
	return backup_extract(b, below, out_n, out_why);
}

int backup_give_state(struct ctl *c, struct backup *b, struct why *out_why)
{
	char *dirs[EXECUTORS_MAX] = {NULL};
	auto_free char *text = NULL, *aside = NULL;
	size_t n = executors_of(c, "executor", &text, dirs);
	unsigned have = 0;
	int rc = extract_aside(b, &aside, &have, out_why);

	if (!rc && have != n)
		rc = why_set(out_why, ERR_INVALID,
			     "it has the journals of %u executors, and --executor names %zu: name "
			     "each one's configuration directory, in the order of the backup, or "
			     "use --extract",
			     have, n);
	for (unsigned i = 0; i < have && !rc; i++) {
		auto_free char *from = mem_printf("%s/journals/%u", aside, i);
		auto_buf said = {0};
		rc = run_executor(dirs[i], "restore", from, &said, out_why);
		ctl_text(c, rc ? "" : buf_str(&said));
	}
	remove_tree(aside);
	return rc;
}

int backup_check_state(struct ctl *c, struct backup *b, struct why *out_why)
{
	auto_free char *aside = NULL;
	unsigned have = 0;
	int rc = extract_aside(b, &aside, &have, out_why);

	for (unsigned i = 0; i < have && !rc; i++) {
		auto_free char *dir = mem_printf("%s/journals/%u", aside, i);
		auto_buf said = {0};
		rc = run_executor(NULL, "check", dir, &said, out_why);
		if (!rc)
			ctl_printf(c, "executor %u: %s", i, buf_str(&said));
	}
	remove_tree(aside);
	return rc;
}
