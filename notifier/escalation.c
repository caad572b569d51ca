#include "notifier/escalation.h"

#include "common/id.h"
#include "common/mem.h"

enum { DAY_MS = 86400 * 1000, SUMMARY_AFTER_MS = 15 * 60 * 1000, EVERY_MIN_MS = 10 * 1000 };

static const char *const target_prefixes[TARGET_KINDS] = {
	[TARGET_PERSON] = "person:",
	[TARGET_ONCALL] = "oncall:",
	[TARGET_CHANNEL] = "channel:",
	[TARGET_RECEIVER] = "receiver:",
};

/* ---- YAML ---- */

static int target_parse(const struct yaml_node *node, struct target *out, struct why *out_why)
{
	const char *text = NULL;
	int rc = yaml_str(node, "to", &text, out_why);
	if (rc)
		return rc;
	out->kind = TARGET_PERSON;
	for (unsigned k = 0; k < TARGET_KINDS; k++) {
		if (!str_starts(text, target_prefixes[k]))
			continue;
		out->kind = (enum target_kind)k;
		text += strlen(target_prefixes[k]);
		break;
	}
	if (!token_valid(text))
		return yaml_error(node, out_why,
				  "to: \"%s\" is neither a person nor oncall:NAME, channel:NAME or "
				  "receiver:NAME",
				  node->scalar);
	out->name = mem_strdup(text);
	return 0;
}

static int targets_parse(const struct yaml_node *map, struct escalation_step *out,
			 struct why *out_why)
{
	const struct yaml_node *list = yaml_get(map, "to");
	if (!list || list->type != YAML_LIST || !list->count ||
	    list->count > ESCALATION_TARGETS_MAX)
		return yaml_error(list ? list : map, out_why, "to: a list of 1 to %d",
				  ESCALATION_TARGETS_MAX);
	YAML_EACH(item, list)
	{
		int rc = target_parse(item, &out->targets[out->n_targets++], out_why);
		if (rc)
			return rc;
	}
	return 0;
}

static int step_parse(const struct yaml_node *map, struct escalation_step *out, struct why *out_why)
{
	static const char *const keys[] = {"after", "to", "repeat", "every"};
	int rc = yaml_only_keys(map, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = targets_parse(map, out, out_why);
	if (!rc)
		rc = yaml_duration_ms(yaml_get(map, "after"), "after", 0, 7 * (int64_t)DAY_MS,
				      &out->after_ms, out_why);
	if (!rc)
		rc = yaml_int(yaml_get(map, "repeat"), "repeat", 0, ESCALATION_BEATS_MAX,
			      &out->repeat, out_why);
	if (!rc)
		rc = yaml_duration_ms(yaml_get(map, "every"), "every", EVERY_MIN_MS, DAY_MS,
				      &out->every_ms, out_why);
	if (!rc && out->repeat && !out->every_ms)
		rc = yaml_error(map, out_why, "every: missing: how long between repeats");
	return rc;
}

static int steps_parse(const struct yaml_node *map, struct escalation *out, struct why *out_why)
{
	const struct yaml_node *list = yaml_get(map, "steps");
	if (!list || list->type != YAML_LIST || !list->count || list->count > ESCALATION_STEPS_MAX)
		return yaml_error(list ? list : map, out_why, "steps: a list of 1 to %d",
				  ESCALATION_STEPS_MAX);
	out->steps = mem_calloc(list->count, sizeof(*out->steps));
	YAML_EACH(item, list)
	{
		struct escalation_step *step = &out->steps[out->n_steps++];
		int rc = step_parse(item, step, out_why);
		if (!rc && out->n_steps > 1 && step->after_ms < step[-1].after_ms)
			rc = yaml_error(item, out_why,
					"after: counts from the beginning, so it may not be less "
					"than that of the step before");
		if (rc)
			return rc;
	}
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct escalation_beat *x = a, *y = b;
	if (x->at_ms != y->at_ms)
		return x->at_ms < y->at_ms ? -1 : 1;
	if (x->step != y->step)
		return x->step < y->step ? -1 : 1;
	return x->turn < y->turn ? -1 : x->turn > y->turn;
}

static int lay_out(struct escalation *e, const struct yaml_node *map, struct why *out_why)
{
	for (size_t i = 0; i < e->n_steps; i++) {
		const struct escalation_step *s = &e->steps[i];
		for (int64_t turn = 0; turn <= s->repeat; turn++) {
			if (e->n_beats + 1 == ESCALATION_BEATS_MAX)
				return yaml_error(map, out_why,
						  "repeat: one incident would be told more than %d "
						  "times",
						  ESCALATION_BEATS_MAX);
			e->beats[e->n_beats++] = (struct escalation_beat){
				s->after_ms + turn * s->every_ms, i, (unsigned)turn, false};
		}
	}
	qsort(e->beats, e->n_beats, sizeof(*e->beats), by_time);
	int64_t end_ms = e->beats[e->n_beats - 1].at_ms + e->summary_after_ms;
	e->beats[e->n_beats++] =
		(struct escalation_beat){.at_ms = end_ms, .step = e->n_steps - 1, .summary = true};
	return 0;
}

static int escalation_parse(const struct yaml_node *map, struct escalation *out,
			    struct why *out_why)
{
	static const char *const keys[] = {"name", "steps", "summary_after"};
	int rc = yaml_only_keys(map, keys, ARRAY_SIZE(keys), out_why);
	const struct yaml_node *name = yaml_get(map, "name");
	if (rc)
		return rc;
	if (!name || !name->scalar || !token_valid(name->scalar))
		return yaml_error(map, out_why,
				  "escalations: name must be 1 to 64 of [A-Za-z0-9_-]");
	out->name = mem_strdup(name->scalar);
	out->summary_after_ms = SUMMARY_AFTER_MS;
	rc = yaml_duration_ms(yaml_get(map, "summary_after"), "summary_after", 0, DAY_MS,
			      &out->summary_after_ms, out_why);
	if (!rc)
		rc = steps_parse(map, out, out_why);
	if (!rc)
		rc = lay_out(out, map, out_why);
	return rc;
}

int escalations_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct escalations *all = field;
	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_LIST || node->count > ESCALATIONS_MAX)
		return yaml_error(node, out_why, "escalations: a list of at most %d",
				  ESCALATIONS_MAX);
	all->items = mem_calloc(node->count, sizeof(*all->items));
	YAML_EACH(item, node)
	{
		struct escalation *e = &all->items[all->n++];
		int rc = escalation_parse(item, e, out_why);
		if (rc)
			return rc;
		if (escalation_find(all, e->name) != e)
			return yaml_error(item, out_why, "escalations: \"%s\" is there twice",
					  e->name);
	}
	return 0;
}

static void step_release(struct escalation_step *s)
{
	for (size_t i = 0; i < s->n_targets; i++)
		free(s->targets[i].name);
}

void escalations_release(void *field)
{
	struct escalations *all = field;
	for (size_t i = 0; i < all->n; i++) {
		struct escalation *e = &all->items[i];
		for (size_t k = 0; k < e->n_steps; k++)
			step_release(&e->steps[k]);
		free(e->steps);
		free(e->name);
	}
	free(all->items);
	*all = (struct escalations){0};
}

/* ---- use ---- */

const struct escalation *escalation_find(const struct escalations *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (str_eq(all->items[i].name, name))
			return &all->items[i];
	return NULL;
}

static bool target_known(const struct target *t, const struct escalation_names *known)
{
	bool (*const by_kind[TARGET_KINDS])(const void *ctx, const char *name) = {
		[TARGET_PERSON] = known->person,
		[TARGET_ONCALL] = known->oncall,
		[TARGET_CHANNEL] = known->channel,
		[TARGET_RECEIVER] = known->receiver,
	};
	return !by_kind[t->kind] || by_kind[t->kind](known->ctx, t->name);
}

static int step_check(const struct escalation *e, const struct escalation_step *s,
		      const struct escalation_names *known, struct why *out_why)
{
	for (size_t i = 0; i < s->n_targets; i++)
		if (!target_known(&s->targets[i], known))
			return why_set(out_why, ERR_CONFIG, "escalations: %s: %s%s is not defined",
				       e->name, target_prefixes[s->targets[i].kind],
				       s->targets[i].name);
	return 0;
}

int escalations_check(const struct escalations *all, const struct escalation_names *known,
		      struct why *out_why)
{
	int rc = 0;
	for (size_t i = 0; i < all->n && !rc; i++)
		for (size_t k = 0; k < all->items[i].n_steps && !rc; k++)
			rc = step_check(&all->items[i], &all->items[i].steps[k], known, out_why);
	return rc;
}
