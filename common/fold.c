#include "common/fold_private.h"

#include "common/failpoint.h"

const struct store_table fold_meta_table = {"fold_meta", 2};
const struct store_table fold_outbox_table = {"fold_outbox", 1};
const struct store_table fold_seen_table = {"fold_seen", 1};
const struct store_timers fold_timers = {{"fold_due", 1}, {"fold_timers", 1}};

enum { BURIED_ID_MAX = 200 };

static const char meta_key[] = "meta";

/* ---- opening ---- */

static void list_tables(struct fold *f)
{
	const struct store_table *const own[] = {&fold_timers.by_due, &fold_timers.by_key,
						 &fold_meta_table, &fold_outbox_table,
						 &fold_seen_table};
	assert(f->def->n_tables + ARRAY_SIZE(own) <= STORE_TABLES_MAX);
	for (size_t i = 0; i < f->def->n_tables; i++)
		f->tables[f->n_tables++] = f->def->tables[i];
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		f->tables[f->n_tables++] = own[i];
}

static int read_next_due(struct store_txn *txn, int64_t *out_ms)
{
	char key[256];
	int rc = timer_next(txn, &fold_timers, out_ms, key);
	if (rc == ERR_NOT_FOUND) {
		*out_ms = INT64_MAX;
		return 0;
	}
	return rc;
}

static int load_meta(struct fold *f)
{
	auto_txn txn = store_begin_read(f->store);
	struct store_val v;
	int rc = store_get_str(txn, &fold_meta_table, meta_key, &v);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (rc == 0 && v.len != sizeof(f->meta))
		return ERR_CORRUPT;
	if (rc == 0)
		memcpy(&f->meta, v.data, sizeof(f->meta));
	return read_next_due(txn, &f->next_due_ms);
}

static int load(struct fold *f, const struct fold_options *o, struct why *out_why)
{
	struct store_options so = {.dir = o->dir,
				   .tables = f->tables,
				   .n_tables = f->n_tables,
				   .map_bytes = o->map_bytes,
				   .last_may_be_undone = true,
				   .no_sync = o->no_sync};
	int rc = store_open(&so, &f->store, out_why);
	if (rc)
		return rc;
	rc = load_meta(f);
	if (rc == 0)
		rc = fold_outbox_load(f);
	if (rc)
		return why_set(out_why, rc, "%s: fold %s: %s", o->dir, f->def->name, err_name(rc));
	if (f->meta.back_until_ns > f->meta.stream_ns) {
		int64_t until = f->meta.back_until_ns;
		rc = fold_skip_seen(f, out_why);
		f->meta.back_until_ns = until;
	}
	return rc ? rc : fold_tries_open(f, o->dir, out_why);
}

int fold_open(const struct fold_def *def, const struct fold_options *options, struct fold **out,
	      struct why *out_why)
{
	struct fold *f = mem_alloc(sizeof(*f));
	f->def = def;
	f->partition = options->partition;
	f->config = options->config;
	f->retain_ms = options->retain_ms;
	f->output = options->output;
	f->output_ctx = options->output_ctx;
	f->arena.limit_bytes = FOLD_ARENA_BYTES;
	list_tables(f);
	int rc = load(f, options, out_why);
	if (rc) {
		fold_close(f);
		return rc;
	}
	*out = f;
	return 0;
}

void fold_close(struct fold *f)
{
	if (!f)
		return;
	fold_tries_close(f);
	store_close(f->store);
	id_set_release(&f->skip);
	id_set_release(&f->known);
	arena_release(&f->arena);
	buf_release(&f->packed);
	buf_release(&f->seen);
	buf_release(&f->rows);
	free(f->acks);
	free(f);
}

/* ---- what apply and timer may call ---- */

struct store_txn *fold_txn(struct fold *f)
{
	return f->txn;
}

int64_t fold_now_ms(const struct fold *f)
{
	return f->work.time_ms;
}

unsigned fold_partition(const struct fold *f)
{
	return f->partition;
}

const void *fold_config(const struct fold *f)
{
	return f->config;
}

struct arena *fold_arena(struct fold *f)
{
	return &f->arena;
}

void fold_timer_set(struct fold *f, const char *key, int64_t due_ms)
{
	timer_set(f->txn, &fold_timers, key, due_ms);
	f->due_ms = MIN(f->due_ms, due_ms);
}

void fold_timer_cancel(struct fold *f, const char *key)
{
	timer_cancel(f->txn, &fold_timers, key);
}

static void fail(struct fold *f, const char *what, const struct why *why)
{
	if (f->error)
		return;
	f->error = why_set(&f->error_why, ERR_INTERNAL, "fold %s: output %s: %s", f->def->name,
			   what, why->text);
}

void emit(struct fold *f, enum kind kind, const char *token, const ProtobufCMessage *msg)
{
	struct why why = {0};
	int rc = wire_check(kind, msg, &why);
	if (rc == 0 && !token_valid(token))
		rc = why_set(&why, ERR_INVALID, "token is not valid");
	if (rc) {
		fail(f, kind_name(kind), &why);
		return;
	}
	char subject[SUBJECT_MAX + 1];
	buf_reset(&f->packed);
	wire_pack(msg, &f->packed);
	fold_rows_add(f, subject_story(subject, kind, token), f->packed.data, f->packed.len);
}

/* ---- one message ---- */

static int add_dead(struct fold *f, const struct fold_message *m, const char *error)
{
	char subject[SUBJECT_MAX + 1];
	char id[ID_BYTES];
	id_make(id, "dead", f->input_id, f->def->name);
	Healbus__Dead dead = HEALBUS__DEAD__INIT;
	dead.id = id;
	dead.stage = wire_text(&f->arena, f->def->name, strlen(f->def->name), TOKEN_MAX);
	dead.subject = wire_text(&f->arena, m->subject, strlen(m->subject), SUBJECT_MAX);
	dead.message_id = wire_text(&f->arena, f->input_id, strlen(f->input_id), BURIED_ID_MAX);
	dead.error = wire_text(&f->arena, error, strlen(error), WIRE_REASON_MAX);
	SET(&dead, seq, m->seq);
	SET(&dead, at_ms, f->work.time_ms);
	dead.has_data = 1;
	dead.data.data = (uint8_t *)(uintptr_t)m->data;
	dead.data.len = MIN(m->len, (size_t)WIRE_MESSAGE_MAX_BYTES - 8192);
	buf_reset(&f->packed);
	wire_pack(&dead.base, &f->packed);
	fold_rows_add(f, subject_dead(subject, f->def->name), f->packed.data, f->packed.len);
	return 0;
}

static int fire(struct fold *f, const struct fold_message *m, const char *key, struct why *out_why)
{
	timer_cancel(f->txn, &fold_timers, key);
	if (!f->def->timer)
		return 0;
	if (fold_tries_enter(f, m, key)) {
		char error[WHY_TEXT_BYTES];
		snprintf(error, sizeof(error), "timer %s: the process died on it %d times", key,
			 FOLD_POISON_TRIES);
		return add_dead(f, m, error);
	}
	int rc = f->def->timer(f, key, out_why);
	return rc ? rc : f->error;
}

static int fire_due(struct fold *f, const struct fold_message *m, struct why *out_why)
{
	int64_t now = MAX(m->time_ms, f->work.time_ms);
	for (unsigned n = 0; n < FOLD_TIMERS_MAX; n++) {
		char key[256];
		int64_t due = f->due_ms;
		int rc = due > now ? ERR_NOT_FOUND : timer_next(f->txn, &fold_timers, &due, key);
		if (rc == ERR_NOT_FOUND || (rc == 0 && due > now)) {
			f->due_ms = due > now ? due : INT64_MAX;
			f->work.time_ms = now;
			return 0;
		}
		if (rc)
			return rc;
		f->work.time_ms = MAX(f->work.time_ms, due);
		rc = fire(f, m, key, out_why);
		if (rc)
			return rc;
	}
	return why_set(out_why, ERR_INTERNAL, "fold %s: timers without end", f->def->name);
}

/* Ticks have done their work when time has moved. */
static bool is_tick(enum kind kind, const ProtobufCMessage *msg)
{
	if (kind == KIND_TICK)
		return true;
	return kind == KIND_CONTROL && ((const Healbus__Control *)(const void *)msg)->kind ==
					       HEALBUS__CONTROL_KIND__CONTROL_TICK;
}

static int apply_input(struct fold *f, const struct fold_message *m, struct why *out_why)
{
	struct topic topic;
	ProtobufCMessage *msg = NULL;
	int rc = topic_parse(m->subject, &topic);
	if (rc == ERR_NOT_FOUND)
		return 0; /* whoever adds a kind adds one that may be overlooked */
	if (rc)
		return why_set(out_why, ERR_INVALID, "subject is not in the topic table");
	if (wire_check_schema(m->schema, out_why))
		return ERR_INVALID;
	if (topic.kind == KIND_RAW || topic.kind == KIND_DEAD)
		return why_set(out_why, ERR_INVALID, "no fold reads such messages");
	rc = wire_unpack(topic.kind, m->data, m->len, &f->arena, &msg, out_why);
	if (rc || wire_check_topic(&topic, msg, out_why))
		return ERR_INVALID;
	if (is_tick(topic.kind, msg))
		return 0;
	struct fold_input in = {.kind = topic.kind,
				.subject = m->subject,
				.token = topic.token,
				.partition = topic.partition,
				.id = f->input_id,
				.time_ms = f->work.time_ms,
				.message_ms = m->time_ms,
				.seq = m->seq,
				.msg = msg,
				.data = m->data,
				.len = m->len};
	rc = f->def->apply(f, &in, out_why);
	return rc ? rc : f->error;
}

static int apply_or_bury(struct fold *f, const struct fold_message *m, struct why *out_why)
{
	struct why why = {0};
	size_t rows = f->rows.len;
	unsigned outputs = f->outputs;
	f->input_seq = m->seq;
	if (fold_tries_enter(f, m, "")) {
		snprintf(why.text, sizeof(why.text), "the process died on it %d times",
			 FOLD_POISON_TRIES);
		return add_dead(f, m, why.text);
	}
	FAILPOINT("in-apply");
	int rc = apply_input(f, m, &why);
	if (rc == 0)
		return 0;
	if (err_class(rc) != ERR_CLASS_INPUT || f->error)
		return why_set(out_why, rc, "%s", f->error ? f->error_why.text : why.text);
	f->rows.len = rows;
	f->outputs = outputs;
	return add_dead(f, m, why.text[0] ? why.text : err_name(rc));
}

static void begin_message(struct fold *f, const struct fold_message *m)
{
	if (m->id && *m->id)
		snprintf(f->input_id, sizeof(f->input_id), "%s", m->id);
	else
		snprintf(f->input_id, sizeof(f->input_id), "s%" PRIu64 "-%" PRId64, m->seq,
			 m->stream_ns);
	f->input_seq = 0;
	f->outputs = 0;
	buf_reset(&f->rows);
	arena_reset(&f->arena);
}

static int apply_message(struct fold *f, const struct fold_message *m, struct why *out_why)
{
	begin_message(f, m);
	struct id_hash h = id_hash(f->input_id);
	f->work.seq = m->seq;
	f->work.stream_ns = m->stream_ns;
	if (fold_seen_before(f, m, h))
		return 0;
	int rc = fire_due(f, m, out_why);
	if (rc == 0)
		rc = apply_or_bury(f, m, out_why);
	if (rc == 0)
		rc = store_error(f->txn);
	/* A bug left in the record counts as a death: it would strike again after the restart. */
	if (rc == 0 || rc == ERR_FULL || rc == ERR_IO)
		fold_tries_leave(f);
	if (rc)
		return rc;
	fold_rows_flush(f);
	if (!f->output)
		fold_seen_note(f, h);
	return 0;
}

/* ---- one batch ---- */

static int finish_batch(struct fold *f, struct why *out_why)
{
	int64_t next_due = 0;
	size_t old = fold_outbox_old(f);
	fold_outbox_delete(f, old);
	fold_seen_flush(f);
	if (f->skip.n > 0 && f->work.stream_ns > f->work.back_until_ns) {
		id_set_release(&f->skip);
		f->work.back_until_ns = 0;
	}
	f->work.said_row = fold_outbox_said(f);
	store_put_str(f->txn, &fold_meta_table, meta_key, &f->work, sizeof(f->work));
	int rc = read_next_due(f->txn, &next_due);
	if (rc)
		return rc;
	FAILPOINT("before-commit");
	rc = store_commit(f->txn);
	f->txn = NULL;
	if (rc)
		return why_set(out_why, rc, "fold %s: commit: %s", f->def->name, err_name(rc));
	FAILPOINT("after-commit");
	fold_outbox_forget(f, old);
	if (!f->output)
		fold_outbox_extend(f, f->work.next_row - f->meta.next_row);
	f->meta = f->work;
	f->next_due_ms = next_due;
	return 0;
}

int fold_apply_each(struct fold *f, const struct fold_message *(*next)(void *ctx), void *ctx,
		    struct why *out_why)
{
	f->txn = store_begin_write(f->store);
	f->work = f->meta;
	f->due_ms = INT64_MIN;
	f->error = 0;
	f->error_why = (struct why){0};
	buf_reset(&f->seen);
	int rc = 0;
	for (const struct fold_message *m; rc == 0 && (m = next(ctx));)
		rc = apply_message(f, m, out_why);
	if (rc == 0)
		rc = finish_batch(f, out_why);
	if (rc && f->txn)
		store_end(f->txn);
	f->txn = NULL;
	arena_reset(&f->arena);
	return rc ? why_set(out_why, rc, "fold %s: %s", f->def->name, err_name(rc)) : 0;
}

struct batch {
	const struct fold_message *msgs;
	size_t n, at;
};

static const struct fold_message *next_of_batch(void *ctx)
{
	struct batch *b = ctx;
	return b->at < b->n ? &b->msgs[b->at++] : NULL;
}

int fold_apply(struct fold *f, const struct fold_message *msgs, size_t n, struct why *out_why)
{
	struct batch batch = {msgs, n, 0};
	assert(n <= FOLD_BATCH_MAX);
	return fold_apply_each(f, next_of_batch, &batch, out_why);
}

/* ---- the engine's accessors ---- */

void fold_set_config(struct fold *f, const void *config)
{
	f->config = config;
}

struct store *fold_store(struct fold *f)
{
	return f->store;
}

const struct fold_def *fold_definition(const struct fold *f)
{
	return f->def;
}

int64_t fold_next_due_ms(struct fold *f)
{
	return f->next_due_ms;
}

struct fold_offset fold_offset(struct fold *f)
{
	return (struct fold_offset){
		.seq = f->meta.seq, .stream_ns = f->meta.stream_ns, .time_ms = f->meta.time_ms};
}

int fold_hash(struct fold *f, uint8_t out[static DIGEST_BYTES])
{
	auto_txn txn = store_begin_read(f->store);
	return store_hash(txn, f->tables, f->def->n_tables + 2, out);
}
