#include "common/http_server_private.h"

#include <strings.h>

#include "common/id.h"

/* What a handler sees of its request, and the shapes of its answers. */

const char *http_method(const struct http_request *req)
{
	return req->method;
}

const char *http_path(const struct http_request *req)
{
	return req->target.path;
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

bool http_peer_is_loopback(const struct http_request *req)
{
	return req->loopback;
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
