#include "common/base.h"

#include <ctype.h>
#include <strings.h>

#include "reasoner/proposal/plain.h"
#include "reasoner/proposal/proposal_private.h"

/*
 * Only what names a file is looked at, in every place where a reader of edits could look for it, so
 * that two readers cannot disagree about which files are meant. Whether edits apply is the
 * executor's to find out.
 */

enum { PATH_MAX_BYTES = 512 };

struct line {
	const char *s;
	size_t len;
};

struct edits {
	const struct proposal_rules *rules;
	struct why *why;
	size_t number; /* of the line, from 1 */
	size_t files;
	int part;         /* of a block */
	bool after_minus; /* the line before was "--- path" */
	struct line minus;
};

static bool begins(const struct line *l, const char *prefix)
{
	size_t n = strlen(prefix);
	return l->len >= n && memcmp(l->s, prefix, n) == 0;
}

static int refuse(const struct edits *e, int rc, const char *what)
{
	return why_set(e->why, rc, "line %zu: %s", e->number, what);
}

/* ---- paths ---- */

static bool same(const char *s, size_t len, const char *name)
{
	return strlen(name) == len && strncasecmp(s, name, len) == 0;
}

static bool component_is_git(const char *s, size_t len)
{
	static const char *const harmless[] = {".gitignore", ".gitkeep", ".github", ".gitlab"};
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
		if (same(s, len, harmless[i]))
			return false;
	bool ci = len >= 7 && strncasecmp(s, ".gitlab", 7) == 0;
	return !ci && ((len >= 4 && strncasecmp(s, ".git", 4) == 0) ||
		       (len >= 4 && strncasecmp(s, "git~", 4) == 0));
}

/* Files that decide what a CI, a forge, an editor or a coding agent runs. A name that ends in "/"
 * is a directory wherever it stands. */
static const struct {
	const char *name;
	bool ci; /* a failure of the CI's definition may need it changed */
} steering[] = {
	{".github/", true},
	{".gitlab/", true},
	{".gitlab-ci.yml", true},
	{".circleci/", true},
	{".buildkite/", true},
	{".woodpecker/", true},
	{".drone.yml", true},
	{".travis.yml", true},
	{"Jenkinsfile", true},
	{"azure-pipelines.yml", true},
	{"bitbucket-pipelines.yml", true},
	{".woodpecker.yml", true},
	{"CODEOWNERS", false},
	{".vscode/", false},
	{".idea/", false},
	{".devcontainer/", false},
	{".husky/", false},
	{".cursor/", false},
	{".cursorrules", false},
	{".claude/", false},
	{"CLAUDE.md", false},
	{"AGENTS.md", false},
	{".envrc", false},
	{"copilot-instructions.md", false},
};

static bool component_steers(const char *s, size_t len, bool last, bool ci_allowed)
{
	for (size_t i = 0; i < ARRAY_SIZE(steering); i++) {
		const char *name = steering[i].name;
		size_t n = strlen(name);
		bool directory = name[n - 1] == '/';
		if (directory == last || (steering[i].ci && ci_allowed))
			continue;
		if (len == n - directory && strncasecmp(s, name, len) == 0)
			return true;
	}
	return false;
}

static int check_component(const struct edits *e, const char *s, size_t len, bool last)
{
	bool dots = (len == 1 && s[0] == '.') || (len == 2 && s[0] == '.' && s[1] == '.');
	if (len == 0 || dots)
		return refuse(e, ERR_DENIED, "the path must stay inside the repository");
	if (component_is_git(s, len))
		return refuse(e, ERR_DENIED, "the path belongs to git itself");
	if (component_steers(s, len, last, e->rules->ci_files))
		return refuse(
			e, ERR_DENIED,
			"the file decides what a CI, a forge or an agent runs: a human changes it");
	return 0;
}

static int check_path(const struct edits *e, const char *s, size_t len)
{
	if (len == 0 || len > PATH_MAX_BYTES)
		return refuse(e, ERR_INVALID, "a path wanted");
	if (text_lies(s, len))
		return refuse(e, ERR_DENIED, "the path has invisible characters");
	for (size_t i = 0; i < len; i++)
		if (isspace((unsigned char)s[i]) ? s[i] != ' ' : strchr("\\\"*?|<>:", s[i]) != NULL)
			return refuse(e, ERR_DENIED, "the path has characters that no path needs");
	if (isspace((unsigned char)s[0]) || isspace((unsigned char)s[len - 1]))
		return refuse(e, ERR_INVALID, "the path begins or ends with a blank");
	for (size_t at = 0; at <= len;) {
		const char *slash = memchr(s + at, '/', len - at);
		size_t n = slash ? (size_t)(slash - (s + at)) : len - at;
		int rc = check_component(e, s + at, n, !slash);
		if (rc)
			return rc;
		at += n + 1;
	}
	return 0;
}

/* As a diff writes it: "a/src/x.c", "/dev/null", with a tab and a date behind. */
static int check_diff_path(const struct edits *e, const char *s, size_t len)
{
	const char *tab = memchr(s, '\t', len);
	len = tab ? (size_t)(tab - s) : len;
	if (len == strlen("/dev/null") && memcmp(s, "/dev/null", len) == 0)
		return 0;
	if (len > 2 && (s[0] == 'a' || s[0] == 'b') && s[1] == '/') {
		s += 2;
		len -= 2;
	}
	return check_path(e, s, len);
}

/* ---- a diff ---- */

static int diff_header(struct edits *e, const struct line *l)
{
	/* Where one path ends and the other begins is unclear with blanks, so each word must do. */
	const char *s = l->s + strlen("diff --git ");
	const char *end = l->s + l->len;
	while (s < end) {
		const char *blank = memchr(s, ' ', (size_t)(end - s));
		const char *stop = blank ? blank : end;
		int rc = check_diff_path(e, s, (size_t)(stop - s));
		if (rc)
			return rc;
		s = stop + 1;
	}
	return 0;
}

static int diff_path(struct edits *e, const struct line *l)
{
	const char *to = memmem(l->s, l->len, " to ", 4), *from = memmem(l->s, l->len, " from ", 6);
	const char *s = from && (!to || from < to) ? from + 6 : to + 4;
	return check_path(e, s, l->len - (size_t)(s - l->s));
}

static int diff_mode(struct edits *e, const struct line *l)
{
	bool plain = memmem(l->s, l->len, " 100644", 7) || memmem(l->s, l->len, " 100755", 7);
	return plain ? 0 : refuse(e, ERR_DENIED, "neither links nor submodules");
}

static int diff_binary(struct edits *e, const struct line *l)
{
	(void)l;
	return refuse(e, ERR_DENIED, "no binary files");
}

static int diff_block(struct edits *e, const struct line *l)
{
	(void)l;
	return refuse(e, ERR_INVALID, "a search/replace block inside a diff");
}

/* Lines of a diff outside of its hunks; inside, each line begins with a blank, '+' or '-'. */
static const struct {
	const char *prefix;
	int (*check)(struct edits *e, const struct line *l);
} diff_lines[] = {
	{"diff --git ", diff_header}, {"rename from ", diff_path},  {"rename to ", diff_path},
	{"copy from ", diff_path},    {"copy to ", diff_path},      {"new file mode ", diff_mode},
	{"new mode ", diff_mode},     {"GIT binary ", diff_binary}, {"Binary files ", diff_binary},
	{"<<<<<<< ", diff_block},     {">>>>>>> ", diff_block},
};

static int read_diff_line(struct edits *e, const struct line *l)
{
	bool pair = e->after_minus && begins(l, "+++ ");
	e->after_minus = begins(l, "--- ");
	if (pair) {
		e->files++;
		int rc = check_diff_path(e, e->minus.s + 4, e->minus.len - 4);
		return rc ? rc : check_diff_path(e, l->s + 4, l->len - 4);
	}
	e->minus = *l;
	for (size_t i = 0; i < ARRAY_SIZE(diff_lines); i++)
		if (begins(l, diff_lines[i].prefix))
			return diff_lines[i].check(e, l);
	return 0;
}

/* ---- blocks ---- */

enum { OUTSIDE, SEARCH, REPLACE };

static int block_start(struct edits *e, const struct line *l)
{
	size_t skip = strlen("<<<<<<< SEARCH");
	if (e->part != OUTSIDE)
		return refuse(e, ERR_INVALID, "a block begins inside a block");
	if (l->len < skip + 2 || l->s[skip] != ' ')
		return refuse(e, ERR_INVALID, "\"<<<<<<< SEARCH path/to/file\" wanted");
	e->part = SEARCH;
	e->files++;
	return check_path(e, l->s + skip + 1, l->len - skip - 1);
}

static int read_block_line(struct edits *e, const struct line *l)
{
	if (begins(l, "<<<<<<<"))
		return begins(l, "<<<<<<< SEARCH") ? block_start(e, l)
						   : refuse(e, ERR_INVALID, "a conflict's mark");
	bool middle = l->len == 7 && begins(l, "=======");
	if (middle && e->part == SEARCH) {
		e->part = REPLACE;
		return 0;
	}
	if (begins(l, ">>>>>>> REPLACE")) {
		if (e->part != REPLACE)
			return refuse(e, ERR_INVALID, "a block ends that did not begin");
		e->part = OUTSIDE;
		return 0;
	}
	if (e->part == OUTSIDE && l->len)
		return refuse(e, ERR_INVALID, "text outside of the blocks");
	return 0;
}

/* ---- the whole ---- */

static int check_text(const char *s, size_t len, struct why *out_why)
{
	for (size_t i = 0; i < len;) {
		uint32_t point = 0;
		size_t n = utf8_sequence((const unsigned char *)s + i, len - i, &point);
		bool control = point < 0x20 ? point != '\n' && point != '\t' : point == 0x7f;
		bool tricks = (point >= 0x202a && point <= 0x202e) ||
			      (point >= 0x2066 && point <= 0x2069) ||
			      (point >= 0xe0000 && point <= 0xe0fff) ||
			      (point >= 0x80 && point < 0xa0);
		if (n == 0 || control || tricks)
			return why_set(out_why, ERR_DENIED,
				       "control, bidi or tag characters (U+%04X)", (unsigned)point);
		i += n;
	}
	return 0;
}

static char *unix_lines(const char *text, struct arena *arena)
{
	size_t len = strlen(text), n = 0;
	char *out = arena_alloc(arena, len + 2);
	for (size_t i = 0; out && i < len; i++)
		if (text[i] != '\r' || text[i + 1] != '\n')
			out[n++] = text[i];
	if (out && n && out[n - 1] != '\n')
		out[n++] = '\n';
	return out;
}

static int read_lines(struct edits *e, const char *text)
{
	bool diff = str_starts(text, "diff --git ") || str_starts(text, "--- ");
	for (const char *s = text; *s;) {
		struct line l = {.s = s, .len = strcspn(s, "\n")};
		e->number++;
		int rc = diff ? read_diff_line(e, &l) : read_block_line(e, &l);
		if (rc)
			return rc;
		s += l.len + (s[l.len] == '\n');
	}
	if (e->part != OUTSIDE)
		return refuse(e, ERR_INVALID, "the last block does not end");
	if (!e->files)
		return refuse(e, ERR_INVALID, "neither search/replace blocks nor a unified diff");
	if (e->files > PROPOSAL_FILES_MAX || e->number > PROPOSAL_EDITS_MAX_LINES)
		return why_set(e->why, ERR_TOO_LARGE, "more than %d changes or %d lines",
			       PROPOSAL_FILES_MAX, PROPOSAL_EDITS_MAX_LINES);
	return 0;
}

int edits_read(struct proposal_reader *r, const char *text)
{
	struct edits e = {.rules = r->rules, .why = r->why};
	if (strlen(text) > PROPOSAL_EDITS_MAX_BYTES)
		return why_set(r->why, ERR_TOO_LARGE, "more than %d bytes",
			       PROPOSAL_EDITS_MAX_BYTES);
	char *lines = unix_lines(text + strspn(text, "\r\n"), r->arena);
	if (!lines)
		return why_set(r->why, ERR_TOO_LARGE, "no room");
	int rc = check_text(lines, strlen(lines), r->why);
	if (!rc)
		rc = read_lines(&e, lines);
	if (!rc)
		r->out.edits = lines;
	return rc;
}
