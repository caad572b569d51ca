/*
 * What healbus tells about itself: one matter is told in one notice, soon, and again at most once
 * an hour. fold_health.c; for the files of the fold that see when a matter begins and is over.
 */
#ifndef NOTIFIER_MATTER_H
#define NOTIFIER_MATTER_H

#include "notifier/projection.h"

enum { MATTER_SAID_MAX = 400 }; /* bytes with the NUL; subjects are cut to what the wire takes */

enum matter {
	MATTER_RATE,
	MATTER_DEAD,
	MATTER_LAG,
	MATTER_COMPLEX,
	MATTER_CHANNEL,
	MATTER_MODEL,      /* providers that fail */
	MATTER_MODEL_OVER, /* and those that answer again */
	MATTER_BUDGET,     /* of models, for the day: near its end */
	MATTER_BUDGET_OUT,
	MATTERS
};

/* Told soon, or when the last time is long enough ago. said: copied. */
void matter_raise(struct fold *f, enum matter m, const char *said);
/* It is over; what was not told yet is not told. */
void matter_forget(struct fold *f, enum matter m);
/* Raised unless it waits already, or forgotten: for matters that are put into words when due. */
void matter_want(struct fold *f, enum matter m, bool wanted);

/* ---- fold_models.c ---- */

void models_follow(struct fold *f, const struct fold_input *in); /* ModelExchange */
/* In words, as it is now. */
void models_failing_say(struct fold *f, char said[static MATTER_SAID_MAX]);
void models_over_say(struct fold *f, char said[static MATTER_SAID_MAX]);
/* People were told. */
void models_failing_told(struct fold *f);
void models_over_told(struct fold *f);

#endif
