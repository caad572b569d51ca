/*
 * Runbooks: YAML rules that answer an incident with a plan, without a model. One file each; the
 * format is in reasoner/runbooks/README.md. Everything is checked and every expression compiled at
 * load, so that a bad runbook stops the program's start or reload and never an incident.
 *
 * A set is immutable once loaded, except that libjq keeps state in compiled expressions: it belongs
 * to one thread at a time (the fold's).
 */
#ifndef REASONER_RUNBOOK_H
#define REASONER_RUNBOOK_H

#include "common/expr.h"
#include "common/matcher.h"
#include "common/wire.h"

enum {
	RUNBOOK_NAME_MAX = 64,
	RUNBOOK_ATTEMPTS_MAX = 10,
	RUNBOOK_FILE_MAX_BYTES = 256 << 10,
};

/* A parameter's value: constant, text with {{ }} parts, or one {{ jq }} whose type is kept. */
enum runbook_value_type { VALUE_INT, VALUE_DOUBLE, VALUE_BOOL, VALUE_TEXT, VALUE_JQ };

struct runbook_param {
	const char *name;
	enum runbook_value_type type;
	union {
		int64_t i;
		double d;
		bool b;
		struct template *text;
		struct expr *jq;
	};
};

/* A call of a tool: what steps, verifications and rollbacks have in common. */
struct runbook_call {
	const char *tool;
	struct template *target;
	struct runbook_param *params;
	size_t n_params;
	int64_t timeout_ms;  /* steps and rollbacks; 0: the tool's own */
	int64_t deadline_ms; /* verifications */
	int64_t interval_ms; /* verifications */
};

struct runbook_step {
	struct runbook_call act;
	struct runbook_call *verify;   /* NULL: the tool's own */
	struct runbook_call *rollback; /* NULL: none */
	bool keep_going;
	bool idempotent;
};

/* One way to repair; attempt n uses the n-th, the last one serves all further attempts. */
struct runbook_alternative {
	struct template *why;
	struct runbook_step *steps;
	size_t n_steps;
	struct runbook_call *verify; /* NULL: none */
	bool rollback_on_failure;
};

struct runbook {
	const char *name;
	const char *description;
	const char *file;
	char digest[17]; /* first 16 hex digits of the SHA-256 of the file */
	bool enabled;
	int64_t priority;        /* 0-1000; higher is asked first; ties by name */
	struct matchers match;   /* on the incident's labels */
	struct expr *when;       /* on the incident's JSON; NULL: always */
	int severity;            /* Healbus__Severity; the least that is answered */
	struct template *target; /* for calls that name none; NULL: each names its own */
	struct runbook_alternative *alternatives;
	size_t n_alternatives;
	int64_t max_attempts;
	int64_t cooldown_ms;         /* between the end of a plan and the next of the same key */
	int64_t effective_window_ms; /* back within this: the fix did not help */
	int64_t resolve_within_ms;   /* still firing so long after "healed": it did not help */
	double confidence;
	struct template *escalate; /* advice for the human; NULL: none */
};

struct runbooks;

/*
 * Loads every *.yaml of the directories (NULL and "" are passed over) in order of their names; a
 * runbook of a later directory replaces one of the same name. ERR_CONFIG with file:line,
 * ERR_NOT_FOUND. Blocks for about 14 ms per distinct expression.
 */
int runbooks_load(const char *const *dirs, size_t n_dirs, struct runbooks **out,
		  struct why *out_why);
void runbooks_free(struct runbooks *set);

/* Enabled ones, in the order in which they are asked. */
size_t runbooks_count(const struct runbooks *set);
const struct runbook *runbooks_at(const struct runbooks *set, size_t i);
const struct runbook *runbooks_find(const struct runbooks *set, const char *name); /* or NULL */

/* Labels and severity only; cheap. The label alertname falls back to the first event's name. */
bool runbook_matches(const struct runbook *rb, const Healbus__Incident *incident);

/* What the expressions see: the incident as wire_to_json gives it, plus .tried (always a list) and
 * .attempt (1-based, the one being planned). New reference. */
json_t *runbook_view(const Healbus__Incident *incident, uint32_t attempt);

/* `when` on that view: 1, 0, or negative with jq's message. */
int runbook_wanted(const struct runbook *rb, const json_t *view, struct why *out_why);

/*
 * Adds .target, the rendered target of the runbook, to the view. Fills why, steps, verify and
 * rollback_on_failure of the plan from alternative `index` (0-based, the last one when beyond),
 * into the arena. ERR_INVALID names the field when a rendered value cannot be used (no target, not
 * an id, too long).
 */
int runbook_render(const struct runbook *rb, size_t index, json_t *view, struct arena *arena,
		   Healbus__Plan *plan, struct why *out_why);

/* The advice for the human, at most WIRE_REASON_MAX bytes, into the arena; "" when there is none.
 */
const char *runbook_advice(const struct runbook *rb, json_t *view, struct arena *arena);

#endif
