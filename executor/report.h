/* What the executor says on the bus. All messages are built in the run's arena. */
#ifndef EXECUTOR_REPORT_H
#define EXECUTOR_REPORT_H

#include "executor/executor.h"
#include "executor/policy.h"

enum { REPORT_TIMEOUT_MS = 5000 };

/* Checks, packs, publishes and waits for the stream's ack. */
int report_publish(const struct executor *ex, enum kind kind, const char *token,
		   const ProtobufCMessage *msg, const char *id, const char *cause,
		   struct why *out_why);

/* A report of this act, in this state, now. reason may be NULL. */
Healbus__StepReport *report_new(const struct plan_run *run, const struct slot *slot,
				Healbus__StepState state, const char *reason);
/* Puts in how it ended. */
void report_set_result(const struct plan_run *run, Healbus__StepReport *r,
		       const struct action_result *result);
/* Message id "<step id>:<state>": a second one is dropped by the bus. */
int report_send(const struct plan_run *run, const Healbus__StepReport *r, struct why *out_why);
/* The two halves of it: the act need not wait for the ack. NULL: others would not read it. */
struct bus_pending *report_begin(const struct plan_run *run, const Healbus__StepReport *r);
int report_end(struct bus_pending *pending, struct why *out_why);
/* "Waits because": one message for each reason, however often it is said. */
void report_waiting(const struct plan_run *run, const struct slot *slot, const char *reason);
/* Remembers it for the outcome. */
void report_keep(struct plan_run *run, Healbus__StepReport *r);

/* May I? */
int report_ask(struct plan_run *run, const struct policy_result *policy, struct why *out_why);

/* Is what would run now, and its way back, what people were shown when they said yes? */
bool report_as_shown(struct plan_run *run, const struct policy_result *policy);

/* Adds what a done step changed, and how to take it back, to the outcome. */
void report_change(struct plan_run *run, const struct slot *slot, const struct action *undo);

/* The end of the plan, as bytes that fit a claim's note. */
Healbus__Outcome *report_outcome(struct plan_run *run, Healbus__Verdict verdict, const char *reason,
				 struct buf *out_packed);
/* Message id "outcome:<digest id>". */
int report_outcome_send(const struct plan_run *run, const void *packed, size_t len,
			struct why *out_why);

/* One audit record; failing to write it is logged and returned. */
int report_audit(const struct plan_run *run, const char *what, const char *who, const char *text);

#endif
