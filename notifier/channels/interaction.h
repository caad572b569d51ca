/*
 * What Slack and Discord send when somebody presses a button: is it theirs, is it new, who pressed
 * what. Pure but for the memory of what was seen; any bytes give an answer. Any thread.
 */
#ifndef NOTIFIER_INTERACTION_H
#define NOTIFIER_INTERACTION_H

#include "common/id.h"
#include "common/secret.h"

#include <jansson.h>

enum {
	INTERACTION_WINDOW_MS = 300000, /* Slack's five minutes; we hold Discord to it as well */
	INTERACTION_ID_MAX = 128,       /* of users, buttons' values and the vendor's own ids */
	INTERACTION_KEY_BYTES = 32,     /* an Ed25519 public key */
	INTERACTION_SEEN_MAX = 4096,    /* clicks remembered while their window lasts */
};

/* A request as it came. Borrowed; the headers may be NULL. */
struct interaction_request {
	const char *timestamp; /* X-Slack-Request-Timestamp, X-Signature-Timestamp: seconds */
	const char *signature; /* X-Slack-Signature "v0=<hex>", X-Signature-Ed25519 "<hex>" */
	const void *body;
	size_t len;
	int64_t now_ms;
};

/*
 * 0, or ERR_UNAUTHENTICATED: no or a wrong signature, or more than INTERACTION_WINDOW_MS away from
 * now. The signature is looked at first and in constant time.
 */
int slack_verify(const struct interaction_request *r, const struct secret *key,
		 struct why *out_why);
int discord_verify(const struct interaction_request *r,
		   const uint8_t key[static INTERACTION_KEY_BYTES], struct why *out_why);

enum interaction_kind {
	INTERACTION_OTHER, /* well-formed, but nothing we asked for */
	INTERACTION_PING,  /* Discord looks whether we are there */
	INTERACTION_CLICK,
};

struct interaction {
	enum interaction_kind kind;
	char id[INTERACTION_ID_MAX + 1]; /* the vendor's, one a click: for interaction_is_new */
	char user[INTERACTION_ID_MAX + 1];
	char value[INTERACTION_ID_MAX + 1];  /* the button's: the token */
	char place[INTERACTION_ID_MAX + 1];  /* the channel's id, "" when not said */
	char thread[INTERACTION_ID_MAX + 1]; /* Slack: the thread's ts, "" when none */
};

/* The body of a verified request: Slack's form with payload=<JSON>, Discord's JSON. ERR_INVALID
 * names the field. */
int slack_interaction(const char *body, size_t len, struct interaction *out, struct why *out_why);
int discord_interaction(const char *body, size_t len, struct interaction *out, struct why *out_why);

/* The message a click was in without its buttons, as Slack's chat.update takes it; NULL when the
 * (verified) body does not show it. A new reference. */
json_t *slack_bare(const char *body, size_t len);

/*
 * Which clicks were seen within the window. Zeroed is valid and empty; any number of threads.
 * 0; ERR_CONFLICT: seen before; ERR_BUSY: too many at once to remember, refused.
 */
struct interaction_seen {
	_Atomic uint64_t slots[INTERACTION_SEEN_MAX];
};
int interaction_is_new(struct interaction_seen *seen, const char *id, int64_t now_ms,
		       struct why *out_why);

#endif
