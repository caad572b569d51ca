/*
 * What the fold may know of the configuration. Apart from config.h, since a fold includes nothing
 * that knows a bus or an HTTP server.
 */
#ifndef REASONER_SETTINGS_H
#define REASONER_SETTINGS_H

#include "common/base.h"
#include "reasoner/memory/memory_config.h"

struct runbooks;

/* Which incidents without a runbook are looked into. */
enum diagnose { DIAGNOSE_OFF, DIAGNOSE_REPOSITORIES, DIAGNOSE_ALL };

struct settings {
	int64_t plan_ttl_ms;
	int64_t outcome_grace_ms;
	int64_t ineffective_limit;
	int64_t max_open_plans;
	int64_t case_retain_ms;
	int64_t change_retain_ms;
	int64_t diagnose; /* enum diagnose */
	int64_t answer_timeout_ms;
	int64_t max_attempts;
	int64_t resolve_within_ms;
	int64_t effective_window_ms;
	double recall_min;
	char *fix_branch_prefix;
	char *agent_tool; /* NULL: no agent is asked */
	struct memory_config memory;
	struct runbooks *runbooks;
};

/* The part of a struct reasoner_config (what fold_config() returns) that is meant for the fold. */
const struct settings *settings_of(const void *config);

#endif
