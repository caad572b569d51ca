#include "notifier/api.h"
#include "notifier/view.h"

enum { STORY_MAX = 2000 };

/* What the index says of one message of a story. */
struct entry {
	uint64_t seq;
	struct story_row row;
};

struct entries {
	struct entry *items;
	size_t n, cap;
	uint64_t after;
};

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
	if (all->n == all->cap) {
		all->cap = all->cap ? all->cap * 2 : 32;
		all->items = mem_realloc(all->items, all->cap * sizeof(e));
	}
	all->items[all->n++] = e;
	return all->n == STORY_MAX;
}

/* The message at seq as JSON; NULL when the stream no longer has that very message. */
static json_t *message_json(struct api_call *call, uint64_t seq, const uint64_t *id_hash,
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
	json_t *message = message_json(call, e->seq, &e->row.id_hash, &why);
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
	struct key prefix = key_owner(id), from = key_story(id, all.after);
	struct store_range range = {.prefix = prefix.bytes,
				    .prefix_len = prefix.len,
				    .from = from.bytes,
				    .from_len = from.len};
	store_each(txn, &table_story, &range, entry_visit, &all);
	json_t *incident = view_incident(txn, id), *story = json_array();
	store_end(txn);
	txn = NULL;
	for (size_t i = 0; i < all.n; i++)
		json_array_append_new(story, entry_json(call, &all.items[i]));
	free(all.items);
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
	json_t *part = seq ? message_json(call, seq, NULL, &why) : NULL;
	if (part)
		json_object_set_new(out, name, part);
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
	json_t *plan = message_json(call, row.seq, NULL, &why);
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
	api_reply(call, 200, out);
}
