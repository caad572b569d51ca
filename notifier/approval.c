#include "notifier/approval.h"

#include "common/clock.h"
#include "common/failpoint.h"
#include "notifier/tables.h"

static Healbus__ApprovalRequest *request_read(struct store_txn *txn, const char *id,
					      struct arena *arena)
{
	return row_get(txn, &table_approvals, id, Healbus__ApprovalRequest, approval_request,
		       arena);
}

void decision_describe(const Healbus__Decision *d, struct buf *out)
{
	static const char *const verbs[] = {"decided", "approved", "denied", "expired",
					    "rehearsal asked"};
	size_t verb = (size_t)d->verdict < ARRAY_SIZE(verbs) ? (size_t)d->verdict : 0;
	char at[TIME_TEXT_BYTES];
	buf_printf(out, "%s by ", verbs[verb]);
	buf_add_printable(out, str_or_empty(d->by), strlen(str_or_empty(d->by)));
	buf_printf(out, " at %s", time_format(d->at_ms, at));
}

static int decided(const Healbus__Decision *d, struct why *out_why)
{
	auto_buf text = {0};
	decision_describe(d, &text);
	return why_set(out_why, ERR_CONFLICT, "%s", buf_str(&text));
}

bool decision_by_votes(const Healbus__Decision *d, const char *by)
{
	return d->verdict == HEALBUS__DECISION_VERDICT__DECISION_APPROVE && d->by &&
	       strchr(d->by, ',') && str_eq(d->by, by);
}

/* What the projection knows: somebody was first, the plan ended, the deadline passed. */
int approval_undecided(struct store_txn *txn, const Healbus__ApprovalRequest *a,
		       struct arena *arena, struct why *out_why)
{
	struct store_val val;
	const Healbus__Decision *d =
		row_get(txn, &table_decisions, a->id, Healbus__Decision, decision, arena);
	if (d)
		return decided(d, out_why);
	if (store_get_str(txn, &table_pending, a->id, &val))
		return why_set(out_why, ERR_CONFLICT, "the plan has ended");
	if (clock_real_ms() >= a->deadline_ms)
		return why_set(out_why, ERR_EXPIRED, "the deadline has passed; silence meant no");
	return 0;
}

static void decision_fill(Healbus__Decision *d, const Healbus__ApprovalRequest *a,
			  const struct answer *answer)
{
	healbus__decision__init(d);
	d->incident = a->incident;
	d->plan_id = a->plan_id;
	d->has_plan_digest = 1;
	d->plan_digest = a->plan_digest;
	SET(d, plan_seq, a->plan_seq);
	d->approval = a->id;
	SET(d, verdict,
	    answer->approve ? HEALBUS__DECISION_VERDICT__DECISION_APPROVE
			    : HEALBUS__DECISION_VERDICT__DECISION_DENY);
	d->by = (char *)answer->by;
	d->channel = (char *)answer->channel;
	d->reason = (char *)answer->reason;
	SET(d, at_ms, clock_real_ms());
	SET(d, deadline_ms, a->deadline_ms);
}

static int decision_publish(struct stage *s, const Healbus__Decision *d, const char *msg_id,
			    uint64_t *out_seq, struct why *out_why)
{
	return stage_publish(s, KIND_DECISION, d->incident, &d->base, msg_id, d->plan_id, d->at_ms,
			     BUS_REQUEST_TIMEOUT_MS, out_seq, out_why);
}

/* A second publisher under the same id gets the first one's sequence number: what is stored there
 * is the decision. */
static int stored_check(struct stage *s, Healbus__Decision **io_mine, uint64_t seq,
			struct arena *arena, struct why *out_why)
{
	const Healbus__Decision *mine = *io_mine;
	struct bus_delivery delivery = {0};
	ProtobufCMessage *msg = NULL;
	int rc = bus_get(stage_bus(s), STREAM_STORY, seq, &delivery, out_why);
	if (rc)
		return rc;
	rc = wire_unpack(KIND_DECISION, delivery.data, delivery.len, arena, &msg, out_why);
	bus_delivery_free(&delivery);
	if (rc)
		return rc;
	Healbus__Decision *d = (Healbus__Decision *)msg;
	if (!str_eq(d->id, mine->id) && !decision_by_votes(d, mine->by))
		return decided(d, out_why);
	*io_mine = d;
	return 0;
}

int approval_decide(struct stage *s, const struct sign_key *key, const char *approval,
		    const struct answer *answer, struct arena *arena, Healbus__Decision **out,
		    struct why *out_why)
{
	char msg_id[sizeof("decision:") + TOKEN_MAX];
	auto_txn txn = store_begin_read(fold_store(stage_fold(s, 0, 0)));
	Healbus__ApprovalRequest *a = request_read(txn, approval, arena);
	if (!a)
		return why_set(out_why, ERR_NOT_FOUND, "no approval %s", approval);
	int rc = approval_undecided(txn, a, arena, out_why);
	store_end(txn);
	txn = NULL;
	if (rc)
		return rc;
	char id[ID_BYTES];
	id_random(id); /* tells mine from another's that says the same */
	Healbus__Decision *d = arena_alloc(arena, sizeof(*d));
	if (!d)
		return ERR_TOO_LARGE;
	decision_fill(d, a, answer);
	d->id = arena_strdup(arena, id);
	uint8_t *shown = arena_alloc(arena, DIGEST_BYTES);
	if (!shown)
		return ERR_TOO_LARGE;
	approval_digest(a, shown);
	SET(d, shown_digest, ((ProtobufCBinaryData){DIGEST_BYTES, shown}));
	uint64_t seq = 0;
	snprintf(msg_id, sizeof(msg_id), "decision:%s", a->id);
	rc = decision_sign(d, key, arena, out_why);
	if (!rc)
		rc = decision_publish(s, d, msg_id, &seq, out_why);
	FAILPOINT("decision-stored");
	if (!rc)
		rc = stored_check(s, &d, seq, arena, out_why);
	if (!rc)
		*out = d;
	return rc;
}

int plan_rehearse(struct stage *s, const struct sign_key *key, const char *plan, const char *by,
		  struct arena *arena, struct why *out_why)
{
	struct plan_row row;
	char id[ID_BYTES], msg_id[sizeof("rehearse:") + ID_BYTES];
	uint64_t seq;
	auto_txn txn = store_begin_read(fold_store(stage_fold(s, 0, 0)));
	bool known = row_struct(txn, &table_plans, plan, &row, sizeof(row));
	store_end(txn);
	txn = NULL;
	if (!known)
		return why_set(out_why, ERR_NOT_FOUND, "no plan %s", plan);
	id_random(id);
	snprintf(msg_id, sizeof(msg_id), "rehearse:%s", id);
	Healbus__Decision d = HEALBUS__DECISION__INIT;
	d.id = id;
	d.incident = row.incident;
	d.plan_id = (char *)plan;
	d.has_plan_digest = 1;
	d.plan_digest = (ProtobufCBinaryData){DIGEST_BYTES, row.digest};
	SET(&d, plan_seq, row.seq);
	SET(&d, verdict, HEALBUS__DECISION_VERDICT__DECISION_REHEARSE);
	d.by = (char *)by;
	d.channel = (char *)"api";
	SET(&d, at_ms, clock_real_ms());
	int rc = decision_sign(&d, key, arena, out_why);
	return rc ? rc : decision_publish(s, &d, msg_id, &seq, out_why);
}
