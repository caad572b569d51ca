/*
 * executor.yaml: tools, inventory, policy and limits. The catalogue is loaded by executor_prepare.
 */
#ifndef EXECUTOR_CONFIG_H
#define EXECUTOR_CONFIG_H

#include "common/github.h"
#include "common/matcher.h"
#include "common/stage.h"
#include "common/wire.h"
#include "executor/catalogue.h"
#include "executor/inventory.h"
#include "executor/mcp/mcp_servers.h"
#include "executor/sandboxes/place.h"

enum autonomy {
	AUTONOMY_OBSERVE, /* say what would be planned, do nothing */
	AUTONOMY_DRY_RUN, /* render everything, do nothing */
	AUTONOMY_APPROVE, /* ask a human for all that changes something */
	AUTONOMY_AUTO,    /* act, up to the rule's max_level */
};

/*
 * One row of `rules:`; the first whose matchers all hold decides. Matchers see the plan's labels
 * and the step's tool, target, kind, group, level, severity, provenance and runbook.
 */
struct rule {
	struct matchers match;
	enum autonomy autonomy;
	Healbus__Level max_level; /* highest level that `auto` runs unasked; default soft */
};

struct rules {
	struct rule *items;
	size_t n;
};

struct executor_config {
	struct stage_config stage;
	char *tools_dir;
	char *decision_key_file;
	int64_t workers;
	int64_t autonomy; /* enum autonomy */
	struct rules rules;
	struct inventory inventory; /* `targets:` and `groups:` both fill it */
	int64_t approval_deadline_ms;
	int64_t approval_deadline_soft_ms;
	int64_t target_rate; /* starts an hour */
	int64_t global_rate;
	int64_t cooldown_ms;
	int64_t audit_age_ms; /* 0: for ever */
	int64_t sandbox;      /* enum sandbox_wish */
	bool allow_unsandboxed;
	json_t *guard; /* what repositories' targets get that say nothing themselves; NULL: nothing
			*/
	struct place_settings places;
	struct github_config github;
	char *git_protocols;        /* schemes that repositories may have, separated by commas */
	char *git_name, *git_email; /* who commits */
	char *git_ca_file;
	bool mcp_enabled;
	int64_t mcp_wait_ms;
	struct mcp_servers mcp_servers;
	/* derived */
	struct catalogue *catalogue;
	struct github *github_client;
};

extern const struct option_table executor_options;

/* For struct stage_def: loads the catalogue, checks what rows cannot say. ERR_CONFIG. */
int executor_prepare(void *config, struct why *out_why);
void executor_unprepare(void *config);

const char *autonomy_name(enum autonomy a);

#endif
