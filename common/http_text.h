/*
 * The text of HTTP, without a connection: request targets, routes, credentials, origins. Every
 * function is total: any bytes give an answer. Layer 0. Any thread.
 */
#ifndef COMMON_HTTP_TEXT_H
#define COMMON_HTTP_TEXT_H

#include "common/buf.h"
#include "common/err.h"

enum { HTTP_QUERY_MAX = 32 };

struct http_param {
	const char *name;
	const char *value;
};

/* A request target taken apart. Zeroed is valid and empty. */
struct http_target {
	const char *path;         /* decoded once; NULL when zeroed */
	struct http_param *query; /* private; NULL when there is none */
	size_t n_query;
	char *memory; /* private */
};

/*
 * Decodes "/a%20b?x=1&y". ERR_INVALID for what could mean two things: not starting with "/", a
 * broken escape, NUL or other control characters, "\", empty segments, "." and "..", all looked for
 * after decoding. ERR_TOO_LARGE over HTTP_QUERY_MAX parameters. A trailing "/" stays. Release in
 * any case.
 */
int http_target_parse(const char *raw, struct http_target *out, struct why *out_why);
void http_target_release(struct http_target *t);
/* The first one of that name; NULL when absent. */
const char *http_target_query(const struct http_target *t, const char *name);

/*
 * How closely a pattern fits a path: 0 not at all, then "**", "*", exact. A last segment "*" fits
 * one segment that is not empty, "**" the rest. *out_wildcard points into path, at what they
 * matched, or is "".
 */
unsigned http_route_fit(const char *pattern, const char *path, const char **out_wildcard);

/* Adds the token of an Authorization value, "Bearer <token>" or "Basic <base64 of user:token>".
 * False when it is neither. */
bool http_credentials(const char *authorization, struct buf *out_token);

/* True for a Host value that names this machine to itself: localhost, 127.0.0.0/8 or [::1], with or
 * without a port. NULL: false. */
bool http_host_is_loopback(const char *host);

/* Sets *out to the cookie of that name in a Cookie header (NULL: none). False when it is not there,
 * or there twice: whose is it then? */
bool http_cookie(const char *header, const char *name, struct buf *out);

/* True when Origin is absent (NULL) or is http(s)://<host>. */
bool http_origin_fits(const char *origin, const char *host);

#endif
