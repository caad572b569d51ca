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

#endif
