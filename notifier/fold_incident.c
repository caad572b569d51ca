#include "notifier/saying.h"

#define OPEN HEALBUS__INCIDENT_STATE__INCIDENT_OPEN
#define RESOLVED HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED
#define SUPPRESSED HEALBUS__INCIDENT_STATE__INCIDENT_SUPPRESSED
#define ESCALATED HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED

Healbus__Incident *incident_row(struct fold *f, const char *incident)
{
	return row_get(fold_txn(f), &table_incidents, incident, Healbus__Incident, incident,
		       fold_arena(f));
}

static const char *pull_of(const Healbus__Incident *i)
{
	for (size_t n = 0; n < i->n_events; n++) {
		const Healbus__Event *e = i->events[n];
		const char *pr = label_get(e->annotations, e->n_annotations, "pr");
		if (pr && *pr)
			return pr;
	}
	return NULL;
}

size_t incident_labels(const Healbus__Incident *i, struct arena *arena, Healbus__Label ***out)
{
	const char *pr = pull_of(i);
	Healbus__Label **all = arena_alloc(arena, (i->n_labels + 1) * sizeof(*all)), *added = NULL;
	size_t n = 0;
	if (!all)
		return 0;
	for (; n < i->n_labels; n++)
		all[n] = i->labels[n];
	if (pr && n < WIRE_LABELS_MAX && !label_get(i->labels, i->n_labels, "pr"))
		added = label_new(arena, "pr", pr);
	if (added)
		all[n++] = added;
	*out = all;
	return n;
}

const char *incident_lookup(const void *incident, const char *name)
{
	const Healbus__Incident *i = incident;
	const char *value = label_get(i->labels, i->n_labels, name);
	if (value)
		return value;
	if (str_eq(name, "severity"))
		return wire_enum_name(&healbus__severity__descriptor, (int)i->severity);
	if (str_eq(name, "state"))
		return wire_enum_name(&healbus__incident_state__descriptor, (int)i->state);
	if (str_eq(name, "trusted"))
		return i->trusted ? "true" : "false";
	return str_eq(name, "pr") ? pull_of(i) : NULL;
}

static void incident_put(struct fold *f, const Healbus__Incident *i, const Healbus__Incident *old)
{
	struct store_txn *txn = fold_txn(f);
	struct key now = key_time(i->opened_at_ms, i->id);
	if (old) {
		struct key before = key_time(old->opened_at_ms, old->id);
		store_del(txn, &table_by_time, before.bytes, before.len);
		count_add(txn, (int)old->state, -1);
	}
	store_put(txn, &table_by_time, now.bytes, now.len, "", 0);
	count_add(txn, (int)i->state, 1);
	row_put_message(txn, &table_incidents, i->id, strlen(i->id), &i->base);
}

/* The reasoner knows why it gave up; everything else is the monitor's to say. */
static void merge_escalation(Healbus__Incident *to, const Healbus__Incident *from)
{
	SET(to, state, ESCALATED);
	to->reason = from->reason;
	to->tried = from->tried;
	to->n_tried = from->n_tried;
	to->set_by = from->set_by;
}

static void project_escalated(struct fold *f, const Healbus__Incident *msg,
			      const Healbus__Incident *old)
{
	Healbus__Incident now = old ? *old : *msg;
	bool over = old && (old->state == RESOLVED || old->state == SUPPRESSED);
	merge_escalation(&now, msg);
	if (over)
		SET(&now, state, old->state);
	SET(&now, updated_at_ms, MAX(now.updated_at_ms, msg->updated_at_ms));
	incident_put(f, &now, old);
	if (!over)
		tell(f, &now, TELL_ESCALATED);
}

static uint32_t news(const Healbus__Incident *now, const Healbus__Incident *old)
{
	bool heard = old && old->state != SUPPRESSED;
	/* What failed again soon after its end goes on under its old id. */
	if (now->state == OPEN)
		return heard && old->state != RESOLVED ? 0 : TELL_OPENED;
	return now->state == RESOLVED && heard && old->state != RESOLVED ? TELL_RESOLVED : 0;
}

static void project_observed(struct fold *f, const Healbus__Incident *msg,
			     const Healbus__Incident *old)
{
	if (old && msg->revision < old->revision)
		return;
	Healbus__Incident now = *msg;
	if (old && old->state == ESCALATED && msg->state == OPEN) {
		merge_escalation(&now, old);
	} else if (old && !now.n_tried) {
		now.tried = old->tried;
		now.n_tried = old->n_tried;
	}
	incident_put(f, &now, old);
	uint32_t bits = news(&now, old);
	if (bits)
		tell(f, &now, bits);
	tell_status(f, &now, old);
}

int project_incident(struct fold *f, const struct fold_input *in, struct why *out_why)
{
	const Healbus__Incident *msg = (const Healbus__Incident *)in->msg;
	if (!msg->id || !str_eq(msg->id, in->token))
		return why_set(out_why, ERR_INVALID, "incident.id: differs from the subject");
	const Healbus__Incident *old = incident_row(f, msg->id);
	if (msg->state == ESCALATED)
		project_escalated(f, msg, old);
	else
		project_observed(f, msg, old);
	return 0;
}

/* ---- retention ---- */

static void forget_plan(struct store_txn *txn, const char *id)
{
	struct plan_row plan;
	if (row_struct(txn, &table_plans, id, &plan, sizeof(plan)))
		store_del_str(txn, &table_plans, id);
	store_del_str(txn, &table_briefs, id);
}

static void forget_all(struct store_txn *txn, const struct store_table *table,
		       const struct key *prefix)
{
	auto_keys rows = {0};
	keys_collect(txn, table, prefix->bytes, prefix->len, &rows);
	for (size_t i = 0; i < rows.n; i++)
		store_del(txn, table, rows.items[i].bytes, rows.items[i].len);
}

static void forget_approval(struct fold *f, const char *id)
{
	char timer[2 + TOKEN_MAX + 1];
	snprintf(timer, sizeof(timer), "a:%s", id);
	fold_timer_cancel(f, timer);
	store_del_str(fold_txn(f), &table_approvals, id);
	store_del_str(fold_txn(f), &table_pending, id);
	store_del_str(fold_txn(f), &table_decisions, id);
	struct key prefix = key_owner(id);
	forget_all(fold_txn(f), &table_votes, &prefix);
}

static void forget_change(struct fold *f, const char *id)
{
	struct store_txn *txn = fold_txn(f);
	const Healbus__Outcome *o =
		row_get(txn, &table_changes, id, Healbus__Outcome, outcome, fold_arena(f));
	if (!o || !o->n_changes)
		return;
	struct key key = key_time(o->changes[0]->at_ms, id);
	store_del(txn, &table_changes_by_time, key.bytes, key.len);
	store_del_str(txn, &table_changes, id);
}

static void forget_ref(struct fold *f, const struct key *ref)
{
	struct store_txn *txn = fold_txn(f);
	const char *tag = key_name(ref), *id = tag + 1;
	struct store_val val;
	if (*tag == REF_PLAN && !store_get(txn, &table_refs, ref->bytes, ref->len, &val)) {
		char plan[TOKEN_MAX + 1] = "";
		memcpy(plan, val.data, MIN(val.len, (size_t)TOKEN_MAX));
		forget_plan(txn, plan);
	} else if (*tag == REF_APPROVAL) {
		forget_approval(f, id);
	} else if (*tag == REF_CHANGE) {
		forget_change(f, id);
	} else if (*tag == REF_NOTICE) {
		unsent_forget(f, id);
		store_del_str(txn, &table_notices, id);
		store_del_str(txn, &table_notice_meta, id);
	}
	store_del(txn, &table_refs, ref->bytes, ref->len);
}

void incident_retire(struct fold *f, const char *id)
{
	char timer[2 + TOKEN_MAX + 1];
	struct store_txn *txn = fold_txn(f);
	tell_forget(f, id);
	snprintf(timer, sizeof(timer), "f:%s", id);
	fold_timer_cancel(f, timer);
	struct key prefix = key_owner(id);
	auto_keys refs = {0};
	keys_collect(txn, &table_refs, prefix.bytes, prefix.len, &refs);
	for (size_t i = 0; i < refs.n; i++)
		forget_ref(f, &refs.items[i]);
	forget_all(txn, &table_story, &prefix);
	forget_all(txn, &table_messages, &prefix);
	store_del_str(txn, &table_feedback, id);
	const Healbus__Incident *old = incident_row(f, id);
	if (!old)
		return;
	struct key key = key_time(old->opened_at_ms, id);
	store_del(txn, &table_by_time, key.bytes, key.len);
	count_add(txn, (int)old->state, -1);
	store_del_str(txn, &table_incidents, id);
}
