#include "executor/backup.h"

#include <glob.h>
#include <sys/stat.h>

#include "common/config.h"
#include "common/mem.h"
#include "executor/config.h"
#include "executor/journal.h"

enum { EXIT_DONE = 0, EXIT_USED_WRONGLY = 64, EXIT_FAILED = 70, EXIT_NO_CONFIG = 78 };

#define LOOKED "%s: %" PRIu64 " audit records, their chain is whole\n"

/* Where journals lie below a state_dir. */
static const char *const places[] = {"journal", "slot-*/journal"};

static const char *environment(const char *name)
{
	return getenv(name);
}

static int fail(int code, const char *command, const char *text)
{
	fprintf(stderr, "healbus-executor: %s: %s\n", command, text);
	return code;
}

/* Calls each for every journal below dir, by its path from there. */
static int each_journal(const char *dir,
			int (*each)(void *ctx, const char *name, struct why *out_why), void *ctx,
			struct why *out_why)
{
	int rc = 0;
	for (size_t i = 0; i < ARRAY_SIZE(places) && !rc; i++) {
		auto_free char *pattern = mem_printf("%s/%s/data.mdb", dir, places[i]);
		glob_t found = {0};
		if (glob(pattern, 0, NULL, &found))
			continue;
		for (size_t n = 0; n < found.gl_pathc && !rc; n++) {
			const char *name = found.gl_pathv[n] + strlen(dir) + 1;
			auto_free char *journal = mem_dup(name, strlen(name) - strlen("/data.mdb"));
			rc = each(ctx, journal, out_why);
		}
		globfree(&found);
	}
	return rc;
}

struct copying {
	const char *from, *to;
	unsigned n;
};

/* "slot-0/journal" needs slot-0 first. */
static int make_parent(const char *dir, const char *name, struct why *out_why)
{
	const char *slash = strchr(name, '/');
	auto_free char *parent =
		slash ? mem_printf("%s/%.*s", dir, (int)(slash - name), name) : mem_strdup(dir);
	if (mkdir(parent, 0700) && errno != EEXIST)
		return why_set(out_why, err_from_errno(errno), "%s: %s", parent, strerror(errno));
	return 0;
}

static int copy_out(void *ctx, const char *name, struct why *out_why)
{
	struct copying *c = ctx;
	auto_free char *from = mem_printf("%s/%s", c->from, name);
	auto_free char *to = mem_printf("%s/%s", c->to, name);
	int rc = make_parent(c->to, name, out_why);
	if (!rc)
		rc = store_copy(from, to, out_why);
	if (rc)
		return rc;
	c->n++;
	printf("%s\n", name);
	return 0;
}

/* The chain is whole, and with `goes_on` it says that it goes on from a backup. */
static int look_at(const char *dir, bool goes_on, struct audit_summary *out, struct why *out_why)
{
	struct journal *j = NULL;
	const struct audit_entry entry = {
		.what = "restored",
		.text = "this journal comes from a backup: what was done after the "
			"record before this one is not in it"};
	int rc = journal_open(dir, 0, &j, out_why);
	if (!rc)
		rc = journal_audit_check(j, out, out_why);
	if (!rc && goes_on)
		rc = journal_write(j, NULL, &entry, out_why);
	journal_close(j);
	return rc;
}

static int copy_in(void *ctx, const char *name, struct why *out_why)
{
	struct copying *c = ctx;
	struct audit_summary audit = {0};
	auto_free char *from = mem_printf("%s/%s", c->from, name);
	auto_free char *to = mem_printf("%s/%s", c->to, name);
	struct why why = {0};
	int rc = make_parent(c->to, name, out_why);
	if (!rc)
		rc = store_copy(from, to, &why);
	if (rc == ERR_EXISTS)
		return why_set(out_why, rc,
			       "%s is there already, and not older than the backup; to go back to "
			       "that, move it away",
			       to);
	if (why.text[0])
		return why_set(out_why, rc, "%s", why.text);
	if (!rc)
		rc = look_at(to, true, &audit, out_why);
	if (rc)
		return rc;
	c->n++;
	printf(LOOKED, name, audit.records);
	return 0;
}

static int check_one(void *ctx, const char *name, struct why *out_why)
{
	struct copying *c = ctx;
	struct audit_summary audit = {0};
	auto_free char *dir = mem_printf("%s/%s", c->from, name);
	int rc = look_at(dir, false, &audit, out_why);
	if (rc)
		return rc;
	c->n++;
	printf(LOOKED, name, audit.records);
	return 0;
}

static int with_state_dir(const char *config_dir, struct copying *c, bool out, struct why *out_why)
{
	struct executor_config config = {0};
	int rc = config_load(&executor_options, config_dir, environment, &config, out_why);
	if (rc)
		return rc;
	const char *state = config.stage.state_dir;
	struct copying named = {out ? state : c->from, out ? c->to : state, 0};
	if (mkdir(named.to, 0700) && errno != EEXIST)
		rc = why_set(out_why, err_from_errno(errno), "%s: %s", named.to, strerror(errno));
	if (!rc)
		rc = each_journal(named.from, out ? copy_out : copy_in, &named, out_why);
	if (!rc && named.n == 0)
		rc = why_set(out_why, ERR_NOT_FOUND, "%s: no journal there", named.from);
	c->n = named.n;
	config_release(&executor_options, &config);
	return rc;
}

static int run(int argc, char **argv, const char *config_dir, bool out)
{
	struct why why = {0};
	if (argc != 2)
		return fail(EXIT_USED_WRONGLY, argv[0], "name one directory");
	struct copying c = {argv[1], argv[1], 0};
	int rc = with_state_dir(config_dir, &c, out, &why);
	if (!rc)
		return EXIT_DONE;
	return fail(rc == ERR_CONFIG || rc == ERR_UNKNOWN_KEY ? EXIT_NO_CONFIG : EXIT_FAILED,
		    argv[0], why.text[0] ? why.text : err_name(rc));
}

int backup_command(int argc, char **argv, const char *config_dir)
{
	return run(argc, argv, config_dir, true);
}

int backup_check_command(int argc, char **argv, const char *config_dir)
{
	struct why why = {0};
	(void)config_dir;
	if (argc != 2)
		return fail(EXIT_USED_WRONGLY, argv[0], "name one directory");
	struct copying c = {argv[1], argv[1], 0};
	int rc = each_journal(argv[1], check_one, &c, &why);
	if (!rc && c.n == 0)
		rc = why_set(&why, ERR_NOT_FOUND, "%s: no journal there", argv[1]);
	return rc ? fail(EXIT_FAILED, argv[0], why.text[0] ? why.text : err_name(rc)) : EXIT_DONE;
}

int backup_restore_command(int argc, char **argv, const char *config_dir)
{
	return run(argc, argv, config_dir, false);
}
