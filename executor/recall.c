#include "executor/recall.h"

#include "common/clock.h"
#include "common/mem.h"
#include "executor/gate.h"

enum { ASK_LOCK, ASK_PLAN, ASK_PAUSE, ASK_RESTORED, ASK_ACTS };

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

/* The questions, and what they borrow. */
struct questions {
	size_t n_acts;
	bool claims; /* plan and first step are written, not read */
	struct claim wish;
	char value[CLAIM_HEAD_MAX];
	struct slot *slots;
	struct bus_ask *asks;
};

static void ask_claim(struct questions *q, const char *key, bool first, struct bus_ask *out)
{
	if (q->claims && first)
		claim_first_ask(key, &q->wish, q->value, out);
	else
		claim_ask(key, out);
}

static int answer_claim(const struct questions *q, struct bus_ask *ask, struct claim *out,
			struct why *out_why)
{
	if (ask->kind == BUS_ASK_GET)
		return claim_answer(ask, out, out_why);
	*out = q->wish;
	return claim_first_answer(ask, out, out_why);
}

static void prepare(struct plan_run *run, struct questions *q)
{
	const struct recall *r = &run->recall;
	ask_claim(q, r->plan_key, true, &q->asks[ASK_PLAN]);
	gate_ask_pause(&q->asks[ASK_PAUSE]);
	q->asks[ASK_RESTORED] = (struct bus_ask){
		.kind = BUS_ASK_GET, .bucket = BUCKET_CLAIM, .key = CLAIM_RESTORED};
	for (size_t i = 0; i < q->n_acts; i++) {
		slot_init(&q->slots[i], run, HEALBUS__PHASE__PHASE_ACT, i, NULL);
		ask_claim(q, q->slots[i].id, i == 0, &q->asks[ASK_ACTS + i]);
	}
}

static int take_answers(struct plan_run *run, struct questions *q, struct why *out_why)
{
	struct recall *r = &run->recall;
	int rc = answer_claim(q, &q->asks[ASK_PLAN], &r->plan, out_why);
	r->pause_rc = gate_answer_pause(&q->asks[ASK_PAUSE], &r->pause_why);
	for (size_t i = 0; i < q->n_acts; i++) {
		int act_rc = answer_claim(q, &q->asks[ASK_ACTS + i], &r->acts[i], out_why);
		r->known[i] = act_rc == 0;
		rc = rc ? rc : act_rc;
	}
	int64_t restored_ms = 0;
	int restored_rc = answer_restored(&q->asks[ASK_RESTORED], &restored_ms, out_why);
	rc = rc ? rc : restored_rc;
	r->entered = r->first_claimed = q->claims && rc == 0;
	return rc ? rc : weigh_restore(run, restored_ms, out_why);
}

static int read_once(struct plan_run *run, struct bus_ask *lock, bool claims, struct why *out_why)
{
	size_t n = run->prepared.n;
	const struct executor *ex = run->ex;
	struct questions q = {.n_acts = n, .claims = claims};
	snprintf(q.wish.owner, sizeof(q.wish.owner), "%s", journal_owner(ex->journal));
	snprintf(q.wish.boot, sizeof(q.wish.boot), "%s", ex->boot);
	q.slots = mem_calloc(n + 1, sizeof(*q.slots));
	q.asks = mem_calloc(ASK_ACTS + n, sizeof(*q.asks));
	run->recall.asked_mono_ms = clock_mono_ms();
	prepare(run, &q);
	if (lock)
		q.asks[ASK_LOCK] = *lock;
	size_t skip = lock ? 0 : 1;
	bus_ask(ex->bus, q.asks + skip, ASK_ACTS + n - skip);
	if (lock)
		*lock = q.asks[ASK_LOCK];
	int rc = take_answers(run, &q, out_why);
	free(q.slots);
	free(q.asks);
	return rc;
}

/* The journal remembers what the bus may have lost. */
static bool nobody_has_begun(struct plan_run *run)
{
	struct slot first;
	Healbus__StepReport *last = NULL;
	if (!run->first || run->again || run->prepared.n == 0)
		return false;
	slot_init(&first, run, HEALBUS__PHASE__PHASE_ACT, 0, NULL);
	return journal_read(run->ex->journal, first.id, run->arena, &last, NULL) == ERR_NOT_FOUND;
}

int recall_read(struct plan_run *run, const char *plan_key, struct bus_ask *lock,
		struct why *out_why)
{
	struct recall *r = &run->recall;
	struct why why = {0};
	bool claims = r->hopeful && nobody_has_begun(run);
	snprintf(r->plan_key, sizeof(r->plan_key), "%s", plan_key);
	int rc = read_once(run, lock, claims, &why);
	if (lock && lock->rc)
		return 0;
	if (rc == ERR_CONFLICT && claims) {
		recall_release(run);
		why = (struct why){0};
		rc = read_once(run, NULL, false, &why);
	}
	return rc ? why_set(out_why, rc, "%s", why.text) : 0;
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
	bool first = slot->phase == HEALBUS__PHASE__PHASE_ACT && slot->index == 0;
	if (first && r->first_claimed) {
		r->first_claimed = false;
		return 0;
	}
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
