#include "reasoner/undo.h"

#include "reasoner/escalate.h"
#include "reasoner/plan.h"

static void change_put(struct desk *d, const Healbus__Outcome *outcome, Healbus__Change *change)
{
	auto_buf packed = {0};
	Healbus__Outcome row = *outcome;
	row.steps = NULL;
	row.n_steps = 0;
	row.changes = &change;
	row.n_changes = 1;
	wire_pack(&row.base, &packed);
	store_put_str(fold_txn(d->f), &table_changes, change->id, buf_str(&packed), packed.len);
}

int changes_record(struct desk *d, const Healbus__Outcome *outcome)
{
	for (size_t i = 0; i < outcome->n_changes; i++) {
		struct store_val val;
		Healbus__Change *change = outcome->changes[i];
		int rc = store_get_str(fold_txn(d->f), &table_changes, change->id, &val);
		if (rc == 0)
			continue;
		if (rc != ERR_NOT_FOUND)
			return rc;
		change_put(d, outcome, change);
		desk_timer(d, TIMER_CHANGE, change->id,
			   fold_now_ms(d->f) + d->settings->change_retain_ms);
	}
	return 0;
}

int change_forget(struct desk *d, const char *change)
{
	store_del_str(fold_txn(d->f), &table_changes, change);
	return 0;
}

static int change_load(struct desk *d, const char *id, Healbus__Outcome **out)
{
	struct store_val val;
	ProtobufCMessage *msg = NULL;
	int rc = store_get_str(fold_txn(d->f), &table_changes, id, &val);
	if (!rc)
		rc = desk_unpack(d, KIND_OUTCOME, &val, &msg);
	if (!rc)
		*out = (Healbus__Outcome *)msg;
	return rc;
}

static void undo_step(struct desk *d, const Healbus__Rollback *undo, Healbus__Plan *plan)
{
	Healbus__Step *step = arena_alloc(&d->arena, sizeof(*step));
	healbus__step__init(step);
	step->tool = undo->tool;
	step->target = undo->target;
	step->params = undo->params;
	step->n_params = undo->n_params;
	if (undo->has_timeout_ms)
		SET(step, timeout_ms, undo->timeout_ms);
	plan->steps = arena_alloc(&d->arena, sizeof(*plan->steps));
	plan->steps[plan->n_steps++] = step;
}

static char *undo_why(struct desk *d, const Healbus__Control *control,
		      const Healbus__Change *change)
{
	auto_buf text = {0};
	buf_printf(&text, "%s asked to take back: %s",
		   control->by && *control->by ? control->by : "somebody",
		   change->what && *change->what ? change->what : change->tool);
	if (control->reason && *control->reason)
		buf_printf(&text, " (%s)", control->reason);
	return wire_text(&d->arena, buf_str(&text), text.len, WIRE_LINE_MAX);
}

static Healbus__Plan *undo_plan(struct desk *d, const Healbus__Control *control,
				const Healbus__Outcome *row, const char *id)
{
	const Healbus__Change *change = row->changes[0];
	Healbus__Plan *plan = arena_alloc(&d->arena, sizeof(*plan));
	healbus__plan__init(plan);
	plan->id = arena_strdup(&d->arena, id);
	plan->incident = row->incident;
	plan->incident_key = row->incident_key;
	plan->undoes = change->id;
	plan->requested_by = control->by;
	plan->why = undo_why(d, control, change);
	SET(plan, attempt, 1);
	SET(plan, max_attempts, 1);
	SET(plan, provenance, HEALBUS__PROVENANCE__PROVENANCE_UNDO);
	SET(plan, confidence, 1);
	SET(plan, created_at_ms, fold_now_ms(d->f));
	SET(plan, not_after_ms, fold_now_ms(d->f) + d->settings->plan_ttl_ms);
	undo_step(d, change->undo, plan);
	return plan;
}

/* Labels and trust come from the case, which then rests: a human works on it now. */
static int undo_case(struct desk *d, Healbus__Plan *plan)
{
	struct case_file c;
	int rc = case_load(d, plan->incident, &c);
	if (rc == ERR_NOT_FOUND)
		return wire_check(KIND_PLAN, &plan->base, d->why);
	if (rc)
		return rc;
	plan->labels = c.incident->labels;
	plan->n_labels = c.incident->n_labels;
	SET(plan, severity, c.incident->severity);
	SET(plan, trusted, c.incident->trusted);
	rc = wire_check(KIND_PLAN, &plan->base, d->why);
	return rc ? rc : case_event(d, &c, CASE_TAKEN);
}

/* 0 when it can be undone; 1 when this very request was served before. */
static int undo_possible(struct desk *d, const Healbus__Control *control,
			 const Healbus__Outcome *row, const char *plan_id)
{
	const Healbus__Change *change = row->changes[0];
	if (change->undone_by && str_eq(change->undone_by, plan_id))
		return 1;
	if (change->undone_by && *change->undone_by)
		return why_set(d->why, ERR_INVALID, "control.change: %s is taken back by plan %s",
			       change->id, change->undone_by);
	if (!change->undo)
		return why_set(d->why, ERR_INVALID, "control.change: %s cannot be undone",
			       change->id);
	if (!control->incident || !str_eq(control->incident, row->incident))
		return why_set(d->why, ERR_INVALID, "control.incident: change %s belongs to %s",
			       change->id, row->incident);
	return 0;
}

int undo_request(struct desk *d, const Healbus__Control *control)
{
	char id[ID_BYTES];
	Healbus__Outcome *row = NULL;
	const char *wanted = control->change;
	int rc = change_load(d, wanted, &row);
	if (rc == ERR_NOT_FOUND)
		return why_set(d->why, ERR_INVALID, "control.change: %s is not known", wanted);
	if (rc)
		return rc;
	id_make(id, "plan", row->incident, "undo", wanted, control->id);
	rc = undo_possible(d, control, row, id);
	if (rc)
		return MIN(rc, 0);
	Healbus__Plan *plan = undo_plan(d, control, row, id);
	rc = undo_case(d, plan);
	if (rc)
		return rc;
	row->changes[0]->undone_by = plan->id;
	change_put(d, row, row->changes[0]);
	plan_send(d, plan);
	return 0;
}

int undo_ended(struct desk *d, const Healbus__Plan *plan, bool done, const char *reason)
{
	Healbus__Outcome *row = NULL;
	struct case_file c;
	int rc = done ? ERR_NOT_FOUND : change_load(d, plan->undoes, &row);
	if (rc == ERR_NOT_FOUND)
		return 0;
	if (rc)
		return rc;
	row->changes[0]->undone_by = NULL;
	change_put(d, row, row->changes[0]);
	rc = case_load(d, plan->incident, &c);
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	/* Whatever was told before: who asked for this must hear of it. */
	c.row.escalated = 0;
	case_escalate(d, &c, "taking a change back did not work: %s", reason);
	case_save(d, &c);
	return 0;
}
