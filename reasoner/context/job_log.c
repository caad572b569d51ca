#include "reasoner/context/source.h"

enum { STAMP_BYTES = 29 }; /* "2024-11-25T10:11:12.1234567Z " */

struct range {
	size_t from, to;
};

/* What GitHub puts before each line of a job's log. */
static size_t stamp_len(const char *line, size_t len)
{
	static const char shape[] = "0000-00-00T00:00:00.0000000Z ";

	if (len < STAMP_BYTES)
		return 0;
	for (size_t i = 0; i < STAMP_BYTES; i++) {
		bool digit = line[i] >= '0' && line[i] <= '9';
		if (shape[i] == '0' ? !digit : line[i] != shape[i])
			return 0;
	}
	return STAMP_BYTES;
}

static bool begins(const char *s, size_t len, const char *word)
{
	return len >= strlen(word) && memcmp(s, word, strlen(word)) == 0;
}

static size_t line_end(const char *log, size_t len, size_t at)
{
	const char *end = memchr(log + at, '\n', len - at);

	return end ? (size_t)(end - log) + 1 : len;
}

/* The group that a step opens: "##[group]Run make test". Actions open others within. */
static bool opens_step(const char *s, size_t len)
{
	return begins(s, len, "##[group]Run ") || begins(s, len, "Post job cleanup.");
}

static bool names_step(const char *s, size_t len, const char *step)
{
	static const char mark[] = "##[group]";

	return *step && begins(s, len, mark) &&
	       begins(s + sizeof mark - 1, len - (sizeof mark - 1), step);
}

/* The section with an error whose step it is; else the last with an error. {0, 0}: none has. */
static struct range find_failed(const char *log, size_t len, const char *step)
{
	struct range found = {0}, now = {0};
	bool error = false, named = false, found_named = false;

	for (size_t at = 0; at <= len;) {
		size_t end = at < len ? line_end(log, len, at) : len;
		const char *s = log + at;
		size_t n = end - at, skip = stamp_len(s, n);
		s += skip;
		n -= skip;
		if (at == len || opens_step(s, n)) {
			now.to = at;
			if (error && !found_named) {
				found = now;
				found_named = named;
			}
			now.from = at;
			error = false;
			named = at < len && names_step(s, n, step);
		}
		error |= begins(s, n, "##[error]");
		if (at == len)
			break;
		at = end;
	}
	return found;
}

/* Whole lines within, unless there is only one. */
static struct range align(const char *log, size_t len, struct range r)
{
	struct range out = r;

	if (out.from > 0 && log[out.from - 1] != '\n')
		out.from = line_end(log, len, out.from);
	while (out.to > out.from && out.to < len && log[out.to - 1] != '\n')
		out.to--;
	return out.from < out.to ? out : r;
}

static size_t add_ranges(const char *log, size_t len, const struct range *ranges, size_t n,
			 struct buf *out)
{
	size_t at = 0, left_out = 0;

	for (size_t i = 0; i < n; i++) {
		struct range r = align(log, len, ranges[i]);
		r.from = MAX(r.from, at);
		if (r.from >= r.to)
			continue;
		if (r.from > at)
			buf_printf(out, "%s[%zu bytes left out]\n",
				   out->len && out->data[out->len - 1] != '\n' ? "\n" : "",
				   r.from - at);
		left_out += r.from - at;
		buf_add(out, log + r.from, r.to - r.from);
		at = r.to;
	}
	return left_out + len - at;
}

size_t job_log_keep(const char *log, size_t len, size_t max, const char *step, struct buf *out)
{
	enum { PARTS = 16 };
	size_t part = max / PARTS;

	if (len <= max) {
		buf_add(out, log, len);
		return 0;
	}
	struct range failed = find_failed(log, len, step);
	size_t size = failed.to - failed.from;
	struct range ranges[] = {
		{0, 2 * part}, {0, 0}, {0, 0}, {len - (size ? 2 : 12) * part, len}};
	if (size > 10 * part) {
		ranges[1] = (struct range){failed.from, failed.from + 2 * part};
		ranges[2] = (struct range){failed.to - 8 * part, failed.to};
	} else if (size) {
		ranges[1] = failed;
	}
	return add_ranges(log, len, ranges, ARRAY_SIZE(ranges), out);
}

void context_log_excerpt(const char *log, size_t len, size_t max, struct buf *out)
{
	auto_buf bare = {0};

	for (size_t at = 0; at < len;) {
		size_t end = line_end(log, len, at), skip = stamp_len(log + at, end - at);
		buf_add(&bare, log + at + skip, end - at - skip);
		at = end;
	}
	job_log_keep(buf_str(&bare), bare.len, max, "", out);
}
