/*
 * Believing a decision: signed by the notifier (a no needs no signature: a forged no only stops),
 * in time, and for exactly the bytes the plan has on the bus. What is not believed starts nothing
 * and is told on the bus and in the audit.
 */
#ifndef EXECUTOR_DECISION_H
#define EXECUTOR_DECISION_H

#include "executor/executor.h"

struct decision_job {
	const struct executor *ex;
	struct arena *arena;
	const Healbus__Decision *decision;
	const char *id;  /* message id */
	int64_t time_ms; /* of the message */
	/* out, with PLAN_WAIT */
	int64_t wait_ms;
	struct why wait;
};

enum plan_end decision_arrived(struct decision_job *job);

/* The checks that need no bus. now_ms: the message's time. 0, ERR_UNAUTHENTICATED, ERR_EXPIRED,
 * ERR_INVALID. */
int decision_check(const Healbus__Decision *d, const struct verify_key *key, int64_t now_ms,
		   struct why *out_why);

#endif
