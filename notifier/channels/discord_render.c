#include "notifier/channels/discord_render.h"

static const char fence[] = "```";
enum { FENCES_BYTES = 8, MORE_BYTES = 100 };

/* What Discord could read as formatting gets a backslash; @ cannot, so mentions are switched off.
 */
static void add_title(json_t *embed, const char *subject, struct buf *text)
{
	auto_buf line = {0}, title = {0};
	bool cut = chat_line(&line, subject, DISCORD_TITLE_MAX / 2, false);
	for (const char *p = buf_str(&line); *p; p++) {
		if (strchr("\\*_~`|>#[]()<:-", *p))
			buf_add_char(&title, '\\');
		buf_add_char(&title, *p);
	}
	json_object_set_new(embed, "title", json_string(buf_str(&title)));
	if (!cut)
		return;
	chat_fence_text(text, subject, false);
	buf_add_char(text, '\n');
}

static void set_description(json_t *embed, const char *s, size_t len, const char *more)
{
	auto_buf text = {0};
	buf_printf(&text, "%s\n", fence);
	buf_add(&text, s, len);
	if (len && s[len - 1] != '\n')
		buf_add_char(&text, '\n');
	buf_printf(&text, "%s%s", fence, more);
	json_object_set_new(embed, "description", json_string(buf_str(&text)));
}

/* One message's worth from s on; behind the last that may be, where the rest is. */
static size_t add_piece(json_t *embed, const char *s, size_t len, const Healbus__Notice *more_of)
{
	size_t room = DISCORD_DESCRIPTION_MAX - FENCES_BYTES;
	auto_buf more = {0};
	size_t n = chat_piece(s, len, room);
	if (n < len && more_of) {
		n = chat_piece(s, len, room - MORE_BYTES);
		buf_add_char(&more, '\n');
		chat_more(&more, more_of, s + n);
		set_description(embed, s, n, buf_str(&more));
		return len;
	}
	set_description(embed, s, n, "");
	return n;
}

static json_t *part_new(const Healbus__Notice *n)
{
	json_t *embed = json_pack("{s:i}", "color", (int)chat_color(n->kind));
	return json_pack("{s:[o], s:[], s:{s:[]}}", "embeds", embed, "components",
			 "allowed_mentions", "parse");
}

static void add_buttons(json_t *part, const struct chat_message *m)
{
	static const int styles[] = {[CHAT_PLAIN] = 2, [CHAT_GOOD] = 3, [CHAT_BAD] = 4};
	json_t *row = json_array();
	for (size_t i = 0; i < m->n_buttons && i < CHAT_BUTTONS_MAX; i++) {
		const struct chat_button *b = &m->buttons[i];
		json_array_append_new(row, json_pack("{s:i, s:i, s:s, s:s}", "type", 2, "style",
						     styles[b->style], "label", b->label,
						     "custom_id", b->value));
	}
	json_array_append_new(json_object_get(part, "components"),
			      json_pack("{s:i, s:o}", "type", 1, "components", row));
}

/* The one place where somebody is mentioned, and nobody else is. */
static void add_mentions(json_t *part, const struct chat_message *m)
{
	auto_buf text = {0};
	json_t *users = json_array();
	chat_mentions(&text, m);
	for (size_t i = 0; i < m->n_mentions; i++)
		json_array_append_new(users, json_string(m->mentions[i]));
	json_object_set_new(part, "content", json_string(buf_str(&text)));
	json_object_set_new(json_object_get(part, "allowed_mentions"), "users", users);
}

static json_t *embed_of(const struct chat_parts *p, size_t i)
{
	return json_array_get(json_object_get(p->items[i], "embeds"), 0);
}

static void add_footers(struct chat_parts *p, const Healbus__Notice *n)
{
	for (size_t i = 0; i < p->n && (*n->subject || p->n > 1); i++) {
		auto_buf footer = {0};
		chat_footer(&footer, n, i, p->n);
		json_object_set_new(embed_of(p, i), "footer",
				    json_pack("{s:s}", "text", buf_str(&footer)));
	}
}

void discord_parts(const struct chat_message *m, size_t parts_max, struct chat_parts *out)
{
	const Healbus__Notice *n = m->notice;
	auto_buf text = {0};
	out->items[out->n++] = part_new(n);
	if (*n->subject)
		add_title(embed_of(out, 0), n->subject, &text);
	chat_fence_text(&text, n->text, false);
	if (!text.len)
		json_object_set_new(embed_of(out, 0), "description", json_string("(no text)"));
	for (size_t at = 0; at < text.len;) {
		json_t *embed = embed_of(out, out->n - 1);
		at += add_piece(embed, text.data + at, text.len - at,
				out->n == parts_max ? n : NULL);
		if (at < text.len)
			out->items[out->n++] = part_new(n);
	}
	if (m->n_mentions)
		add_mentions(out->items[out->n - 1], m);
	if (m->n_buttons)
		add_buttons(out->items[out->n - 1], m);
	add_footers(out, n);
}
