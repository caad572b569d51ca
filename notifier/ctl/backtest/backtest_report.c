#include "notifier/ctl/backtest/backtest.h"

#include "common/mem.h"

void bt_report_release(struct bt_report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		for (size_t side = 0; side < BT_SIDES_MAX; side++)
			free(r->items[i].said[side].items);
	}
	free(r->items);
	idmap_release(&r->by_id);
	arena_release(&r->arena);
	*r = (struct bt_report){0};
}

static const char *keep(struct bt_report *r, const char *text)
{
	return text && *text ? arena_strdup(&r->arena, text) : "";
}

/* The incident's row, new when there is none. Valid until the next call. */
static struct bt_incident *bt_report_incident(struct bt_report *r, const char *id)
{
	uint64_t *at = idmap_at(&r->by_id, id);

	if (*at)
		return &r->items[*at - 1];
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 64;
		r->items = mem_realloc(r->items, r->cap * sizeof(*r->items));
	}
	r->items[r->n] = (struct bt_incident){.id = keep(r, id), .title = ""};
	*at = ++r->n;
	return &r->items[r->n - 1];
}

void bt_report_monitor(struct bt_report *r, const Healbus__Incident *said)
{
	struct bt_incident *i = bt_report_incident(r, said->id);

	if (said->title && !str_eq(i->title, said->title))
		i->title = keep(r, said->title);
	i->severity = said->severity;
	i->state = said->state;
	i->revision = said->revision;
	i->opened_ms = said->opened_at_ms;
}

/* ---- what the reasoner says ---- */

static struct bt_saying *say(struct bt_incident *i, size_t side)
{
	struct bt_sayings *s = &i->said[side];

	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 2;
		s->items = mem_realloc(s->items, s->cap * sizeof(*s->items));
	}
	s->items[s->n] = (struct bt_saying){.runbook = "", .what = "", .reason = ""};
	return &s->items[s->n++];
}

static void plan_what(const Healbus__Plan *plan, struct buf *out)
{
	for (size_t k = 0; k < plan->n_steps; k++) {
		const Healbus__Step *s = plan->steps[k];

		buf_printf(out, "%s%s(%s)", k ? ", " : "", s->tool ? s->tool : "",
			   s->target ? s->target : "");
	}
}

/* A comment in a runbook changes its digest, and nothing that would be done. */
static void plan_same(const Healbus__Plan *plan, uint8_t out[static DIGEST_BYTES])
{
	Healbus__Plan copy = *plan;
	auto_buf packed = {0};

	copy.runbook_digest = NULL;
	wire_pack(&copy.base, &packed);
	digest_sha256(packed.data, packed.len, out);
}

void bt_report_plan(struct bt_report *r, size_t side, const Healbus__Plan *plan, const void *packed,
		    size_t len)
{
	struct bt_saying *s = say(bt_report_incident(r, plan->incident), side);
	uint8_t digest[DIGEST_BYTES];
	auto_buf what = {0};

	plan_what(plan, &what);
	plan_same(plan, s->same);
	plan_digest(packed, len, digest);
	hex_encode(digest, sizeof(digest), s->digest);
	snprintf(s->id, sizeof(s->id), "%s", plan->id);
	s->kind = BT_PLAN;
	s->at_ms = plan->created_at_ms;
	s->runbook = keep(r, plan->runbook ? plan->runbook : plan->specialist);
	s->what = keep(r, buf_str(&what));
	s->reason = keep(r, plan->why);
	s->attempt = plan->attempt;
}

void bt_report_recorded(struct bt_report *r, size_t side, const char *incident)
{
	struct bt_sayings *said = &bt_report_incident(r, incident)->said[side];

	if (said->n)
		said->items[said->n - 1].recorded = true;
}

void bt_report_escalation(struct bt_report *r, size_t side, const Healbus__Incident *said)
{
	struct bt_incident *i = bt_report_incident(r, said->id);
	struct bt_saying *s;
	auto_buf packed = {0};

	/* One of the reasoner's own: a storm. */
	if (!*i->title) {
		i->title = keep(r, said->title);
		i->severity = said->severity;
		i->state = said->state;
		i->opened_ms = said->opened_at_ms;
	}
	s = say(i, side);
	s->kind = BT_ESCALATION;
	s->at_ms = said->updated_at_ms;
	s->reason = keep(r, said->reason);
	buf_printf(&packed, "%d %" PRId64 " %s", (int)said->state, s->at_ms, s->reason);
	digest_sha256(packed.data, packed.len, s->same);
}

void bt_report_result(struct bt_report *r, size_t side, const char *incident, const char *plan,
		      const char *result)
{
	struct bt_sayings *said = &bt_report_incident(r, incident)->said[side];

	for (size_t i = 0; i < said->n; i++) {
		if (said->items[i].kind == BT_PLAN && str_eq(said->items[i].id, plan))
			said->items[i].result = keep(r, result);
	}
}

/* ---- at the end ---- */

static int by_opening(const void *a, const void *b)
{
	const struct bt_incident *x = a, *y = b;

	if (x->opened_ms != y->opened_ms)
		return x->opened_ms < y->opened_ms ? -1 : 1;
	return strcmp(x->id, y->id);
}

void bt_report_finish(struct bt_report *r)
{
	if (r->n)
		qsort(r->items, r->n, sizeof(*r->items), by_opening);
	idmap_release(&r->by_id);
}

bool bt_same(const struct bt_incident *i)
{
	const struct bt_sayings *a = &i->said[0], *b = &i->said[1];

	if (a->n != b->n)
		return false;
	for (size_t k = 0; k < a->n; k++) {
		if (memcmp(a->items[k].same, b->items[k].same, DIGEST_BYTES) != 0)
			return false;
	}
	return true;
}
