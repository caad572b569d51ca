#include "notifier/answer.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "notifier/answer_rights.h"
#include "notifier/api.h"
#include "notifier/approval.h"
#include "notifier/info.h"
#include "notifier/rights.h"

enum { SEEN_WAIT_MS = 5000, SEEN_POLL_MS = 10 };

static struct metric answers =
	METRIC_COUNTER("healbus_answers_total",
		       "What people answered, by channel and what came of it; refusals by why.",
		       "channel", "result");

/* One answer on its way. */
struct giving {
	struct stage *stage;
	const struct notifier_config *config;
	const struct answer_in *in;
	enum answer_what what;
	char subject[TOKEN_MAX + 1]; /* full id of the approval or incident */
	const struct person *person; /* NULL: nobody is configured */
	const char *by;
	struct answer_out *out;
	struct why *why;
};

void answer_out_release(struct answer_out *out)
{
	buf_release(&out->text);
	arena_release(&out->arena);
	*out = (struct answer_out){0};
}

static struct store_txn *look(const struct giving *g)
{
	return store_begin_read(fold_store(stage_fold(g->stage, 0, 0)));
}

static bool about_incident(enum answer_what what)
{
	return what == ANSWER_ACK || what == ANSWER_HELD || what == ANSWER_NOT_HELD;
}

/* ---- who ---- */

/* A link's token was made for one person: whose it is is found by trying. */
static const char *token_owner(const struct giving *g, const struct token_claim *claim)
{
	struct token_claim theirs = *claim;
	for (size_t i = 0; i < g->config->people.n; i++) {
		theirs.person = person_id(&g->config->people.items[i], g->in->kind);
		if (theirs.person && token_proves(api_token_key(g->stage), g->in->token, &theirs))
			return theirs.person;
	}
	return NULL;
}

static int who(struct giving *g, const char *sender)
{
	g->person = person_by(&g->config->people, g->in->kind, sender);
	g->by = g->person ? g->person->name : sender;
	if (g->person)
		return 0;
	if (!g->config->people.n && str_eq(g->in->kind, "name"))
		return 0;
	return why_set(g->why, ERR_DENIED,
		       "%s %.64s is nobody in this notifier's `people:`; ask an administrator",
		       g->in->kind, sender);
}

/* ---- what ---- */

static int subject_find(struct giving *g, const char *id)
{
	const struct store_table *table =
		about_incident(g->what) ? &table_incidents : &table_approvals;
	auto_buf candidates = {0};
	auto_txn txn = look(g);
	int rc = id_find(txn, table, id, g->subject, &candidates);
	return rc ? why_set(g->why, rc, "%s %.64s is not known here (any more)",
			    about_incident(g->what) ? "incident" : "approval", id)
		  : 0;
}

static int token_refused(struct giving *g)
{
	return why_set(g->why, ERR_UNAUTHENTICATED,
		       "this button or link is not one of ours for this channel");
}

static int token_open(struct giving *g, const char **out_sender)
{
	char shown[TOKEN_SUBJECT_SHOWN + 1];
	if (!token_read(g->in->token, &g->what, shown) || subject_find(g, shown))
		return token_refused(g);
	const struct token_claim claim = {
		.what = g->what, .subject = g->subject, .channel = g->in->channel};
	*out_sender = g->in->sender;
	if (g->in->sender)
		return token_proves(api_token_key(g->stage), g->in->token, &claim)
			       ? 0
			       : token_refused(g);
	*out_sender = token_owner(g, &claim);
	return *out_sender ? 0 : token_refused(g);
}

static int answer_open(struct giving *g)
{
	const char *sender = g->in->sender;
	g->what = g->in->what;
	if (g->in->token) {
		int rc = token_open(g, &sender);
		return rc ? rc : who(g, sender);
	}
	int rc = who(g, str_or_empty(sender));
	return rc ? rc : subject_find(g, str_or_empty(g->in->id));
}

static int may(const struct giving *g, enum right right)
{
	return g->person ? right_check(right, g->person->name, g->person->roles, g->why) : 0;
}

/* ---- approvals ---- */

static void decided(struct giving *g, const Healbus__Decision *d)
{
	bool yes = d->verdict == HEALBUS__DECISION_VERDICT__DECISION_APPROVE;
	g->out->decision = d;
	g->out->settled = true;
	g->out->result = yes ? "approved" : "denied";
	decision_describe(d, &g->out->text);
}

static int decide(struct giving *g, const char *by, bool approve)
{
	auto_free char *reason = wire_text(NULL, str_or_empty(g->in->reason),
					   strlen(str_or_empty(g->in->reason)), WIRE_REASON_MAX);
	struct answer answer = {
		.by = by, .reason = reason, .channel = g->in->channel, .approve = approve};
	Healbus__Decision *d = NULL;
	int rc = approval_decide(g->stage, api_sign_key(g->stage), g->subject, &answer,
				 &g->out->arena, &d, g->why);
	g->out->settled = !rc || rc == ERR_CONFLICT || rc == ERR_EXPIRED;
	if (rc)
		return rc;
	if (d->reason == reason) { /* outlives what it was made from */
		d->reason = arena_strdup(&g->out->arena, reason);
		d->by = arena_strdup(&g->out->arena, by);
		d->channel = arena_strdup(&g->out->arena, g->in->channel);
	}
	decided(g, d);
	return 0;
}

static int control_say(struct giving *g, Healbus__Control *c, const char *msg_id, const char *token,
		       uint64_t *out_seq)
{
	char id[ID_BYTES];
	id_random(id);
	auto_free char *reason = wire_text(NULL, str_or_empty(g->in->reason),
					   strlen(str_or_empty(g->in->reason)), WIRE_REASON_MAX);
	c->id = id;
	c->by = (char *)g->by;
	c->channel = (char *)g->in->channel;
	c->reason = reason;
	SET(c, at_ms, clock_real_ms());
	int rc = c->kind == HEALBUS__CONTROL_KIND__CONTROL_VOTE
			 ? control_sign(c, api_sign_key(g->stage), &g->out->arena, g->why)
			 : 0;
	if (rc)
		return rc;
	rc = stage_publish(g->stage, KIND_CONTROL, token, &c->base, msg_id, NULL, c->at_ms,
			   BUS_REQUEST_TIMEOUT_MS, out_seq, g->why);
	c->id = c->by = c->channel = c->reason = NULL;
	return rc;
}

/* Of two who vote at once, the one whose vote is stored later sees both. */
static int seen(struct giving *g, uint64_t seq)
{
	int64_t end = clock_mono_ms() + SEEN_WAIT_MS;
	while (stage_fold_state(g->stage, 0, 0).applied_seq < seq)
		if (clock_mono_ms() >= end || stage_sleep(g->stage, SEEN_POLL_MS))
			return why_set(g->why, ERR_TIMEOUT,
				       "the vote is stored, but not counted yet");
	return 0;
}

static struct ballot_box box_of(struct giving *g, struct store_txn *txn)
{
	return (struct ballot_box){txn, g->config, api_sign_key(g->stage), &g->out->arena};
}

static int ballot(struct giving *g, struct ballot *out)
{
	auto_txn txn = look(g);
	struct ballot_box box = box_of(g, txn);
	int rc = ballot_read(&box, g->subject, out, g->why);
	if (!rc && g->person)
		rc = approver_check(&g->config->people, &g->config->approvers, g->person,
				    &out->facts, g->why);
	if (!rc)
		rc = approval_undecided(txn, out->request, &g->out->arena, g->why);
	g->out->settled = rc == ERR_CONFLICT || rc == ERR_EXPIRED;
	return rc;
}

/* Another notifier, or the thread that looks after ballots, counted this vote first. */
static bool counted_already(struct giving *g)
{
	struct ballot b;
	auto_txn txn = look(g);
	struct ballot_box box = box_of(g, txn);
	if (ballot_read(&box, g->subject, &b, NULL))
		return false;
	const Healbus__Decision *d = row_get(txn, &table_decisions, g->subject, Healbus__Decision,
					     decision, &g->out->arena);
	if (!d || !ballot_voted(txn, g->subject, g->by) || !decision_by_votes(d, b.by))
		return false;
	decided(g, d);
	return true;
}

static int vote(struct giving *g, struct ballot *b)
{
	uint64_t seq = 0;
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	auto_free char *msg_id = mem_printf("vote:%s:%s", g->subject, g->by);
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_VOTE);
	c.approval = g->subject;
	c.incident = b->request->incident;
	int rc = control_say(g, &c, msg_id, b->request->incident, &seq);
	if (!rc)
		rc = seen(g, seq);
	if (!rc)
		rc = ballot(g, b);
	if (rc == ERR_CONFLICT && counted_already(g))
		return 0;
	if (rc)
		return rc;
	if (b->votes >= b->needed)
		return decide(g, b->by, true);
	g->out->result = "voted";
	g->out->votes = b->votes;
	g->out->needed = b->needed;
	buf_printf(&g->out->text,
		   "yes from %s: %" PRId64 " of %" PRId64
		   " needed; somebody else must approve as well",
		   b->by, b->votes, b->needed);
	return 0;
}

static int give_approve(struct giving *g)
{
	struct ballot b;
	int rc = ballot(g, &b);
	if (rc)
		return rc;
	return b.needed > 1 ? vote(g, &b) : decide(g, g->by, true);
}

static int give_deny(struct giving *g)
{
	int rc = may(g, RIGHT_DECIDE);
	return rc ? rc : decide(g, g->by, false);
}

static int give_info(struct giving *g)
{
	int rc = may(g, RIGHT_READ);
	g->out->result = "info";
	return rc ? rc : info_text(g->stage, g->subject, &g->out->text, g->why);
}

/* ---- incidents ---- */

static int give_ack(struct giving *g)
{
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	auto_free char *msg_id = mem_printf("ack:%s:%s", g->subject, g->by);
	int rc = may(g, RIGHT_ACK);
	if (rc)
		return rc;
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_ACK);
	c.incident = g->subject;
	g->out->result = "acked";
	buf_printf(&g->out->text, "taken by %s: no further plan, no reminder", g->by);
	return control_say(g, &c, msg_id, g->subject, NULL);
}

static int give_feedback(struct giving *g)
{
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	bool held = g->what == ANSWER_HELD;
	auto_free char *msg_id = mem_printf("feedback:%s", g->subject);
	int rc = may(g, RIGHT_FEEDBACK);
	if (rc)
		return rc;
	auto_txn txn = look(g);
	const Healbus__Control *first = row_get(txn, &table_feedback, g->subject, Healbus__Control,
						control, &g->out->arena);
	store_end(txn);
	txn = NULL;
	g->out->settled = true;
	if (first)
		return why_set(g->why, ERR_CONFLICT, "%.64s said already that it %s",
			       str_or_empty(first->by), first->held ? "held" : "did not hold");
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_FEEDBACK);
	SET(&c, held, held);
	c.incident = g->subject;
	g->out->result = held ? "held" : "not_held";
	buf_printf(&g->out->text, "%s says that it %s; thank you", g->by,
		   held ? "held" : "did not hold");
	return control_say(g, &c, msg_id, g->subject, NULL);
}

/* ---- the door ---- */

static int (*const givers[ANSWERS])(struct giving *g) = {
	[ANSWER_APPROVE] = give_approve, [ANSWER_DENY] = give_deny,
	[ANSWER_INFO] = give_info,       [ANSWER_ACK] = give_ack,
	[ANSWER_HELD] = give_feedback,   [ANSWER_NOT_HELD] = give_feedback,
};

static int answer_run(struct giving *g)
{
	int rc = answer_open(g);
	if (rc)
		return rc;
	if (g->what <= ANSWER_NONE || g->what >= ANSWERS)
		return why_set(g->why, ERR_INVALID, "nothing was answered");
	return givers[g->what](g);
}

static void refused(const struct giving *g, int rc)
{
	const struct answer_in *in = g->in;
	g->out->result = "refused";
	buf_reset(&g->out->text);
	buf_add_printable(&g->out->text, g->why->text, strlen(g->why->text));
	metric_add(&answers, 1, in->channel, err_name(rc));
	LOG(WARN, "answer refused", S("channel", in->channel), S("kind", str_or_empty(in->kind)),
	    S("sender", str_or_empty(in->sender)), S("about", g->subject), S("why", g->why->text));
}

int answer_give(struct stage *s, const struct answer_in *in, struct answer_out *out,
		struct why *out_why)
{
	struct why why = {0};
	struct giving g = {.stage = s, .in = in, .out = out, .why = &why};
	g.config = stage_config_get(s);
	int rc = answer_run(&g);
	if (rc)
		refused(&g, rc);
	else
		metric_add(&answers, 1, in->channel, out->result);
	stage_config_put(s, g.config);
	if (rc && out_why)
		*out_why = why;
	return rc;
}
