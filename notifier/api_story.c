#include "notifier/story_read.h"
#include "notifier/view.h"

void entries_add(struct entries *all, const struct entry *e)
{
	if (all->n == all->cap) {
		all->cap = all->cap ? all->cap * 2 : 32;
		all->items = mem_realloc(all->items, all->cap * sizeof(*e));
	}
	all->items[all->n++] = *e;
}

void entries_release(struct entries *all)
{
	free(all->items);
	*all = (struct entries){0};
}

static int entry_visit(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct entries *all = ctx;
	struct entry e = {0};
	if (key_len < 8 || val.len != sizeof(e.row))
		return 0;
	e.seq = store_key64_value((const char *)key + key_len - 8);
	memcpy(&e.row, val.data, sizeof(e.row));
	if (e.seq <= all->after)
		return 0;
	entries_add(all, &e);
	return all->n == STORY_MAX;
}

void story_entries(struct store_txn *txn, const char *incident, struct entries *all)
{
	struct key prefix = key_owner(incident), from = key_story(incident, all->after);
	struct store_range range = {.prefix = prefix.bytes,
				    .prefix_len = prefix.len,
				    .from = from.bytes,
				    .from_len = from.len};
	store_each(txn, &table_story, &range, entry_visit, all);
}

json_t *story_message(struct api_call *call, uint64_t seq, const uint64_t *id_hash,
		      struct why *out_why)
{
	struct bus_delivery d = {0};
	struct topic topic;
	ProtobufCMessage *msg = NULL;
	int rc = bus_get(stage_bus(call->stage), STREAM_STORY, seq, &d, out_why);
	if (rc)
		return NULL;
	arena_reset(&call->arena);
	/* The fold gave a message without an id one that only it knows. */
	bool same = !id_hash || !*d.id || fnv1a(FNV_INIT, d.id, strlen(d.id)) == *id_hash;
	rc = same ? topic_parse(d.subject, &topic) : ERR_NOT_FOUND;
	if (!rc)
		rc = wire_unpack(topic.kind, d.data, d.len, &call->arena, &msg, out_why);
	json_t *out = rc ? NULL : wire_to_json(msg);
	bus_delivery_free(&d);
	return out;
}

static json_t *entry_json(struct api_call *call, const struct entry *e)
{
	struct why why = {0};
	json_t *message = story_message(call, e->seq, &e->row.id_hash, &why);
	const char *kind = kind_name((enum kind)e->row.kind);
	json_t *out = json_pack("{s:I,s:I,s:s}", "seq", (json_int_t)e->seq, "time_ms",
				(json_int_t)e->row.time_ms, "kind", kind ? kind : "unknown");
	json_object_set_new(out, "message", message ? message : json_null());
	return out;
}

void api_story(struct api_call *call)
{
	char id[TOKEN_MAX + 1];
	struct entries all = {.after = api_limit(call, "after", 0, SIZE_MAX)};
	auto_txn txn = api_read(call);
	if (api_find(call, txn, &table_incidents, http_wildcard(call->req), id))
		return;
	story_entries(txn, id, &all);
	json_t *incident = view_incident(txn, id), *story = json_array();
	store_end(txn);
	txn = NULL;
	for (size_t i = 0; i < all.n; i++)
		json_array_append_new(story, entry_json(call, &all.items[i]));
	entries_release(&all);
	api_reply(call, 200, json_pack("{s:o,s:o}", "incident", incident, "story", story));
}

/* ---- plans ---- */

static int plan_find(struct api_call *call, struct store_txn *txn, const char *prefix,
		     char out[static TOKEN_MAX + 1])
{
	char incident[TOKEN_MAX + 1];
	auto_buf candidates = {0};
	if (!id_find(txn, &table_incidents, prefix, incident, &candidates) &&
	    view_last_plan(txn, incident, out))
		return 0;
	return api_find(call, txn, &table_plans, prefix, out);
}

static void plan_part(struct api_call *call, json_t *out, const char *name, uint64_t seq)
{
	struct why why = {0};
	json_t *part = seq ? story_message(call, seq, NULL, &why) : NULL;
	if (part)
		json_object_set_new(out, name, part);
}

/* Of this plan: what its steps reported, and what models were asked for its attempt. */
static bool part_of(const json_t *message, const char *plan, uint32_t attempt, bool is_step)
{
	const char *of = json_string_value(json_object_get(message, "plan_id"));
	const char *state = json_string_value(json_object_get(message, "state"));
	if (is_step)
		return of && str_eq(of, plan);
	return state && str_eq(state, "exchanged") &&
	       json_integer_value(json_object_get(message, "attempt")) == (json_int_t)attempt;
}

static void plan_parts(struct api_call *call, json_t *out, const char *id,
		       const struct plan_row *row)
{
	struct entries all = {0};
	json_t *steps = json_array(), *exchanges = json_array();
	json_int_t cost = 0;
	auto_txn txn = api_read(call);
	story_entries(txn, row->incident, &all);
	store_end(txn);
	txn = NULL;
	for (size_t i = 0; i < all.n; i++) {
		const struct entry *e = &all.items[i];
		struct why why = {0};
		bool is_step = e->row.kind == KIND_STEP;
		json_t *m = is_step || e->row.kind == KIND_MODEL
				    ? story_message(call, e->seq, &e->row.id_hash, &why)
				    : NULL;
		if (m && part_of(m, id, row->attempt, is_step)) {
			cost += json_integer_value(json_object_get(m, "cost_micro_usd"));
			json_array_append(is_step ? steps : exchanges, m);
		}
		json_decref(m);
	}
	entries_release(&all);
	json_object_set_new(out, "steps", steps);
	json_object_set_new(out, "exchanges", exchanges);
	json_object_set_new(out, "cost_micro_usd", json_integer(cost));
}

void api_plan(struct api_call *call)
{
	char id[TOKEN_MAX + 1], digest[2 * DIGEST_BYTES + 1];
	struct plan_row row = {0};
	struct why why = {0};
	auto_txn txn = api_read(call);
	if (plan_find(call, txn, http_wildcard(call->req), id))
		return;
	row_struct(txn, &table_plans, id, &row, sizeof(row));
	store_end(txn);
	txn = NULL;
	json_t *plan = story_message(call, row.seq, NULL, &why);
	if (!plan) {
		api_fail(call, ERR_UNAVAILABLE, &why);
		return;
	}
	hex_encode(row.digest, DIGEST_BYTES, digest);
	json_t *out = json_pack("{s:o,s:s,s:I,s:s}", "plan", plan, "digest", digest, "seq",
				(json_int_t)row.seq, "state", view_plan_state(&row));
	plan_part(call, out, "approval", row.approval_seq);
	plan_part(call, out, "decision", row.decision_seq);
	plan_part(call, out, "outcome", row.outcome_seq);
	plan_parts(call, out, id, &row);
	api_reply(call, 200, out);
}
