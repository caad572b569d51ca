/* How often each tool did what it should, kept with the incident for which it acted. */
#include "notifier/projection.h"

static bool counts(const Healbus__StepReport *s)
{
	return s->phase == HEALBUS__PHASE__PHASE_ACT && s->tool && token_valid(s->tool) &&
	       (s->state == HEALBUS__STEP_STATE__STEP_DONE ||
		s->state == HEALBUS__STEP_STATE__STEP_FAILED ||
		s->state == HEALBUS__STEP_STATE__STEP_UNKNOWN);
}

void tools_follow(struct fold *f, const struct fold_input *in)
{
	const Healbus__Outcome *o = (const Healbus__Outcome *)in->msg;
	if (in->kind != KIND_OUTCOME || o->verdict == HEALBUS__VERDICT__VERDICT_REHEARSED ||
	    o->verdict == HEALBUS__VERDICT__VERDICT_OBSERVED)
		return;
	for (size_t i = 0; i < o->n_steps; i++) {
		const Healbus__StepReport *s = o->steps[i];
		struct tool_row row = {0};
		struct store_val val;
		if (!counts(s))
			continue;
		struct key key = key_ref(in->token, REF_TOOL, s->tool);
		if (!store_get(fold_txn(f), &table_refs, key.bytes, key.len, &val) &&
		    val.len == sizeof(row))
			memcpy(&row, val.data, sizeof(row));
		row.runs++;
		row.done += s->state == HEALBUS__STEP_STATE__STEP_DONE;
		store_put(fold_txn(f), &table_refs, key.bytes, key.len, &row, sizeof(row));
	}
}
