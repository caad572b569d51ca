#include "notifier/channels/slack_render.h"

#include "common/clock.h"

static const char fence[] = "```";
enum { FENCES_BYTES = 8 }; /* two, each with its newline */

static json_t *text_of(const char *type, const char *s)
{
	json_t *t = json_pack("{s:s, s:s}", "type", type, "text", s);
	if (str_eq(type, "plain_text"))
		json_object_set_new(t, "emoji", json_false());
	else
		json_object_set_new(t, "verbatim", json_true());
	return t;
}

static json_t *section(const char *type, const char *s)
{
	return json_pack("{s:s, s:o}", "type", "section", "text", text_of(type, s));
}

static json_t *fenced(const char *s, size_t len)
{
	auto_buf text = {0};
	buf_printf(&text, "%s\n", fence);
	buf_add(&text, s, len);
	if (len && s[len - 1] != '\n')
		buf_add_char(&text, '\n');
	buf_add_str(&text, fence);
	return section("mrkdwn", buf_str(&text));
}

/* ---- the blocks around the text ---- */

static void add_header(json_t *blocks, const char *subject)
{
	auto_buf title = {0};
	bool cut = chat_line(&title, subject, SLACK_HEADER_MAX, true);
	json_array_append_new(blocks, json_pack("{s:s, s:o}", "type", "header", "text",
						text_of("plain_text", buf_str(&title))));
	if (!cut)
		return;
	auto_buf whole = {0};
	chat_fence_text(&whole, subject, true);
	whole.len = chat_piece(buf_str(&whole), whole.len, SLACK_SECTION_MAX - FENCES_BYTES);
	json_array_append_new(blocks, fenced(buf_str(&whole), whole.len));
}

static void add_field(json_t *fields, const char *name, const char *value)
{
	auto_buf text = {0};
	buf_printf(&text, "%s: ", name);
	chat_line(&text, value, 200, true);
	json_array_append_new(fields, text_of("plain_text", buf_str(&text)));
}

static void add_fields(json_t *blocks, const Healbus__ApprovalRequest *a)
{
	char at[TIME_TEXT_BYTES];
	json_t *fields = json_array();
	add_field(fields, "Level", wire_enum_name(&healbus__level__descriptor, (int)a->level));
	add_field(fields, "Answer before", time_format(a->deadline_ms, at));
	auto_buf digest = {0};
	buf_add_hex(&digest, a->plan_digest.data, MIN(a->plan_digest.len, (size_t)4));
	add_field(fields, "Plan digest", buf_str(&digest));
	json_array_append_new(blocks, json_pack("{s:s, s:o}", "type", "section", "fields", fields));
}

static json_t *confirm(void)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "title",
			 text_of("plain_text", "Approve a hard change?"), "text",
			 text_of("plain_text",
				 "Level hard: it may not be possible to take this back. Was the "
				 "whole plan read?"),
			 "confirm", text_of("plain_text", "Approve"), "deny",
			 text_of("plain_text", "Not yet"));
}

static json_t *button(const struct chat_button *b, bool ask)
{
	static const char *const styles[] = {
		[CHAT_PLAIN] = NULL, [CHAT_GOOD] = "primary", [CHAT_BAD] = "danger"};
	json_t *j = json_pack("{s:s, s:s, s:o, s:s}", "type", "button", "action_id", b->id, "text",
			      text_of("plain_text", b->label), "value", b->value);
	if (styles[b->style])
		json_object_set_new(j, "style", json_string(styles[b->style]));
	if (ask && b->style == CHAT_GOOD)
		json_object_set_new(j, "confirm", confirm());
	return j;
}

static void add_buttons(json_t *blocks, const struct chat_message *m)
{
	json_t *elements = json_array();
	for (size_t i = 0; i < m->n_buttons && i < CHAT_BUTTONS_MAX; i++)
		json_array_append_new(elements, button(&m->buttons[i], m->confirm));
	json_array_append_new(blocks,
			      json_pack("{s:s, s:o}", "type", "actions", "elements", elements));
}

/* The one place where something is a mention. */
static void add_mentions(json_t *blocks, const struct chat_message *m)
{
	auto_buf text = {0};
	chat_mentions(&text, m);
	json_array_append_new(blocks, section("mrkdwn", buf_str(&text)));
}

static void add_context(json_t *blocks, const Healbus__Notice *n, size_t part, size_t parts)
{
	auto_buf text = {0};
	chat_footer(&text, n, part, parts);
	json_array_append_new(blocks, json_pack("{s:s, s:[o]}", "type", "context", "elements",
						text_of("plain_text", buf_str(&text))));
}

/* ---- the text, cut into messages ---- */

/* The sections of one message from *io_at on, which moves. */
static void add_sections(json_t *blocks, const struct buf *text, size_t *io_at)
{
	for (int i = 0; i < SLACK_SECTIONS_MAX && *io_at < text->len; i++) {
		const char *s = text->data + *io_at;
		size_t n = chat_piece(s, text->len - *io_at, SLACK_SECTION_MAX - FENCES_BYTES);
		json_array_append_new(blocks, fenced(s, n));
		*io_at += n;
	}
}

static json_t *part_new(const Healbus__Notice *n, const struct buf *text)
{
	auto_buf fallback = {0};
	chat_line(&fallback, *n->subject ? n->subject : n->text, SLACK_FALLBACK_MAX, true);
	if (!fallback.len)
		buf_add_str(&fallback, text->len ? "healbus" : "(no text)");
	return json_pack("{s:s, s:[], s:s, s:b, s:b, s:b, s:b}", "text", buf_str(&fallback),
			 "blocks", "parse", "none", "link_names", 0, "mrkdwn", 0, "unfurl_links", 0,
			 "unfurl_media", 0);
}

void slack_parts(const struct chat_message *m, const Healbus__ApprovalRequest *approval,
		 struct chat_parts *out)
{
	const Healbus__Notice *n = m->notice;
	auto_buf text = {0};
	size_t at = 0;
	chat_fence_text(&text, n->text, true);
	do {
		json_t *part = part_new(n, &text), *blocks = json_object_get(part, "blocks");
		if (!out->n && *n->subject)
			add_header(blocks, n->subject);
		if (!out->n && approval)
			add_fields(blocks, approval);
		add_sections(blocks, &text, &at);
		out->items[out->n++] = part;
	} while (at < text.len && out->n < CHAT_PARTS_MAX);
	json_t *last = json_object_get(out->items[out->n - 1], "blocks");
	if (at < text.len) {
		auto_buf more = {0};
		chat_more(&more, n, text.data + at);
		json_array_append_new(last, section("plain_text", buf_str(&more)));
	}
	if (m->n_mentions)
		add_mentions(last, m);
	if (m->n_buttons)
		add_buttons(last, m);
	for (size_t i = 0; i < out->n && (*n->subject || out->n > 1); i++)
		add_context(json_object_get(out->items[i], "blocks"), n, i, out->n);
	if (!json_array_size(last))
		json_array_append_new(last, section("plain_text", "(no text)"));
}

void slack_plain_parts(const Healbus__Notice *n, struct chat_parts *out)
{
	auto_buf text = {0};
	size_t at = 0;
	chat_line(&text, n->subject, SLACK_FALLBACK_MAX, true);
	buf_add_char(&text, '\n');
	auto_buf body = {0};
	chat_plain_text(&body, n->text, true);
	buf_add(&text, buf_str(&body), body.len);
	while (at < text.len && out->n < CHAT_PARTS_MAX) {
		size_t len = chat_piece(text.data + at, text.len - at, SLACK_PLAIN_MAX);
		auto_buf piece = {0};
		buf_add(&piece, text.data + at, len);
		at += len;
		if (at < text.len && out->n + 1 == CHAT_PARTS_MAX)
			chat_more(&piece, n, text.data + at);
		out->items[out->n++] = json_pack("{s:s, s:b, s:b, s:b}", "text", buf_str(&piece),
						 "link_names", 0, "mrkdwn", 0, "unfurl_links", 0);
	}
}

/* ---- answers ---- */

/*
 * Slack refuses with status 200. What is not here is refused for good: the request itself is at
 * fault, and the notice's next channel is to have it.
 */
static const struct {
	const char *error;
	int rc;
} errors[] = {
	{"ratelimited", ERR_BUSY},
	{"rate_limited", ERR_BUSY},
	{"message_limit_exceeded", ERR_BUSY},
	{"internal_error", ERR_TIMEOUT}, /* Slack: some of it may have succeeded */
	{"fatal_error", ERR_TIMEOUT},
	{"service_unavailable", ERR_UNAVAILABLE},
	{"request_timeout", ERR_UNAVAILABLE},
	{"team_added_to_org", ERR_UNAVAILABLE},
	{"accesslimited", ERR_UNAVAILABLE},
	{"not_authed", ERR_UNAUTHENTICATED},
	{"invalid_auth", ERR_UNAUTHENTICATED},
	{"account_inactive", ERR_UNAUTHENTICATED},
	{"token_expired", ERR_UNAUTHENTICATED},
	{"token_revoked", ERR_UNAUTHENTICATED},
	{"missing_scope", ERR_DENIED},
	{"no_permission", ERR_DENIED},
	{"ekm_access_denied", ERR_DENIED},
	{"access_denied", ERR_DENIED},
	{"not_allowed_token_type", ERR_DENIED},
	{"message_not_found", ERR_NOT_FOUND},
	{"thread_not_found", ERR_NOT_FOUND},
	{"cant_update_message", ERR_NOT_FOUND},
	{"edit_window_closed", ERR_NOT_FOUND},
};

int slack_answer(const json_t *answer, struct why *out_why)
{
	if (json_is_true(json_object_get(answer, "ok")))
		return 0;
	const char *error = json_string_value(json_object_get(answer, "error"));
	if (!error)
		return why_set(out_why, ERR_UNAVAILABLE, "Slack: the answer is not Slack's");
	auto_buf said = {0};
	chat_line(&said, error, CHAT_ERROR_MAX, false);
	int rc = ERR_REJECTED;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (str_eq(errors[i].error, error))
			rc = errors[i].rc;
	return why_set(out_why, rc, "Slack: %s", buf_str(&said));
}
