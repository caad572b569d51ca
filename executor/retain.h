/*
 * For how long the journal remembers. A row of it is what keeps a step from being begun a second
 * time when the bus has lost the claim on it. So a step is forgotten when both hold:
 *
 *   - its last report is older than STORY keeps anything, and a week more (TOPIC_CLAIM_EXTRA_MS):
 *     the age at which the bus itself lets go of its claim;
 *   - STORY has no plan for its incident any more.
 *
 * A step begins only by a plan that comes from STORY, or by a decision about one that is looked up
 * there (decision.c). Where STORY has none, nobody can be given it, whatever clocks say: the second
 * condition is the proof, and needs no clock. The first keeps the row at least as long as the claim
 * beside it, and spares the question for all steps that are young. What could bring an old plan
 * back is a restore from a backup (no step of a plan from before it is begun, recall.h), or a
 * reasoner that reads an old incident again and makes the same plan of it, byte for byte: that one
 * is past its not_after, so no step of it is begun either.
 *
 * The audit chain is evidence, and has an age of its own (`audit_age`).
 */
#ifndef EXECUTOR_RETAIN_H
#define EXECUTOR_RETAIN_H

#include "executor/executor.h"

enum {
	RETAIN_FIRST_MS = 60 * 1000, /* after the start, which has other things to do */
	RETAIN_EVERY_MS = 6 * 3600 * 1000,
};

struct retained {
	uint64_t looked_at; /* old enough */
	uint64_t forgotten; /* steps */
	uint64_t cut;       /* audit records */
	bool audit_broken;  /* none were cut, for the chain is broken */
};

/* Goes over the whole journal once, in small transactions; stops early when ex->sleep says so. An
 * error means that the bus or the disk could not be asked; what was forgotten by then was rightly
 * so. */
int retain(const struct executor *ex, int64_t now_ms, struct retained *out, struct why *out_why);

#endif
