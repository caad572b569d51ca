#include "reasoner/classify/classify_private.h"

enum {
	PREFIX_MAX_BYTES = 256, /* of a job's and a step's name before a line */
	PREFIX_TABS = 2,
};

/* ---- the time before a line ---- */

/* As many of text's bytes as are like the pattern, in which 0 stands for any digit: all, or 0. */
static size_t like(const char *text, size_t len, const char *pattern)
{
	size_t n = strlen(pattern);
	if (len < n)
		return 0;
	for (size_t i = 0; i < n; i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';
		if (pattern[i] == '0' ? !digit : text[i] != pattern[i])
			return 0;
	}
	return n;
}

/* The length of a time as RFC 3339 writes it, with what brackets it and the space behind. */
static size_t time_length(const char *text, size_t len)
{
	size_t open = len > 0 && text[0] == '[';
	size_t n = like(text + open, len - open, "0000-00-00T00:00:00");
	if (!n)
		return 0;
	n += open;
	while (n < len && ((text[n] >= '0' && text[n] <= '9') || strchr(".,:+-Z", text[n])))
		n++;
	n += open && n < len && text[n] == ']';
	return n == len ? n : text[n] == ' ' ? n + 1 : 0;
}

/* GitLab's runner writes which stream a line is of behind its time: "00O ", "01E+". */
static size_t stream_length(const char *text, size_t len)
{
	bool is = len >= 4 && like(text, len, "00") && (text[2] == 'O' || text[2] == 'E') &&
		  (text[3] == ' ' || text[3] == '+');
	return is ? 4 : 0;
}

/* "job<TAB>step<TAB>time line", as GitHub's command-line program prints logs. */
static size_t columns_length(const char *text, size_t len)
{
	size_t at = 0, most = MIN(len, (size_t)PREFIX_MAX_BYTES);
	for (unsigned tab = 0; tab < PREFIX_TABS; tab++) {
		const char *next = memchr(text + at, '\t', most - at);
		if (!next)
			return 0;
		at = (size_t)(next - text) + 1;
	}
	return time_length(text + at, len - at) ? at : 0;
}

static size_t prefix_length(const char *text, size_t len)
{
	size_t at = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	at += columns_length(text + at, len - at);
	size_t time = time_length(text + at, len - at);
	at += time;
	return time ? at + stream_length(text + at, len - at) : at;
}

/* ---- colours ---- */

/* The length of the escape sequence at text, which begins with ESC (ECMA-48, and xterm's titles).
 */
static size_t escape_length(const char *text, size_t len)
{
	size_t n = 2;
	if (len < 2)
		return len;
	if (text[1] == '[') {
		while (n < len && (unsigned char)text[n] < 0x40)
			n++;
		return MIN(n + 1, len);
	}
	if (text[1] == ']') {
		while (n < len && text[n] != '\a' && text[n] != '\033')
			n++;
		return MIN(n + 1, len);
	}
	return strchr("()*+#%", text[1]) ? MIN((size_t)3, len) : 2;
}

static bool is_plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' && text[i] != '\t')
			return false;
	}
	return true;
}

static void strip(const char *raw, size_t len, struct line *out)
{
	size_t n = 0;
	out->text = raw;
	out->len = MIN(len, (size_t)CLASSIFY_LINE_MAX_BYTES);
	if (is_plain(raw, out->len))
		return;
	for (size_t i = 0; i < len && n < sizeof(out->storage);) {
		if (raw[i] == '\033') {
			i += escape_length(raw + i, len - i);
			continue;
		}
		if ((unsigned char)raw[i] >= ' ' || raw[i] == '\t')
			out->storage[n++] = raw[i];
		i++;
	}
	out->text = out->storage;
	out->len = n;
}

/* ---- markers ---- */

static const struct {
	const char *prefix;
	enum mark mark;
	bool cut; /* the prefix is no part of the text */
} marks[] = {
	/* Longer ones before what they begin with. GitHub Actions, Azure Pipelines: */
	{"##[group]Run ", MARK_COMMAND, true},
	{"##[group]", MARK_NONE, true},
	{"##[endgroup]", MARK_HEADER_END, true},
	{"##[error]Process completed with exit code", MARK_FAILED, false},
	{"##[error]Bash exited with code", MARK_FAILED, false},
	{"##[error]", MARK_ERROR, true},
	{"##[warning]", MARK_NOISE, true},
	{"##[notice]", MARK_NOISE, true},
	{"##[debug]", MARK_NOISE, true},
	{"##[section]Starting: ", MARK_COMMAND, true},
	{"##[section]Finishing: ", MARK_END, true},
	{"##[command]", MARK_NONE, true},
	{"Error: Process completed with exit code", MARK_FAILED, false},
	{"Post job cleanup.", MARK_POST, false},
	{"Cleaning up orphan processes", MARK_POST, false},
	/* Travis CI: */
	{"$ ", MARK_COMMAND, true},
	{"travis_fold:start:after_", MARK_POST, false},
	{"travis_fold:", MARK_NOISE, false},
	{"travis_time:end:", MARK_END, false},
	{"travis_time:start:", MARK_START, false},
	{"store build cache", MARK_POST, false},
	{"Done. Your build exited with", MARK_POST, false},
	/* Yarn, of a script that it runs; a shell that shows its commands: */
	{"error Command failed with exit code", MARK_ERROR, false},
	{"Done in ", MARK_PASSED, false},
	{"+ echo ", MARK_NOISE, false},
	{"++ echo ", MARK_NOISE, false},
	/* GitLab: */
	{"section_start:", MARK_NOISE, false},
	{"section_end:", MARK_END, false},
	{"ERROR: Job failed", MARK_FAILED, false},
	{"Cleaning up project directory", MARK_POST, false},
	{"Uploading artifacts for failed job", MARK_POST, false},
	/* Jenkins, CircleCI, AppVeyor: */
	{"Build step '", MARK_FAILED, false},
	{"Exited with code ", MARK_FAILED, false},
	{"Command exited with code ", MARK_FAILED, false},
};

static const char *find_text(const struct line *l, const char *words)
{
	return memmem(l->text, l->len, words, strlen(words));
}

static void cut_to(struct line *l, const char *at)
{
	l->len -= (size_t)(at - l->text);
	l->text = at;
}

/* Travis' verdict on a command, which may have several lines: 'The command "x" exited with 1.' What
 * stands before that is no output. */
static enum mark verdict(struct line *l)
{
	static const char head[] = "The command \"", tail[] = "\" exited with ";
	bool begins = l->len > sizeof(head) && memcmp(l->text, head, sizeof(head) - 1) == 0;
	if (!begins && !(l->len > 0 && l->text[0] == '"'))
		return MARK_NONE;
	const char *at = find_text(l, tail);
	if (at && (begins || at == l->text)) {
		const char *code = at + sizeof(tail) - 1;
		bool passed = code < l->text + l->len && *code == '0';
		cut_to(l, at + 2);
		return passed ? MARK_PASSED : MARK_FAILED;
	}
	if (!begins)
		return MARK_NONE;
	at = find_text(l, "Retrying, ") ? NULL : find_text(l, "\" failed ");
	if (!at)
		return MARK_NOISE;
	cut_to(l, at + 2);
	return MARK_FAILED;
}

static void find_mark(struct line *l)
{
	l->mark = verdict(l);
	for (size_t i = 0; i < ARRAY_SIZE(marks) && l->mark == MARK_NONE; i++) {
		size_t n = strlen(marks[i].prefix);
		if (l->len < n || memcmp(l->text, marks[i].prefix, n) != 0)
			continue;
		l->mark = marks[i].mark;
		if (marks[i].cut)
			cut_to(l, l->text + n);
		return;
	}
}

void line_read(const char *raw, size_t len, struct line *out)
{
	size_t skip = prefix_length(raw, len);
	strip(raw + skip, len - skip, out);
	/* Travis erases the line after a marker; some copies of logs lost the escape before it. */
	if (out->len > 3 && memcmp(out->text, "[0K", 3) == 0) {
		out->text += 3;
		out->len -= 3;
	}
	while (out->len > 0 && (out->text[out->len - 1] == ' ' || out->text[out->len - 1] == '\t'))
		out->len--;
	find_mark(out);
}
