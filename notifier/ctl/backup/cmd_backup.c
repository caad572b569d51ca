#include "notifier/ctl/backup/backup.h"

#include <sys/stat.h>

#include "common/clock.h"
#include "common/mem.h"

/* ---- backup ---- */

static int add_note(struct backup_taking *t, const char *subject, json_t *note, struct why *out_why)
{
	auto_free char *text = json_dumps(note, JSON_COMPACT);
	const struct recording_record r = {.stream = RECORDING_NOTE,
					   .subject = subject,
					   .id = "",
					   .cause = "",
					   .content_type = "application/json",
					   .data = text,
					   .len = strlen(text)};

	return backup_record(t, &r, out_why);
}

static int add_begin(struct backup_taking *t, int64_t made_ms, struct why *out_why)
{
	char server[32];

	bus_server_version(t->bus, server);
	auto_json *note = json_pack("{s:i, s:s, s:s, s:I, s:O}", "format", BACKUP_FORMAT, "healbus",
				    HEALBUS_VERSION, "server", server, "made_ms",
				    (json_int_t)made_ms, "consumers", t->consumers);

	return add_note(t, backup_begin, note, out_why);
}

static int add_end(struct backup_taking *t, unsigned executors, struct why *out_why)
{
	auto_json *note =
		json_pack("{s:o, s:I, s:I}", "parts", backup_parts_json(t->parts), "executors",
			  (json_int_t)executors, "ended_ms", (json_int_t)clock_real_ms());

	return add_note(t, backup_end, note, out_why);
}

static int take(struct backup_taking *t, const char *part, unsigned *out_n, struct why *out_why)
{
	int64_t now = clock_real_ms();
	int rc = recording_create_backup(part, now, &t->writer, out_why);

	if (!rc)
		rc = backup_take_ends(t, out_why);
	if (!rc)
		rc = add_begin(t, now, out_why);
	if (!rc)
		rc = backup_take_bus(t, out_why);
	if (!rc)
		rc = backup_take_state(t, part, out_n, out_why);
	if (!rc)
		rc = add_end(t, *out_n, out_why);
	int finished = recording_finish(t->writer, rc ? NULL : out_why);
	json_decref(t->consumers);
	return rc ? rc : finished;
}

static void print_parts(struct ctl *c, const struct backup_part parts[static BACKUP_PARTS])
{
	for (size_t i = 0; i <= RECORDING_CLAIM; i++)
		ctl_printf(c, "%s%s %" PRIu64, i ? ", " : "", backup_part_names[i], parts[i].n);
}

static int report_backup(struct ctl *c, const struct backup_taking *t, unsigned executors)
{
	auto_json *all = json_pack("{s:s, s:o, s:I}", "file", c->args[0], "parts",
				   backup_parts_json(t->parts), "executors", (json_int_t)executors);

	if (ctl_as_json(c, all))
		return EXIT_OK;
	ctl_printf(c, "backed up: ");
	print_parts(c, t->parts);
	ctl_printf(c, ", journals of %u executor%s\n", executors, executors == 1 ? "" : "s");
	ctl_flush(c);
	if (executors == 0)
		ctl_fail(EXIT_OK,
			 "name their configuration directories with --executor, or copies that "
			 "`healbus-executor backup DIR` made elsewhere with --with",
			 "no executor's journal and audit chain is in it");
	return EXIT_OK;
}

static int cmd_backup(struct ctl *c)
{
	struct backup_taking t = {.ctl = c};
	struct why why = {0};
	unsigned executors = 0;
	auto_free char *part = mem_printf("%s.part", c->args[0]);

	if (access(c->args[0], F_OK) == 0)
		return ctl_fail(EXIT_NO, "name a file that is not there yet",
				"%s: is there already", c->args[0]);
	int rc = ctl_bus(c, &t.bus);
	if (rc)
		return rc;
	unlink(part); /* of one that was interrupted */
	rc = take(&t, part, &executors, &why);
	bus_close(t.bus);
	if (!rc && rename(part, c->args[0]))
		rc = why_set(&why, ERR_IO, "%s: %s", c->args[0], strerror(errno));
	if (!rc)
		return report_backup(c, &t, executors);
	unlink(part);
	return ctl_fail(EXIT_NO, "mend it and make the backup again; no file was left", "%s",
			why.text[0] ? why.text : err_name(rc));
}

/* ---- verify ---- */

static int refuse(struct ctl *c, const struct why *why, int rc)
{
	return ctl_fail(EXIT_NO, "use another backup: of this one nothing can be trusted", "%s: %s",
			c->args[0], why->text[0] ? why->text : err_name(rc));
}

static int compare(struct ctl *c, struct bus *bus, struct backup *b)
{
	struct backup_difference d;
	struct why why = {0};
	int rc = backup_compare(bus, b, &d, &why);

	if (rc)
		return ctl_fail(EXIT_UNREACHABLE, "healctl doctor; then healctl verify FILE --bus",
				"%s", why.text[0] ? why.text : err_name(rc));
	if (d.different + d.missing)
		return ctl_fail(EXIT_NO, "the bus is not the one of this backup, or lost messages",
				"%" PRIu64 " messages differ and %" PRIu64
				" are missing; first: %s",
				d.different, d.missing, d.first);
	ctl_printf(c, "the bus holds it: %" PRIu64 " messages are the same", d.same);
	if (d.gone)
		ctl_printf(c, ", %" PRIu64 " have aged out", d.gone);
	ctl_printf(c, "\n");
	return EXIT_OK;
}

static int verify_state(struct ctl *c, struct backup *b)
{
	struct why why = {0};
	int rc = backup_check_state(c, b, &why);

	if (rc == ERR_NOT_FOUND) {
		ctl_printf(c, "audit chains not looked at: healbus-executor is not here\n");
		return EXIT_OK;
	}
	return rc ? refuse(c, &why, rc) : EXIT_OK;
}

static void print_found(struct ctl *c, const struct backup *b)
{
	char made[TIME_TEXT_BYTES];

	ctl_printf(c, "whole: made %s by healbus %s on nats-server %s\n",
		   time_format(ji(b->begin, "made_ms"), made), js(b->begin, "healbus"),
		   js(b->begin, "server"));
	print_parts(c, b->parts);
	ctl_printf(c, "\n");
}

static int cmd_verify(struct ctl *c)
{
	struct backup b;
	struct bus *bus = NULL;
	struct why why = {0};
	int rc = backup_open(c->args[0], &b, &why);

	if (rc)
		return refuse(c, &why, rc);
	print_found(c, &b);
	rc = b.parts[RECORDING_FILE].n ? verify_state(c, &b) : EXIT_OK;
	if (!rc && ctl_flag(c, "bus"))
		rc = ctl_bus(c, &bus);
	if (!rc && bus)
		rc = compare(c, bus, &b);
	bus_close(bus);
	backup_close(&b);
	return rc;
}

/* ---- restore ---- */

static const char next_state[] =
	"move the old state folders of monitor, reasoner and notifier away before you start them: "
	"they have read further than the backup goes";

static const char *lay_advice(int rc)
{
	if (rc == ERR_EXISTS)
		return "stop nats-server, move its store directory away, start it, and restore "
		       "before anything else uses it; when only state folders were lost: "
		       "--state-only";
	if (rc == ERR_CONFLICT)
		return "stop all stages; then begin again with an empty store directory";
	return "begin again with an empty store directory";
}

static int restore_bus(struct ctl *c, struct backup *b)
{
	struct bus *bus = NULL;
	struct why why = {0};
	int rc = ctl_bus(c, &bus);

	if (rc)
		return rc;
	rc = backup_lay(bus, b, &why);
	rc = rc ? ctl_fail(EXIT_NO, lay_advice(rc), "%s", why.text[0] ? why.text : err_name(rc))
		: compare(c, bus, b);
	bus_close(bus);
	return rc;
}

static int restore_state(struct ctl *c, struct backup *b)
{
	const char *dir = ctl_flag(c, "extract");
	struct why why = {0};
	unsigned n = 0;
	int rc = dir ? backup_extract(b, dir, &n, &why) : backup_give_state(c, b, &why);

	if (rc)
		return ctl_fail(EXIT_NO,
				"the bus is restored, if you asked for it; for the journals alone: "
				"--state-only",
				"%s", why.text[0] ? why.text : err_name(rc));
	if (dir)
		ctl_printf(
			c,
			"journals of %u executors lie in %s: on each one's host, `healbus-executor "
			"restore %s/N`\n",
			n, dir, dir);
	return EXIT_OK;
}

static int cmd_restore(struct ctl *c)
{
	struct backup b;
	struct why why = {0};
	bool state_only = ctl_flag(c, "state-only"), bus_only = ctl_flag(c, "bus-only");

	if (state_only && bus_only)
		return ctl_fail(EXIT_USAGE, "give one of them", "--state-only and --bus-only");
	int rc = backup_open(c->args[0], &b, &why);
	if (rc)
		return refuse(c, &why, rc);
	print_found(c, &b);
	if (!state_only)
		rc = restore_bus(c, &b);
	if (!rc && !bus_only && b.parts[RECORDING_FILE].n)
		rc = restore_state(c, &b);
	if (!rc && !state_only)
		ctl_printf(c, "restored; %s\n", next_state);
	backup_close(&b);
	return rc;
}

static const char help_backup[] =
	"Everything that healbus knows, while it works: the streams, the claims of the "
	"executors, and their journals with the audit chain. The file is checked by healctl "
	"verify, put back by healctl restore, and read by healctl backtest as a recording. Keep "
	"it as you keep the bus. Not in it are secrets: the folder that healctl init made and "
	"the notifier's *.key files.\n"
	"Of executors whose configuration is not in -c DIR the journals must be named: those "
	"here with --executor, those elsewhere by copying what `healbus-executor backup DIR` "
	"made there and --with.";

const struct ctl_command command_backup = {
	.name = "backup",
	.args = "FILE",
	.summary = "put all that healbus knows into a file, while it works",
	.help = help_backup,
	.run = cmd_backup,
	CTL_ONE_OF(NAMES_FILE),
	.flags = {{"executor", 0, "DIR...", "An executor's configuration directory."},
		  {"with", 0, "DIR...", "A copy of an executor's journals."}},
};

static const char help_restore[] =
	"Checks the file, then fills an empty bus from it: every message with its sequence "
	"number, claims, the places of shared consumers; reads all of it back; gives the "
	"journals to executors that have none. All stages must be stopped, and state folders "
	"other than the executors' empty: they rebuild. A bus that has streams is left alone.\n"
	"What was done after the backup nobody knows any more, so no step of a plan from before "
	"the restore, or for an incident that was open then, is begun: it counts as unknown "
	"unless a claim or a journal tells its end. New incidents are repaired as ever. With "
	"--state-only the bus is not touched: for when it lives and a state folder is lost.";

const struct ctl_command command_restore = {
	.name = "restore",
	.args = "FILE",
	.summary = "fill an empty bus, and empty journals, from a backup",
	.help = help_restore,
	.run = cmd_restore,
	CTL_ONE_OF(NAMES_FILE),
	.flags = {{"executor", 0, "DIR...",
		   "An executor's configuration directory, in the order of the backup."},
		  {"extract", 0, "DIR", "Write the journals there, for other hosts."},
		  {"state-only", 0, NULL, "Journals only; the bus is not touched."},
		  {"bus-only", 0, NULL, "No journals."}},
};

static const char help_verify[] =
	"Reads all of a backup: checksums, counts, digests, and the audit chains by "
	"healbus-executor. With --bus it is compared with the bus, message by message.";

const struct ctl_command command_verify = {
	.name = "verify",
	.args = "FILE",
	.summary = "is a backup whole, and does the bus still hold it?",
	.help = help_verify,
	.run = cmd_verify,
	CTL_ONE_OF(NAMES_FILE),
	.flags = {{"bus", 0, NULL, "Compare it with the bus."}},
};
