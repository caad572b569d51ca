#include "notifier/duty.h"

struct look {
	struct arena arena;
	int64_t ms;
	int64_t next_ms; /* the next override begins */
	int64_t said_ms; /* of the one found */
	struct duty *out;
};

static int override_visit(void *ctx, const void *key UNUSED, size_t key_len UNUSED,
			  struct store_val val)
{
	struct look *l = ctx;
	arena_reset(&l->arena);
	const Healbus__Control *c =
		(const Healbus__Control *)row_unpack(val, &healbus__control__descriptor, &l->arena);
	const Healbus__Duty *d = c ? c->duty : NULL;
	if (!d)
		return 0;
	if (d->from_ms > l->ms)
		l->next_ms = MIN(l->next_ms, d->from_ms);
	if (d->from_ms > l->ms || d->until_ms <= l->ms || c->at_ms < l->said_ms)
		return 0;
	l->said_ms = c->at_ms;
	snprintf(l->out->person, sizeof(l->out->person), "%s", str_or_empty(d->person));
	snprintf(l->out->by, sizeof(l->out->by), "%s", str_or_empty(c->by));
	l->out->until_ms = d->until_ms;
	return 0;
}

void duty_at(struct store_txn *txn, const struct oncall *o, const struct intervals *intervals,
	     int64_t ms, struct duty *out)
{
	auto_buf prefix = {0};
	struct look l = {.ms = ms, .next_ms = INT64_MAX, .said_ms = INT64_MIN, .out = out};
	*out = (struct duty){0};
	buf_printf(&prefix, DUTY_PREFIX "%s:", o->name);
	struct store_range range = {.prefix = buf_str(&prefix), .prefix_len = prefix.len};
	store_each(txn, &table_machinery, &range, override_visit, &l);
	arena_release(&l.arena);
	if (!*out->person) {
		snprintf(out->person, sizeof(out->person), "%s", oncall_who(o, intervals, ms));
		out->until_ms = oncall_until_ms(o, intervals, ms);
	}
	out->until_ms = MIN(out->until_ms, l.next_ms);
}
