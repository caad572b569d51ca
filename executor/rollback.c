#include "executor/executor.h"

static void mark_undone(struct plan_run *run, size_t index)
{
	struct slot acted;
	slot_init(&acted, run, HEALBUS__PHASE__PHASE_ACT, index, NULL);
	for (size_t i = 0; i < run->n_changes; i++)
		if (str_eq(run->changes[i]->id, acted.id))
			run->changes[i]->undone_by = run->plan->id;
}

enum step_end plan_roll_back(struct plan_run *run, const bool *done)
{
	enum step_end worst = STEP_END_DONE;
	for (size_t i = run->prepared.n; i > 0; i--) {
		const struct step *s = &run->prepared.steps[i - 1];
		struct slot slot;
		if (!done[i - 1] || s->act.level <= HEALBUS__LEVEL__LEVEL_NONE)
			continue;
		if (!s->rollback.tool) {
			worst = STEP_END_FAILED;
			continue;
		}
		slot_init(&slot, run, HEALBUS__PHASE__PHASE_ROLLBACK, i - 1, &s->rollback);
		enum step_end end = step_act(run, &slot, NULL);
		if (end == STEP_END_WAIT)
			return end;
		if (end == STEP_END_DONE)
			mark_undone(run, i - 1);
		else
			worst = STEP_END_FAILED;
	}
	return worst;
}
