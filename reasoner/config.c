#include "reasoner/config.h"

#include "reasoner/runbook/runbook.h"

#define DAY_MS (24.0 * 3600000)

static const char *const diagnose_names[] = {"off", "repositories", "all", NULL};

static const struct option rows[] = {
	STAGE_OPTIONS(struct reasoner_config, "reasoner", "127.0.0.1:9096"),
	OPT_PATH(struct reasoner_config, runbooks_dir, "runbooks_dir",
		 "/usr/local/share/healbus/runbooks",
		 "Directory of runbooks, one *.yaml file each: the ones that are shipped."),
	OPT_PATH(struct reasoner_config, runbooks_local_dir, "runbooks_local_dir", NULL,
		 "A second directory, for your own. A runbook there replaces a shipped one of the "
		 "same name."),
	OPT_PATH(struct reasoner_config, failures_dir, "failures_dir",
		 "/usr/local/share/healbus/failures",
		 "Directory of failure types, one *.yaml file for each family of tools: how the "
		 "cause of a failed job is told from its log."),
	OPT_PATH(struct reasoner_config, specialists_file, "specialists_file",
		 "/usr/local/share/healbus/specialists.yaml",
		 "Who fixes what: specialists, and the table of routes to them."),
	OPT_PATH(struct reasoner_config, prompts_dir, "prompts_dir",
		 "/usr/local/share/healbus/prompts",
		 "Directory of prompts, *.md: system.md, task.md, retry.md, operations.md, and one "
		 "for each specialist. Read when a model is configured."),
	OPT_PATH(struct reasoner_config, prompts_local_dir, "prompts_local_dir", NULL,
		 "A second directory, for your own. A prompt there replaces a shipped one of the "
		 "same name."),
	OPT_DURATION(struct reasoner_config, cases.plan_ttl_ms, "plan_ttl", "1h", 1000, DAY_MS,
		     "A plan that has not started by then never starts."),
	OPT_DURATION(struct reasoner_config, cases.outcome_grace_ms, "outcome_grace", "15m", 1000,
		     DAY_MS,
		     "After plan_ttl and the time its steps may take, how long to wait for an "
		     "outcome before a human is told that nobody executed the plan."),
	OPT_INT(struct reasoner_config, cases.ineffective_limit, "ineffective_limit", "5", 1, 100,
		"So many fixes in a row that did not last, for incidents of one key, and no more "
		"plans are made until a human acknowledges or the key stays quiet for the "
		"runbook's effective_window."),
	OPT_INT(struct reasoner_config, cases.max_open_plans, "max_open_plans", "50", 1, 10000,
		"Plans under way at the same time. Further incidents wait in order."),
	OPT_DURATION(struct reasoner_config, cases.case_retain_ms, "case_retain", "7d", 60000,
		     365 * DAY_MS, "How long a resolved incident's case is kept."),
	OPT_DURATION(struct reasoner_config, cases.change_retain_ms, "change_retain", "30d", 60000,
		     365 * DAY_MS, "How long a change can be undone."),
	OPT_ENUM(
		struct reasoner_config, cases.diagnose, "diagnosis.of", "repositories",
		diagnose_names,
		"Which incidents that no runbook answers are looked into: off, repositories (those "
		"with a label `repository`: failed builds, security findings), all."),
	OPT_INT(struct reasoner_config, diagnosis_workers, "diagnosis.workers", "2", 1, 64,
		"So many incidents are looked into at the same time."),
	GITHUB_OPTIONS(struct reasoner_config, github),
	OPT_DURATION(struct reasoner_config, cases.answer_timeout_ms, "diagnosis.timeout", "15m",
		     1000, DAY_MS,
		     "How long a diagnosis, with all its models, may take before a human is told "
		     "that none came."),
	OPT_INT(struct reasoner_config, cases.max_attempts, "diagnosis.max_attempts", "3", 1, 10,
		"So many plans for an incident without a runbook; each must be another approach."),
	OPT_DURATION(struct reasoner_config, cases.resolve_within_ms, "diagnosis.resolve_within",
		     "3d", 1000, 30 * DAY_MS,
		     "Not resolved so long after a plan of a diagnosis healed: it did not help. A "
		     "pull request may have to wait for people; that it fails is told sooner."),
	OPT_DURATION(struct reasoner_config, cases.effective_window_ms,
		     "diagnosis.effective_window", "30m", 1000, 30 * DAY_MS,
		     "The same problem again within this after a plan of a diagnosis: it did not "
		     "last."),
	OPT_DOUBLE(struct reasoner_config, cases.recall_min, "diagnosis.recall_min", "0.9", 0, 1,
		   "An earlier incident at least so much alike lends its fix when no model "
		   "proposes one."),
	OPT_STRING(struct reasoner_config, cases.fix_branch_prefix, "diagnosis.branch_prefix",
		   "fix/", "Fixes of a default branch go to <prefix><failure type>-<commit>."),
	OPT_STRING(struct reasoner_config, cases.agent_tool, "diagnosis.agent", NULL,
		   "A tool with `runner: agent` (such as agent_claude) that is given the task "
		   "where no model proposes edits. What it leaves is proved like a model's."),
	OPT_TREE(struct reasoner_config, models, "models", models_parse, models_release,
		 "Map of {providers, budget, jitter, cache}. providers: list in fallback order of "
		 "{name, kind, url, model, key_file, key_header, ca_file, timeout, max_tokens, "
		 "temperature, price_in, price_out, severity, complexity, budget, bytes_per_token, "
		 "request, response}; kind is openai_chat, openai_responses, anthropic or http. "
		 "budget: {incident, day}, each {tokens, usd}. cache: {ttl, entries}. Without "
		 "providers no model is asked."),
	OPT_TREE(
		struct reasoner_config, context, "context", context_parse, context_release,
		"Where to look when an incident needs a diagnosis; what is not here is not asked. "
		"Keys: timeout (20s, all together), source_timeout (10s, each), max_bytes "
		"(128KiB), source_max_bytes (48KiB), log_max_bytes (4MiB, of a failing job's "
		"log); github {enabled: true, timeout}; prometheus, loki, argocd, kubernetes, "
		"grafana {url, token_file, ca_file, timeout}. prometheus and loki: queries, a list "
		"of {name, query: 'up{job=\"{{ .labels.job }}\"}', range, step, limit}; a query "
		"that the incident has nothing to fill with is not asked. argocd: application; "
		"kubernetes: namespace, pod, selector; loki: tenant; all {{ jq }} over the "
		"incident."),
	MEMORY_OPTIONS(struct reasoner_config, cases.memory),
};

const struct option_table reasoner_options = {
	.file = "reasoner.yaml",
	.env_prefix = "HEALBUS_REASONER_",
	.rows = rows,
	.n = ARRAY_SIZE(rows),
};

int reasoner_prepare(void *config, struct why *out_why)
{
	struct reasoner_config *c = config;
	const char *dirs[] = {c->runbooks_dir, c->runbooks_local_dir};
	return runbooks_load(dirs, ARRAY_SIZE(dirs), &c->cases.runbooks, out_why);
}

int reasoner_prepare_stage(void *config, struct why *out_why)
{
	int rc = reasoner_prepare(config, out_why);
	return rc ? rc : knowledge_load(config, out_why);
}

void reasoner_unprepare(void *config)
{
	struct reasoner_config *c = config;
	runbooks_free(c->cases.runbooks);
	c->cases.runbooks = NULL;
	knowledge_release(c);
}
