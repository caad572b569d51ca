#include "common/http_text.h"

#include <strings.h>

#include "common/mem.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* In place. ERR_INVALID for a broken escape or a control character. */
static int percent_decode(char *s, bool plus_is_space)
{
	char *to = s;

	for (; *s; s++) {
		int c = (unsigned char)*s;

		if (c == '+' && plus_is_space) {
			c = ' ';
		} else if (c == '%') {
			int high = hex_digit(s[1]);
			int low = high < 0 ? -1 : hex_digit(s[2]);
			if (low < 0)
				return ERR_INVALID;
			c = high * 16 + low;
			s += 2;
		}
		if (c < ' ' || c == 0x7f)
			return ERR_INVALID;
		*to++ = (char)c;
	}
	*to = 0;
	return 0;
}

static bool segment_ok(const char *s, size_t len, bool last)
{
	if (len == 0)
		return last;
	if (memchr(s, '\\', len))
		return false;
	return !(s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')));
}

static bool path_ok(const char *path)
{
	if (path[0] != '/')
		return false;
	for (const char *p = path; *p;) {
		size_t len = strcspn(p + 1, "/");
		bool last = p[1 + len] == 0;

		if (!segment_ok(p + 1, len, last))
			return false;
		p += 1 + len;
	}
	return true;
}

static int add_param(struct http_target *t, char *text)
{
	char *value = strchr(text, '=');

	if (value)
		*value++ = 0;
	else
		value = text + strlen(text);
	if (percent_decode(text, true) || percent_decode(value, true))
		return ERR_INVALID;
	if (t->n_query == HTTP_QUERY_MAX)
		return ERR_TOO_LARGE;
	t->query[t->n_query++] = (struct http_param){text, value};
	return 0;
}

static int parse_query(struct http_target *t, char *query, struct why *out_why)
{
	char *part;

	t->query = mem_calloc(HTTP_QUERY_MAX, sizeof(*t->query));
	while ((part = strsep(&query, "&"))) {
		int rc = *part ? add_param(t, part) : 0;
		if (rc)
			return why_set(out_why, rc, "query: %s",
				       rc == ERR_TOO_LARGE ? "too many parameters"
							   : "broken escape or control character");
	}
	return 0;
}

int http_target_parse(const char *raw, struct http_target *out, struct why *out_why)
{
	struct http_target t = {.memory = mem_strdup(raw)};
	char *query = strchr(t.memory, '?');

	*out = t;
	if (query)
		*query++ = 0;
	if (percent_decode(t.memory, false))
		return why_set(out_why, ERR_INVALID, "path: broken escape or control character");
	if (!path_ok(t.memory))
		return why_set(out_why, ERR_INVALID,
			       "path: not absolute, or with empty, \".\" or \"..\" segments");
	out->path = t.memory;
	return query ? parse_query(out, query, out_why) : 0;
}

void http_target_release(struct http_target *t)
{
	free(t->query);
	free(t->memory);
	*t = (struct http_target){0};
}

const char *http_target_query(const struct http_target *t, const char *name)
{
	for (size_t i = 0; i < t->n_query; i++) {
		if (str_eq(t->query[i].name, name))
			return t->query[i].value;
	}
	return NULL;
}

unsigned http_route_fit(const char *pattern, const char *path, const char **out_wildcard)
{
	size_t len = strlen(pattern);
	size_t stars = len - (size_t)(strrchr(pattern, '/') + 1 - pattern);

	*out_wildcard = "";
	if (!str_eq(pattern + len - stars, "*") && !str_eq(pattern + len - stars, "**"))
		return str_eq(pattern, path) ? 3 : 0;
	if (strncmp(pattern, path, len - stars) != 0)
		return 0;
	const char *rest = path + len - stars;
	if (stars == 1 && (*rest == 0 || strchr(rest, '/')))
		return 0;
	*out_wildcard = rest;
	return stars == 1 ? 2 : 1;
}

/* ---- credentials ---- */

static int base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

static bool base64_decode(const char *s, struct buf *out)
{
	unsigned bits = 0, n = 0;

	for (; *s && *s != '='; s++) {
		int d = base64_digit(*s);
		if (d < 0)
			return false;
		bits = (bits << 6 | (unsigned)d) & 0xffffff;
		n += 6;
		if (n >= 8) {
			n -= 8;
			buf_add_char(out, (char)(bits >> n & 0xff));
		}
	}
	return strspn(s, "=") == strlen(s);
}

bool http_credentials(const char *authorization, struct buf *out_token)
{
	if (strncasecmp(authorization, "Bearer ", 7) == 0) {
		const char *token = authorization + 7 + strspn(authorization + 7, " ");
		buf_add_str(out_token, token);
		return *token != 0;
	}
	if (strncasecmp(authorization, "Basic ", 6) != 0)
		return false;
	auto_buf pair = {0};
	bool ok = base64_decode(authorization + 6 + strspn(authorization + 6, " "), &pair);
	const char *colon = ok && pair.len ? memchr(pair.data, ':', pair.len) : NULL;
	if (colon)
		buf_add(out_token, colon + 1, (size_t)(pair.data + pair.len - colon - 1));
	if (pair.data)
		explicit_bzero(pair.data, pair.len);
	return colon != NULL;
}

bool http_host_is_loopback(const char *host)
{
	if (!host)
		return false;
	if (str_starts(host, "[::1]"))
		return host[5] == 0 || host[5] == ':';
	size_t len = strcspn(host, ":");
	if (len == 9 && strncasecmp(host, "localhost", len) == 0)
		return true;
	/* "127.0.0.1.example.org" is a name like any other */
	return str_starts(host, "127.") && strspn(host, "0123456789.") == len;
}

bool http_origin_fits(const char *origin, const char *host)
{
	if (!origin)
		return true;
	if (!host)
		return false;
	if (str_starts(origin, "http://"))
		return strcasecmp(origin + 7, host) == 0;
	return str_starts(origin, "https://") && strcasecmp(origin + 8, host) == 0;
}

bool http_cookie(const char *header, const char *name, struct buf *out)
{
	size_t len = strlen(name), found = 0;

	for (const char *p = header; p && *p;) {
		p += strspn(p, "; ");
		size_t all = strcspn(p, ";");
		if (all > len && strncmp(p, name, len) == 0 && p[len] == '=') {
			buf_reset(out);
			buf_add(out, p + len + 1, all - len - 1);
			found++;
		}
		p += all;
	}
	return found == 1;
}
