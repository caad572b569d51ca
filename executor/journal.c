#include "executor/journal.h"

#include <pthread.h>

#include "common/clock.h"
#include "common/mem.h"

/* Neither these nor the audit's can be rebuilt from the bus: a new version of their values needs a
 * struct store_migration in journal_open's options. */
static const struct store_table meta = {.name = "meta", .version = 1};
static const struct store_table steps = {.name = "steps", .version = 1};
static const char owner_key[] = "owner";

/* What one worker waits to see on the disk. */
struct item {
	struct item *next;
	const char *step; /* NULL: an audit record only */
	struct buf report;
	const struct audit_entry *entry;
	struct journal_trim *trim; /* in place of all that */
	pthread_cond_t wake;       /* this one is done, or has to commit for those behind it */
	int rc;
	bool done;
};

struct journal {
	struct store *store;
	char owner[ID_BYTES];
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	bool broken;
	bool committing; /* by one of the waiting workers, for all that are queued by then */
	struct item *first;
	struct item **last;
};

static int load_owner(struct journal *j, struct why *out_why)
{
	struct store_val val;
	auto_txn txn = store_begin_write(j->store);
	int rc = store_get_str(txn, &meta, owner_key, &val);
	if (rc == 0 && val.len == ID_LEN) {
		memcpy(j->owner, val.data, ID_LEN);
		return 0;
	}
	if (rc != ERR_NOT_FOUND)
		return why_set(out_why, ERR_CORRUPT, "journal: the executor's id is unreadable");
	id_random(j->owner);
	store_put_str(txn, &meta, owner_key, j->owner, ID_LEN);
	struct store_txn *done = txn;
	txn = NULL;
	rc = store_commit(done);
	return rc ? why_set(out_why, rc, "journal: %s", err_name(rc)) : 0;
}

int journal_open(const char *dir, int64_t map_bytes, struct journal **out, struct why *out_why)
{
	static const struct store_table *const tables[] = {&meta, &steps, &audit_records,
							   &audit_heads};
	struct store_options options = {.dir = dir,
					.tables = tables,
					.n_tables = ARRAY_SIZE(tables),
					.map_bytes = map_bytes};
	struct journal *j = mem_alloc(sizeof(*j));
	pthread_mutex_init(&j->lock, NULL);
	j->last = &j->first;
	int rc = store_open(&options, &j->store, out_why);
	if (!rc)
		rc = load_owner(j, out_why);
	if (rc) {
		journal_close(j);
		return rc;
	}
	*out = j;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	store_close(j->store);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

const char *journal_owner(const struct journal *j)
{
	return j->owner;
}

static int take_out(struct store_txn *txn, struct journal_trim *t)
{
	int64_t now_ms = clock_real_ms();
	for (size_t i = 0; i < t->n_steps; i++)
		store_del_str(txn, &steps, t->steps[i].step);
	int rc = t->audit_before_ms ? audit_cut(txn, t->audit_before_ms, now_ms, &t->audit_cut) : 0;
	t->audit_broken = rc == ERR_CORRUPT;
	return t->audit_broken ? 0 : rc;
}

static int put_in(struct store_txn *txn, const struct item *i)
{
	if (i->step)
		store_put_str(txn, &steps, i->step, i->report.data, i->report.len);
	return audit_append(txn, i->entry, clock_real_ms());
}

/* One transaction and one fsync for all of them. */
static int commit_all(struct journal *j, const struct item *items)
{
	struct store_txn *txn = store_begin_write(j->store);
	for (const struct item *i = items; i; i = i->next) {
		int rc = i->trim ? take_out(txn, i->trim) : put_in(txn, i);
		if (rc) {
			store_end(txn);
			return rc;
		}
	}
	return store_commit(txn);
}

/* The lock is held, and given up while the disk is at work. */
static void lead(struct journal *j)
{
	struct item *items = j->first;
	j->first = NULL;
	j->last = &j->first;
	j->committing = true;
	pthread_mutex_unlock(&j->lock);
	int rc = j->broken ? ERR_IO : commit_all(j, items);
	pthread_mutex_lock(&j->lock);
	j->committing = false;
	j->broken |= rc == ERR_IO || rc == ERR_CORRUPT;
	for (struct item *i = items; i; i = i->next) {
		i->rc = rc;
		i->done = true;
		pthread_cond_signal(&i->wake);
	}
	if (j->first)
		pthread_cond_signal(&j->first->wake);
}

/* Queues it and returns when it is on the disk. */
static int commit(struct journal *j, struct item *item, struct why *out_why)
{
	pthread_cond_init(&item->wake, NULL);
	pthread_mutex_lock(&j->lock);
	*j->last = item;
	j->last = &item->next;
	while (!item->done) {
		if (j->committing)
			pthread_cond_wait(&item->wake, &j->lock);
		else
			lead(j);
	}
	pthread_mutex_unlock(&j->lock);
	pthread_cond_destroy(&item->wake);
	return item->rc ? why_set(out_why, item->rc, "journal: %s", err_name(item->rc)) : 0;
}

int journal_write(struct journal *j, const Healbus__StepReport *report,
		  const struct audit_entry *entry, struct why *out_why)
{
	struct item item = {.entry = entry};
	if (report) {
		item.step = report->step_id;
		wire_pack(&report->base, &item.report);
	}
	int rc = commit(j, &item, out_why);
	buf_release(&item.report);
	return rc;
}

bool journal_is_broken(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	bool broken = j->broken;
	pthread_mutex_unlock(&j->lock);
	return broken;
}

int journal_read(struct journal *j, const char *step_id, struct arena *arena,
		 Healbus__StepReport **out, struct why *out_why)
{
	struct store_val val;
	ProtobufCMessage *msg = NULL;
	auto_txn txn = store_begin_read(j->store);
	int rc = store_get_str(txn, &steps, step_id, &val);
	if (rc)
		return why_set(out_why, rc, "journal: %s", err_name(rc));
	rc = wire_unpack(KIND_STEP, val.data, val.len, arena, &msg, out_why);
	if (!rc)
		*out = (Healbus__StepReport *)msg;
	return rc;
}

/* ---- what is old ---- */

struct looking {
	struct journal_page *page;
	struct arena arena;
	size_t seen;
};

static int64_t last_ms(const Healbus__StepReport *r)
{
	return MAX(r->started_at_ms, r->ended_at_ms);
}

static int visit_step(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct looking *l = ctx;
	struct journal_page *page = l->page;
	ProtobufCMessage *msg = NULL;
	struct why why = {0};
	char step[ID_BYTES] = "";
	if (key_len >= sizeof(step))
		return 0; /* no step of ours */
	memcpy(step, key, key_len);
	if (str_eq(step, page->after) && l->seen == 0)
		return 0;
	if (l->seen++ == JOURNAL_PAGE)
		return 1;
	memcpy(page->after, step, sizeof(step));
	if (wire_unpack(KIND_STEP, val.data, val.len, &l->arena, &msg, &why))
		return 0; /* who cannot read it does not know how old it is */
	const Healbus__StepReport *r = (const Healbus__StepReport *)msg;
	if (last_ms(r) >= page->before_ms)
		return 0;
	struct journal_row *row = &page->rows[page->n++];
	memcpy(row->step, step, sizeof(step));
	snprintf(row->incident, sizeof(row->incident), "%s", r->incident);
	return 0;
}

int journal_old(struct journal *j, struct journal_page *page, struct why *out_why)
{
	struct looking l = {.page = page};
	const struct store_range behind = {.from = page->after, .from_len = strlen(page->after)};
	auto_txn txn = store_begin_read(j->store);
	page->n = 0;
	int rc = store_each(txn, &steps, &behind, visit_step, &l);
	arena_release(&l.arena);
	if (l.seen <= JOURNAL_PAGE)
		page->after[0] = '\0';
	return rc ? why_set(out_why, rc, "journal: %s", err_name(rc)) : 0;
}

int journal_trim(struct journal *j, struct journal_trim *trim, struct why *out_why)
{
	struct item item = {.trim = trim};
	return commit(j, &item, out_why);
}

/* ---- the audit chain ---- */

int journal_audit_check(struct journal *j, struct audit_summary *out, struct why *out_why)
{
	auto_txn txn = store_begin_read(j->store);
	return audit_check(txn, out, out_why);
}

struct lines_to {
	void (*line)(void *ctx, const char *json);
	void *ctx;
};

static int visit_line(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	const struct lines_to *to = ctx;
	(void)key;
	(void)key_len;
	auto_free char *text = mem_dup(val.data, val.len);
	to->line(to->ctx, text);
	return 0;
}

int journal_audit_each(struct journal *j, void (*line)(void *ctx, const char *json), void *ctx)
{
	struct lines_to to = {.line = line, .ctx = ctx};
	struct store_range all = {0};
	auto_txn txn = store_begin_read(j->store);
	return store_each(txn, &audit_records, &all, visit_line, &to);
}
