/*
 * Single-use tokens for buttons and links. A token carries which question it answers and how, and a
 * MAC that only the notifiers of one state directory can make: HMAC-SHA256 over answer, question,
 * channel and, for links, the person it was sent to. It never carries the plan. Used is decided:
 * what the token answers can be answered once. Any thread.
 */
#ifndef NOTIFIER_TOKEN_H
#define NOTIFIER_TOKEN_H

#include "common/err.h"
#include "common/id.h"

enum answer_what {
	ANSWER_NONE,
	ANSWER_APPROVE,  /* an approval */
	ANSWER_DENY,     /* an approval */
	ANSWER_INFO,     /* an approval; may be asked again and again */
	ANSWER_ACK,      /* an incident */
	ANSWER_HELD,     /* an incident: what was repaired holds */
	ANSWER_NOT_HELD, /* an incident */
	ANSWERS,
};
/* "approve", "deny", "info", "ack", "held", "not_held"; NULL for another number. */
const char *answer_what_name(enum answer_what what);
enum answer_what answer_what_parse(const char *name); /* ANSWER_NONE for another word */

enum {
	TOKEN_MAC_LEN = 26, /* base32 of 130 bits */
	TOKEN_TEXT_MAX =
		64 - 1, /* Telegram's callback_data holds 64 bytes, Discord's custom_id 100 */
	TOKEN_TEXT = TOKEN_TEXT_MAX + 1,
	TOKEN_SUBJECT_SHOWN = 32, /* of a longer id only the beginning is in the token */
};

struct token_key;
/* Reads path, or makes it (0600, 32 random bytes in hex) when it is missing. Two that start at once
 * get the same. */
int token_key_load_or_create(const char *path, struct token_key **out, struct why *out_why);
/* From bytes in hand; for tests. */
struct token_key *token_key_new(const void *secret, size_t len);
void token_key_free(struct token_key *k);

/* What a token stands for. */
struct token_claim {
	enum answer_what what;
	const char *subject; /* approval id; for ACK, HELD and NOT_HELD the incident's */
	const char *channel; /* name in the configuration: a token works at its channel only */
	const char *person;  /* NULL: whoever presses the button is looked up */
};
/* Fills out with [a-z2-7A-Z0-9_.-] and returns it. */
const char *token_make(const struct token_key *key, const struct token_claim *claim,
		       char out[static TOKEN_TEXT]);
/* What the token says of itself, unproven: false when it is none. subject is the beginning of the
 * id, whole when it has at most TOKEN_SUBJECT_SHOWN characters. */
bool token_read(const char *token, enum answer_what *out_what,
		char out_subject[static TOKEN_SUBJECT_SHOWN + 1]);
/* Constant-time. */
bool token_proves(const struct token_key *key, const char *token, const struct token_claim *claim);

#endif
