#include "executor/recall.h"

#include "common/clock.h"
#include "common/mem.h"
#include "executor/gate.h"

enum { ASK_PLAN, ASK_PAUSE, ASK_RESTORED, ASK_ACTS };

/* ---- a bus that was restored ---- */

/* *out: 0 when it never was. */
static int answer_restored(struct bus_ask *ask, int64_t *out, struct why *out_why)
{
	*out = 0;
	if (ask->rc == ERR_NOT_FOUND)
		return 0;
	if (ask->rc)
		return why_set(out_why, ask->rc, "%s", ask->why.text);
	*out = strtoll(ask->entry.value, NULL, 10);
	free(ask->entry.value);
	/* Unreadable: better all in doubt. */
	*out = *out > 0 ? *out : INT64_MAX;
	return 0;
}

/* An incident that is not on the bus did not open before the restore. */
static int opened_before(struct plan_run *run, int64_t restored_ms, bool *out, struct why *out_why)
{
	char subject[SUBJECT_MAX + 1];
	struct bus_delivery d = {0};
	ProtobufCMessage *msg = NULL;
	struct why why = {0};
	*out = false;
	if (!token_valid(run->plan->incident))
		return 0;
	subject_story(subject, KIND_INCIDENT, run->plan->incident);
	int rc = bus_get_last(run->ex->bus, STREAM_STORY, subject, &d, &why);
	if (rc == ERR_NOT_FOUND)
		return 0;
	if (rc)
		return why_set(out_why, rc, "%s", why.text);
	rc = wire_unpack(KIND_INCIDENT, d.data, d.len, run->arena, &msg, &why);
	/* Unreadable is in doubt, too. */
	*out = rc || ((const Healbus__Incident *)(const void *)msg)->opened_at_ms < restored_ms;
	bus_delivery_free(&d);
	return 0;
}

static int weigh_restore(struct plan_run *run, int64_t restored_ms, struct why *out_why)
{
	const Healbus__Plan *p = run->plan;
	run->recall.in_doubt = p->created_at_ms < restored_ms;
	bool asked_for = p->provenance == HEALBUS__PROVENANCE__PROVENANCE_UNDO ||
			 p->provenance == HEALBUS__PROVENANCE__PROVENANCE_AGENT;
	if (run->recall.in_doubt || restored_ms == 0 || asked_for)
		return 0;
	return opened_before(run, restored_ms, &run->recall.in_doubt, out_why);
}

/* ---- the answers ---- */

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
	int64_t restored_ms = 0;
	int restored_rc = answer_restored(&asks[ASK_RESTORED], &restored_ms, out_why);
	rc = rc ? rc : restored_rc;
	return rc ? rc : weigh_restore(run, restored_ms, out_why);
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
	asks[ASK_RESTORED] = (struct bus_ask){
		.kind = BUS_ASK_GET, .bucket = BUCKET_CLAIM, .key = CLAIM_RESTORED};
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
