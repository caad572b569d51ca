#include "notifier/info.h"

#include "notifier/render.h"
#include "notifier/tables.h"

/* How far back in a story it is looked for a diagnosis and a dry run. */
enum { STORY_ROWS_MAX = 512, FETCHED_MAX = 24 };

struct gathering {
	struct stage *stage;
	struct arena arena;
	struct render_info info;
	uint64_t seqs[FETCHED_MAX]; /* of models and outcomes, newest first */
	size_t n, walked;
};

static int row_visit(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct gathering *g = ctx;
	struct story_row row;
	if (key_len < 8 || val.len != sizeof(row))
		return 0;
	memcpy(&row, val.data, sizeof(row));
	if (row.kind == KIND_MODEL || row.kind == KIND_OUTCOME)
		g->seqs[g->n++] = store_key64_value((const char *)key + key_len - 8);
	return g->n == FETCHED_MAX || ++g->walked == STORY_ROWS_MAX;
}

/* What the projection knows; and where on the bus the rest is. */
static int gather_rows(struct gathering *g, const char *approval, struct why *out_why)
{
	auto_txn txn = store_begin_read(fold_store(stage_fold(g->stage, 0, 0)));
	struct render_info *i = &g->info;
	i->approval = row_get(txn, &table_approvals, approval, Healbus__ApprovalRequest,
			      approval_request, &g->arena);
	if (!i->approval)
		return why_set(out_why, ERR_NOT_FOUND, "no approval %.64s", approval);
	const char *incident = str_or_empty(i->approval->incident);
	i->decision =
		row_get(txn, &table_decisions, approval, Healbus__Decision, decision, &g->arena);
	i->incident =
		row_get(txn, &table_incidents, incident, Healbus__Incident, incident, &g->arena);
	struct key prefix = key_owner(incident);
	struct store_range range = {
		.prefix = prefix.bytes, .prefix_len = prefix.len, .backwards = true};
	return store_each(txn, &table_story, &range, row_visit, g);
}

static const ProtobufCMessage *fetch(struct gathering *g, uint64_t seq, enum kind kind,
				     uint8_t digest[static DIGEST_BYTES])
{
	struct bus_delivery d = {0};
	struct topic topic;
	ProtobufCMessage *msg = NULL;
	if (bus_get(stage_bus(g->stage), STREAM_STORY, seq, &d, NULL))
		return NULL;
	plan_digest(d.data, d.len, digest);
	if (topic_parse(d.subject, &topic) || topic.kind != kind ||
	    wire_unpack(kind, d.data, d.len, &g->arena, &msg, NULL))
		msg = NULL;
	bus_delivery_free(&d);
	return msg;
}

/* The very bytes that the request is about, or none. */
static void gather_plan(struct gathering *g)
{
	uint8_t digest[DIGEST_BYTES];
	const Healbus__ApprovalRequest *a = g->info.approval;
	const ProtobufCMessage *msg = fetch(g, a->plan_seq, KIND_PLAN, digest);
	bool same = msg && a->plan_digest.len == DIGEST_BYTES &&
		    digest_equal(digest, a->plan_digest.data, DIGEST_BYTES);
	g->info.plan = same ? (const Healbus__Plan *)msg : NULL;
	g->info.plan_differs = msg && !same;
}

static void gather_model(struct gathering *g, const ProtobufCMessage *msg)
{
	const Healbus__ModelExchange *m = (const Healbus__ModelExchange *)msg;
	if (m->diagnosis && !g->info.diagnosis)
		g->info.diagnosis = m->diagnosis;
}

static void gather_outcome(struct gathering *g, const ProtobufCMessage *msg)
{
	const Healbus__Outcome *o = (const Healbus__Outcome *)msg;
	if (o->verdict == HEALBUS__VERDICT__VERDICT_REHEARSED && !g->info.rehearsal &&
	    str_eq(str_or_empty(o->plan_id), str_or_empty(g->info.approval->plan_id)))
		g->info.rehearsal = o;
}

static void gather_story(struct gathering *g)
{
	for (size_t i = 0; i < g->n && !(g->info.diagnosis && g->info.rehearsal); i++) {
		uint8_t digest[DIGEST_BYTES];
		const ProtobufCMessage *msg = NULL;
		if (!g->info.diagnosis && (msg = fetch(g, g->seqs[i], KIND_MODEL, digest)))
			gather_model(g, msg);
		else if (!g->info.rehearsal && (msg = fetch(g, g->seqs[i], KIND_OUTCOME, digest)))
			gather_outcome(g, msg);
	}
}

int info_text(struct stage *s, const char *approval, struct buf *out, struct why *out_why)
{
	struct gathering g = {.stage = s};
	int rc = gather_rows(&g, approval, out_why);
	if (!rc) {
		gather_plan(&g);
		gather_story(&g);
		render_info(&g.info, out);
	}
	arena_release(&g.arena);
	return rc;
}
