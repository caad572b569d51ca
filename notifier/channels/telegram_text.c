#include "notifier/channels/fit.h"
#include "notifier/channels/telegram.h"

enum { MARK_MAX = 64 };

static const char cut_mark[] = "\n(cut; healctl story shows all)";

void telegram_parts_release(struct telegram_parts *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->items[i].text);
	*p = (struct telegram_parts){0};
}

/* Telegram drops white space at both ends, and with it where our entities begin and end. */
static char *trimmed(const char *s, size_t len)
{
	while (len && strchr(" \t\r\n", s[len - 1]))
		len--;
	while (len && strchr(" \t\r\n", *s)) {
		s++;
		len--;
	}
	return mem_dup(s, len);
}

static void part_add(struct telegram_parts *out, const char *s, size_t len, size_t head)
{
	char *text = trimmed(s, len);
	if (!*text && !out->n) {
		free(text);
		text = mem_strdup("(empty)");
	}
	if (!*text) {
		free(text);
		return;
	}
	out->items[out->n++] = (struct telegram_part){text, head};
}

static void number_parts(struct telegram_parts *p, bool cut)
{
	for (size_t i = 0; p->n > 1 && i < p->n; i++) {
		char *old = p->items[i].text;
		bool last = i == p->n - 1;
		p->items[i].text = mem_printf("%s\n(%zu of %zu)%s", old, i + 1, p->n,
					      last && cut ? cut_mark : "");
		free(old);
	}
}

void telegram_split(const char *subject, const char *text, struct telegram_parts *out)
{
	auto_buf line = {0}, all = {0};
	buf_add_printable(&line, subject, strcspn(subject, "\n"));
	auto_free char *head = trimmed(buf_str(&line), line.len);
	size_t head_units = fit_units(head, strlen(head), FIT_UTF16);
	buf_printf(&all, "%s%s", head, *head ? "\n" : "");
	buf_add_printable(&all, text, strlen(text));
	const char *at = buf_str(&all), *end = at + all.len;
	while (at < end && out->n < TELEGRAM_PARTS_MAX) {
		size_t len = fit_part(at, (size_t)(end - at), TELEGRAM_TEXT_MAX - MARK_MAX);
		part_add(out, at, len, at == buf_str(&all) ? head_units : 0);
		at += len;
	}
	if (!out->n)
		part_add(out, "", 0, 0);
	number_parts(out, at < end);
}

/* ---- bodies ---- */

static json_t *button(const struct channel_job *job, const char *label, enum answer_what what)
{
	const Healbus__Notice *n = job->notice;
	char token[TOKEN_TEXT];
	bool of_approval = what == ANSWER_APPROVE || what == ANSWER_DENY || what == ANSWER_INFO;
	struct token_claim claim = {
		.what = what,
		.subject = of_approval ? n->approval : n->incident,
		.channel = job->channel->name,
	};
	token_make(job->tokens, &claim, token);
	return json_pack("{s:s,s:s}", "text", label, "callback_data", token);
}

json_t *telegram_keyboard(const struct channel_job *job)
{
	const Healbus__Notice *n = job->notice;
	json_t *row;
	bool open = n->approval && *n->approval && !job->decision;
	if (!job->tokens)
		return NULL;
	if (str_eq(n->kind, "approval") && open)
		row = json_pack("[o,o,o]", button(job, "\xe2\x9c\x85 Approve", ANSWER_APPROVE),
				button(job, "\xe2\x9b\x94 Deny", ANSWER_DENY),
				button(job, "More info", ANSWER_INFO));
	else if (str_eq(n->kind, "feedback"))
		row = json_pack("[o,o]", button(job, "It held", ANSWER_HELD),
				button(job, "It did not", ANSWER_NOT_HELD));
	else if (str_eq(n->kind, "escalated"))
		row = json_pack("[o]", button(job, "I take it", ANSWER_ACK));
	else
		return NULL;
	return json_pack("{s:[o]}", "inline_keyboard", row);
}

/* A number as such: Telegram takes both, and names must begin with "@". */
static json_t *chat_json(const char *chat)
{
	char *end = NULL;
	errno = 0;
	long long id = strtoll(chat, &end, 10);
	return errno || *end || !*chat ? json_string(chat) : json_integer(id);
}

static json_t *entity(const char *type, size_t offset, size_t length)
{
	return json_pack("{s:s,s:I,s:I}", "type", type, "offset", (json_int_t)offset, "length",
			 (json_int_t)length);
}

static json_t *entities(const struct telegram_part *part)
{
	json_t *all = json_array();
	size_t units = fit_units(part->text, strlen(part->text), FIT_UTF16);
	size_t from = part->head ? part->head + 1 : 0;
	if (part->head)
		json_array_append_new(all, entity("code", 0, part->head));
	if (units > from)
		json_array_append_new(all, entity("pre", from, units - from));
	return all;
}

static json_t *no_buttons(void)
{
	return json_pack("{s:[]}", "inline_keyboard");
}

json_t *telegram_message(const char *chat, const struct telegram_part *part, json_t *keyboard,
			 int64_t reply_to)
{
	json_t *body =
		json_pack("{s:o,s:s,s:o,s:{s:b}}", "chat_id", chat_json(chat), "text", part->text,
			  "entities", entities(part), "link_preview_options", "is_disabled", 1);
	if (keyboard)
		json_object_set_new(body, "reply_markup", keyboard);
	if (reply_to)
		json_object_set_new(body, "reply_parameters",
				    json_pack("{s:I,s:b}", "message_id", (json_int_t)reply_to,
					      "allow_sending_without_reply", 1));
	return body;
}

json_t *telegram_edit(const char *chat, int64_t message, const struct telegram_part *part)
{
	return json_pack("{s:o,s:I,s:s,s:o,s:{s:b},s:o}", "chat_id", chat_json(chat), "message_id",
			 (json_int_t)message, "text", part->text, "entities", entities(part),
			 "link_preview_options", "is_disabled", 1, "reply_markup", no_buttons());
}

json_t *telegram_bare(const char *chat, int64_t message)
{
	return json_pack("{s:o,s:I,s:o}", "chat_id", chat_json(chat), "message_id",
			 (json_int_t)message, "reply_markup", no_buttons());
}

json_t *telegram_answer(const char *callback, const char *text, bool alert)
{
	auto_buf shown = {0}, fitted = {0};
	buf_add_printable(&shown, text, strlen(text));
	fit_add(&fitted, buf_str(&shown), TELEGRAM_ANSWER_MAX, "\xe2\x80\xa6");
	return json_pack("{s:s,s:s,s:b}", "callback_query_id", callback, "text", buf_str(&fitted),
			 "show_alert", alert);
}

/* ---- refs ---- */

void telegram_ref(int64_t first, int64_t last, char out[static CHANNEL_REF_MAX + 1])
{
	if (first == last)
		snprintf(out, CHANNEL_REF_MAX + 1, "%" PRId64, first);
	else
		snprintf(out, CHANNEL_REF_MAX + 1, "%" PRId64 ":%" PRId64, first, last);
}

bool telegram_ref_read(const char *ref, int64_t *out_first, int64_t *out_last)
{
	long long first, last;
	int n = ref ? sscanf(ref, "%19lld:%19lld", &first, &last) : 0;
	if (n < 1 || first <= 0)
		return false;
	*out_first = first;
	*out_last = n == 2 && last > 0 ? last : first;
	return true;
}

/* ---- updates ---- */

static int64_t integer_at(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static void read_sender(const json_t *o, const json_t *message, struct telegram_update *out)
{
	const json_t *from = json_object_get(o, "from");
	out->from = integer_at(from, "id");
	out->from_bot = json_is_true(json_object_get(from, "is_bot"));
	out->chat = integer_at(json_object_get(message, "chat"), "id");
	out->message = integer_at(message, "message_id");
}

static void read_button(const json_t *press, struct telegram_update *out)
{
	read_sender(press, json_object_get(press, "message"), out);
	out->callback = json_string_value(json_object_get(press, "id"));
	out->text = json_string_value(json_object_get(press, "data"));
	if (out->callback && out->text && strlen(out->text) <= TELEGRAM_DATA_MAX)
		out->kind = TELEGRAM_BUTTON;
}

/* A message in the name of a group or channel has nobody who could be asked for his rights. */
static void read_message(const json_t *message, struct telegram_update *out)
{
	read_sender(message, message, out);
	out->text = json_string_value(json_object_get(message, "text"));
	bool as_chat = json_object_get(message, "sender_chat") != NULL;
	bool forwarded = json_object_get(message, "forward_origin") != NULL;
	if (out->text && *out->text == '/' && !as_chat && !forwarded)
		out->kind = TELEGRAM_COMMAND;
}

int telegram_update_read(const json_t *update, struct telegram_update *out, struct why *out_why)
{
	struct telegram_update u = {.id = integer_at(update, "update_id")};
	const json_t *press = json_object_get(update, "callback_query");
	const json_t *message = json_object_get(update, "message");
	if (u.id <= 0)
		return why_set(out_why, ERR_INVALID, "update_id: missing");
	if (press)
		read_button(press, &u);
	else if (message)
		read_message(message, &u);
	if (!u.from || !u.chat || u.from_bot)
		u.kind = TELEGRAM_OTHER;
	*out = u;
	return 0;
}
