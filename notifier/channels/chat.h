/*
 * What the chats (Slack, Discord) share: the words of a message as lines nobody can lie in, cut
 * into pieces that the vendor takes, with the buttons under the last. Pure, but for chat_call.
 */
#ifndef NOTIFIER_CHAT_H
#define NOTIFIER_CHAT_H

#include "notifier/channels/channel.h"

#include <jansson.h>

enum {
	CHAT_PARTS_MAX = 8, /* messages a notice may become; more is pointed to */
	CHAT_BUTTONS_MAX = 5,
	CHAT_MENTIONS_MAX = 16,
	CHAT_ID_SHOWN = 8,
	CHAT_ERROR_MAX = 200,
};

enum chat_style { CHAT_PLAIN, CHAT_GOOD, CHAT_BAD };

struct chat_button {
	const char *id; /* what it does: approve, deny, info, held, not_held */
	const char *label;
	const char *value; /* the token */
	enum chat_style style;
};

struct chat_message {
	const Healbus__Notice *notice;
	const struct chat_button *buttons;
	size_t n_buttons;
	bool confirm; /* saying yes is asked for twice */
	/* Who is called, by their ids at the vendor: letters and digits. */
	const char *const *mentions;
	size_t n_mentions;
};

/* One message of several, as what the vendor's API takes but for where it goes. */
struct chat_parts {
	json_t *items[CHAT_PARTS_MAX];
	size_t n;
};
void chat_parts_release(struct chat_parts *p);
#define auto_parts __attribute__((cleanup(chat_parts_release))) struct chat_parts

/*
 * The text as it goes between ``` fences: printable, without a fence of its own, and for Slack with
 * & < > as entities. Nothing in a fence is formatted, linked or a mention.
 */
void chat_fence_text(struct buf *out, const char *s, bool entities);
/* Printable, but for the rest as it is. */
void chat_plain_text(struct buf *out, const char *s, bool entities);
/* How many of the bytes to take so that at most max are taken (max >= 16): up to the last line's
 * end, else up to a character's, never inside an entity. 0 only when len is 0. */
size_t chat_piece(const char *s, size_t len, size_t max);
/* One line of at most max bytes, entities and all, what is left out shown as an ellipsis; true when
 * something was. */
bool chat_line(struct buf *out, const char *s, size_t max, bool entities);
/* "3 more lines: healctl story abcd1234": for what did not fit. */
void chat_more(struct buf *out, const Healbus__Notice *n, const char *left);
/* "incident abcd1234 · 2/3" */
void chat_footer(struct buf *out, const Healbus__Notice *n, size_t part, size_t n_parts);
/* "<@U1> <@U2>": what calls people at either vendor. */
void chat_mentions(struct buf *out, const struct chat_message *m);
/* 0xrrggbb that goes with a kind of notice. */
unsigned chat_color(const char *kind);

/*
 * Calls, and reads the answer as JSON (NULL when it is none). 0 for 2xx, else as http_status_err
 * with what the peer said, made printable; *out_retry_ms from Retry-After or, in JSON, retry_after
 * (seconds). The caller's: *out_answer.
 */
int chat_call(struct http_client *http, const struct http_call *call, json_t **out_answer,
	      int64_t *out_retry_ms, struct why *out_why);

static inline void chat_json_cleanup(json_t **j)
{
	json_decref(*j);
}
#define auto_json __attribute__((cleanup(chat_json_cleanup))) json_t

#endif
