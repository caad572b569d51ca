#include "common/http_server_private.h"

#include <strings.h>

#include "common/id.h"
#include "common/mem.h"

/* What a handler sees of its request, and the shapes of its answers. */

const char *http_method(const struct http_request *req)
{
	return req->method;
}

const char *http_path(const struct http_request *req)
{
	return req->target.path;
}

const char *http_raw_target(const struct http_request *req)
{
	return req->raw_target;
}

const char *http_wildcard(const struct http_request *req)
{
	return req->wildcard;
}

const char *http_header(const struct http_request *req, const char *name)
{
	for (size_t i = 0; i < req->n_headers; i++) {
		if (strcasecmp(req->headers[i].name, name) == 0)
			return req->headers[i].value;
	}
	return NULL;
}

void http_headers_each(const struct http_request *req,
		       bool (*visit)(void *ctx, const char *name, const char *value), void *ctx)
{
	for (size_t i = 0; i < req->n_headers; i++) {
		if (!visit(ctx, req->headers[i].name, req->headers[i].value))
			return;
	}
}

const char *http_query(const struct http_request *req, const char *name)
{
	return http_target_query(&req->target, name);
}

const char *http_body(const struct http_request *req, size_t *out_len)
{
	*out_len = req->body.len;
	return buf_str(&req->body);
}

const char *http_peer(const struct http_request *req)
{
	return req->peer;
}

int64_t http_peer_uid(const struct http_request *req)
{
	return req->uid;
}

bool http_peer_is_loopback(const struct http_request *req)
{
	return req->loopback;
}

bool http_is_tls(const struct http_request *req)
{
	return req->server->tls;
}

void http_request_set_user(struct http_request *req, const char *user)
{
	snprintf(req->user, sizeof(req->user), "%s", user);
}

const char *http_request_user(const struct http_request *req)
{
	return req->user;
}

void http_reply_header(struct http_request *req, const char *name, const char *value)
{
	if (strpbrk(name, "\r\n:") || strpbrk(value, "\r\n") ||
	    req->n_reply_headers == HTTP_REPLY_HEADERS_MAX)
		return;
	buf_add(&req->reply_headers, name, strlen(name) + 1);
	buf_add(&req->reply_headers, value, strlen(value) + 1);
	req->n_reply_headers++;
}

static void add_headers(const struct http_request *r, struct MHD_Response *response)
{
	const char *p = r->reply_headers.data;

	for (size_t i = 0; i < r->n_reply_headers; i++) {
		const char *value = p + strlen(p) + 1;

		MHD_add_response_header(response, p, value);
		p = value + strlen(value) + 1;
	}
}

/* What a browser must not do with any answer of ours, whoever made it look at it. */
static const struct {
	const char *name, *value;
} guards[] = {
	{"X-Content-Type-Options", "nosniff"},
	{"Cache-Control", "no-store"},
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
};

static void add_guards(struct MHD_Response *response)
{
	for (size_t i = 0; i < ARRAY_SIZE(guards); i++) {
		if (!MHD_get_response_header(response, guards[i].name))
			MHD_add_response_header(response, guards[i].name, guards[i].value);
	}
}

void http_reply_decorate(const struct http_request *r, struct MHD_Response *response,
			 const char *content_type)
{
	if (content_type)
		MHD_add_response_header(response, "Content-Type", content_type);
	add_headers(r, response);
	add_guards(response);
	if (r->server->draining)
		MHD_add_response_header(response, "Connection", "close");
}

static struct MHD_Response *response_new(const struct http_request *r, const char *content_type,
					 const void *body, size_t len)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		len, (void *)(uintptr_t)(len ? body : ""), MHD_RESPMEM_MUST_COPY);

	if (!response)
		abort();
	http_reply_decorate(r, response, content_type);
	return response;
}

/* With reply_lock held. */
static void resume(struct http_request *r)
{
	struct http_server *s = r->server;

	if (r->prev)
		r->prev->next = r->next;
	else
		s->suspended = r->next;
	if (r->next)
		r->next->prev = r->prev;
	r->prev = r->next = NULL;
	MHD_resume_connection(r->mhd);
}

static void reply(struct http_request *req, unsigned status, struct MHD_Response *response,
		  bool shared)
{
	struct http_server *s = req->server;

	pthread_mutex_lock(&s->reply_lock);
	if (req->state == REQUEST_ABORTED) {
		if (!shared)
			MHD_destroy_response(response);
	} else {
		bool was_suspended = req->state == REQUEST_SUSPENDED;

		assert(was_suspended || req->state == REQUEST_RUNNING);
		req->response = response;
		req->shared = shared;
		req->status = status;
		req->state = REQUEST_REPLIED;
		if (was_suspended)
			resume(req);
	}
	pthread_mutex_unlock(&s->reply_lock);
	http_request_unref(req);
}

void http_reply_response(struct http_request *req, unsigned status, struct MHD_Response *response)
{
	reply(req, status, response, false);
}

void http_reply(struct http_request *req, unsigned status, const char *content_type,
		const void *body, size_t len)
{
	http_reply_response(req, status, response_new(req, content_type, body, len));
}

/* ---- answers put together once ---- */

struct http_fixed {
	unsigned status;
	const char *content_type, *text;
	struct MHD_Response *response;
};

struct http_fixed *http_fixed_new(unsigned status, const char *content_type, const char *text)
{
	struct http_fixed *f = mem_alloc(sizeof(*f));

	*f = (struct http_fixed){status, content_type, text,
				 MHD_create_response_from_buffer(strlen(text),
								 (void *)(uintptr_t)text,
								 MHD_RESPMEM_PERSISTENT)};
	if (!f->response)
		abort();
	MHD_add_response_header(f->response, "Content-Type", content_type);
	add_guards(f->response);
	return f;
}

void http_fixed_free(struct http_fixed *f)
{
	if (!f)
		return;
	MHD_destroy_response(f->response);
	free(f);
}

void http_reply_fixed(struct http_request *req, const struct http_fixed *f)
{
	if (req->server->draining || req->n_reply_headers)
		http_reply(req, f->status, f->content_type, f->text, strlen(f->text));
	else
		reply(req, f->status, f->response, true);
}

void http_requests_abort(struct http_server *s)
{
	static const char text[] = "{\"error\":\"closed\",\"reason\":\"shutting down\"}\n";

	pthread_mutex_lock(&s->reply_lock);
	while (s->suspended) {
		struct http_request *r = s->suspended;

		/* Its answer is the handler's to make no more; it keeps its reference. */
		r->response = MHD_create_response_from_buffer(
			sizeof(text) - 1, (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
		r->status = MHD_HTTP_SERVICE_UNAVAILABLE;
		r->state = REQUEST_ABORTED;
		resume(r);
	}
	pthread_mutex_unlock(&s->reply_lock);
}

static const struct {
	int rc;
	unsigned status;
} statuses[] = {
	{ERR_TOO_LARGE, MHD_HTTP_CONTENT_TOO_LARGE},
	{ERR_TIMEOUT, MHD_HTTP_SERVICE_UNAVAILABLE},
	{ERR_UNAVAILABLE, MHD_HTTP_SERVICE_UNAVAILABLE},
	{ERR_BUSY, MHD_HTTP_SERVICE_UNAVAILABLE},
	{ERR_CLOSED, MHD_HTTP_SERVICE_UNAVAILABLE},
	{ERR_FULL, MHD_HTTP_SERVICE_UNAVAILABLE},
	{ERR_CONFLICT, MHD_HTTP_CONFLICT},
	{ERR_EXISTS, MHD_HTTP_CONFLICT},
	{ERR_EXPIRED, MHD_HTTP_CONFLICT},
	{ERR_NOT_FOUND, MHD_HTTP_NOT_FOUND},
	{ERR_UNSUPPORTED, MHD_HTTP_NOT_IMPLEMENTED},
	{ERR_REJECTED, MHD_HTTP_CONFLICT},
	{ERR_DENIED, MHD_HTTP_FORBIDDEN},
	{ERR_UNAUTHENTICATED, MHD_HTTP_UNAUTHORIZED},
};

static unsigned status_of(int rc)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		if (statuses[i].rc == rc)
			return statuses[i].status;
	}
	return err_class(rc) == ERR_CLASS_INPUT ? MHD_HTTP_BAD_REQUEST
						: MHD_HTTP_INTERNAL_SERVER_ERROR;
}

static void reply_reason(struct http_request *req, unsigned status, const char *error,
			 const char *reason)
{
	auto_buf body = {0};

	buf_add_str(&body, "{\"error\":");
	buf_add_json(&body, error, strlen(error));
	buf_add_str(&body, ",\"reason\":");
	buf_add_json(&body, reason, strlen(reason));
	buf_add_str(&body, "}\n");
	http_reply(req, status, "application/json", body.data, body.len);
}

void http_reply_error(struct http_request *req, int rc, const struct why *why)
{
	unsigned status = status_of(rc);

	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		http_reply_header(req, "Retry-After", "1");
	reply_reason(req, status, err_name(rc), why ? why->text : "");
}

void http_reply_retry(struct http_request *req, unsigned status, unsigned retry_after_s,
		      const char *reason)
{
	char seconds[16];

	snprintf(seconds, sizeof(seconds), "%u", retry_after_s);
	http_reply_header(req, "Retry-After", seconds);
	reply_reason(req,
		     status == MHD_HTTP_TOO_MANY_REQUESTS ? status : MHD_HTTP_SERVICE_UNAVAILABLE,
		     err_name(status == MHD_HTTP_TOO_MANY_REQUESTS ? ERR_BUSY : ERR_UNAVAILABLE),
		     reason);
}

bool http_hmac_valid(const struct http_request *req, const char *header_name,
		     const struct secret *key)
{
	const char *text = http_header(req, header_name);
	uint8_t given[DIGEST_BYTES], ours[DIGEST_BYTES];

	if (!text || !key->data || key->len == 0)
		return false;
	if (str_starts(text, "sha256="))
		text += 7;
	if (hex_decode(text, given, DIGEST_BYTES))
		return false;
	digest_hmac(key->data, key->len, buf_str(&req->body), req->body.len, ours);
	return digest_equal(given, ours, DIGEST_BYTES);
}
