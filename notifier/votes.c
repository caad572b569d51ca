#include "common/log.h"
#include "notifier/answer_rights.h"
#include "notifier/api.h"
#include "notifier/approval.h"

/* How long a ballot with enough votes may lie after a crash. */
enum { VOTES_LOOK_MS = 1000, BALLOTS_MAX = 64 };

static bool vote_counts(const struct ballot_box *box, const struct ballot *b, const struct key *key)
{
	const struct people *people = &box->config->people;
	const struct person *p = person_by(people, "name", key_name(key));
	struct store_val val;
	ProtobufCMessage *msg = NULL;
	if (!p || approver_check(people, &box->config->approvers, p, &b->facts, NULL))
		return false; /* may not, or may no longer */
	return !store_get(box->txn, &table_votes, key->bytes, key->len, &val) &&
	       !wire_unpack(KIND_CONTROL, val.data, val.len, box->arena, &msg, NULL) &&
	       !control_verify((const Healbus__Control *)(const void *)msg, box->key, NULL);
}

static void votes_count(const struct ballot_box *box, struct ballot *b)
{
	auto_keys keys = {0};
	struct key prefix = key_owner(b->request->id);
	keys_collect(box->txn, &table_votes, prefix.bytes, prefix.len, &keys);
	for (size_t i = 0; i < keys.n; i++) {
		if (!vote_counts(box, b, &keys.items[i]))
			continue;
		size_t len = strlen(b->by);
		snprintf(b->by + len, WIRE_TITLE_MAX - len, "%s%s", len ? ", " : "",
			 key_name(&keys.items[i]));
		b->votes++;
	}
}

int ballot_read(const struct ballot_box *box, const char *approval, struct ballot *out,
		struct why *out_why)
{
	static const Healbus__Plan nothing = HEALBUS__PLAN__INIT;
	struct store_txn *txn = box->txn;
	struct arena *arena = box->arena;
	const Healbus__ApprovalRequest *a = row_get(
		txn, &table_approvals, approval, Healbus__ApprovalRequest, approval_request, arena);
	if (!a)
		return why_set(out_why, ERR_NOT_FOUND, "no approval %.64s", approval);
	const Healbus__Plan *plan =
		row_get(txn, &table_briefs, str_or_empty(a->plan_id), Healbus__Plan, plan, arena);
	if (!plan && box->config->people.n)
		return why_set(out_why, ERR_UNAVAILABLE,
			       "the plan is not known here yet: try again in a moment");
	plan = plan ? plan : &nothing;
	*out = (struct ballot){
		.request = a,
		.facts = {a->level, plan->requested_by, plan},
		.by = arena_alloc(arena, WIRE_TITLE_MAX),
	};
	if (!out->by)
		return ERR_TOO_LARGE;
	out->needed = approvals_needed(&box->config->approvers, &out->facts);
	votes_count(box, out);
	return 0;
}

bool ballot_voted(struct store_txn *txn, const char *approval, const char *person)
{
	struct store_val val;
	struct key key = key_pair(approval, person);
	return !store_get(txn, &table_votes, key.bytes, key.len, &val);
}

/* Publishes the decision of a ballot with enough votes: see approval_decide(). */
static int ballot_close(struct stage *s, const struct ballot *b, struct arena *arena,
			Healbus__Decision **out, struct why *out_why)
{
	struct answer answer = {.by = b->by, .reason = "", .channel = "votes", .approve = true};
	return approval_decide(s, api_sign_key(s), b->request->id, &answer, arena, out, out_why);
}

/* ---- what a crash left ---- */

static void ballot_look(struct stage *s, const struct notifier_config *c, const char *approval)
{
	auto_arena arena = {0};
	struct why why = {0};
	struct ballot b = {0};
	Healbus__Decision *decision = NULL;
	auto_txn txn = store_begin_read(fold_store(stage_fold(s, 0, 0)));
	int rc = ballot_read(&(struct ballot_box){txn, c, api_sign_key(s), &arena}, approval, &b,
			     &why);
	store_end(txn);
	txn = NULL;
	if (rc || b.needed < 2 || b.votes < b.needed)
		return;
	rc = ballot_close(s, &b, &arena, &decision, &why);
	if (rc && rc != ERR_CONFLICT && rc != ERR_EXPIRED)
		LOG(WARN, "could not close a ballot", S("approval", approval), S("why", why.text));
}

void votes_run(struct stage *s)
{
	while (!stage_sleep(s, VOTES_LOOK_MS)) {
		auto_keys pending = {0};
		const struct notifier_config *c = stage_config_get(s);
		auto_txn txn = store_begin_read(fold_store(stage_fold(s, 0, 0)));
		if (c->approvers.n)
			keys_collect(txn, &table_pending, "", 0, &pending);
		store_end(txn);
		txn = NULL;
		for (size_t i = 0; i < MIN(pending.n, (size_t)BALLOTS_MAX); i++)
			ballot_look(s, c, pending.items[i].bytes);
		stage_config_put(s, c);
	}
}
