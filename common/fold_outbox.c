#include "common/fold_private.h"

/* A row: the head, then subject, id and cause with their NULs, then data. */
struct row_head {
	int64_t time_ms;
	uint32_t data_len;
	uint16_t subject_bytes, id_bytes, cause_bytes, zero;
};

enum { LONG_ID = 100 };

/* ---- writing ---- */

/* The place in the stream is part of it, since a stream takes the same id again once its duplicate
 * window is over: an alert that is repeated for hours, a tick said anew after a restart. */
static void output_id(struct fold *f, char *out, size_t size)
{
	char short_id[ID_BYTES];
	const char *base = f->input_id;
	if (strlen(base) > LONG_ID) {
		id_make(short_id, "out", base);
		base = short_id;
	}
	snprintf(out, size, "%s@%" PRIu64 ":%s:%u", base, f->work.seq, f->def->name, f->outputs++);
}

void fold_rows_add(struct fold *f, const char *subject, const void *data, size_t len)
{
	char id[256];
	output_id(f, id, sizeof(id));
	if (id_set_has(&f->known, id_hash(id)))
		return;
	struct row_head head = {.time_ms = f->work.time_ms,
				.data_len = (uint32_t)len,
				.subject_bytes = (uint16_t)(strlen(subject) + 1),
				.id_bytes = (uint16_t)(strlen(id) + 1),
				.cause_bytes = (uint16_t)(strlen(f->input_id) + 1)};
	size_t bytes = sizeof(head) + head.subject_bytes + head.id_bytes + head.cause_bytes + len;
	buf_add(&f->rows, &bytes, sizeof(bytes));
	buf_add(&f->rows, &head, sizeof(head));
	buf_add(&f->rows, subject, head.subject_bytes);
	buf_add(&f->rows, id, head.id_bytes);
	buf_add(&f->rows, f->input_id, head.cause_bytes);
	buf_add(&f->rows, data, len);
}

/* ---- rows ---- */

static int row_parse(struct store_val val, struct fold_row *out)
{
	struct row_head head;
	if (val.len < sizeof(head))
		return ERR_CORRUPT;
	memcpy(&head, val.data, sizeof(head));
	const char *subject = (const char *)val.data + sizeof(head);
	const char *id = subject + head.subject_bytes;
	const char *cause = id + head.id_bytes;
	const char *data = cause + head.cause_bytes;
	if (val.len != (size_t)(data - (const char *)val.data) + head.data_len)
		return ERR_CORRUPT;
	out->msg = (struct fold_message){.subject = subject,
					 .id = id,
					 .time_ms = head.time_ms,
					 .data = data,
					 .len = head.data_len};
	out->cause = cause;
	return 0;
}

/* To the outbox, or to whoever wants them. */
void fold_rows_flush(struct fold *f)
{
	for (size_t at = 0, bytes; at < f->rows.len; at += bytes) {
		struct fold_row row = {.row = f->work.next_row};
		struct store_key64 key = store_key64(f->work.next_row++);
		memcpy(&bytes, f->rows.data + at, sizeof(bytes));
		at += sizeof(bytes);
		struct store_val val = {f->rows.data + at, bytes};
		if (!f->output)
			store_put(f->txn, &fold_outbox_table, &key, sizeof(key), val.data, val.len);
		else if (row_parse(val, &row) == 0)
			f->output(f->output_ctx, &row);
	}
	buf_reset(&f->rows);
}

struct outbox_walk {
	struct fold *f;
	int (*visit)(void *ctx, const struct fold_row *row);
	void *ctx;
};

static int visit_row(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	const struct outbox_walk *w = ctx;
	if (key_len != sizeof(struct store_key64))
		return ERR_CORRUPT;
	struct fold_row row = {.row = store_key64_value(key)};
	int rc = row_parse(val, &row);
	if (rc)
		return rc;
	uint64_t i = row.row - w->f->first_row;
	row.acked = i < w->f->acks_n && w->f->acks[i].acked;
	row.again = i < w->f->acks_n && w->f->acks[i].said;
	return w->visit(w->ctx, &row);
}

int fold_outbox_each(struct fold *f, uint64_t from,
		     int (*visit)(void *ctx, const struct fold_row *row), void *ctx)
{
	struct outbox_walk walk = {f, visit, ctx};
	struct store_key64 key = store_key64(from);
	struct store_range range = {.from = &key, .from_len = sizeof(key)};
	auto_txn txn = store_begin_read(f->store);
	return store_each(txn, &fold_outbox_table, &range, visit_row, &walk);
}

/* ---- acknowledgements: rows are numbered without gaps and go from the front ---- */

static int note_first(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	(void)val;
	if (key_len != sizeof(struct store_key64))
		return ERR_CORRUPT;
	*(uint64_t *)ctx = store_key64_value(key);
	return 1;
}

int fold_outbox_load(struct fold *f)
{
	f->first_row = f->meta.next_row;
	auto_txn txn = store_begin_read(f->store);
	int rc = store_each(txn, &fold_outbox_table, &(struct store_range){0}, note_first,
			    &f->first_row);
	if (rc || f->first_row > f->meta.next_row)
		return rc ? rc : ERR_CORRUPT;
	fold_outbox_extend(f, f->meta.next_row - f->first_row);
	for (size_t i = 0; i < f->acks_n; i++)
		f->acks[i].said = f->first_row + i < f->meta.said_row;
	return 0;
}

void fold_outbox_extend(struct fold *f, size_t n)
{
	if (f->acks_n + n > f->acks_cap) {
		f->acks_cap = MAX(f->acks_n + n, f->acks_cap * 2);
		f->acks = mem_realloc(f->acks, f->acks_cap * sizeof(*f->acks));
	}
	for (size_t i = 0; i < n; i++)
		f->acks[f->acks_n++] = (struct fold_ack){0};
	f->unacked += n;
}

size_t fold_outbox_old(const struct fold *f)
{
	size_t n = 0;
	while (n < f->acks_n && f->acks[n].acked &&
	       f->caller_now_ms - f->acks[n].at_ms >= f->retain_ms)
		n++;
	return n;
}

void fold_outbox_delete(struct fold *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct store_key64 key = store_key64(f->first_row + i);
		store_del(f->txn, &fold_outbox_table, &key, sizeof(key));
	}
}

void fold_outbox_forget(struct fold *f, size_t n)
{
	if (n == 0)
		return;
	memmove(f->acks, f->acks + n, (f->acks_n - n) * sizeof(*f->acks));
	f->acks_n -= n;
	f->first_row += n;
}

uint64_t fold_outbox_next(struct fold *f)
{
	return f->meta.next_row;
}

size_t fold_outbox_unacked(struct fold *f)
{
	return f->unacked;
}

uint64_t fold_outbox_oldest(struct fold *f)
{
	size_t i = 0;
	while (i < f->acks_n && f->acks[i].acked)
		i++;
	return f->first_row + i;
}

void fold_outbox_acked(struct fold *f, uint64_t row, int64_t now_ms)
{
	uint64_t i = row - f->first_row;
	f->caller_now_ms = now_ms;
	if (i >= f->acks_n || f->acks[i].acked)
		return;
	f->acks[i] = (struct fold_ack){.at_ms = now_ms, .acked = true, .said = true};
	f->unacked--;
}

static int settle_known(void *ctx, const struct fold_row *row)
{
	struct fold *f = ctx;
	if (id_set_has(&f->known, id_hash(row->msg.id)))
		fold_outbox_acked(f, row->row, f->caller_now_ms);
	return 0;
}

void fold_outbox_settle_known(struct fold *f, int64_t now_ms)
{
	f->caller_now_ms = now_ms;
	fold_outbox_each(f, fold_outbox_oldest(f), settle_known, f);
}

void fold_outbox_unack(struct fold *f)
{
	for (size_t i = 0; i < f->acks_n; i++)
		f->acks[i] = (struct fold_ack){.said = f->acks[i].said};
	f->unacked = f->acks_n;
}

uint64_t fold_outbox_said(const struct fold *f)
{
	size_t i = 0;
	while (i < f->acks_n && f->acks[i].said)
		i++;
	return f->first_row + i;
}

int fold_trim(struct fold *f, int64_t now_ms, struct why *out_why)
{
	f->caller_now_ms = now_ms;
	size_t old = fold_outbox_old(f);
	if (old == 0)
		return 0;
	f->txn = store_begin_write(f->store);
	fold_outbox_delete(f, old);
	int rc = store_commit(f->txn);
	f->txn = NULL;
	if (rc)
		return why_set(out_why, rc, "fold %s: outbox", f->def->name);
	fold_outbox_forget(f, old);
	return 0;
}
