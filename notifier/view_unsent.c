#include "notifier/view.h"

struct unsent_walk {
	struct store_txn *txn;
	struct arena arena;
	json_t *list;
	size_t limit;
	int64_t now_ms;
	size_t counted;
};

/* The notice a row of table_unsent stands for; *out_since_ms: since when nobody got it. */
static const Healbus__Notice *notice_of(struct unsent_walk *w, const void *key, size_t key_len,
					struct store_val val, int64_t *out_since_ms)
{
	char id[TOKEN_MAX + 1] = "";
	struct unsent_row row;
	bool kept = val.len == sizeof(row);
	if (kept) {
		memcpy(&row, val.data, sizeof(row));
		token_copy(id, row.notice);
	} else {
		memcpy(id, (const char *)key + 2, MIN(key_len - 2, (size_t)TOKEN_MAX));
	}
	arena_reset(&w->arena);
	const Healbus__Notice *n =
		row_get(w->txn, &table_notices, id, Healbus__Notice, notice, &w->arena);
	*out_since_ms = kept ? row.since_ms : n ? n->at_ms : 0;
	return n;
}

/* All channels that failed to take what this notice says. */
static json_t *channels_of(struct unsent_walk *w, const Healbus__Notice *n)
{
	auto_keys refs = {0};
	struct notice_row meta, of;
	json_t *out = json_array();
	struct key prefix = key_ref(str_or_empty(n->incident), REF_NOTICE, "");
	if (row_struct(w->txn, &table_notice_meta, n->id, &of, sizeof(of)))
		keys_collect(w->txn, &table_refs, prefix.bytes, prefix.len, &refs);
	for (size_t i = 0; i < refs.n; i++) {
		const char *id = key_name(&refs.items[i]) + 1;
		const Healbus__Notice *other =
			row_get(w->txn, &table_notices, id, Healbus__Notice, notice, &w->arena);
		if (other && other->state == HEALBUS__NOTICE_STATE__NOTICE_FAILED &&
		    row_struct(w->txn, &table_notice_meta, id, &meta, sizeof(meta)) &&
		    str_eq(meta.base, of.base))
			json_array_append_new(out, json_string(str_or_empty(other->channel)));
	}
	return out;
}

static int list_visit(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct unsent_walk *w = ctx;
	int64_t since_ms;
	const Healbus__Notice *n = notice_of(w, key, key_len, val, &since_ms);
	if (!n)
		return 0;
	json_array_append_new(
		w->list,
		json_pack("{s:s,s:s,s:o,s:s,s:s,s:s,s:I,s:s,s:s}", "id", n->id, "incident",
			  str_or_empty(n->incident), "channels",
			  val.len ? channels_of(w, n) : json_pack("[s]", str_or_empty(n->channel)),
			  "kind", str_or_empty(n->kind), "subject", str_or_empty(n->subject),
			  "approval", str_or_empty(n->approval), "since_ms", (json_int_t)since_ms,
			  "state", val.len ? "failed" : "queued", "error", str_or_empty(n->error)));
	return json_array_size(w->list) >= w->limit;
}

json_t *view_unsent(struct store_txn *txn, size_t limit)
{
	struct unsent_walk w = {.txn = txn, .list = json_array(), .limit = limit};
	struct store_range kept = {.prefix = UNSENT_KEPT, .prefix_len = strlen(UNSENT_KEPT)};
	struct store_range queued = {.prefix = UNSENT_QUEUED, .prefix_len = strlen(UNSENT_QUEUED)};
	if (limit)
		store_each(txn, &table_unsent, &kept, list_visit, &w);
	if (json_array_size(w.list) < limit)
		store_each(txn, &table_unsent, &queued, list_visit, &w);
	arena_release(&w.arena);
	return json_pack("{s:o}", "undelivered", w.list);
}

static int count_visit(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct unsent_walk *w = ctx;
	int64_t since_ms;
	const Healbus__Notice *n = val.len ? NULL : notice_of(w, key, key_len, val, &since_ms);
	w->counted += val.len || (n && w->now_ms - since_ms >= UNSENT_SHOWN_MS);
	return w->counted >= UNSENT_COUNT_MAX;
}

static size_t count(struct store_txn *txn, const char *prefix, int64_t now_ms)
{
	struct unsent_walk w = {.txn = txn, .now_ms = now_ms};
	struct store_range range = {.prefix = prefix, .prefix_len = strlen(prefix)};
	store_each(txn, &table_unsent, &range, count_visit, &w);
	arena_release(&w.arena);
	return w.counted;
}

struct unsent_counts view_unsent_counts(struct store_txn *txn, int64_t now_ms)
{
	return (struct unsent_counts){count(txn, UNSENT_QUEUED, now_ms),
				      count(txn, UNSENT_KEPT, now_ms)};
}
