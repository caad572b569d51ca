#include "common/redact_private.h"

/* ---- values behind names that say what they are ---- */

enum trust {
	ANY,   /* whatever stands there, unless it is plainly none */
	ODD,   /* not an ordinary word */
	MIXED, /* letters and digits, eight at least */
	LINE,  /* the rest of the line */
	AUTH,  /* the word behind the scheme */
};

/* By the end of the name, in small letters, without its signs; longer ones first. */
static const struct {
	const char *suffix;
	const char *kind;
	enum trust trust;
} names[] = {
	{"proxyauthorization", "authorization", AUTH},
	{"authorization", "authorization", AUTH},
	{"setcookie", "cookie", LINE},
	{"cookie", "cookie", LINE},
	{"password", "password", ANY},
	{"passwd", "password", ANY},
	{"passphrase", "password", ANY},
	{"passwort", "password", ANY},
	{"pwd", "password", MIXED},
	{"pass", "password", MIXED},
	{"publickeytoken", NULL, MIXED}, /* of .NET assemblies; public */
	{"secretaccesskey", "secret", ODD},
	{"sharedaccesskey", "secret", ODD},
	{"accesskey", "secret", ODD},
	{"accountkey", "secret", ODD},
	{"encryptionkey", "secret", ODD},
	{"signingkey", "secret", ODD},
	{"privatekey", "secret", ODD},
	{"secretkey", "secret", ODD},
	{"masterkey", "secret", ODD},
	{"apikey", "secret", ODD},
	{"authkey", "secret", ODD},
	{"clientsecret", "secret", ODD},
	{"secret", "secret", ODD},
	{"credential", "secret", ODD},
	{"credentials", "secret", ODD},
	{"authtoken", "token", ODD},
	{"accesstoken", "token", ODD},
	{"refreshtoken", "token", ODD},
	{"bearer", "token", MIXED},
	{"token", "token", MIXED},
	{"xamzsignature", "signature", MIXED},
	{"signature", "signature", MIXED},
	{"sig", "signature", MIXED},
};

enum {
	NAME_MAX_LEN = 64,
	VALUE_LOOK_MAX = 64,
	QUOTED_MAX = 512,
	SPACES_MAX = 8,
	LINE_MAX_LEN = 4096,
	HEADER_MIN_LEN = 6
};

/* The last characters of [from, to), small, without signs. Returns how many; out is terminated. */
static size_t fold_name(const struct scan *t, size_t from, size_t to,
			char out[static NAME_MAX_LEN + 1])
{
	size_t n = 0;

	from = to - from > NAME_MAX_LEN ? to - NAME_MAX_LEN : from;
	for (; from < to; from++) {
		if (scan_is(t, from, RUN_ALNUM))
			out[n++] = to_lower(t->s[from]);
	}
	out[n] = '\0';
	return n;
}

static int name_find(const char *folded, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = strlen(names[i].suffix);
		if (n <= len && memcmp(folded + len - n, names[i].suffix, n) == 0)
			return (int)i;
	}
	return -1;
}

struct value {
	size_t from, to;
	bool quoted;
	bool tight; /* no space between the sign and it */
	bool last;  /* nothing else on its line */
	char sign;
};

static size_t skip_spaces(const struct scan *t, size_t at)
{
	size_t end = at;

	while (end - at < SPACES_MAX && scan_one_of(t, end, " \t"))
		end++;
	return end;
}

/* Behind the name: a closing quote, an operator; true with where the value begins. */
static bool find_sign(const struct scan *t, size_t name, size_t at, struct value *v)
{
	bool option = scan_at(t, name, "--");

	while (scan_one_of(t, at, "\\\"'"))
		at++;
	size_t sign = skip_spaces(t, at);
	/* In a URL within a URL. */
	if (scan_at(t, at, "%3D") || scan_at(t, at, "%3d")) {
		*v = (struct value){.from = at + 3, .sign = '=', .tight = true};
		return at + 3 < t->len;
	}
	if (option && sign > at && !scan_one_of(t, sign, "=:-\r\n")) {
		*v = (struct value){.from = sign, .sign = ' ', .tight = true};
		return sign < t->len;
	}
	if (!scan_one_of(t, sign, "=:>"))
		return false;
	v->sign = t->s[sign];
	if (v->sign == '>' && !(sign == at && name && scan_one_of(t, name - 1, "<")))
		return false;
	size_t from = sign + 1;
	if (scan_one_of(t, from, v->sign == ':' ? "=" : ">"))
		from++;
	if (v->sign == '=' && scan_one_of(t, sign + 1, "=~"))
		return false;
	v->from = skip_spaces(t, from);
	v->tight = v->from == from && sign == at;
	return v->from < t->len;
}

/* Where the value ends: at its quote, or where it can no longer be one. */
static void find_value_end(struct scan *t, struct value *v)
{
	size_t at = v->from;

	while (scan_one_of(t, at, "\\"))
		at++;
	if (scan_one_of(t, at, "\"'`")) {
		char quote = t->s[at];
		const char *from = t->s + at + 1;
		size_t room = MIN(t->len - at - 1, (size_t)QUOTED_MAX);
		const char *end = memchr(from, quote, room), *line = memchr(from, '\n', room);
		if (end && (!line || end < line)) {
			v->from = at + 1;
			v->to = (size_t)(end - t->s);
			v->quoted = true;
			while (v->to > v->from && t->s[v->to - 1] == '\\')
				v->to--;
			return;
		}
		v->from = at + 1;
	}
	if (v->sign == '>') {
		size_t room = MIN(t->len - v->from, (size_t)QUOTED_MAX);
		const char *end = memchr(t->s + v->from, '<', room);
		v->to = end ? (size_t)(end - t->s) : v->from;
		v->quoted = true;
		return;
	}
	v->to = scan_run(t, RUN_VALUE, v->from);
	v->last = v->to >= t->len || scan_one_of(t, v->to, "\r\n");
}

static bool is_one_of(const char *s, size_t len, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strlen(words[i]) == len && strncasecmp(words[i], s, len) == 0)
			return true;
	}
	return false;
}

/* Templates, variables, stars, names of types: what stands for a secret but is none. */
static bool is_placeholder(const char *s, size_t len)
{
	static const char *const words[] = {
		"str",     "string",  "text",     "bool",      "boolean",  "null",     "nil",
		"none",    "true",    "false",    "undefined", "required", "optional", "any",
		"char",    "varchar", "bytes",    "missing",   "invalid",  "empty",    "unset",
		"expired", "hidden",  "redacted", "masked",    "unknown",  "number",   "object",
		"inherit", "default", "function", "Optional",  "yes",      "no",       "is",
		"not",     "must",    "and",      "or",        "set",      "provided", "changed",
	};

	if (len == 0 || is_one_of(s, len, words, ARRAY_SIZE(words)))
		return true;
	if (*s == '<' || *s == '{' || *s == '*' || *s == '(' || *s == '[')
		return true;
	if (*s == '%' || (*s == '$' && !memchr(s + 1, '$', len - 1)))
		return true;
	size_t same = 1;
	while (same < len && s[same] == *s)
		same++;
	/* "${HOME}" within, "get(...)", "a[0]". */
	return same == len || memmem(s, len, "${", 2) || memmem(s, len, "{{", 2) ||
	       memchr(s, '(', len) || memchr(s, '[', len);
}

/* "settings.PASSWORD", "old_password": code that names it. */
static bool is_name(const struct scan *t, const struct value *v, size_t len)
{
	char folded[NAME_MAX_LEN + 1];
	bool dots = false;

	for (size_t i = 0; i < len; i++) {
		char c = to_lower(t->s[v->from + i]);
		dots |= c == '.' && i;
		if (!is_lower(c) && c != '_' && c != '.' && c != '-')
			return false;
	}
	return dots || name_find(folded, fold_name(t, v->from, v->from + len, folded)) >= 0 ||
	       len < 3;
}

/* "HTTPS_KEY_PASSWORD = 18", "no_token = 0xffff": numbers in code. */
static bool is_constant(const char *s, size_t len, bool tight)
{
	enum { NUMBER_MAX = 5 };
	bool hex = len > 2 && s[0] == '0' && (s[1] | 0x20) == 'x';
	size_t from = hex ? 2 : 0;

	for (size_t i = from; i < len; i++) {
		if (!(run_class[(unsigned char)s[i]] >> RUN_HEX & 1) || (!hex && !is_digit(s[i])))
			return false;
	}
	return hex || (!tight && len <= NUMBER_MAX);
}

/* "UINT64_MAX" */
static bool is_macro(const char *s, size_t len, bool tight)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_upper(s[i]) && s[i] != '_' && (i == 0 || !is_digit(s[i])))
			return false;
	}
	return !tight && memchr(s, '_', len);
}

static bool is_secret(const struct scan *t, const struct value *v, enum trust trust)
{
	const char *s = t->s + v->from;
	size_t len = MIN(v->to - v->from, (size_t)VALUE_LOOK_MAX);
	struct letters n = letters_count(s, len);
	bool plain = n.digits == 0;

	if (is_placeholder(s, len) || is_name(t, v, len) || is_constant(s, len, v->tight) ||
	    (!v->quoted && is_macro(s, len, v->tight)))
		return false;
	for (size_t i = 0; i < len && plain; i++)
		plain = is_lower(to_lower(s[i])) || (s[i] && strchr("_-. ", s[i]));
	switch (trust) {
	case ANY:
		return !plain || v->quoted || v->tight || (v->sign == ':' && v->last);
	case ODD:
		return len >= 4 && (!plain || ((v->quoted || v->tight) && v->sign != ':'));
	default:
		return len >= 8 && n.digits && n.uppers + n.lowers;
	}
}

/* "Bearer x", "Basic x", or x alone. */
static void skip_scheme(const struct scan *t, struct value *v)
{
	static const char *const schemes[] = {"bearer",    "basic",  "token", "digest",
					      "negotiate", "apikey", "bot",   "key"};
	size_t end = v->from;

	while (end < t->len && end - v->from < 2 * (size_t)SPACES_MAX && scan_is(t, end, RUN_ALNUM))
		end++;
	if (!is_one_of(t->s + v->from, end - v->from, schemes, ARRAY_SIZE(schemes)))
		return;
	size_t behind = skip_spaces(t, end);
	if (behind > end)
		v->from = behind;
}

static size_t header_end(const struct scan *t, size_t from, size_t max, const char *stop)
{
	size_t end = from;

	while (end < t->len && end - from < max && !scan_one_of(t, end, stop))
		end++;
	return end;
}

/* The scheme stays, for people; whatever else is there goes, except a placeholder. */
static bool take_header(struct scan *t, struct value *v, enum trust trust)
{
	if (v->sign == '>')
		return false;
	while (scan_one_of(t, v->from, "\\\"'"))
		v->from++;
	skip_scheme(t, v);
	const char *stop = trust == LINE ? "\r\n\"'" : "\r\n\"' \t,\\";
	size_t end = header_end(t, v->from, VALUE_LOOK_MAX, stop);
	if (end - v->from < HEADER_MIN_LEN || is_placeholder(t->s + v->from, end - v->from))
		return false;
	v->to = header_end(t, end, LINE_MAX_LEN, stop);
	return true;
}

/* "ring_cookie: hash" is none: headers are called just so. */
static bool is_header(const char *suffix, const char *folded, const struct value *v)
{
	return v->sign != '>' && v->sign != '=' && str_eq(suffix, folded);
}

static bool name_is_prose(const char *suffix, size_t from, size_t to)
{
	return str_eq(suffix, "signature") || (str_eq(suffix, "pass") && to - from == 4);
}

bool find_assigned(struct scan *t, size_t at, struct hit *out)
{
	char folded[NAME_MAX_LEN + 1];
	struct value v = {0};
	size_t end = scan_run(t, RUN_KEY, at);
	if (!scan_one_of(t, end, "=:>\"' \t\\%"))
		return false;
	int row = name_find(folded, fold_name(t, at, end, folded));
	bool found;
	if (row < 0 || !names[row].kind)
		return false;
	if (str_eq(names[row].suffix, "bearer") && scan_one_of(t, end, " ")) {
		v = (struct value){.from = end + 1, .sign = ' ', .tight = true};
	} else if (!find_sign(t, at, end, &v)) {
		return false;
	}
	/* "PASS: TestX", "signature: int -> int". */
	if (names[row].trust == MIXED && v.sign == ':' && name_is_prose(names[row].suffix, at, end))
		return false;
	/* scheme://name:password@host is find_url_user's. */
	if (v.sign == ':' && at >= 2 && scan_at(t, at - 2, "//"))
		return false;
	if (names[row].trust == LINE && !is_header(names[row].suffix, folded, &v))
		return false;
	if (names[row].trust >= LINE) {
		found = take_header(t, &v, names[row].trust);
	} else {
		find_value_end(t, &v);
		found = is_secret(t, &v, names[row].trust);
	}
	*out = (struct hit){v.from, v.to, names[row].kind};
	return found && v.to > v.from && !scan_at(t, v.from, "[REDACTED");
}
