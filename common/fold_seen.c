#include "common/fold_private.h"

/* For so long after the bus went back, in the stream's time, ids are looked at. */
#define BACK_NS (INT64_C(86400) * 1000000000)

struct id_hash id_hash(const char *id)
{
	size_t len = strlen(id);
	struct id_hash h = {fnv1a(FNV_INIT, id, len),
			    fnv1a(FNV_INIT ^ UINT64_C(0x9e3779b97f4a7c15), id, len)};
	if (h.a == 0 && h.b == 0)
		h.b = 1;
	return h;
}

static size_t slot_of(const struct id_set *s, struct id_hash h)
{
	size_t i = (size_t)(h.a ^ (h.a >> 32)) & (s->cap - 1);
	while ((s->slots[i].a || s->slots[i].b) && (s->slots[i].a != h.a || s->slots[i].b != h.b))
		i = (i + 1) & (s->cap - 1);
	return i;
}

static void grow(struct id_set *s)
{
	struct id_set bigger = {.cap = s->cap ? s->cap * 2 : 1024, .n = s->n};
	bigger.slots = mem_calloc(bigger.cap, sizeof(*bigger.slots));
	for (size_t i = 0; i < s->cap; i++)
		if (s->slots[i].a || s->slots[i].b)
			bigger.slots[slot_of(&bigger, s->slots[i])] = s->slots[i];
	free(s->slots);
	*s = bigger;
}

static void id_set_add(struct id_set *s, struct id_hash h)
{
	if ((s->n + 1) * 4 > s->cap * 3)
		grow(s);
	size_t i = slot_of(s, h);
	if (s->slots[i].a || s->slots[i].b)
		return;
	s->slots[i] = h;
	s->n++;
}

bool id_set_has(const struct id_set *s, struct id_hash h)
{
	if (s->n == 0)
		return false;
	size_t i = slot_of(s, h);
	return s->slots[i].a || s->slots[i].b;
}

void id_set_release(struct id_set *s)
{
	free(s->slots);
	*s = (struct id_set){0};
}

/* ---- known outputs ---- */

void fold_known_outputs_add(struct fold *f, const char *id)
{
	id_set_add(&f->known, id_hash(id));
}

void fold_known_outputs_clear(struct fold *f)
{
	id_set_release(&f->known);
}

/* ---- applied inputs: one row a batch, {ns of the last message, hashes} ---- */

void fold_seen_note(struct fold *f, struct id_hash h)
{
	buf_add(&f->seen, &h, sizeof(h));
	if (f->skip.n > 0)
		id_set_add(&f->skip, h);
}

static bool batch_is_old(struct fold *f, struct store_key64 key)
{
	struct store_val v;
	int64_t ns = 0;
	if (store_get(f->txn, &fold_seen_table, &key, sizeof(key), &v) || v.len < sizeof(ns))
		return true;
	memcpy(&ns, v.data, sizeof(ns));
	return ns < f->work.stream_ns - (f->retain_ms + FOLD_SEEN_MS) * 1000000;
}

void fold_seen_flush(struct fold *f)
{
	if (f->seen.len == 0)
		return;
	auto_buf row = {0};
	buf_add(&row, &f->work.stream_ns, sizeof(f->work.stream_ns));
	buf_add(&row, f->seen.data, f->seen.len);
	struct store_key64 key = store_key64(f->work.seen_next++);
	store_put(f->txn, &fold_seen_table, &key, sizeof(key), row.data, row.len);
	buf_reset(&f->seen);
	for (unsigned i = 0; i < 4; i++) {
		key = store_key64(f->work.seen_first);
		if (f->work.seen_next - f->work.seen_first <= FOLD_SEEN_BATCHES ||
		    !batch_is_old(f, key))
			return;
		store_del(f->txn, &fold_seen_table, &key, sizeof(key));
		f->work.seen_first++;
	}
}

static int load_batch(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	(void)key;
	(void)key_len;
	struct fold *f = ctx;
	const char *data = val.data;
	for (size_t at = sizeof(int64_t); at + sizeof(struct id_hash) <= val.len;
	     at += sizeof(struct id_hash)) {
		struct id_hash h;
		memcpy(&h, data + at, sizeof(h));
		id_set_add(&f->skip, h);
	}
	return 0;
}

int fold_skip_seen(struct fold *f, struct why *out_why)
{
	auto_txn txn = store_begin_read(f->store);
	int rc = store_each(txn, &fold_seen_table, &(struct store_range){0}, load_batch, f);
	if (rc)
		return why_set(out_why, rc, "fold %s: ids of applied messages", f->def->name);
	f->meta.back_until_ns = f->meta.stream_ns + BACK_NS;
	return 0;
}

/* Events that are repeated keep their id: one that is newer than all that was read when the bus
 * went back is a repeat, and not what was lost. */
bool fold_seen_before(const struct fold *f, const struct fold_message *m, struct id_hash h)
{
	int64_t back_ms = (f->work.back_until_ns - BACK_NS) / 1000000;
	if (!id_set_has(&f->skip, h))
		return false;
	return !f->def->partitioned || m->time_ms <= back_ms + FOLD_BACK_MARGIN_MS;
}
