#include "notifier/duty.h"
#include "notifier/projection.h"

/*
 * Escalations: an incident that needs a human, or a question about something hard, climbs its
 * route's policy until a human has it, decides, or it is over. A ladder is a row and a timer; its
 * key is "i:" and the incident, or "a:" and the approval.
 */

/* Why nobody is called (ladder_row.held). */
enum { HELD_TAKEN = 1, HELD_DECIDED = 2 };

enum { ATTEMPTS_SHOWN_MAX = 8, CALLED_MAX = 16, EVIDENCE_KEPT_MAX = 8 };

#define OPEN HEALBUS__INCIDENT_STATE__INCIDENT_OPEN
#define ESCALATED HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED

struct ladder_key {
	char text[2 + TOKEN_MAX + 1];
};

static struct ladder_key key_of(char kind, const char *id)
{
	struct ladder_key key = {0};
	snprintf(key.text, sizeof(key.text), "%c:%.*s", kind, TOKEN_MAX, str_or_empty(id));
	return key;
}

static bool ladder_get(struct fold *f, const char *key, struct ladder_row *out)
{
	return row_struct(fold_txn(f), &table_ladders, key, out, sizeof(*out));
}

static void timer_name(char out[static TOKEN_MAX + 8], const char *key)
{
	snprintf(out, TOKEN_MAX + 8, "e:%s", key);
}

static void ladder_put(struct fold *f, const char *key, const struct ladder_row *row)
{
	store_put_str(fold_txn(f), &table_ladders, key, row, sizeof(*row));
}

static void ladder_drop(struct fold *f, const char *key)
{
	char timer[TOKEN_MAX + 8];
	timer_name(timer, key);
	fold_timer_cancel(f, timer);
	store_del_str(fold_txn(f), &table_ladders, key);
}

static void questions_drop(struct fold *f, const char *incident)
{
	auto_keys refs = {0};
	struct key prefix = key_ref(incident, REF_APPROVAL, "");
	keys_collect(fold_txn(f), &table_refs, prefix.bytes, prefix.len, &refs);
	for (size_t i = 0; i < refs.n; i++)
		ladder_drop(f, key_of('a', key_name(&refs.items[i]) + 1).text);
}

/* ---- beginning and end ---- */

/* The first route that takes the incident and has a policy. */
static const struct route *policy_route(struct fold *f, const Healbus__Incident *i)
{
	const struct rules *rules = rules_of(fold_config(f));
	const struct route *routes[ROUTES_MATCHED_MAX] = {&rules->route};
	size_t n = i ? route_match(&rules->route, incident_lookup, i, routes) : 1;
	for (size_t k = 0; k < n; k++) {
		bool floor = !i || (int64_t)i->severity >= routes[k]->severity;
		if (floor && routes[k]->escalation && *routes[k]->escalation)
			return routes[k];
	}
	return NULL;
}

static void beat_wait(struct fold *f, const char *key, const struct ladder_row *row,
		      const struct escalation *e)
{
	char timer[TOKEN_MAX + 8];
	timer_name(timer, key);
	fold_timer_set(f, timer, row->began_ms + e->beats[row->next].at_ms);
}

static void ladder_start(struct fold *f, const char *key, const char *incident,
			 const struct route *route)
{
	struct ladder_row row = {.began_ms = fold_now_ms(f)}, old;
	const struct rules *rules = rules_of(fold_config(f));
	const struct escalation *e =
		route ? escalation_find(&rules->escalations, route->escalation) : NULL;
	if (!e || ladder_get(f, key, &old))
		return;
	token_copy(row.policy, e->name);
	memcpy(row.route, route->id, sizeof(row.route));
	token_copy(row.incident, incident);
	ladder_put(f, key, &row);
	beat_wait(f, key, &row, e);
}

static void on_incident(struct fold *f, const struct fold_input *in)
{
	const Healbus__Incident *i = incident_row(f, in->token);
	struct ladder_key key = key_of('i', in->token);
	if (!i)
		return;
	if (i->state != OPEN && i->state != ESCALATED) {
		ladder_drop(f, key.text);
		questions_drop(f, in->token);
		return;
	}
	const Healbus__Incident *msg = (const Healbus__Incident *)in->msg;
	struct ladder_row row;
	if (msg->state == ESCALATED && ladder_get(f, key.text, &row) && row.held == HELD_DECIDED)
		ladder_drop(f, key.text);
	const struct route *route = policy_route(f, i);
	if (route && (i->state == ESCALATED || route->escalate_opened))
		ladder_start(f, key.text, i->id, route);
}

static void on_approval(struct fold *f, const struct fold_input *in)
{
	const Healbus__ApprovalRequest *a = (const Healbus__ApprovalRequest *)in->msg;
	struct ladder_row held;
	struct store_val val;
	if (a->level != HEALBUS__LEVEL__LEVEL_HARD ||
	    store_get_str(fold_txn(f), &table_pending, a->id, &val))
		return;
	bool taken = ladder_get(f, key_of('i', in->token).text, &held) && held.held == HELD_TAKEN;
	if (!taken)
		ladder_start(f, key_of('a', a->id).text, in->token,
			     policy_route(f, incident_row(f, in->token)));
}

/* Ends the calls about an incident, and remembers why. */
static void ladder_hold(struct fold *f, const char *incident, uint32_t why)
{
	struct ladder_row row = {0};
	struct ladder_key key = key_of('i', incident);
	ladder_get(f, key.text, &row);
	if (row.held == HELD_TAKEN)
		return;
	ladder_drop(f, key.text);
	row.held = why;
	ladder_put(f, key.text, &row);
}

/* Who decides has looked: nobody is called about the incident until it is given up again. */
static void on_decision(struct fold *f, const struct fold_input *in)
{
	const Healbus__Decision *d = (const Healbus__Decision *)in->msg;
	struct ladder_row row;
	bool human = d->verdict == HEALBUS__DECISION_VERDICT__DECISION_APPROVE ||
		     d->verdict == HEALBUS__DECISION_VERDICT__DECISION_DENY;
	if (d->approval && *d->approval)
		ladder_drop(f, key_of('a', d->approval).text);
	if (human && ladder_get(f, key_of('i', in->token).text, &row))
		ladder_hold(f, in->token, HELD_DECIDED);
}

static void on_ack(struct fold *f, const char *incident)
{
	const Healbus__Incident *i = incident_row(f, incident);
	if (!i || (i->state != OPEN && i->state != ESCALATED))
		return;
	questions_drop(f, incident);
	ladder_hold(f, incident, HELD_TAKEN);
}

static void on_control(struct fold *f, const struct fold_input *in)
{
	const Healbus__Control *c = (const Healbus__Control *)in->msg;
	if (c->kind == HEALBUS__CONTROL_KIND__CONTROL_ACK && token_valid(str_or_empty(c->incident)))
		on_ack(f, c->incident);
}

/* What the summary says of the cause. */
static void on_model(struct fold *f, const struct fold_input *in)
{
	const Healbus__ModelExchange *m = (const Healbus__ModelExchange *)in->msg;
	if (m->state != HEALBUS__MODEL_STATE__MODEL_ANSWERED || !m->diagnosis)
		return;
	Healbus__Diagnosis kept = HEALBUS__DIAGNOSIS__INIT;
	kept.failure_type = m->diagnosis->failure_type;
	SET(&kept, confidence, m->diagnosis->confidence);
	kept.evidence = m->diagnosis->evidence;
	kept.n_evidence = MIN(m->diagnosis->n_evidence, (size_t)EVIDENCE_KEPT_MAX);
	kept.recalled = m->diagnosis->recalled;
	kept.n_recalled = m->diagnosis->n_recalled;
	row_put_message(fold_txn(f), &table_diagnoses, in->token, strlen(in->token), &kept.base);
}

void ladder_follow(struct fold *f, const struct fold_input *in)
{
	static void (*const rows[KINDS])(struct fold * f, const struct fold_input *in) = {
		[KIND_INCIDENT] = on_incident, [KIND_APPROVAL] = on_approval,
		[KIND_DECISION] = on_decision, [KIND_CONTROL] = on_control,
		[KIND_MODEL] = on_model,
	};
	if (rows[in->kind])
		rows[in->kind](f, in);
}

void ladder_retire(struct fold *f, const char *id)
{
	ladder_drop(f, key_of('i', id).text);
	store_del_str(fold_txn(f), &table_diagnoses, id);
}

/* ---- a call ---- */

/* All about one beat. */
struct climb {
	const struct rules *rules;
	const struct escalation *policy;
	const struct escalation_beat *beat;
	const struct escalation_step *step;
	const struct route *route;
	struct ladder_row *row;
	const char *key;
	Healbus__Incident *incident;              /* NULL: unknown */
	const Healbus__ApprovalRequest *approval; /* NULL: about the incident */
	char *to[CALLED_MAX];
	size_t n_to;
};

static void person_add(struct climb *c, const char *name)
{
	for (size_t i = 0; i < c->n_to; i++)
		if (str_eq(c->to[i], name))
			return;
	if (c->n_to < CALLED_MAX)
		c->to[c->n_to++] = (char *)name;
}

static void oncall_add(struct fold *f, struct climb *c, const struct oncall *o)
{
	struct duty duty;
	duty_at(fold_txn(f), o, &c->rules->intervals, fold_now_ms(f), &duty);
	const char *person = arena_strdup(fold_arena(f), duty.person);
	if (person)
		person_add(c, person);
}

static void people_find(struct fold *f, struct climb *c)
{
	for (size_t i = 0; i < c->step->n_targets; i++) {
		const struct target *t = &c->step->targets[i];
		const struct oncall *o =
			t->kind == TARGET_ONCALL ? oncall_find(&c->rules->oncalls, t->name) : NULL;
		if (t->kind == TARGET_PERSON)
			person_add(c, t->name);
		else if (o)
			oncall_add(f, c, o);
	}
}

static void text_make(struct fold *f, const struct climb *c, struct notice_text *out)
{
	Healbus__Attempt *attempts[ATTEMPTS_SHOWN_MAX];
	Healbus__Incident nameless = HEALBUS__INCIDENT__INIT;
	nameless.id = c->row->incident;
	struct render_incident about = {
		.incident = c->incident ? c->incident : &nameless,
		.attempts = attempts,
		.n_attempts = incident_attempts(f, c->row->incident, attempts, ATTEMPTS_SHOWN_MAX),
		.tell = TELL_OPENED,
	};
	struct render_call call = {
		.about = &about,
		.approval = c->approval,
		.diagnosis = row_get(fold_txn(f), &table_diagnoses, c->row->incident,
				     Healbus__Diagnosis, diagnosis, fold_arena(f)),
		.to = (const char *const *)c->to,
		.n_to = c->n_to,
		.number = c->row->next + 1,
		.total = c->policy->n_beats - 1,
		.began_ms = c->row->began_ms,
	};
	if (about.incident->state == ESCALATED)
		about.tell = TELL_ESCALATED;
	if (c->beat->summary)
		render_summary(&call, out);
	else
		render_call(&call, out);
}

/* Channels and receivers that the step names; without any, the route's own receiver. */
static void call_all(struct fold *f, const struct climb *c, struct call *call)
{
	const struct receiver *own =
		c->route->receiver ? receiver_find(&c->rules->receivers, c->route->receiver) : NULL;
	size_t named = 0;
	for (size_t i = 0; i < c->step->n_targets; i++) {
		const struct target *t = &c->step->targets[i];
		bool receiver = t->kind == TARGET_RECEIVER;
		if (!receiver && t->kind != TARGET_CHANNEL)
			continue;
		named++;
		call->receiver = receiver ? receiver_find(&c->rules->receivers, t->name) : own;
		call->channel = receiver ? NULL : t->name;
		if (call->receiver)
			tell_call(f, call);
	}
	call->receiver = own;
	call->channel = NULL;
	if (!named && own)
		tell_call(f, call);
}

static void call_now(struct fold *f, struct climb *c)
{
	auto_notice_text text = {0};
	char what[TOKEN_MAX + 64];
	people_find(f, c);
	text_make(f, c, &text);
	snprintf(what, sizeof(what), "%s %" PRId64 " %u", c->key, c->row->began_ms, c->row->next);
	struct call call = {
		.kind = c->approval        ? "approval"
			: c->beat->summary ? "summary"
					   : "called",
		.incident = c->row->incident,
		.approval = c->approval ? c->approval->id : NULL,
		.what = what,
		.text = &text,
		.route = c->route,
		.to = c->to,
		.n_to = c->n_to,
	};
	call_all(f, c, &call);
}

/* Quiet hours put an incident's calls off, and those behind; a question has no time for that. */
static bool put_off(struct fold *f, struct climb *c)
{
	const struct words *mute = &c->route->mute;
	int64_t now = fold_now_ms(f);
	if (c->approval || !intervals_cover(&c->rules->intervals, mute->items, mute->n, now))
		return false;
	c->row->began_ms += intervals_end(&c->rules->intervals, mute->items, mute->n, now) - now;
	return true;
}

static bool climb_find(struct fold *f, struct climb *c)
{
	c->rules = rules_of(fold_config(f));
	c->policy = escalation_find(&c->rules->escalations, c->row->policy);
	if (!c->policy || c->row->held || c->row->next >= c->policy->n_beats)
		return false;
	c->beat = &c->policy->beats[c->row->next];
	c->step = &c->policy->steps[c->beat->step];
	/* After a reload the route may be gone. */
	c->route = route_find(&c->rules->route, c->row->route);
	c->route = c->route ? c->route : &c->rules->route;
	c->incident = incident_row(f, c->row->incident);
	if (*c->key != 'a')
		return c->incident != NULL;
	c->approval = row_get(fold_txn(f), &table_approvals, c->key + 2, Healbus__ApprovalRequest,
			      approval_request, fold_arena(f));
	struct store_val val;
	bool pending = !store_get_str(fold_txn(f), &table_pending, c->key + 2, &val);
	/* Nothing is left to be said when a question was not answered: its deadline says it. */
	return c->approval && pending && !c->beat->summary;
}

void ladder_due(struct fold *f, const char *key)
{
	struct ladder_row row;
	struct climb c = {.row = &row, .key = key};
	if (!ladder_get(f, key, &row))
		return;
	if (!climb_find(f, &c)) {
		ladder_drop(f, key);
		return;
	}
	if (!put_off(f, &c)) {
		call_now(f, &c);
		row.next++;
	}
	ladder_put(f, key, &row);
	if (row.next < c.policy->n_beats)
		beat_wait(f, key, &row, c.policy);
}
