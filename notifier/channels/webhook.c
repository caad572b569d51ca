/* Any HTTP endpoint: the body is what a jq expression makes of the notice. */
#include "common/expr.h"
#include "notifier/channels/channel.h"

enum { HEADERS_MAX = 8 };

struct webhook {
	struct channel_url url;
	char *body; /* jq source */
	char *token_file;
	char *ca_file;
	char *headers[HEADERS_MAX];
	size_t n_headers;
};

static int headers_parse(struct webhook *w, const struct yaml_node *node, struct why *out_why)
{
	YAML_EACH(item, yaml_get(node, "headers"))
	{
		const char *value;
		int rc = yaml_str(item, "headers", &value, out_why);
		if (rc)
			return rc;
		if (w->n_headers == HEADERS_MAX || strpbrk(value, "\r\n"))
			return yaml_error(item, out_why, "headers: at most %d, each on one line",
					  HEADERS_MAX);
		w->headers[w->n_headers++] = mem_printf("%s: %s", item->key, value);
	}
	return 0;
}

/* Compiled once here so that a wrong expression is a configuration error. */
static int body_check(const struct webhook *w, const struct yaml_node *node, struct why *out_why)
{
	struct expr *e = NULL;
	struct why why = {0};
	int rc = expr_compile(w->body, &e, &why);
	expr_free(e);
	return rc ? yaml_error(yaml_get(node, "body"), out_why, "body: %s", why.text) : 0;
}

static int webhook_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"url",        "url_file", "body",
					   "token_file", "ca_file",  "headers"};
	struct webhook *w = c->settings;
	int rc = channel_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = channel_url_parse(node, &w->url, out_why);
	if (!rc)
		rc = channel_str(node, "body", &w->body, out_why);
	if (!rc)
		rc = channel_path(node, "token_file", &w->token_file, out_why);
	if (!rc)
		rc = channel_path(node, "ca_file", &w->ca_file, out_why);
	if (!rc)
		rc = headers_parse(w, node, out_why);
	return !rc && w->body ? body_check(w, node, out_why) : rc;
}

static void webhook_release(void *settings)
{
	struct webhook *w = settings;
	channel_url_release(&w->url);
	free(w->body);
	free(w->token_file);
	free(w->ca_file);
	for (size_t i = 0; i < w->n_headers; i++)
		free(w->headers[i]);
}

static int webhook_open(const struct channel *c, void **out_session, struct why *out_why)
{
	const struct webhook *w = c->settings;
	return expr_compile(w->body ? w->body : ".", (struct expr **)out_session, out_why);
}

static void webhook_close(void *session)
{
	expr_free(session);
}

static int body_make(struct expr *e, const Healbus__Notice *n, char **out, struct why *out_why)
{
	json_t *input = wire_to_json(&n->base), *body = NULL;
	int rc = expr_eval(e, input, &body, out_why);
	if (!rc && !body)
		rc = why_set(out_why, ERR_REJECTED, "body: the expression gave nothing");
	if (!rc)
		*out = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(body);
	json_decref(input);
	return rc;
}

static int webhook_send(const struct channel_job *job, struct channel_result *out,
			struct why *out_why)
{
	const struct webhook *w = job->channel->settings;
	auto_buf url = {0};
	auto_free char *body = NULL;
	auto_free char *key = mem_printf("Idempotency-Key: %s", job->notice->id);
	const char *headers[HEADERS_MAX + 3] = {"Content-Type: application/json", key};
	for (size_t i = 0; i < w->n_headers; i++)
		headers[i + 2] = w->headers[i];
	int rc = body_make(job->session, job->notice, &body, out_why);
	if (!rc)
		rc = channel_url_read(&w->url, &url, out_why);
	if (rc)
		return rc;
	struct http_call call = {
		.method = "POST",
		.url = buf_str(&url),
		.headers = headers,
		.body = body,
		.body_len = strlen(body),
		.timeout_ms = job->channel->timeout_ms,
		.bearer_file = w->token_file,
		.ca_file = w->ca_file,
	};
	return channel_post(job->http, &call, &out->retry_ms, out_why);
}

const struct channel_kind channel_webhook = {
	.name = "webhook",
	.parse = webhook_parse,
	.release = webhook_release,
	.settings_size = sizeof(struct webhook),
	.open = webhook_open,
	.close = webhook_close,
	.send = webhook_send,
};
