/*
 * HTTP client. The only user of curl.h. One client per thread (it owns a curl handle and reuses its
 * connections); every call has a deadline, a body ceiling, no redirects, no proxies from the
 * environment, and verified TLS. Layer 1.
 */
#ifndef COMMON_HTTP_CLIENT_H
#define COMMON_HTTP_CLIENT_H

#include "common/buf.h"
#include "common/err.h"

enum {
	HTTP_CLIENT_BODY_MAX_BYTES = 4 << 20,
	HTTP_CLIENT_HEADERS_MAX = 32,
	HTTP_CLIENT_TIMEOUT_MS = 10000,
	HTTP_CLIENT_KEEP_MAX = 8,
};

struct http_client;

struct http_call {
	const char *method;         /* NULL: GET, or POST with a body */
	const char *url;            /* http, https; smtp and smtps through http_client_mail only */
	const char *const *headers; /* "Name: value"; NULL-terminated; may be NULL */
	const void *body;
	size_t body_len;
	int64_t timeout_ms;      /* whole call; 0: HTTP_CLIENT_TIMEOUT_MS */
	size_t body_max_bytes;   /* of the answer; 0: HTTP_CLIENT_BODY_MAX_BYTES */
	const char *unix_socket; /* connect there instead; NULL: TCP */
	const char *ca_file;     /* NULL: the system's */
	const char *bearer_file; /* adds Authorization: Bearer <contents>; read for each call */
	bool public_only; /* refuse loopback, private, link-local and metadata addresses, after
			     resolving */
	const char *const *keep; /* names of answer headers wanted, NULL-terminated, at most
				    HTTP_CLIENT_KEEP_MAX; may be NULL */
	/* Gets the body as it comes, in place of answer.body: for bodies without end. Runs during
	 * the call; may use another client. False: enough, the call ends with 0. NULL: none. */
	bool (*sink)(void *ctx, const char *data, size_t len);
	void *sink_ctx;
};

struct http_answer {
	long status;
	struct buf body;
	int64_t retry_after_ms; /* from Retry-After, 0 when absent; capped at one hour */
	int64_t took_ms;
	bool sent; /* the whole request may have reached the peer: on an error the effect is unknown
		    */
	char *kept[HTTP_CLIENT_KEEP_MAX]; /* values of call.keep, by index; NULL: not sent */
};

int http_client_new(struct http_client **out);
void http_client_free(struct http_client *c);

/*
 * 0 when an answer came, whatever its status. ERR_TIMEOUT, ERR_UNAVAILABLE (resolve, connect, TLS,
 * cut off), ERR_TOO_LARGE, ERR_INVALID (URL, header), ERR_DENIED (public_only). out is filled as
 * far as known; release with http_answer_release. Blocks up to timeout_ms. *stop non-zero aborts
 * within 200 ms.
 */
int http_client_call(struct http_client *c, const struct http_call *call, struct http_answer *out,
		     struct why *out_why);
void http_answer_release(struct http_answer *a);
/* For all clients: a flag that, once set, aborts calls under way with ERR_CLOSED. */
void http_client_stop_on(const volatile int *stop);

/* 0 for 2xx; ERR_BUSY for 429 and 503; ERR_UNAVAILABLE for other 5xx and 408; ERR_UNAUTHENTICATED,
 * ERR_DENIED, ERR_NOT_FOUND, ERR_CONFLICT; else ERR_REJECTED. */
int http_status_err(long status);

struct http_mail {
	const char *url;  /* smtp://host:port, smtps://host:port */
	bool starttls;    /* require it on smtp:// */
	const char *user; /* NULL: no authentication */
	const char *password_file;
	const char *ca_file;
	const char *from;
	const char *const *to; /* NULL-terminated */
	const char *subject;
	const char *text;       /* UTF-8; sent as quoted-printable with RFC 2047 subject */
	const char *message_id; /* without <>; the same for a repeat, so that mail systems can drop
				   it */
	int64_t timeout_ms;
};
int http_client_mail(struct http_client *c, const struct http_mail *mail, struct why *out_why);

#endif
