#include "common/secret.h"
#include "notifier/channels/channel.h"

static const struct channel_kind *const kinds[] = {
	&channel_terminal, &channel_webhook,   &channel_slack,    &channel_discord, &channel_email,
	&channel_telegram, &channel_pagerduty, &channel_opsgenie, &channel_github,
};

enum { SEND_TIMEOUT_MS = 10000, SEND_TIMEOUT_MAX_MS = 60000, KEYS_MAX = 24 };

static const struct channel_kind *kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_eq(kinds[i]->name, name))
			return kinds[i];
	return NULL;
}

static int kind_unknown(const struct yaml_node *node, const char *name, struct why *out_why)
{
	auto_buf names = {0};
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		buf_printf(&names, "%s%s", i ? ", " : "", kinds[i]->name);
	return yaml_error(node, out_why, "channels: %s: type must be one of %s", name,
			  buf_str(&names));
}

static int channel_read(const struct yaml_node *node, struct channel *out, struct why *out_why)
{
	const struct yaml_node *name = yaml_get(node, "name"), *type = yaml_get(node, "type");
	if (!name || !name->scalar || !token_valid(name->scalar))
		return yaml_error(node, out_why, "channels: name must be 1 to 64 of [A-Za-z0-9_-]");
	const struct channel_kind *kind = type && type->scalar ? kind_find(type->scalar) : NULL;
	if (!kind)
		return kind_unknown(node, name->scalar, out_why);
	out->name = mem_strdup(name->scalar);
	out->kind = kind;
	out->settings = mem_alloc(kind->settings_size);
	out->timeout_ms = SEND_TIMEOUT_MS;
	const struct yaml_node *timeout = yaml_get(node, "timeout");
	int rc = timeout ? yaml_duration_ms(timeout, "timeout", 100, SEND_TIMEOUT_MAX_MS,
					    &out->timeout_ms, out_why)
			 : 0;
	return rc ? rc : kind->parse(out, node, out_why);
}

int channels_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct channels *all = field;
	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_LIST)
		return yaml_error(node, out_why, "channels: must be a list");
	all->items = mem_calloc(node->count, sizeof(*all->items));
	YAML_EACH(item, node)
	{
		int rc = channel_read(item, &all->items[all->n++], out_why);
		if (rc)
			return rc;
	}
	return 0;
}

void channels_release(void *field)
{
	struct channels *all = field;
	for (size_t i = 0; i < all->n; i++) {
		struct channel *c = &all->items[i];
		if (c->kind && c->settings)
			c->kind->release(c->settings);
		free(c->settings);
		free(c->name);
	}
	free(all->items);
	*all = (struct channels){0};
}

const struct channel *channel_find(const struct channels *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (str_eq(all->items[i].name, name))
			return &all->items[i];
	return NULL;
}

int channel_keys(const struct yaml_node *node, const char *const *own, size_t n,
		 struct why *out_why)
{
	const char *keys[KEYS_MAX] = {"name", "type", "timeout"};
	size_t count = 3;
	assert(n + count <= KEYS_MAX);
	for (size_t i = 0; i < n; i++)
		keys[count++] = own[i];
	return yaml_only_keys(node, keys, count, out_why);
}

int channel_str(const struct yaml_node *node, const char *key, char **io, struct why *out_why)
{
	const struct yaml_node *child = yaml_get(node, key);
	const char *text;
	int rc = child ? yaml_str(child, key, &text, out_why) : 0;
	if (rc || !child)
		return rc;
	free(*io);
	*io = mem_strdup(text);
	return 0;
}

int channel_path(const struct yaml_node *node, const char *key, char **io, struct why *out_why)
{
	int rc = channel_str(node, key, io, out_why);
	if (rc || !yaml_get(node, key) || **io == '/')
		return rc;
	const char *file = yaml_get(node, key)->file;
	const char *slash = file ? strrchr(file, '/') : NULL;
	if (!slash)
		return 0;
	auto_free char *relative = *io;
	*io = mem_printf("%.*s/%s", (int)(slash - file), file, relative);
	return 0;
}

int channel_url_parse(const struct yaml_node *node, struct channel_url *out, struct why *out_why)
{
	int rc = channel_str(node, "url", &out->url, out_why);
	if (!rc)
		rc = channel_path(node, "url_file", &out->file, out_why);
	if (!rc && !out->url == !out->file)
		rc = yaml_error(node, out_why, "channels: give either url or url_file");
	return rc;
}

void channel_url_release(struct channel_url *u)
{
	free(u->url);
	free(u->file);
	*u = (struct channel_url){0};
}

int channel_url_read(const struct channel_url *u, struct buf *out, struct why *out_why)
{
	if (u->url) {
		buf_add_str(out, u->url);
		return 0;
	}
	struct secret secret = {0};
	int rc = secret_read(&secret, u->file, out_why);
	if (!rc)
		buf_add(out, secret.data, secret.len);
	secret_release(&secret);
	return rc;
}

int channel_call(struct http_client *http, const struct http_call *call, struct http_answer *out,
		 struct why *out_why)
{
	enum { GATEWAY_TIMEOUT = 504 };
	int rc = http_client_call(http, call, out, out_why);
	if (!rc && out->status == GATEWAY_TIMEOUT)
		return why_set(out_why, ERR_TIMEOUT, "HTTP status 504: %.200s",
			       buf_str(&out->body));
	if (rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT)
		rc = out->sent ? ERR_TIMEOUT : ERR_UNAVAILABLE;
	return rc;
}

int channel_post(struct http_client *http, const struct http_call *call, int64_t *out_retry_ms,
		 struct why *out_why)
{
	struct http_answer answer = {0};
	int rc = channel_call(http, call, &answer, out_why);
	if (!rc) {
		rc = http_status_err(answer.status);
		*out_retry_ms = answer.retry_after_ms;
		if (rc)
			why_set(out_why, rc, "HTTP status %ld: %.200s", answer.status,
				buf_str(&answer.body));
	}
	http_answer_release(&answer);
	return rc;
}

int channel_post_json(struct http_client *http, const struct http_call *call, const json_t *body,
		      int64_t *out_retry_ms, struct why *out_why)
{
	enum { HEADERS_MAX = 8 };
	const char *headers[HEADERS_MAX + 1] = {"Content-Type: application/json"};
	size_t n = 1;
	for (size_t i = 0; call->headers && call->headers[i]; i++) {
		assert(n < HEADERS_MAX);
		headers[n++] = call->headers[i];
	}
	auto_free char *text = json_dumps(body, JSON_COMPACT);
	struct http_call with = *call;
	with.method = call->method ? call->method : "POST";
	with.headers = headers;
	with.body = text;
	with.body_len = text ? strlen(text) : 0;
	return text ? channel_post(http, &with, out_retry_ms, out_why)
		    : why_set(out_why, ERR_INVALID, "the message cannot be written as JSON");
}
