#include "executor/catalogue_parse.h"

#include "common/mem.h"
#include "executor/runners/runner.h"

enum { VERIFY_DEADLINE_MS = 30000, VERIFY_INTERVAL_MS = 1000, KEYS_MAX = 40 };

static const char *const tool_keys[] = {"name",   "summary",  "level",      "params",    "variants",
					"verify", "rollback", "idempotent", "retry_safe"};
static const char *const call_keys[] = {"runner", "timeout", "output_limit", "success"};

static int parse_level(const struct yaml_node *node, Healbus__Level *out, struct why *out_why)
{
	static const char *const names[] = {"", "none", "soft", "hard", "forbidden"};
	const char *text = NULL;
	int rc = yaml_str(node, "level", &text, out_why);
	for (size_t i = 1; !rc && i < ARRAY_SIZE(names); i++) {
		if (!str_eq(names[i], text))
			continue;
		*out = (Healbus__Level)i;
		return 0;
	}
	return rc ? rc : yaml_error(node, out_why, "level: none, soft, hard or forbidden");
}

static int parse_exit_codes(struct call *c, const struct yaml_node *node, struct why *out_why)
{
	c->n_exit_codes = 0;
	c->success = NULL;
	if (node->count > EXIT_CODES_MAX)
		return yaml_error(node, out_why, "success: at most %d exit codes", EXIT_CODES_MAX);
	YAML_EACH(item, node)
	{
		int64_t code = 0;
		int rc = yaml_int(item, "success", 0, 599, &code, out_why);
		if (rc)
			return rc;
		c->exit_codes[c->n_exit_codes++] = (int)code;
	}
	return 0;
}

static int parse_success(struct catalogue *cat, struct call *c, const struct yaml_node *node,
			 struct why *out_why)
{
	if (!node)
		return 0;
	if (node->type == YAML_LIST)
		return parse_exit_codes(c, node, out_why);
	return catalogue_expr(cat, node, "success", &c->success, out_why);
}

static int parse_limits(struct call *c, const struct yaml_node *node, struct why *out_why)
{
	const struct yaml_node *timeout = yaml_get(node, "timeout");
	const struct yaml_node *limit = yaml_get(node, "output_limit");
	int rc = 0;
	if (timeout)
		rc = yaml_duration_ms(timeout, "timeout", 100, TOOL_TIMEOUT_MAX_MS, &c->timeout_ms,
				      out_why);
	if (!rc && limit)
		rc = yaml_int(limit, "output_limit", 1, TOOL_OUTPUT_BYTES, &c->output_limit_bytes,
			      out_why);
	return rc;
}

/* The keys that may stand in a tool (or in one of its variants) with this runner. */
static int check_keys(const struct yaml_node *node, const struct runner *runner, bool variant,
		      struct why *out_why)
{
	const char *keys[KEYS_MAX];
	size_t n = 0;
	for (size_t i = 0; !variant && i < ARRAY_SIZE(tool_keys); i++)
		keys[n++] = tool_keys[i];
	if (variant)
		keys[n++] = "when";
	for (size_t i = 0; i < ARRAY_SIZE(call_keys); i++)
		keys[n++] = call_keys[i];
	for (size_t i = 0; i < runner->n_keys && n < KEYS_MAX; i++)
		keys[n++] = runner->keys[i];
	return yaml_only_keys(node, keys, n, out_why);
}

static int find_runner(const struct yaml_node *base, const struct yaml_node *variant,
		       const struct runner **out, struct why *out_why)
{
	const struct yaml_node *node = yaml_get(variant, "runner");
	const char *name = "command";
	if (!node)
		node = yaml_get(base, "runner");
	int rc = node ? yaml_str(node, "runner", &name, out_why) : 0;
	if (rc)
		return rc;
	*out = runner_find(name);
	return *out ? 0 : yaml_error(node, out_why, "runner: no runner \"%s\"", name);
}

static int parse_part(struct catalogue *cat, struct call *c, const struct yaml_node *node,
		      struct why *out_why)
{
	int rc = parse_limits(c, node, out_why);
	if (!rc)
		rc = parse_success(cat, c, yaml_get(node, "success"), out_why);
	return rc ? rc : c->runner->parse(c->spec, cat, node, out_why);
}

/* A call is the tool's own keys, overridden by the variant's. */
static int parse_call(struct catalogue *cat, const struct yaml_node *base,
		      const struct yaml_node *variant, struct tool *t, struct why *out_why)
{
	struct call *c = &t->calls[t->n_calls++];
	bool texts = params_have_text(&t->params);
	*c = (struct call){.timeout_ms = TOOL_TIMEOUT_MS, .output_limit_bytes = TOOL_OUTPUT_BYTES};
	int rc = find_runner(base, variant, &c->runner, out_why);
	if (rc)
		return rc;
	c->spec = c->runner->spec_new();
	rc = check_keys(base, c->runner, false, out_why);
	if (!rc)
		rc = parse_part(cat, c, base, out_why);
	if (!rc && variant)
		rc = check_keys(variant, c->runner, true, out_why);
	if (!rc && variant)
		rc = parse_part(cat, c, variant, out_why);
	const struct yaml_node *when = yaml_get(variant, "when");
	if (!rc && when)
		rc = catalogue_expr(cat, when, "when", &c->when, out_why);
	if (!rc && texts && !c->runner->takes_texts)
		rc = yaml_error(base, out_why, "params: runner %s takes no text", c->runner->name);
	struct why why = {0};
	if (!rc && c->runner->check(c->spec, &why))
		rc = yaml_error(variant ? variant : base, out_why, "%s", why.text);
	return rc;
}

static int parse_calls(struct catalogue *cat, const struct yaml_node *node, struct tool *t,
		       struct why *out_why)
{
	const struct yaml_node *variants = yaml_get(node, "variants");
	if (variants && (variants->type != YAML_LIST || variants->count == 0))
		return yaml_error(variants, out_why, "variants: must be a list");
	t->calls = mem_calloc(variants ? variants->count : 1, sizeof(*t->calls));
	if (!variants)
		return parse_call(cat, node, NULL, t, out_why);
	YAML_EACH(item, variants)
	{
		int rc = parse_call(cat, node, item, t, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

static int parse_args(struct catalogue *cat, const struct yaml_node *node, struct tool_ref *ref,
		      struct why *out_why)
{
	if (!node)
		return 0;
	ref->args = mem_calloc(node->count, sizeof(*ref->args));
	YAML_EACH(item, node)
	{
		struct tool_arg *arg = &ref->args[ref->n_args++];
		arg->name = mem_strdup(item->key);
		int rc = catalogue_template(cat, item, "params", &arg->value, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

static int parse_ref(struct catalogue *cat, const struct yaml_node *node, struct tool_ref *ref,
		     struct why *out_why)
{
	static const char *const keys[] = {"tool", "params", "deadline", "interval"};
	if (!node)
		return 0;
	const char *tool = NULL;
	ref->deadline_ms = VERIFY_DEADLINE_MS;
	ref->interval_ms = VERIFY_INTERVAL_MS;
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = yaml_str(yaml_get(node, "tool"), "tool", &tool, out_why);
	const struct yaml_node *deadline = yaml_get(node, "deadline");
	if (!rc && deadline)
		rc = yaml_duration_ms(deadline, "deadline", 0, 3600000, &ref->deadline_ms, out_why);
	const struct yaml_node *interval = yaml_get(node, "interval");
	if (!rc && interval)
		rc = yaml_duration_ms(interval, "interval", 100, 60000, &ref->interval_ms, out_why);
	if (rc)
		return rc;
	ref->tool = mem_strdup(tool);
	return parse_args(cat, yaml_get(node, "params"), ref, out_why);
}

static int parse_flags(const struct yaml_node *node, struct tool *t, struct why *out_why)
{
	const struct yaml_node *idempotent = yaml_get(node, "idempotent");
	const struct yaml_node *retry_safe = yaml_get(node, "retry_safe");
	int rc = idempotent ? yaml_bool(idempotent, "idempotent", &t->idempotent, out_why) : 0;
	if (!rc && retry_safe)
		rc = yaml_bool(retry_safe, "retry_safe", &t->retry_safe, out_why);
	return rc;
}

int tool_parse(struct catalogue *cat, const struct yaml_node *node, struct tool *out,
	       struct why *out_why)
{
	const char *name = NULL, *summary = NULL;
	if (node->type != YAML_MAP)
		return yaml_error(node, out_why, "a tool is a map");
	int rc = yaml_str(yaml_get(node, "name"), "name", &name, out_why);
	if (!rc && !token_valid(name))
		rc = yaml_error(node, out_why, "name: must be 1-64 of [A-Za-z0-9_-]");
	if (!rc)
		rc = yaml_str(yaml_get(node, "summary"), "summary", &summary, out_why);
	if (rc)
		return rc;
	out->name = mem_strdup(name);
	out->summary = mem_strdup(summary);
	rc = parse_level(yaml_get(node, "level"), &out->level, out_why);
	if (!rc)
		rc = params_parse(yaml_get(node, "params"), &out->params, out_why);
	if (!rc)
		rc = parse_calls(cat, node, out, out_why);
	if (!rc)
		rc = parse_ref(cat, yaml_get(node, "verify"), &out->verify, out_why);
	if (!rc)
		rc = parse_ref(cat, yaml_get(node, "rollback"), &out->rollback, out_why);
	return rc ? rc : parse_flags(node, out, out_why);
}
