#include "notifier/channels/telegram_poll.h"

#include "common/log.h"
#include "common/metrics.h"
#include "common/secret.h"
#include "notifier/channels/telegram.h"
#include "notifier/channels/telegram_inbox.h"
#include "notifier/order.h"
#include "notifier/config.h"

#define SECRET_HEADER "X-Telegram-Bot-Api-Secret-Token"

enum {
	ANSWER_TRIES = 3,
	RETRY_MAX_MS = 3000,
	STAND_BY_MS = 1000,
	ROUND_MS = TELEGRAM_POLL_S * 1000
};

static struct metric updates =
	METRIC_COUNTER("healbus_telegram_updates_total",
		       "What came from Telegram, by what became of it.", "channel", "result");

struct polling {
	struct http_client *http;
	int sole; /* lock of the one that asks; -1 */
};

/* One update being worked on. */
struct turn {
	struct stage *stage;
	const struct channel *channel;
	const struct telegram *bot;
	struct http_client *http;
	const struct telegram_update *update;
	char sender[24]; /* from, as people: has it */
};

static void count(const struct turn *t, const char *result)
{
	metric_add(&updates, 1, t->channel->name, result);
}

/* ---- answering ---- */

/* Takes the reference to body. What cannot be said is logged: the deed is done all the same. */
static void tell(const struct turn *t, const char *method, json_t *body)
{
	struct why why = {0};
	int rc = ERR_BUSY;
	for (int i = 0; i < ANSWER_TRIES && err_class(rc) == ERR_CLASS_TRANSIENT; i++) {
		int64_t retry_ms = 0;
		struct telegram_call call = {t->bot, t->http, t->channel->timeout_ms, &retry_ms};
		rc = telegram_call(&call, method, body, NULL, &why);
		bool again = rc && err_class(rc) == ERR_CLASS_TRANSIENT && i + 1 < ANSWER_TRIES;
		if (again && stage_sleep(t->stage, MIN(MAX(retry_ms, 200), RETRY_MAX_MS)))
			break;
	}
	json_decref(body);
	if (rc)
		LOG(WARN, "telegram: could not answer", S("channel", t->channel->name),
		    S("method", method), S("reason", why.text));
}

static void tell_text(const struct turn *t, const char *text)
{
	auto_telegram_parts parts = {0};
	telegram_split("", text, &parts);
	for (size_t i = 0; i < parts.n; i++)
		tell(t, "sendMessage",
		     telegram_message(t->bot->chat_id, &parts.items[i], NULL, t->update->message));
}

/* What is too long for the note that a press shows is said in the chat as well. */
static void press_answer(const struct turn *t, const char *text, bool alert)
{
	tell(t, "answerCallbackQuery", telegram_answer(t->update->callback, text, alert));
}

static bool fits_note(const struct buf *text)
{
	return text->len <= TELEGRAM_ANSWER_MAX;
}

static void on_button(const struct turn *t)
{
	auto_answer out = {0};
	struct why why = {0};
	struct answer_in in = {
		.token = t->update->text,
		.kind = "telegram",
		.sender = t->sender,
		.channel = t->channel->name,
	};
	int rc = answer_give(t->stage, &in, &out, &why);
	const char *text = out.text.len ? buf_str(&out.text) : why.text;
	count(t, rc ? "refused" : "pressed");
	if (rc || fits_note(&out.text)) {
		press_answer(t, text, rc != 0);
	} else {
		press_answer(t, "see below", false);
		tell_text(t, text);
	}
	if (out.settled)
		tell(t, "editMessageReplyMarkup",
		     telegram_bare(t->bot->chat_id, t->update->message));
}

static void on_command(const struct turn *t)
{
	auto_buf text = {0};
	struct why why = {0};
	struct order_in in = {
		.text = t->update->text,
		.kind = "telegram",
		.sender = t->sender,
		.channel = t->channel->name,
	};
	int rc = order_give(t->stage, &in, &text, &why);
	count(t, rc ? "refused" : "commanded");
	tell_text(t, rc ? why.text : buf_str(&text));
}

static bool is_our_chat(const struct turn *t)
{
	auto_free char *chat = mem_printf("%" PRId64, t->update->chat);
	return str_eq(chat, t->bot->chat_id);
}

/* ERR_IO: it could not be noted, and was not done. */
static int turn_take(struct turn *t, struct why *out_why)
{
	int rc = telegram_inbox_take(t->bot->inbox, t->update->id, out_why);
	if (rc == ERR_EXISTS) {
		count(t, "repeated");
		return 0;
	}
	if (rc)
		return rc;
	snprintf(t->sender, sizeof(t->sender), "%" PRId64, t->update->from);
	if (t->update->kind == TELEGRAM_OTHER) {
		count(t, "ignored");
	} else if (!is_our_chat(t)) {
		count(t, "other_chat");
		LOG(WARN, "telegram: refused, from another chat", S("channel", t->channel->name),
		    I("chat", t->update->chat), S("from", t->sender));
		if (t->update->kind == TELEGRAM_BUTTON)
			press_answer(t, "This chat is not one that healbus listens to.", true);
	} else if (t->update->kind == TELEGRAM_BUTTON) {
		on_button(t);
	} else {
		on_command(t);
	}
	return 0;
}

static int update_work(struct stage *s, const struct channel *c, const struct polling *p,
		       const json_t *json, struct why *out_why)
{
	struct telegram_update update;
	struct turn t = {
		.stage = s,
		.channel = c,
		.bot = c->settings,
		.http = p->http,
		.update = &update,
	};
	if (telegram_update_read(json, &update, out_why)) {
		count(&t, "invalid");
		return 0;
	}
	return turn_take(&t, out_why);
}

/* ---- where they come from ---- */

static int ask(struct stage *s, const struct channel *c, const struct polling *p,
	       struct why *out_why)
{
	const struct telegram *bot = c->settings;
	int64_t retry_ms = 0;
	json_t *result = NULL, *one;
	size_t i;
	struct telegram_call call = {bot, p->http, ROUND_MS + c->timeout_ms, &retry_ms};
	json_t *body = json_pack("{s:I,s:i,s:i,s:[s,s]}", "offset",
				 (json_int_t)telegram_inbox_offset(bot->inbox), "limit",
				 TELEGRAM_UPDATES_MAX, "timeout", TELEGRAM_POLL_S,
				 "allowed_updates", "message", "callback_query");
	int rc = telegram_call(&call, "getUpdates", body, &result, out_why);
	json_decref(body);
	if (rc && retry_ms)
		stage_sleep(s, MIN(retry_ms, RETRY_MAX_MS));
	json_array_foreach(result, i, one)
	{
		if (!rc && !stage_stopping(s))
			rc = update_work(s, c, p, one, out_why);
	}
	json_decref(result);
	return rc;
}

static int work_inbox(struct stage *s, const struct channel *c, const struct polling *p,
		      struct why *out_why)
{
	const struct telegram *bot = c->settings;
	auto_free char *text = telegram_inbox_get(bot->inbox, 500);
	if (!text)
		return 0;
	json_t *json = json_loads(text, 0, NULL);
	int rc = update_work(s, c, p, json, out_why);
	json_decref(json);
	return rc;
}

static int inbox_open(struct stage *s, const struct channel *c, struct why *out_why)
{
	const struct telegram *bot = c->settings;
	const struct notifier_config *config = stage_config_get(s);
	/* Who asks next goes on where the one before was; what is posted to us is our own. */
	auto_free char *path = mem_printf("%s/telegram-%s.seen",
					  bot->mode == TELEGRAM_POLL ? config->stage.shared_dir
								     : config->stage.state_dir,
					  c->name);
	stage_config_put(s, config);
	return telegram_inbox_open(bot->inbox, path, out_why);
}

/* Telegram lets one ask; another, who stands by, asks when that one has ended. */
static bool is_asker(struct stage *s, const struct channel *c, struct polling *p)
{
	auto_free char *what = mem_printf("telegram-%s", c->name);
	return stage_is_sole(s, what, &p->sole);
}

int telegram_poll(struct stage *s, const struct channel *c, void **io_state, struct why *out_why)
{
	const struct telegram *bot = c->settings;
	struct polling *p = *io_state;
	int rc = 0;
	if (!p) {
		p = *io_state = mem_alloc(sizeof(*p));
		p->sole = -1;
		rc = http_client_new(&p->http);
	}
	if (!rc && bot->mode == TELEGRAM_POLL && !is_asker(s, c, p)) {
		stage_sleep(s, STAND_BY_MS);
		return 0;
	}
	if (!rc)
		rc = inbox_open(s, c, out_why);
	if (rc)
		return rc;
	return bot->mode == TELEGRAM_POLL ? ask(s, c, p, out_why) : work_inbox(s, c, p, out_why);
}

void telegram_poll_end(void *state)
{
	struct polling *p = state;
	if (!p)
		return;
	http_client_free(p->http);
	if (p->sole >= 0)
		close(p->sole);
	free(p);
}

int telegram_receive(const struct channel *c, const struct channel_request *in,
		     struct channel_reply *out, struct why *out_why)
{
	const struct telegram *bot = c->settings;
	const char *given = in->header(in->ctx, SECRET_HEADER);
	auto_secret secret = {0};
	if (bot->mode != TELEGRAM_WEBHOOK || !str_eq(in->method, "POST"))
		return why_set(out_why, ERR_NOT_FOUND, "this channel takes no such request");
	int rc = secret_read(&secret, bot->secret_file, out_why);
	if (rc)
		return rc;
	if (!given || !secret_equal(&secret, given, strlen(given)))
		return why_set(out_why, ERR_UNAUTHENTICATED, "wrong or missing " SECRET_HEADER);
	json_t *json = json_loadb(in->body, in->body_len, 0, NULL);
	struct telegram_update update;
	rc = telegram_update_read(json, &update, out_why);
	json_decref(json);
	if (!rc)
		rc = telegram_inbox_put(bot->inbox, in->body, in->body_len);
	if (rc == ERR_BUSY)
		why_set(out_why, rc, "too many updates wait");
	if (!rc)
		buf_add_str(&out->body, "{}");
	return rc;
}
