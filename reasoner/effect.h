/*
 * Did it help, and did it stay? Kept per incident key, since a problem that comes back is a new
 * incident of the same key. A fix after which the key comes back, and an incident that had to be
 * given up, count as useless; so many in a row block the key until a human acts or it stays quiet.
 */
#ifndef REASONER_EFFECT_H
#define REASONER_EFFECT_H

#include "reasoner/case.h"

/* Stored as it is; zeroed before it is filled. */
struct effect_row {
	uint32_t useless; /* in a row */
	uint32_t next;    /* the alternative with which the next incident starts */
	uint8_t blocked;
	int64_t healed_ms; /* a success that has still to prove itself; 0: none */
	int64_t window_ms; /* of its runbook */
	int64_t ready_ms;  /* the cool-down ends */
	char runbook[TOKEN_MAX + 8];
	char healed[TOKEN_MAX + 8];   /* incident of healed_ms */
	char incident[TOKEN_MAX + 8]; /* the latest of this key */
	char plan[TOKEN_MAX + 8];     /* under way; "" when none */
};

/* A zeroed row when there is none. */
int effect_load(struct desk *d, const char *key, struct effect_row *out);
/* Saves and starts the quiet window anew. */
void effect_save(struct desk *d, const char *key, const struct effect_row *e);

/* A plan was made: key busy. */
int effect_plan_made(struct desk *d, const struct case_file *c);
/* It ended: cool-down starts. *out_waiting: another incident of the key that waits, or "". */
int effect_plan_ended(struct desk *d, const Healbus__Plan *plan,
		      char out_waiting[static TOKEN_MAX + 8]);
/* The outcome says healed. */
int effect_healed(struct desk *d, const struct case_file *c);
/* If a success is pending for this key, it did not last: counts, and tells the case. */
int effect_returned(struct desk *d, struct case_file *c, struct effect_row *e);
/* The incident had to be given up after plans. */
int effect_gave_up(struct desk *d, const struct case_file *c);
/* A human acted: count anew. */
int effect_reset(struct desk *d, const char *key);
/* TIMER_QUIET. */
int effect_quiet(struct desk *d, const char *key);

#endif
