#include "common/yaml.h"
#include "common/buf.h"

enum { OPEN_BRACKETS_MAX = 1000 };

static int check_line(const char *line, const char *stop, struct why *out_why)
{
	int open = 0;

	if (!utf8_valid(line, (size_t)(stop - line)))
		return why_set(out_why, ERR_CONFIG, "not UTF-8");
	for (const char *p = line; p < stop; p++) {
		if ((unsigned char)*p < 0x20 && *p != '\t' && *p != '\r')
			return why_set(out_why, ERR_CONFIG, "a control character");
		open += (*p == '[' || *p == '{') - (*p == ']' || *p == '}');
		if (open > OPEN_BRACKETS_MAX)
			return why_set(out_why, ERR_TOO_LARGE, "nested too deep");
	}
	return 0;
}

int yaml_check_text(const char *name, const char *text, size_t len, struct why *out_why)
{
	const char *end = text + len;
	int number = 1;

	if (len > YAML_FILE_MAX_BYTES)
		return why_set(out_why, ERR_TOO_LARGE, "%s: more than 4 MiB", name);
	for (const char *line = text; line < end; number++) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		int rc;

		stop = stop ? stop : end;
		rc = check_line(line, stop, out_why);
		if (rc)
			return why_prefix(out_why, rc, "%s:%d", name, number);
		line = stop + 1;
	}
	return 0;
}

/* One line break becomes a space, more of them one fewer; the blanks around them go. */
static const char *fold(const char *p, const char *end, struct buf *out)
{
	size_t breaks = 0;

	while (out->len && (out->data[out->len - 1] == ' ' || out->data[out->len - 1] == '\t'))
		out->len--;
	for (; p < end && strchr(" \t\r\n", *p); p++)
		breaks += *p == '\n';
	if (breaks == 1)
		buf_add_char(out, ' ');
	for (; breaks > 1; breaks--)
		buf_add_char(out, '\n');
	return p;
}

void yaml_unquote(const char *text, size_t len, struct buf *out)
{
	const char *end = text + len;
	const char *p = text;

	while (p < end) {
		if (*p == '\n' || (*p == '\r' && p + 1 < end && p[1] == '\n')) {
			p = fold(p, end, out);
			continue;
		}
		if (*p == '\'' && (p + 1 == end || *++p != '\''))
			return;
		buf_add_char(out, *p++);
	}
}

const char *yaml_block_error(const char *text, size_t len, size_t at, int column)
{
	size_t header = at - (at > 0);
	size_t indented = 0;
	size_t line = at;
	size_t p = at;

	while (header > 0 && text[header - 1] != '\n')
		header--;
	while (header < at && text[header] == ' ')
		indented = ++header;
	if (indented && header < at && (text[header] == '|' || text[header] == '>'))
		return "a block must start on the line of its key";
	for (; p < len && (text[p] == ' ' || text[p] == '\r' || text[p] == '\n'); p++)
		if (text[p] == '\n')
			line = p + 1;
	if (column >= 0 && p - line <= (size_t)column)
		return "a block must be indented more than its key; an empty one is \"\"";
	return NULL;
}
