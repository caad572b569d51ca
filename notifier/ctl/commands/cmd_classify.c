#include "notifier/ctl/ctl.h"

#include "common/cores.h"

#include <zlib.h>

enum {
	/* Unpacked; a job's log on GitHub is smaller. The classifier reads its end. */
	LOG_MAX_BYTES = 256 << 20,
	READ_BYTES = 1 << 16,
	FILES_MAX = 1000,
};

/* zlib reads what is not gzipped as it is. */
static int read_log(const char *path, struct buf *out)
{
	gzFile file = str_eq(path, "-") ? gzdopen(dup(STDIN_FILENO), "rb") : gzopen(path, "rb");
	char part[READ_BYTES];
	int n;
	if (!file)
		return ctl_fail(EXIT_NO, "name a log, or - for standard input", "%s: %s", path,
				strerror(errno));
	while ((n = gzread(file, part, sizeof(part))) > 0 && out->len < LOG_MAX_BYTES)
		buf_add(out, part, (size_t)n);
	gzclose(file);
	if (n < 0)
		return ctl_fail(EXIT_NO, "name a text file, plain or gzipped",
				"%s: cannot be read to its end", path);
	return EXIT_OK;
}

/* ---- for people ---- */

static void say_evidence(struct ctl *c, const Healbus__Diagnosis *d)
{
	for (size_t i = 0; i < d->n_evidence; i++) {
		const Healbus__Evidence *e = d->evidence[i];
		char at[48];
		if (e->line)
			snprintf(at, sizeof(at), "%8" PRIu32 "  ", e->line);
		else
			snprintf(at, sizeof(at), "%8s  ", e->source);
		ctl_styled(c, STYLE_DIM, at);
		ctl_wrap(c, 10, 10, e->text);
		snprintf(at, sizeof(at), "%10s%+.1f %s\n", "", e->weight, e->rule);
		ctl_styled(c, STYLE_DIM, at);
	}
}

static void say(struct ctl *c, const struct core_classifier *core, const Healbus__Diagnosis *d)
{
	const char *title = core_failure_title(core, d->failure_type);
	ctl_styled(c, STYLE_BOLD, d->failure_type);
	ctl_printf(c, "  ");
	ctl_text(c, title);
	ctl_printf(c, "\nconfidence  %.0f %%\nspecialist  ", 100 * d->confidence);
	ctl_styled(c, STYLE_BOLD, d->specialist);
	ctl_printf(c, "  (");
	ctl_text(c, d->route);
	ctl_printf(c, ")\n");
	ctl_printf(c, d->n_evidence ? "evidence, by line and weight\n" : "evidence    none\n");
	say_evidence(c, d);
	if (d->n_considered)
		ctl_printf(c, "also considered\n");
	for (size_t i = 0; i < d->n_considered; i++) {
		const Healbus__Candidate *o = d->considered[i];
		ctl_printf(c, "  %5.1f %%  ", 100 * o->confidence);
		ctl_text(c, o->failure_type);
		ctl_printf(c, "  ");
		ctl_text(c, o->specialist);
		ctl_printf(c, "\n");
	}
}

/* ---- for programs ---- */

static json_t *evidence_json(const Healbus__Diagnosis *d)
{
	json_t *list = json_array();
	for (size_t i = 0; i < d->n_evidence; i++) {
		const Healbus__Evidence *e = d->evidence[i];
		json_array_append_new(list, json_pack("{s:s,s:I,s:s,s:s,s:f}", "source", e->source,
						      "line", (json_int_t)e->line, "text", e->text,
						      "rule", e->rule, "weight", e->weight));
	}
	return list;
}

static json_t *considered_json(const struct core_classifier *core, const Healbus__Diagnosis *d)
{
	json_t *list = json_array();
	for (size_t i = 0; i < d->n_considered; i++) {
		const Healbus__Candidate *o = d->considered[i];
		json_array_append_new(
			list, json_pack("{s:s,s:s?,s:s,s:f}", "failure_type", o->failure_type,
					"label", core_failure_label(core, o->failure_type),
					"specialist", o->specialist, "confidence", o->confidence));
	}
	return list;
}

static void say_json(struct ctl *c, const struct core_classifier *core, const Healbus__Diagnosis *d)
{
	auto_json *out =
		json_pack("{s:s,s:s?,s:s?,s:s,s:f,s:s,s:o,s:o}", "failure_type", d->failure_type,
			  "title", core_failure_title(core, d->failure_type), "label",
			  core_failure_label(core, d->failure_type), "specialist", d->specialist,
			  "confidence", d->confidence, "route", d->route, "evidence",
			  evidence_json(d), "considered", considered_json(core, d));
	ctl_as_json(c, out);
}

/* ---- the command ---- */

/* Cuts text at commas, in place. */
static size_t cut(char *text, const char **out)
{
	size_t n = 0;
	char *rest = text, *one;
	while (n < FILES_MAX && (one = strsep(&rest, ",")) != NULL) {
		if (*one)
			out[n++] = one;
	}
	return n;
}

static int answer(struct ctl *c, const struct core_classifier *core, const struct buf *log)
{
	const char *files[FILES_MAX];
	auto_free char *text = mem_strdup(ctl_flag(c, "files"));
	struct core_job job = {.log = buf_str(log),
			       .log_len = log->len,
			       .workflow = ctl_flag(c, "workflow"),
			       .job = ctl_flag(c, "job"),
			       .step = ctl_flag(c, "step"),
			       .files = files,
			       .n_files = text ? cut(text, files) : 0};
	struct arena arena = {0};
	Healbus__Diagnosis d = HEALBUS__DIAGNOSIS__INIT;
	int rc = core_classify(core, &job, &arena, &d);
	if (!rc && ctl_flag(c, "json"))
		say_json(c, core, &d);
	else if (!rc)
		say(c, core, &d);
	arena_release(&arena);
	return rc ? ctl_fail(EXIT_NO, "give fewer files", "%s", err_name(rc)) : EXIT_OK;
}

static int cmd_classify(struct ctl *c)
{
	struct core_classifier_paths paths = {.config_dir = ctl_config_dir(c),
					      .failures = ctl_flag(c, "failures"),
					      .specialists = ctl_flag(c, "specialists")};
	struct core_classifier *core = NULL;
	struct why why = {0};
	auto_buf log = {0};
	int rc = read_log(c->args[0], &log);
	if (rc)
		return rc;
	if (core_classifier_open(&paths, &core, &why))
		return ctl_fail(EXIT_NO,
				"repair it, or name other files with -c, --failures and "
				"--specialists",
				"%s", why.text);
	rc = answer(c, core, &log);
	core_classifier_close(core);
	return rc;
}

static const char help_classify[] =
	"Reads the log of a failed job (GitHub Actions, GitLab, Travis and others; also "
	"gzipped) and says what type of failure it is, how sure that is, which lines say "
	"so, what else was considered, and which specialist would be asked. The same "
	"code and data as the reasoner's; needs no bus and no notifier. Of a log over 10 "
	"MiB the end is read.";

const struct ctl_command command_classify = {
	.name = "classify",
	.args = "LOG|-",
	.summary = "why a job failed, from its log, and who should fix it",
	.help = help_classify,
	.run = cmd_classify,
	CTL_ONE_OF(NAMES_FILE),
	.flags = {{"workflow", 0, "NAME", "Name of the workflow, when it is known."},
		  {"job", 0, "NAME", "Name of the job."},
		  {"step", 0, "NAME", "Name of the step that failed."},
		  {"files", 0, "FILE,...", "Files that the change touches."},
		  {"failures", 0, "PATH",
		   "Failure types, a file or directory, in place of those that "
		   "reasoner.yaml names."},
		  {"specialists", 0, "FILE", "Likewise the table of routes."}},
};
