#include "common/clock.h"
#include "notifier/api.h"
#include "notifier/shadow.h"
#include "notifier/view.h"

/* GET /api/shadow?since_ms=&patience_ms=: shadow.h on what the projection and the bus hold. */

enum { PLANS_MAX = 2000, DAY_MS = 86400000 };

enum { CONTROLS_MAX = 16 };

/* A plan row that says something: it was observed, a person decided on it, or it takes back. */
struct found {
	char id[TOKEN_MAX + 1];
	struct plan_row row;
	/* of an observed one: what became of its incident */
	char *title;
	int64_t resolved_ms;
	bool acted;
	uint64_t controls[CONTROLS_MAX]; /* sequence numbers */
	size_t n_controls;
	/* of one that takes back: what */
	struct shadow_deed undone;
};

struct gather {
	struct api_call *call;
	struct store_txn *txn;
	int64_t since_ms, patience_ms;
	struct found *found;
	size_t n, cap;
	bool limited;
	bool acted;         /* of the incident being looked at */
	struct arena arena; /* strings that outlive a message */
	struct shadow_sign *signs;
	size_t n_signs;
	struct shadow_tally tally;
	json_t *list;
};

static bool is_observed(const struct plan_row *row)
{
	return row->outcome_seq && row->verdict == (uint32_t)HEALBUS__VERDICT__VERDICT_OBSERVED;
}

static bool is_decided(const struct plan_row *row)
{
	return row->decision_seq &&
	       (row->decision == (uint32_t)HEALBUS__DECISION_VERDICT__DECISION_APPROVE ||
		row->decision == (uint32_t)HEALBUS__DECISION_VERDICT__DECISION_DENY);
}

static int row_visit(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct gather *g = ctx;
	struct found f = {0};
	if (val.len != sizeof(f.row) || key_len > TOKEN_MAX)
		return 0;
	memcpy(&f.row, val.data, sizeof(f.row));
	memcpy(f.id, key, key_len);
	if (f.row.at_ms < g->since_ms ||
	    (!is_observed(&f.row) && !is_decided(&f.row) && !*f.row.undoes))
		return 0;
	if (g->n == g->cap) {
		g->cap = g->cap ? g->cap * 2 : 64;
		g->found = mem_realloc(g->found, g->cap * sizeof(*g->found));
	}
	g->found[g->n++] = f;
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	if (x->row.at_ms != y->row.at_ms)
		return x->row.at_ms < y->row.at_ms ? -1 : 1;
	return strcmp(x->id, y->id);
}

/* Oldest first; too many: the newest. */
static void rows_gather(struct gather *g)
{
	store_each(g->txn, &table_plans, &(struct store_range){0}, row_visit, g);
	if (g->n)
		qsort(g->found, g->n, sizeof(*g->found), by_time);
	if (g->n <= PLANS_MAX)
		return;
	memmove(g->found, g->found + (g->n - PLANS_MAX), PLANS_MAX * sizeof(*g->found));
	g->n = PLANS_MAX;
	g->limited = true;
}

/* ---- what the projection knows ---- */

static int control_visit(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct found *f = ctx;
	struct story_row row;
	if (val.len != sizeof(row) || key_len < 8)
		return 0;
	memcpy(&row, val.data, sizeof(row));
	if (row.kind == KIND_CONTROL)
		f->controls[f->n_controls++] = store_key64_value((const char *)key + key_len - 8);
	return f->n_controls == CONTROLS_MAX;
}

static int ref_visit(void *ctx, const void *key UNUSED, size_t key_len UNUSED, struct store_val val)
{
	struct gather *g = ctx;
	char id[TOKEN_MAX + 1];
	struct plan_row row;
	snprintf(id, sizeof(id), "%.*s", (int)MIN(val.len, (size_t)TOKEN_MAX),
		 (const char *)val.data);
	g->acted |= row_struct(g->txn, &table_plans, id, &row, sizeof(row)) && row.started;
	return 0;
}

static void incident_facts(struct gather *g, struct found *f)
{
	const char *id = f->row.incident;
	struct key story = key_owner(id), plans = key_ref(id, REF_PLAN, "");
	struct store_range range = {.prefix = story.bytes, .prefix_len = story.len};
	const Healbus__Incident *i =
		row_get(g->txn, &table_incidents, id, Healbus__Incident, incident, &g->call->arena);
	f->title = arena_strdup(&g->arena, i ? str_or_empty(i->title) : "");
	if (i && i->state == HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED)
		f->resolved_ms = i->resolved_at_ms;
	store_each(g->txn, &table_story, &range, control_visit, f);
	range = (struct store_range){.prefix = plans.bytes, .prefix_len = plans.len};
	g->acted = false;
	store_each(g->txn, &table_refs, &range, ref_visit, g);
	f->acted = g->acted;
	arena_reset(&g->call->arena);
}

static void undone_facts(struct gather *g, struct found *f)
{
	const Healbus__Outcome *o = row_get(g->txn, &table_changes, f->row.undoes, Healbus__Outcome,
					    outcome, &g->call->arena);
	if (o && o->n_changes) {
		token_copy(f->undone.tool, o->changes[0]->tool);
		token_copy(f->undone.target, o->changes[0]->target);
	}
	arena_reset(&g->call->arena);
}

/* Everything that needs the store, since no transaction waits for the bus. */
static void facts_gather(struct gather *g)
{
	auto_txn txn = api_read(g->call);
	g->txn = txn;
	rows_gather(g);
	for (size_t i = 0; i < g->n; i++) {
		if (is_observed(&g->found[i].row))
			incident_facts(g, &g->found[i]);
		if (*g->found[i].row.undoes)
			undone_facts(g, &g->found[i]);
	}
	g->txn = NULL;
}

/* ---- what the bus knows ---- */

/* A message of the story, in the call's arena until the next; NULL when it is gone. */
static const ProtobufCMessage *message_at(struct gather *g, uint64_t seq, enum kind kind)
{
	struct bus_delivery d = {0};
	struct topic topic;
	ProtobufCMessage *msg = NULL;
	if (bus_get(stage_bus(g->call->stage), STREAM_STORY, seq, &d, NULL))
		return NULL;
	arena_reset(&g->call->arena);
	if (topic_parse(d.subject, &topic) || topic.kind != kind ||
	    wire_unpack(kind, d.data, d.len, &g->call->arena, &msg, NULL))
		msg = NULL;
	bus_delivery_free(&d);
	return msg;
}

static void sign_decided(struct gather *g, const struct found *f, struct shadow_sign *out)
{
	const Healbus__Plan *plan = (const Healbus__Plan *)message_at(g, f->row.seq, KIND_PLAN);
	if (plan)
		shadow_deeds_of(&out->deeds, plan);
	const Healbus__Decision *d =
		(const Healbus__Decision *)message_at(g, f->row.decision_seq, KIND_DECISION);
	if (!d)
		return;
	bool yes = d->verdict == HEALBUS__DECISION_VERDICT__DECISION_APPROVE;
	out->says = yes ? SHADOW_SAME : SHADOW_DENIED;
	out->at_ms = d->at_ms;
	out->by = arena_strdup(&g->arena, str_or_empty(d->by));
}

/* A plan that takes back is about what was changed, not about what it does itself. */
static void sign_undone(struct gather *g, const struct found *f, struct shadow_sign *out)
{
	const Healbus__Plan *plan = (const Healbus__Plan *)message_at(g, f->row.seq, KIND_PLAN);
	if (!plan)
		return;
	out->says = SHADOW_UNDONE;
	out->at_ms = f->row.at_ms;
	out->by = arena_strdup(&g->arena, str_or_empty(plan->requested_by));
	shadow_deed_add(&out->deeds, f->undone.tool, f->undone.target);
}

static void signs_gather(struct gather *g)
{
	g->signs = mem_calloc(g->n + 1, sizeof(*g->signs));
	for (size_t i = 0; i < g->n; i++) {
		const struct found *f = &g->found[i];
		struct shadow_sign sign = {.plan = f->id};
		if (*f->row.undoes)
			sign_undone(g, f, &sign);
		else if (is_decided(&f->row))
			sign_decided(g, f, &sign);
		if (sign.says != SHADOW_OPEN && sign.deeds.n)
			g->signs[g->n_signs++] = sign;
	}
}

static void acked_find(struct gather *g, const struct found *f, struct shadow_plan *out)
{
	for (size_t i = 0; i < f->n_controls && !out->acked_ms; i++) {
		const Healbus__Control *c =
			(const Healbus__Control *)message_at(g, f->controls[i], KIND_CONTROL);
		if (!c || c->kind != HEALBUS__CONTROL_KIND__CONTROL_ACK)
			continue;
		out->acked_ms = c->at_ms;
		out->acked_by = arena_strdup(&g->arena, str_or_empty(c->by));
	}
}

/* ---- one observed plan ---- */

/* Who decided, when and by which plan. */
static void add_because(json_t *out, const struct shadow_plan *p, const struct shadow_judgement *j)
{
	const char *by = "";
	int64_t at_ms = 0;
	if (j->sign) {
		by = str_or_empty(j->sign->by);
		at_ms = j->sign->at_ms;
	} else if (j->verdict == SHADOW_TAKEN) {
		by = str_or_empty(p->acked_by);
		at_ms = p->acked_ms;
	} else if (j->verdict == SHADOW_NEEDLESS) {
		at_ms = p->resolved_ms;
	}
	json_object_set_new(out, "by", json_string(by));
	json_object_set_new(out, "because", json_string(j->sign ? j->sign->plan : ""));
	json_object_set_new(out, "decided_at_ms", json_integer((json_int_t)at_ms));
}

static json_t *judged_json(const struct found *f, const char *runbook, const struct shadow_plan *p,
			   const struct shadow_judgement *j)
{
	auto_buf what = {0};
	for (size_t i = 0; i < p->deeds.n; i++)
		buf_printf(&what, "%s%s(%s)", i ? ", " : "", p->deeds.items[i].tool,
			   p->deeds.items[i].target);
	json_t *out = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:s}", "plan", f->id, "incident",
				f->row.incident, "title", f->title, "runbook", runbook, "what",
				buf_str(&what), "at_ms", (json_int_t)f->row.at_ms, "verdict",
				shadow_verdict_name(j->verdict));
	add_because(out, p, j);
	return out;
}

static void plan_judge(struct gather *g, const struct found *f)
{
	struct shadow_plan p = {
		.at_ms = f->row.at_ms, .resolved_ms = f->resolved_ms, .acted = f->acted};
	acked_find(g, f, &p);
	const Healbus__Plan *plan = (const Healbus__Plan *)message_at(g, f->row.seq, KIND_PLAN);
	if (!plan)
		return; /* the stream has aged it out */
	shadow_deeds_of(&p.deeds, plan);
	struct shadow_judgement j = shadow_judge(&p, g->signs, g->n_signs, g->patience_ms);
	shadow_count(&g->tally, j.verdict);
	json_array_append_new(g->list, judged_json(f, str_or_empty(plan->runbook), &p, &j));
}

static json_t *tally_json(const struct shadow_tally *t)
{
	json_t *out = json_object();
	for (unsigned v = 0; v < SHADOW_VERDICTS; v++)
		json_object_set_new(out, shadow_verdict_name((enum shadow_verdict)v),
				    json_integer((json_int_t)t->by_verdict[v]));
	return out;
}

static json_t *report_json(struct gather *g)
{
	size_t judged = g->tally.agree + g->tally.disagree;
	json_t *agreement =
		judged ? json_real((double)g->tally.agree / (double)judged) : json_null();
	return json_pack("{s:I,s:I,s:b,s:o,s:I,s:I,s:o,s:o}", "since_ms", (json_int_t)g->since_ms,
			 "patience_ms", (json_int_t)g->patience_ms, "limited", g->limited, "counts",
			 tally_json(&g->tally), "agree", (json_int_t)g->tally.agree, "disagree",
			 (json_int_t)g->tally.disagree, "agreement", agreement, "plans", g->list);
}

void api_shadow(struct api_call *call)
{
	size_t week_ago = (size_t)(clock_real_ms() - (int64_t)7 * DAY_MS);
	struct gather g = {
		.call = call,
		.since_ms = (int64_t)api_limit(call, "since_ms", week_ago, INT64_MAX),
		.patience_ms =
			(int64_t)api_limit(call, "patience_ms", SHADOW_PATIENCE_MS, INT64_MAX),
		.list = json_array(),
	};
	facts_gather(&g);
	signs_gather(&g);
	for (size_t i = 0; i < g.n; i++)
		if (is_observed(&g.found[i].row))
			plan_judge(&g, &g.found[i]);
	api_reply(call, 200, report_json(&g));
	free(g.found);
	free(g.signs);
	arena_release(&g.arena);
}
