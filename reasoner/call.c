#include "reasoner/call.h"

#include "reasoner/plan.h"

static char *call_why(struct desk *d, const Healbus__Control *control)
{
	auto_buf text = {0};
	buf_printf(&text, "%s asked for %s on %s",
		   control->by && *control->by ? control->by : "an agent", control->call->tool,
		   control->call->target ? control->call->target : "");
	if (control->reason && *control->reason)
		buf_printf(&text, " (%s)", control->reason);
	return wire_text(&d->arena, buf_str(&text), text.len, WIRE_LINE_MAX);
}

static Healbus__Plan *call_plan(struct desk *d, const Healbus__Control *control)
{
	char id[ID_BYTES];
	/* Not now: a call that comes twice gives the same plan, and one that comes late expires. */
	int64_t asked_ms =
		control->at_ms > 0 ? MIN(control->at_ms, fold_now_ms(d->f)) : fold_now_ms(d->f);
	Healbus__Plan *plan = arena_alloc(&d->arena, sizeof(*plan));
	healbus__plan__init(plan);
	id_make(id, "plan", control->incident, "call", control->id);
	plan->id = arena_strdup(&d->arena, id);
	plan->incident = plan->incident_key = control->incident;
	plan->requested_by = control->by;
	plan->why = call_why(d, control);
	SET(plan, attempt, 1);
	SET(plan, max_attempts, 1);
	SET(plan, provenance, HEALBUS__PROVENANCE__PROVENANCE_AGENT);
	SET(plan, confidence, 1);
	SET(plan, created_at_ms, asked_ms);
	SET(plan, not_after_ms, asked_ms + d->settings->plan_ttl_ms);
	SET(plan, trusted, control->trusted);
	plan->steps = arena_alloc(&d->arena, sizeof(*plan->steps));
	plan->steps[plan->n_steps++] = control->call;
	return plan;
}

static int call_case(struct desk *d, Healbus__Plan *plan)
{
	struct case_file c;
	int rc = case_load(d, plan->incident, &c);
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	plan->incident_key = c.incident->key;
	plan->labels = c.incident->labels;
	plan->n_labels = c.incident->n_labels;
	SET(plan, severity, c.incident->severity);
	SET(plan, trusted, plan->trusted && c.incident->trusted);
	return 0;
}

static bool call_is_planned(struct desk *d, const char *id)
{
	struct store_val val;
	return store_get_str(fold_txn(d->f), &table_plans, id, &val) == 0;
}

int call_request(struct desk *d, const Healbus__Control *control)
{
	Healbus__Plan *plan = call_plan(d, control);
	int rc = call_case(d, plan);
	if (!rc)
		rc = wire_check(KIND_PLAN, &plan->base, d->why);
	if (!rc && !call_is_planned(d, plan->id))
		plan_send(d, plan);
	return rc;
}
