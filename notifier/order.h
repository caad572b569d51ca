/*
 * Commands that people type in a chat: /status, /incidents, /story ID, /ack ID, /silence MATCHERS
 * DURATION, /pause, /resume, /help. Each does what the API's route does, for a person of `people:`
 * with the role that it takes; strangers are refused. Any thread but the fold's; blocks for a bus
 * request or two.
 */
#ifndef NOTIFIER_ORDER_H
#define NOTIFIER_ORDER_H

#include "common/buf.h"
#include "common/err.h"

struct stage;

enum { ORDER_TEXT_MAX = 4096, ORDER_SHOWN_MAX = 20 };

enum order_verb {
	ORDER_HELP,
	ORDER_STATUS,
	ORDER_INCIDENTS,
	ORDER_STORY,
	ORDER_ACK,
	ORDER_SILENCE,
	ORDER_PAUSE,
	ORDER_RESUME,
	ORDERS,
};

/* Points into the text that was parsed, or into `memory`. */
struct order {
	enum order_verb verb;
	char *id;       /* STORY, ACK */
	char *rest;     /* ACK, PAUSE, RESUME: why; SILENCE: the matchers; "" when there is none */
	char *duration; /* SILENCE */
	char *memory;
};

/* "/verb@bot arguments", one space or more between them. ERR_INVALID says how it is written.
 * Release in any case. */
int order_parse(const char *text, struct order *out, struct why *out_why);
void order_release(struct order *c);
#define auto_order __attribute__((cleanup(order_release))) struct order

/* Who says it: as in struct answer_in. */
struct order_in {
	const char *text;
	const char *kind, *sender; /* the sender's id, under this key of `people:` */
	const char *channel;
};

/* Does it and appends what to show: printable. Refused: why, in words for the person; counted as
 * healbus_commands_total. ERR_INVALID, ERR_DENIED, ERR_NOT_FOUND, ERR_CONFLICT, ERR_UNAVAILABLE. */
int order_give(struct stage *s, const struct order_in *in, struct buf *out_text,
	       struct why *out_why);

#endif
