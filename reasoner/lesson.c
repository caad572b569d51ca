#include "reasoner/lesson.h"

#include "reasoner/memory/memory.h"
#include "reasoner/repair.h"
#include "reasoner/memory/statistics.h"

void lesson_diagnosis(struct desk *d, const Healbus__ModelExchange *answer)
{
	auto_buf packed = {0};
	wire_pack(&answer->base, &packed);
	store_put_str(fold_txn(d->f), &table_diagnoses, answer->incident, buf_str(&packed),
		      packed.len);
}

static bool has_run(Healbus__Verdict verdict)
{
	return verdict == HEALBUS__VERDICT__VERDICT_HEALED ||
	       verdict == HEALBUS__VERDICT__VERDICT_FAILED ||
	       verdict == HEALBUS__VERDICT__VERDICT_ROLLED_BACK;
}

int lesson_outcome(struct desk *d, const Healbus__Plan *plan, const Healbus__Outcome *outcome)
{
	struct store_txn *txn = fold_txn(d->f);
	auto_buf packed = {0};
	bool healed = outcome->verdict == HEALBUS__VERDICT__VERDICT_HEALED;
	struct store_val patch;
	if (plan->provenance == HEALBUS__PROVENANCE__PROVENANCE_UNDO ||
	    plan->provenance == HEALBUS__PROVENANCE__PROVENANCE_AGENT || plan_only_says(plan))
		return 0;
	/* An agent left a patch: whether that helps, its own plan will tell. */
	if (store_get_str(txn, &table_patches, plan->id, &patch) == 0)
		return 0;
	wire_pack(&plan->base, &packed);
	store_put_str(txn, &table_last_plans, plan->incident, buf_str(&packed), packed.len);
	int rc = statistics_outcome(txn, plan, outcome);
	if (!rc && plan->memory && has_run(outcome->verdict) && !outcome_untried(outcome))
		rc = memory_used(txn, plan->memory, healed);
	return rc;
}

void lesson_did_not_last(struct desk *d, const Healbus__Attempt *attempt)
{
	const struct statistic_key key = {.failure_type = attempt->failure_type,
					  .specialist = attempt->specialist,
					  .tool = ""};
	if (attempt->specialist)
		statistics_correct(fold_txn(d->f), &key);
}

static int row_of(struct desk *d, const struct store_table *table, enum kind kind, const char *id,
		  ProtobufCMessage **out)
{
	struct store_val val;
	int rc = store_get_str(fold_txn(d->f), table, id, &val);
	return rc ? rc : desk_unpack(d, kind, &val, out);
}

/* The specialist that was asked first, and the one that healed it. */
static int note_misrouting(struct desk *d, const Healbus__Incident *i)
{
	const Healbus__Attempt *first = i->tried[0];
	const Healbus__Attempt *last = i->tried[i->n_tried - 1];
	if (!first->specialist || !last->specialist || !last->failure_type)
		return 0;
	return statistics_misrouted(fold_txn(d->f), last->failure_type, first->specialist,
				    last->specialist);
}

int lesson_learn(struct desk *d, const struct case_file *c)
{
	const Healbus__Incident *i = c->incident;
	ProtobufCMessage *plan = NULL, *answer = NULL;
	if (i->n_tried == 0)
		return 0;
	int rc = row_of(d, &table_last_plans, KIND_PLAN, i->id, &plan);
	if (!rc || rc == ERR_NOT_FOUND)
		rc = row_of(d, &table_diagnoses, KIND_MODEL, i->id, &answer);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	const Healbus__Attempt *last = i->tried[i->n_tried - 1];
	const struct memory_entry entry = {
		.incident = i,
		.diagnosis = answer ? ((Healbus__ModelExchange *)answer)->diagnosis : NULL,
		.plan = (Healbus__Plan *)plan,
		.healed = last->verdict == HEALBUS__VERDICT__VERDICT_HEALED,
		.at_ms = fold_now_ms(d->f),
		.max = (size_t)d->settings->memory.max,
	};
	rc = memory_note(fold_txn(d->f), &entry);
	if (!rc && entry.healed)
		rc = note_misrouting(d, i);
	/* What cannot be told later is no reason to stop now. */
	return rc == ERR_INVALID ? 0 : rc;
}

void lesson_drop(struct desk *d, const char *incident)
{
	store_del_str(fold_txn(d->f), &table_diagnoses, incident);
	store_del_str(fold_txn(d->f), &table_last_plans, incident);
}
