#include "common/base.h"

#include <ctype.h>
#include <strings.h>

#include "reasoner/prompt/placeholder_private.h"

/*
 * Code of any language, without a grammar of it: strings, comments and bare prose are looked at,
 * all else stays. A wrong guess costs a placeholder that edits restore exactly.
 */

/* A longer string is looked at as if it were code: no quadratic search for its end. */
enum { BARE_WORDS_MAX = 4, STRING_MAX_BYTES = 512, PATH_WORDS_MAX = 6 };

static bool starts(struct span l, size_t at, const char *what)
{
	size_t n = strlen(what);
	return l.n - at >= n && memcmp(l.s + at, what, n) == 0;
}

/* The text, or its placeholder when it speaks; blanks around it stay. */
static void put_text(struct placeholders *p, struct span t, struct buf *out)
{
	size_t from = 0, to = t.n;
	while (from < to && isspace((unsigned char)t.s[from]))
		from++;
	while (to > from && isspace((unsigned char)t.s[to - 1]))
		to--;
	struct span core = {t.s + from, to - from};
	buf_add(out, t.s, from);
	if (text_speaks(p->words, core))
		ph_add(p, PH_TEXT, core, out);
	else
		buf_add(out, core.s, core.n);
	buf_add(out, t.s + to, t.n - to);
}

/* Where the string that begins at `at` ends (its quote), or 0 when not on this line. */
static size_t string_end(struct span l, size_t at)
{
	for (size_t i = at + 1; i < l.n && i < at + STRING_MAX_BYTES; i++) {
		if (l.s[i] == '\\')
			i++;
		else if (l.s[i] == l.s[at])
			return i;
	}
	return 0;
}

static bool first_on_line(struct span l, size_t at)
{
	while (at > 0 && isspace((unsigned char)l.s[at - 1]))
		at--;
	return at == 0;
}

/* "#include", "#[derive(Debug)]", "#!/bin/sh" and the like are code. */
static bool hash_is_code(struct span l, size_t at)
{
	static const char *const words[] = {"#[",      "#!",    "#{",      "#include",  "#define",
					    "#undef",  "#if",   "#else",   "#elif",     "#endif",
					    "#pragma", "#line", "#region", "#endregion"};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (starts(l, at, words[i]))
			return true;
	return at > 0 && !isspace((unsigned char)l.s[at - 1]);
}

/* Length of the mark with which a comment begins at `at`, or 0. */
static size_t comment_start(struct span l, size_t at)
{
	switch (l.s[at]) {
	case '/':
		if (starts(l, at, "/*"))
			return 2;
		return starts(l, at, "//") && (at == 0 || l.s[at - 1] != ':') ? 2 : 0;
	case '#':
		return hash_is_code(l, at) ? 0 : 1;
	case '<':
		return starts(l, at, "<!--") ? 4 : 0;
	case '-':
		return starts(l, at, "-- ") && (at == 0 || l.s[at - 1] == ' ') ? 3 : 0;
	case ';':
	case '%':
	case '*':
		return first_on_line(l, at) && at + 1 < l.n && l.s[at + 1] == ' ' ? 1 : 0;
	default:
		return 0;
	}
}

/* Up to the end of the line, or of the comment when it has one. Returns where to go on. */
static size_t put_comment(struct placeholders *p, struct span l, size_t at, struct buf *out)
{
	size_t mark = comment_start(l, at), end = l.n;
	const char *close = starts(l, at, "/*") ? "*/" : starts(l, at, "<!--") ? "-->" : NULL;
	const char *stop =
		close ? memmem(l.s + at + mark, l.n - at - mark, close, strlen(close)) : NULL;
	if (stop)
		end = (size_t)(stop - l.s);
	else if (close)
		p->block = true;
	buf_add(out, l.s + at, mark);
	put_text(p, (struct span){l.s + at + mark, end - at - mark}, out);
	return end;
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '\'' || (c & 0x80);
}

/* Words with blanks between them and nothing else. */
struct bare {
	size_t end;
	size_t words, strange, row, row_max, triggers,
		determiners; /* words of one letter do not count */
};

static void count_word(const struct vocabulary *w, struct span word, struct bare *b)
{
	unsigned marks = vocabulary_get(w, word);
	if (word.n < 2)
		return;
	b->words++;
	b->triggers += (marks & WORD_TRIGGER) != 0;
	b->determiners += (marks & (WORD_DETERMINER | WORD_KEYWORD)) == WORD_DETERMINER;
	b->row = marks & WORD_KEYWORD ? 0 : b->row + 1;
	b->strange += (marks & WORD_KEYWORD) == 0;
	b->row_max = MAX(b->row_max, b->row);
}

static struct bare bare_run(const struct vocabulary *w, struct span l, size_t at)
{
	struct bare b = {.end = at};
	for (size_t i = at; i < l.n && word_char(l.s[i]);) {
		size_t n = 0;
		while (i + n < l.n && word_char(l.s[i + n]))
			n++;
		count_word(w, (struct span){l.s + i, n}, &b);
		i = b.end = i + n;
		if (i + 1 < l.n && strchr(".!?", l.s[i]) && l.s[i + 1] == ' ')
			i++;
		size_t blanks = i;
		while (i < l.n && l.s[i] == ' ')
			i++;
		if (i == blanks)
			break;
	}
	return b;
}

static size_t put_bare(struct placeholders *p, struct span l, size_t at, struct buf *out)
{
	struct bare b = bare_run(p->words, l, at);
	struct span run = {l.s + at, b.end - at};
	bool prose = b.row_max > BARE_WORDS_MAX ||
		     (b.strange > 3 && b.strange * 3 >= b.words * 2) || (b.words > 1 && p->spoke) ||
		     (b.words > 2 && (b.triggers > 1 || b.determiners > 0));
	p->spoke |= prose;
	if (prose || has_foreign(run) || looks_encoded(run))
		ph_add(p, PH_TEXT, run, out);
	else
		buf_add(out, run.s, run.n);
	return b.end;
}

static size_t put_string(struct placeholders *p, struct span l, size_t at, struct buf *out)
{
	size_t end = string_end(l, at);
	char three[4] = {l.s[at], l.s[at], l.s[at], 0};
	if (starts(l, at, three)) {
		p->quote = l.s[at];
		buf_add(out, l.s + at, 3);
		return at + 3;
	}
	if (!end) {
		buf_add_char(out, l.s[at]);
		return at + 1;
	}
	buf_add_char(out, l.s[at]);
	put_text(p, (struct span){l.s + at + 1, end - at - 1}, out);
	buf_add_char(out, l.s[end]);
	return end + 1;
}

/* What is left of a text or comment that began on an earlier line; returns where code goes on. */
static size_t put_inside(struct placeholders *p, struct span l, size_t at, struct buf *out)
{
	char three[4] = {p->quote, p->quote, p->quote, 0};
	const char *close = p->quote ? three : "*/";
	const char *stop = memmem(l.s + at, l.n - at, close, strlen(close));
	if (!stop && !p->quote)
		stop = memmem(l.s + at, l.n - at, "-->", strlen("-->"));
	size_t end = stop ? (size_t)(stop - l.s) : l.n;
	put_text(p, (struct span){l.s + at, end - at}, out);
	if (!stop)
		return l.n;
	size_t n = p->quote || stop[0] == '-' ? 3 : 2;
	buf_add(out, stop, n);
	p->quote = 0;
	p->block = false;
	return end + n;
}

void abstract_code_line(struct placeholders *p, struct span l, struct buf *out)
{
	size_t at = 0;
	p->spoke = false;
	if (has_hidden(l)) { /* what it shows is not what it says */
		ph_add(p, PH_TEXT, l, out);
		return;
	}
	if (p->prose && !p->quote && !p->block) {
		put_text(p, l, out);
		return;
	}
	while (at < l.n) {
		char c = l.s[at];
		if (p->quote || p->block) {
			at = put_inside(p, l, at, out);
		} else if (comment_start(l, at)) {
			at = put_comment(p, l, at, out);
		} else if (c == '"' || c == '\'' || c == '`') {
			at = put_string(p, l, at, out);
		} else if (word_char(c)) {
			at = put_bare(p, l, at, out);
		} else {
			buf_add_char(out, c);
			at++;
		}
	}
}

/* ---- diffs ---- */

static bool is_prose_file(struct span path)
{
	static const char *const ends[] = {".md",   ".markdown", ".rst",      ".txt",
					   ".adoc", ".html",     ".htm",      ".org",
					   ".tex",  "README",    "CHANGELOG", "LICENSE"};
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		size_t n = strlen(ends[i]);
		if (path.n >= n && strncasecmp(path.s + path.n - n, ends[i], n) == 0)
			return true;
	}
	return false;
}

/* A path, which may hold blanks, behind "a/" or "b/". */
static void put_path(struct placeholders *p, struct span path, struct buf *out)
{
	if (starts(path, 0, "a/") || starts(path, 0, "b/")) {
		buf_add(out, path.s, 2);
		path = (struct span){path.s + 2, path.n - 2};
	}
	if (path.n && (!name_is_plain(p->words, path, PATH_WORDS_MAX) || looks_encoded(path)))
		ph_add(p, PH_PATH, path, out);
	else
		buf_add(out, path.s, path.n);
	p->prose = is_prose_file(path);
}

/* "a/src/x.c b/src/x.c", or one path and what stands behind a tab. */
static void put_paths(struct placeholders *p, struct span l, bool two, struct buf *out)
{
	const char *second = two ? memmem(l.s, l.n, " b/", 3) : NULL;
	const char *tab = memchr(l.s, '\t', l.n);
	size_t n = second ? (size_t)(second - l.s) : tab ? (size_t)(tab - l.s) : l.n;
	put_path(p, (struct span){l.s, n}, out);
	if (n == l.n)
		return;
	buf_add_char(out, l.s[n]);
	struct span rest = {l.s + n + 1, l.n - n - 1};
	put_path(p, rest, out);
	if (!second) /* a date */
		p->prose = is_prose_file((struct span){l.s, n});
}

static bool put_header(struct placeholders *p, struct span l, struct buf *out)
{
	static const char *const headers[] = {"diff --git ",  "--- ",       "+++ ",
					      "rename from ", "rename to ", "copy from ",
					      "copy to "};
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		size_t n = strlen(headers[i]);
		if (!starts(l, 0, headers[i]))
			continue;
		p->quote = 0;
		p->block = false;
		buf_add(out, l.s, n);
		put_paths(p, (struct span){l.s + n, l.n - n}, i == 0, out);
		return true;
	}
	return false;
}

/* "@@ -1,2 +3,4 @@ what is around it" */
static bool put_hunk(struct placeholders *p, struct span l, struct buf *out)
{
	const char *close = starts(l, 0, "@@ ") ? memmem(l.s + 3, l.n - 3, " @@", 3) : NULL;
	if (!close)
		return false;
	for (const char *c = l.s + 3; c < close; c++)
		if (!strchr("0123456789,+- ", *c))
			return false;
	p->quote = 0;
	p->block = false;
	size_t n = (size_t)(close - l.s) + 3;
	buf_add(out, l.s, n);
	abstract_code_line(p, (struct span){l.s + n, l.n - n}, out);
	return true;
}

void abstract_code(struct placeholders *p, struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.n;) {
		const char *newline = memchr(text.s + i, '\n', text.n - i);
		size_t n = newline ? (size_t)(newline - text.s) - i : text.n - i;
		struct span l = {text.s + i, n};
		if (!put_header(p, l, out) && !put_hunk(p, l, out)) {
			size_t sign = n && strchr("+-", l.s[0]) && l.s[0] ? 1 : 0;
			buf_add(out, l.s, sign);
			abstract_code_line(p, (struct span){l.s + sign, n - sign}, out);
		}
		i += n;
		if (newline) {
			buf_add_char(out, '\n');
			i++;
		}
	}
}
