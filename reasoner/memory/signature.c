#include "reasoner/memory/signature.h"

enum {
	HASH_MIN = 7,
	MIXED_MIN = 5,
	CODE_LETTERS_MAX = 6,
	CODE_DIGITS_MAX = 5,
	UNIT_MAX = 3,
	TELLING_DIGITS_MAX = 3,
	EXTENSION_MAX = 5,
};

struct span {
	const char *s;
	size_t len;
};

/* Not of ctype.h: the same in every locale. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static bool is_word(char c)
{
	return is_digit(c) || is_letter(c) || c == '_';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t count_of(struct span w, bool (*is)(char))
{
	size_t n = 0;
	for (size_t i = 0; i < w.len; i++)
		n += is(w.s[i]);
	return n;
}

static size_t count_char(struct span w, char c)
{
	size_t n = 0;
	for (size_t i = 0; i < w.len; i++)
		n += w.s[i] == c;
	return n;
}

static bool is_in(char c, const char *set)
{
	return c && strchr(set, c);
}

static bool only_of(struct span w, const char *more)
{
	for (size_t i = 0; i < w.len; i++) {
		if (!is_digit(w.s[i]) && !is_in(w.s[i], more))
			return false;
	}
	return true;
}

static bool span_eq(struct span w, const char *s)
{
	return w.len == strlen(s) && strncasecmp(w.s, s, w.len) == 0;
}

/* ---- chunks: what stands between blanks ---- */

static bool chunk_is_colour(struct span w)
{
	return w.len >= 2 && w.s[0] == '[' && w.s[w.len - 1] == 'm' &&
	       only_of((struct span){w.s + 1, w.len - 2}, ";");
}

static bool chunk_is_url(struct span w)
{
	return memmem(w.s, w.len, "://", 3) != NULL;
}

static bool chunk_is_uuid(struct span w)
{
	return w.len == 36 && count_char(w, '-') == 4 && count_of(w, is_hex) == 32;
}

static bool chunk_is_time(struct span w)
{
	size_t marks = count_char(w, ':') + count_char(w, '-') + count_char(w, '/');
	return w.len >= 5 && is_digit(w.s[0]) && marks >= 2 && only_of(w, ":-/.,TZ+");
}

static bool chunk_is_ip(struct span w)
{
	return w.len >= 7 && count_char(w, '.') == 3 && only_of(w, ".:/") && is_digit(w.s[0]);
}

/* 12, 1.2.3, v1.2.3-rc.1, ^18.0.0, 12.5% */
static bool chunk_is_number(struct span w)
{
	while (w.len && is_in(w.s[0], "v^~<>=+-#")) {
		w.s++;
		w.len--;
	}
	return w.len && is_digit(w.s[0]) && count_char(w, '.') > 0 &&
	       (only_of(w, ".,%") || count_of(w, is_digit) * 2 >= w.len);
}

static struct span last_segment(struct span w)
{
	const char *slash = memrchr(w.s, '/', w.len);
	const char *back = memrchr(w.s, '\\', w.len);
	const char *from = MAX(slash, back);
	if (!from)
		return w;
	return (struct span){from + 1, (size_t)(w.s + w.len - from - 1)};
}

/* "rs" of src/main.rs:12:5; empty when there is none. */
static struct span extension_of(struct span w)
{
	struct span name = last_segment(w);
	const char *colon = memchr(name.s, ':', name.len);
	if (colon)
		name.len = (size_t)(colon - name.s);
	const char *dot = memrchr(name.s, '.', name.len);
	if (!dot || dot == name.s)
		return (struct span){name.s, 0};
	struct span ext = {dot + 1, (size_t)(name.s + name.len - dot - 1)};
	bool fits = ext.len >= 1 && ext.len <= EXTENSION_MAX && count_of(ext, is_letter) > 0 &&
		    count_of(ext, is_word) == ext.len;
	return fits ? ext : (struct span){name.s, 0};
}

static bool chunk_is_path(struct span w)
{
	size_t slashes = count_char(w, '/') + count_char(w, '\\');
	if (!slashes || w.s[0] == '@')
		return false;
	return is_in(w.s[0], "/.~") || slashes >= 2 || (w.len > 2 && w.s[1] == ':') ||
	       extension_of(w).len > 0;
}

static bool chunk_is_host(struct span w)
{
	static const char *const ends[] = {"com", "net",   "org",     "io",   "dev",
					   "svc", "local", "cluster", "lan",  "internal",
					   "app", "cloud", "example", "corp", "test"};
	const char *colon = memchr(w.s, ':', w.len);
	struct span host = {w.s, colon ? (size_t)(colon - w.s) : w.len};
	const char *dot = memrchr(host.s, '.', host.len);
	if (!dot ||
	    count_of(host, is_word) + count_char(host, '.') + count_char(host, '-') != host.len)
		return false;
	struct span end = {dot + 1, (size_t)(host.s + host.len - dot - 1)};
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		if (span_eq(end, ends[i]))
			return true;
	}
	return false;
}

static const struct {
	bool (*is)(struct span w);
	const char *as; /* "": nothing is left of it */
} chunk_kinds[] = {
	{chunk_is_colour, ""},      {chunk_is_url, "<url>"},   {chunk_is_uuid, "<id>"},
	{chunk_is_ip, "<ip>"},      {chunk_is_time, "<time>"}, {chunk_is_path, "<path>"},
	{chunk_is_number, "<num>"}, {chunk_is_host, "<host>"},
};

/* ---- words ---- */

/* E0425, TS2307, SC2086 */
static bool word_is_code(struct span w)
{
	size_t letters = 0;
	while (letters < w.len && w.s[letters] >= 'A' && w.s[letters] <= 'Z')
		letters++;
	struct span rest = {w.s + letters, w.len - letters};
	return letters >= 1 && letters <= CODE_LETTERS_MAX && rest.len >= 2 &&
	       rest.len <= CODE_DIGITS_MAX && only_of(rest, "");
}

static bool word_is_hash(struct span w)
{
	size_t digits = count_of(w, is_digit);
	return w.len >= HASH_MIN && digits > 0 && digits < w.len && count_of(w, is_hex) == w.len;
}

/* 12, 350ms, 0x7f */
static bool word_is_number(struct span w)
{
	size_t digits = 0;
	while (digits < w.len && (is_digit(w.s[digits]) || w.s[digits] == '_'))
		digits++;
	if (w.len > 2 && w.s[0] == '0' && lower(w.s[1]) == 'x')
		return true;
	return digits > 0 && is_digit(w.s[0]) && w.len - digits <= UNIT_MAX;
}

/* Letters and digits that change places often: x2x4z, aGVsbG8x */
static bool word_is_id(struct span w)
{
	size_t changes = 0;
	for (size_t i = 1; i < w.len; i++)
		changes += (is_digit(w.s[i]) && is_letter(w.s[i - 1])) ||
			   (is_letter(w.s[i]) && is_digit(w.s[i - 1]));
	return w.len >= MIXED_MIN && changes >= 3;
}

static const struct {
	bool (*is)(struct span w);
	const char *as; /* NULL: the word itself */
} word_kinds[] = {
	{word_is_code, NULL},
	{word_is_number, "<num>"},
	{word_is_hash, "<hash>"},
	{word_is_id, "<id>"},
};

static void add_blank(struct buf *out, size_t start)
{
	if (out->len > start && out->data[out->len - 1] != ' ')
		buf_add_char(out, ' ');
}

/* In lower case, digits within it as one 0: worker17 and worker3 are one word. */
static void add_word(struct buf *out, struct span w, bool digits_stay)
{
	for (size_t i = 0; i < w.len; i++) {
		if (digits_stay || !is_digit(w.s[i]))
			buf_add_char(out, lower(w.s[i]));
		else if (i == 0 || !is_digit(w.s[i - 1]))
			buf_add_char(out, '0');
	}
}

static bool ends_with_word(const struct buf *out, size_t start, const char *word)
{
	size_t n = strlen(word), end = out->len;
	while (end > start && out->data[end - 1] == ' ')
		end--;
	if (end - start < n || memcmp(out->data + end - n, word, n) != 0)
		return false;
	return end - n == start || out->data[end - n - 1] == ' ';
}

/* 137 says more than that there was a number, behind "exit code". */
static bool number_tells(const struct buf *out, size_t start, struct span w)
{
	static const char *const before[] = {"code", "status", "signal", "http", "errno", "exit"};
	if (w.len > TELLING_DIGITS_MAX || !only_of(w, ""))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		if (ends_with_word(out, start, before[i]))
			return true;
	}
	return false;
}

static void word(struct buf *out, size_t start, struct span w)
{
	const char *as = NULL;
	bool digits_stay = number_tells(out, start, w);
	for (size_t i = 0; !digits_stay && i < ARRAY_SIZE(word_kinds); i++) {
		if (!word_kinds[i].is(w))
			continue;
		as = word_kinds[i].as;
		digits_stay = !as;
		break;
	}
	add_blank(out, start);
	if (as)
		buf_add_str(out, as);
	else
		add_word(out, w, digits_stay);
}

static void words(struct buf *out, size_t start, struct span chunk)
{
	for (size_t at = 0, end; at < chunk.len; at = end + 1) {
		for (end = at; end < chunk.len && is_word(chunk.s[end]); end++)
			;
		if (end > at)
			word(out, start, (struct span){chunk.s + at, end - at});
	}
}

static struct span trim(struct span w)
{
	static const char marks[] = "'\"`()[]{}<>,;:!?|*";
	while (w.len && is_in(w.s[w.len - 1], marks) && !chunk_is_colour(w))
		w.len--;
	while (w.len && is_in(w.s[0], marks) && !chunk_is_colour(w)) {
		w.s++;
		w.len--;
	}
	if (w.len && w.s[w.len - 1] == '.')
		w.len--;
	return w;
}

static void add_path(struct buf *out, struct span w)
{
	struct span ext = extension_of(w);
	buf_add_str(out, "<path");
	if (ext.len) {
		buf_add_char(out, '.');
		add_word(out, ext, true);
	}
	buf_add_char(out, '>');
}

static void chunk(struct buf *out, size_t start, struct span w)
{
	w = trim(w);
	for (size_t i = 0; w.len && i < ARRAY_SIZE(chunk_kinds); i++) {
		if (!chunk_kinds[i].is(w))
			continue;
		if (*chunk_kinds[i].as)
			add_blank(out, start);
		if (chunk_kinds[i].is == chunk_is_path)
			add_path(out, w);
		else
			buf_add_str(out, chunk_kinds[i].as);
		return;
	}
	words(out, start, w);
}

static bool is_gap(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '=' || c == ',';
}

/* ESC [ 31 m is no gap and no word: it goes. */
static size_t escape_len(const char *s, size_t len)
{
	size_t n = 2;
	if (len < 3 || s[0] != 0x1b || s[1] != '[')
		return 0;
	while (n < len && !is_letter(s[n]))
		n++;
	return MIN(n + 1, len);
}

void signature_normalise(const char *text, size_t len, struct buf *out)
{
	size_t start = out->len;
	for (size_t at = 0, end; at < len; at = end) {
		size_t skip = escape_len(text + at, len - at);
		end = at + MAX(skip, 1);
		if (skip || is_gap(text[at]))
			continue;
		for (end = at; end < len && !is_gap(text[end]) && text[end] != 0x1b; end++)
			;
		end = MAX(end, at + 1);
		chunk(out, start, (struct span){text + at, end - at});
	}
	while (out->len > start && out->data[out->len - 1] == ' ')
		out->data[--out->len] = 0;
}

/* ---- signatures ---- */

/* One field's line; not when it would pass the limit. */
static void field(struct buf *out, size_t start, const char *name, const char *text)
{
	auto_buf line = {0};
	if (!text || !*text)
		return;
	buf_add_str(&line, name);
	buf_add_char(&line, '\t');
	size_t head = line.len;
	signature_normalise(text, strnlen(text, SIGNATURE_LINE_MAX_BYTES), &line);
	if (line.len == head || out->len - start + line.len + 1 > SIGNATURE_MAX_BYTES)
		return;
	buf_add(out, line.data, line.len);
	buf_add_char(out, '\n');
}

/* As it is, but for its case: a name that people gave. */
static void name_field(struct buf *out, size_t start, const char *name, const char *text)
{
	if (!text || !*text || out->len - start + strlen(name) + strlen(text) > SIGNATURE_MAX_BYTES)
		return;
	buf_printf(out, "%s\t", name);
	for (const char *s = text; *s; s++)
		buf_add_char(out, is_gap(*s) || (unsigned char)*s < ' ' ? '_' : lower(*s));
	buf_add_char(out, '\n');
}

static bool names_something(const char *label)
{
	static const char *const names[] = {"alertname", "repository", "workflow", "job",
					    "service",   "step",       "package",  "rule"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_eq(label, names[i]))
			return true;
	}
	return false;
}

static void summaries(const Healbus__Incident *incident, struct buf *out, size_t start)
{
	field(out, start, "log", incident->title);
	for (size_t i = 0; i < MIN(incident->n_events, SIGNATURE_EVENTS_MAX); i++)
		field(out, start, "log", incident->events[i]->summary);
}

void signature_of(const Healbus__Incident *incident, const Healbus__Diagnosis *diagnosis,
		  struct buf *out)
{
	size_t start = out->len;
	if (diagnosis)
		name_field(out, start, "type", diagnosis->failure_type);
	for (size_t i = 0; i < incident->n_labels; i++) {
		const Healbus__Label *l = incident->labels[i];
		if (names_something(l->name))
			name_field(out, start, l->name, l->value);
		else
			field(out, start, "label", l->value);
	}
	for (size_t i = 0; diagnosis && i < diagnosis->n_evidence; i++)
		field(out, start, "log", diagnosis->evidence[i]->text);
	if (!diagnosis || !diagnosis->n_evidence)
		summaries(incident, out, start);
}

void signature_of_text(const char *text, struct buf *out)
{
	size_t start = out->len;
	for (size_t n; *text; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		auto_free char *line = mem_dup(text, n);
		field(out, start, "log", line);
	}
}
