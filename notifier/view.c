#include "notifier/view.h"

/* Walks a (time, id) table from the newest and unpacks what the ids name. */
struct walk {
	struct store_txn *txn;
	const struct view_filter *filter;
	struct arena arena;
	json_t *list;
};

static bool is_full(const struct walk *w)
{
	return w->filter->limit && json_array_size(w->list) >= w->filter->limit;
}

static void id_of_time_key(const void *key, size_t key_len, char out[static TOKEN_MAX + 1])
{
	size_t len = key_len > 8 ? MIN(key_len - 8, (size_t)TOKEN_MAX) : 0;
	memset(out, 0, TOKEN_MAX + 1);
	memcpy(out, (const char *)key + 8, len);
}

static json_t *walk_newest(struct store_txn *txn, const struct store_table *table,
			   const struct view_filter *filter, store_visit *visit)
{
	struct walk w = {.txn = txn, .filter = filter, .list = json_array()};
	struct store_range range = {.backwards = true};
	store_each(txn, table, &range, visit, &w);
	arena_release(&w.arena);
	return w.list;
}

static json_t *wrap(const char *name, json_t *list)
{
	return json_pack("{s:o}", name, list);
}

/* ---- incidents ---- */

static int incident_visit(void *ctx, const void *key, size_t key_len, struct store_val val UNUSED)
{
	struct walk *w = ctx;
	char id[TOKEN_MAX + 1];
	arena_reset(&w->arena);
	id_of_time_key(key, key_len, id);
	Healbus__Incident *i =
		row_get(w->txn, &table_incidents, id, Healbus__Incident, incident, &w->arena);
	if (!i)
		return 0;
	const char *state = wire_enum_name(&healbus__incident_state__descriptor, (int)i->state);
	if (w->filter->state && !str_eq(w->filter->state, state))
		return 0;
	i->n_events = 0;
	json_t *one = wire_to_json(&i->base);
	json_object_del(one, "events");
	json_array_append_new(w->list, one);
	return is_full(w);
}

json_t *view_incidents(struct store_txn *txn, const struct view_filter *filter)
{
	return wrap("incidents", walk_newest(txn, &table_by_time, filter, incident_visit));
}

json_t *view_incident(struct store_txn *txn, const char *id)
{
	struct arena arena = {0};
	Healbus__Incident *i =
		row_get(txn, &table_incidents, id, Healbus__Incident, incident, &arena);
	json_t *out = i ? wire_to_json(&i->base) : NULL;
	arena_release(&arena);
	return out;
}

json_t *view_counts(struct store_txn *txn)
{
	static const Healbus__IncidentState states[] = {
		HEALBUS__INCIDENT_STATE__INCIDENT_OPEN,
		HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED,
		HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED,
		HEALBUS__INCIDENT_STATE__INCIDENT_SUPPRESSED,
	};
	json_t *out = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		json_object_set_new(
			out, wire_enum_name(&healbus__incident_state__descriptor, (int)states[i]),
			json_integer((json_int_t)count_get(txn, (int)states[i])));
	return out;
}

/* ---- the machinery ---- */

json_t *view_paused(struct store_txn *txn)
{
	struct arena arena = {0};
	const Healbus__Control *c =
		row_get(txn, &table_machinery, "pause", Healbus__Control, control, &arena);
	json_t *out = json_object();
	bool on = c && c->kind == HEALBUS__CONTROL_KIND__CONTROL_PAUSE;
	json_object_set_new(out, "on", json_boolean(on));
	if (c) {
		json_object_set_new(out, "by", json_string(str_or_empty(c->by)));
		json_object_set_new(out, "at_ms", json_integer(c->at_ms));
		json_object_set_new(out, "reason", json_string(str_or_empty(c->reason)));
	}
	arena_release(&arena);
	return out;
}

struct catalogues {
	struct arena arena;
	const Healbus__Control *newest;
	json_t *list;
};

static int catalogue_visit(void *ctx, const void *key UNUSED, size_t key_len UNUSED,
			   struct store_val val)
{
	struct catalogues *all = ctx;
	const Healbus__Control *c = (const Healbus__Control *)row_unpack(
		val, &healbus__control__descriptor, &all->arena);
	if (!c)
		return 0;
	if (!all->newest || c->at_ms >= all->newest->at_ms)
		all->newest = c;
	json_array_append_new(all->list,
			      json_pack("{s:s,s:I,s:I}", "executor", str_or_empty(c->executor),
					"at_ms", (json_int_t)c->at_ms, "tools",
					(json_int_t)c->n_tools));
	return 0;
}

static void catalogues_walk(struct store_txn *txn, struct catalogues *all)
{
	struct store_range range = {.prefix = "tools:", .prefix_len = 6};
	all->list = json_array();
	store_each(txn, &table_machinery, &range, catalogue_visit, all);
}

json_t *view_executors(struct store_txn *txn)
{
	struct catalogues all = {0};
	catalogues_walk(txn, &all);
	arena_release(&all.arena);
	return all.list;
}

json_t *view_tools(struct store_txn *txn)
{
	struct catalogues all = {0};
	json_t *tools = json_array();
	catalogues_walk(txn, &all);
	for (size_t i = 0; all.newest && i < all.newest->n_tools; i++)
		json_array_append_new(tools, wire_to_json(&all.newest->tools[i]->base));
	view_tool_rates(txn, tools);
	json_decref(all.list);
	arena_release(&all.arena);
	return wrap("tools", tools);
}

/* ---- approvals ---- */

size_t view_pending(struct store_txn *txn)
{
	return store_count(txn, &table_pending);
}

static json_t *approval_json(struct store_txn *txn, const char *id, struct arena *arena)
{
	const Healbus__ApprovalRequest *a = row_get(
		txn, &table_approvals, id, Healbus__ApprovalRequest, approval_request, arena);
	if (!a)
		return NULL;
	json_t *out = wire_to_json(&a->base);
	const Healbus__Incident *i = row_get(txn, &table_incidents, str_or_empty(a->incident),
					     Healbus__Incident, incident, arena);
	if (i)
		json_object_set_new(out, "title", json_string(str_or_empty(i->title)));
	return out;
}

json_t *view_approvals(struct store_txn *txn)
{
	auto_keys ids = {0};
	struct arena arena = {0};
	json_t *list = json_array();
	keys_collect(txn, &table_pending, NULL, 0, &ids);
	for (size_t i = 0; i < ids.n; i++) {
		json_t *one = approval_json(txn, ids.items[i].bytes, &arena);
		if (one)
			json_array_append_new(list, one);
		arena_reset(&arena);
	}
	arena_release(&arena);
	return wrap("approvals", list);
}

/* ---- silences ---- */

struct silences_walk {
	bool all;
	int64_t now_ms;
	struct arena arena;
	json_t *list;
};

static int silence_visit(void *ctx, const void *key UNUSED, size_t key_len UNUSED,
			 struct store_val val)
{
	struct silences_walk *w = ctx;
	arena_reset(&w->arena);
	const Healbus__Silence *s =
		(const Healbus__Silence *)row_unpack(val, &healbus__silence__descriptor, &w->arena);
	if (!s || (!w->all && s->ends_at_ms <= w->now_ms))
		return 0;
	json_t *one = wire_to_json(&s->base);
	json_object_set_new(
		one, "active",
		json_boolean(s->starts_at_ms <= w->now_ms && s->ends_at_ms > w->now_ms));
	json_array_append_new(w->list, one);
	return 0;
}

json_t *view_silences(struct store_txn *txn, bool all, int64_t now_ms)
{
	struct silences_walk w = {.all = all, .now_ms = now_ms, .list = json_array()};
	struct store_range range = {0};
	store_each(txn, &table_silences, &range, silence_visit, &w);
	arena_release(&w.arena);
	return wrap("silences", w.list);
}

/* ---- changes ---- */

static int change_visit(void *ctx, const void *key, size_t key_len, struct store_val val UNUSED)
{
	struct walk *w = ctx;
	char id[TOKEN_MAX + 1];
	arena_reset(&w->arena);
	id_of_time_key(key, key_len, id);
	const Healbus__Outcome *o =
		row_get(w->txn, &table_changes, id, Healbus__Outcome, outcome, &w->arena);
	if (!o || !o->n_changes)
		return 0;
	const Healbus__Change *c = o->changes[0];
	bool undone = c->undone_by && *c->undone_by;
	json_t *one = wire_to_json(&c->base);
	json_object_set_new(one, "incident", json_string(str_or_empty(o->incident)));
	json_object_set_new(one, "plan_id", json_string(str_or_empty(o->plan_id)));
	json_object_set_new(one, "undoable", json_boolean(c->undo && !undone));
	json_object_set_new(one, "undone_by", undone ? json_string(c->undone_by) : json_null());
	json_array_append_new(w->list, one);
	return is_full(w);
}

json_t *view_changes(struct store_txn *txn, size_t limit)
{
	struct view_filter filter = {.limit = limit};
	return wrap("changes", walk_newest(txn, &table_changes_by_time, &filter, change_visit));
}

/* ---- plans ---- */

const char *view_plan_state(const struct plan_row *row)
{
	if (row->outcome_seq)
		return wire_enum_name(&healbus__verdict__descriptor, (int)row->verdict);
	if (row->started)
		return "running";
	if (row->decision_seq && row->decision == HEALBUS__DECISION_VERDICT__DECISION_APPROVE)
		return "approved";
	if (row->decision_seq && row->decision == HEALBUS__DECISION_VERDICT__DECISION_DENY)
		return "denied";
	if (row->decision_seq)
		return "expired";
	return row->approval_seq ? "pending" : "planned";
}

static int last_visit(void *ctx, const void *key UNUSED, size_t key_len UNUSED,
		      struct store_val val)
{
	char *out = ctx;
	memset(out, 0, TOKEN_MAX + 1);
	memcpy(out, val.data, MIN(val.len, (size_t)TOKEN_MAX));
	return 1;
}

bool view_last_plan(struct store_txn *txn, const char *incident, char out[static TOKEN_MAX + 1])
{
	struct key prefix = key_ref(incident, REF_PLAN, "");
	struct store_range range = {
		.prefix = prefix.bytes, .prefix_len = prefix.len, .backwards = true};
	*out = '\0';
	store_each(txn, &table_refs, &range, last_visit, out);
	return *out;
}

bool view_approval_of(struct store_txn *txn, const char *incident, char out[static TOKEN_MAX + 1])
{
	auto_keys refs = {0};
	struct store_val val;
	struct key prefix = key_ref(incident, REF_APPROVAL, "");
	keys_collect(txn, &table_refs, prefix.bytes, prefix.len, &refs);
	for (size_t i = 0; i < refs.n; i++) {
		const char *id = key_name(&refs.items[i]) + 1;
		if (!store_get_str(txn, &table_pending, id, &val)) {
			token_copy(out, id);
			return true;
		}
	}
	char plan[TOKEN_MAX + 1];
	struct plan_row row;
	if (!view_last_plan(txn, incident, plan) ||
	    !row_struct(txn, &table_plans, plan, &row, sizeof(row)) || !*row.approval)
		return false;
	token_copy(out, row.approval);
	return true;
}
