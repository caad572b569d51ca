#include "monitor/json_text.h"
#include "common/buf.h"

/* Every number that is shorter and has no exponent is read alike by every parser. */
enum { NUMBER_PLAIN_MAX = 15 };

static bool fail(struct json_cursor *c, const char *what)
{
	if (!c->wrong)
		c->wrong = what;
	return false;
}

static void space(struct json_cursor *c)
{
	while (c->at < c->end &&
	       (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r'))
		c->at++;
}

static bool is(const struct json_cursor *c, char byte)
{
	return c->at < c->end && *c->at == byte;
}

/* ---- numbers ---- */

static bool digits(struct json_cursor *c)
{
	const char *start = c->at;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	return c->at > start || fail(c, "a digit is missing");
}

static bool exponent(struct json_cursor *c)
{
	if (!is(c, 'e') && !is(c, 'E'))
		return true;
	c->odd = true;
	c->at++;
	if (is(c, '+') || is(c, '-'))
		c->at++;
	return digits(c);
}

static bool number(struct json_cursor *c)
{
	const char *start = c->at;

	if (is(c, '-'))
		c->at++;
	if (is(c, '0'))
		c->at++;
	else if (!digits(c))
		return false;
	if (is(c, '.')) {
		c->at++;
		if (!digits(c))
			return false;
	}
	c->odd |= c->at - start > NUMBER_PLAIN_MAX;
	return exponent(c);
}

/* ---- strings ---- */

static bool hex4(struct json_cursor *c, unsigned *out)
{
	static const char digits16[] = "0123456789abcdef";

	*out = 0;
	for (int i = 0; i < 4; i++, c->at++) {
		char byte = c->at < c->end ? *c->at : '\0';
		const char *digit = byte ? strchr(digits16, byte | (byte > '9' ? 0x20 : 0)) : NULL;

		if (!digit)
			return fail(c, "four hex digits are missing");
		*out = *out << 4 | (unsigned)(digit - digits16);
	}
	return true;
}

/* The grammar lets half a pair through, but it is no character: the normaliser's parser refuses. */
static bool unicode(struct json_cursor *c)
{
	unsigned first, second;

	if (!hex4(c, &first))
		return false;
	c->odd |= first == 0;
	if (first < 0xd800 || first > 0xdfff)
		return true;
	if (first > 0xdbff || c->end - c->at < 2 || c->at[0] != '\\' || c->at[1] != 'u')
		return fail(c, "half a surrogate pair");
	c->at += 2;
	if (!hex4(c, &second))
		return false;
	return (second >= 0xdc00 && second <= 0xdfff) || fail(c, "half a surrogate pair");
}

static bool escape(struct json_cursor *c)
{
	c->at++;
	if (c->at >= c->end || !*c->at || !strchr("\"\\/bfnrtu", *c->at))
		return fail(c, "unknown escape");
	return *c->at++ == 'u' ? unicode(c) : true;
}

/* What json_plain stops at, other than the closing quote. */
static bool special(struct json_cursor *c)
{
	unsigned char byte = (unsigned char)*c->at;
	uint32_t point;
	size_t n;

	if (byte == '\\')
		return escape(c);
	if (byte < 0x20)
		return fail(c, "control character in a string");
	n = utf8_sequence((const unsigned char *)c->at, (size_t)(c->end - c->at), &point);
	c->at += n;
	return n || fail(c, "not UTF-8");
}

bool cursor_string(struct json_cursor *c, struct json_span *out)
{
	struct json_span span;

	space(c);
	if (!is(c, '"'))
		return fail(c, "a string is missing");
	span = (struct json_span){.data = ++c->at};
	for (;;) {
		c->at += json_plain(c->at, (size_t)(c->end - c->at));
		if (c->at >= c->end)
			return fail(c, "the string does not end");
		if (*c->at == '"')
			break;
		span.escaped |= *c->at == '\\';
		if (!special(c))
			return false;
	}
	span.len = (size_t)(c->at++ - span.data);
	if (out)
		*out = span;
	return true;
}

/* ---- values ---- */

static bool word(struct json_cursor *c, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(c->end - c->at) < len || memcmp(c->at, text, len) != 0)
		return fail(c, "a value is missing");
	c->at += len;
	return true;
}

static bool scalar(struct json_cursor *c)
{
	switch (cursor_peek(c)) {
	case '"':
		return cursor_string(c, NULL);
	case 't':
		return word(c, "true");
	case 'f':
		return word(c, "false");
	case 'n':
		return word(c, "null");
	default:
		break;
	}
	if (is(c, '-') || (c->at < c->end && *c->at >= '0' && *c->at <= '9'))
		return number(c);
	return fail(c, "a value is missing");
}

static bool key(struct json_cursor *c, struct json_span *out)
{
	space(c);
	if (!is(c, '"'))
		return fail(c, "a name is missing");
	if (!cursor_string(c, out))
		return false;
	space(c);
	if (!is(c, ':'))
		return fail(c, "':' is missing");
	c->at++;
	return true;
}

bool cursor_enter(struct json_cursor *c, char bracket)
{
	space(c);
	if (!is(c, bracket))
		return fail(c, bracket == '{' ? "'{' is missing" : "'[' is missing");
	c->at++;
	if (c->depth++ == JSON_DEPTH_MAX)
		return fail(c, "nested too deeply");
	return true;
}

/* True when one more follows, false when it was the end or is wrong. */
static bool more(struct json_cursor *c, char closing, bool *inout_first)
{
	bool first = *inout_first;

	*inout_first = false;
	space(c);
	if (is(c, closing)) {
		c->at++;
		c->depth--;
		return false;
	}
	if (first)
		return true;
	if (!is(c, ','))
		return fail(c, closing == '}' ? "',' or '}' is missing" : "',' or ']' is missing");
	c->at++;
	return true;
}

bool cursor_member(struct json_cursor *c, bool *inout_first, struct json_span *out_key)
{
	return more(c, '}', inout_first) && key(c, out_key);
}

bool cursor_element(struct json_cursor *c, bool *inout_first)
{
	return more(c, ']', inout_first);
}

/* Goes through containers with a stack of its own: input never decides how deep we call. */
static bool containers(struct json_cursor *c)
{
	bool object[JSON_DEPTH_MAX + 1] = {false};
	size_t base = c->depth;
	bool first = false;

	do {
		char next = cursor_peek(c);

		if (next == '{' || next == '[') {
			object[c->depth] = next == '{';
			first = true;
			if (!cursor_enter(c, next))
				return false;
		} else if (!scalar(c)) {
			return false;
		}
		while (c->depth > base && (object[c->depth - 1] ? !cursor_member(c, &first, NULL)
								: !cursor_element(c, &first))) {
			if (c->wrong)
				return false;
		}
	} while (c->depth > base);
	return true;
}

bool cursor_skip(struct json_cursor *c, struct json_span *out)
{
	char next = cursor_peek(c);
	struct json_span span = {.data = c->at};

	if (next == '{' || next == '[' ? !containers(c) : !scalar(c))
		return false;
	span.len = (size_t)(c->at - span.data);
	if (out)
		*out = span;
	return true;
}

char cursor_peek(struct json_cursor *c)
{
	space(c);
	return c->at < c->end ? *c->at : '\0';
}

bool cursor_finish(struct json_cursor *c)
{
	space(c);
	return c->at == c->end || fail(c, "something follows the document");
}

int cursor_why(const struct json_cursor *c, struct why *out_why)
{
	return why_set(out_why, ERR_INVALID, "not JSON: byte %td: %s", c->at - c->start, c->wrong);
}

/* ---- decoding ---- */

static unsigned hex_read(const char *at)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++) {
		unsigned char byte = (unsigned char)at[i];

		value = value << 4 | (byte <= '9' ? byte & 15u : (byte & 15u) + 9);
	}
	return value;
}

static char *utf8_put(char *to, uint32_t point)
{
	static const struct {
		uint32_t end;
		unsigned char lead;
		int more;
	} forms[] = {{0x80, 0, 0}, {0x800, 0xc0, 1}, {0x10000, 0xe0, 2}, {0x110000, 0xf0, 3}};
	size_t f = 0;

	while (point >= forms[f].end)
		f++;
	*to++ = (char)(forms[f].lead | point >> 6 * forms[f].more);
	for (int i = forms[f].more - 1; i >= 0; i--)
		*to++ = (char)(0x80 | (point >> 6 * i & 0x3f));
	return to;
}

/* One escape, checked before; returns what is behind it. */
static const char *escape_decode(const char *at, char **inout_to)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	uint32_t point;

	if (at[1] != 'u') {
		*(*inout_to)++ = to[strchr(from, at[1]) - from];
		return at + 2;
	}
	point = hex_read(at + 2);
	at += 6;
	if (point >= 0xd800 && point <= 0xdbff) {
		point = 0x10000 + ((point - 0xd800) << 10) + (hex_read(at + 2) - 0xdc00);
		at += 6;
	}
	*inout_to = utf8_put(*inout_to, point);
	return at;
}

char *json_span_decode(struct json_span s)
{
	char *text = (char *)(uintptr_t)s.data, *to = text;
	const char *at = text, *end = text + s.len;

	if (!s.escaped) {
		text[s.len] = '\0';
		return text;
	}
	while (at < end) {
		if (*at == '\\')
			at = escape_decode(at, &to);
		else
			*to++ = *at++;
	}
	*to = '\0';
	return text;
}

int json_text_check(const char *data, size_t len, struct why *out_why)
{
	struct json_cursor c = {.at = data, .start = data, .end = data + len};

	return cursor_skip(&c, NULL) && cursor_finish(&c) ? 0 : cursor_why(&c, out_why);
}
