#include "notifier/kpi.h"
#include "notifier/projection.h"

/* One row an incident, for kpi.h. Watches what the other parts of the fold have just kept. */

static struct kpi_row row_of(struct fold *f, const char *incident)
{
	struct kpi_row row = {0};
	row_struct(fold_txn(f), &table_kpis, incident, &row, sizeof(row));
	return row;
}

static void row_keep(struct fold *f, const char *incident, const struct kpi_row *row)
{
	store_put_str(fold_txn(f), &table_kpis, incident, row, sizeof(*row));
}

static void flag(struct fold *f, const char *incident, uint32_t flags)
{
	if (!token_valid(str_or_empty(incident)))
		return;
	struct kpi_row row = row_of(f, incident);
	row.flags |= flags;
	row_keep(f, incident, &row);
}

static void set_flag(struct kpi_row *row, uint32_t flag, bool on)
{
	row->flags = on ? row->flags | flag : row->flags & ~flag;
}

static void on_incident(struct fold *f, const struct fold_input *in)
{
	const Healbus__Incident *i = incident_row(f, in->token);
	if (!i)
		return;
	struct kpi_row row = row_of(f, in->token);
	bool resolved = i->state == HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED;
	row.opened_ms = i->opened_at_ms;
	row.resolved_ms = resolved ? i->resolved_at_ms : 0;
	set_flag(&row, KPI_SUPPRESSED, i->state == HEALBUS__INCIDENT_STATE__INCIDENT_SUPPRESSED);
	if (i->state == HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED)
		row.flags |= KPI_ESCALATED;
	if (i->command && !str_eq(str_or_empty(i->command->verb), "status"))
		row.flags |= KPI_PERSON;
	row_keep(f, in->token, &row);
}

static void on_decision(struct fold *f, const struct fold_input *in)
{
	const Healbus__Decision *d = (const Healbus__Decision *)in->msg;
	if (d->verdict == HEALBUS__DECISION_VERDICT__DECISION_APPROVE ||
	    d->verdict == HEALBUS__DECISION_VERDICT__DECISION_DENY)
		flag(f, in->token, KPI_PERSON);
}

static bool is_undo(struct fold *f, const char *plan)
{
	struct plan_row row;
	return row_struct(fold_txn(f), &table_plans, str_or_empty(plan), &row, sizeof(row)) &&
	       *row.undoes;
}

static void on_step(struct fold *f, const struct fold_input *in)
{
	const Healbus__StepReport *s = (const Healbus__StepReport *)in->msg;
	if (s->phase != HEALBUS__PHASE__PHASE_ACT ||
	    s->state != HEALBUS__STEP_STATE__STEP_STARTED || is_undo(f, s->plan_id))
		return;
	struct kpi_row row = row_of(f, in->token);
	if (row.acted_ms)
		return;
	row.acted_ms = s->started_at_ms ? s->started_at_ms : in->message_ms;
	row_keep(f, in->token, &row);
}

static bool is_attempt(Healbus__Verdict v)
{
	static const Healbus__Verdict attempts[] = {
		HEALBUS__VERDICT__VERDICT_UNKNOWN,         HEALBUS__VERDICT__VERDICT_HEALED,
		HEALBUS__VERDICT__VERDICT_FAILED,          HEALBUS__VERDICT__VERDICT_ROLLED_BACK,
		HEALBUS__VERDICT__VERDICT_ROLLBACK_FAILED,
	};
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		if (attempts[i] == v)
			return true;
	return false;
}

static void on_outcome(struct fold *f, const struct fold_input *in)
{
	const Healbus__Outcome *o = (const Healbus__Outcome *)in->msg;
	if (!is_attempt(o->verdict) || is_undo(f, o->plan_id))
		return;
	struct kpi_row row = row_of(f, in->token);
	if (o->verdict == HEALBUS__VERDICT__VERDICT_HEALED)
		row.flags |= KPI_HEALED | (row.attempts ? 0 : KPI_FIRST_HEALED);
	row.attempts++;
	row_keep(f, in->token, &row);
}

static void on_model(struct fold *f, const struct fold_input *in)
{
	const Healbus__ModelExchange *m = (const Healbus__ModelExchange *)in->msg;
	if (m->state != HEALBUS__MODEL_STATE__MODEL_EXCHANGED)
		return;
	struct kpi_row row = row_of(f, in->token);
	row.exchanges++;
	row.cost_micro_usd += m->cost_micro_usd;
	row_keep(f, in->token, &row);
}

static void on_control(struct fold *f, const struct fold_input *in)
{
	const Healbus__Control *c = (const Healbus__Control *)in->msg;
	if (c->kind == HEALBUS__CONTROL_KIND__CONTROL_ACK)
		flag(f, c->incident, KPI_PERSON | (c->false_alarm ? KPI_FALSE_ALARM : 0));
	else if (c->kind == HEALBUS__CONTROL_KIND__CONTROL_UNDO)
		flag(f, c->incident, KPI_PERSON | KPI_UNDONE);
	else if (c->kind == HEALBUS__CONTROL_KIND__CONTROL_FEEDBACK && c->has_held && !c->held)
		flag(f, c->incident, KPI_DID_NOT_HOLD);
}

void kpi_follow(struct fold *f, const struct fold_input *in)
{
	static void (*const rows[KINDS])(struct fold * f, const struct fold_input *in) = {
		[KIND_INCIDENT] = on_incident, [KIND_DECISION] = on_decision,
		[KIND_STEP] = on_step,         [KIND_OUTCOME] = on_outcome,
		[KIND_MODEL] = on_model,       [KIND_CONTROL] = on_control,
	};
	if (rows[in->kind])
		rows[in->kind](f, in);
}

void kpi_retire(struct fold *f, const char *id)
{
	store_del_str(fold_txn(f), &table_kpis, id);
}
