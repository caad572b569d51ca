/*
 * HTTP/1.1 server. The only user of microhttpd.h. epoll, a few threads, limits on header, body,
 * time and connections; TLS with certificate and key files. Handlers run on the server's threads
 * with the whole body in memory, must not block, and answer with http_reply, at once or later from
 * any thread (the connection is suspended meanwhile). Layer 1.
 *
 * Routing: exact method and path after one percent-decoding; a last segment "*" matches one
 * segment, "**" the rest. Not found is 404, wrong method 405 with Allow. Authentication is decided
 * per route before the handler runs, on by default. Refused before any route is looked at: paths
 * with empty, "." or ".." segments (400), ambiguous framing (400), headers or bodies over the
 * limits (431, 413). A client has request_timeout_s for its whole request, however it trickles;
 * when three quarters of the connections are taken, one second. HEAD is answered like GET, without
 * the body.
 */
#ifndef COMMON_HTTP_SERVER_H
#define COMMON_HTTP_SERVER_H

#include "common/err.h"
#include "common/secret.h"

enum {
	HTTP_BODY_MAX_BYTES = 1 << 20,
	HTTP_HEADER_MAX_BYTES = 16384,
	HTTP_REQUEST_TIMEOUT_S = 10,
	HTTP_CONNECTIONS_MAX = 512,
	HTTP_PATH_MAX = 1024,
};

struct http_server;
struct http_request;

typedef void http_handler(void *ctx, struct http_request *req);

enum http_auth {
	HTTP_AUTH_BEARER, /* default: Authorization: Bearer <one of the server's tokens> (or Basic
			     with it as password); never for a foreign Origin */
	HTTP_AUTH_NONE,   /* public by intent: /healthz, /readyz, /metrics */
	HTTP_AUTH_HANDLER /* the handler checks (HMAC over the body, per-source secrets) */
};

struct http_route {
	const char *method; /* "GET" (also answers HEAD), "POST", "DELETE" */
	const char *path;   /* "/webhook/" "*" */
	http_handler *handler;
	void *ctx;
	enum http_auth auth;
};

/* Routes, tokens and what they point to are borrowed until http_server_close. */
struct http_server_options {
	const char *listen; /* "127.0.0.1:9095", "[::1]:9095", ":9095"; port 0 picks one */
	const struct http_route *routes;
	size_t n_routes;
	const struct secret *tokens; /* bearer tokens; with none, HTTP_AUTH_BEARER routes accept
					loopback peers only, with a loopback Host and not through
					a proxy */
	size_t n_tokens;
	const char *tls_cert_file;  /* PEM; both or neither */
	const char *tls_key_file;   /* 0600 */
	unsigned threads;           /* 0: 2 */
	size_t body_max_bytes;      /* 0: HTTP_BODY_MAX_BYTES */
	unsigned request_timeout_s; /* 0: HTTP_REQUEST_TIMEOUT_S */
	unsigned connections_max;   /* 0: HTTP_CONNECTIONS_MAX */
};

int http_server_open(const struct http_server_options *options, struct http_server **out,
		     struct why *out_why);
/* Refuses new connections, waits up to grace_ms for requests under way, then closes. A handler that
 * answers only after that is allowed to: its answer goes nowhere (the client has got a 503). */
void http_server_close(struct http_server *s, int64_t grace_ms);
/* The port it listens on. */
unsigned http_server_port(const struct http_server *s);
/* Requests received and not yet answered. */
unsigned http_server_in_flight(const struct http_server *s);

/* Valid from the handler's start until http_reply. */
const char *http_method(const struct http_request *req);
const char *http_path(const struct http_request *req); /* decoded once, without the query */
const char *
http_wildcard(const struct http_request *req); /* what "*" or "**" matched; "" when none */
const char *http_header(const struct http_request *req, const char *name); /* NULL when absent */
const char *http_query(const struct http_request *req, const char *name);  /* NULL when absent */
const char *http_body(const struct http_request *req, size_t *out_len);    /* NUL-terminated */
const char *http_peer(const struct http_request *req);                     /* "127.0.0.1" */
bool http_peer_is_loopback(const struct http_request *req);
/* Calls visit for each header, until it returns false. */
void http_headers_each(const struct http_request *req,
		       bool (*visit)(void *ctx, const char *name, const char *value), void *ctx);

/* Adds a header to the answer. Before http_reply. CR and LF in a value are refused (the header is
 * left out). */
void http_reply_header(struct http_request *req, const char *name, const char *value);
/* Answers and ends the request; req dies. Copies body. Exactly once, any thread. */
void http_reply(struct http_request *req, unsigned status, const char *content_type,
		const void *body, size_t len);
/* {"error": name, "reason": why} with the status that fits the error's class (400, 413, 404, 401,
 * 403, 409, 429, 503, 500). */
void http_reply_error(struct http_request *req, int rc, const struct why *why);
/* Chooses 503 or 429 and says when to come back. */
void http_reply_retry(struct http_request *req, unsigned status, unsigned retry_after_s,
		      const char *reason);

/* Checks an X-Hub-Signature-256 style header "sha256=<hex>" (or bare hex) over the body in constant
 * time. */
bool http_hmac_valid(const struct http_request *req, const char *header_name,
		     const struct secret *key);

#endif
