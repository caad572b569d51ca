/*
 * A case: what the reasoner knows and does about one incident. The fold's files share this header.
 *
 * Two rows hold it: the incident as the monitor last said it, with `tried` filled by us, and a
 * struct case_row. What a case may do next stands in one table in case.c, [phase][event].
 */
#ifndef REASONER_CASE_H
#define REASONER_CASE_H

#include "common/fold.h"
#include "reasoner/runbook/runbook.h"
#include "reasoner/settings.h"

enum case_phase {
	CASE_IDLE,    /* nothing under way: new, or the incident is not open */
	CASE_COOLING, /* waits for its key's cool-down or for another plan of the key */
	CASE_QUEUED,  /* waits for the number of open plans to fall */
	CASE_ASKING,  /* no runbook answers: the workers find out what it is */
	CASE_PLANNED, /* a plan is under way */
	CASE_HEALED,  /* the plan says healed; does the incident agree? */
	CASE_ENDED,   /* escalated, taken by a human, or only observed: no more plans */
	CASE_PHASES,
};

enum case_event {
	CASE_OPEN,         /* the monitor wants acting: new, or open again */
	CASE_CLOSED,       /* resolved or suppressed */
	CASE_DUE,          /* what it waited for is there */
	CASE_FIXED,        /* outcome healed */
	CASE_FAILED,       /* outcome failed, rolled back or unknown */
	CASE_STOPPED,      /* outcome refused, denied, or a rollback failed */
	CASE_EXPIRED,      /* outcome expired */
	CASE_UNTRIED,      /* outcome failed, but the executor could try nothing: desk.reason */
	CASE_SAID,         /* outcome healed, of a plan that only says something: desk.reason */
	CASE_OBSERVED,     /* outcome observed */
	CASE_LATE,         /* no outcome came */
	CASE_STILL_FIRING, /* healed, but not resolved in time */
	CASE_ANSWERED,     /* the workers' diagnosis is there: desk.answer */
	CASE_UNANSWERED,   /* none came in time */
	CASE_PATCHED,      /* an agent's plan ended with desk.patch */
	CASE_RETRY,        /* a human wants another try */
	CASE_TAKEN,        /* a human has it */
	CASE_EVENTS,
};

/* Stored as it is; zeroed before it is filled. */
struct case_row {
	uint8_t phase;
	uint8_t escalated;
	uint8_t taken;
	uint8_t started;   /* a step of the plan under way has started */
	uint32_t attempt;  /* attempts made */
	uint32_t serial;   /* plans made: part of their ids */
	uint32_t skip;     /* alternatives that did not last for earlier incidents of the key */
	uint32_t expired;  /* plans that expired */
	uint32_t untried;  /* plans of which nothing could be tried */
	uint64_t ticket;   /* place in the queue; 0: none */
	int64_t since_ms;  /* when it opened, or opened again */
	int64_t late_ms;   /* when the plan under way counts as lost */
	uint32_t asked;    /* how often: part of the ids of questions */
	uint32_t forgiven; /* attempts before a human wanted another try */
	char runbook[TOKEN_MAX + 8];
	char plan[TOKEN_MAX + 8];    /* under way; "" when none */
	char ask[TOKEN_MAX + 8];     /* question under way; "" when none */
	char command[TOKEN_MAX + 8]; /* the last that was followed */
	char sha[TOKEN_MAX + 8];     /* commit that the last question was about */
};

struct case_file {
	struct case_row row;
	Healbus__Incident *incident; /* in the desk's arena */
};

/* One call of the fold: lives on its stack. */
struct desk {
	struct fold *f;
	const struct settings *settings;
	const Healbus__ModelExchange *answer; /* with CASE_ANSWERED and CASE_PATCHED */
	const char *patch;                    /* with CASE_PATCHED */
	const char *reason;                   /* with CASE_UNTRIED and CASE_SAID */
	struct arena arena;
	struct why *why;
};

extern const struct store_table table_cases;      /* incident id -> struct case_row */
extern const struct store_table table_incidents;  /* incident id -> packed Incident */
extern const struct store_table table_effects;    /* incident key -> struct effect_row */
extern const struct store_table table_plans;      /* plan id -> packed Plan: those under way */
extern const struct store_table table_queue;      /* ticket -> incident id */
extern const struct store_table table_changes;    /* change id -> packed Outcome with this change */
extern const struct store_table table_storm;      /* "storm" -> packed Incident, while it lasts */
extern const struct store_table table_details;    /* plan id -> what its failing step printed */
extern const struct store_table table_catalogue;  /* catalogue_row -> packed Control, the latest */
extern const struct store_table table_diagnoses;  /* incident -> packed ModelExchange, the latest */
extern const struct store_table table_last_plans; /* incident -> packed Plan that ended last */
extern const struct store_table table_patches;    /* plan id -> what its agent leaves */
#define catalogue_row "catalogue"

/* 0, ERR_NOT_FOUND, or what the store says. */
int case_load(struct desk *d, const char *incident, struct case_file *out);
void case_save(struct desk *d, const struct case_file *c);
void case_delete(struct desk *d, const char *incident);

/* Looks the event up in the table, does it, and saves the case. */
int case_event(struct desk *d, struct case_file *c, enum case_event event);
bool case_is_open(const struct case_file *c);
/* Would the quiet window of its key be premature? */
bool case_is_active(const struct case_file *c);

/* Adds to what was tried; the oldest goes when there are too many. The attempt is copied. */
void case_tried(struct desk *d, struct case_file *c, const Healbus__Attempt *attempt);

/* Unpacks a row of ours: what does not unpack there is corrupt, not bad input. */
int desk_unpack(struct desk *d, enum kind kind, const struct store_val *val,
		ProtobufCMessage **out);

/* "late:" and the like; keys are <prefix><id>. */
void desk_timer(struct desk *d, const char *prefix, const char *id, int64_t due_ms);
void desk_timer_cancel(struct desk *d, const char *prefix, const char *id);

#define TIMER_LATE "late:"     /* plan: no outcome came */
#define TIMER_ANSWER "answer:" /* incident: nobody found out what it is */
#define TIMER_COOL "cool:"     /* incident: the cool-down of its key is over */
#define TIMER_SETTLE "settle:" /* incident: healed, still firing? */
#define TIMER_FORGET "forget:" /* incident: delete the case */
#define TIMER_QUIET "quiet:"   /* key: it stayed quiet */
#define TIMER_CHANGE "change:" /* change: too old to undo */

#endif
