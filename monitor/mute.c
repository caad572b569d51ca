#include "monitor/rules.h"

bool mute_active(const struct mute *m, int64_t now_ms)
{
	return interval_contains(&m->when, now_ms);
}

int64_t mutes_next_change_ms(const struct mutes *m, int64_t now_ms)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < m->n; i++)
		next = MIN(next, interval_next_change_ms(&m->items[i].when, now_ms));
	return next;
}

static int mute_parse(struct mute *m, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"name", "matchers", "time_intervals"};
	const struct yaml_node *list = yaml_get(node, "time_intervals");
	const char *name = NULL;
	int rc = node->type == YAML_MAP ? yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why)
					: yaml_error(node, out_why, "must be a map");

	if (!rc)
		rc = yaml_str(yaml_get(node, "name"), "name", &name, out_why);
	if (rc)
		return rc;
	m->name = mem_strdup(name);
	rc = matchers_from_yaml(yaml_get(node, "matchers"), &m->matchers, out_why);
	if (rc)
		return rc;
	if (!list)
		return yaml_error(node, out_why, "time_intervals: missing");
	return interval_parse(list, &m->when, out_why);
}

int mutes_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct mutes *mutes = field;

	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_LIST || node->count > RULES_MAX)
		return yaml_error(node, out_why, "must be a list of at most %d", RULES_MAX);
	mutes->items = mem_calloc(node->count + 1, sizeof(*mutes->items));
	YAML_EACH(item, node)
	{
		int rc = mute_parse(&mutes->items[mutes->n++], item, out_why);

		if (rc)
			return rc;
	}
	return 0;
}

void mutes_release(void *field)
{
	struct mutes *mutes = field;

	for (size_t i = 0; i < mutes->n; i++) {
		free(mutes->items[i].name);
		matchers_release(&mutes->items[i].matchers);
		interval_release(&mutes->items[i].when);
	}
	free(mutes->items);
	*mutes = (struct mutes){0};
}
