/*
 * Any HTTP endpoint. The body is what a jq expression makes of the notice, or an object whose texts
 * are {{ jq }} templates; so are the headers' values and the path behind the address.
 */
#include "common/expr.h"
#include "notifier/channels/channel.h"
#include "notifier/channels/shape.h"

#include <strings.h>

enum { HEADERS_MAX = 16, OWN_HEADERS = 2 };

struct webhook {
	struct channel_url url;
	char *method;
	char *path;      /* template; NULL: the address as it is */
	char *body;      /* jq source; NULL: shape, or the whole notice */
	json_t *shape;   /* NULL: body */
	json_t *headers; /* name -> template */
	char *token_file;
	char *ca_file;
};

/* Compiled, for one worker. */
struct session {
	struct expr *body;
	struct shape *shape, *headers;
	struct template *path;
};

static void webhook_close(void *session)
{
	struct session *s = session;
	if (!s)
		return;
	expr_free(s->body);
	shape_free(s->shape);
	shape_free(s->headers);
	template_free(s->path);
	free(s);
}

static int webhook_open(const struct channel *c, void **out_session, struct why *out_why)
{
	const struct webhook *w = c->settings;
	struct session *s = mem_alloc(sizeof(*s));
	const char *what = "body";
	int rc = w->shape ? shape_compile(w->shape, &s->shape, out_why)
			  : expr_compile(w->body ? w->body : ".", &s->body, out_why);
	if (!rc && w->headers) {
		what = "headers";
		rc = shape_compile(w->headers, &s->headers, out_why);
	}
	if (!rc && w->path) {
		what = "path";
		rc = template_compile(w->path, &s->path, out_why);
	}
	if (rc) {
		webhook_close(s);
		return why_prefix(out_why, rc, "%s", what);
	}
	*out_session = s;
	return 0;
}

/* ---- configuration ---- */

static json_t *tree_of(const struct yaml_node *node)
{
	auto_buf text = {0};
	yaml_to_json(node, &text);
	return json_loadb(buf_str(&text), text.len, JSON_DECODE_ANY, NULL);
}

static int headers_parse(struct webhook *w, const struct yaml_node *node, struct why *out_why)
{
	size_t n = 0;
	if (!node)
		return 0;
	w->headers = json_object();
	YAML_EACH(item, node)
	{
		const char *value = NULL;
		int rc = item->key ? yaml_str(item, "headers", &value, out_why)
				   : yaml_error(item, out_why, "headers: must be a map");
		if (rc)
			return rc;
		if (++n > HEADERS_MAX || !value || strpbrk(value, "\r\n"))
			return yaml_error(item, out_why, "headers: at most %d, each on one line",
					  HEADERS_MAX);
		json_object_set_new(w->headers, item->key, json_string(value));
	}
	return 0;
}

static int body_parse(struct webhook *w, const struct yaml_node *node, struct why *out_why)
{
	const struct yaml_node *body = yaml_get(node, "body");
	bool source = body && body->type == YAML_SCALAR && !strstr(body->scalar, "{{");
	if (!body || source)
		return channel_str(node, "body", &w->body, out_why);
	w->shape = tree_of(body);
	return w->shape ? 0 : yaml_error(body, out_why, "body: cannot be written as JSON");
}

static int method_parse(struct webhook *w, const struct yaml_node *node, struct why *out_why)
{
	static const char *const methods[] = {"POST", "PUT", "PATCH"};
	int rc = channel_str(node, "method", &w->method, out_why);
	if (rc || !w->method)
		return rc;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (str_eq(methods[i], w->method))
			return 0;
	return yaml_error(yaml_get(node, "method"), out_why, "method: must be POST, PUT or PATCH");
}

/* Compiled once here so that a wrong expression is a configuration error. */
static int session_check(const struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	void *session = NULL;
	struct why why = {0};
	int rc = webhook_open(c, &session, &why);
	webhook_close(session);
	return rc ? yaml_error(node, out_why, "channels: %s: %s", c->name, why.text) : 0;
}

static int webhook_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"url",  "url_file",   "method",  "path",
					   "body", "token_file", "ca_file", "headers"};
	struct webhook *w = c->settings;
	int rc = channel_keys(node, keys, ARRAY_SIZE(keys), out_why);
	rc = rc ? rc : channel_url_parse(node, &w->url, out_why);
	rc = rc ? rc : method_parse(w, node, out_why);
	rc = rc ? rc : channel_str(node, "path", &w->path, out_why);
	rc = rc ? rc : body_parse(w, node, out_why);
	rc = rc ? rc : channel_path(node, "token_file", &w->token_file, out_why);
	rc = rc ? rc : channel_path(node, "ca_file", &w->ca_file, out_why);
	rc = rc ? rc : headers_parse(w, yaml_get(node, "headers"), out_why);
	return rc ? rc : session_check(c, node, out_why);
}

static void webhook_release(void *settings)
{
	struct webhook *w = settings;
	channel_url_release(&w->url);
	free(w->method);
	free(w->path);
	free(w->body);
	free(w->token_file);
	free(w->ca_file);
	json_decref(w->shape);
	json_decref(w->headers);
}

/* ---- sending ---- */

/* What one request is made of. */
struct parts {
	struct buf url;
	char *body;
	char *headers[OWN_HEADERS + HEADERS_MAX + 1];
	size_t n_headers;
};

static void parts_release(struct parts *p)
{
	buf_release(&p->url);
	free(p->body);
	for (size_t i = 0; i < p->n_headers; i++)
		free(p->headers[i]);
}
#define auto_parts __attribute__((cleanup(parts_release))) struct parts

static int body_make(const struct session *s, const json_t *input, char **out, struct why *out_why)
{
	json_t *body = NULL;
	int rc = s->shape ? shape_make(s->shape, input, &body, out_why)
			  : expr_eval(s->body, input, &body, out_why);
	if (!rc && !body)
		rc = why_set(out_why, ERR_REJECTED, "body: the expression gave nothing");
	if (!rc)
		*out = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(body);
	return rc;
}

/* A header of the configuration takes the place of ours; a value is one line, whatever the notice
 * says. */
static void header_add(struct parts *p, const char *name, const json_t *value)
{
	auto_buf shown = {0};
	auto_free char *other = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
	const char *text = json_is_string(value) ? json_string_value(value) : other;
	for (const char *c = text ? text : ""; *c; c++)
		buf_add_char(&shown, (unsigned char)*c < ' ' || *c == 0x7f ? ' ' : *c);
	char *line = mem_printf("%s: %s", name, buf_str(&shown));
	for (size_t i = 0; i < OWN_HEADERS; i++) {
		if (strncasecmp(p->headers[i], line, strlen(name) + 1) == 0) {
			free(p->headers[i]);
			p->headers[i] = line;
			return;
		}
	}
	p->headers[p->n_headers++] = line;
}

static int headers_make(const struct session *s, const json_t *input, struct parts *p,
			struct why *out_why)
{
	json_t *made = NULL, *value;
	const char *name;
	int rc = s->headers ? shape_make(s->headers, input, &made, out_why) : 0;
	if (rc)
		return rc;
	json_object_foreach(made, name, value)
	{
		header_add(p, name, value);
	}
	json_decref(made);
	return 0;
}

static int parts_make(const struct channel_job *job, struct parts *p, struct why *out_why)
{
	const struct webhook *w = job->channel->settings;
	const struct session *s = job->session;
	json_t *input = wire_to_json(&job->notice->base);
	p->headers[p->n_headers++] = mem_strdup("Content-Type: application/json");
	p->headers[p->n_headers++] = mem_printf("Idempotency-Key: %s", job->notice->id);
	int rc = body_make(s, input, &p->body, out_why);
	if (!rc)
		rc = headers_make(s, input, p, out_why);
	if (!rc)
		rc = channel_url_read(&w->url, &p->url, out_why);
	if (!rc && s->path)
		rc = shape_path(w->path, s->path, input, &p->url, out_why);
	json_decref(input);
	return rc;
}

static int webhook_send(const struct channel_job *job, struct channel_result *out,
			struct why *out_why)
{
	const struct webhook *w = job->channel->settings;
	auto_parts parts = {0};
	int rc = parts_make(job, &parts, out_why);
	if (rc)
		return rc;
	struct http_call call = {
		.method = w->method ? w->method : "POST",
		.url = buf_str(&parts.url),
		.headers = (const char *const *)parts.headers,
		.body = parts.body,
		.body_len = strlen(parts.body),
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
