#include "executor/config.h"

#include "common/mem.h"
#include "executor/guard.h"
#include "executor/runners/git_private.h"
#include "executor/runners/mcp_talk.h"

static const char *const autonomy_names[] = {"observe", "dry-run", "approve", "auto", NULL};
static const char *const sandbox_names[] = {"auto", "bwrap", "landlock", NULL};

const char *autonomy_name(enum autonomy a)
{
	return autonomy_names[a];
}

static int parse_name(const struct yaml_node *node, const char *what, const char *const *names,
		      int64_t *out, struct why *out_why)
{
	const char *text = NULL;
	int rc = yaml_str(node, what, &text, out_why);
	for (int64_t i = 0; !rc && names[i]; i++) {
		if (!str_eq(names[i], text))
			continue;
		*out = i;
		return 0;
	}
	return rc ? rc
		  : yaml_error(node, out_why, "%s: \"%s\" is not one of its values", what, text);
}

static int parse_rule(struct rule *r, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"match", "autonomy", "max_level"};
	static const char *const levels[] = {"", "none", "soft", "hard", NULL};
	int64_t autonomy = 0, level = HEALBUS__LEVEL__LEVEL_SOFT;
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = matchers_from_yaml(yaml_get(node, "match"), &r->match, out_why);
	if (!rc)
		rc = parse_name(yaml_get(node, "autonomy"), "autonomy", autonomy_names, &autonomy,
				out_why);
	const struct yaml_node *max = yaml_get(node, "max_level");
	if (!rc && max)
		rc = parse_name(max, "max_level", levels, &level, out_why);
	r->autonomy = (enum autonomy)autonomy;
	r->max_level = (Healbus__Level)level;
	return rc;
}

static int parse_rules(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct rules *rules = field;
	if (!node || node->count == 0)
		return 0;
	if (node->type != YAML_LIST)
		return yaml_error(node, out_why, "rules: must be a list");
	rules->items = mem_calloc(node->count, sizeof(*rules->items));
	YAML_EACH(item, node)
	{
		int rc = parse_rule(&rules->items[rules->n++], item, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

static void release_rules(void *field)
{
	struct rules *rules = field;
	for (size_t i = 0; i < rules->n; i++)
		matchers_release(&rules->items[i].match);
	free(rules->items);
	*rules = (struct rules){0};
}

static int parse_guard(void *field, const struct yaml_node *node, struct why *out_why)
{
	auto_buf text = {0};
	if (!node)
		return 0;
	yaml_to_json(node, &text);
	json_t *json = json_loads(buf_str(&text), JSON_DECODE_ANY, NULL);
	struct guard_policy policy = {0};
	struct why why = {0};
	*(json_t **)field = json;
	if (guard_policy_parse(json, NULL, &policy, &why))
		return yaml_error(node, out_why, "%s", why.text);
	guard_policy_release(&policy);
	return 0;
}

static void release_guard(void *field)
{
	json_decref(*(json_t **)field);
	*(json_t **)field = NULL;
}

static void release_nothing(void *field)
{
	(void)field; /* the row of `targets:` frees both */
}

#define T struct executor_config
static const struct option rows[] = {
	STAGE_OPTIONS(T, "executor", "127.0.0.1:9097"),
	OPT_PATH(T, tools_dir, "tools_dir", "/usr/local/share/healbus/tools",
		 "Directory of the tools' YAML files, one tool each."),
	OPT_PATH(T, decision_key_file, "decision_key_file", NULL,
		 "Public key (PEM) of the notifier, which signs people's decisions. Without it "
		 "nobody can approve anything."),
	OPT_INT(T, workers, "workers", "4", 1, 64,
		"How many plans are under way at once in this process."),
	OPT_ENUM(T, autonomy, "autonomy", "approve", autonomy_names,
		 "What happens to a plan that no rule matches: observe (say only), dry-run (render "
		 "only), approve (ask for all that changes something), auto (act)."),
	OPT_TREE(
		T, rules, "rules", parse_rules, release_rules,
		"A list of {match, autonomy, max_level}; the first match decides. match: label "
		"matchers, on the plan's labels and on tool, target, kind, group, level, severity, "
		"provenance, runbook. max_level: what auto runs unasked (none, soft, hard; default "
		"soft)."),
	OPT_TREE(T, inventory, "targets", inventory_parse_targets, inventory_release,
		 "What may be acted upon: a list of {id, kind, labels, tools, paths, hosts, group, "
		 "critical, check, manager, attributes}. What is not here cannot be touched."),
	OPT_TREE(T, inventory, "groups", inventory_parse_groups, release_nothing,
		 "A list of {id, min_healthy}: so many members (a count or a percentage) must be "
		 "healthy while another is acted upon."),
	OPT_DURATION(
		T, approval_deadline_ms, "approval_deadline", "5m", 1000, 86400000,
		"How long people have to answer about what destroys or interrupts (level hard). "
		"Silence means no."),
	OPT_DURATION(T, approval_deadline_soft_ms, "approval_deadline_soft", "1h", 1000, 86400000,
		     "The same for plans of which every step can be undone; never longer than the "
		     "plan is valid."),
	OPT_INT(T, target_rate, "rate.target_per_hour", "6", 0, 500,
		"Plans that begin to change one target within an hour, by all executors. A plan "
		"under way is never held in its middle. 0: no limit."),
	OPT_INT(T, global_rate, "rate.global_per_hour", "60", 0, 500,
		"Plans that begin to change anything within an hour, by all executors. 0: no "
		"limit."),
	OPT_DURATION(T, cooldown_ms, "rate.cooldown", "30s", 0, 86400000,
		     "Pause on a target between the actions of two plans."),
	OPT_DURATION(
		T, audit_age_ms, "audit_age", "400d", 0, INT64_C(3650) * 86400000,
		"How long the audit chain keeps its records; a record of its own names what is "
		"cut off, by its last digest. 0: for ever. What the journal knows of steps goes "
		"by keep.story_age of bus.yaml: a week after it."),
	OPT_ENUM(T, sandbox, "sandbox", "auto", sandbox_names,
		 "auto takes the strongest that works here: bwrap (namespaces and seccomp), else "
		 "landlock (file rules and seccomp). Where neither works no command is run."),
	OPT_BOOL(T, allow_unsandboxed, "allow_unsandboxed", "false",
		 "Whether tools that say sandbox: none may run at all."),
	OPT_TREE(
		T, guard, "guard", parse_guard, release_guard,
		"What every patch is looked at for: {verdicts: {CHECK: allow|ask|refuse}, paths, "
		"dependencies, hosts, max_files, max_lines, max_line_bytes}. A repository's target "
		"may say more in its attribute guard. Secrets, hidden characters, links out of the "
		"tree, submodules and paths into .git never pass unasked."),
	OPT_PATH(T, places.docker.socket, "docker.socket", NULL,
		 "A Docker Engine's socket, for repositories whose attribute sandbox is docker: "
		 "their checks run in containers. Whoever may use it is root there, so best an "
		 "Engine of its own, rootless or elsewhere; never the broker's, which makes none."),
	OPT_STRING(T, places.docker.image, "docker.image", NULL,
		   "The image of those containers; it must be there already, with sh, sleep and "
		   "what the checks need."),
	OPT_STRING(T, places.kubernetes.url, "kubernetes.url", NULL,
		   "The API server, for repositories whose attribute sandbox is kubernetes: their "
		   "checks run in Jobs. In a pod: https://kubernetes.default.svc"),
	OPT_PATH(T, places.kubernetes.token_file, "kubernetes.token_file", NULL,
		 "A file with the bearer token, read for each call, mode 0600. It may create and "
		 "delete jobs, create secrets, list pods and get pods/log, in the namespace and "
		 "nowhere else."),
	OPT_PATH(T, places.kubernetes.ca_file, "kubernetes.ca_file", NULL,
		 "Certificates (PEM) that the API server may show; default: the system's."),
	OPT_STRING(T, places.kubernetes.namespace, "kubernetes.namespace", "healbus-cells",
		   "Where Jobs and Secrets are made: a namespace of its own, with the restricted "
		   "Pod Security Standard and a NetworkPolicy that denies all."),
	OPT_STRING(T, places.kubernetes.image, "kubernetes.image", NULL,
		   "The image of those pods: with sh, GNU tar, gzip, base64, awk, sed and what the "
		   "checks need; best by digest."),
	OPT_STRING(T, places.kubernetes.node_selector, "kubernetes.node_selector", NULL,
		   "Labels of the nodes that such pods may be on: key=value, separated by commas."),
	OPT_STRING(T, places.kubernetes.runtime_class, "kubernetes.runtime_class", NULL,
		   "A RuntimeClass for those pods, e.g. one of gVisor or Kata."),
	OPT_DURATION(T, places.kubernetes.start_timeout_ms, "kubernetes.start_timeout", "2m", 1000,
		     3600000, "How long a pod may take to be scheduled and to get its image."),
	OPT_BOOL(T, places.kubernetes.network_policy, "kubernetes.network_policy", "false",
		 "Whether a NetworkPolicy denies those pods all traffic, and the cluster's network "
		 "enforces it. Without this word nothing is run there."),
	OPT_STRING(T, places.truefoundry.url, "truefoundry.url", NULL,
		   "The control plane, for repositories whose attribute sandbox is truefoundry: "
		   "their checks run in runs of a deployed job (deploy/truefoundry)."),
	OPT_PATH(T, places.truefoundry.token_file, "truefoundry.token_file", NULL,
		 "A file with the bearer token, read for each call, mode 0600."),
	OPT_PATH(T, places.truefoundry.ca_file, "truefoundry.ca_file", NULL,
		 "Certificates (PEM) that the control plane may show; default: the system's."),
	OPT_STRING(T, places.truefoundry.job, "truefoundry.job", NULL,
		   "The application id of that job."),
	OPT_BOOL(T, places.truefoundry.network_policy, "truefoundry.network_policy", "false",
		 "Whether a NetworkPolicy denies that job's pods all traffic, and the cluster's "
		 "network enforces it. Without this word nothing is run there."),
	GITHUB_OPTIONS(T, github),
	OPT_STRING(T, git_protocols, "git.protocols", "https",
		   "Schemes that urls of repositories may have, separated by commas: https, http, "
		   "file."),
	OPT_STRING(T, git_name, "git.name", "healbus", "Who commits fixes."),
	OPT_STRING(T, git_email, "git.email", "healbus@localhost",
		   "The address of who commits fixes; by it a branch is known as ours."),
	OPT_PATH(T, git_ca_file, "git.ca_file", NULL,
		 "Certificates (PEM) that git servers may show; default: the system's."),
	OPT_BOOL(T, mcp_enabled, "mcp.enabled", "false",
		 "Offers the tools to agents over MCP, at /mcp and, for older ones, /sse, to whom "
		 "http.token_file lets in. What they call is weighed like any plan; without a "
		 "token file, a person is asked for all that changes something."),
	OPT_DURATION(T, mcp_wait_ms, "mcp.wait", "30s", 0, 3600000,
		     "How long a call waits for its outcome before it is answered with how far it "
		     "is."),
	OPT_TREE(T, mcp_servers, "mcp_servers", mcp_servers_parse, mcp_servers_release,
		 "MCP servers of others, for tools with runner mcp: a list of {name, url, "
		 "transport, token_file, ca_file} (transport: http or sse), or of {name, argv, "
		 "network} for programs, which run in the sandbox and speak by stdio."),
};
#undef T

const struct option_table executor_options = {.file = "executor.yaml",
					      .env_prefix = "HEALBUS_EXECUTOR_",
					      .rows = rows,
					      .n = ARRAY_SIZE(rows)};

static int check_tools(const struct executor_config *c, struct why *out_why)
{
	for (size_t i = 0; i < c->inventory.n; i++) {
		const struct target *t = &c->inventory.targets[i];
		const struct tool *tool = tool_find(c->catalogue, t->check_tool);
		if (!t->check_tool)
			continue;
		if (!tool || tool->level != HEALBUS__LEVEL__LEVEL_NONE)
			return why_set(out_why, ERR_CONFIG,
				       "target %s: check: %s is not a read-only tool", t->id,
				       t->check_tool);
		if (!target_allows_tool(t, t->check_tool))
			return why_set(out_why, ERR_CONFIG,
				       "target %s: check: %s is not one of its tools", t->id,
				       t->check_tool);
	}
	return 0;
}

static int check_remote_tools(const struct executor_config *c, struct why *out_why)
{
	for (size_t i = 0; i < catalogue_size(c->catalogue); i++) {
		const struct tool *t = catalogue_tool(c->catalogue, i);
		for (size_t k = 0; k < t->n_calls; k++) {
			const char *server = t->calls[k].runner == &runner_mcp
						     ? mcp_spec_server(t->calls[k].spec)
						     : NULL;
			if (server && !mcp_server_find(&c->mcp_servers, server))
				return why_set(out_why, ERR_CONFIG,
					       "tool %s: server: mcp_servers has no %s", t->name,
					       server);
		}
	}
	return 0;
}

/* The notifier makes its key at its first start, perhaps after ours: absence is not an error. */
static int check_key(const struct executor_config *c, struct why *out_why)
{
	struct verify_key *key = NULL;
	if (!c->decision_key_file || access(c->decision_key_file, F_OK) != 0)
		return 0;
	int rc = verify_key_load(c->decision_key_file, &key, out_why);
	verify_key_free(key);
	return rc;
}

static bool scheme_allowed(const char *list, const char *scheme)
{
	size_t len = strlen(scheme);
	for (const char *p = list; p && *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ',')) {
		p += strspn(p, " ");
		if (strncmp(p, scheme, len) == 0 && strchr(", ", p[len]))
			return true;
	}
	return false;
}

static int check_repositories(const struct executor_config *c, struct why *out_why)
{
	for (size_t i = 0; i < c->inventory.n; i++) {
		const struct target *t = &c->inventory.targets[i];
		struct git_target git = {0};
		if (!t->kind || !str_eq(t->kind, "repository"))
			continue;
		int rc = git_target_parse(t->json, &git, out_why);
		if (!rc && !scheme_allowed(c->git_protocols, git.scheme))
			rc = why_set(out_why, ERR_CONFIG,
				     "attributes.url: git.protocols does not list %s", git.scheme);
		if (!rc && git.sandbox)
			rc = place_find(git.sandbox)->check(&c->places, out_why);
		git_target_release(&git);
		if (rc)
			return why_prefix(out_why, rc, "target %s", t->id);
	}
	return 0;
}

/* A target's own keys win over those that hold for all. */
static int merge_guard(const struct executor_config *c, struct target *t, struct why *out_why)
{
	struct guard_policy policy = {0};
	json_t *merged = c->guard ? json_deep_copy(c->guard) : json_object();
	json_t *own = json_object_get(t->json, "guard");
	int rc = own && !json_is_object(own)
			 ? why_set(out_why, ERR_CONFIG, "attributes.guard: must be a map")
			 : 0;
	if (!rc && own)
		json_object_update_recursive(merged, own);
	if (!rc)
		rc = guard_policy_parse(merged, NULL, &policy, out_why);
	guard_policy_release(&policy);
	if (rc || json_object_size(merged) == 0)
		json_decref(merged);
	else
		json_object_set_new(t->json, "guard", merged);
	return rc;
}

static int prepare_guards(struct executor_config *c, struct why *out_why)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < c->inventory.n; i++) {
		struct target *t = &c->inventory.targets[i];
		if (!t->kind || !str_eq(t->kind, "repository"))
			continue;
		rc = merge_guard(c, t, out_why);
		if (rc)
			why_prefix(out_why, rc, "target %s", t->id);
	}
	return rc;
}

int executor_prepare(void *config, struct why *out_why)
{
	struct executor_config *c = config;
	int rc = inventory_check(&c->inventory, out_why);
	if (!rc)
		rc = catalogue_load(c->tools_dir, &c->catalogue, out_why);
	if (!rc)
		rc = check_tools(c, out_why);
	if (!rc)
		rc = check_remote_tools(c, out_why);
	if (!rc)
		rc = check_key(c, out_why);
	if (!rc)
		rc = prepare_guards(c, out_why);
	if (!rc)
		rc = check_repositories(c, out_why);
	if (!rc)
		rc = github_new(&c->github, &c->github_client, out_why);
	if (rc)
		executor_unprepare(c);
	return rc;
}

void executor_unprepare(void *config)
{
	struct executor_config *c = config;
	catalogue_free(c->catalogue);
	c->catalogue = NULL;
	github_free(c->github_client);
	c->github_client = NULL;
}
