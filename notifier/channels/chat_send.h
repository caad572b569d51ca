/*
 * How a notice goes to a chat, whichever: one thread an incident. The incident's first message
 * shows how it stands and is edited as that changes; what happened is told under it; a question has
 * its buttons until it is decided, and then says by whom. What was sent of a notice in several
 * parts is kept in the worker's session, so that a retry goes on where it failed.
 */
#ifndef NOTIFIER_CHAT_SEND_H
#define NOTIFIER_CHAT_SEND_H

#include "notifier/channels/chat.h"
#include "notifier/tables.h"

enum { CHAT_ID_MAX = 63, CHAT_PLACE_MAX = 63 };

/* What later notices get to know of a message: "place:id:thread:q". */
struct chat_ref {
	char place[CHAT_PLACE_MAX + 1];
	char id[CHAT_ID_MAX + 1];
	char thread[CHAT_ID_MAX +
		    1]; /* the incident's first message; the same as id if it is that */
	bool question;  /* has buttons: only its answer may replace it */
};
/* False when it is none; then *out is empty. */
bool chat_ref_parse(const char *text, struct chat_ref *out);
void chat_ref_format(const struct chat_ref *ref, char out[static CHANNEL_REF_MAX + 1]);

/* A worker's own, one a channel. */
struct chat_session {
	char notice[TOKEN_MAX + 1];
	size_t done; /* parts of it that were posted */
	struct chat_ref ref;
};
/* For channel_kind.open and .close. */
int chat_session_open(const struct channel *c, void **out_session, struct why *out_why);
void chat_session_close(void *session);
/* Forgets what was sent, unless it was of this notice and is not whole yet. */
void chat_session_begin(struct chat_session *s, const Healbus__Notice *n);
void chat_session_end(struct chat_session *s);
/* For channel_kind.resumes. */
bool chat_session_resumes(const void *session, const Healbus__Notice *n);

struct chat_sending {
	const struct channel_job *job;
	struct channel_result *out;
	int64_t deadline_ms; /* by the monotonic clock */
	const char *thread;  /* the first message's id; NULL: this is the first */
	bool loud;           /* somebody has to do something */
	size_t part;
};

struct chat_vendor {
	const char *people; /* the key of `people:` with a person's id there */
	/* Can a click be verified? Without, there are no buttons. */
	bool (*clicks)(const struct channel *c);
	void (*render)(const struct chat_message *m, const Healbus__ApprovalRequest *approval,
		       struct chat_parts *out);
	/* Posts a part; fills place and id. ERR_NOT_FOUND: the thread is gone. */
	int (*post)(const struct chat_sending *x, json_t *body, struct chat_ref *out,
		    struct why *out_why);
	/* Replaces a message. ERR_NOT_FOUND: it is gone, or cannot be changed any more. */
	int (*edit)(const struct chat_sending *x, const struct chat_ref *ref, json_t *body,
		    struct why *out_why);
};

/* channel_kind.send, with the buttons that fit the notice, where the vendor has `clicks`. */
int chat_send(const struct chat_vendor *vendor, const struct channel_job *job,
	      struct channel_result *out, struct why *out_why);
/* What is left until the deadline, at least 1. */
int64_t chat_left_ms(const struct chat_sending *x);

#endif
