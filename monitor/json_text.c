#include "monitor/json_text.h"
#include "common/buf.h"

struct scan {
	const char *at;
	const char *end;
	const char *wrong; /* what is wrong at `at` */
};

static bool fail(struct scan *s, const char *what)
{
	if (!s->wrong)
		s->wrong = what;
	return false;
}

static void space(struct scan *s)
{
	while (s->at < s->end &&
	       (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
		s->at++;
}

static bool is(const struct scan *s, char c)
{
	return s->at < s->end && *s->at == c;
}

static bool digits(struct scan *s)
{
	const char *start = s->at;

	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return s->at > start || fail(s, "a digit is missing");
}

static bool number(struct scan *s)
{
	if (is(s, '-'))
		s->at++;
	if (is(s, '0'))
		s->at++;
	else if (!digits(s))
		return false;
	if (is(s, '.')) {
		s->at++;
		if (!digits(s))
			return false;
	}
	if (is(s, 'e') || is(s, 'E')) {
		s->at++;
		if (is(s, '+') || is(s, '-'))
			s->at++;
		return digits(s);
	}
	return true;
}

static bool hex4(struct scan *s, unsigned *out)
{
	static const char digits16[] = "0123456789abcdef";

	*out = 0;
	for (int i = 0; i < 4; i++, s->at++) {
		char c = s->at < s->end ? *s->at : '\0';
		const char *digit = c ? strchr(digits16, c | (c > '9' ? 0x20 : 0)) : NULL;

		if (!digit)
			return fail(s, "four hex digits are missing");
		*out = *out << 4 | (unsigned)(digit - digits16);
	}
	return true;
}

/* The grammar lets half a pair through, but it is no character: the normaliser's parser refuses. */
static bool unicode(struct scan *s)
{
	unsigned first, second;

	if (!hex4(s, &first))
		return false;
	if (first < 0xd800 || first > 0xdfff)
		return true;
	if (first > 0xdbff || s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
		return fail(s, "half a surrogate pair");
	s->at += 2;
	if (!hex4(s, &second))
		return false;
	return (second >= 0xdc00 && second <= 0xdfff) || fail(s, "half a surrogate pair");
}

static bool escape(struct scan *s)
{
	s->at++;
	if (s->at >= s->end || !*s->at || !strchr("\"\\/bfnrtu", *s->at))
		return fail(s, "unknown escape");
	return *s->at++ == 'u' ? unicode(s) : true;
}

static bool string(struct scan *s)
{
	s->at++;
	while (s->at < s->end) {
		if (*s->at == '"') {
			s->at++;
			return true;
		}
		if ((unsigned char)*s->at < 0x20)
			return fail(s, "control character in a string");
		if (*s->at != '\\')
			s->at++;
		else if (!escape(s))
			return false;
	}
	return fail(s, "the string does not end");
}

static bool word(struct scan *s, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, text, len) != 0)
		return fail(s, "a value is missing");
	s->at += len;
	return true;
}

static bool scalar(struct scan *s)
{
	if (is(s, '"'))
		return string(s);
	if (is(s, 't'))
		return word(s, "true");
	if (is(s, 'f'))
		return word(s, "false");
	if (is(s, 'n'))
		return word(s, "null");
	if (s->at < s->end && (*s->at == '-' || (*s->at >= '0' && *s->at <= '9')))
		return number(s);
	return fail(s, "a value is missing");
}

static bool key(struct scan *s)
{
	space(s);
	if (!is(s, '"'))
		return fail(s, "a name is missing");
	if (!string(s))
		return false;
	space(s);
	if (!is(s, ':'))
		return fail(s, "':' is missing");
	s->at++;
	return true;
}

/* After a value: closes what ends here. False on error; *inout_depth 0 when all is closed. */
static bool after_value(struct scan *s, const char *open, size_t *inout_depth)
{
	while (*inout_depth) {
		bool object = open[*inout_depth - 1] == '{';

		space(s);
		if (is(s, ',')) {
			s->at++;
			return object ? key(s) : true;
		}
		if (!is(s, object ? '}' : ']'))
			return fail(s, object ? "',' or '}' is missing" : "',' or ']' is missing");
		s->at++;
		(*inout_depth)--;
	}
	return true;
}

/* An opening bracket; *out_closed when nothing is inside. */
static bool container(struct scan *s, char *open, size_t *inout_depth, bool *out_closed)
{
	char bracket = *s->at++;

	if (*inout_depth == JSON_DEPTH_MAX)
		return fail(s, "nested too deeply");
	space(s);
	*out_closed = is(s, bracket == '{' ? '}' : ']');
	if (*out_closed) {
		s->at++;
		return true;
	}
	open[(*inout_depth)++] = bracket;
	return bracket == '{' ? key(s) : true;
}

static bool document(struct scan *s)
{
	char open[JSON_DEPTH_MAX];
	size_t depth = 0;

	do {
		bool closed = true;

		space(s);
		if (is(s, '{') || is(s, '[')) {
			if (!container(s, open, &depth, &closed))
				return false;
		} else if (!scalar(s)) {
			return false;
		}
		if (closed && !after_value(s, open, &depth))
			return false;
	} while (depth);
	space(s);
	return s->at == s->end || fail(s, "something follows the document");
}

int json_text_check(const char *data, size_t len, struct why *out_why)
{
	struct scan s = {.at = data, .end = data + len};

	if (!utf8_valid(data, len))
		return why_set(out_why, ERR_INVALID, "not UTF-8");
	if (document(&s))
		return 0;
	return why_set(out_why, ERR_INVALID, "not JSON: byte %td: %s", s.at - data, s.wrong);
}
