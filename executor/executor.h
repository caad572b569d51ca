/*
 * What the parts of the executor share while one plan is under way. No stage.h here: with a faked
 * bus all of it runs in a test.
 */
#ifndef EXECUTOR_EXECUTOR_H
#define EXECUTOR_EXECUTOR_H

#include "common/bus.h"
#include "common/lease.h"
#include "common/wire.h"
#include "executor/action.h"
#include "executor/journal.h"

/* One worker. All borrowed. */
struct executor {
	struct bus *bus;
	struct journal *journal;
	struct holder *holder;
	struct http_client *http;
	const struct executor_config *config;
	const char *boot;     /* this process */
	const char *instance; /* for people */
	/* Sleeps at most ms; true when the process is asked to stop. */
	bool (*sleep)(void *ctx, int64_t ms);
	void *sleep_ctx;
};

/* What the bus said when the plan's lock was taken; see recall.h. */
struct recall {
	int64_t asked_mono_ms; /* 0: not yet */
	char plan_key[TOKEN_MAX + 1];
	struct claim plan;
	bool hopeful; /* to be set before: claim plan and first step along with the questions */
	bool entered; /* the plan's claim was written since */
	bool first_claimed; /* so was its first step's, which is read as claimed */
	struct claim acts[WIRE_STEPS_MAX];
	bool known[WIRE_STEPS_MAX];
	int pause_rc;
	struct why pause_why;
	bool in_doubt; /* any step may have been done in a time that a restored bus knows nothing of
			*/
};

enum { RUN_REPORTS_MAX = 4 * WIRE_STEPS_MAX };

/* One plan's bytes, and what has become of it in this delivery. */
struct plan_run {
	const struct executor *ex;
	struct arena *arena;
	const Healbus__Plan *plan;
	const Healbus__Decision *decision; /* NULL: none needed so far */
	const char *cause;                 /* message id of what woke us */
	uint64_t seq;                      /* of the plan on STORY */
	bool first;                        /* the bus has not delivered it before */
	bool again; /* the bus had lost the plan: it may have lost claims on its steps, too */
	uint8_t digest[DIGEST_BYTES];
	char digest_hex[2 * DIGEST_BYTES + 1];
	char outcome_id[ID_BYTES];
	struct prepared prepared;
	struct lock lock; /* of the whole plan */
	struct recall recall;
	const char *no_new_starts; /* why no further step may begin; NULL: they may */
	Healbus__StepReport *reports[RUN_REPORTS_MAX];
	size_t n_reports;
	Healbus__Change *changes[WIRE_STEPS_MAX];
	size_t n_changes;
	int64_t started_ms;
	int64_t wait_ms; /* set with *_WAIT: when to come back */
	struct why wait;
};

/* What happens to the message. */
enum plan_end {
	PLAN_SETTLED, /* ack */
	PLAN_WAIT,    /* later: run->wait_ms, run->wait */
};

/* Fills the fields that follow from the bytes. data is the packed plan. */
void plan_run_init(struct plan_run *run, const void *data, size_t len);
void plan_run_release(struct plan_run *run);

/* A plan has arrived: decide, and run, ask or refuse. */
enum plan_end plan_arrived(struct plan_run *run);
/* A decision on it has arrived, checked by decision.c. */
enum plan_end plan_decided(struct plan_run *run);
/* Dry run asked for by run->decision: reports only. */
enum plan_end plan_rehearse(struct plan_run *run);

/* Ends the wait with a reason. */
enum plan_end plan_wait(struct plan_run *run, int64_t ms, const char *why);

/* ---- one act ---- */

enum step_end { STEP_END_DONE, STEP_END_FAILED, STEP_END_UNKNOWN, STEP_END_WAIT };

/* Which act of the plan: fixes its id, so that it is the same for every executor and delivery. */
struct slot {
	Healbus__Phase phase;
	size_t index; /* of the step; the number of steps for the plan's own verify */
	const struct action *action;
	char id[ID_BYTES];
};

void slot_init(struct slot *slot, const struct plan_run *run, Healbus__Phase phase, size_t index,
	       const struct action *action);

/*
 * Acts at most once, ever, whoever else tries: pause, locks, rates, claim, journal, claim again,
 * act, journal, report, claim done. What an earlier delivery or another executor already did is
 * recalled, not repeated. *out_report is in the run's arena and in run->reports (not with WAIT).
 */
enum step_end step_act(struct plan_run *run, const struct slot *slot,
		       Healbus__StepReport **out_report);

/* Tries a read-only check until it holds or its deadline passes. No claim: reading twice is free.
 */
enum step_end step_verify(struct plan_run *run, const struct check *check, size_t index);

/* Undoes done[i] steps, last first. */
enum step_end plan_roll_back(struct plan_run *run, const bool *done);

#endif
