/*
 * May this plan run, now, here? Decided by the executor itself from its own configuration, each
 * time a plan is about to start; nothing a message says lowers a level. Pure: no network, no
 * clock.
 */
#ifndef EXECUTOR_POLICY_H
#define EXECUTOR_POLICY_H

#include "executor/action.h"

enum policy_verdict {
	POLICY_RUN,
	POLICY_ASK,      /* a human must agree first */
	POLICY_REHEARSE, /* autonomy dry-run */
	POLICY_OBSERVE,
	POLICY_EXPIRED, /* not_after_ms has passed */
	POLICY_REFUSE,
};

struct policy_input {
	const struct executor_config *config;
	const Healbus__Plan *plan;
	const struct prepared *prepared;
	int64_t now_ms;
	bool approved;  /* a valid decision for exactly these bytes is at hand */
	bool sandboxed; /* commands can be confined on this machine */
};

struct policy_result {
	enum policy_verdict verdict;
	Healbus__Level level; /* highest of all steps and rollbacks, after elevation */
	struct lines reasons; /* why not, or why a human is needed */
};

void policy_decide(const struct policy_input *in, struct policy_result *out);
void policy_result_release(struct policy_result *r);
const char *policy_verdict_name(enum policy_verdict v);

#endif
