/* What comes from outside of the processes: alerts, plans (where no reasoner lives), answers of
 * people and of those who only pretend, pauses, and a robot that answers plans (where no executor
 * lives). They do not fail. */
#include "tests/sim/sim.h"

enum { ANSWERS_MAX = 64, ALERTS_MAX = 3 };

static struct sign_key *key;
static char *key_file;

static struct {
	char signed_ids[ANSWERS_MAX][ID_BYTES];
	size_t n_signed;
	unsigned serial; /* makes ids */
} people;

void people_setup(const char *dir)
{
	struct why why = {0};
	auto_free char *path = mem_printf("%s/decision.key", dir);
	key_file = mem_printf("%s.pub", path);
	if (sign_key_load_or_create(path, &key, &why)) {
		fprintf(stderr, "%s\n", why.text);
		exit(70);
	}
}

const char *people_key_file(void)
{
	return key_file;
}

bool people_signed(const char *decision_id)
{
	for (size_t i = 0; i < people.n_signed; i++)
		if (str_eq(people.signed_ids[i], decision_id))
			return true;
	return false;
}

static char *text(const char *fmt, ...) PRINTF_LIKE(1, 2);
static char *text(const char *fmt, ...)
{
	char out[128];
	va_list args;
	va_start(args, fmt);
	vsnprintf(out, sizeof(out), fmt, args);
	va_end(args);
	return arena_strdup(&W->arena, out);
}

static void publish(enum kind kind, const char *token, const ProtobufCMessage *msg, const char *id)
{
	char subject[SUBJECT_MAX + 1];
	auto_buf packed = {0};
	struct why why = {0};
	uint64_t seq;
	bool duplicate;
	if (wire_check(kind, msg, &why))
		sim_fail("a message of the simulation's own: %s", why.text);
	wire_pack(msg, &packed);
	if (kind == KIND_EVENT)
		subject_event(subject, 0, token);
	else
		subject_story(subject, kind, token);
	struct bus_msg m = {.subject = subject,
			    .id = id,
			    .time_ms = W->now_ms,
			    .data = packed.data,
			    .len = packed.len};
	stream_store(&m, &seq, &duplicate);
}

static void *copy(const void *data, size_t len)
{
	void *out = arena_alloc(&W->arena, len);
	memcpy(out, data, len);
	return out;
}

/* ---- pauses ---- */

static void control(void *arg)
{
	static bool resume = false;
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	bool *pause = arg;
	c.id = text("control-%u", ++people.serial);
	c.by = (char *)"kim";
	SET(&c, kind,
	    *pause ? HEALBUS__CONTROL_KIND__CONTROL_PAUSE : HEALBUS__CONTROL_KIND__CONTROL_RESUME);
	SET(&c, at_ms, W->now_ms);
	publish(KIND_CONTROL, "pause", &c.base, c.id);
	if (*pause)
		todo_add(W->now_ms + 1000 + (int64_t)draw(60000), control, &resume);
}

static void maybe_pause(void)
{
	static bool pause = true;
	if (!draw(6))
		todo_add(W->now_ms + (int64_t)draw(30000), control, &pause);
}

/* ---- answers ---- */

struct answer {
	Healbus__Decision decision;
	bool genuine;
	bool own_id; /* not the one that the bus keeps one of */
};

static void answer(void *arg)
{
	struct answer *a = arg;
	Healbus__Decision *d = &a->decision;
	struct why why = {0};
	char number[16];
	char *id = arena_alloc(&W->arena, ID_BYTES);
	snprintf(number, sizeof(number), "%u", ++people.serial);
	id_make(id, "sim-decision", number);
	d->id = id;
	SET(d, at_ms, W->now_ms);
	if (a->genuine && people.n_signed < ANSWERS_MAX) {
		memcpy(people.signed_ids[people.n_signed++], id, ID_BYTES);
		if (decision_sign(d, key, &W->arena, &why))
			sim_fail("signing: %s", why.text);
	}
	const char *msg_id = a->own_id ? text("forged:%s", id) : text("decision:%s", d->approval);
	publish(KIND_DECISION, d->incident, &d->base, msg_id);
}

static struct answer *answer_new(const Healbus__ApprovalRequest *q,
				 Healbus__DecisionVerdict verdict)
{
	struct answer *a = arena_alloc(&W->arena, sizeof(*a));
	Healbus__Decision *d = &a->decision;
	healbus__decision__init(d);
	a->genuine = true;
	d->incident = q->incident;
	d->plan_id = q->plan_id;
	SET(d, plan_digest, q->plan_digest);
	SET(d, plan_seq, q->plan_seq);
	d->approval = q->id;
	SET(d, verdict, verdict);
	d->by = (char *)"kim";
	d->channel = (char *)"api";
	SET(d, deadline_ms, q->deadline_ms);
	return a;
}

#define APPROVE HEALBUS__DECISION_VERDICT__DECISION_APPROVE
#define DENY HEALBUS__DECISION_VERDICT__DECISION_DENY
#define EXPIRED HEALBUS__DECISION_VERDICT__DECISION_EXPIRED

/* Nobody who could sign did: what a stranger on the bus might send. */
static void forge(const Healbus__ApprovalRequest *q, uint64_t how)
{
	struct answer *a = answer_new(q, APPROVE);
	a->own_id = true;
	a->genuine = how == 2;
	if (how == 1) {
		static uint8_t scrawl[64];
		SET(&a->decision, signature, ((ProtobufCBinaryData){sizeof(scrawl), scrawl}));
		a->decision.key_id = (char *)"0123456789abcdef";
	}
	/* A real signature, for bytes that the plan does not have. */
	if (how == 2) {
		uint8_t *other = copy(q->plan_digest.data, q->plan_digest.len);
		other[0] ^= 1;
		a->decision.plan_digest.data = other;
	}
	todo_add(W->now_ms + (int64_t)draw(5000), answer, a);
}

static void asked(const Healbus__ApprovalRequest *q)
{
	int64_t left = MAX(q->deadline_ms - W->now_ms, 1);
	int64_t when = W->now_ms + (int64_t)draw(draw(3) ? 5000 : (uint64_t)left);
	if (W->kind == SIM_CLAIM && draw(4) == 0)
		forge(q, draw(3));
	uint64_t mind = draw(20);
	if (mind < 14)
		todo_add(when, answer, answer_new(q, APPROVE));
	else if (mind < 17)
		todo_add(when, answer, answer_new(q, DENY));
	else if (mind < 18) /* too late: no is what silence meant */
		todo_add(q->deadline_ms + 1 + (int64_t)draw(9000), answer, answer_new(q, APPROVE));
	if (draw(8) == 0)
		todo_add(when + (int64_t)draw(3000), answer,
			 answer_new(q, draw(2) ? APPROVE : DENY));
	/* Where no notifier lives, somebody must say it. */
	if (W->kind == SIM_CLAIM) {
		struct answer *a = answer_new(q, EXPIRED);
		a->genuine = false;
		a->own_id = true;
		todo_add(q->deadline_ms + 10000, answer, a);
	}
}

/* ---- a robot instead of executors ---- */

static void robot_outcome(void *arg)
{
	const Healbus__Plan *p = arg;
	static const Healbus__Verdict verdicts[] = {
		HEALBUS__VERDICT__VERDICT_HEALED,      HEALBUS__VERDICT__VERDICT_HEALED,
		HEALBUS__VERDICT__VERDICT_HEALED,      HEALBUS__VERDICT__VERDICT_FAILED,
		HEALBUS__VERDICT__VERDICT_ROLLED_BACK, HEALBUS__VERDICT__VERDICT_DENIED,
		HEALBUS__VERDICT__VERDICT_UNKNOWN,     HEALBUS__VERDICT__VERDICT_EXPIRED};
	uint8_t digest[DIGEST_BYTES];
	auto_buf packed = {0};
	Healbus__Outcome o = HEALBUS__OUTCOME__INIT;
	wire_pack(&p->base, &packed);
	plan_digest(packed.data, packed.len, digest);
	o.id = text("outcome-%s", p->id);
	o.incident = p->incident;
	o.incident_key = p->incident_key;
	o.plan_id = p->id;
	o.runbook = p->runbook;
	SET(&o, plan_digest, ((ProtobufCBinaryData){DIGEST_BYTES, digest}));
	SET(&o, attempt, p->attempt);
	SET(&o, verdict, verdicts[draw(ARRAY_SIZE(verdicts))]);
	o.reason = (char *)"the robot says so";
	publish(KIND_OUTCOME, p->incident, &o.base, text("outcome:%s", p->id));
	if (o.verdict == HEALBUS__VERDICT__VERDICT_HEALED)
		people_act_done(p->steps[0]->target);
}

static void robot_step(void *arg)
{
	const Healbus__Plan *p = arg;
	Healbus__StepReport r = HEALBUS__STEP_REPORT__INIT;
	r.incident = p->incident;
	r.plan_id = p->id;
	r.step_id = text("step-%u", ++people.serial);
	SET(&r, phase, HEALBUS__PHASE__PHASE_ACT);
	SET(&r, state, HEALBUS__STEP_STATE__STEP_STARTED);
	SET(&r, started_at_ms, W->now_ms);
	publish(KIND_STEP, p->incident, &r.base, r.step_id);
}

static void robot(Healbus__Plan *p)
{
	if (draw(12) == 0)
		return; /* nobody executes it */
	int64_t at = W->now_ms + (int64_t)draw(20000);
	if (draw(2))
		todo_add(at, robot_step, p);
	todo_add(at + (int64_t)draw(20000), robot_outcome, p);
}

/* ---- alerts ---- */

struct alert {
	const char *name, *service;
	int64_t starts_ms;
	bool firing;
};

static struct alert alerts[ALERTS_MAX];
static size_t n_alerts;

static void say_alert(const struct alert *a)
{
	Healbus__Event e = HEALBUS__EVENT__INIT;
	Healbus__Label name = HEALBUS__LABEL__INIT, service = HEALBUS__LABEL__INIT;
	Healbus__Label *labels[] = {&name, &service};
	char fingerprint[FINGERPRINT_LEN + 1];
	name.name = (char *)"alertname";
	name.value = (char *)(uintptr_t)a->name;
	service.name = (char *)"service";
	service.value = (char *)(uintptr_t)a->service;
	struct label_view views[] = {{name.name, name.value}, {service.name, service.value}};
	fingerprint_labels(views, ARRAY_SIZE(views), fingerprint);
	e.labels = labels;
	e.n_labels = ARRAY_SIZE(labels);
	e.id = text("event-%u", ++people.serial);
	e.fingerprint = fingerprint;
	e.name = name.value;
	e.partition_key = service.value;
	e.source = (char *)"alertmanager";
	SET(&e, status,
	    a->firing ? HEALBUS__STATUS__STATUS_FIRING : HEALBUS__STATUS__STATUS_RESOLVED);
	SET(&e, severity, HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	SET(&e, starts_at_ms, a->starts_ms);
	SET(&e, trusted, 1);
	if (!a->firing)
		SET(&e, ends_at_ms, W->now_ms);
	publish(KIND_EVENT, "alertmanager", &e.base, e.id);
	if (draw(6) == 0) /* the same message again: the bus drops it */
		publish(KIND_EVENT, "alertmanager", &e.base, e.id);
}

static void alert_fires(void *arg)
{
	struct alert *a = arg;
	if (!a->firing)
		a->starts_ms = W->now_ms;
	a->firing = true;
	say_alert(a);
}

static void alert_goes(void *arg)
{
	struct alert *a = arg;
	bool was = a->firing;
	a->firing = false;
	if (was || draw(3) == 0)
		say_alert(a);
}

void people_act_done(const char *target)
{
	for (size_t i = 0; i < n_alerts; i++)
		if (str_eq(alerts[i].name, target) && draw(4))
			todo_add(W->now_ms + (int64_t)draw(8000), alert_goes, &alerts[i]);
}

static void arrive_alerts(void)
{
	static const char *const names[] = {"auto-1", "auto-2", "ask-1", "ask-2"};
	n_alerts = 1 + draw(ALERTS_MAX);
	for (size_t i = 0; i < n_alerts; i++) {
		int64_t at = W->now_ms + (int64_t)draw(30000);
		alerts[i] = (struct alert){.name = names[draw(ARRAY_SIZE(names))],
					   .service = draw(3) ? "web" : "db"};
		for (uint64_t again = draw(5); again > 0; again--) {
			todo_add(at, draw(5) ? alert_fires : alert_goes, &alerts[i]);
			at += (int64_t)draw(40000);
		}
		todo_add(at, alert_fires, &alerts[i]);
		todo_add(W->calm_ms + SIM_MINUTE + (int64_t)draw(20 * 60000), alert_goes,
			 &alerts[i]);
	}
}

/* ---- plans, where no reasoner lives ---- */

static Healbus__Step *step_new(const char *target, unsigned number)
{
	Healbus__Step *s = arena_alloc(&W->arena, sizeof(*s));
	healbus__step__init(s);
	s->tool = (char *)"act";
	s->target = (char *)(uintptr_t)target;
	s->params = arena_alloc(&W->arena, sizeof(*s->params));
	s->params[s->n_params++] = param_new_string(&W->arena, "run", text("s%u", number));
	if (draw(3) == 0) {
		s->verify = arena_alloc(&W->arena, sizeof(*s->verify));
		healbus__check__init(s->verify);
		s->verify->tool = (char *)"look";
		s->verify->target = s->target;
		SET(s->verify, deadline_ms, 3000);
		SET(s->verify, interval_ms, 1000);
	}
	if (draw(6) == 0)
		SET(s, keep_going, true);
	return s;
}

static void plan_arrives(void *arg)
{
	static const char *const targets[] = {"auto-1", "auto-1", "auto-2", "ask-1"};
	const char *target = targets[draw(ARRAY_SIZE(targets))];
	Healbus__Plan p = HEALBUS__PLAN__INIT;
	(void)arg;
	p.id = text("plan-%u", ++people.serial);
	p.incident = text("incident-%u", people.serial);
	p.n_steps = 1 + draw(2);
	p.steps = arena_alloc(&W->arena, p.n_steps * sizeof(*p.steps));
	for (unsigned i = 0; i < p.n_steps; i++)
		p.steps[i] = step_new(target, i);
	SET(&p, attempt, 1);
	SET(&p, trusted, draw(12) != 0);
	SET(&p, created_at_ms, W->now_ms);
	SET(&p, not_after_ms, W->now_ms + (draw(6) ? SIM_HOUR : 20 * SIM_SECOND));
	SET(&p, provenance, HEALBUS__PROVENANCE__PROVENANCE_RUNBOOK);
	SET(&p, rollback_on_failure, draw(2) != 0);
	publish(KIND_PLAN, p.incident, &p.base, p.id);
}

static void arrive_plans(void)
{
	for (uint64_t n = 1 + draw(2); n > 0; n--)
		todo_add(W->now_ms + (int64_t)draw(draw(2) ? 100 : 20000), plan_arrives, NULL);
}

/* ---- all of them ---- */

void people_arrive(void)
{
	people.n_signed = people.serial = 0;
	n_alerts = 0;
	if (W->kind == SIM_CLAIM)
		arrive_plans();
	else
		arrive_alerts();
	maybe_pause();
}

void people_watch(const struct message *m)
{
	ProtobufCMessage *msg = NULL;
	bool plan = m->topic.kind == KIND_PLAN && W->kind == SIM_FOLD;
	if (!plan && m->topic.kind != KIND_APPROVAL)
		return;
	if (wire_unpack(m->topic.kind, m->data, m->len, &W->arena, &msg, NULL))
		sim_fail("%s (%s) cannot be read", m->subject, m->id);
	else if (plan)
		robot((Healbus__Plan *)msg);
	else
		asked((const Healbus__ApprovalRequest *)msg);
}
