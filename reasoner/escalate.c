#include "reasoner/escalate.h"

#include "reasoner/plan.h"

static const char storm_row[] = "storm";

/* Headline first, then what the runbook's author would tell a colleague. */
static char *reason_with_advice(struct desk *d, const struct case_file *c, const char *headline)
{
	const struct runbook *rb = case_runbook(d, c);
	auto_buf text = {0};
	buf_add_str(&text, headline);
	if (rb) {
		json_t *view = runbook_view(c->incident, c->row.attempt);
		const char *advice = runbook_advice(rb, view, &d->arena);
		json_decref(view);
		buf_printf(&text, "%s%s", *advice ? "\n" : "", advice);
	}
	return wire_text(&d->arena, buf_str(&text), text.len, WIRE_REASON_MAX);
}

static void stop_waiting(struct desk *d, struct case_file *c)
{
	c->row.phase = CASE_ENDED;
	desk_timer_cancel(d, TIMER_COOL, c->incident->id);
	desk_timer_cancel(d, TIMER_SETTLE, c->incident->id);
}

void case_escalate(struct desk *d, struct case_file *c, const char *fmt, ...)
{
	char headline[WIRE_REASON_MAX];
	Healbus__Incident told = *c->incident;
	va_list args;
	stop_waiting(d, c);
	if (c->row.escalated)
		return;
	c->row.escalated = 1;
	va_start(args, fmt);
	vsnprintf(headline, sizeof(headline), fmt, args);
	va_end(args);
	told.reason = reason_with_advice(d, c, headline);
	told.set_by = arena_strdup(&d->arena, "reasoner");
	SET(&told, state, HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED);
	SET(&told, updated_at_ms, fold_now_ms(d->f));
	emit(d->f, KIND_INCIDENT, told.id, &told.base);
}

/* ---- the storm guard ---- */

static void storm_incident(struct desk *d, const struct case_file *first, Healbus__Incident *out)
{
	char id[ID_BYTES];
	char key[ID_BYTES];
	id_make(id, "incident", "storm guard", first->incident->id);
	id_make(key, "key", "storm guard");
	healbus__incident__init(out);
	out->id = arena_strdup(&d->arena, id);
	out->key = arena_strdup(&d->arena, key);
	out->title = arena_strdup(&d->arena, "Storm guard: incidents wait for their plans");
	out->set_by = arena_strdup(&d->arena, "reasoner");
	out->labels = arena_alloc(&d->arena, sizeof(*out->labels));
	out->labels[out->n_labels++] = label_new(&d->arena, "alertname", "HealbusStormGuard");
	SET(out, revision, 1);
	SET(out, state, HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED);
	SET(out, severity, HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	SET(out, opened_at_ms, fold_now_ms(d->f));
	SET(out, updated_at_ms, fold_now_ms(d->f));
	SET(out, trusted, 1);
	SET(out, partition, 0);
}

int storm_begin(struct desk *d, const struct case_file *first)
{
	struct store_val val;
	auto_buf packed = {0};
	Healbus__Incident storm;
	int rc = store_get_str(fold_txn(d->f), &table_storm, storm_row, &val);
	if (rc != ERR_NOT_FOUND)
		return rc;
	storm_incident(d, first, &storm);
	storm.reason = arena_printf(&d->arena,
				    "%" PRId64 " plans are under way, which is the limit "
				    "(max_open_plans). Further incidents wait in order; none is "
				    "dropped. This is said once.",
				    d->settings->max_open_plans);
	emit(d->f, KIND_INCIDENT, storm.id, &storm.base);
	wire_pack(&storm.base, &packed);
	store_put_str(fold_txn(d->f), &table_storm, storm_row, buf_str(&packed), packed.len);
	return 0;
}

int storm_end(struct desk *d)
{
	struct store_val val;
	ProtobufCMessage *msg = NULL;
	int rc = store_get_str(fold_txn(d->f), &table_storm, storm_row, &val);
	if (rc == ERR_NOT_FOUND)
		return 0;
	if (!rc)
		rc = desk_unpack(d, KIND_INCIDENT, &val, &msg);
	if (rc)
		return rc;
	Healbus__Incident *storm = (Healbus__Incident *)msg;
	storm->reason = arena_strdup(&d->arena, "no incident waits any more");
	SET(storm, state, HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED);
	SET(storm, revision, 2);
	SET(storm, updated_at_ms, fold_now_ms(d->f));
	SET(storm, resolved_at_ms, fold_now_ms(d->f));
	emit(d->f, KIND_INCIDENT, storm->id, &storm->base);
	store_del_str(fold_txn(d->f), &table_storm, storm_row);
	return 0;
}
