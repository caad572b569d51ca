/* Between redact.c, the loop over the text, and the finders. */
#ifndef COMMON_REDACT_PRIVATE_H
#define COMMON_REDACT_PRIVATE_H

#include "common/redact.h"

enum run {
	RUN_ALNUM,
	RUN_UPPER, /* A-Z 0-9 */
	RUN_HEX,
	RUN_URL,   /* alnum _ - */
	RUN_KEY,   /* alnum _ - . */
	RUN_TOKEN, /* alnum _ - + / */
	RUN_VALUE, /* what an unquoted value consists of */
	RUN_MAIL,  /* alnum . _ % + - */
	RUNS,
};

/* What a run is, by character: 1 << enum run. */
extern const uint8_t run_class[256];

/*
 * The text and what is remembered of it. Finders may look ahead as far as a run goes, since its end
 * is looked for once; anything else they look at must be bounded.
 */
struct scan {
	const char *s;
	size_t len;
	size_t run_from[RUNS], run_end[RUNS];
	size_t end_mark;  /* the first "-----END" at or behind where it was last asked for */
	size_t fresh_at;  /* a word begins here whatever stands before */
	size_t public_to; /* up to here: a certificate or public key */
};

struct hit {
	size_t from, to;
	const char *kind;
};

static inline bool scan_is(const struct scan *t, size_t at, enum run run)
{
	return at < t->len && (run_class[(unsigned char)t->s[at]] >> run & 1);
}

/* End of the run that `at` is in; `at` when it is in none. */
size_t scan_run(struct scan *t, enum run run, size_t at);

/* True where a run begins. */
static inline bool scan_begins(const struct scan *t, size_t at, enum run run)
{
	return scan_is(t, at, run) && (at == 0 || at == t->fresh_at || !scan_is(t, at - 1, run));
}

/* True for a character of set there; never for NUL. */
static inline bool scan_one_of(const struct scan *t, size_t at, const char *set)
{
	return at < t->len && t->s[at] && strchr(set, t->s[at]);
}

static inline bool scan_at(const struct scan *t, size_t at, const char *word)
{
	size_t len = strlen(word);
	return at <= t->len && t->len - at >= len && memcmp(t->s + at, word, len) == 0;
}

/*
 * Finders: true with the hit that begins at, or (find_assigned) somewhat behind `at`.
 */
bool find_token(struct scan *t, size_t at, struct hit *out);    /* by prefix */
bool find_jwt(struct scan *t, size_t at, struct hit *out);      /* at "eyJ" */
bool find_pem(struct scan *t, size_t at, struct hit *out);      /* at '-' */
bool find_url_user(struct scan *t, size_t at, struct hit *out); /* at ':' */
bool find_assigned(struct scan *t, size_t at, struct hit *out); /* where a name begins */
bool find_random(struct scan *t, size_t at, struct hit *out);   /* where a word begins */
bool find_email(struct scan *t, size_t at, struct hit *out);
bool find_address(struct scan *t, size_t at, struct hit *out);

/* True when a table of finders by prefix has a row that begins with this character. */
bool token_may_begin(unsigned char c);

struct letters {
	size_t digits, uppers, lowers, hexes, pairs, common;
	size_t steps; /* characters that follow the one before in ASCII */
};

static inline bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static inline bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline char to_lower(char c)
{
	return is_upper(c) ? (char)(c | 0x20) : c;
}

struct letters letters_count(const char *s, size_t len);

#endif
