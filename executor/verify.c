#include "common/clock.h"
#include "common/failpoint.h"
#include "executor/gate.h"
#include "executor/report.h"

enum { STEP_BACK_MS = 1000 };

/* One check under way. */
struct trial {
	struct plan_run *run;
	const struct check *check;
	struct slot slot;
	struct held held; /* of no lock but the plan's, to renew it */
	struct action_result last;
	unsigned tries;
	int64_t started_ms;
};

static enum action_end try_once(struct trial *t)
{
	struct run_limits limits = {.http = t->run->ex->http,
				    .plan = t->run->plan->id,
				    .tick = gate_tick,
				    .tick_ctx = &t->held};
	struct action own = t->check->action;
	own.timeout_ms = MIN(own.timeout_ms, LOCK_RENEW_MS);
	action_result_release(&t->last);
	action_run(t->run->ex->config, &own, &limits, &t->last);
	t->tries++;
	return t->last.end;
}

/* DONE, FAILED, or WAIT when the process is asked to stop or the plan's lock is lost. */
static enum step_end try_until(struct trial *t)
{
	const struct executor *ex = t->run->ex;
	int64_t deadline = clock_mono_ms() + t->check->deadline_ms;
	for (;;) {
		if (try_once(t) == ACTION_DONE)
			return STEP_END_DONE;
		if (clock_mono_ms() + t->check->interval_ms > deadline)
			return STEP_END_FAILED;
		if (!gate_tick(&t->held))
			return STEP_END_WAIT;
		if (ex->sleep(ex->sleep_ctx, t->check->interval_ms))
			return STEP_END_WAIT;
	}
}

static void tell(struct trial *t, struct why *out_why)
{
	Healbus__StepReport *r = report_new(t->run, &t->slot, HEALBUS__STEP_STATE__STEP_DONE, NULL);
	report_set_result(t->run, r, &t->last);
	SET(r, started_at_ms, t->started_ms);
	if (t->last.end != ACTION_DONE)
		r->state = HEALBUS__STEP_STATE__STEP_FAILED;
	if (t->tries > 1)
		r->reason =
			arena_printf(t->run->arena, "%s%safter %u tries",
				     r->reason ? r->reason : "", r->reason ? ", " : "", t->tries);
	report_keep(t->run, r);
	report_send(t->run, r, out_why);
}

enum step_end step_verify(struct plan_run *run, const struct check *check, size_t index)
{
	struct why why = {0};
	struct trial t = {.run = run, .check = check, .started_ms = clock_real_ms()};
	t.held = (struct held){.ex = run->ex, .plan = &run->lock};
	snprintf(t.held.value, sizeof(t.held.value), "plan %.20s by %.60s", run->plan->id,
		 run->ex->instance);
	slot_init(&t.slot, run, HEALBUS__PHASE__PHASE_VERIFY, index, &check->action);
	Healbus__StepReport *started =
		report_new(run, &t.slot, HEALBUS__STEP_STATE__STEP_STARTED, NULL);
	report_send(run, started, &why);
	enum step_end end = try_until(&t);
	if (end == STEP_END_WAIT)
		plan_wait(run, STEP_BACK_MS, "the check was interrupted");
	else
		tell(&t, &why);
	FAILPOINT("executor-checked");
	action_result_release(&t.last);
	return end;
}
