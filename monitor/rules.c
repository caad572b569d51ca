#include "monitor/rules.h"

enum { GRAIN_BELOW_MS = 480000 };

const struct source_grouping *rules_grouping(const struct rules *r, const char *source)
{
	for (size_t i = 0; i < r->n_groupings; i++) {
		if (str_eq(r->groupings[i].source, source))
			return &r->groupings[i];
	}
	return NULL;
}

/* How long an alert of this source stays firing without a repeat. */
static int64_t rules_timeout_ms(const struct rules *r, const char *source)
{
	for (size_t i = 0; i < r->n_timeouts; i++) {
		if (str_eq(r->timeouts[i].source, source))
			return r->timeouts[i].ms;
	}
	return r->resolve_timeout_ms;
}

int64_t rules_alert_timeout_ms(const struct rules *r, const char *source)
{
	int64_t ms = rules_timeout_ms(r, source);

	return ms ? ms : r->retention_ms;
}

int64_t rules_grain_ms(const struct rules *r, const char *source)
{
	int64_t timeout_ms = rules_alert_timeout_ms(r, source);

	return timeout_ms < GRAIN_BELOW_MS ? MAX(timeout_ms / 4, 1) : 0;
}

static int name_add(struct names *names, const struct yaml_node *node, struct why *out_why)
{
	const char *text;
	int rc = yaml_str(node, "name", &text, out_why);

	if (rc)
		return rc;
	if (!*text || strlen(text) >= WIRE_LABEL_NAME_MAX)
		return yaml_error(node, out_why, "a name has 1 to 127 characters");
	names->items = mem_realloc(names->items, (names->n + 1) * sizeof(*names->items));
	names->items[names->n++] = mem_strdup(text);
	return 0;
}

int names_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct names *names = field;

	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type == YAML_SCALAR)
		return name_add(names, node, out_why);
	if (node->type != YAML_LIST)
		return yaml_error(node, out_why, "must be a list of names");
	YAML_EACH(item, node)
	{
		int rc = name_add(names, item, out_why);

		if (rc)
			return rc;
	}
	return 0;
}

void names_release(void *field)
{
	struct names *names = field;

	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct names){0};
}

bool names_has(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++) {
		if (str_eq(names->items[i], name))
			return true;
	}
	return false;
}

static uint64_t rule_digest(const struct inhibit_rule *rule)
{
	auto_buf text = {0};

	matchers_print(&rule->source, &text);
	buf_add_str(&text, " => ");
	matchers_print(&rule->target, &text);
	for (size_t i = 0; i < rule->equal.n; i++)
		buf_printf(&text, " = %s", rule->equal.items[i]);
	return fnv1a(FNV_INIT, text.data, text.len);
}

static int rule_parse(struct inhibit_rule *rule, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"source_matchers", "target_matchers", "equal"};
	int rc;

	if (node->type != YAML_MAP)
		return yaml_error(node, out_why, "a rule is a map");
	rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = matchers_from_yaml(yaml_get(node, keys[0]), &rule->source, out_why);
	if (!rc)
		rc = matchers_from_yaml(yaml_get(node, keys[1]), &rule->target, out_why);
	if (!rc)
		rc = names_parse(&rule->equal, yaml_get(node, keys[2]), out_why);
	if (rc)
		return rc;
	if (!rule->source.n || !rule->target.n)
		return yaml_error(node, out_why,
				  "a rule needs source_matchers and target_matchers");
	rule->digest = rule_digest(rule);
	return 0;
}

int inhibit_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct inhibit_rules *rules = field;

	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_LIST || node->count > RULES_MAX)
		return yaml_error(node, out_why, "must be a list of at most %d rules", RULES_MAX);
	rules->items = mem_calloc(node->count + 1, sizeof(*rules->items));
	YAML_EACH(item, node)
	{
		int rc = rule_parse(&rules->items[rules->n++], item, out_why);

		if (rc)
			return rc;
	}
	return 0;
}

void inhibit_release(void *field)
{
	struct inhibit_rules *rules = field;

	for (size_t i = 0; i < rules->n; i++) {
		matchers_release(&rules->items[i].source);
		matchers_release(&rules->items[i].target);
		names_release(&rules->items[i].equal);
	}
	free(rules->items);
	*rules = (struct inhibit_rules){0};
}

int inhibit_check(const struct inhibit_rules *rules, const struct names *partition_by,
		  struct why *out_why)
{
	const char *need = partition_by->items[0];

	for (size_t i = 0; i < rules->n; i++) {
		if (!names_has(&rules->items[i].equal, need))
			return why_set(out_why, ERR_CONFIG,
				       "inhibit_rules[%zu]: equal must contain \"%s\" (the first "
				       "partition_by label): alerts of two partitions never meet",
				       i, need);
	}
	return 0;
}

uint64_t inhibit_digest(const struct inhibit_rules *rules)
{
	uint64_t hash = FNV_INIT;

	for (size_t i = 0; i < rules->n; i++)
		hash = fnv1a(hash, &rules->items[i].digest, sizeof(rules->items[i].digest));
	return hash;
}
