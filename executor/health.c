#include "executor/gate.h"

static bool is_healthy(const struct executor *ex, const struct target *t)
{
	struct action a = {0};
	struct why why = {0};
	struct run_limits limits = {.http = ex->http};
	struct action_result result = {0};
	if (action_prepare(ex->config, t->check_tool, t->id, t->check_params, t->n_check_params, &a,
			   &why))
		return false;
	action_run(ex->config, &a, &limits, &result);
	action_release(&a);
	bool healthy = result.end == ACTION_DONE;
	action_result_release(&result);
	return healthy;
}

int health_check(const struct executor *ex, const struct target *target, struct why *out_why)
{
	const struct inventory *inv = &ex->config->inventory;
	const struct target_group *group = group_find(inv, target->group);
	if (!group || group->min_healthy == 0)
		return 0;
	/* Acting on a member that is down already takes nothing away. */
	if (!is_healthy(ex, target))
		return 0;
	size_t members = 0, others = 0;
	for (size_t i = 0; i < inv->n; i++) {
		const struct target *t = &inv->targets[i];
		if (!t->group || !str_eq(t->group, group->id))
			continue;
		members++;
		others += t != target && is_healthy(ex, t);
	}
	if (others >= group_minimum(group, members))
		return 0;
	return why_set(out_why, ERR_BUSY, "group %s has too few healthy members", group->id);
}
