/*
 * Telegram's Bot API, taken apart: what is sent as JSON bodies, what comes in as updates. Pure but
 * for telegram_call. Texts go as they are, in entities `code` and `pre`: nothing in them is markup,
 * a link, a mention or a command that one could tap. Source: https://core.telegram.org/bots/api
 */
#ifndef NOTIFIER_CHANNELS_TELEGRAM_H
#define NOTIFIER_CHANNELS_TELEGRAM_H

#include "notifier/channels/channel.h"

#include <jansson.h>

enum {
	TELEGRAM_TEXT_MAX = 4096,  /* UTF-16 units of a message */
	TELEGRAM_ANSWER_MAX = 200, /* characters of what a press of a button shows */
	TELEGRAM_DATA_MAX = 64,    /* bytes behind a button */
	TELEGRAM_PARTS_MAX = 8,    /* messages that one notice may become */
	TELEGRAM_POLL_S = 4,       /* how long getUpdates waits */
	TELEGRAM_UPDATES_MAX = 50, /* at a time */
};

#define TELEGRAM_API "https://api.telegram.org"

enum telegram_mode { TELEGRAM_SEND_ONLY, TELEGRAM_POLL, TELEGRAM_WEBHOOK };

struct telegram_inbox;

/* A channel's settings. */
struct telegram {
	char *token_file;
	char *chat_id; /* a number, or "@name" of a public channel */
	char *api_url;
	char *ca_file;
	char *secret_file; /* of the webhook */
	enum telegram_mode mode;
	struct telegram_inbox *inbox; /* what changes; see telegram_inbox.h */
};

/* ---- texts ---- */

struct telegram_part {
	char *text;
	size_t head; /* UTF-16 units of the headline at its beginning; 0: none */
};

struct telegram_parts {
	struct telegram_part items[TELEGRAM_PARTS_MAX];
	size_t n;
};
void telegram_parts_release(struct telegram_parts *p);
#define auto_telegram_parts __attribute__((cleanup(telegram_parts_release))) struct telegram_parts

/* Cuts at lines where it can; each part says which of how many it is, and the last one when there
 * would be more than TELEGRAM_PARTS_MAX that it is cut. subject may be "". At least one part. */
void telegram_split(const char *subject, const char *text, struct telegram_parts *out);

/* ---- requests' bodies: new references ---- */

/* Buttons below a message: one row for each answer. NULL: none fit the notice. */
json_t *telegram_keyboard(const struct channel_job *job);
/* sendMessage; the reference to keyboard is taken and may be NULL; reply_to 0: none. */
json_t *telegram_message(const char *chat, const struct telegram_part *part, json_t *keyboard,
			 int64_t reply_to);
/* editMessageText; takes buttons off. */
json_t *telegram_edit(const char *chat, int64_t message, const struct telegram_part *part);
/* editMessageReplyMarkup that takes buttons off. */
json_t *telegram_bare(const char *chat, int64_t message);
/* answerCallbackQuery */
json_t *telegram_answer(const char *callback, const char *text, bool alert);

/* What out_ref of one notice is, "first" or "first:last" of its messages. */
void telegram_ref(int64_t first, int64_t last, char out[static CHANNEL_REF_MAX + 1]);
bool telegram_ref_read(const char *ref, int64_t *out_first, int64_t *out_last);

/* ---- updates ---- */

enum telegram_kind { TELEGRAM_OTHER, TELEGRAM_BUTTON, TELEGRAM_COMMAND };

/* Borrows from the update. */
struct telegram_update {
	int64_t id;
	enum telegram_kind kind;
	bool from_bot;
	int64_t from;
	int64_t chat;
	int64_t message;      /* the one with the button, or the command itself */
	const char *callback; /* id of a press, for telegram_answer */
	const char *text;     /* the button's data, or the command's text */
};

/* ERR_INVALID: no update. What is not for us is TELEGRAM_OTHER with its id. */
int telegram_update_read(const json_t *update, struct telegram_update *out, struct why *out_why);

/* ---- calls ---- */

/* One call; out_result (may be NULL) is a new reference to what it gave. 429 is ERR_BUSY with
 * parameters.retry_after in *out_retry_ms; "message is not modified" is no error. */
struct telegram_call {
	const struct telegram *bot;
	struct http_client *http;
	int64_t timeout_ms;
	int64_t *out_retry_ms;
};
int telegram_call(const struct telegram_call *call, const char *method, const json_t *body,
		  json_t **out_result, struct why *out_why);

#endif
