#include "notifier/ctl/ctl.h"

#include "common/clock.h"
#include "common/mem.h"

/* ---- text ---- */

void ctl_flush(struct ctl *c)
{
	if (c->out.len)
		fwrite(c->out.data, 1, c->out.len, stdout);
	fflush(stdout);
	buf_reset(&c->out);
}

void ctl_text(struct ctl *c, const char *s)
{
	if (s)
		buf_add_printable(&c->out, s, strlen(s));
}

void ctl_printf(struct ctl *c, const char *fmt, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, fmt);
	int len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0)
		abort();
	buf_add(&c->out, text, (size_t)len);
	free(text);
}

static const char *const codes[] = {
	[STYLE_PLAIN] = "",        [STYLE_BOLD] = "\033[1m",  [STYLE_DIM] = "\033[2m",
	[STYLE_GOOD] = "\033[32m", [STYLE_WARN] = "\033[33m", [STYLE_BAD] = "\033[1;31m",
	[STYLE_CALM] = "\033[36m",
};

void ctl_styled(struct ctl *c, enum ctl_style style, const char *s)
{
	bool on = c->colour && style != STYLE_PLAIN;

	if (on)
		buf_add_str(&c->out, codes[style]);
	ctl_text(c, s);
	if (on)
		buf_add_str(&c->out, "\033[0m");
}

size_t ctl_columns(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* Bytes of the next piece that fits into `room` columns, and of what separates it from the rest. */
static size_t piece(const char *s, size_t room, size_t *out_skip)
{
	size_t columns = 0, at = 0, blank = 0;

	*out_skip = 0;
	for (; s[at] && s[at] != '\n'; at++) {
		if (((unsigned char)s[at] & 0xc0) == 0x80)
			continue;
		if (columns++ == room) {
			size_t cut = blank ? blank : at;

			*out_skip = blank ? strspn(s + cut, " ") : 0;
			return cut;
		}
		if (s[at] == ' ')
			blank = at;
	}
	*out_skip = s[at] == '\n';
	return at;
}

void ctl_wrap(struct ctl *c, size_t column, size_t indent, const char *text)
{
	auto_buf clean = {0};

	buf_add_printable(&clean, text, strlen(text));
	const char *s = buf_str(&clean);
	for (;;) {
		size_t skip, room = c->width > column + 10 ? c->width - column : 10;
		size_t len = piece(s, room, &skip);

		buf_add(&c->out, s, len);
		buf_add_char(&c->out, '\n');
		s += len + skip;
		if (!*s)
			return;
		ctl_printf(c, "%*s", (int)indent, "");
		column = indent;
	}
}

/* ---- tables ---- */

void ctl_table_begin(struct ctl_table *t, struct ctl *c, size_t columns, const char *const *heads)
{
	*t = (struct ctl_table){.ctl = c, .columns = columns};
	for (size_t i = 0; i < columns; i++)
		ctl_cell(t, STYLE_DIM, heads[i]);
}

void ctl_cell(struct ctl_table *t, enum ctl_style style, const char *text)
{
	auto_buf clean = {0};
	size_t len = strlen(text);

	buf_add_printable(&clean, text, strcspn(text, "\n"));
	if (strcspn(text, "\n") < len)
		buf_add_str(&clean, " ...");
	t->cells = mem_realloc(t->cells, (t->n + 1) * sizeof(*t->cells));
	t->styles = mem_realloc(t->styles, (t->n + 1) * sizeof(*t->styles));
	t->cells[t->n] = mem_strdup(buf_str(&clean));
	t->styles[t->n++] = style;
}

static size_t column_width(const struct ctl_table *t, size_t column)
{
	size_t width = 0;

	for (size_t i = column; i < t->n; i += t->columns)
		width = MAX(width, ctl_columns(t->cells[i]));
	return width;
}

/* On a terminal the last column is cut, so that a row stays one line. */
static void cut(const struct ctl_table *t, char *cell, size_t used)
{
	size_t room = t->ctl->width > used + 10 ? t->ctl->width - used : 10, columns = 0;

	if (!t->ctl->terminal || ctl_columns(cell) <= room)
		return;
	for (char *p = cell; *p; p++) {
		if (((unsigned char)*p & 0xc0) != 0x80 && columns++ == room - 1) {
			*p = 0;
			return;
		}
	}
}

static void print_cell(struct ctl_table *t, size_t i, size_t width, size_t *used)
{
	bool last = (i + 1) % t->columns == 0;

	if (last)
		cut(t, t->cells[i], *used);
	size_t columns = ctl_columns(t->cells[i]);
	ctl_styled(t->ctl, t->styles[i], t->cells[i]);
	if (last) {
		ctl_printf(t->ctl, "\n");
		*used = 0;
		return;
	}
	ctl_printf(t->ctl, "%*s", (int)(width - columns + 2), "");
	*used += width + 2;
}

void ctl_table_end(struct ctl_table *t)
{
	assert(t->columns > 0);
	auto_free size_t *widths = mem_calloc(t->columns, sizeof(*widths));
	size_t used = 0;

	for (size_t i = 0; i < t->columns; i++)
		widths[i] = column_width(t, i);
	for (size_t i = 0; i < t->n; i++)
		print_cell(t, i, widths[i % t->columns], &used);
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t->styles);
}

/* ---- times ---- */

const char *ctl_clock(int64_t ms, char out[static WHEN_BYTES])
{
	time_t at = (time_t)(ms / 1000), now = (time_t)(clock_real_ms() / 1000);
	struct tm a = {0}, b = {0};

	if (ms <= 0) {
		snprintf(out, WHEN_BYTES, "-");
		return out;
	}
	localtime_r(&at, &a);
	localtime_r(&now, &b);
	bool today = a.tm_yday == b.tm_yday && a.tm_year == b.tm_year;
	strftime(out, WHEN_BYTES, today ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &a);
	return out;
}

static void span(int64_t ms, char out[static 32])
{
	int64_t s = ms / 1000;

	if (s < 120)
		snprintf(out, 32, "%" PRId64 " s", s);
	else if (s < 7200)
		snprintf(out, 32, "%" PRId64 " min", s / 60);
	else if (s < 172800)
		snprintf(out, 32, "%" PRId64 " h", s / 3600);
	else
		snprintf(out, 32, "%" PRId64 " days", s / 86400);
}

const char *ctl_ago(int64_t ms, char out[static WHEN_BYTES])
{
	int64_t ago = clock_real_ms() - ms;
	char text[32];

	span(ago < 0 ? -ago : ago, text);
	if (ms <= 0)
		snprintf(out, WHEN_BYTES, "-");
	else if (ago >= 0 && ago < 2000)
		snprintf(out, WHEN_BYTES, "just now");
	else
		snprintf(out, WHEN_BYTES, ago < 0 ? "in %s" : "%s ago", text);
	return out;
}

const char *ctl_offset(int64_t ms, char out[static WHEN_BYTES])
{
	enum { TENTHS_BELOW_MS = 10000 };
	int64_t s = MAX(ms, 0) / 1000;

	if (ms >= 0 && ms < TENTHS_BELOW_MS)
		snprintf(out, WHEN_BYTES, "+%" PRId64 ".%" PRId64 "s", s, ms % 1000 / 100);
	else if (s < 60)
		snprintf(out, WHEN_BYTES, "+%" PRId64 "s", s);
	else if (s < 3600)
		snprintf(out, WHEN_BYTES, "+%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else
		snprintf(out, WHEN_BYTES, "+%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
	return out;
}

const char *ctl_short_id(const char *id, char out[static WHEN_BYTES])
{
	snprintf(out, WHEN_BYTES, "%.8s", id);
	return out;
}

/* ---- errors ---- */

int ctl_fail(int exit_code, const char *next, const char *fmt, ...)
{
	va_list args;
	char *text = NULL;
	auto_buf line = {0};

	va_start(args, fmt);
	int len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0)
		abort();
	buf_add_str(&line, "healctl: ");
	buf_add_printable(&line, text, (size_t)len);
	if (next && *next) {
		buf_add_str(&line, "\n  do: ");
		buf_add_printable(&line, next, strlen(next));
	}
	fprintf(stderr, "%s\n", buf_str(&line));
	free(text);
	return exit_code;
}
