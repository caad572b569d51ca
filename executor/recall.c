#include "executor/recall.h"

#include "common/clock.h"
#include "common/mem.h"
#include "executor/gate.h"

enum { ASK_PLAN, ASK_PAUSE, ASK_ACTS };

static int take_answers(struct plan_run *run, struct bus_ask *asks, struct why *out_why)
{
	struct recall *r = &run->recall;
	int rc = claim_answer(&asks[ASK_PLAN], &r->plan, out_why);
	r->pause_rc = gate_answer_pause(&asks[ASK_PAUSE], &r->pause_why);
	for (size_t i = 0; i < run->prepared.n; i++) {
		int act_rc = claim_answer(&asks[ASK_ACTS + i], &r->acts[i], out_why);
		r->known[i] = act_rc == 0;
		rc = rc ? rc : act_rc;
	}
	return rc;
}

int recall_read(struct plan_run *run, const char *plan_key, struct why *out_why)
{
	size_t n = run->prepared.n;
	struct bus_ask *asks = mem_calloc(ASK_ACTS + n, sizeof(*asks));
	struct slot *slots = mem_calloc(n + 1, sizeof(*slots));
	run->recall.asked_mono_ms = clock_mono_ms();
	run->recall.entered = false;
	snprintf(run->recall.plan_key, sizeof(run->recall.plan_key), "%s", plan_key);
	claim_ask(plan_key, &asks[ASK_PLAN]);
	gate_ask_pause(&asks[ASK_PAUSE]);
	for (size_t i = 0; i < n; i++) {
		slot_init(&slots[i], run, HEALBUS__PHASE__PHASE_ACT, i, NULL);
		claim_ask(slots[i].id, &asks[ASK_ACTS + i]);
	}
	bus_ask(run->ex->bus, asks, ASK_ACTS + n);
	int rc = take_answers(run, asks, out_why);
	free(slots);
	free(asks);
	return rc;
}

void recall_release(struct plan_run *run)
{
	claim_release(&run->recall.plan);
	for (size_t i = 0; i < run->prepared.n; i++)
		claim_release(&run->recall.acts[i]);
}

bool recall_begun(const struct plan_run *run)
{
	for (size_t i = 0; i < run->prepared.n; i++)
		if (run->recall.acts[i].state > CLAIM_CLAIMED)
			return true;
	return false;
}

bool recall_take(struct plan_run *run, const struct slot *slot, struct claim *out)
{
	size_t i = slot->index;
	if (slot->phase != HEALBUS__PHASE__PHASE_ACT || i >= run->prepared.n ||
	    !run->recall.known[i])
		return false;
	*out = run->recall.acts[i];
	run->recall.acts[i] = (struct claim){0};
	run->recall.known[i] = false;
	return true;
}

int recall_claim(struct plan_run *run, const struct slot *slot, struct claim *c,
		 struct why *out_why)
{
	const struct executor *ex = run->ex;
	struct recall *r = &run->recall;
	const char *owner = journal_owner(ex->journal);
	struct claim_pair pair = {slot->id, c, r->plan_key, &r->plan};
	if (r->entered)
		return claim_advance(ex->bus, slot->id, c, CLAIM_CLAIMED, owner, ex->boot, NULL, 0,
				     out_why);
	int rc = claim_advance_both(ex->bus, &pair, CLAIM_CLAIMED, owner, ex->boot, out_why);
	r->entered = rc == 0;
	return rc;
}

int recall_pause(struct plan_run *run, struct why *out_why)
{
	const struct recall *r = &run->recall;
	if (r->asked_mono_ms == 0 || clock_mono_ms() - r->asked_mono_ms > RECALL_PAUSE_MS)
		return gate_pause(run->ex, out_why);
	return r->pause_rc ? why_set(out_why, r->pause_rc, "%s", r->pause_why.text) : 0;
}
