#include "reasoner/proposal/plain.h"

#include <ctype.h>
#include <strings.h>

/* Sorted. */
static const struct {
	uint32_t first, last;
} lies[] = {
	{0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x061c, 0x061c},   {0x115f, 0x1160},
	{0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
	{0x2060, 0x206f},   {0x2800, 0x2800},   {0x3164, 0x3164},   {0xe000, 0xf8ff},
	{0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},
	{0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}, {0xf0000, 0x10ffff},
};

bool point_lies(uint32_t point)
{
	if (point < lies[0].first)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(lies) && point >= lies[i].first; i++)
		if (point <= lies[i].last)
			return true;
	return false;
}

bool text_lies(const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint32_t point = 0;
		size_t n = utf8_sequence((const unsigned char *)s + i, len - i, &point);
		if (n == 0 || point_lies(point))
			return true;
		i += n;
	}
	return false;
}

struct prose {
	struct buf *out;
	bool in_tag; /* a '<' was disarmed, its '>' is still to come */
};

static char before(const struct prose *p)
{
	return p->out->len ? p->out->data[p->out->len - 1] : '\n';
}

static bool word_before(const struct prose *p)
{
	char c = before(p);
	return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

/* Length of an address at s, 0 when there is none. */
static size_t address_len(const struct prose *p, const char *s)
{
	static const char *const starts[] = {"http://", "https://",    "ftp://",  "file://",
					     "data:",   "javascript:", "mailto:", "www."};
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		size_t n = strlen(starts[i]);
		if (strncasecmp(s, starts[i], n) != 0)
			continue;
		size_t len = strcspn(s, " \t\r\n<>\"'`)]}|");
		bool scheme = starts[i][n - 1] == '/';
		return scheme || (len > n && !word_before(p)) ? len : 0;
	}
	return 0;
}

static size_t take_address(struct prose *p, const char *s)
{
	size_t len = address_len(p, s);
	if (len)
		buf_add_str(p->out, "(link)");
	return len;
}

/* A sign that chats and forges act upon: a mention, a reference, the start of an image. A blank
 * behind it, since without the sign the one before it would begin something. */
static size_t take_sign(struct prose *p, const char *s)
{
	unsigned char next = (unsigned char)s[1];
	bool mention = s[0] == '@' && (isalnum(next) || next == '_');
	bool reference = s[0] == '#' && isdigit(next);
	bool image = s[0] == '!' && next == '[';
	if (!mention && !reference && !image)
		return 0;
	buf_add_char(p->out, s[0]);
	buf_add_char(p->out, ' ');
	return 1;
}

static size_t take_tag(struct prose *p, const char *s)
{
	if (s[0] == '<' && (isalpha((unsigned char)s[1]) || (s[1] && strchr("/!?|@#", s[1])))) {
		buf_add_str(p->out, "‹");
		p->in_tag = true;
		return 1;
	}
	if (s[0] != '>' || !p->in_tag)
		return 0;
	buf_add_str(p->out, "›");
	p->in_tag = false;
	return 1;
}

/* Without what cannot be seen, so that no word hides behind it. */
static void add_visible(struct buf *out, const char *s, bool one_line)
{
	while (*s) {
		uint32_t point = 0;
		size_t n = utf8_sequence((const unsigned char *)s, strnlen(s, 4), &point);
		bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
		if (n && control)
			buf_add_char(out, point == '\n' && !one_line ? '\n' : ' ');
		else if (n && !point_lies(point))
			buf_add(out, s, n);
		s += n ? n : 1;
	}
}

static void cut(struct buf *text, size_t max)
{
	while (text->len && isspace((unsigned char)text->data[text->len - 1]))
		text->data[--text->len] = '\0';
	if (text->len <= max)
		return;
	size_t at = max - 3;
	while (at && ((unsigned char)text->data[at] & 0xc0) == 0x80)
		at--;
	text->len = at;
	buf_add_str(text, "...");
}

char *plain_prose(struct arena *arena, const char *s, size_t max, bool one_line)
{
	auto_buf seen = {0}, text = {0};
	struct prose p = {.out = &text};
	add_visible(&seen, s + strspn(s, " \t\r\n"), one_line);
	for (s = buf_str(&seen); *s && text.len <= max;) {
		size_t n = take_address(&p, s);
		n = n ? n : take_sign(&p, s);
		n = n ? n : take_tag(&p, s);
		if (!n)
			buf_add_char(&text, *s);
		s += n ? n : 1;
	}
	cut(&text, max);
	return arena_strdup(arena, buf_str(&text));
}
