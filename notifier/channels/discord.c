/* Its configuration, and sending. */
#include "notifier/channels/discord.h"

enum { NONCE_ID = 20, NONCE_BYTES = 26 };

/* ---- configuration ---- */

static int key_parse(struct discord *d, const struct yaml_node *node, struct why *out_why)
{
	auto_free char *hex = NULL;
	int rc = channel_str(node, "public_key", &hex, out_why);
	if (rc || !hex)
		return rc;
	if (strlen(hex) != 2 * sizeof(d->public_key) ||
	    hex_decode(hex, d->public_key, sizeof(d->public_key)))
		return yaml_error(yaml_get(node, "public_key"), out_why,
				  "channels: public_key: 64 hex digits, from the application's "
				  "general information");
	d->clicks = true;
	return 0;
}

static int bot_parse(struct discord *d, const struct yaml_node *node, struct why *out_why)
{
	int rc = channel_path(node, "token_file", &d->token_file, out_why);
	if (!rc)
		rc = channel_str(node, "channel", &d->place, out_why);
	if (!rc)
		rc = channel_str(node, "api_url", &d->api_url, out_why);
	if (!rc)
		rc = key_parse(d, node, out_why);
	if (!rc && (!d->place || strspn(d->place, "0123456789") != strlen(d->place)))
		rc = yaml_error(node, out_why, "channels: channel: the id of a Discord channel");
	if (rc)
		return rc;
	d->api_url = d->api_url ? d->api_url : mem_strdup("https://discord.com/api/v10");
	d->seen = mem_alloc(sizeof(*d->seen));
	return 0;
}

static int webhook_parse(struct discord *d, const struct yaml_node *node, struct why *out_why)
{
	static const char *const bot_only[] = {"channel", "api_url", "public_key"};
	for (size_t i = 0; i < ARRAY_SIZE(bot_only); i++)
		if (yaml_get(node, bot_only[i]))
			return yaml_error(node, out_why, "channels: %s needs token_file",
					  bot_only[i]);
	return channel_url_parse(node, &d->url, out_why);
}

static int discord_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"url",     "url_file",   "token_file", "channel",
					   "api_url", "public_key", "ca_file"};
	struct discord *d = c->settings;
	int rc = channel_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc && yaml_get(node, "token_file") &&
	    (yaml_get(node, "url") || yaml_get(node, "url_file")))
		rc = yaml_error(node, out_why, "channels: give either token_file or a url");
	if (!rc)
		rc = yaml_get(node, "token_file") ? bot_parse(d, node, out_why)
						  : webhook_parse(d, node, out_why);
	return rc ? rc : channel_path(node, "ca_file", &d->ca_file, out_why);
}

static void discord_release(void *settings)
{
	struct discord *d = settings;
	channel_url_release(&d->url);
	free(d->token_file);
	free(d->place);
	free(d->api_url);
	free(d->seen);
	free(d->ca_file);
}

/* ---- calls ---- */

/* The messages of the channel, or of the webhook: its address may have a query (?thread_id=). */
static int messages_url(const struct discord *d, const char *id, struct buf *out,
			struct why *out_why)
{
	auto_buf base = {0};
	if (d->token_file) {
		buf_printf(out, "%s/channels/%s/messages%s%s", d->api_url, d->place, id ? "/" : "",
			   id ? id : "");
		return 0;
	}
	int rc = channel_url_read(&d->url, &base, out_why);
	if (rc)
		return rc;
	const char *query = strchr(buf_str(&base), '?');
	size_t len = query ? (size_t)(query - base.data) : base.len;
	buf_add(out, buf_str(&base), len);
	if (id)
		buf_printf(out, "/messages/%s%s", id, query ? query : "");
	else
		buf_printf(out, "?wait=true%s%s", query ? "&" : "", query ? query + 1 : "");
	return 0;
}

/* "Authorization: Bot TOKEN"; nothing for a webhook, whose address is the secret. */
static int authorization(const struct discord *d, struct secret *out, struct why *out_why)
{
	auto_secret token = {0};
	int rc = secret_read(&token, d->token_file, out_why);
	if (rc || !d->token_file)
		return rc;
	auto_free char *line = mem_printf("Authorization: Bot %s", token.data);
	size_t len = strlen(line);
	rc = secret_set(out, line, len);
	explicit_bzero(line, len);
	return rc;
}

static int request(const struct chat_sending *x, const char *id, const json_t *body,
		   json_t **out_answer, struct why *out_why)
{
	const struct discord *d = x->job->channel->settings;
	auto_secret auth = {0};
	auto_buf url = {0};
	int rc = messages_url(d, id, &url, out_why);
	rc = rc ? rc : authorization(d, &auth, out_why);
	if (rc)
		return rc;
	auto_free char *text = json_dumps(body, JSON_COMPACT);
	const char *headers[] = {
		"Content-Type: application/json",
		"User-Agent: DiscordBot (https://github.com/healbus, " HEALBUS_VERSION ")",
		auth.data, NULL};
	struct http_call call = {
		.method = id ? "PATCH" : "POST",
		.url = buf_str(&url),
		.headers = headers,
		.body = text,
		.body_len = strlen(text),
		.timeout_ms = chat_left_ms(x),
		.ca_file = d->ca_file,
	};
	return chat_call(x->job->http, &call, out_answer, &x->out->retry_ms, out_why);
}

static int post(const struct chat_sending *x, json_t *body, struct chat_ref *out,
		struct why *out_why)
{
	const struct discord *d = x->job->channel->settings;
	auto_json *answer = NULL;
	if (d->token_file) {
		/* Discord drops a second one with the same nonce. */
		char nonce[NONCE_BYTES];
		snprintf(nonce, sizeof(nonce), "%.*s-%zu", NONCE_ID, x->job->notice->id, x->part);
		json_object_set_new(body, "nonce", json_string(nonce));
		json_object_set_new(body, "enforce_nonce", json_true());
	}
	if (d->token_file && x->thread)
		json_object_set_new(
			body, "message_reference",
			json_pack("{s:s, s:b}", "message_id", x->thread, "fail_if_not_exists", 0));
	int rc = request(x, NULL, body, &answer, out_why);
	if (rc)
		/* Not the thread, which may be gone: the channel. */
		return rc == ERR_NOT_FOUND ? ERR_REJECTED : rc;
	const char *id = json_string_value(json_object_get(answer, "id"));
	const char *place = json_string_value(json_object_get(answer, "channel_id"));
	snprintf(out->id, sizeof(out->id), "%s", str_or_empty(id));
	snprintf(out->place, sizeof(out->place), "%s", place ? place : "-");
	return 0;
}

static int edit(const struct chat_sending *x, const struct chat_ref *ref, json_t *body,
		struct why *out_why)
{
	auto_json *answer = NULL;
	return request(x, ref->id, body, &answer, out_why);
}

static bool clicks(const struct channel *c)
{
	return ((const struct discord *)c->settings)->clicks;
}

static void render(const struct chat_message *m, const Healbus__ApprovalRequest *a UNUSED,
		   struct chat_parts *out)
{
	discord_parts(m, CHAT_PARTS_MAX, out);
}

static int discord_send(const struct channel_job *job, struct channel_result *out,
			struct why *out_why)
{
	static const struct chat_vendor vendor = {.people = "discord",
						  .clicks = clicks,
						  .render = render,
						  .post = post,
						  .edit = edit};
	return chat_send(&vendor, job, out, out_why);
}

const struct channel_kind channel_discord = {
	.name = "discord",
	.parse = discord_parse,
	.release = discord_release,
	.settings_size = sizeof(struct discord),
	.open = chat_session_open,
	.close = chat_session_close,
	.send = discord_send,
	.resumes = chat_session_resumes,
	.receive = discord_receive,
	.answered = discord_answered,
};
