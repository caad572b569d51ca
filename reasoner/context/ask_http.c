#include "reasoner/context/source.h"

enum { TOKEN_MAX_BYTES = 16 << 10 };

/* Not as bearer_file: Kubernetes writes its tokens readable by all of the container. */
static int token_header(const char *file, struct buf *out, struct why *out_why)
{
	int rc;

	if (!file)
		return 0;
	buf_add_str(out, "Authorization: Bearer ");
	rc = buf_read_file(out, file, TOKEN_MAX_BYTES);
	while (out->len && strchr("\r\n ", out->data[out->len - 1]))
		out->data[--out->len] = '\0';
	return rc ? why_set(out_why, ERR_CONFIG, "%s: cannot be read (%s)", file, err_name(rc)) : 0;
}

static int send_get(struct gathering *g, const char *url, struct http_answer *a,
		    struct why *out_why)
{
	struct buf token = {0};
	const struct context_service *s = g->service;
	const char *headers[5] = {"Accept: application/json", "User-Agent: healbus"};
	const char *name = g->ask->texts[CONTEXT_LOKI][0];
	auto_free char *tenant = mem_printf("X-Scope-OrgID: %s", name ? name : "");
	size_t n = 2;
	int rc = token_header(s->token_file, &token, out_why);

	if (!rc && token.len)
		headers[n++] = token.data;
	if (g->source->service == CONTEXT_LOKI && name && *name)
		headers[n++] = tenant;
	struct http_call call = {.url = url,
				 .headers = headers,
				 .timeout_ms = gathering_left_ms(g),
				 .body_max_bytes = CONTEXT_ANSWER_MAX_BYTES,
				 .ca_file = s->ca_file};
	if (!rc)
		rc = http_client_call(g->http, &call, a, out_why);
	if (token.data)
		explicit_bzero(token.data, token.cap);
	buf_release(&token);
	return rc;
}

int service_get_text(struct gathering *g, const char *path, struct buf *out, struct why *out_why)
{
	struct http_answer a = {0};
	auto_free char *url = mem_printf("%s%s", g->service->url, path);
	int rc = send_get(g, url, &a, out_why);

	if (!rc)
		rc = http_status_err(a.status);
	if (rc && a.status && rc != ERR_TOO_LARGE)
		why_set(out_why, rc, "status %ld: %.200s", a.status, buf_str(&a.body));
	if (!rc)
		buf_add(out, buf_str(&a.body), a.body.len);
	http_answer_release(&a);
	return rc;
}

int service_get(struct gathering *g, const char *path, json_t **out, struct why *out_why)
{
	auto_buf body = {0};
	int rc = service_get_text(g, path, &body, out_why);
	json_error_t error;

	if (rc)
		return rc;
	*out = json_loadb(buf_str(&body), body.len, 0, &error);
	return *out ? 0 : why_set(out_why, ERR_INVALID, "answered what is no JSON");
}
