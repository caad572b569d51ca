/*
 * JSON read in one pass, without a tree (RFC 8259; about 0.2 us a KiB): is it JSON, and if not,
 * where not; and a cursor for readers that take a few fields and skip the rest. Everything passed
 * over is checked, UTF-8 included. Pure; any thread.
 */
#ifndef MONITOR_JSON_TEXT_H
#define MONITOR_JSON_TEXT_H

#include "common/err.h"

enum { JSON_DEPTH_MAX = 128 };

/* 0, or ERR_INVALID "byte 17: ...". Also refuses invalid UTF-8 and nesting over JSON_DEPTH_MAX. */
int json_text_check(const char *data, size_t len, struct why *out_why);

/* A text being read. Start with {.at = data, .start = data, .end = data + len}. */
struct json_cursor {
	const char *at;
	const char *start;
	const char *end;
	const char *wrong; /* what is wrong at `at`; the first thing stays */
	size_t depth;
	/* Something that jansson may refuse or read otherwise: \u0000, a number that is long or
	 * has an exponent. */
	bool odd;
};

/* Bytes of the text: a string's between its quotes, still escaped; a value's whole. */
struct json_span {
	const char *data; /* NULL: not there */
	size_t len;
	bool escaped; /* a string that has a backslash */
};

/* All return false on an error, and *say so in c->wrong. */

/* Any value; *out (may be NULL) is all of it. */
bool cursor_skip(struct json_cursor *c, struct json_span *out);
bool cursor_string(struct json_cursor *c, struct json_span *out);
/* Consumes the opening bracket, '{' or '['. */
bool cursor_enter(struct json_cursor *c, char bracket);
/*
 * The next member or element: true with the cursor at its value (and *out_key, for '{'), false
 * after the closing bracket, which is consumed, or on an error. *inout_first starts true.
 */
bool cursor_member(struct json_cursor *c, bool *inout_first, struct json_span *out_key);
bool cursor_element(struct json_cursor *c, bool *inout_first);
/* The first byte of the value ahead; '\0' at the end. */
char cursor_peek(struct json_cursor *c);
/* Nothing but white space is left. */
bool cursor_finish(struct json_cursor *c);
/* ERR_INVALID with what is wrong, and where. */
int cursor_why(const struct json_cursor *c, struct why *out_why);

/*
 * A string of a text that the caller owns and may change: decodes its escapes where it lies and
 * puts a NUL behind it. The span has come from a cursor that is past it and has not said `odd`.
 */
char *json_span_decode(struct json_span s);

static inline bool json_span_is(struct json_span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

#endif
