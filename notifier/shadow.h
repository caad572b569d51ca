/*
 * Shadow mode: what healbus would have done where it only observes, and whether people agreed.
 * Pure; the words for people are in README.md and `healctl help shadow`.
 */
#ifndef NOTIFIER_SHADOW_H
#define NOTIFIER_SHADOW_H

#include "common/wire.h"

enum { SHADOW_DEEDS_MAX = 32, SHADOW_PATIENCE_MS = 900000 };

enum shadow_verdict {
	SHADOW_OPEN,     /* nothing can be said: it still fires, or ended late and nobody spoke */
	SHADOW_SAME,     /* a person let a plan run that does the same to the same target */
	SHADOW_TAKEN,    /* a person took the incident: something was to be done */
	SHADOW_DENIED,   /* a person refused a plan that does the same to the same target */
	SHADOW_UNDONE,   /* a person had the same taken back */
	SHADOW_NEEDLESS, /* it went away by itself */
	SHADOW_VERDICTS,
};
/* "same", ...; "open" for what it does not know. */
const char *shadow_verdict_name(enum shadow_verdict v);

/* One call of a tool. */
struct shadow_deed {
	char tool[TOKEN_MAX + 1];
	char target[TOKEN_MAX + 1];
};
struct shadow_deeds {
	struct shadow_deed items[SHADOW_DEEDS_MAX];
	size_t n;
};
void shadow_deed_add(struct shadow_deeds *d, const char *tool, const char *target);
/* Those of its steps. */
void shadow_deeds_of(struct shadow_deeds *d, const Healbus__Plan *plan);

/* What a person said about a plan or a change: SHADOW_SAME, SHADOW_DENIED or SHADOW_UNDONE. */
struct shadow_sign {
	enum shadow_verdict says;
	int64_t at_ms;
	const char *by;
	const char *plan;
	struct shadow_deeds deeds;
};

/* A plan that was only observed. */
struct shadow_plan {
	int64_t at_ms;
	struct shadow_deeds deeds;
	int64_t resolved_ms; /* its incident's end; 0: none yet */
	int64_t acked_ms;    /* when a person took the incident; 0: nobody did */
	const char *acked_by;
	bool acted; /* another plan of the incident was run */
};

struct shadow_judgement {
	enum shadow_verdict verdict;
	const struct shadow_sign *sign; /* that decided; NULL */
};

/*
 * The latest sign between the plan and the end of its incident about the same tool on the same
 * target decides; else that somebody took the incident; else that it ended within patience_ms
 * though nobody did anything.
 */
struct shadow_judgement shadow_judge(const struct shadow_plan *plan,
				     const struct shadow_sign *signs, size_t n_signs,
				     int64_t patience_ms);

/* Of all judged: how often people agreed. */
struct shadow_tally {
	size_t by_verdict[SHADOW_VERDICTS];
	size_t agree;    /* same, taken */
	size_t disagree; /* denied, undone, needless */
};
void shadow_count(struct shadow_tally *t, enum shadow_verdict v);

#endif
