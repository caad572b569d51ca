/* The rules. The judge sees messages as the bus has stored them, claims and locks as they are
 * written, and programs as they begin and end; it takes nobody's word for anything. */
#include "common/lease.h"
#include "tests/sim/sim.h"

/* A plan as its bytes stand on the bus. */
struct known_plan {
	uint8_t digest[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1];
	const Healbus__Plan *plan;
	bool asks;     /* a human must agree */
	bool approved; /* and did, in time */
	uint64_t outcome_seq;
};

struct ledger_run {
	const struct known_plan *plan;
	const struct proc *proc;
	unsigned boot;
	const char *run, *target;
	bool inside;
	int64_t lease_ms; /* of its lock, as last written */
};

struct lock_row {
	const char *key;
	char value[128];
	int64_t until_ms;
};

struct claim_row {
	char key[TOKEN_MAX + 1];
	char state[16], boot[ID_BYTES];
	uint64_t asked_step; /* when it was asked to be started, and whether all is paused */
};

/* An alert by its labels, as events on the bus tell of it. */
struct known_alert {
	const char *name, *service;
	int64_t fired_ms; /* fires since then; 0: it does not */
	bool owed;        /* it fired for longer than anybody waits: there must be an incident */
	bool told;
};

struct judge {
	struct known_alert alerts[SIM_ALERTS];
	size_t n_alerts;
	struct known_plan plans[SIM_PLANS];
	size_t n_plans;
	struct ledger_run runs[SIM_RUNS];
	size_t n_runs;
	struct claim_row claims[SIM_KEYS];
	size_t n_claims;
	struct lock_row locks[SIM_KEYS];
	size_t n_locks;
	uint64_t clock;        /* counts what is seen: orders events of one millisecond */
	uint64_t paused_since; /* 0: not paused */
};

void judge_new(void)
{
	W->judge = arena_alloc(&W->arena, sizeof(struct judge));
}

static const ProtobufCMessage *unpack(const struct message *m)
{
	ProtobufCMessage *msg = NULL;
	struct why why = {0};
	if (wire_unpack(m->topic.kind, m->data, m->len, &W->arena, &msg, &why))
		sim_fail("%s (%s) cannot be read: %s", m->subject, m->id, why.text);
	return msg;
}

static struct known_plan *plan_of(const uint8_t *digest, size_t len)
{
	struct judge *j = W->judge;
	for (size_t i = 0; len == DIGEST_BYTES && i < j->n_plans; i++)
		if (memcmp(j->plans[i].digest, digest, DIGEST_BYTES) == 0)
			return &j->plans[i];
	return NULL;
}

/* ---- messages ---- */

static void see_plan(const struct message *m)
{
	struct judge *j = W->judge;
	const Healbus__Plan *plan = (const Healbus__Plan *)unpack(m);
	uint8_t digest[DIGEST_BYTES];
	size_t of_incident = 1;
	plan_digest(m->data, m->len, digest);
	if (!plan || plan_of(digest, sizeof(digest)))
		return;
	if (j->n_plans == SIM_PLANS)
		abort();
	for (size_t i = 0; i < j->n_plans; i++)
		of_incident += str_eq(j->plans[i].plan->incident, plan->incident);
	/* One that expired before anything ran does not count, once. */
	if (W->kind != SIM_CLAIM &&
	    (plan->attempt > sim_max_attempts() || of_incident > sim_max_attempts() + 1))
		sim_fail("incident %s: attempt %u, plan %zu", plan->incident, plan->attempt,
			 of_incident);
	struct known_plan *k = &j->plans[j->n_plans++];
	*k = (struct known_plan){.plan = plan, .asks = !plan->trusted};
	memcpy(k->digest, digest, sizeof(digest));
	hex_encode(digest, sizeof(digest), k->hex);
	for (size_t i = 0; i < plan->n_steps; i++)
		k->asks |= str_starts(plan->steps[i]->target, "ask");
}

static void see_decision(const struct message *m)
{
	const Healbus__Decision *d = (const Healbus__Decision *)unpack(m);
	struct known_plan *k = d ? plan_of(d->plan_digest.data, d->plan_digest.len) : NULL;
	if (k && d->verdict == HEALBUS__DECISION_VERDICT__DECISION_APPROVE && d->id &&
	    people_signed(d->id) && m->time_ms <= d->deadline_ms)
		k->approved = true;
}

static bool ran(const struct known_plan *k, const char *run)
{
	const struct judge *j = W->judge;
	for (size_t i = 0; i < j->n_runs; i++)
		if (j->runs[i].plan == k && (!run || str_eq(j->runs[i].run, run)))
			return true;
	return false;
}

static bool is_act(const Healbus__Step *s)
{
	return str_eq(s->tool, "act");
}

/* Healed: every act was begun. Nothing ran: no act was. */
static void check_verdict(const struct known_plan *k, const Healbus__Outcome *o)
{
	const char *name = wire_enum_name(&healbus__verdict__descriptor, (int)o->verdict);
	bool nothing = o->verdict == HEALBUS__VERDICT__VERDICT_DENIED ||
		       o->verdict == HEALBUS__VERDICT__VERDICT_EXPIRED ||
		       o->verdict == HEALBUS__VERDICT__VERDICT_REFUSED ||
		       o->verdict == HEALBUS__VERDICT__VERDICT_OBSERVED;
	if (nothing && ran(k, NULL))
		sim_fail("plan %s: the outcome is %s, but an act was begun", k->plan->id, name);
	bool settled = o->reason && strstr(o->reason, "the plan's check holds");
	for (size_t i = 0; i < k->plan->n_steps; i++)
		if (o->verdict == HEALBUS__VERDICT__VERDICT_HEALED && !settled &&
		    is_act(k->plan->steps[i]) && !k->plan->steps[i]->keep_going &&
		    !ran(k, k->plan->steps[i]->params[0]->string_value) &&
		    !strstr(o->reason, "interrupted"))
			sim_fail("plan %s: healed, but step %zu was never begun", k->plan->id,
				 i + 1);
}

static void see_outcome(const struct message *m)
{
	const Healbus__Outcome *o = (const Healbus__Outcome *)unpack(m);
	struct known_plan *k = o ? plan_of(o->plan_digest.data, o->plan_digest.len) : NULL;
	if (!o)
		return;
	if (!k) {
		sim_fail("an outcome of a plan that is not on the bus: %s", o->plan_id);
		return;
	}
	if (k->outcome_seq) {
		const struct message *first = &stream_find(STREAM_STORY)->items[k->outcome_seq - 1];
		if (first->len != m->len || memcmp(first->data, m->data, m->len) != 0)
			sim_fail("plan %s has two outcomes", o->plan_id);
		return;
	}
	k->outcome_seq = m->seq;
	if (W->kind != SIM_FOLD)
		check_verdict(k, o);
}

static void see_control(const struct message *m)
{
	struct judge *j = W->judge;
	const Healbus__Control *c = (const Healbus__Control *)unpack(m);
	if (c && c->kind == HEALBUS__CONTROL_KIND__CONTROL_PAUSE && !j->paused_since)
		j->paused_since = ++j->clock;
	if (c && c->kind == HEALBUS__CONTROL_KIND__CONTROL_RESUME)
		j->paused_since = 0;
}

static void see_dead(const struct message *m)
{
	const Healbus__Dead *d = (const Healbus__Dead *)unpack(m);
	if (d)
		sim_fail("a message went to %s: %s: %s", m->subject, d->subject, d->error);
}

static struct known_alert *alert_of(Healbus__Label *const *labels, size_t n)
{
	struct judge *j = W->judge;
	const char *name = label_get(labels, n, "alertname");
	const char *service = label_get(labels, n, "service");
	if (!name || !service)
		return NULL;
	for (size_t i = 0; i < j->n_alerts; i++)
		if (str_eq(j->alerts[i].name, name) && str_eq(j->alerts[i].service, service))
			return &j->alerts[i];
	if (j->n_alerts == SIM_ALERTS)
		abort();
	j->alerts[j->n_alerts] = (struct known_alert){.name = name, .service = service};
	return &j->alerts[j->n_alerts++];
}

static void see_event(const struct message *m)
{
	const Healbus__Event *e = (const Healbus__Event *)unpack(m);
	struct known_alert *a = e ? alert_of(e->labels, e->n_labels) : NULL;
	if (!a)
		return;
	a->owed |= a->fired_ms && m->time_ms - a->fired_ms > SIM_GROUP_WAIT_MS;
	if (e->status != HEALBUS__STATUS__STATUS_FIRING)
		a->fired_ms = 0;
	else if (!a->fired_ms)
		a->fired_ms = m->time_ms;
}

static void see_incident(const struct message *m)
{
	const Healbus__Incident *i = (const Healbus__Incident *)unpack(m);
	struct known_alert *a = i ? alert_of(i->labels, i->n_labels) : NULL;
	if (a)
		a->told = true;
}

void judge_message(const struct message *m)
{
	static void (*const sees[KINDS])(const struct message *) = {
		[KIND_EVENT] = see_event,     [KIND_INCIDENT] = see_incident,
		[KIND_PLAN] = see_plan,       [KIND_DECISION] = see_decision,
		[KIND_OUTCOME] = see_outcome, [KIND_CONTROL] = see_control,
		[KIND_DEAD] = see_dead,
	};
	if (sees[m->topic.kind])
		sees[m->topic.kind](m);
}

/* ---- claims and locks ---- */

static struct claim_row *claim_row(const char *key)
{
	struct judge *j = W->judge;
	for (size_t i = 0; i < j->n_claims; i++)
		if (str_eq(j->claims[i].key, key))
			return &j->claims[i];
	struct claim_row *c = &j->claims[j->n_claims++];
	snprintf(c->key, sizeof(c->key), "%s", key);
	return c;
}

void judge_claim(const char *key, const char *value)
{
	char owner[TOKEN_MAX + 1];
	if (str_starts(key, "rate-"))
		return;
	struct claim_row *c = claim_row(key);
	bool over = str_eq(c->state, "done") || str_eq(c->state, "unknown");
	if (sscanf(value, "1 %15[a-z] %64s %20s", c->state, owner, c->boot) != 3)
		sim_fail("claim %s: %.40s", key, value);
	if (over)
		sim_fail("claim %s was over and is written again: %s", key, c->state);
	const struct task *t = task_current();
	if (str_eq(c->state, "started"))
		c->asked_step = t ? t->asked_step : 0;
}

void judge_asks(void)
{
	if (task_current())
		task_current()->asked_step = ++W->judge->clock;
}

void judge_lock(const char *key, const char *value)
{
	struct judge *j = W->judge;
	size_t i = 0;
	while (i < j->n_locks && !str_eq(j->locks[i].key, key))
		i++;
	if (i == j->n_locks)
		j->locks[j->n_locks++].key = arena_strdup(&W->arena, key);
	struct lock_row *l = &j->locks[i];
	l->until_ms = value ? W->now_ms + LOCK_TTL_MS : 0;
	if (!value)
		return; /* an act that lets go of its own lock too early keeps its lease here */
	snprintf(l->value, sizeof(l->value), "%s", value);
	for (size_t k = 0; k < j->n_runs; k++) {
		struct ledger_run *r = &j->runs[k];
		if (r->inside && strstr(value, r->proc->name) && strstr(value, r->plan->plan->id) &&
		    str_eq(key + strlen("target-"), r->target))
			r->lease_ms = l->until_ms;
	}
}

static int64_t lease_of(const struct ledger_run *r)
{
	const struct judge *j = W->judge;
	char key[TOKEN_MAX + 1];
	snprintf(key, sizeof(key), "target-%s", r->target);
	for (size_t i = 0; i < j->n_locks; i++)
		if (str_eq(j->locks[i].key, key) && strstr(j->locks[i].value, r->proc->name) &&
		    strstr(j->locks[i].value, r->plan->plan->id))
			return j->locks[i].until_ms;
	return 0;
}

/* ---- acts ---- */

static const Healbus__Step *step_of(const struct known_plan *k, const char *run, size_t *out_index)
{
	const char *name = str_starts(run, "undo-") ? run + 5 : run;
	for (size_t i = 0; i < k->plan->n_steps; i++) {
		const Healbus__Step *s = k->plan->steps[i];
		*out_index = i;
		if (is_act(s) && str_eq(s->params[0]->string_value, name))
			return s;
	}
	return NULL;
}

static void check_claimed(const struct ledger_run *r, size_t index)
{
	char number[24], id[ID_BYTES];
	snprintf(number, sizeof(number), "%zu", index);
	id_make(id, "step", r->plan->hex, str_starts(r->run, "undo-") ? "rollback" : "act", number);
	const struct claim_row *c = claim_row(id);
	if (!str_eq(c->state, "started") || !str_eq(c->boot, r->proc->boot))
		sim_fail("%s begins %s of plan %s, but its claim is \"%s\"", r->proc->name, r->run,
			 r->plan->plan->id, c->state);
	uint64_t paused = W->judge->paused_since;
	if (paused && paused < c->asked_step)
		sim_fail("%s begins %s of plan %s while all is paused", r->proc->name, r->run,
			 r->plan->plan->id);
}

static void check_alone(const struct ledger_run *mine)
{
	const struct judge *j = W->judge;
	for (size_t i = 0; i < j->n_runs; i++) {
		const struct ledger_run *r = &j->runs[i];
		bool lives =
			r->inside && r->proc->up && !r->proc->dead && r->proc->boots == r->boot;
		if (r != mine && r->plan == mine->plan && str_eq(r->run, mine->run))
			sim_fail("%s of plan %s is begun twice", r->run, r->plan->plan->id);
		if (r != mine && lives && str_eq(r->target, mine->target) &&
		    r->lease_ms > W->now_ms)
			sim_fail("two acts on %s at a time: %s and %s", r->target, r->run,
				 mine->run);
	}
}

static void check_allowed(const struct ledger_run *r)
{
	const struct known_plan *k = r->plan;
	if (k->asks && !k->approved)
		sim_fail("%s of plan %s is begun, but nobody approved it", r->run, k->plan->id);
	if (k->outcome_seq)
		sim_fail("%s of plan %s is begun after its outcome", r->run, k->plan->id);
}

struct ledger_run *judge_starts(const struct proc *p, const uint8_t digest[static DIGEST_BYTES],
				const char *run)
{
	struct judge *j = W->judge;
	struct known_plan *k = plan_of(digest, DIGEST_BYTES);
	size_t index = 0;
	const Healbus__Step *s = k ? step_of(k, run, &index) : NULL;
	if (!s) {
		sim_fail("%s begins %s of a plan that is not on the bus", p->name, run);
		return NULL;
	}
	if (j->n_runs == SIM_RUNS)
		abort();
	TRACE("%s BEGINS %s of plan %s on %s", p->name, run, k->plan->id, s->target);
	struct ledger_run *r = &j->runs[j->n_runs++];
	*r = (struct ledger_run){.plan = k,
				 .proc = p,
				 .boot = p->boots,
				 .run = arena_strdup(&W->arena, run),
				 .target = s->target,
				 .inside = true};
	r->lease_ms = lease_of(r);
	check_allowed(r);
	check_claimed(r, index);
	check_alone(r);
	return r;
}

void judge_ends(struct ledger_run *r)
{
	if (r)
		r->inside = false;
}

const char *judge_target(const struct ledger_run *r)
{
	return r->target;
}

/* ---- at rest ---- */

static void check_outcomes(void)
{
	const struct judge *j = W->judge;
	for (size_t i = 0; i < j->n_plans; i++)
		if (!j->plans[i].outcome_seq && W->kind != SIM_FOLD)
			sim_fail("plan %s has no outcome", j->plans[i].plan->id);
}

static bool first_of_subject(const struct stream *s, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (str_eq(s->items[k].subject, s->items[i].subject))
			return false;
	return true;
}

/* The last word of whoever opened it: the monitor, or the reasoner for a storm of plans. */
static void check_incidents(void)
{
	const struct stream *s = stream_find(STREAM_STORY);
	for (size_t i = 0; i < s->n; i++) {
		const struct message *m = &s->items[i];
		const Healbus__Incident *last = NULL;
		const char *owner = message_is_of(m, "monitor") ? "monitor" : "reasoner";
		if (m->topic.kind != KIND_INCIDENT || !first_of_subject(s, i))
			continue;
		for (size_t k = i; k < s->n; k++)
			if (str_eq(s->items[k].subject, m->subject) &&
			    message_is_of(&s->items[k], owner))
				last = (const Healbus__Incident *)unpack(&s->items[k]);
		if (!last || last->state != HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED)
			sim_fail("incident %s has no end", m->topic.token);
	}
}

static void check_alerts(void)
{
	const struct judge *j = W->judge;
	for (size_t i = 0; i < j->n_alerts; i++)
		if ((j->alerts[i].owed || j->alerts[i].fired_ms) && !j->alerts[i].told)
			sim_fail("alert %s of %s is in no incident", j->alerts[i].name,
				 j->alerts[i].service);
}

void judge_end(void)
{
	check_alerts();
	check_outcomes();
	if (W->kind != SIM_CLAIM)
		check_incidents();
}
