/*
 * A plan made concrete: every step's tool, target and parameters looked up, checked and rendered,
 * its verification and its rollback too. Pure: touches nothing, so a dry run, the question to a
 * human and the real run all see the same text. Any thread.
 */
#ifndef EXECUTOR_ACTION_H
#define EXECUTOR_ACTION_H

#include "executor/config.h"
#include "executor/lines.h"
#include "executor/runners/runner.h"

/* One call of one tool, ready to run. Zeroed: none. */
struct action {
	const struct tool *tool; /* NULL: none */
	const struct target *target;
	const struct call *call;
	Healbus__Level level; /* after elevation */
	json_t *input;        /* {"params": ..., "target": ...} */
	void *rendered;       /* the runner's */
	char *text;           /* the exact argv or request */
	int64_t timeout_ms;
	struct lines concerns; /* why a person must agree, from the runner's inspect */
};

struct check {
	struct action action; /* tool NULL: none */
	int64_t deadline_ms;
	int64_t interval_ms;
};

struct step {
	struct action act;
	struct check verify;
	struct action rollback; /* tool NULL: cannot be undone */
	bool keep_going;
};

struct prepared {
	struct step *steps;
	size_t n;
	struct check verify; /* the plan's */
	struct lines refusals;
};

/* Resolves everything; what cannot be is a line in refusals (the step is then unusable). The
 * configuration outlives the result. */
void plan_prepare(const struct executor_config *config, const Healbus__Plan *plan,
		  struct prepared *out);
void prepared_release(struct prepared *p);

/* One call, for health checks and tests. ERR_DENIED, ERR_INVALID, ERR_NOT_FOUND, ... */
int action_prepare(const struct executor_config *config, const char *tool, const char *target,
		   Healbus__Param *const *params, size_t n_params, struct action *out,
		   struct why *out_why);
void action_release(struct action *a);

/* How an action ended. */
enum action_end { ACTION_DONE, ACTION_FAILED, ACTION_UNKNOWN };

struct action_result {
	enum action_end end;
	int exit_code;
	struct buf output;
	bool truncated;
	struct why why;
	char *patch;    /* NULL: none */
	char *url;      /* NULL: none */
	bool not_tried; /* failed, but not by its own fault: as in struct run_result */
};

/* Zeroes it. */
void action_result_release(struct action_result *r);

/* Acts. Blocks up to the action's time-out. *out is zeroed by the caller, who releases it. */
void action_run(const struct executor_config *config, const struct action *a,
		const struct run_limits *limits, struct action_result *out);

#endif
