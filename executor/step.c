/* One act, at most once. The order of the lines is the promise; see common/lease.h. */
#include "common/clock.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/metrics.h"
#include "executor/gate.h"
#include "executor/recall.h"
#include "executor/report.h"

enum { BUS_WAIT_MS = 2000, OTHER_WAIT_MS = 3000, LOCK_FRESH_MS = 1000 };

static struct metric acts =
	METRIC_COUNTER("healbus_executor_acts_total", "Acts, by tool and end.", "tool", "end");
static struct metric took =
	METRIC_HISTOGRAM("healbus_executor_act_seconds", "How long acts took, by tool.", "tool");

/* An act under way in this delivery. */
struct attempt {
	struct plan_run *run;
	const struct slot *slot;
	struct claim claim;
	struct held held;
	Healbus__StepReport *report;
};

void slot_init(struct slot *slot, const struct plan_run *run, Healbus__Phase phase, size_t index,
	       const struct action *action)
{
	char number[16];
	snprintf(number, sizeof(number), "%zu", index);
	*slot = (struct slot){.phase = phase, .index = index, .action = action};
	id_make(slot->id, "step", run->digest_hex,
		wire_enum_name(&healbus__phase__descriptor, (int)phase), number);
}

static enum step_end hold(struct attempt *a, int64_t wait_ms, const struct why *why)
{
	report_waiting(a->run, a->slot, why->text);
	plan_wait(a->run, wait_ms, why->text);
	return STEP_END_WAIT;
}

static int advance(struct attempt *a, enum claim_state state, const struct buf *note,
		   struct why *out_why)
{
	const struct executor *ex = a->run->ex;
	return claim_advance(ex->bus, a->slot->id, &a->claim, state, journal_owner(ex->journal),
			     ex->boot, note ? note->data : NULL, note ? note->len : 0, out_why);
}

static int journal(struct attempt *a, const char *what, struct why *out_why)
{
	const Healbus__StepReport *r = a->report;
	struct audit_entry e = {.what = what,
				.incident = r->incident,
				.plan = r->plan_id,
				.step = r->step_id,
				.text = r->rendered};
	return journal_write(a->run->ex->journal, r, &e, out_why);
}

static enum step_end end_of(const Healbus__StepReport *r)
{
	if (r->state == HEALBUS__STEP_STATE__STEP_DONE)
		return STEP_END_DONE;
	return r->state == HEALBUS__STEP_STATE__STEP_UNKNOWN ? STEP_END_UNKNOWN : STEP_END_FAILED;
}

/* ---- the end of an act: report, then claim ---- */

static enum step_end conclude(struct attempt *a)
{
	static const enum claim_state states[] = {[STEP_END_DONE] = CLAIM_DONE,
						  [STEP_END_FAILED] = CLAIM_DONE,
						  [STEP_END_UNKNOWN] = CLAIM_UNKNOWN};
	struct why why = {0};
	auto_buf note = {0};
	enum step_end end = end_of(a->report);
	if (report_send(a->run, a->report, &why))
		return hold(a, BUS_WAIT_MS, &why);
	FAILPOINT("executor-reported");
	char *patch = a->report->patch; /* others read it on the bus; a note is short */
	a->report->patch = NULL;
	wire_pack(&a->report->base, &note);
	a->report->patch = patch;
	if (advance(a, states[end], &note, &why))
		return hold(a, BUS_WAIT_MS, &why);
	FAILPOINT("executor-done");
	report_keep(a->run, a->report);
	return end;
}

/* ---- starting ---- */

/* Nothing has run yet and we are alive to say so: the step goes back to claimed. The journal first:
 * it tells the next delivery that this start came to nothing. */
static enum step_end withdraw(struct attempt *a, int64_t wait_ms, const struct why *reason)
{
	struct why why = {0};
	SET(a->report, state, HEALBUS__STEP_STATE__STEP_WAITING);
	if (journal(a, "withdrawn", &why) == 0 && a->claim.state == CLAIM_STARTED)
		advance(a, CLAIM_CLAIMED, NULL, &why);
	return hold(a, wait_ms, reason);
}

/* Taken a moment ago, on a connection that has lasted since: no server has lost the locks
 * meanwhile, and they have not run out. */
static bool surely_held(const struct attempt *a)
{
	int64_t since = gate_held_since(&a->held);
	if (since == INT64_MAX)
		return true;
	int64_t age_ms = clock_mono_ms() - since;
	return age_ms < LOCK_FRESH_MS && age_ms < bus_connected_ms(a->run->ex->bus);
}

/* claimed -> started, and is all still as it must be? */
static int commit_start(struct attempt *a, struct why *out_why)
{
	const struct executor *ex = a->run->ex;
	struct bus_ask pause;
	struct why paused = {0};
	gate_ask_pause(&pause);
	int rc = claim_advance_asking(ex->bus, a->slot->id, &a->claim, CLAIM_STARTED,
				      journal_owner(ex->journal), ex->boot, &pause, out_why);
	int pause_rc = gate_answer_pause(&pause, &paused);
	if (rc)
		return rc;
	FAILPOINT("executor-started");
	if (pause_rc)
		return why_set(out_why, pause_rc, "%s", paused.text);
	if (surely_held(a))
		return 0;
	rc = gate_renew(&a->held, out_why);
	/* We may have been stopped meanwhile, and others gone on without us. */
	if (!rc && !gate_holds(&a->held))
		rc = why_set(out_why, ERR_BUSY, "its locks ran out before it began");
	return rc;
}

/* A command calls gate_tick itself, and is killed when a lock is lost; a request cannot be called
 * back, so its locks are only kept. */
static void run_kept(struct attempt *a, const struct action *action, struct run_limits *limits,
		     struct action_result *result)
{
	struct keeper keeper;
	const struct executor_config *config = a->run->ex->config;
	bool ticks = action->call->runner->ticks;
	limits->tick = gate_tick;
	limits->tick_ctx = &a->held;
	bool kept = !ticks && gate_keep(&keeper, &a->held) == 0;
	action_run(config, action, limits, result);
	if (kept)
		gate_keep_stop(&keeper);
}

static enum step_end act(struct attempt *a)
{
	const struct executor *ex = a->run->ex;
	const struct action *action = a->slot->action;
	struct action_result result = {0};
	struct run_limits limits = {.http = ex->http, .plan = a->run->plan->id};
	struct why why = {0};
	int64_t began = clock_mono_ms();
	struct bus_pending *saying = report_begin(a->run, a->report);
	run_kept(a, action, &limits, &result);
	FAILPOINT("executor-acted");
	report_set_result(a->run, a->report, &result);
	action_result_release(&result);
	metric_observe(&took, (double)(clock_mono_ms() - began) / 1000, action->tool->name);
	metric_add(&acts, 1, action->tool->name,
		   wire_enum_name(&healbus__step_state__descriptor, (int)a->report->state));
	int rc = journal(a, "end", &why);
	if (rc)
		LOG(ERROR, "the end of an act could not be journalled", S("step", a->slot->id),
		    S("why", why.text));
	FAILPOINT("executor-journalled");
	if (report_end(saying, &why))
		LOG(WARN, "the start of an act could not be reported", S("step", a->slot->id),
		    S("why", why.text));
	return conclude(a);
}

static enum step_end start(struct attempt *a)
{
	struct why why = {0};
	a->report = report_new(a->run, a->slot, HEALBUS__STEP_STATE__STEP_STARTED, NULL);
	if (recall_claim(a->run, a->slot, &a->claim, &why))
		return hold(a, BUS_WAIT_MS, &why);
	FAILPOINT("executor-claimed");
	if (journal(a, "intent", &why))
		return hold(a, BUS_WAIT_MS, &why);
	FAILPOINT("executor-intent");
	if (commit_start(a, &why))
		return withdraw(a, BUS_WAIT_MS, &why);
	return act(a);
}

static enum step_end refuse(struct attempt *a, const char *reason)
{
	struct why why = {0};
	a->report = report_new(a->run, a->slot, HEALBUS__STEP_STATE__STEP_SKIPPED, reason);
	if (report_send(a->run, a->report, &why))
		return hold(a, BUS_WAIT_MS, &why);
	report_keep(a->run, a->report);
	return STEP_END_FAILED;
}

static enum step_end begin(struct attempt *a)
{
	struct why why = {0};
	int64_t wait_ms = 0;
	bool late = clock_real_ms() > a->run->plan->not_after_ms;
	if (a->slot->phase == HEALBUS__PHASE__PHASE_ACT && a->run->no_new_starts)
		return refuse(a, a->run->no_new_starts);
	if (a->slot->phase == HEALBUS__PHASE__PHASE_ACT && late)
		return refuse(a, "the plan's not_after has passed");
	if (gate_enter(a->run, a->slot, &a->held, &wait_ms, &why))
		return hold(a, wait_ms, &why);
	FAILPOINT("executor-entered");
	enum step_end end = start(a);
	gate_leave(&a->held);
	FAILPOINT("executor-left");
	return end;
}

/* ---- what earlier deliveries and other executors left ---- */

static const char no_end_known[] = "it was started, and nobody knows how it ended";
static const char claims_lost[] = "the bus lost messages: whether it was started, nobody knows";

static enum step_end settle_unknown(struct attempt *a, const char *reason)
{
	struct why why = {0};
	a->report = report_new(a->run, a->slot, HEALBUS__STEP_STATE__STEP_UNKNOWN, reason);
	if (journal(a, "unknown", &why))
		return hold(a, BUS_WAIT_MS, &why);
	metric_add(&acts, 1, a->slot->action->tool->name, "unknown");
	return conclude(a);
}

/* It was withdrawn, but the claim may say that it was started: by a request of ours that was
 * thought lost. Others would wait for us as long as we live. */
static enum step_end begin_again(struct attempt *a)
{
	struct why why = {0};
	if (a->claim.state == CLAIM_STARTED && advance(a, CLAIM_CLAIMED, NULL, &why))
		return hold(a, BUS_WAIT_MS, &why);
	return begin(a);
}

/* Our own claim, from an earlier delivery or an earlier life: the journal may know more. */
static enum step_end settle_own(struct attempt *a)
{
	struct why why = {0};
	Healbus__StepReport *last = NULL;
	int rc = journal_read(a->run->ex->journal, a->slot->id, a->run->arena, &last, &why);
	if (rc && rc != ERR_NOT_FOUND)
		return hold(a, BUS_WAIT_MS, &why);
	gate_clear(a->run, a->slot);
	if (rc || last->state == HEALBUS__STEP_STATE__STEP_STARTED)
		return settle_unknown(a, no_end_known);
	if (last->state == HEALBUS__STEP_STATE__STEP_WAITING)
		return begin_again(a);
	a->report = last;
	return conclude(a);
}

/* 0: nobody of that name lives, or it is us; ERR_BUSY: somebody is at it; else cannot tell. */
static int check_owner(struct attempt *a, struct why *out_why)
{
	const struct executor *ex = a->run->ex;
	bool alive = true;
	if (str_eq(a->claim.owner, journal_owner(ex->journal)))
		return 0;
	int rc = live_is_alive(ex->bus, a->claim.boot, &alive, out_why);
	if (rc)
		return rc;
	return alive ? why_set(out_why, ERR_BUSY, "another executor has it") : 0;
}

static enum step_end found_none(struct attempt *a)
{
	struct why why = {0};
	Healbus__StepReport *last = NULL;
	int rc = journal_read(a->run->ex->journal, a->slot->id, a->run->arena, &last, &why);
	/* Not by us; but when the bus has lost the plan once, another's claim may be lost as well.
	 */
	if (rc == ERR_NOT_FOUND)
		return a->run->again ? settle_unknown(a, claims_lost) : begin(a);
	/* The bus forgot the claim, or the start was withdrawn. */
	return settle_own(a);
}

/* Whoever claimed it has not begun, and cannot any more once the claim is ours. Were we to wait for
 * him while he lives, two who each claimed a step of the plan would wait for each other. */
static enum step_end found_claimed(struct attempt *a)
{
	return begin(a);
}

static enum step_end found_started(struct attempt *a)
{
	struct why why = {0};
	if (check_owner(a, &why))
		return hold(a, OTHER_WAIT_MS, &why);
	if (str_eq(a->claim.owner, journal_owner(a->run->ex->journal)))
		return settle_own(a);
	return settle_unknown(a, no_end_known);
}

static enum step_end found_end(struct attempt *a)
{
	struct why why = {0};
	ProtobufCMessage *msg = NULL;
	if (wire_unpack(KIND_STEP, buf_str(&a->claim.note), a->claim.note.len, a->run->arena, &msg,
			&why)) {
		LOG(ERROR, "a claim's note is unreadable", S("step", a->slot->id),
		    S("why", why.text));
		a->report = report_new(a->run, a->slot, HEALBUS__STEP_STATE__STEP_UNKNOWN,
				       "its claim's note is unreadable");
	} else {
		a->report = (Healbus__StepReport *)msg;
	}
	report_keep(a->run, a->report);
	return end_of(a->report);
}

static const char bus_restored[] =
	"the bus was restored from a backup since it was planned: whether it was started, nobody "
	"knows";

/* What the journal saw the end of, it knows; a claim that has no end says too little. */
static enum step_end found_in_doubt(struct attempt *a)
{
	struct why why = {0};
	Healbus__StepReport *last = NULL;
	int rc = journal_read(a->run->ex->journal, a->slot->id, a->run->arena, &last, &why);
	if (rc && rc != ERR_NOT_FOUND)
		return hold(a, BUS_WAIT_MS, &why);
	if (rc || last->state == HEALBUS__STEP_STATE__STEP_STARTED ||
	    last->state == HEALBUS__STEP_STATE__STEP_WAITING)
		return settle_unknown(a, bus_restored);
	a->report = last;
	return conclude(a);
}

static enum step_end (*const found[])(struct attempt *a) = {
	[CLAIM_NONE] = found_none, [CLAIM_CLAIMED] = found_claimed, [CLAIM_STARTED] = found_started,
	[CLAIM_DONE] = found_end,  [CLAIM_UNKNOWN] = found_end,
};

enum step_end step_act(struct plan_run *run, const struct slot *slot,
		       Healbus__StepReport **out_report)
{
	struct attempt a = {.run = run, .slot = slot};
	struct why why = {0};
	int rc = recall_take(run, slot, &a.claim)
			 ? 0
			 : claim_get(run->ex->bus, slot->id, &a.claim, &why);
	bool doubt = run->recall.in_doubt && a.claim.state < CLAIM_DONE;
	enum step_end end = rc      ? hold(&a, BUS_WAIT_MS, &why)
			    : doubt ? found_in_doubt(&a)
				    : found[a.claim.state](&a);
	if (end != STEP_END_WAIT && out_report)
		*out_report = a.report;
	claim_release(&a.claim);
	return end;
}
