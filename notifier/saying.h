/*
 * Saying one thing to the channels of a receiver, for the files of the fold: Notice{QUEUED}, once
 * per channel, with what the channel calls the message that it belongs to.
 */
#ifndef NOTIFIER_SAYING_H
#define NOTIFIER_SAYING_H

#include "notifier/projection.h"

struct saying {
	const struct receiver *receiver;
	const char *incident;
	const char *kind;
	const char *approval;       /* NULL: none */
	Healbus__Severity severity; /* where no incident says it */
	const char *update_of;      /* NULL: the incident's first message there, if there is one */
	char base[ID_BYTES];        /* what is said: the same to every channel */
	struct buf *subject, *text;
	char **incidents;
	size_t n_incidents;
	char **to; /* whom it calls */
	size_t n_to;
	bool repeated; /* it may have come through before */
};
/* To every channel of the receiver. What was said there before (same base) is not said again. */
void saying_tell(struct fold *f, const struct saying *s);
/* To one channel, named in the configuration. */
void saying_emit(struct fold *f, const struct saying *s, const char *channel);

/* ---- fold_unsent.c: what nobody has got yet ---- */

void unsent_queued(struct fold *f, const Healbus__Notice *n);
void unsent_ended(struct fold *f, const char *notice); /* SENT or FAILED */
/* Its last channel failed: it will be said anew, until one takes it. */
void unsent_keep(struct fold *f, const Healbus__Notice *n);
/* A channel took it: what else waits for that channel is said now. */
void unsent_sent(struct fold *f, const Healbus__Notice *n);
/* Nobody needs it any more. */
void unsent_forget(struct fold *f, const char *notice);

/* Nobody has answered it, its plan has not ended. */
bool approval_open(struct fold *f, const char *approval);

#endif
