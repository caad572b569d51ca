#include "notifier/projection.h"
#include "notifier/saying.h"
#include "notifier/throttle.h"

/* ---- groups ---- */

enum { SAID_INCIDENTS_MAX = 16, ATTEMPTS_SHOWN_MAX = 8 };

struct group {
	char id[ID_BYTES];
	struct group_row row;
	const struct route *route;
	const struct receiver *receiver; /* NULL: nobody is told */
};

static void group_put(struct fold *f, const struct group *g)
{
	char timer[2 + ID_BYTES];
	snprintf(timer, sizeof(timer), "g:%s", g->id);
	store_put_str(fold_txn(f), &table_groups, g->id, &g->row, sizeof(g->row));
	fold_timer_set(f, timer, g->row.due_ms);
}

static bool item_get(struct fold *f, const struct key *key, struct item_row *out)
{
	struct store_val val;
	*out = (struct item_row){0};
	if (store_get(fold_txn(f), &table_items, key->bytes, key->len, &val) ||
	    val.len != sizeof(*out))
		return false;
	memcpy(out, val.data, sizeof(*out));
	return true;
}

static void item_put(struct fold *f, const struct key *key, const struct item_row *item)
{
	store_put(fold_txn(f), &table_items, key->bytes, key->len, item, sizeof(*item));
}

static void item_add(struct fold *f, const char *group, const char *incident, uint32_t bits)
{
	struct item_row item;
	struct key key = key_pair(group, incident);
	struct key ref = key_ref(incident, REF_GROUP, group);
	item_get(f, &key, &item);
	item.tell |= bits;
	item_put(f, &key, &item);
	store_put(fold_txn(f), &table_refs, ref.bytes, ref.len, "", 0);
}

static void item_drop(struct fold *f, const struct key *key)
{
	struct key ref = key_ref(key_name(key), REF_GROUP, key->bytes);
	store_del(fold_txn(f), &table_refs, ref.bytes, ref.len);
	store_del(fold_txn(f), &table_items, key->bytes, key->len);
}

/* group_wait for what opens a group or cannot wait, group_interval after the last flush else. */
static int64_t group_due(const struct fold *f, const struct group *g, uint32_t bits)
{
	int64_t soon = fold_now_ms(f) + g->route->group_wait_ms;
	if (!g->row.flushed_ms || (bits & TELL_ESCALATED))
		return soon;
	return MAX(fold_now_ms(f), g->row.flushed_ms + g->route->group_interval_ms);
}

static void group_add(struct fold *f, struct group *g, const char *incident, uint32_t bits)
{
	bool known = row_struct(fold_txn(f), &table_groups, g->id, &g->row, sizeof(g->row));
	if (!known) {
		memset(&g->row, 0, sizeof(g->row));
		memcpy(g->row.route, g->route->id, sizeof(g->row.route));
		token_copy(g->row.receiver, g->receiver->name);
	}
	item_add(f, g->id, incident, bits);
	int64_t due = group_due(f, g, bits);
	if (!g->row.pending || due < g->row.due_ms)
		g->row.due_ms = due;
	g->row.pending = 1;
	group_put(f, g);
}

void tell(struct fold *f, const Healbus__Incident *i, uint32_t bits)
{
	const struct rules *rules = rules_of(fold_config(f));
	const struct route *routes[ROUTES_MATCHED_MAX];
	if (i->state == HEALBUS__INCIDENT_STATE__INCIDENT_SUPPRESSED)
		return;
	size_t n = route_match(&rules->route, incident_lookup, i, routes);
	for (size_t k = 0; k < n; k++) {
		struct group g = {.route = routes[k]};
		if (g.route->receiver)
			g.receiver = receiver_find(&rules->receivers, g.route->receiver);
		uint32_t wanted = bits;
		if (g.receiver && !g.receiver->send_resolved)
			wanted &= ~(uint32_t)TELL_RESOLVED;
		if (!g.receiver || !wanted || (int64_t)i->severity < g.route->severity)
			continue;
		route_group(g.route, incident_lookup, i, i->id, g.id);
		group_add(f, &g, i->id, wanted);
	}
}

static void incident_groups(struct fold *f, const char *incident, struct keys *out)
{
	struct key prefix = key_ref(incident, REF_GROUP, "");
	keys_collect(fold_txn(f), &table_refs, prefix.bytes, prefix.len, out);
}

void tell_acked(struct fold *f, const char *incident)
{
	auto_keys refs = {0};
	incident_groups(f, incident, &refs);
	for (size_t i = 0; i < refs.n; i++) {
		struct item_row item;
		struct key key = key_pair(key_name(&refs.items[i]) + 1, incident);
		if (!item_get(f, &key, &item))
			continue;
		item.acked = 1;
		item_put(f, &key, &item);
	}
}

void tell_forget(struct fold *f, const char *incident)
{
	auto_keys refs = {0};
	incident_groups(f, incident, &refs);
	for (size_t i = 0; i < refs.n; i++) {
		struct key key = key_pair(key_name(&refs.items[i]) + 1, incident);
		item_drop(f, &key);
	}
}

/* ---- flushing a group ---- */

/* What a flush speaks of: a few in full, all of them counted. */
struct batch {
	struct render_incident shown[RENDER_LINES_MAX];
	size_t n_shown, total, active;
	struct arena scratch; /* for those that are only counted */
};

static bool is_active(const Healbus__Incident *i)
{
	return i->state == HEALBUS__INCIDENT_STATE__INCIDENT_OPEN ||
	       i->state == HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED;
}

static void batch_show(struct fold *f, struct batch *b, Healbus__Incident *i, uint32_t bits)
{
	b->total++;
	if (b->n_shown == RENDER_LINES_MAX)
		return;
	Healbus__Attempt **attempts =
		arena_alloc(fold_arena(f), ATTEMPTS_SHOWN_MAX * sizeof(*attempts));
	if (!attempts)
		return;
	size_t n = incident_attempts(f, i->id, attempts, ATTEMPTS_SHOWN_MAX);
	b->shown[b->n_shown++] = (struct render_incident){i, attempts, n, bits};
}

/* Takes one item into the batch; an item whose incident is over leaves the group. */
static void batch_take(struct fold *f, struct batch *b, const struct key *key, bool repeat)
{
	struct item_row item;
	bool full = b->n_shown == RENDER_LINES_MAX;
	arena_reset(&b->scratch);
	Healbus__Incident *i =
		row_get(fold_txn(f), &table_incidents, key_name(key), Healbus__Incident, incident,
			full ? &b->scratch : fold_arena(f));
	bool there = item_get(f, key, &item) && i &&
		     i->state != HEALBUS__INCIDENT_STATE__INCIDENT_SUPPRESSED;
	if (there && (item.tell || (repeat && is_active(i) && !item.acked)))
		batch_show(f, b, i, item.tell);
	if (!there || !is_active(i)) {
		item_drop(f, key);
		return;
	}
	b->active++;
	item.told |= item.tell;
	item.tell = 0;
	item_put(f, key, &item);
}

static void batch_say(struct fold *f, const struct group *g, const struct batch *b)
{
	char *ids[SAID_INCIDENTS_MAX], at[24];
	auto_notice_text text = {0};
	if (b->total == 1)
		render_incident(&b->shown[0], &text);
	else
		render_digest(b->shown, b->n_shown, b->total, &text);
	struct saying s = {
		.receiver = g->receiver,
		.incident = b->shown[0].incident->id,
		.kind = b->total == 1 ? render_kind(&b->shown[0]) : "digest",
		.subject = &text.subject,
		.text = &text.text,
		.incidents = ids,
	};
	for (; s.n_incidents < MIN(b->n_shown, (size_t)SAID_INCIDENTS_MAX); s.n_incidents++)
		ids[s.n_incidents] = b->shown[s.n_incidents].incident->id;
	snprintf(at, sizeof(at), "%" PRId64, fold_now_ms(f));
	id_make(s.base, "told", g->id, at, s.kind);
	saying_tell(f, &s);
}

static bool throttled(struct fold *f, const struct receiver *r, int64_t *out_end_ms)
{
	struct throttle t = {0};
	row_struct(fold_txn(f), &table_throttles, r->name, &t, sizeof(t));
	bool allowed = throttle_allow(&t, r->throttle_limit, r->throttle_per_ms, fold_now_ms(f));
	*out_end_ms = throttle_end(&t, r->throttle_per_ms);
	if (r->throttle_limit)
		store_put_str(fold_txn(f), &table_throttles, r->name, &t, sizeof(t));
	return !allowed;
}

/* The receiver's digest of what its throttle holds back, told when its window ends. */
static struct group overflow_open(struct fold *f, const struct route *route,
				  const struct receiver *receiver, int64_t end_ms)
{
	struct group g = {.route = route, .receiver = receiver};
	id_make(g.id, "overflow", receiver->name);
	if (!row_struct(fold_txn(f), &table_groups, g.id, &g.row, sizeof(g.row))) {
		memset(&g.row, 0, sizeof(g.row));
		memcpy(g.row.route, route->id, sizeof(g.row.route));
		token_copy(g.row.receiver, receiver->name);
	}
	g.row.overflow = 1;
	g.row.pending = 1;
	g.row.due_ms = end_ms;
	return g;
}

static void overflow_move(struct fold *f, const struct group *from, const struct keys *items,
			  int64_t end_ms)
{
	struct group g = overflow_open(f, from->route, from->receiver, end_ms);
	for (size_t i = 0; i < items->n; i++) {
		struct item_row item;
		if (!item_get(f, &items->items[i], &item) || !item.tell)
			continue;
		item_add(f, g.id, key_name(&items->items[i]), item.tell);
		item.tell = 0;
		item_put(f, &items->items[i], &item);
	}
	group_put(f, &g);
}

static void group_next(struct fold *f, struct group *g, size_t active)
{
	int64_t repeat = g->row.overflow ? 0 : g->route->repeat_interval_ms;
	g->row.flushed_ms = fold_now_ms(f);
	g->row.pending = 0;
	g->row.due_ms = fold_now_ms(f) + repeat;
	if (active && repeat)
		group_put(f, g);
	else if (active && !g->row.overflow)
		store_put_str(fold_txn(f), &table_groups, g->id, &g->row, sizeof(g->row));
	else
		store_del_str(fold_txn(f), &table_groups, g->id);
}

static void group_send(struct fold *f, struct group *g)
{
	struct batch b = {0};
	auto_keys items = {0};
	struct key prefix = key_owner(g->id);
	int64_t end_ms;
	bool repeat = !g->row.pending;
	keys_collect(fold_txn(f), &table_items, prefix.bytes, prefix.len, &items);
	if (!g->row.overflow && items.n && throttled(f, g->receiver, &end_ms)) {
		overflow_move(f, g, &items, end_ms);
		repeat = false;
	}
	for (size_t i = 0; i < items.n; i++) {
		batch_take(f, &b, &items.items[i], repeat);
		if (g->row.overflow)
			item_drop(f, &items.items[i]);
	}
	arena_release(&b.scratch);
	if (b.n_shown)
		batch_say(f, g, &b);
	group_next(f, g, b.active);
}

static void group_drop(struct fold *f, const struct group *g)
{
	auto_keys items = {0};
	struct key prefix = key_owner(g->id);
	keys_collect(fold_txn(f), &table_items, prefix.bytes, prefix.len, &items);
	for (size_t i = 0; i < items.n; i++)
		item_drop(f, &items.items[i]);
	store_del_str(fold_txn(f), &table_groups, g->id);
}

void group_flush(struct fold *f, const char *id)
{
	const struct rules *rules = rules_of(fold_config(f));
	struct group g = {0};
	memcpy(g.id, id, MIN(strlen(id), sizeof(g.id) - 1));
	if (!row_struct(fold_txn(f), &table_groups, g.id, &g.row, sizeof(g.row)))
		return;
	/* After a reload the route may be gone; its receiver is then asked for by name. */
	g.route = route_find(&rules->route, g.row.route);
	g.route = g.route ? g.route : &rules->route;
	g.receiver = receiver_find(&rules->receivers, g.row.receiver);
	if (!g.receiver) {
		group_drop(f, &g);
		return;
	}
	const struct words *mute = &g.route->mute;
	if (intervals_cover(&rules->intervals, mute->items, mute->n, fold_now_ms(f))) {
		g.row.due_ms =
			intervals_end(&rules->intervals, mute->items, mute->n, fold_now_ms(f));
		group_put(f, &g);
		return;
	}
	group_send(f, &g);
}

/* ---- calls ---- */

void tell_call(struct fold *f, const struct call *c)
{
	int64_t end_ms;
	struct buf subject = c->text->subject, text = c->text->text;
	struct saying s = {
		.receiver = c->receiver,
		.incident = c->incident,
		.kind = c->kind,
		.approval = c->approval,
		.subject = &subject,
		.text = &text,
		.to = c->to,
		.n_to = c->n_to,
	};
	if (!c->approval && throttled(f, c->receiver, &end_ms)) {
		struct group g = overflow_open(f, c->route, c->receiver, end_ms);
		item_add(f, g.id, c->incident, TELL_ESCALATED);
		group_put(f, &g);
		return;
	}
	id_make(s.base, "call", c->incident, c->what);
	if (c->channel)
		saying_emit(f, &s, c->channel);
	else
		saying_tell(f, &s);
}
