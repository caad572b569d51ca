#include "notifier/saying.h"

/* ---- questions ---- */

void tell_approval(struct fold *f, const Healbus__ApprovalRequest *a, const Healbus__Incident *i)
{
	const struct rules *rules = rules_of(fold_config(f));
	const struct route *routes[ROUTES_MATCHED_MAX] = {&rules->route};
	size_t n = i ? route_match(&rules->route, incident_lookup, i, routes) : 1;
	auto_notice_text text = {0};
	render_approval(a, i, &text);
	struct saying s = {
		.incident = a->incident,
		.kind = "approval",
		.approval = a->id,
		.subject = &text.subject,
		.text = &text.text,
	};
	id_make(s.base, "approval", a->id);
	for (size_t k = 0; k < n; k++) {
		s.receiver = routes[k]->receiver
				     ? receiver_find(&rules->receivers, routes[k]->receiver)
				     : NULL;
		if (s.receiver)
			saying_tell(f, &s);
	}
}

/* ---- and what became of them ---- */

/* To the very channel that was asked; its message is brought up to date there. */
static void decided_say(struct fold *f, const Healbus__Notice *asked, struct notice_text *text)
{
	const struct rules *rules = rules_of(fold_config(f));
	struct notice_row row;
	if (!row_struct(fold_txn(f), &table_notice_meta, asked->id, &row, sizeof(row)))
		return;
	struct saying s = {
		.receiver = receiver_find(&rules->receivers, row.receiver),
		.incident = asked->incident,
		.kind = "decided",
		.approval = asked->approval,
		.update_of = asked->ref && *asked->ref ? asked->ref : NULL,
		.subject = &text->subject,
		.text = &text->text,
	};
	id_make(s.base, "decided", asked->id);
	if (s.receiver)
		saying_emit(f, &s, asked->channel);
}

static bool asks(const Healbus__Notice *n, const char *approval)
{
	return n->state == HEALBUS__NOTICE_STATE__NOTICE_SENT && n->channel &&
	       str_eq(str_or_empty(n->approval), approval) &&
	       !str_eq(str_or_empty(n->kind), "decided");
}

void tell_decided(struct fold *f, const Healbus__ApprovalRequest *a, const Healbus__Decision *d)
{
	auto_keys refs = {0};
	auto_notice_text text = {0};
	struct key prefix = key_ref(a->incident, REF_NOTICE, "");
	keys_collect(fold_txn(f), &table_refs, prefix.bytes, prefix.len, &refs);
	render_decided(a, incident_row(f, a->incident), d, &text);
	for (size_t i = 0; i < refs.n; i++) {
		const Healbus__Notice *n =
			row_get(fold_txn(f), &table_notices, key_name(&refs.items[i]) + 1,
				Healbus__Notice, notice, fold_arena(f));
		if (n && asks(n, a->id))
			decided_say(f, n, &text);
	}
}

void tell_too_late(struct fold *f, const Healbus__Notice *n)
{
	const char *approval = str_or_empty(n->approval);
	if (!*approval || !asks(n, approval) || approval_open(f, approval))
		return;
	auto_notice_text text = {0};
	const Healbus__ApprovalRequest *a =
		row_get(fold_txn(f), &table_approvals, approval, Healbus__ApprovalRequest,
			approval_request, fold_arena(f));
	const Healbus__Decision *d = row_get(fold_txn(f), &table_decisions, approval,
					     Healbus__Decision, decision, fold_arena(f));
	if (!a)
		return;
	render_decided(a, incident_row(f, n->incident), d, &text);
	decided_say(f, n, &text);
}

/* ---- who has it ---- */

static bool is_over(const Healbus__Incident *i)
{
	return i->state != HEALBUS__INCIDENT_STATE__INCIDENT_OPEN &&
	       i->state != HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED;
}

void tell_taken(struct fold *f, const Healbus__Control *ack)
{
	const Healbus__Incident *i = incident_row(f, str_or_empty(ack->incident));
	auto_keys refs = {0};
	auto_notice_text text = {0};
	if (!i || is_over(i))
		return;
	struct key prefix = key_ref(i->id, REF_NOTICE, "");
	keys_collect(fold_txn(f), &table_refs, prefix.bytes, prefix.len, &refs);
	render_taken(i, ack, &text);
	struct saying s = {
		.incident = i->id, .kind = "acked", .subject = &text.subject, .text = &text.text};
	id_make(s.base, "acked", i->id);
	for (size_t k = 0; k < refs.n; k++) {
		struct notice_row row;
		const char *id = key_name(&refs.items[k]) + 1;
		const Healbus__Notice *n = row_get(fold_txn(f), &table_notices, id, Healbus__Notice,
						   notice, fold_arena(f));
		if (!n || n->state != HEALBUS__NOTICE_STATE__NOTICE_SENT ||
		    !row_struct(fold_txn(f), &table_notice_meta, id, &row, sizeof(row)))
			continue;
		s.receiver = receiver_find(&rules_of(fold_config(f))->receivers, row.receiver);
		if (s.receiver)
			saying_emit(f, &s, str_or_empty(n->channel));
	}
}

/* ---- did it hold? ---- */

static void feedback_timer(struct fold *f, const char *incident, int64_t due_ms)
{
	char timer[2 + TOKEN_MAX + 1];
	snprintf(timer, sizeof(timer), "f:%s", incident);
	fold_timer_set(f, timer, due_ms);
}

static bool feedback_given(struct fold *f, const char *incident)
{
	struct store_val val;
	return !store_get_str(fold_txn(f), &table_feedback, incident, &val);
}

void feedback_later(struct fold *f, const Healbus__Outcome *o, const char *incident)
{
	int64_t after_ms = rules_of(fold_config(f))->feedback_after_ms;
	if (after_ms && o->verdict == HEALBUS__VERDICT__VERDICT_HEALED && o->n_changes &&
	    !feedback_given(f, incident))
		feedback_timer(f, incident, fold_now_ms(f) + after_ms);
}

/* Nobody is asked about what broke again, or is in somebody's hands. */
static const Healbus__Attempt *feedback_about(struct fold *f, const Healbus__Incident *i)
{
	enum { ATTEMPTS_MAX = WIRE_ATTEMPTS_MAX };
	Healbus__Attempt *attempts[ATTEMPTS_MAX];
	size_t n = incident_attempts(f, i->id, attempts, ATTEMPTS_MAX);
	bool over = i->state == HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED ||
		    i->state == HEALBUS__INCIDENT_STATE__INCIDENT_OPEN;
	return over && n && attempts[n - 1]->verdict == HEALBUS__VERDICT__VERDICT_HEALED
		       ? attempts[n - 1]
		       : NULL;
}

static void feedback_say(struct fold *f, const Healbus__Incident *i, const Healbus__Attempt *what)
{
	const struct rules *rules = rules_of(fold_config(f));
	const struct route *routes[ROUTES_MATCHED_MAX];
	size_t n = route_match(&rules->route, incident_lookup, i, routes);
	auto_notice_text text = {0};
	render_feedback(i, what, &text);
	struct saying s = {.incident = i->id,
			   .kind = "feedback",
			   .subject = &text.subject,
			   .text = &text.text};
	id_make(s.base, "feedback", i->id);
	for (size_t k = 0; k < n; k++) {
		s.receiver = routes[k]->receiver
				     ? receiver_find(&rules->receivers, routes[k]->receiver)
				     : NULL;
		if (s.receiver && (int64_t)i->severity >= routes[k]->severity)
			saying_tell(f, &s);
	}
}

/* In quiet hours it waits: nothing depends on the answer tonight. */
static bool feedback_muted(struct fold *f, const Healbus__Incident *i)
{
	const struct rules *rules = rules_of(fold_config(f));
	const struct route *routes[ROUTES_MATCHED_MAX];
	size_t n = route_match(&rules->route, incident_lookup, i, routes);
	const struct words *mute = n ? &routes[0]->mute : NULL;
	int64_t now_ms = fold_now_ms(f);
	if (!mute || !intervals_cover(&rules->intervals, mute->items, mute->n, now_ms))
		return false;
	feedback_timer(f, i->id, intervals_end(&rules->intervals, mute->items, mute->n, now_ms));
	return true;
}

void feedback_ask(struct fold *f, const char *id)
{
	const Healbus__Incident *i = incident_row(f, id);
	const Healbus__Attempt *what = i ? feedback_about(f, i) : NULL;
	if (what && !feedback_given(f, id) && !feedback_muted(f, i))
		feedback_say(f, i, what);
}
