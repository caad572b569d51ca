#include "notifier/projection.h"

#define BY_DEADLINE "deadline"

static void ref_put(struct fold *f, const struct key *key, const char *value)
{
	store_put(fold_txn(f), &table_refs, key->bytes, key->len, value, strlen(value));
}

static bool plan_row_get(struct fold *f, const char *id, struct plan_row *out)
{
	return row_struct(fold_txn(f), &table_plans, str_or_empty(id), out, sizeof(*out));
}

static void plan_row_put(struct fold *f, const char *id, const struct plan_row *row)
{
	store_put_str(fold_txn(f), &table_plans, id, row, sizeof(*row));
}

/* What rights depend on: who wanted it, and its steps' tools and targets. */
static void brief_put(struct fold *f, const Healbus__Plan *p)
{
	Healbus__Plan brief = HEALBUS__PLAN__INIT;
	Healbus__Step steps[WIRE_STEPS_MAX], *list[WIRE_STEPS_MAX];
	brief.id = p->id;
	brief.incident = p->incident;
	brief.requested_by = p->requested_by;
	SET(&brief, provenance, p->provenance);
	brief.steps = list;
	for (; brief.n_steps < MIN(p->n_steps, (size_t)WIRE_STEPS_MAX); brief.n_steps++) {
		Healbus__Step *step = &steps[brief.n_steps];
		healbus__step__init(step);
		step->tool = p->steps[brief.n_steps]->tool;
		step->target = p->steps[brief.n_steps]->target;
		list[brief.n_steps] = step;
	}
	row_put_message(fold_txn(f), &table_briefs, p->id, strlen(p->id), &brief.base);
}

int project_plan(struct fold *f, const struct fold_input *in, struct why *out_why)
{
	const Healbus__Plan *p = (const Healbus__Plan *)in->msg;
	struct plan_row row = {0};
	if (!p->id || !token_valid(p->id))
		return why_set(out_why, ERR_INVALID, "plan.id: not a token");
	if (plan_row_get(f, p->id, &row))
		return 0; /* the first one under an id is the plan */
	memset(&row, 0, sizeof(row));
	row.seq = in->seq;
	row.at_ms = in->message_ms;
	row.attempt = p->attempt;
	plan_digest(in->data, in->len, row.digest);
	token_copy(row.incident, in->token);
	token_copy(row.undoes, p->undoes);
	plan_row_put(f, p->id, &row);
	brief_put(f, p);
	struct key key = key_ref_seq(in->token, REF_PLAN, in->seq);
	ref_put(f, &key, p->id);
	return 0;
}

static bool exists(struct fold *f, const struct store_table *table, const char *id)
{
	struct store_val val;
	return !store_get_str(fold_txn(f), table, id, &val);
}

int project_approval(struct fold *f, const struct fold_input *in, struct why *out_why)
{
	const Healbus__ApprovalRequest *a = (const Healbus__ApprovalRequest *)in->msg;
	if (!a->id || !token_valid(a->id))
		return why_set(out_why, ERR_INVALID, "approval.id: not a token");
	if (exists(f, &table_approvals, a->id))
		return 0;
	row_put_message(fold_txn(f), &table_approvals, a->id, strlen(a->id), &a->base);
	struct key key = key_ref(in->token, REF_APPROVAL, a->id);
	ref_put(f, &key, "");
	struct plan_row row;
	if (plan_row_get(f, a->plan_id, &row)) {
		row.approval_seq = in->seq;
		token_copy(row.approval, a->id);
		plan_row_put(f, a->plan_id, &row);
	}
	if (exists(f, &table_decisions, a->id))
		return 0;
	char timer[2 + TOKEN_MAX + 1];
	snprintf(timer, sizeof(timer), "a:%s", a->id);
	store_put_str(fold_txn(f), &table_pending, a->id, "", 0);
	fold_timer_set(f, timer, a->deadline_ms);
	tell_approval(f, a, incident_row(f, in->token));
	return 0;
}

/* d NULL: its plan ended without an answer. */
static void approval_close(struct fold *f, const char *id, const Healbus__Decision *d)
{
	char timer[2 + TOKEN_MAX + 1];
	bool was_open = exists(f, &table_pending, id);
	snprintf(timer, sizeof(timer), "a:%s", id);
	fold_timer_cancel(f, timer);
	store_del_str(fold_txn(f), &table_pending, id);
	const Healbus__ApprovalRequest *a =
		was_open ? row_get(fold_txn(f), &table_approvals, id, Healbus__ApprovalRequest,
				   approval_request, fold_arena(f))
			 : NULL;
	if (a)
		tell_decided(f, a, d);
}

int project_decision(struct fold *f, const struct fold_input *in, struct why *out_why UNUSED)
{
	const Healbus__Decision *d = (const Healbus__Decision *)in->msg;
	const char *approval = str_or_empty(d->approval);
	if (!*approval || d->verdict == HEALBUS__DECISION_VERDICT__DECISION_REHEARSE ||
	    exists(f, &table_decisions, approval))
		return 0; /* decides nothing, or somebody was first */
	row_put_message(fold_txn(f), &table_decisions, approval, strlen(approval), &d->base);
	struct key key = key_ref(in->token, REF_APPROVAL, approval);
	ref_put(f, &key, "");
	approval_close(f, approval, d);
	struct plan_row row;
	if (plan_row_get(f, d->plan_id, &row)) {
		row.decision_seq = in->seq;
		row.decision = (uint32_t)d->verdict;
		plan_row_put(f, d->plan_id, &row);
	}
	return 0;
}

void approval_deadline(struct fold *f, const char *id)
{
	const Healbus__ApprovalRequest *a =
		row_get(fold_txn(f), &table_approvals, id, Healbus__ApprovalRequest,
			approval_request, fold_arena(f));
	if (!a || exists(f, &table_decisions, id) || !exists(f, &table_pending, id))
		return;
	char decision_id[ID_BYTES];
	id_make(decision_id, "decision", id, BY_DEADLINE);
	Healbus__Decision d = HEALBUS__DECISION__INIT;
	d.id = decision_id;
	d.incident = a->incident;
	d.plan_id = a->plan_id;
	d.has_plan_digest = a->has_plan_digest;
	d.plan_digest = a->plan_digest;
	SET(&d, plan_seq, a->plan_seq);
	d.approval = a->id;
	SET(&d, verdict, HEALBUS__DECISION_VERDICT__DECISION_EXPIRED);
	d.by = (char *)BY_DEADLINE;
	d.channel = (char *)"notifier";
	d.reason = (char *)"nobody answered before the deadline";
	SET(&d, at_ms, fold_now_ms(f));
	SET(&d, deadline_ms, a->deadline_ms);
	emit(f, KIND_DECISION, a->incident, &d.base);
}

int project_step(struct fold *f, const struct fold_input *in, struct why *out_why UNUSED)
{
	const Healbus__StepReport *s = (const Healbus__StepReport *)in->msg;
	struct plan_row row;
	if (s->phase != HEALBUS__PHASE__PHASE_ACT ||
	    s->state != HEALBUS__STEP_STATE__STEP_STARTED || !plan_row_get(f, s->plan_id, &row))
		return 0;
	row.started = 1;
	plan_row_put(f, s->plan_id, &row);
	return 0;
}

/* ---- outcomes ---- */

static void attempt_put(struct fold *f, const struct fold_input *in, const Healbus__Outcome *o)
{
	auto_buf what = {0}, packed = {0};
	render_what(o, &what);
	Healbus__Attempt a = HEALBUS__ATTEMPT__INIT;
	SET(&a, number, o->attempt);
	a.plan_id = o->plan_id;
	a.runbook = o->runbook;
	SET(&a, verdict, o->verdict);
	a.reason = o->reason;
	a.what = (char *)buf_str(&what);
	struct key key = key_ref_seq(in->token, REF_ATTEMPT, in->seq);
	wire_pack(&a.base, &packed);
	store_put(fold_txn(f), &table_refs, key.bytes, key.len, packed.data, packed.len);
}

static void change_put(struct fold *f, const Healbus__Outcome *o, Healbus__Change *c)
{
	Healbus__Outcome row = HEALBUS__OUTCOME__INIT;
	row.incident = o->incident;
	row.plan_id = o->plan_id;
	row.n_changes = 1;
	row.changes = &c;
	row_put_message(fold_txn(f), &table_changes, c->id, strlen(c->id), &row.base);
	struct key key = key_time(c->at_ms, c->id);
	store_put(fold_txn(f), &table_changes_by_time, key.bytes, key.len, "", 0);
}

static void changes_put(struct fold *f, const struct fold_input *in, const Healbus__Outcome *o)
{
	for (size_t i = 0; i < o->n_changes; i++) {
		Healbus__Change *c = o->changes[i];
		if (!c->id || !token_valid(c->id) || exists(f, &table_changes, c->id))
			continue;
		change_put(f, o, c);
		struct key key = key_ref(in->token, REF_CHANGE, c->id);
		ref_put(f, &key, "");
	}
}

static void change_undone(struct fold *f, const char *change, char *plan)
{
	const Healbus__Outcome *o = row_get(fold_txn(f), &table_changes, change, Healbus__Outcome,
					    outcome, fold_arena(f));
	if (!o || !o->n_changes)
		return;
	o->changes[0]->undone_by = plan;
	change_put(f, o, o->changes[0]);
}

static void plan_ended(struct fold *f, const struct fold_input *in, const Healbus__Outcome *o)
{
	struct plan_row row;
	if (!plan_row_get(f, o->plan_id, &row))
		return;
	row.outcome_seq = in->seq;
	row.verdict = (uint32_t)o->verdict;
	plan_row_put(f, o->plan_id, &row);
	if (*row.approval)
		approval_close(f, row.approval, NULL);
	if (*row.undoes && o->verdict == HEALBUS__VERDICT__VERDICT_HEALED)
		change_undone(f, row.undoes, o->plan_id);
}

int project_outcome(struct fold *f, const struct fold_input *in, struct why *out_why UNUSED)
{
	const Healbus__Outcome *o = (const Healbus__Outcome *)in->msg;
	changes_put(f, in, o);
	plan_ended(f, in, o);
	if (o->verdict == HEALBUS__VERDICT__VERDICT_REHEARSED)
		return 0;
	attempt_put(f, in, o);
	feedback_later(f, o, in->token);
	const Healbus__Incident *i = incident_row(f, in->token);
	if (i)
		tell(f, i, TELL_OUTCOME);
	return 0;
}

struct attempts_walk {
	struct arena *arena;
	Healbus__Attempt **out;
	size_t n, max;
};

static int attempt_visit(void *ctx, const void *key UNUSED, size_t key_len UNUSED,
			 struct store_val val)
{
	struct attempts_walk *w = ctx;
	ProtobufCMessage *m = row_unpack(val, &healbus__attempt__descriptor, w->arena);
	if (m)
		w->out[w->n++] = (Healbus__Attempt *)m;
	return w->n == w->max;
}

size_t incident_attempts(struct fold *f, const char *incident, Healbus__Attempt **out, size_t max)
{
	struct attempts_walk walk = {fold_arena(f), out, 0, max};
	struct key prefix = key_ref(incident, REF_ATTEMPT, "");
	struct store_range range = {.prefix = prefix.bytes, .prefix_len = prefix.len};
	store_each(fold_txn(f), &table_refs, &range, attempt_visit, &walk);
	return walk.n;
}
