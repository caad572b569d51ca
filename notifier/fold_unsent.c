#include "notifier/saying.h"

/*
 * What nobody has got yet. A notice is in table_unsent while it is under way; one that every
 * channel of its receiver failed to take is kept, and said anew after pauses that grow, or as soon
 * as one of these channels takes something else.
 */

enum {
	AGAIN_MS = 30 * 1000,
	AGAIN_QUESTION_MAX_MS = 60 * 1000, /* its deadline comes */
	AGAIN_MAX_MS = 3600 * 1000,
	AGAIN_DOUBLINGS = 7,
	WAKE_ROUNDS = 4, /* what failed more often is left to its pauses */
	WAKE_MAX = 256,  /* notices woken at a time */
};

static bool is_question(const Healbus__Notice *n)
{
	return n->approval && *n->approval && !str_eq(str_or_empty(n->kind), "decided");
}

static void name_of(const char *tag, const char *id, char out[static UNSENT_KEY_BYTES])
{
	snprintf(out, UNSENT_KEY_BYTES, "%s%s", tag, id);
}

static bool kept_get(struct fold *f, const char *base, struct unsent_row *out)
{
	char key[UNSENT_KEY_BYTES];
	name_of(UNSENT_KEPT, base, key);
	return row_struct(fold_txn(f), &table_unsent, key, out, sizeof(*out));
}

static void kept_put(struct fold *f, const char *base, const struct unsent_row *row)
{
	char key[UNSENT_KEY_BYTES];
	name_of(UNSENT_KEPT, base, key);
	store_put_str(fold_txn(f), &table_unsent, key, row, sizeof(*row));
	if (row->due_ms)
		fold_timer_set(f, key, row->due_ms);
}

static void kept_drop(struct fold *f, const char *base)
{
	char key[UNSENT_KEY_BYTES];
	name_of(UNSENT_KEPT, base, key);
	fold_timer_cancel(f, key);
	store_del_str(fold_txn(f), &table_unsent, key);
}

static bool meta_get(struct fold *f, const char *notice, struct notice_row *out)
{
	return row_struct(fold_txn(f), &table_notice_meta, notice, out, sizeof(*out));
}

/* ---- under way ---- */

void unsent_queued(struct fold *f, const Healbus__Notice *n)
{
	char key[UNSENT_KEY_BYTES];
	name_of(UNSENT_QUEUED, n->id, key);
	store_put_str(fold_txn(f), &table_unsent, key, "", 0);
}

void unsent_ended(struct fold *f, const char *notice)
{
	char key[UNSENT_KEY_BYTES];
	name_of(UNSENT_QUEUED, notice, key);
	store_del_str(fold_txn(f), &table_unsent, key);
}

/* ---- all its channels failed ---- */

static int64_t pause_ms(const Healbus__Notice *n, uint32_t round)
{
	int64_t cap = is_question(n) ? AGAIN_QUESTION_MAX_MS : AGAIN_MAX_MS;
	return MIN(cap, (int64_t)AGAIN_MS << MIN(round, (uint32_t)AGAIN_DOUBLINGS));
}

void unsent_keep(struct fold *f, const Healbus__Notice *n)
{
	struct unsent_row row = {0};
	struct notice_row meta;
	if (!meta_get(f, n->id, &meta))
		return;
	if (!kept_get(f, meta.base, &row)) {
		memset(&row, 0, sizeof(row));
		row.since_ms = fold_now_ms(f);
	}
	memcpy(row.receiver, meta.receiver, sizeof(row.receiver));
	snprintf(row.notice, sizeof(row.notice), "%.*s", ID_LEN, n->id);
	row.due_ms = fold_now_ms(f) + pause_ms(n, row.round);
	kept_put(f, meta.base, &row);
}

void unsent_forget(struct fold *f, const char *notice)
{
	struct notice_row meta;
	unsent_ended(f, notice);
	if (meta_get(f, notice, &meta))
		kept_drop(f, meta.base);
}

/* ---- said anew ---- */

static void say_again(struct fold *f, const Healbus__Notice *n, const struct receiver *r,
		      const char *base)
{
	struct buf subject = {.data = n->subject, .len = strlen(str_or_empty(n->subject))};
	struct buf text = {.data = n->text, .len = strlen(str_or_empty(n->text))};
	struct saying s = {
		.receiver = r,
		.incident = n->incident,
		.kind = n->kind,
		.approval = n->approval,
		.severity = n->severity,
		.subject = &subject,
		.text = &text,
		.incidents = n->incidents,
		.n_incidents = n->n_incidents,
		.to = n->to,
		.n_to = n->n_to,
		.repeated = n->repeated,
	};
	memcpy(s.base, base, sizeof(s.base));
	saying_emit(f, &s, n->channel);
}

/* Those of one saying that failed, but for fallbacks: they get it after these, if need be. */
static size_t say_failed(struct fold *f, const struct receiver *r, const Healbus__Notice *of,
			 const char *base, const char *new_base)
{
	auto_keys refs = {0};
	size_t said = 0;
	struct notice_row meta;
	struct key prefix = key_ref(of->incident, REF_NOTICE, "");
	keys_collect(fold_txn(f), &table_refs, prefix.bytes, prefix.len, &refs);
	for (size_t i = 0; i < refs.n; i++) {
		const char *id = key_name(&refs.items[i]) + 1;
		if (!meta_get(f, id, &meta) || !str_eq(meta.base, base))
			continue;
		const Healbus__Notice *n = row_get(fold_txn(f), &table_notices, id, Healbus__Notice,
						   notice, fold_arena(f));
		if (!n || n->state != HEALBUS__NOTICE_STATE__NOTICE_FAILED ||
		    words_have(&r->fallback, str_or_empty(n->channel)))
			continue;
		say_again(f, n, r, new_base);
		said++;
	}
	return said;
}

/* The receiver may have been renamed in the meantime. */
static const struct receiver *receiver_of(struct fold *f, const struct unsent_row *row)
{
	const struct rules *rules = rules_of(fold_config(f));
	const struct receiver *r = receiver_find(&rules->receivers, row->receiver);
	if (r || !rules->route.receiver)
		return r;
	return receiver_find(&rules->receivers, rules->route.receiver);
}

void unsent_due(struct fold *f, const char *base)
{
	struct unsent_row row;
	char new_base[ID_BYTES];
	if (!kept_get(f, base, &row))
		return;
	const Healbus__Notice *n = row_get(fold_txn(f), &table_notices, row.notice, Healbus__Notice,
					   notice, fold_arena(f));
	const struct receiver *r = receiver_of(f, &row);
	kept_drop(f, base);
	if (!n || (is_question(n) && !approval_open(f, n->approval)))
		return;
	if (!r) {
		row.due_ms = fold_now_ms(f) + AGAIN_MAX_MS;
		kept_put(f, base, &row);
		return;
	}
	id_make(new_base, "again", base);
	row.round++;
	row.due_ms = 0;
	kept_put(f, new_base, &row);
	if (!say_failed(f, r, n, base, new_base))
		say_again(f, n, r, new_base);
}

/* ---- a channel lives ---- */

static bool goes_to(struct fold *f, const struct unsent_row *row, const char *channel)
{
	const struct receiver *r = receiver_of(f, row);
	return r && (words_have(&r->channels, channel) || words_have(&r->fallback, channel));
}

static void wake(struct fold *f, const char *channel)
{
	auto_keys kept = {0};
	size_t woken = 0;
	keys_collect(fold_txn(f), &table_unsent, UNSENT_KEPT, sizeof(UNSENT_KEPT) - 1, &kept);
	for (size_t i = 0; i < kept.n && woken < WAKE_MAX; i++) {
		const char *base = kept.items[i].bytes + sizeof(UNSENT_KEPT) - 1;
		struct unsent_row row;
		if (!kept_get(f, base, &row) || row.due_ms <= fold_now_ms(f) ||
		    row.round >= WAKE_ROUNDS || !goes_to(f, &row, channel))
			continue;
		row.due_ms = fold_now_ms(f);
		kept_put(f, base, &row);
		woken++;
	}
}

void unsent_sent(struct fold *f, const Healbus__Notice *n)
{
	struct notice_row meta;
	struct unsent_row row;
	if (meta_get(f, n->id, &meta) && kept_get(f, meta.base, &row))
		kept_drop(f, meta.base);
	wake(f, str_or_empty(n->channel));
}
