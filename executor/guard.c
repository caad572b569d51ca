#include "executor/guard.h"

#include "common/mem.h"
#include "executor/guards/guards.h"

enum { QUOTE_MAX = 100, TEXT_MAX = 400, LEVEL_LINES_MAX = 12 };

static const struct guard_check rows[] = {
	{"secret", "keys, tokens and passwords of known formats", GUARD_REFUSE, GUARD_ASK,
	 check_secret, NULL},
	{"entropy", "text that looks like a key of unknown format", GUARD_ASK, GUARD_ALLOW,
	 check_entropy, NULL},
	{"hidden", "bidirectional, zero-width and control characters", GUARD_REFUSE, GUARD_ASK,
	 check_hidden, NULL},
	{"homoglyph", "words that mix Latin letters with look-alikes", GUARD_ASK, GUARD_ALLOW,
	 check_homoglyph, NULL},
	{"git_path", "paths into .git, out of the tree, or made to deceive", GUARD_REFUSE,
	 GUARD_REFUSE, check_git_path, NULL},
	{"symlink_out", "symbolic links that lead out of the repository", GUARD_REFUSE, GUARD_ASK,
	 check_symlink_out, NULL},
	{"symlink", "symbolic links within the repository", GUARD_ASK, GUARD_ALLOW, check_symlink,
	 NULL},
	{"submodule", "submodules and .gitmodules", GUARD_REFUSE, GUARD_ASK, check_submodule, NULL},
	{"attributes", ".gitattributes and .gitignore that hides tracked files", GUARD_ASK,
	 GUARD_ALLOW, check_attributes, NULL},
	{"workflow", "files that say what CI runs and who owns code", GUARD_ASK, GUARD_ALLOW,
	 check_workflow, NULL},
	{"permission", "rights: tokens of workflows, modes, sudo, privileged containers", GUARD_ASK,
	 GUARD_ALLOW, check_permission, NULL},
	{"autorun", "files that editors, hooks or installers run by themselves", GUARD_ASK,
	 GUARD_ALLOW, check_autorun, NULL},
	{"outside", "paths outside the plan or outside the allowed globs", GUARD_REFUSE,
	 GUARD_ALLOW, check_outside, NULL},
	{"binary", "binary files, which nobody can read in a review", GUARD_REFUSE, GUARD_ALLOW,
	 check_binary, NULL},
	{"size", "more files or lines than a person reads", GUARD_ASK, GUARD_ALLOW, NULL,
	 check_size},
	{"generated", "generated or minified files, very long lines", GUARD_ASK, GUARD_ALLOW,
	 check_generated, NULL},
	{"license", "licence texts and headers removed or changed", GUARD_ASK, GUARD_ALLOW,
	 check_license, NULL},
	{"shell_pipe", "what was downloaded or decoded is run at once", GUARD_REFUSE, GUARD_ALLOW,
	 check_shell_pipe, NULL},
	{"process", "new calls that start programs or run text as code", GUARD_ASK, GUARD_ALLOW,
	 check_process, NULL},
	{"network", "new calls that reach for the network", GUARD_ASK, GUARD_ALLOW, check_network,
	 NULL},
	{"host", "new hosts in URLs of code", GUARD_ASK, GUARD_ALLOW, check_host, NULL},
	{"dependency", "new dependencies that are not on the allow-list", GUARD_ASK, GUARD_ALLOW,
	 check_dependency, NULL},
	{"dependency_source", "dependencies from git, URLs, paths or another registry",
	 GUARD_REFUSE, GUARD_ALLOW, check_dependency_source, NULL},
	{"test_removed", "tests that are gone", GUARD_REFUSE, GUARD_ALLOW, NULL,
	 check_test_removed},
	{"test_replaced", "tests renamed or replaced by others", GUARD_ASK, GUARD_ALLOW, NULL,
	 check_test_replaced},
	{"test_skipped", "tests skipped, ignored, expected to fail, or run alone", GUARD_REFUSE,
	 GUARD_ALLOW, check_test_skipped, NULL},
	{"test_weakened", "assertions removed or expecting something else", GUARD_ASK, GUARD_ALLOW,
	 check_test_weakened, check_test_shorter},
	{"silenced", "failures made to count as success", GUARD_REFUSE, GUARD_ALLOW, check_silenced,
	 NULL},
	{"threshold", "thresholds of coverage or quality lowered", GUARD_REFUSE, GUARD_ALLOW,
	 check_threshold, NULL},
	{"lint_disabled", "warnings and type checks turned off in comments", GUARD_ASK, GUARD_ALLOW,
	 check_lint_disabled, NULL},
};

_Static_assert(ARRAY_SIZE(rows) <= GUARD_CHECKS_MAX, "a policy has a place for each row");

const char *guard_check_name(size_t i)
{
	return i < ARRAY_SIZE(rows) ? rows[i].name : NULL;
}

const char *guard_verdict_name(enum guard_verdict v)
{
	static const char *const names[] = {"allow", "ask", "refuse"};
	return names[v];
}

static enum guard_verdict verdict_of(const struct review *r)
{
	uint8_t own = r->policy->verdicts[r->index];
	enum guard_verdict v = own ? (enum guard_verdict)(own - 1) : r->check->usual;
	return MAX(v, r->check->least);
}

static void quote(const struct guard_line *line, struct buf *out)
{
	size_t len = line->len, skip = 0;
	while (skip < len && (line->text[skip] == ' ' || line->text[skip] == '\t'))
		skip++;
	len = MIN(len - skip, (size_t)QUOTE_MAX);
	if (!len || secret_kind(line))
		return;
	buf_add_str(out, ": ");
	buf_add_printable(out, line->text + skip, len);
}

void review_say(struct review *r, const struct guard_change *c, const struct guard_line *line,
		const char *fmt, ...)
{
	enum guard_verdict verdict = verdict_of(r);
	char reason[TEXT_MAX];
	auto_buf text = {0};
	auto_buf path = {0};
	va_list args;
	if (verdict == GUARD_ALLOW)
		return;
	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	buf_add_printable(&text, reason, strlen(reason));
	if (line)
		quote(line, &text);
	buf_add_printable(&path, c ? c->path : "", c ? strlen(c->path) : 0);
	struct guard_report *rep = r->report;
	rep->findings = mem_realloc(rep->findings, (rep->n + 1) * sizeof(*rep->findings));
	rep->findings[rep->n++] = (struct guard_finding){.check = r->check->name,
							 .verdict = verdict,
							 .path = mem_strdup(buf_str(&path)),
							 .line = line ? line->number : 0,
							 .text = mem_strdup(buf_str(&text))};
	rep->verdict = MAX(rep->verdict, verdict);
}

/* ---- one report, whatever the order of files ---- */

static int by_gravity(const void *a, const void *b)
{
	const struct guard_finding *x = a, *y = b;
	if (x->verdict != y->verdict)
		return x->verdict > y->verdict ? -1 : 1;
	int c = strcmp(x->path, y->path);
	if (c)
		return c;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	c = strcmp(x->check, y->check);
	return c ? c : strcmp(x->text, y->text);
}

static void finding_release(struct guard_finding *f)
{
	free(f->path);
	free(f->text);
}

static bool same(const struct guard_finding *a, const struct guard_finding *b)
{
	return a->line == b->line && a->check == b->check && str_eq(a->path, b->path) &&
	       str_eq(a->text, b->text);
}

static void tidy(struct guard_report *rep)
{
	size_t kept = 0;
	if (rep->n)
		qsort(rep->findings, rep->n, sizeof(*rep->findings), by_gravity);
	for (size_t i = 0; i < rep->n; i++) {
		bool again = kept && same(&rep->findings[kept - 1], &rep->findings[i]);
		if (!again && kept < GUARD_FINDINGS_MAX) {
			rep->findings[kept++] = rep->findings[i];
			continue;
		}
		rep->omitted += again ? 0 : 1;
		finding_release(&rep->findings[i]);
	}
	rep->n = kept;
}

void guard_review(const struct guard_policy *policy, const struct guard_change *changes, size_t n,
		  struct guard_report *out)
{
	static const struct guard_policy usual;
	struct review r = {
		.policy = policy ? policy : &usual, .changes = changes, .n = n, .report = out};
	*out = (struct guard_report){0};
	for (r.index = 0; r.index < ARRAY_SIZE(rows); r.index++) {
		r.check = &rows[r.index];
		for (size_t i = 0; r.check->file && i < n; i++)
			r.check->file(&r, &changes[i]);
		if (r.check->whole)
			r.check->whole(&r);
	}
	tidy(out);
}

void guard_report_release(struct guard_report *r)
{
	for (size_t i = 0; i < r->n; i++)
		finding_release(&r->findings[i]);
	free(r->findings);
	*r = (struct guard_report){0};
}

static void finding_text(const struct guard_finding *f, struct buf *out)
{
	buf_printf(out, "%s: %s: %s", guard_verdict_name(f->verdict), f->check, f->path);
	if (f->line)
		buf_printf(out, ":%zu", f->line);
	buf_printf(out, "%s%s", *f->path ? ": " : "", f->text);
}

Healbus__Level guard_report_level(const struct guard_report *r, struct lines *out)
{
	static const Healbus__Level levels[] = {[GUARD_ALLOW] = HEALBUS__LEVEL__LEVEL_NONE,
						[GUARD_ASK] = HEALBUS__LEVEL__LEVEL_HARD,
						[GUARD_REFUSE] = HEALBUS__LEVEL__LEVEL_FORBIDDEN};
	auto_buf text = {0};
	for (size_t i = 0; i < r->n && i < LEVEL_LINES_MAX; i++) {
		buf_reset(&text);
		finding_text(&r->findings[i], &text);
		lines_add(out, "%s", buf_str(&text));
	}
	if (r->n + r->omitted > LEVEL_LINES_MAX)
		lines_add(out, "and %zu more findings", r->n + r->omitted - LEVEL_LINES_MAX);
	return levels[r->verdict];
}

void guard_report_text(const struct guard_report *r, struct buf *out)
{
	for (size_t i = 0; i < r->n; i++) {
		finding_text(&r->findings[i], out);
		buf_add_char(out, '\n');
	}
	if (r->omitted)
		buf_printf(out, "and %zu more\n", r->omitted);
}
