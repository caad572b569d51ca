#include "reasoner/context/source.h"

#include "common/clock.h"

enum { ESC = 0x1b, BEL = 0x07, ESCAPE_MAX_BYTES = 256, JSON_KEY_MAX = 64 };

/* Behind an escape sequence (ECMA-48): CSI up to its final character, OSC up to BEL or ST. */
static size_t escape_skip(const char *s, size_t len)
{
	size_t at = 2, end = MIN(len, (size_t)ESCAPE_MAX_BYTES);

	if (len < 2)
		return len;
	if (s[1] == '[') {
		while (at < end && (unsigned char)s[at] >= 0x20 && (unsigned char)s[at] < 0x40)
			at++;
		return at < end ? at + 1 : at;
	}
	if (s[1] != ']')
		return at;
	while (at < end && s[at] != BEL && s[at] != ESC && s[at] != '\n')
		at++;
	if (at < end && s[at] == BEL)
		return at + 1;
	return at + 1 < end && s[at] == ESC && s[at + 1] == '\\' ? at + 2 : at;
}

void text_clean(const char *s, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len;) {
		size_t plain = i;
		while (plain < len && s[plain] != ESC && s[plain] != '\r')
			plain++;
		buf_add_printable(out, s + i, plain - i);
		i = plain;
		if (i == len)
			return;
		if (s[i] == ESC) {
			i += escape_skip(s + i, len - i);
			continue;
		}
		while (i < len && s[i] == '\r')
			i++;
		if (i == len || s[i] != '\n')
			buf_add_char(out, '\n');
	}
}

void text_cut(struct buf *b, size_t max)
{
	enum { LINE_LOOK = 400 };
	size_t whole = b->len, to = max;

	if (whole <= max)
		return;
	while (to && ((unsigned char)b->data[to] & 0xc0) == 0x80)
		to--;
	for (size_t i = to; i > 0 && i + LINE_LOOK > to; i--) {
		if (b->data[i - 1] == '\n') {
			to = i;
			break;
		}
	}
	b->len = to;
	buf_printf(b, "%s[%zu of %zu bytes left out]\n", to && b->data[to - 1] != '\n' ? "\n" : "",
		   whole - to, whole);
}

char *text_line(const struct redactor *r, const char *s, size_t max)
{
	auto_buf clean = {0};
	struct buf line = {0};

	text_clean(s, strcspn(s, "\n"), &clean);
	redact(r, buf_str(&clean), clean.len, &line);
	buf_add(&line, "", 0);
	while (line.len > max || (line.len && line.data[line.len - 1] == '\n')) {
		do
			line.len--;
		while (line.len && ((unsigned char)line.data[line.len] & 0xc0) == 0x80);
		line.data[line.len] = '\0';
	}
	for (size_t i = 0; i < line.len; i++)
		line.data[i] = line.data[i] == '\n' || line.data[i] == '\t' ? ' ' : line.data[i];
	return buf_detach(&line);
}

void text_add_clock(struct buf *out, int64_t ms)
{
	char text[TIME_TEXT_BYTES];

	time_format(ms, text);
	buf_add(out, text + 11, 8);
}

const json_t *answer_at(const json_t *v, const char *path)
{
	while (v && *path) {
		char key[JSON_KEY_MAX];
		size_t n = strcspn(path, ".");
		if (n >= sizeof key)
			return NULL;
		memcpy(key, path, n);
		key[n] = '\0';
		v = json_object_get(v, key);
		path += n + (path[n] == '.');
	}
	return v;
}

const char *answer_text(const json_t *v, const char *path)
{
	const char *s = json_string_value(answer_at(v, path));

	return s ? s : "";
}

int64_t answer_number(const json_t *v, const char *path)
{
	return json_integer_value(answer_at(v, path));
}
