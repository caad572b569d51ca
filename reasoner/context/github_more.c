#include "reasoner/context/source.h"

/* Files that a fix may have to change, and alerts about security. */

enum {
	FILES_MAX = 6,
	CALLS_MAX = 9,            /* of paths in a log, some are not in the repository */
	FILE_FETCH_MAX = 1 << 20, /* bytes of one */
	FILE_WHOLE_MAX = 6 << 10, /* shown whole; of a longer one the lines around */
	LINES_AROUND = 60,
	LOOK_MAX_BYTES = 64 << 10, /* of the log */
	PATH_MAX_BYTES = 200,
};

/* ---- paths that a log names ---- */

static bool is_path_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_./+@-", c));
}

/* Where jobs have their working copy is no part of the path. */
static size_t strip_root(const char *path, size_t len)
{
	static const char *const roots[] = {"/github/workspace/", "/workspace/", "/app/", "/src/"};
	static const char work[] = "/home/runner/work/";

	if (len > sizeof work && memcmp(path, work, sizeof work - 1) == 0) {
		const char *at = memchr(path + sizeof work - 1, '/', len - sizeof work + 1);
		at = at ? memchr(at + 1, '/', len - (size_t)(at + 1 - path)) : NULL;
		return at ? (size_t)(at + 1 - path) : 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		if (len > strlen(roots[i]) && memcmp(path, roots[i], strlen(roots[i])) == 0)
			return strlen(roots[i]);
	}
	return len > 2 && memcmp(path, "./", 2) == 0 ? 2 : 0;
}

/* Of the repository's own, as far as a path tells. */
static bool is_own_file(const char *path)
{
	static const char *const others[] = {
		"node_modules/", "site-packages/", ".cargo/",       "../", "//",
		".rustup/",      "toolcache/",     "dist-packages/"};
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (strstr(path, others[i]))
			return false;
	}
	/* "1.2", "127.0.0.1", "v1.2" are none. */
	if (*path == '.' && !str_starts(path, ".github/"))
		return false;
	return *path != '/' && dot && dot[1] >= 'A' && strlen(dot) <= 8;
}

/* "path.c:12", "path.ts(12,5)", "path.py\", line 12": ends at `end`. */
static int64_t line_behind(const char *log, size_t len, size_t end)
{
	static const char *const marks[] = {":", "(", "\", line ", "', line "};

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		size_t n = strlen(marks[i]), at = end + n;
		int64_t line = 0;
		if (at >= len || memcmp(log + end, marks[i], n) != 0)
			continue;
		for (; at < len && log[at] >= '0' && log[at] <= '9' && line < 1000000; at++)
			line = line * 10 + (log[at] - '0');
		if (line)
			return line;
	}
	return 0;
}

void found_named(struct gathering *g, const char *path, size_t len, int64_t line)
{
	size_t skip = strip_root(path, len);

	if (g->n_named == CONTEXT_NAMED_MAX || len - skip > PATH_MAX_BYTES || len <= skip)
		return;
	auto_free char *copy = mem_dup(path + skip, len - skip);
	if (!is_own_file(copy))
		return;
	for (size_t i = 0; i < g->n_named; i++) {
		if (str_eq(g->named[i].path, copy))
			return;
	}
	g->named[g->n_named++] = (struct named_file){copy, line};
	copy = NULL;
}

void github_read_log_paths(const char *log, size_t len, struct gathering *g)
{
	for (size_t at = 0; at < len;) {
		size_t from = at;
		while (at < len && is_path_char(log[at]))
			at++;
		int64_t line = at > from ? line_behind(log, len, at) : 0;
		if (line)
			found_named(g, log + from, at - from, line);
		at++;
	}
}

/* ---- their text ---- */

/* Whole when it is short, else the lines around one. */
static void add_file(struct gathering *g, const struct named_file *file, const struct buf *text)
{
	const char *s = buf_str(text), *end = s + text->len, *from = NULL;
	int64_t first = 0, n = 1;
	auto_free char *title = NULL;

	if (text->len <= FILE_WHOLE_MAX || memchr(s, '\0', text->len)) {
		title = mem_printf("file %s", file->path);
		found_item(g, title, s, memchr(s, '\0', text->len) ? 0 : text->len);
		return;
	}
	const char *at = s;
	for (; at < end && n <= MAX(file->line, (int64_t)1) + LINES_AROUND; n++) {
		if (n >= file->line - LINES_AROUND && !from) {
			from = at;
			first = n;
		}
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		at = stop ? stop + 1 : end;
	}
	if (!from)
		return; /* it has not so many lines */
	title = mem_printf("file %s, lines %" PRId64 " to %" PRId64, file->path, first, n - 1);
	found_item(g, title, from, (size_t)(at - from));
}

void github_add_files(struct gathering *g, const char *sha)
{
	auto_buf log = {0};
	size_t got = 0;

	job_log_keep(buf_str(&g->log), g->log.len, LOOK_MAX_BYTES, g->step ? g->step : "", &log);
	github_read_log_paths(buf_str(&log), log.len, g);
	for (size_t i = 0; i < g->n_files; i++)
		found_named(g, g->files[i], strlen(g->files[i]), 0);
	for (size_t i = 0; i < g->n_named && i < CALLS_MAX && got < FILES_MAX && *sha; i++) {
		auto_buf path = {0}, text = {0};
		github_path(&path, "/repos/{+}/contents/{+}?ref={}", g->ask->repository,
			    g->named[i].path, sha);
		struct bytes_wanted wanted = {buf_str(&path), "application/vnd.github.raw+json",
					      FILE_FETCH_MAX};
		int rc = github_download(g, &wanted, &text, NULL);
		if (is_away(rc) || rc == ERR_BUSY)
			return;
		if (rc)
			continue;
		add_file(g, &g->named[i], &text);
		got++;
	}
	if (got)
		found_line(g, "github: %zu files as they are at %.12s", got, sha);
}

/* ---- alerts about security ---- */

void github_read_dependabot(const json_t *a, struct buf *out)
{
	buf_printf(out, "package %s (%s) in %s, %s: %s\n",
		   answer_text(a, "dependency.package.name"),
		   answer_text(a, "dependency.package.ecosystem"),
		   answer_text(a, "dependency.manifest_path"),
		   answer_text(a, "security_vulnerability.severity"),
		   answer_text(a, "security_vulnerability.vulnerable_version_range"));
	buf_printf(out, "first patched version: %s\n%s %s: %.300s\n\n%.3000s\n",
		   answer_text(a, "security_vulnerability.first_patched_version.identifier"),
		   answer_text(a, "security_advisory.ghsa_id"),
		   answer_text(a, "security_advisory.cve_id"),
		   answer_text(a, "security_advisory.summary"),
		   answer_text(a, "security_advisory.description"));
}

void github_read_code_scanning(const json_t *a, struct buf *out)
{
	buf_printf(
		out, "%s %s (%s): %.300s\n%s:%" PRId64 "-%" PRId64 ": %.1000s\n\n%.3000s\n",
		answer_text(a, "tool.name"), answer_text(a, "rule.id"),
		answer_text(a, "rule.security_severity_level"), answer_text(a, "rule.description"),
		answer_text(a, "most_recent_instance.location.path"),
		answer_number(a, "most_recent_instance.location.start_line"),
		answer_number(a, "most_recent_instance.location.end_line"),
		answer_text(a, "most_recent_instance.message.text"), answer_text(a, "rule.help"));
}

/* Never the secret itself, which is in the answer of servers that do not know how to hide it. */
void github_read_secret_scanning(const json_t *a, struct buf *out)
{
	buf_printf(out, "%s, %s, validity %s\n%s:%" PRId64 "\n",
		   answer_text(a, "secret_type_display_name"), answer_text(a, "state"),
		   answer_text(a, "validity"), answer_text(a, "first_location_detected.path"),
		   answer_number(a, "first_location_detected.start_line"));
}

static const struct alert_kind {
	const char *name; /* the label alertname */
	const char *path;
	void (*read)(const json_t *, struct buf *);
	const char *file, *line; /* where in the answer */
} alert_kinds[] = {
	{"DependabotAlert", "/repos/{+}/dependabot/alerts/{}", github_read_dependabot,
	 "dependency.manifest_path", ""},
	{"CodeScanningAlert", "/repos/{+}/code-scanning/alerts/{}", github_read_code_scanning,
	 "most_recent_instance.location.path", "most_recent_instance.location.start_line"},
	{"SecretScanningAlert", "/repos/{+}/secret-scanning/alerts/{}?hide_secret=true",
	 github_read_secret_scanning, "first_location_detected.path",
	 "first_location_detected.start_line"},
};

int github_add_alert(struct gathering *g, struct why *out_why)
{
	const struct alert_kind *kind = NULL;
	auto_buf path = {0}, text = {0}, number = {0};
	json_t *answer = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(alert_kinds); i++) {
		if (str_eq(alert_kinds[i].name, g->ask->alertname))
			kind = &alert_kinds[i];
	}
	if (!kind || !g->ask->number)
		return 0;
	buf_printf(&number, "%" PRId64, g->ask->number);
	github_path(&path, kind->path, g->ask->repository, buf_str(&number));
	int rc = github_get(g, buf_str(&path), &answer, out_why);
	if (!rc) {
		kind->read(answer, &text);
		found_item(g, "security alert", buf_str(&text), text.len);
		found_line(g, "github: %s %s", kind->name, buf_str(&number));
		const char *file = answer_text(answer, kind->file);
		found_named(g, file, strlen(file), answer_number(answer, kind->line));
	}
	json_decref(answer);
	return rc;
}
