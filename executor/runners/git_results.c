/* What tests report: JUnit XML and TAP, as far as it takes to name those that failed. Written by
 * hostile code: everything is bounded, nothing is believed but for showing it. */
#include "common/mem.h"
#include "executor/runners/git_private.h"

enum { NAME_BYTES = 120, MESSAGE_BYTES = 240 };

struct span {
	const char *text;
	size_t len;
};

static const char *find(struct span in, const char *what)
{
	return memmem(in.text, in.len, what, strlen(what));
}

static struct span from(struct span in, const char *at)
{
	return (struct span){at, in.len - (size_t)(at - in.text)};
}

/* ---- JUnit ---- */

static const struct {
	const char *name, *text;
} entities[] = {{"&lt;", "<"},  {"&gt;", ">"},  {"&quot;", "\""}, {"&apos;", "'"},
		{"&#10;", " "}, {"&#xA;", " "}, {"&#39;", "'"},   {"&amp;", "&"}};

static void add_unescaped(struct buf *out, struct span s, size_t max)
{
	size_t start = out->len;
	for (size_t i = 0; i < s.len && out->len - start < max; i++) {
		size_t known = 0;
		for (size_t k = 0; s.text[i] == '&' && !known && k < ARRAY_SIZE(entities); k++) {
			size_t len = strlen(entities[k].name);
			if (s.len - i < len || memcmp(s.text + i, entities[k].name, len) != 0)
				continue;
			buf_add_str(out, entities[k].text);
			known = len;
		}
		if (known)
			i += known - 1;
		else
			buf_add_char(out, s.text[i] == '\n' || s.text[i] == '\r' ? ' ' : s.text[i]);
	}
}

/* The value of name="..." within a tag. */
static struct span attribute(struct span tag, const char *name)
{
	size_t len = strlen(name);
	struct span rest = tag;
	for (const char *at; (at = find(rest, name)); rest = from(rest, at + len)) {
		struct span tail = from(rest, at + len);
		bool starts = at > tag.text && strchr(" \t\r\n", at[-1]);
		if (!starts || tail.len < 2 || tail.text[0] != '=' ||
		    (tail.text[1] != '"' && tail.text[1] != '\''))
			continue;
		const char *end = memchr(tail.text + 2, tail.text[1], tail.len - 2);
		if (end)
			return (struct span){tail.text + 2, (size_t)(end - tail.text - 2)};
	}
	return (struct span){"", 0};
}

/* The tag that begins at `at`, up to its ">" outside of quotes. */
static struct span tag_at(struct span in, const char *at)
{
	struct span tag = from(in, at);
	char quote = 0;
	for (size_t i = 0; i < tag.len; i++) {
		char c = tag.text[i];
		if (quote ? c == quote : c == '>') {
			if (!quote)
				return (struct span){tag.text, i + 1};
			quote = 0;
		} else if (!quote && (c == '"' || c == '\'')) {
			quote = c;
		}
	}
	return tag;
}

/* What stands in a test case, up to the end of it. */
static struct span case_body(struct span in, struct span tag)
{
	struct span rest = from(in, tag.text + tag.len);
	if (tag.len >= 2 && tag.text[tag.len - 2] == '/')
		return (struct span){rest.text, 0};
	const char *end = find(rest, "</testcase>");
	return (struct span){rest.text, end ? (size_t)(end - rest.text) : rest.len};
}

static void tell_case(struct span tag, struct span body, const char *problem, struct buf *lines)
{
	struct span class = attribute(tag, "classname"), name = attribute(tag, "name");
	struct span problem_tag = tag_at(body, problem);
	buf_add_str(lines, "failed: ");
	add_unescaped(lines, class, NAME_BYTES);
	buf_add_str(lines, class.len ? "." : "");
	add_unescaped(lines, name, NAME_BYTES);
	struct span message = attribute(problem_tag, "message");
	if (message.len)
		buf_add_str(lines, ": ");
	add_unescaped(lines, message, MESSAGE_BYTES);
	buf_add_char(lines, '\n');
}

static bool read_junit(struct span in, size_t max, struct test_results *out, struct buf *lines)
{
	size_t start = lines->len;
	if (!find(in, "<testsuite"))
		return false;
	struct span rest = in;
	for (const char *at; (at = find(rest, "<testcase"));) {
		struct span tag = tag_at(rest, at);
		struct span body = case_body(rest, tag);
		const char *problem = find(body, "<failure");
		if (!problem)
			problem = find(body, "<error");
		out->failed += problem != NULL;
		out->passed += !problem && !find(body, "<skipped");
		if (problem && lines->len - start < max)
			tell_case(tag, body, problem, lines);
		rest = from(rest, body.text + body.len);
	}
	return true;
}

/* ---- TAP ---- */

static bool starts(struct span s, const char *prefix)
{
	size_t len = strlen(prefix);
	return s.len >= len && memcmp(s.text, prefix, len) == 0;
}

static bool excused(struct span line)
{
	auto_free char *text = mem_dup(line.text, line.len);
	return strcasestr(text, "# todo") || strcasestr(text, "# skip");
}

static bool read_tap(struct span in, size_t max, struct test_results *out, struct buf *lines)
{
	size_t start = lines->len;
	bool any = false;
	for (size_t at = 0; at < in.len;) {
		const char *end = memchr(in.text + at, '\n', in.len - at);
		struct span line = {in.text + at, end ? (size_t)(end - in.text) - at : in.len - at};
		at += line.len + 1;
		bool bad = starts(line, "not ok ") || (starts(line, "not ok") && line.len == 6);
		bool good = starts(line, "ok ") || (starts(line, "ok") && line.len == 2);
		any = any || good || bad;
		out->passed += good;
		if (!bad || excused(line))
			continue;
		out->failed++;
		if (lines->len - start < max)
			buf_printf(lines, "failed: %.*s\n",
				   (int)MIN(line.len, (size_t)MESSAGE_BYTES), line.text);
	}
	return any;
}

bool test_results_read(const char *text, size_t len, size_t max, struct test_results *out,
		       struct buf *lines)
{
	struct span in = {text, len};
	*out = (struct test_results){0};
	if (len == 0)
		return false;
	return read_junit(in, max, out, lines) || read_tap(in, max, out, lines);
}
