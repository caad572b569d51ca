/* Buttons that were pressed in Discord, and what is said to who pressed them. */
#include "notifier/channels/discord.h"

/* Kinds of answers. */
enum { PONG = 1, NEW_MESSAGE = 4, UPDATE_MESSAGE = 7 };

static void reply_json(struct channel_reply *out, json_t *j)
{
	auto_free char *text = json_dumps(j, JSON_COMPACT);
	buf_add_str(&out->body, text);
	json_decref(j);
}

static void remember(const struct interaction *i, struct channel_reply *out)
{
	struct interaction *kept = arena_alloc(&out->arena, sizeof(*kept));
	assert(kept);
	*kept = *i;
	out->give = true;
	out->in = (struct answer_in){.token = kept->value, .kind = "discord", .sender = kept->user};
}

int discord_receive(const struct channel *c, const struct channel_request *in,
		    struct channel_reply *out, struct why *out_why)
{
	const struct discord *d = c->settings;
	const struct interaction_request r = {
		.timestamp = in->header(in->ctx, "X-Signature-Timestamp"),
		.signature = in->header(in->ctx, "X-Signature-Ed25519"),
		.body = in->body,
		.len = in->body_len,
		.now_ms = in->now_ms,
	};
	struct interaction i;
	if (!d->clicks || !str_eq(in->method, "POST"))
		return why_set(out_why, ERR_NOT_FOUND, "no public_key: no clicks");
	int rc = discord_verify(&r, d->public_key, out_why);
	if (!rc)
		rc = discord_interaction(in->body, in->body_len, &i, out_why);
	if (!rc && i.kind == INTERACTION_CLICK)
		rc = interaction_is_new(d->seen, i.id, in->now_ms, out_why);
	if (rc)
		return rc;
	if (i.kind == INTERACTION_CLICK)
		remember(&i, out);
	else if (i.kind == INTERACTION_PING)
		reply_json(out, json_pack("{s:i}", "type", PONG));
	else
		rc = why_set(out_why, ERR_INVALID, "type: neither a ping nor a button");
	return rc;
}

/* Between fences; false when it does not fit a message's content. */
static bool settled_text(const char *text, struct buf *out)
{
	buf_add_str(out, "```\n");
	chat_fence_text(out, text, false);
	buf_add_str(out, "\n```");
	return out->len <= DISCORD_CONTENT_MAX;
}

/* Only who pressed the button sees it. */
static json_t *told(const char *text)
{
	Healbus__Notice n = HEALBUS__NOTICE__INIT;
	const struct chat_message m = {.notice = &n};
	auto_parts parts = {0};
	n.subject = (char *)"";
	n.text = (char *)text;
	discord_parts(&m, 1, &parts);
	json_object_set_new(parts.items[0], "flags", json_integer(DISCORD_EPHEMERAL));
	return json_pack("{s:i, s:O}", "type", NEW_MESSAGE, "data", parts.items[0]);
}

/* What is settled loses its buttons and says how, for everybody. */
void discord_answered(const struct channel *c UNUSED, const struct answer_out *what,
		      struct channel_reply *reply)
{
	auto_buf text = {0};
	if (!what->settled || !settled_text(buf_str(&what->text), &text))
		reply_json(reply, told(buf_str(&what->text)));
	else
		reply_json(reply, json_pack("{s:i, s:{s:s, s:[], s:{s:[]}}}", "type",
					    UPDATE_MESSAGE, "data", "content", buf_str(&text),
					    "components", "allowed_mentions", "parse"));
}
