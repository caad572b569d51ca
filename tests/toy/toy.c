#include "tests/toy/toy.h"

static const struct store_table counts = {"toy_counts", 1};
static const struct store_table order = {"toy_order", 1};
static const struct store_table *const tables[] = {&counts, &order};

static void say(struct fold *f, const char *what, uint64_t number)
{
	Healbus__Incident incident = HEALBUS__INCIDENT__INIT;
	char id[ID_BYTES];
	id_make(id, "toy", what);
	incident.id = id;
	incident.key = id;
	incident.title = (char *)(uintptr_t)what;
	SET(&incident, state, HEALBUS__INCIDENT_STATE__INCIDENT_OPEN);
	SET(&incident, revision, (uint32_t)number);
	SET(&incident, updated_at_ms, fold_now_ms(f));
	SET(&incident, partition, fold_partition(f));
	emit(f, KIND_INCIDENT, id, &incident.base);
}

static uint64_t read_count(struct store_txn *txn, const char *name)
{
	struct store_val v;
	uint64_t n = 0;
	if (store_get_str(txn, &counts, name, &v) == 0)
		memcpy(&n, v.data, sizeof(n));
	return n;
}

static int apply(struct fold *f, const struct fold_input *in, struct why *out_why)
{
	if (in->kind != KIND_EVENT)
		return 0;
	const Healbus__Event *e = (const void *)in->msg;
	uint64_t n = read_count(fold_txn(f), e->name) + 1;
	if (str_eq(e->name, "kill") && getenv("HEALBUS_TOY_KILL"))
		_exit(9);
	if (str_eq(e->name, "bug")) {
		emit(f, KIND_INCIDENT, "not a token", in->msg);
		return 0;
	}
	say(f, e->name, n);
	if (str_eq(e->name, "refuse"))
		return why_set(out_why, ERR_INVALID, "event.name: refused");
	store_put_str(fold_txn(f), &counts, e->name, &n, sizeof(n));
	struct store_key64 key = store_key64(store_count(fold_txn(f), &order));
	store_put(fold_txn(f), &order, &key, sizeof(key), e->id, strlen(e->id));
	fold_timer_set(f, e->name, fold_now_ms(f) + TOY_TIMER_MS);
	return 0;
}

static int timer(struct fold *f, const char *key, struct why *out_why)
{
	(void)out_why;
	if (str_eq(key, "kill") && getenv("HEALBUS_TOY_KILL_TIMER"))
		_exit(9);
	auto_buf what = {0};
	buf_printf(&what, "timer %s", key);
	say(f, what.data, (uint64_t)fold_now_ms(f) % 1000000);
	return 0;
}

const struct fold_def toy_fold = {
	.name = "monitor", /* the name has the rights to the consumers */
	.stream = STREAM_EVENTS,
	.partitioned = true,
	.tables = tables,
	.n_tables = ARRAY_SIZE(tables),
	.apply = apply,
	.timer = timer,
};

void toy_event(struct buf *out, const char *name, unsigned number)
{
	Healbus__Event e = HEALBUS__EVENT__INIT;
	char id[32], fingerprint[FINGERPRINT_LEN + 1];
	snprintf(id, sizeof(id), "e%u", number);
	snprintf(fingerprint, sizeof(fingerprint), "%016x", number);
	e.id = id;
	e.source = (char *)(uintptr_t) "toy";
	e.fingerprint = fingerprint;
	e.name = (char *)(uintptr_t)name;
	SET(&e, status, HEALBUS__STATUS__STATUS_FIRING);
	SET(&e, starts_at_ms, 1);
	wire_pack(&e.base, out);
}

uint64_t toy_count(struct fold *f, const char *name)
{
	auto_txn txn = store_begin_read(fold_store(f));
	return read_count(txn, name);
}
