/* Characters that make a line read other than it runs (Trojan Source, CVE-2021-42574). */
#include "executor/guards/guards.h"

#include "common/buf.h"

struct range {
	uint32_t from, to;
};

static bool within(const struct range *ranges, size_t n, uint32_t point)
{
	for (size_t i = 0; i < n; i++)
		if (point >= ranges[i].from && point <= ranges[i].to)
			return true;
	return false;
}

static bool is_bidi(uint32_t p)
{
	static const struct range bidi[] = {
		{0x061c, 0x061c}, {0x200e, 0x200f}, {0x202a, 0x202e}, {0x2066, 0x2069}};
	return within(bidi, ARRAY_SIZE(bidi), p);
}

static bool is_invisible(uint32_t p)
{
	static const struct range invisible[] = {
		{0x00ad, 0x00ad}, {0x034f, 0x034f},   {0x115f, 0x1160},   {0x17b4, 0x17b5},
		{0x180b, 0x180f}, {0x200b, 0x200d},   {0x2028, 0x2029},   {0x2060, 0x2065},
		{0x206a, 0x206f}, {0x3164, 0x3164},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
		{0xfff0, 0xfffb}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};
	return within(invisible, ARRAY_SIZE(invisible), p);
}

static bool is_control(uint32_t p)
{
	return (p < 0x20 && p != '\t' && p != '\f' && p != '\r') || (p >= 0x7f && p < 0xa0);
}

/* A joiner between two pictures makes one picture of them. */
static bool is_joiner(uint32_t p, uint32_t before)
{
	return p == 0x200d && (before >= 0x1f000 || before == 0xfe0f);
}

static const char *look(const struct guard_line *l)
{
	uint32_t point = 0, before = 0;
	for (size_t i = 0; i < l->len; before = point) {
		size_t n = utf8_sequence((const unsigned char *)l->text + i, l->len - i, &point);
		point = n ? point : 0xfffd;
		bool mark = point == 0xfeff && i == 0 && l->number == 1;
		i += n ? n : 1;
		if (is_bidi(point))
			return "a character that turns the direction of reading";
		if (is_invisible(point) && !mark && !is_joiner(point, before))
			return "a character that cannot be seen";
		if (is_control(point) || (point == '\r' && i != l->len))
			return "a control character";
	}
	return NULL;
}

void check_hidden(struct review *r, const struct guard_change *c)
{
	for (size_t i = 0; i < c->n_added; i++) {
		const char *what = look(&c->added[i]);
		if (what)
			review_say(r, c, &c->added[i], "%s", what);
	}
}

/* ---- look-alikes ---- */

static bool is_lookalike(uint32_t p)
{
	static const struct range alike[] = {
		{0x0400, 0x052f},                     /* Cyrillic */
		{0x0531, 0x058f},                     /* Armenian */
		{0x13a0, 0x13ff},                     /* Cherokee */
		{0xff21, 0xff3a},   {0xff41, 0xff5a}, /* full width */
		{0x1d400, 0x1d7ff},                   /* mathematical letters */
		{0x0391, 0x0392},   {0x0395, 0x0397}, {0x0399, 0x039a}, {0x039c, 0x039d},
		{0x039f, 0x039f},   {0x03a1, 0x03a1}, {0x03a4, 0x03a5}, {0x03a7, 0x03a7},
		{0x03bf, 0x03bf}}; /* Greek that looks Latin; delta x is not meant */
	return within(alike, ARRAY_SIZE(alike), p);
}

static bool is_word(uint32_t p)
{
	return p == '_' || (p >= '0' && p <= '9') || (p | 0x20) - 'a' < 26u || p >= 0x80;
}

static bool mixes(const struct guard_line *l)
{
	uint32_t point = 0;
	bool latin = false, alike = false;
	for (size_t i = 0; i < l->len;) {
		size_t n = utf8_sequence((const unsigned char *)l->text + i, l->len - i, &point);
		point = n ? point : ' ';
		i += n ? n : 1;
		bool word = is_word(point);
		latin = word && (latin || (point < 0x80 && (point | 0x20) - 'a' < 26u));
		alike = word && (alike || is_lookalike(point));
		if (latin && alike)
			return true;
	}
	return false;
}

void check_homoglyph(struct review *r, const struct guard_change *c)
{
	for (size_t i = 0; i < c->n_added; i++)
		if (mixes(&c->added[i]))
			review_say(r, c, &c->added[i],
				   "a word that mixes Latin letters with look-alikes");
}
