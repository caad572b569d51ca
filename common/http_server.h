/*
 * HTTP/1.1 server, over TCP or a unix socket. The only user of microhttpd.h. poll, a few threads,
 * limits on header, body, time and connections; TLS with certificate and key files. Handlers run on
 * the server's threads with the whole body in memory, must not block, and answer with http_reply,
 * at once or later from any thread (the connection is suspended meanwhile). Layer 1.
 *
 * Routing: exact method and path after one percent-decoding; a last segment "*" matches one
 * segment, "**" the rest. Not found is 404, wrong method 405 with Allow. Authentication is decided
 * per route before the body is read, on by default. Refused before any route is looked at: paths
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
	HTTP_USER_MAX = 64,
	HTTP_STREAM_MAX_BYTES = 64 << 10, /* written and not yet taken by the client */
};

struct http_server;
struct address_unix; /* common/address.h */
struct http_request;

typedef void http_handler(void *ctx, struct http_request *req);

enum http_auth {
	HTTP_AUTH_BEARER,  /* default: Authorization: Bearer <one of the server's tokens> (or Basic
			      with it as password); never for a foreign Origin */
	HTTP_AUTH_NONE,    /* public by intent: /healthz, /readyz, /metrics */
	HTTP_AUTH_HANDLER, /* the handler checks (HMAC over the body, per-source secrets) */
	HTTP_AUTH_OWN = 16 /* and every number above: options.authorize decides, and is told it */
};

/* Decides once the header is read. 0, or an error that is answered (ERR_DENIED,
 * ERR_UNAUTHENTICATED). May add headers to the answer and call http_request_set_user. Must not
 * block. */
typedef int http_authorize(void *ctx, struct http_request *req, unsigned need, struct why *out_why);

struct http_route {
	const char *method; /* "GET" (also answers HEAD), "POST", "DELETE"; NULL: any */
	const char *path;   /* "/webhook/" "*" */
	http_handler *handler;
	void *ctx;
	enum http_auth auth;
};

/* Routes, tokens and what they point to are borrowed until http_server_close. */
struct http_server_options {
	const char *listen; /* "127.0.0.1:9095", "[::1]:9095", ":9095"; port 0 picks one */
	/* Listen there instead; NULL: TCP. Its file goes when the server closes. */
	const struct address_unix *unix_socket;
	const struct http_route *routes;
	size_t n_routes;
	const struct secret *tokens; /* bearer tokens; with none, HTTP_AUTH_BEARER routes accept
					loopback peers only, with a loopback Host and not through
					a proxy */
	size_t n_tokens;
	const char *tls_cert_file; /* PEM; both or neither */
	const char *tls_key_file;  /* 0600 */
	http_authorize *authorize; /* for HTTP_AUTH_OWN; NULL: nobody may */
	void *authorize_ctx;
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
/* The port it listens on; 0 for a unix socket. */
unsigned http_server_port(const struct http_server *s);
/* Requests received and not yet answered. */
unsigned http_server_in_flight(const struct http_server *s);

/* Valid from the handler's start until http_reply. */
const char *http_method(const struct http_request *req);
const char *http_path(const struct http_request *req);       /* decoded once, without the query */
const char *http_raw_target(const struct http_request *req); /* as it came, with the query */
const char *
http_wildcard(const struct http_request *req); /* what "*" or "**" matched; "" when none */
const char *http_header(const struct http_request *req, const char *name); /* NULL when absent */
const char *http_query(const struct http_request *req, const char *name);  /* NULL when absent */
const char *http_body(const struct http_request *req, size_t *out_len);    /* NUL-terminated */
const char *http_peer(const struct http_request *req); /* "127.0.0.1"; "unix" for a unix socket */
/* Who opened the connection, as the kernel says; -1 where it is no unix socket. */
int64_t http_peer_uid(const struct http_request *req);
bool http_peer_is_loopback(const struct http_request *req);
bool http_is_tls(const struct http_request *req); /* ours, not a proxy's */
/* What an HTTP_AUTH_BEARER route asks for: one of the server's tokens, or, when it has none, a
 * local peer. 0, ERR_DENIED or ERR_UNAUTHENTICATED. */
int http_request_bearer(struct http_request *req, struct why *out_why);
/* Is this one of the server's tokens? Constant-time. */
bool http_token_known(const struct http_request *req, const char *token, size_t len);
/* Whom options.authorize has found: kept for the handler. Copied, cut at HTTP_USER_MAX bytes. */
void http_request_set_user(struct http_request *req, const char *user);
const char *http_request_user(const struct http_request *req); /* "" when nobody was named */
/* Calls visit for each header, until it returns false. */
void http_headers_each(const struct http_request *req,
		       bool (*visit)(void *ctx, const char *name, const char *value), void *ctx);

/* Adds a header to the answer, or replaces one of the server's own (Cache-Control, CSP, ...: what a
 * browser must not do with an answer). Before http_reply. CR and LF in a value are refused (the
 * header is left out). */
void http_reply_header(struct http_request *req, const char *name, const char *value);
/* Answers and ends the request; req dies. Copies body. Exactly once, any thread. */
void http_reply(struct http_request *req, unsigned status, const char *content_type,
		const void *body, size_t len);
/* {"error": name, "reason": why} with the status that fits the error's class (400, 413, 404, 401,
 * 403, 409, 429, 503, 500). */
/* An answer that is given often, put together once. The texts must outlive it, and it every request
 * that it was given to: free it when the server is closed. Any thread. */
struct http_fixed;
struct http_fixed *http_fixed_new(unsigned status, const char *content_type, const char *text);
void http_fixed_free(struct http_fixed *f);
void http_reply_fixed(struct http_request *req, const struct http_fixed *f);
void http_reply_error(struct http_request *req, int rc, const struct why *why);
/* Chooses 503 or 429 and says when to come back. */
void http_reply_retry(struct http_request *req, unsigned status, unsigned retry_after_s,
		      const char *reason);

/*
 * ---- an answer that goes on: server-sent events ----
 * Holds a connection and no thread. A client that does not take what was written for
 * request_timeout_s is cut off; write something from time to time to find out.
 */
struct http_stream;
/* Answers 200 with a body without end; req dies. Any thread. The stream is the caller's until
 * http_stream_close, also when the server has closed meanwhile. */
struct http_stream *http_reply_stream(struct http_request *req, const char *content_type);
/* Copies, does not block. ERR_CLOSED: the client or the server has gone. ERR_FULL: the client does
 * not keep up, nothing was added. */
int http_stream_write(struct http_stream *stream, const void *data, size_t len);
/* Has the client closed its side, or the server? Looks, does not block. */
bool http_stream_gone(struct http_stream *stream);
/* What was written is still sent, then the connection ends. NULL is fine. */
void http_stream_close(struct http_stream *stream);

/* Checks an X-Hub-Signature-256 style header "sha256=<hex>" (or bare hex) over the body in constant
 * time. */
bool http_hmac_valid(const struct http_request *req, const char *header_name,
		     const struct secret *key);

#endif
