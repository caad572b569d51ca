#include "reasoner/case.h"

#include "reasoner/ask.h"
#include "reasoner/effect.h"
#include "reasoner/escalate.h"
#include "reasoner/plan.h"
#include "reasoner/queue.h"

enum {
	EXPIRED_MAX = 1,
	UNTRIED_MAX = 2,
	UNTRIED_WAIT_MS = 60000, /* before the second time; four times that before the third */
	DETAILED_ATTEMPTS = 2,   /* so many of the latest keep what they changed and what failed */
};

/* ---- rows ---- */

int case_load(struct desk *d, const char *incident, struct case_file *out)
{
	struct store_val val;
	ProtobufCMessage *msg = NULL;
	int rc = store_get_str(fold_txn(d->f), &table_cases, incident, &val);
	if (rc)
		return rc;
	if (val.len != sizeof(out->row))
		return why_set(d->why, ERR_CORRUPT, "cases: %s", incident);
	memcpy(&out->row, val.data, sizeof(out->row));
	rc = store_get_str(fold_txn(d->f), &table_incidents, incident, &val);
	if (rc)
		return why_set(d->why, ERR_CORRUPT, "incidents: %s", incident);
	rc = desk_unpack(d, KIND_INCIDENT, &val, &msg);
	if (rc)
		return rc;
	out->incident = (Healbus__Incident *)msg;
	return 0;
}

void case_save(struct desk *d, const struct case_file *c)
{
	auto_buf packed = {0};
	wire_pack(&c->incident->base, &packed);
	store_put_str(fold_txn(d->f), &table_cases, c->incident->id, &c->row, sizeof(c->row));
	store_put_str(fold_txn(d->f), &table_incidents, c->incident->id, buf_str(&packed),
		      packed.len);
}

void case_delete(struct desk *d, const char *incident)
{
	store_del_str(fold_txn(d->f), &table_cases, incident);
	store_del_str(fold_txn(d->f), &table_incidents, incident);
}

int desk_unpack(struct desk *d, enum kind kind, const struct store_val *val, ProtobufCMessage **out)
{
	int rc = wire_unpack(kind, val->data, val->len, &d->arena, out, d->why);
	return rc ? why_prefix(d->why, ERR_CORRUPT, "stored %s", kind_name(kind)) : 0;
}

bool case_is_open(const struct case_file *c)
{
	return c->incident->state == HEALBUS__INCIDENT_STATE__INCIDENT_OPEN;
}

bool case_is_active(const struct case_file *c)
{
	if (c->row.phase == CASE_HEALED)
		return case_is_open(c);
	return c->row.phase == CASE_COOLING || c->row.phase == CASE_QUEUED ||
	       c->row.phase == CASE_ASKING || c->row.phase == CASE_PLANNED;
}

void case_tried(struct desk *d, struct case_file *c, const Healbus__Attempt *attempt)
{
	Healbus__Incident *i = c->incident;
	size_t drop = i->n_tried >= WIRE_ATTEMPTS_MAX ? i->n_tried - WIRE_ATTEMPTS_MAX + 1 : 0;
	size_t keep = i->n_tried - drop;
	Healbus__Attempt **tried = arena_alloc(&d->arena, (keep + 1) * sizeof(*tried));
	if (keep)
		memcpy(tried, i->tried + drop, keep * sizeof(*tried));
	tried[keep] = arena_alloc(&d->arena, sizeof(**tried));
	*tried[keep] = *attempt;
	for (size_t n = DETAILED_ATTEMPTS; n <= keep; n++) {
		tried[keep - n]->detail = NULL;
		tried[keep - n]->edits = NULL;
	}
	i->tried = tried;
	i->n_tried = keep + 1;
}

/* ---- what a case does ---- */

static int case_rest(struct desk *d, struct case_file *c)
{
	desk_timer_cancel(d, TIMER_COOL, c->incident->id);
	desk_timer_cancel(d, TIMER_SETTLE, c->incident->id);
	desk_timer_cancel(d, TIMER_ANSWER, c->incident->id);
	queue_remove(d, c);
	c->row.ask[0] = 0;
	c->row.phase = CASE_IDLE;
	return 0;
}

/* Another plan of this key is under way, or one has just ended. */
static bool must_cool(const struct desk *d, const struct effect_row *e)
{
	return e->plan[0] || fold_now_ms(d->f) < e->ready_ms;
}

static int case_cool(struct desk *d, struct case_file *c, const struct effect_row *e)
{
	c->row.phase = CASE_COOLING;
	if (!e->plan[0])
		desk_timer(d, TIMER_COOL, c->incident->id, e->ready_ms);
	return 0;
}

static int case_plan(struct desk *d, struct case_file *c)
{
	struct why why = {0};
	int rc = plan_make(d, c, &why);
	if (rc == ERR_NOT_FOUND && ask_wanted(d, c))
		return ask_workers(d, c);
	if (rc == ERR_NOT_FOUND) {
		case_escalate(d, c, "%s", why.text);
		return 0;
	}
	if (rc)
		return rc;
	c->row.phase = CASE_PLANNED;
	return effect_plan_made(d, c);
}

static bool attempts_used_up(const struct desk *d, const struct case_file *c)
{
	const struct runbook *rb = case_runbook(d, c);
	int64_t made = (int64_t)c->row.attempt - c->row.forgiven;
	if (!rb && !c->row.asked)
		return false;
	return made >= (rb ? rb->max_attempts : d->settings->max_attempts);
}

/* A last success that did not last has been counted already. */
static int case_give_up(struct desk *d, struct case_file *c)
{
	const Healbus__Incident *i = c->incident;
	bool counted =
		i->n_tried && i->tried[i->n_tried - 1]->verdict == HEALBUS__VERDICT__VERDICT_HEALED;
	case_escalate(d, c, "%u attempt%s did not help", c->row.attempt,
		      c->row.attempt == 1 ? "" : "s");
	return counted ? 0 : effect_gave_up(d, c);
}

/* The one way to a plan: everything that could speak against it is asked here, in order. */
static int case_consider(struct desk *d, struct case_file *c)
{
	struct effect_row e;
	c->row.phase = CASE_IDLE;
	if (!case_is_open(c))
		return 0;
	int rc = effect_returned(d, c, &e);
	if (rc)
		return rc;
	if (e.blocked) {
		case_escalate(d, c,
			      "the last %u fixes of this problem did not last; no more are tried "
			      "until you acknowledge, or it stays quiet for a while",
			      e.useless);
		return 0;
	}
	if (attempts_used_up(d, c))
		return case_give_up(d, c);
	if (must_cool(d, &e))
		return case_cool(d, c, &e);
	if (!queue_must_wait(d))
		return case_plan(d, c);
	c->row.phase = CASE_QUEUED;
	return queue_put(d, c);
}

static int case_fixed(struct desk *d, struct case_file *c)
{
	const struct runbook *rb = case_runbook(d, c);
	int64_t within_ms = rb ? rb->resolve_within_ms : d->settings->resolve_within_ms;
	c->row.phase = CASE_HEALED;
	if (case_is_open(c) && (rb || c->row.asked))
		desk_timer(d, TIMER_SETTLE, c->incident->id, fold_now_ms(d->f) + within_ms);
	return effect_healed(d, c);
}

static const char *last_reason(const struct case_file *c)
{
	const Healbus__Incident *i = c->incident;
	const char *reason = i->n_tried ? i->tried[i->n_tried - 1]->reason : NULL;
	return reason ? reason : "no reason given";
}

static int case_stopped(struct desk *d, struct case_file *c)
{
	if (!case_is_open(c)) {
		c->row.phase = CASE_IDLE;
		return 0;
	}
	case_escalate(d, c, "the plan was stopped: %s", last_reason(c));
	return effect_gave_up(d, c);
}

/* Nothing ran, so it does not count as an attempt; but once only. */
static int case_expired(struct desk *d, struct case_file *c)
{
	if (c->row.expired++ >= EXPIRED_MAX)
		return case_stopped(d, c);
	c->row.attempt -= c->row.attempt > 0;
	return case_consider(d, c);
}

/* A sandbox that is not to be had, a repository that does not answer: neither the fix nor who
 * proposed it is to blame, so it is no attempt. Given some time; then a human must see to it. */
static int case_untried(struct desk *d, struct case_file *c)
{
	struct effect_row e;
	c->row.attempt -= c->row.attempt > 0;
	if (case_is_open(c) && c->row.untried >= UNTRIED_MAX) {
		case_escalate(d, c, "nothing could be tried, and that is not the fix's fault: %s",
			      d->reason);
		return 0;
	}
	int rc = effect_load(d, c->incident->key, &e);
	if (rc)
		return rc;
	int64_t wait_ms = (int64_t)UNTRIED_WAIT_MS << 2 * c->row.untried++;
	e.ready_ms = MAX(e.ready_ms, fold_now_ms(d->f) + wait_ms);
	effect_save(d, c->incident->key, &e);
	return case_consider(d, c);
}

/* The author of a fork has been told; whether that helps, nobody here can see to. */
static int case_said(struct desk *d, struct case_file *c)
{
	if (case_is_open(c))
		case_escalate(d, c, "%s", d->reason);
	c->row.phase = CASE_ENDED;
	return 0;
}

static int case_observed(struct desk *d, struct case_file *c)
{
	(void)d;
	c->row.phase = CASE_ENDED;
	return 0;
}

static int case_late(struct desk *d, struct case_file *c)
{
	if (!case_is_open(c)) {
		c->row.phase = CASE_IDLE;
		return 0;
	}
	case_escalate(d, c, "%s",
		      c->row.started ? "the plan was started, but how it ended is not known: no "
				       "outcome came"
				     : "nobody executed the plan: is an executor running?");
	return effect_gave_up(d, c);
}

/* It was closed, and the same incident is open again. */
static int case_closed_healed(struct desk *d, struct case_file *c)
{
	desk_timer_cancel(d, TIMER_SETTLE, c->incident->id);
	return 0;
}

static int case_answer(struct desk *d, struct case_file *c)
{
	const char *reason = NULL;
	int rc = answer_plan(d, c, &reason);
	if (rc == ERR_NOT_FOUND) {
		case_escalate(d, c, "%s", reason);
		return c->row.attempt ? effect_gave_up(d, c) : 0;
	}
	if (rc)
		return rc;
	c->row.phase = CASE_PLANNED;
	return effect_plan_made(d, c);
}

static int case_answered(struct desk *d, struct case_file *c)
{
	desk_timer_cancel(d, TIMER_ANSWER, c->incident->id);
	c->row.ask[0] = 0;
	return case_answer(d, c);
}

/* An agent's patch is the second half of the same attempt. */
static int case_patched(struct desk *d, struct case_file *c)
{
	c->row.phase = CASE_IDLE;
	if (!case_is_open(c))
		return 0;
	c->row.attempt -= c->row.attempt > 0;
	return case_answer(d, c);
}

static int case_unanswered(struct desk *d, struct case_file *c)
{
	c->row.ask[0] = 0;
	case_escalate(d, c,
		      "no runbook answers this incident, and no diagnosis came in time: is "
		      "the reasoner's worker running?");
	return 0;
}

/* A human's word counts more than what was given up. */
static int case_retry(struct desk *d, struct case_file *c)
{
	if (!case_is_open(c))
		return 0;
	c->row.taken = c->row.escalated = 0;
	c->row.forgiven = c->row.attempt;
	c->row.untried = 0;
	c->row.phase = CASE_IDLE;
	int rc = effect_reset(d, c->incident->key);
	return rc ? rc : case_consider(d, c);
}

static int case_taken(struct desk *d, struct case_file *c)
{
	if (c->row.taken)
		return 0;
	case_rest(d, c);
	c->row.phase = CASE_ENDED;
	c->row.taken = 1;
	return effect_reset(d, c->incident->key);
}

/* What is not in the table is no reason to do anything. */
static int (*const transitions[CASE_PHASES][CASE_EVENTS])(struct desk *, struct case_file *) = {
	[CASE_IDLE] =
		{[CASE_OPEN] = case_consider, [CASE_RETRY] = case_retry, [CASE_TAKEN] = case_taken},
	[CASE_COOLING] =
		{[CASE_CLOSED] = case_rest, [CASE_DUE] = case_consider, [CASE_TAKEN] = case_taken},
	[CASE_QUEUED] =
		{[CASE_CLOSED] = case_rest, [CASE_DUE] = case_consider, [CASE_TAKEN] = case_taken},
	[CASE_ASKING] = {[CASE_CLOSED] = case_rest,
			 [CASE_ANSWERED] = case_answered,
			 [CASE_UNANSWERED] = case_unanswered,
			 [CASE_TAKEN] = case_taken},
	[CASE_PLANNED] = {[CASE_FIXED] = case_fixed,
			  [CASE_FAILED] = case_consider,
			  [CASE_STOPPED] = case_stopped,
			  [CASE_EXPIRED] = case_expired,
			  [CASE_UNTRIED] = case_untried,
			  [CASE_SAID] = case_said,
			  [CASE_PATCHED] = case_patched,
			  [CASE_OBSERVED] = case_observed,
			  [CASE_LATE] = case_late,
			  [CASE_TAKEN] = case_taken},
	[CASE_HEALED] = {[CASE_OPEN] = case_consider,
			 [CASE_CLOSED] = case_closed_healed,
			 [CASE_STILL_FIRING] = case_consider,
			 [CASE_RETRY] = case_retry,
			 [CASE_TAKEN] = case_taken},
	[CASE_ENDED] = {[CASE_RETRY] = case_retry, [CASE_TAKEN] = case_taken},
};

int case_event(struct desk *d, struct case_file *c, enum case_event event)
{
	int (*act)(struct desk *, struct case_file *) = transitions[c->row.phase][event];
	int rc = act ? act(d, c) : 0;
	if (!rc)
		case_save(d, c);
	return rc;
}
