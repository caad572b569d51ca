/*
 * The one door for what people answer, whatever the channel: a button, a link, a command, the API.
 * It resolves the person, checks the token, the right, the state and the deadline, does it, and
 * says what to show. Each refusal is told and counted (healbus_answers_total by channel and
 * result). Any thread but the fold's; blocks for a few bus requests.
 */
#ifndef NOTIFIER_ANSWER_H
#define NOTIFIER_ANSWER_H

#include "common/wire.h"
#include "notifier/token.h"

struct stage;

/* Borrowed for the call. */
struct answer_in {
	/* What is answered: a token, which says it all, or an id and `what`. */
	const char *token; /* NULL: by id */
	const char *id;    /* approval (APPROVE, DENY, INFO) or incident (ACK, HELD, NOT_HELD) */
	enum answer_what what; /* by id only; a token says its own */
	/*
	 * Who: the sender's id at the channel and under which key of `people:` it is looked up
	 * ("slack", "email", "name", ...). The kind has proved that it is them. sender NULL with a
	 * token: the person it was made for.
	 */
	const char *kind;
	const char *sender;
	const char *channel; /* its name in the configuration; "api" */
	const char *reason;  /* NULL: none */
};

/* Zeroed before; answer_out_release() after. */
struct answer_out {
	/* "approved", "denied", "voted", "info", "acked", "held", "not_held"; or "refused". */
	const char *result;
	struct buf text; /* for the person who answered: printable, at most RENDER_TEXT_MAX bytes */
	/* The question is settled: its buttons can go. Everybody else's message is updated by a
	 * notice of kind "decided". */
	bool settled;
	const Healbus__Decision *decision; /* with "approved" and "denied" */
	int64_t votes, needed;             /* with "voted": so many said yes, of so many */
	struct arena arena;
};
void answer_out_release(struct answer_out *out);
#define auto_answer __attribute__((cleanup(answer_out_release))) struct answer_out

/*
 * 0 when it was done (or shown). Refused: the error, with out->text saying why in words for the
 * person: ERR_UNAUTHENTICATED (no such token), ERR_DENIED (a stranger, or may not), ERR_CONFLICT
 * (decided: by whom), ERR_EXPIRED (too late), ERR_NOT_FOUND; ERR_TIMEOUT, ERR_UNAVAILABLE: the bus
 * is away, try again. out_why has the same text.
 */
int answer_give(struct stage *s, const struct answer_in *in, struct answer_out *out,
		struct why *out_why);

#endif
