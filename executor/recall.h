/*
 * What the bus says about a plan, asked in one round trip, the one that takes the plan's lock: how
 * far the plan and each of its steps are, and whether all is paused. So the answers may be a moment
 * older than the lock; as with answers of a replica, who acts on an old one finds that a claim has
 * moved.
 *
 * Where nobody has begun, as far as this executor knows, and policy lets the plan run, its claim
 * and its first step's are written in the same round trip, on condition that nobody ever wrote
 * them. Such a claim binds nobody: it says who may go on to started.
 *
 * A bus that was restored from a backup (healctl restore) has forgotten what was done between the
 * backup and its loss, and stages that read it again come to the same plans, with the same ids. So
 * of a plan that was made before the restore, or for an incident that was open by then, no step is
 * begun: what neither claim nor journal knows the end of is unknown, for a check or a human to
 * settle. What people ask for after the restore, and incidents that open after it, go their way.
 */
#ifndef EXECUTOR_RECALL_H
#define EXECUTOR_RECALL_H

#include "executor/executor.h"

/* Fills run->recall; the prepared steps tell which claims there may be. 0, or why it cannot be
 * told. lock: asked along, first; NULL: none. When that fails the rest is not looked at. */
int recall_read(struct plan_run *run, const char *plan_key, struct bus_ask *lock,
		struct why *out_why);
void recall_release(struct plan_run *run);

/* Has any step been started? */
bool recall_begun(const struct plan_run *run);
/* Hands over the step's claim as it was read; false when it has to be asked for: handed over
 * before, or not one of the plan's acts. */
bool recall_take(struct plan_run *run, const struct slot *slot, struct claim *out);
/*
 * Claims a step. The first one since the answers writes the plan's own claim along: whoever read
 * that before us, and was stopped or whose request is still on its way, can then no longer end the
 * plan as if nothing had begun.
 */
int recall_claim(struct plan_run *run, const struct slot *slot, struct claim *c,
		 struct why *out_why);
/* As gate_pause, by an answer of less than RECALL_PAUSE_MS ago if there is one: whoever starts
 * something asks again at the last moment. */
enum { RECALL_PAUSE_MS = 500 };
int recall_pause(struct plan_run *run, struct why *out_why);

#endif
