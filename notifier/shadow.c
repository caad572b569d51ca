#include "notifier/shadow.h"

static const struct {
	const char *name;
	bool agree, disagree;
} verdicts[SHADOW_VERDICTS] = {
	[SHADOW_OPEN] = {"open", false, false},    [SHADOW_SAME] = {"same", true, false},
	[SHADOW_TAKEN] = {"taken", true, false},   [SHADOW_DENIED] = {"denied", false, true},
	[SHADOW_UNDONE] = {"undone", false, true}, [SHADOW_NEEDLESS] = {"needless", false, true},
};

const char *shadow_verdict_name(enum shadow_verdict v)
{
	return verdicts[(unsigned)v < SHADOW_VERDICTS ? v : SHADOW_OPEN].name;
}

void shadow_deed_add(struct shadow_deeds *d, const char *tool, const char *target)
{
	if (d->n == SHADOW_DEEDS_MAX || !tool || !*tool || !target)
		return;
	struct shadow_deed *deed = &d->items[d->n++];
	snprintf(deed->tool, sizeof(deed->tool), "%s", tool);
	snprintf(deed->target, sizeof(deed->target), "%s", target);
}

void shadow_deeds_of(struct shadow_deeds *d, const Healbus__Plan *plan)
{
	d->n = 0;
	for (size_t i = 0; i < plan->n_steps; i++)
		shadow_deed_add(d, plan->steps[i]->tool, plan->steps[i]->target);
}

static bool share(const struct shadow_deeds *a, const struct shadow_deeds *b)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < b->n; k++)
			if (str_eq(a->items[i].tool, b->items[k].tool) &&
			    str_eq(a->items[i].target, b->items[k].target))
				return true;
	return false;
}

/* The latest word of a person about the same, while the incident lasted. */
static const struct shadow_sign *last_word(const struct shadow_plan *plan,
					   const struct shadow_sign *signs, size_t n)
{
	const struct shadow_sign *last = NULL;
	int64_t end_ms = plan->resolved_ms ? plan->resolved_ms : INT64_MAX;
	for (size_t i = 0; i < n; i++) {
		const struct shadow_sign *s = &signs[i];
		if (s->at_ms < plan->at_ms || s->at_ms > end_ms || !share(&plan->deeds, &s->deeds))
			continue;
		if (!last || s->at_ms >= last->at_ms)
			last = s;
	}
	return last;
}

struct shadow_judgement shadow_judge(const struct shadow_plan *plan,
				     const struct shadow_sign *signs, size_t n_signs,
				     int64_t patience_ms)
{
	const struct shadow_sign *word = last_word(plan, signs, n_signs);
	if (word)
		return (struct shadow_judgement){word->says, word};
	if (plan->acked_ms)
		return (struct shadow_judgement){.verdict = SHADOW_TAKEN};
	bool soon = plan->resolved_ms && plan->resolved_ms - plan->at_ms <= patience_ms;
	if (soon && !plan->acted)
		return (struct shadow_judgement){.verdict = SHADOW_NEEDLESS};
	return (struct shadow_judgement){.verdict = SHADOW_OPEN};
}

void shadow_count(struct shadow_tally *t, enum shadow_verdict v)
{
	t->by_verdict[v]++;
	t->agree += verdicts[v].agree;
	t->disagree += verdicts[v].disagree;
}
