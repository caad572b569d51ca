#include "common/redact_private.h"
#include "common/mem.h"

enum {
	KNOWN_HASH_BYTES = 4,
	KNOWN_LISTS = 256,
	KNOWN_BITS = 1 << 16,
	/* Shorter ones would be found by chance in base64. */
	KNOWN_BASE64_MIN_BYTES = 9,
	KNOWN_LINE_MIN_BYTES = 12,
	ESCAPE_MAX_BYTES = 24,
};

struct known {
	char *data;
	size_t len;
	struct known *next; /* of the same hash */
};

struct redactor {
	unsigned flags;
	size_t n;
	struct known *lists[KNOWN_LISTS];
	uint8_t seen[KNOWN_BITS / 8]; /* by hash of the first bytes: most places need no more */
};

/* ---- known values ---- */

static uint32_t known_hash(const char *s)
{
	uint32_t word;

	memcpy(&word, s, KNOWN_HASH_BYTES);
	return word * UINT32_C(2654435761) >> 16;
}

static void known_put(struct redactor *r, const char *data, size_t len)
{
	if (len < REDACT_KNOWN_MIN_BYTES)
		return;
	uint32_t hash = known_hash(data);
	struct known *k = mem_alloc(sizeof(*k));
	*k = (struct known){mem_dup(data, len), len, r->lists[hash % KNOWN_LISTS]};
	r->lists[hash % KNOWN_LISTS] = k;
	r->seen[hash / 8] |= (uint8_t)(1U << hash % 8);
	r->n++;
}

static void wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_release(b);
}

/* The characters that base64 makes of value alone when `shift` bytes stand before it: what these
 * and those behind it have a part in is left out. */
static void known_put_base64(struct redactor *r, const char *value, size_t len, size_t shift,
			     const char *last_two)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789";
	struct buf text = {0};
	size_t first = (shift * 8 + 5) / 6, end = (shift + len) * 8 / 6;

	for (size_t i = first; i < end; i++) {
		unsigned digit = 0;
		for (size_t bit = i * 6; bit < i * 6 + 6; bit++) {
			unsigned char c = (unsigned char)value[bit / 8 - shift];
			digit = digit << 1 | (c >> (7 - bit % 8) & 1);
		}
		buf_add_char(&text, digit < 62 ? digits[digit] : last_two[digit - 62]);
	}
	known_put(r, buf_str(&text), text.len);
	wipe(&text);
}

static void known_put_encoded(struct redactor *r, const char *value, size_t len)
{
	struct buf url = {0}, json = {0};

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];
		if ((run_class[c] >> RUN_KEY & 1) || c == '~')
			buf_add_char(&url, (char)c);
		else
			buf_printf(&url, "%%%02X", c);
	}
	buf_add_json(&json, value, len);
	if (url.len != len)
		known_put(r, url.data, url.len);
	if (json.len != len + 2)
		known_put(r, json.data + 1, json.len - 2);
	wipe(&url);
	wipe(&json);
	for (size_t shift = 0; shift < 3 && len >= KNOWN_BASE64_MIN_BYTES; shift++) {
		known_put_base64(r, value, len, shift, "+/");
		known_put_base64(r, value, len, shift, "-_");
	}
}

void redactor_add(struct redactor *r, const char *value, size_t len)
{
	while (len && strchr("\r\n \t", value[len - 1]))
		len--;
	if (len < REDACT_KNOWN_MIN_BYTES)
		return;
	known_put(r, value, len);
	known_put_encoded(r, value, len);
	if (!memchr(value, '\n', len))
		return;
	for (const char *line = value, *end = value + len; line < end;) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		stop = stop ? stop : end;
		size_t n = (size_t)(stop - line);
		n -= n && line[n - 1] == '\r';
		if (n >= KNOWN_LINE_MIN_BYTES && !str_starts(line, "-----"))
			known_put(r, line, n);
		line = stop + 1;
	}
}

int redactor_new(const char *const *secret_files, unsigned flags, struct redactor **out,
		 struct why *out_why)
{
	struct redactor *r = mem_alloc(sizeof(*r));

	r->flags = flags;
	for (size_t i = 0; secret_files && secret_files[i]; i++) {
		struct buf text = {0};
		int rc = buf_read_file(&text, secret_files[i], REDACT_SECRET_FILE_MAX_BYTES);
		if (!rc)
			redactor_add(r, buf_str(&text), text.len);
		wipe(&text);
		if (!rc)
			continue;
		redactor_free(r);
		return why_set(out_why, ERR_CONFIG, "%s: cannot be read (%s)", secret_files[i],
			       err_name(rc));
	}
	*out = r;
	return 0;
}

void redactor_free(struct redactor *r)
{
	for (size_t i = 0; r && i < KNOWN_LISTS; i++) {
		for (struct known *k = r->lists[i], *next; k; k = next) {
			next = k->next;
			explicit_bzero(k->data, k->len);
			free(k->data);
			free(k);
		}
	}
	free(r);
}

/* The longest that begins here. */
static bool find_known(const struct redactor *r, const struct scan *t, size_t at, struct hit *out)
{
	if (!r || !r->n || t->len - at < KNOWN_HASH_BYTES)
		return false;
	uint32_t hash = known_hash(t->s + at);
	size_t best = 0;
	if (!(r->seen[hash / 8] >> hash % 8 & 1))
		return false;
	for (const struct known *k = r->lists[hash % KNOWN_LISTS]; k; k = k->next) {
		if (k->len > best && k->len <= t->len - at && !memcmp(k->data, t->s + at, k->len))
			best = k->len;
	}
	*out = (struct hit){at, at + best, "known"};
	return best > 0;
}

/* ---- the text ---- */

#define ALL_BUT(run) (uint8_t)(~(1U << (run)))
const uint8_t run_class[256] = {
	['0' ... '9'] = 0xff,
	['A' ... 'F'] = 0xff,
	['G' ... 'Z'] = ALL_BUT(RUN_HEX),
	['a' ... 'f'] = ALL_BUT(RUN_UPPER),
	['g' ... 'z'] = ALL_BUT(RUN_UPPER) & ALL_BUT(RUN_HEX),
	['_'] = 1 << RUN_URL | 1 << RUN_KEY | 1 << RUN_TOKEN | 1 << RUN_VALUE | 1 << RUN_MAIL,
	['-'] = 1 << RUN_URL | 1 << RUN_KEY | 1 << RUN_TOKEN | 1 << RUN_VALUE | 1 << RUN_MAIL,
	['.'] = 1 << RUN_KEY | 1 << RUN_VALUE | 1 << RUN_MAIL,
	['+'] = 1 << RUN_TOKEN | 1 << RUN_VALUE | 1 << RUN_MAIL,
	['%'] = 1 << RUN_VALUE | 1 << RUN_MAIL,
	['/'] = 1 << RUN_TOKEN | 1 << RUN_VALUE,
	['!'] = 1 << RUN_VALUE,
	['#' ... '$'] = 1 << RUN_VALUE,
	['('] = 1 << RUN_VALUE,
	['*'] = 1 << RUN_VALUE,
	[':'] = 1 << RUN_VALUE,
	['<' ... '@'] = 1 << RUN_VALUE,
	['['] = 1 << RUN_VALUE,
	['^'] = 1 << RUN_VALUE,
	['{' ... '|'] = 1 << RUN_VALUE,
	['~'] = 1 << RUN_VALUE,
	[0x80 ... 0xff] = 1 << RUN_VALUE,
};

size_t scan_run(struct scan *t, enum run run, size_t at)
{
	if (at >= t->run_from[run] && at < t->run_end[run])
		return t->run_end[run];
	size_t end = at;
	while (scan_is(t, end, run))
		end++;
	if (end > at) {
		t->run_from[run] = at;
		t->run_end[run] = end;
	}
	return end;
}

static bool is_hex(const struct scan *t, size_t at)
{
	return scan_is(t, at, RUN_HEX);
}

/* Colours, escapes in strings and in URLs: the letter they end with is no part of the word behind.
 */
static size_t escape_end(const struct scan *t, size_t at)
{
	char c = t->s[at];
	char next = at + 1 < t->len ? t->s[at + 1] : '\0';

	if (c == '\\' && next && strchr("nrtbf", next))
		return at + 2;
	if (c == '%' && is_hex(t, at + 1) && is_hex(t, at + 2))
		return at + 3;
	if (c != '\033' || next != '[')
		return at;
	size_t end = at + 2;
	while (end < t->len && end < at + ESCAPE_MAX_BYTES && strchr("0123456789;?", t->s[end]))
		end++;
	return end < t->len ? end + 1 : end;
}

/* What was found: `here` begins at this place, `ahead` behind it. */
struct findings {
	struct hit here, ahead;
};

static const struct hit none = {SIZE_MAX, SIZE_MAX, ""};

/* Of two that overlap, the one found first names it. */
static void note(struct findings *f, size_t at, const struct hit *found)
{
	struct hit *slot = found->from == at ? &f->here : &f->ahead;

	if (slot->from == SIZE_MAX) {
		*slot = *found;
		return;
	}
	slot->from = MIN(slot->from, found->from);
	slot->to = MAX(slot->to, found->to);
}

static void find_words(const struct redactor *r, struct scan *t, size_t at, struct findings *f)
{
	struct hit hit;

	if (t->s[at] == 'e' && find_jwt(t, at, &hit))
		note(f, at, &hit);
	if (at >= t->public_to && find_random(t, at, &hit)) {
		/* What a name says about it says more. */
		if (f->ahead.from <= at)
			hit.kind = f->ahead.kind;
		note(f, at, &hit);
	}
	if (!r || !r->flags)
		return;
	if ((r->flags & REDACT_EMAILS) && find_email(t, at, &hit))
		note(f, at, &hit);
	if ((r->flags & REDACT_ADDRESSES) && find_address(t, at, &hit))
		note(f, at, &hit);
}

static void find_patterns(const struct redactor *r, struct scan *t, size_t at, struct findings *f)
{
	struct hit hit;
	char c = t->s[at];

	if (c == '-' && find_pem(t, at, &hit))
		note(f, at, &hit);
	if (c == ':' && find_url_user(t, at, &hit))
		note(f, at, &hit);
	if (token_may_begin((unsigned char)c) && find_token(t, at, &hit))
		note(f, at, &hit);
	if (scan_begins(t, at, RUN_KEY) && find_assigned(t, at, &hit))
		note(f, at, &hit);
	if (scan_begins(t, at, RUN_TOKEN))
		find_words(r, t, at, f);
}

/* A pattern may end inside a known value: then all of that goes. */
static size_t extend(const struct redactor *r, const struct scan *t, const struct hit *hit)
{
	size_t to = hit->to;
	struct hit known;

	for (size_t at = hit->from; at < to; at++) {
		if (find_known(r, t, at, &known))
			to = MAX(to, known.to);
	}
	return to;
}

/* What is to go from this place on; `here` names it before `ahead` does. */
static bool settle(struct findings *f, size_t at)
{
	if (f->ahead.from <= at) {
		if (f->ahead.to > at && f->here.from == SIZE_MAX)
			f->here = (struct hit){at, f->ahead.to, f->ahead.kind};
		else if (f->ahead.to > at)
			f->here.to = MAX(f->here.to, f->ahead.to);
		f->ahead = none;
	}
	return f->here.from == at;
}

size_t redact(const struct redactor *r, const char *text, size_t len, struct buf *out)
{
	struct scan t = {.s = text, .len = len, .fresh_at = SIZE_MAX};
	struct findings f = {none, none};
	struct hit known;
	size_t copied = 0, escape_to = 0, n = 0;

	for (size_t at = 0; at < len;) {
		if (find_known(r, &t, at, &known))
			note(&f, at, &known);
		if (at >= escape_to && escape_end(&t, at) > at)
			t.fresh_at = escape_to = escape_end(&t, at);
		if (at >= escape_to)
			find_patterns(r, &t, at, &f);
		if (!settle(&f, at)) {
			at++;
			continue;
		}
		f.here.to = extend(r, &t, &f.here);
		buf_add(out, text + copied, at - copied);
		buf_printf(out, "[REDACTED:%s]", f.here.kind);
		at = copied = f.here.to;
		f.here = none;
		n++;
	}
	buf_add(out, text + copied, len - copied);
	return n;
}
