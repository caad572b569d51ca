/* One plan's life, from its bytes to its outcome. Claims remember what was done, so a plan is
 * simply run from the top again after every interruption. */
#include "common/clock.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/metrics.h"
#include "executor/gate.h"
#include "executor/policy.h"
#include "executor/recall.h"
#include "executor/report.h"
#include "executor/sandboxes/sandbox.h"
#include "executor/workspace.h"

enum { BUS_WAIT_MS = 2000, LOCK_WAIT_MS = 1000 };

static struct metric outcomes =
	METRIC_COUNTER("healbus_executor_outcomes_total", "Plans ended, by verdict.", "verdict");
/* A late attempt or a long plan: worth a look, for the next time may not end so well. */
static struct metric complex_heals = METRIC_COUNTER(
	"healbus_executor_complex_heals_total",
	"Plans that healed at the third attempt or later, or with five steps or more.");
enum { COMPLEX_ATTEMPT = 3, COMPLEX_STEPS = 5 };

/* What running the steps came to. */
struct course {
	bool done[WIRE_STEPS_MAX];
	bool settled;  /* the plan's own check holds already: nothing more to do */
	bool remarked; /* reason is a list of remarks */
	Healbus__Verdict verdict;
	char reason[WIRE_REASON_MAX + 1];
};

void plan_run_init(struct plan_run *run, const void *data, size_t len)
{
	plan_digest(data, len, run->digest);
	hex_encode(run->digest, sizeof(run->digest), run->digest_hex);
	id_make(run->outcome_id, "outcome", run->digest_hex);
	run->started_ms = clock_real_ms();
	plan_prepare(run->ex->config, run->plan, &run->prepared);
}

void plan_run_release(struct plan_run *run)
{
	prepared_release(&run->prepared);
}

enum plan_end plan_wait(struct plan_run *run, int64_t ms, const char *why)
{
	run->wait_ms = ms;
	why_set(&run->wait, ERR_BUSY, "%s", why);
	return PLAN_WAIT;
}

/* ---- the end ---- */

static void plan_key(const struct plan_run *run, char out[static TOKEN_MAX + 1])
{
	snprintf(out, TOKEN_MAX + 1, "plan-%s", run->outcome_id);
}

static enum plan_end conclude(struct plan_run *run, Healbus__Verdict verdict, const char *reason)
{
	const struct executor *ex = run->ex;
	struct recall *r = &run->recall;
	struct why why = {0};
	auto_buf packed = {0};
	const char *name = wire_enum_name(&healbus__verdict__descriptor, (int)verdict);
	Healbus__Outcome *o = report_outcome(run, verdict, reason, &packed);
	if (wire_check(KIND_OUTCOME, &o->base, &why))
		LOG(ERROR, "outcome that others will not read", S("why", why.text));
	int rc = report_audit(run, name, run->decision ? run->decision->by : NULL, reason);
	if (!rc)
		rc = claim_advance(ex->bus, r->plan_key, &r->plan, CLAIM_DONE,
				   journal_owner(ex->journal), ex->boot, packed.data, packed.len,
				   &why);
	FAILPOINT("executor-plan-claimed");
	if (!rc)
		rc = report_outcome_send(run, packed.data, packed.len, &why);
	if (rc)
		return plan_wait(run, BUS_WAIT_MS, why.text);
	FAILPOINT("executor-outcome");
	workspace_remove(ex->config->stage.state_dir, run->plan->id);
	metric_add(&outcomes, 1, name);
	if (str_eq(name, "healed") &&
	    (run->plan->attempt >= COMPLEX_ATTEMPT || run->plan->n_steps >= COMPLEX_STEPS))
		metric_add(&complex_heals, 1, NULL);
	LOG(INFO, "plan ended", S("plan", run->plan->id), S("incident", run->plan->incident),
	    S("verdict", name), S("reason", reason));
	return PLAN_SETTLED;
}

static bool same_decision(const struct plan_run *run, const Healbus__Outcome *o)
{
	if (!run->decision)
		return true;
	return o->decision && o->decision->id && str_eq(o->decision->id, run->decision->id);
}

/* A decision that changes nothing is still part of the story. */
static enum plan_end say_too_late(struct plan_run *run, const char *reason)
{
	struct slot slot;
	struct why why = {0};
	char id[BUS_ID_MAX];
	slot_init(&slot, run, HEALBUS__PHASE__PHASE_POLICY, 0, NULL);
	id_make(slot.id, "step", run->digest_hex, "decision", run->decision->id);
	snprintf(id, sizeof(id), "%s:refused", slot.id);
	Healbus__StepReport *r = report_new(run, &slot, HEALBUS__STEP_STATE__STEP_REFUSED, reason);
	report_audit(run, "refused", run->decision->by, reason);
	if (report_publish(run->ex, KIND_STEP, r->incident, &r->base, id, run->cause, &why))
		return plan_wait(run, BUS_WAIT_MS, why.text);
	return PLAN_SETTLED;
}

/* The outcome exists: say it again in case the first saying was lost. */
static enum plan_end repeat_outcome(struct plan_run *run, const struct claim *claim)
{
	struct why why = {0};
	ProtobufCMessage *msg = NULL;
	if (report_outcome_send(run, claim->note.data, claim->note.len, &why))
		return plan_wait(run, BUS_WAIT_MS, why.text);
	workspace_remove(run->ex->config->stage.state_dir, run->plan->id);
	int rc = wire_unpack(KIND_OUTCOME, claim->note.data, claim->note.len, run->arena, &msg,
			     &why);
	if (rc || same_decision(run, (const Healbus__Outcome *)msg))
		return PLAN_SETTLED;
	return say_too_late(run, "this plan is over already: the first decision stands");
}

/* ---- the steps ---- */

static enum step_end fail(struct course *c, Healbus__Verdict verdict, const char *what, size_t i)
{
	c->verdict = verdict;
	snprintf(c->reason, sizeof(c->reason), "%s %zu", what, i + 1);
	return verdict == HEALBUS__VERDICT__VERDICT_UNKNOWN ? STEP_END_UNKNOWN : STEP_END_FAILED;
}

static void add_why(struct course *c, const Healbus__StepReport *r)
{
	size_t len = strlen(c->reason);
	if (r && r->reason)
		snprintf(c->reason + len, sizeof(c->reason) - len, ": %s", r->reason);
}

/* What the outcome says of a plan that comes to a good end, not quite as it was meant. */
static void remark(struct course *c, const char *what, size_t i)
{
	size_t len = c->remarked ? strlen(c->reason) : 0;
	snprintf(c->reason + len, sizeof(c->reason) - len, "%sstep %zu %s", len ? "; " : "", i + 1,
		 what);
	c->remarked = true;
}

/* keep_going: the plan goes on, and its end says so. */
static enum step_end pass_over(struct course *c, size_t i)
{
	remark(c, "failed, as it may", i);
	return STEP_END_DONE;
}

/* Nobody knows how the step ended: its own check, else the plan's, decides. */
static enum step_end settle_unknown(struct plan_run *run, struct course *c, size_t i)
{
	const struct step *s = &run->prepared.steps[i];
	const struct check *check = s->verify.action.tool ? &s->verify : &run->prepared.verify;
	size_t index = check == &s->verify ? i : run->prepared.n;
	enum step_end end = check->action.tool ? step_verify(run, check, index) : STEP_END_FAILED;
	if (end == STEP_END_FAILED)
		return fail(c, HEALBUS__VERDICT__VERDICT_UNKNOWN, "nobody knows how it ended: step",
			    i);
	if (end != STEP_END_DONE)
		return end;
	c->settled = check != &s->verify;
	remark(c,
	       c->settled ? "was interrupted, but the plan's check holds"
			  : "was interrupted, but its check holds",
	       i);
	return end;
}

static enum step_end after_act(struct plan_run *run, struct course *c, const struct slot *slot)
{
	const struct step *s = &run->prepared.steps[slot->index];
	c->done[slot->index] = true;
	report_change(run, slot, &s->rollback);
	if (!s->verify.action.tool)
		return STEP_END_DONE;
	enum step_end end = step_verify(run, &s->verify, slot->index);
	if (end == STEP_END_FAILED && s->keep_going)
		return pass_over(c, slot->index);
	if (end != STEP_END_FAILED)
		return end;
	fail(c, HEALBUS__VERDICT__VERDICT_FAILED, "the check failed after step", slot->index);
	add_why(c, run->reports[run->n_reports - 1]);
	return STEP_END_FAILED;
}

static enum step_end run_step(struct plan_run *run, struct course *c, size_t i)
{
	const struct step *s = &run->prepared.steps[i];
	Healbus__StepReport *report = NULL;
	struct slot slot;
	slot_init(&slot, run, HEALBUS__PHASE__PHASE_ACT, i, &s->act);
	enum step_end end = step_act(run, &slot, &report);
	if (end == STEP_END_DONE)
		return after_act(run, c, &slot);
	if (end == STEP_END_UNKNOWN) {
		end = settle_unknown(run, c, i);
		c->done[i] = end == STEP_END_DONE;
		if (c->done[i])
			report_change(run, &slot, &s->rollback);
		return end;
	}
	if (end == STEP_END_FAILED && s->keep_going)
		return pass_over(c, i);
	if (end == STEP_END_FAILED) {
		fail(c, HEALBUS__VERDICT__VERDICT_FAILED, "step failed: step", i);
		add_why(c, report);
	}
	return end;
}

static enum step_end run_steps(struct plan_run *run, struct course *c)
{
	for (size_t i = 0; i < run->prepared.n; i++) {
		enum step_end end = run_step(run, c, i);
		if (end != STEP_END_DONE || c->settled)
			return end;
	}
	if (!run->prepared.verify.action.tool)
		return STEP_END_DONE;
	enum step_end end = step_verify(run, &run->prepared.verify, run->prepared.n);
	if (end == STEP_END_FAILED) {
		c->verdict = HEALBUS__VERDICT__VERDICT_FAILED;
		snprintf(c->reason, sizeof(c->reason), "the plan's check failed");
		add_why(c, run->reports[run->n_reports - 1]);
	}
	return end;
}

static bool any_done(const struct plan_run *run, const struct course *c)
{
	for (size_t i = 0; i < run->prepared.n; i++)
		if (c->done[i] && run->prepared.steps[i].act.level > HEALBUS__LEVEL__LEVEL_NONE)
			return true;
	return false;
}

static enum plan_end execute(struct plan_run *run)
{
	struct course c = {.verdict = HEALBUS__VERDICT__VERDICT_HEALED};
	snprintf(c.reason, sizeof(c.reason), "all steps done and checked");
	enum step_end end = run_steps(run, &c);
	if (end == STEP_END_WAIT)
		return PLAN_WAIT;
	if (end == STEP_END_FAILED && run->plan->rollback_on_failure && any_done(run, &c)) {
		enum step_end undone = plan_roll_back(run, c.done);
		if (undone == STEP_END_WAIT)
			return PLAN_WAIT;
		c.verdict = undone == STEP_END_DONE ? HEALBUS__VERDICT__VERDICT_ROLLED_BACK
						    : HEALBUS__VERDICT__VERDICT_ROLLBACK_FAILED;
	}
	return conclude(run, c.verdict, c.reason);
}

/* ---- what policy says ---- */

static int rehearse_step(struct plan_run *run, const struct action *a, size_t i,
			 struct why *out_why)
{
	struct slot slot;
	char id[BUS_ID_MAX];
	const char *by = run->decision ? run->decision->id : "policy";
	slot_init(&slot, run, HEALBUS__PHASE__PHASE_ACT, i, a);
	snprintf(id, sizeof(id), "%s:rehearsed:%.100s", slot.id, by);
	Healbus__StepReport *r = report_new(run, &slot, HEALBUS__STEP_STATE__STEP_REHEARSED,
					    "dry run: nothing was done");
	report_keep(run, r);
	return report_publish(run->ex, KIND_STEP, r->incident, &r->base, id, run->cause, out_why);
}

static enum plan_end rehearse_steps(struct plan_run *run)
{
	struct why why = {0};
	for (size_t i = 0; i < run->prepared.n; i++)
		if (run->prepared.steps[i].act.tool &&
		    rehearse_step(run, &run->prepared.steps[i].act, i, &why))
			return plan_wait(run, BUS_WAIT_MS, why.text);
	return PLAN_SETTLED;
}

static enum plan_end on_run(struct plan_run *run, const struct policy_result *p)
{
	(void)p;
	return execute(run);
}

static enum plan_end on_ask(struct plan_run *run, const struct policy_result *p)
{
	struct why why = {0};
	auto_free char *reasons = lines_join(&p->reasons, WIRE_REASON_MAX);
	if (report_audit(run, "asked", NULL, reasons) || report_ask(run, p, &why))
		return plan_wait(run, BUS_WAIT_MS, why.text);
	FAILPOINT("executor-asked");
	return PLAN_SETTLED;
}

static enum plan_end on_rehearse(struct plan_run *run, const struct policy_result *p)
{
	auto_free char *reasons = lines_join(&p->reasons, WIRE_REASON_MAX);
	if (rehearse_steps(run) == PLAN_WAIT)
		return PLAN_WAIT;
	return conclude(run, HEALBUS__VERDICT__VERDICT_OBSERVED, reasons);
}

static enum plan_end on_observe(struct plan_run *run, const struct policy_result *p)
{
	auto_free char *reasons = lines_join(&p->reasons, WIRE_REASON_MAX);
	return conclude(run, HEALBUS__VERDICT__VERDICT_OBSERVED, reasons);
}

static enum plan_end on_expired(struct plan_run *run, const struct policy_result *p)
{
	auto_free char *reasons = lines_join(&p->reasons, WIRE_REASON_MAX);
	return conclude(run, HEALBUS__VERDICT__VERDICT_EXPIRED, reasons);
}

static enum plan_end on_refuse(struct plan_run *run, const struct policy_result *p)
{
	auto_free char *reasons = lines_join(&p->reasons, WIRE_REASON_MAX);
	return conclude(run, HEALBUS__VERDICT__VERDICT_REFUSED, reasons);
}

static enum plan_end (*const on_verdict[])(struct plan_run *, const struct policy_result *) = {
	[POLICY_RUN] = on_run,           [POLICY_ASK] = on_ask,
	[POLICY_REHEARSE] = on_rehearse, [POLICY_OBSERVE] = on_observe,
	[POLICY_EXPIRED] = on_expired,   [POLICY_REFUSE] = on_refuse,
};

static void ask_policy(const struct plan_run *run, struct policy_result *out)
{
	bool approved = run->decision &&
			run->decision->verdict == HEALBUS__DECISION_VERDICT__DECISION_APPROVE;
	struct policy_input in = {.config = run->ex->config,
				  .plan = run->plan,
				  .prepared = &run->prepared,
				  .now_ms = clock_real_ms(),
				  .approved = approved,
				  .sandboxed = sandbox_level() != SANDBOX_NONE};
	policy_decide(&in, out);
}

/* A yes is to what was shown: a tool, a target or a remote tool's pin that was changed since then
 * under the same name is not what somebody agreed to. */
static void hold_to_what_was_shown(struct plan_run *run, struct policy_result *p)
{
	bool yes = run->decision &&
		   run->decision->verdict == HEALBUS__DECISION_VERDICT__DECISION_APPROVE;
	if (!yes || p->verdict != POLICY_RUN || report_as_shown(run, p))
		return;
	p->verdict = POLICY_REFUSE;
	lines_add(&p->reasons,
		  "what would run now is not what was approved: a tool or target was changed since "
		  "it was asked; it must be planned and asked anew");
}

static enum plan_end proceed(struct plan_run *run)
{
	struct policy_result p;
	bool begun = recall_begun(run); /* then "nothing ran" would be a lie */
	ask_policy(run, &p);
	hold_to_what_was_shown(run, &p);
	enum plan_end end;
	if (begun && p.verdict != POLICY_RUN && run->prepared.refusals.n == 0) {
		/* What was begun is brought to its end; nothing new starts. */
		auto_free char *reasons = lines_join(&p.reasons, WIRE_REASON_MAX);
		run->no_new_starts = reasons;
		end = execute(run);
		run->no_new_starts = NULL;
	} else {
		end = on_verdict[p.verdict](run, &p);
	}
	policy_result_release(&p);
	return end;
}

/* ---- arriving ---- */

static bool policy_lets_run(const struct plan_run *run)
{
	struct policy_result p;
	ask_policy(run, &p);
	bool runs = p.verdict == POLICY_RUN;
	policy_result_release(&p);
	return runs;
}

/* What was read before a lock was taken over is read again. */
static int lock_and_recall(struct plan_run *run, const char *key, int64_t *out_wait_ms,
			   struct why *out_why)
{
	const struct executor *ex = run->ex;
	char value[128];
	struct bus_ask lock;
	struct why why = {0};
	*out_wait_ms = LOCK_WAIT_MS;
	snprintf(value, sizeof(value), "plan %.20s by %.60s", run->plan->id, ex->instance);
	int rc = lock_ask(ex->holder, key, value, &run->lock, &lock, out_why);
	if (rc)
		return rc;
	int recall_rc = recall_read(run, key, &lock, &why);
	bool late = lock.rc == ERR_CONFLICT;
	rc = lock_answer(ex->bus, ex->holder, &lock, &run->lock, out_why);
	if (rc)
		return rc;
	FAILPOINT("executor-locked");
	*out_wait_ms = BUS_WAIT_MS;
	if (late) {
		run->recall.hopeful = false;
		recall_release(run);
		recall_rc = recall_read(run, key, NULL, &why);
	}
	return recall_rc ? why_set(out_why, recall_rc, "%s", why.text) : 0;
}

/* Runs `then` under the plan's lock, unless the plan is over. */
static enum plan_end exclusively(struct plan_run *run, enum plan_end (*then)(struct plan_run *))
{
	char key[TOKEN_MAX + 1];
	const struct claim *claim = &run->recall.plan;
	int64_t wait_ms = 0;
	struct why why = {0};
	plan_key(run, key);
	int rc = lock_and_recall(run, key, &wait_ms, &why);
	enum plan_end end = rc                           ? plan_wait(run, wait_ms, why.text)
			    : claim->state == CLAIM_DONE ? repeat_outcome(run, claim)
							 : then(run);
	recall_release(run);
	if (end == PLAN_SETTLED)
		lock_drop(run->ex->bus, run->ex->holder, &run->lock);
	else
		lock_release_held(run->ex->bus, run->ex->holder, &run->lock);
	FAILPOINT("executor-unlocked");
	return end;
}

enum plan_end plan_arrived(struct plan_run *run)
{
	run->recall.hopeful = policy_lets_run(run);
	return exclusively(run, proceed);
}

static enum plan_end deny(struct plan_run *run)
{
	const Healbus__Decision *d = run->decision;
	if (recall_begun(run))
		return say_too_late(run, "this plan is under way already");
	char reason[WIRE_REASON_MAX + 1];
	bool silence = d->verdict == HEALBUS__DECISION_VERDICT__DECISION_EXPIRED;
	snprintf(reason, sizeof(reason), "%s%.200s%s%.600s",
		 silence ? "nobody answered before the deadline" : "denied by ",
		 silence ? ""
		 : d->by ? d->by
			 : "somebody",
		 d->reason && *d->reason ? ": " : "", d->reason ? d->reason : "");
	return conclude(run, HEALBUS__VERDICT__VERDICT_DENIED, reason);
}

enum plan_end plan_decided(struct plan_run *run)
{
	bool yes = run->decision->verdict == HEALBUS__DECISION_VERDICT__DECISION_APPROVE;
	return exclusively(run, yes ? proceed : deny);
}

enum plan_end plan_rehearse(struct plan_run *run)
{
	for (size_t i = 0; i < run->prepared.refusals.n; i++)
		report_audit(run, "rehearsed", run->decision->by, run->prepared.refusals.items[i]);
	if (run->prepared.refusals.n == 0)
		return rehearse_steps(run);
	auto_free char *reasons = lines_join(&run->prepared.refusals, WIRE_REASON_MAX);
	return say_too_late(run, reasons);
}
