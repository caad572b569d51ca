#include "reasoner/queue.h"

#include "reasoner/escalate.h"
#include "reasoner/plan.h"

bool queue_must_wait(struct desk *d)
{
	return plans_open(d) >= (size_t)d->settings->max_open_plans;
}

static int last_ticket(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	(void)key_len;
	(void)val;
	*(uint64_t *)ctx = store_key64_value(key);
	return 1;
}

int queue_put(struct desk *d, struct case_file *c)
{
	struct store_range last = {.backwards = true, .limit = 1};
	uint64_t ticket = 0;
	int rc = store_each(fold_txn(d->f), &table_queue, &last, last_ticket, &ticket);
	if (rc)
		return rc;
	struct store_key64 key = store_key64(++ticket);
	store_put(fold_txn(d->f), &table_queue, key.b, sizeof(key.b), c->incident->id,
		  strlen(c->incident->id));
	c->row.ticket = ticket;
	return storm_begin(d, c);
}

void queue_remove(struct desk *d, struct case_file *c)
{
	struct store_key64 key = store_key64(c->row.ticket);
	if (c->row.ticket)
		store_del(fold_txn(d->f), &table_queue, key.b, sizeof(key.b));
	c->row.ticket = 0;
}

struct waiting {
	struct store_key64 key;
	char incident[TOKEN_MAX + 1];
};

static int first_waiting(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct waiting *w = ctx;
	memcpy(w->key.b, key, MIN(key_len, sizeof(w->key.b)));
	snprintf(w->incident, sizeof(w->incident), "%.*s", (int)val.len, (const char *)val.data);
	return 1;
}

/* One turn. *out_empty when nobody waits. */
static int queue_next(struct desk *d, bool *out_empty)
{
	struct store_range first = {.limit = 1};
	struct waiting w = {0};
	struct case_file c;
	int rc = store_each(fold_txn(d->f), &table_queue, &first, first_waiting, &w);
	*out_empty = !w.incident[0];
	if (rc || *out_empty)
		return rc;
	store_del(fold_txn(d->f), &table_queue, w.key.b, sizeof(w.key.b));
	rc = case_load(d, w.incident, &c);
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	c.row.ticket = 0;
	return case_event(d, &c, CASE_DUE);
}

int queue_release(struct desk *d)
{
	bool empty = false;
	while (!empty && !queue_must_wait(d)) {
		int rc = queue_next(d, &empty);
		if (rc)
			return rc;
	}
	return empty ? storm_end(d) : 0;
}
