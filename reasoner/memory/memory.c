#include "reasoner/memory/memory.h"

#include "reasoner/memory/memory_private.h"
#include "reasoner/memory/signature.h"

#define DAY_MS INT64_C(86400000)
/* So much younger than it is counts a memory that healed, one that helped again, one that did not.
 */
#define HEALED_MS (90 * DAY_MS)
#define HELPED_MS (30 * DAY_MS)
#define FAILED_MS (-60 * DAY_MS)

const struct store_table table_memories = {"memories", 1};
const struct store_table table_memory_terms = {"memory_terms", 1};
const struct store_table table_memory_places = {"memory_places", 1};
const struct store_table table_memory_ranks = {"memory_ranks", 1};
const struct store_table table_memory_counter = {"memory_counter", 1};

static const char counter_key[] = "memories";

/* ---- rows ---- */

static int fixed_row(const struct store_val *val, void *out, size_t size)
{
	if (val->len != size)
		return ERR_CORRUPT;
	memcpy(out, val->data, size);
	return 0;
}

int memory_counter(struct store_txn *txn, struct memory_counter *out)
{
	struct store_val val;
	int rc = store_get_str(txn, &table_memory_counter, counter_key, &val);
	*out = (struct memory_counter){0};
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	return fixed_row(&val, out, sizeof(*out));
}

static void counter_save(struct store_txn *txn, const struct memory_counter *c)
{
	store_put_str(txn, &table_memory_counter, counter_key, c, sizeof(*c));
}

static int place_load(struct store_txn *txn, const char *incident, struct memory_place *out)
{
	struct store_val val;
	int rc = store_get_str(txn, &table_memory_places, incident, &val);
	return rc ? rc : fixed_row(&val, out, sizeof(*out));
}

struct rank_key {
	struct store_key64 rank, number;
};

static struct rank_key rank_key(const struct memory_place *p)
{
	return (struct rank_key){store_key64((uint64_t)MAX(p->rank_ms, 0)), store_key64(p->number)};
}

static void place_save(struct store_txn *txn, const char *incident, const struct memory_place *p)
{
	struct rank_key rank = rank_key(p);
	store_put_str(txn, &table_memory_places, incident, p, sizeof(*p));
	store_put(txn, &table_memory_ranks, &rank, sizeof(rank), incident, strlen(incident));
}

static void place_delete(struct store_txn *txn, const char *incident, const struct memory_place *p)
{
	struct store_key64 number = store_key64(p->number);
	struct rank_key rank = rank_key(p);
	store_del(txn, &table_memories, &number, sizeof(number));
	store_del(txn, &table_memory_terms, &number, sizeof(number));
	store_del(txn, &table_memory_ranks, &rank, sizeof(rank));
	store_del_str(txn, &table_memory_places, incident);
}

static void terms_save(struct store_txn *txn, const struct memory_place *p, const char *signature)
{
	struct store_key64 number = store_key64(p->number);
	auto_free struct terms *t = mem_alloc(sizeof(*t));
	auto_buf row = {0};
	terms_of(signature, t);
	buf_add_char(&row, (char)p->healed);
	buf_add(&row, t->hash, t->n * sizeof(t->hash[0]));
	buf_add(&row, t->weight, t->n);
	store_put(txn, &table_memory_terms, &number, sizeof(number), buf_str(&row), row.len);
}

int memory_terms_read(const struct store_val *val, struct terms *out, bool *out_healed)
{
	size_t each = sizeof(out->hash[0]) + sizeof(out->weight[0]);
	size_t n = val->len / each;
	const char *data = val->data;
	if (val->len % each != 1 || n > TERMS_MAX)
		return ERR_CORRUPT;
	out->n = n;
	*out_healed = data[0];
	memcpy(out->hash, data + 1, n * sizeof(out->hash[0]));
	memcpy(out->weight, data + 1 + n * sizeof(out->hash[0]), n);
	return 0;
}

/* ---- what is remembered ---- */

static void add_steps(const Healbus__Plan *plan, struct buf *out)
{
	for (size_t i = 0; i < plan->n_steps; i++)
		buf_printf(out, "%s%s(%s)", i ? ", " : "", plan->steps[i]->tool,
			   plan->steps[i]->target ? plan->steps[i]->target : "");
}

static void add_failed(const Healbus__Incident *incident, struct buf *out)
{
	for (size_t i = 0; i < incident->n_tried; i++) {
		const Healbus__Attempt *a = incident->tried[i];
		if (a->verdict == HEALBUS__VERDICT__VERDICT_HEALED && i + 1 == incident->n_tried)
			continue;
		buf_printf(out, "%sdid not help: %s: %s", out->len ? "; " : "",
			   a->what ? a->what : "an attempt",
			   a->reason ? a->reason : "no reason given");
	}
}

/* What a step says of itself: the message of a commit, a title. */
static const char *said_by_steps(const Healbus__Plan *plan)
{
	for (size_t i = 0; i < plan->n_steps; i++) {
		const Healbus__Step *s = plan->steps[i];
		for (size_t p = 0; p < s->n_params; p++) {
			if (str_eq(s->params[p]->name, "message") && s->params[p]->string_value)
				return s->params[p]->string_value;
		}
	}
	return NULL;
}

static void add_why(const Healbus__Plan *plan, struct buf *out)
{
	const char *said = said_by_steps(plan);
	const char *why = said && *said ? said : plan->why;
	if (why && *why)
		buf_printf(out, "%s%.*s", out->len ? ": " : "", (int)strcspn(why, "\n"), why);
}

/* What was done, why, and what had not helped, in one line. */
static char *what_of(const struct memory_entry *m, struct arena *a)
{
	auto_buf text = {0};
	if (m->healed && m->plan) {
		add_steps(m->plan, &text);
		add_why(m->plan, &text);
	}
	add_failed(m->incident, &text);
	return wire_text(a, buf_str(&text), text.len, WIRE_LINE_MAX);
}

static size_t steps_bytes(const Healbus__Plan *plan)
{
	size_t n = 0;
	for (size_t i = 0; i < plan->n_steps; i++)
		n += healbus__step__get_packed_size(plan->steps[i]);
	return n;
}

static void recalled_of(const struct memory_entry *m, struct arena *a, Healbus__Recalled *out)
{
	healbus__recalled__init(out);
	out->incident = m->incident->id;
	out->failure_type = m->diagnosis ? m->diagnosis->failure_type : NULL;
	out->specialist = m->diagnosis ? m->diagnosis->specialist : NULL;
	if (m->plan && m->plan->specialist && *m->plan->specialist)
		out->specialist = m->plan->specialist;
	out->what = what_of(m, a);
	SET(out, healed, m->healed);
	SET(out, took_ms, MAX(m->at_ms - m->incident->opened_at_ms, 0));
	if (m->healed && m->plan && steps_bytes(m->plan) <= MEMORY_STEPS_MAX_BYTES) {
		out->steps = m->plan->steps;
		out->n_steps = m->plan->n_steps;
	}
}

/* Attempts without the output of their steps and without their edits. */
static Healbus__Attempt **short_attempts(const Healbus__Incident *incident, struct arena *a)
{
	Healbus__Attempt **list =
		arena_alloc(a, (incident->n_tried + 1) * sizeof(Healbus__Attempt *));
	for (size_t i = 0; list && i < incident->n_tried; i++) {
		list[i] = arena_alloc(a, sizeof(*list[i]));
		if (!list[i])
			return NULL;
		*list[i] = *incident->tried[i];
		list[i]->detail = list[i]->edits = NULL;
	}
	return list;
}

static int short_incident(const Healbus__Incident *from, struct arena *a, Healbus__Incident *out)
{
	healbus__incident__init(out);
	out->id = from->id;
	out->key = from->key;
	out->title = from->title;
	out->labels = from->labels;
	out->n_labels = from->n_labels;
	SET(out, severity, from->severity);
	SET(out, opened_at_ms, from->opened_at_ms);
	out->tried = short_attempts(from, a);
	out->n_tried = out->tried ? from->n_tried : 0;
	return out->tried ? 0 : ERR_TOO_LARGE;
}

struct parts {
	Healbus__Incident incident;
	Healbus__Recalled recalled;
	struct buf signature;
};

static int parts_pack(const struct memory_entry *m, struct parts *p, struct buf *out)
{
	Healbus__ModelExchange row = HEALBUS__MODEL_EXCHANGE__INIT;
	Healbus__Diagnosis diagnosis = HEALBUS__DIAGNOSIS__INIT;
	Healbus__Recalled *list[] = {&p->recalled};
	char purpose[] = "memory";
	row.id = row.incident = p->incident.id;
	row.purpose = purpose;
	row.answer = p->signature.data;
	SET(&row, started_at_ms, m->at_ms);
	row.subject = &p->incident;
	row.diagnosis = &diagnosis;
	diagnosis.failure_type = p->recalled.failure_type;
	diagnosis.specialist = m->diagnosis ? m->diagnosis->specialist : NULL;
	diagnosis.recalled = list;
	diagnosis.n_recalled = 1;
	int rc = wire_check(KIND_MODEL, &row.base, NULL);
	if (!rc)
		wire_pack(&row.base, out);
	return rc;
}

/* Checks before it writes. */
static int memory_write(struct store_txn *txn, const struct memory_place *place,
			const struct memory_entry *m)
{
	struct store_key64 number = store_key64(place->number);
	struct arena a = {0};
	struct parts p = {.signature = {0}};
	auto_buf packed = {0};
	recalled_of(m, &a, &p.recalled);
	signature_of(m->incident, m->diagnosis, &p.signature);
	int rc = short_incident(m->incident, &a, &p.incident);
	if (!rc)
		rc = parts_pack(m, &p, &packed);
	if (!rc) {
		store_put(txn, &table_memories, &number, sizeof(number), buf_str(&packed),
			  packed.len);
		terms_save(txn, place, buf_str(&p.signature));
	}
	buf_release(&p.signature);
	arena_release(&a);
	return rc;
}

/* ---- forgetting ---- */

static int take_first(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	(void)key, (void)key_len;
	buf_add(ctx, val.data, val.len);
	return 1;
}

static int forget_one(struct store_txn *txn, struct memory_counter *c)
{
	auto_buf incident = {0};
	struct memory_place p;
	struct store_range all = {.limit = 1};
	int rc = store_each(txn, &table_memory_ranks, &all, take_first, &incident);
	if (!rc)
		rc = place_load(txn, buf_str(&incident), &p);
	if (rc)
		return rc;
	place_delete(txn, buf_str(&incident), &p);
	c->removed++;
	return 0;
}

static int forget_excess(struct store_txn *txn, size_t max, struct memory_counter *c)
{
	int rc = 0;
	for (size_t n = memory_count(txn); !rc && n > max; n--)
		rc = forget_one(txn, c);
	return rc;
}

int memory_note(struct store_txn *txn, const struct memory_entry *m)
{
	const char *incident = m->incident->id;
	struct memory_counter c;
	struct memory_place before, now;
	int rc = memory_counter(txn, &c);
	if (rc)
		return rc;
	now = (struct memory_place){
		.number = c.next++,
		.rank_ms = m->at_ms + (m->healed ? HEALED_MS : 0),
		.healed = m->healed,
	};
	rc = memory_write(txn, &now, m);
	if (rc)
		return rc;
	rc = place_load(txn, incident, &before);
	if (!rc) {
		place_delete(txn, incident, &before);
		c.removed++;
	}
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	place_save(txn, incident, &now);
	rc = forget_excess(txn, m->max ? m->max : MEMORY_MAX_DEFAULT, &c);
	counter_save(txn, &c);
	return rc;
}

int memory_used(struct store_txn *txn, const char *incident, bool helped)
{
	struct memory_place p;
	int rc = place_load(txn, incident, &p);
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	struct rank_key rank = rank_key(&p);
	store_del(txn, &table_memory_ranks, &rank, sizeof(rank));
	p.rank_ms = MAX(p.rank_ms + (helped ? HELPED_MS : FAILED_MS), 0);
	place_save(txn, incident, &p);
	return 0;
}

size_t memory_count(struct store_txn *txn)
{
	return store_count(txn, &table_memories);
}

/* ---- reading ---- */

static int unpack(const struct store_val *val, struct arena *arena, Healbus__ModelExchange **out)
{
	ProtobufCMessage *msg = NULL;
	struct why why = {0};
	int rc = wire_unpack(KIND_MODEL, val->data, val->len, arena, &msg, &why);
	if (rc)
		return ERR_CORRUPT;
	*out = (Healbus__ModelExchange *)msg;
	bool whole = (*out)->diagnosis && (*out)->diagnosis->n_recalled == 1 && (*out)->subject;
	return whole ? 0 : ERR_CORRUPT;
}

int memory_load(struct store_txn *txn, uint64_t n, struct arena *arena,
		Healbus__ModelExchange **out)
{
	struct store_key64 number = store_key64(n);
	struct store_val val;
	int rc = store_get(txn, &table_memories, &number, sizeof(number), &val);
	return rc ? rc : unpack(&val, arena, out);
}

int memory_of(struct store_txn *txn, const char *incident, struct arena *arena,
	      Healbus__ModelExchange **out)
{
	struct memory_place p;
	int rc = place_load(txn, incident, &p);
	return rc ? rc : memory_load(txn, p.number, arena, out);
}

struct latest {
	struct arena *arena;
	Healbus__ModelExchange **out;
	size_t n;
};

static int latest_one(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct latest *l = ctx;
	(void)key, (void)key_len;
	int rc = unpack(&val, l->arena, &l->out[l->n]);
	l->n += !rc;
	return rc;
}

int memory_latest(struct store_txn *txn, size_t max, struct arena *arena,
		  Healbus__ModelExchange **out, size_t *out_n)
{
	struct latest l = {arena, out, 0};
	struct store_range newest = {.backwards = true, .limit = max};
	int rc = max ? store_each(txn, &table_memories, &newest, latest_one, &l) : 0;
	if (!rc)
		*out_n = l.n;
	return rc;
}

static int take_number(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	uint64_t *number = ctx;
	(void)val;
	if (key_len != sizeof(struct store_key64))
		return ERR_CORRUPT;
	*number = store_key64_value(key);
	return 1;
}

int memory_next(struct store_txn *txn, uint64_t from, uint64_t *out_number, struct arena *arena,
		Healbus__ModelExchange **out)
{
	struct store_key64 first = store_key64(from);
	struct store_range range = {.from = &first, .from_len = sizeof(first), .limit = 1};
	uint64_t number = UINT64_MAX;
	int rc = store_each(txn, &table_memories, &range, take_number, &number);
	if (rc || number == UINT64_MAX)
		return rc ? rc : ERR_NOT_FOUND;
	rc = memory_load(txn, number, arena, out);
	if (!rc)
		*out_number = number;
	return rc;
}

struct finding {
	char *out;
	size_t n;
};

static int take_id(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct finding *f = ctx;
	(void)val;
	if (key_len > TOKEN_MAX)
		return ERR_CORRUPT;
	if (f->n++ == 0)
		snprintf(f->out, TOKEN_MAX + 1, "%.*s", (int)key_len, (const char *)key);
	return 0;
}

int memory_find(struct store_txn *txn, const char *prefix, char out[static TOKEN_MAX + 1])
{
	char id[TOKEN_MAX + 1];
	struct finding f = {id, 0};
	struct memory_place exact;
	struct store_range range = {.prefix = prefix, .prefix_len = strlen(prefix), .limit = 2};
	int rc = store_each(txn, &table_memory_places, &range, take_id, &f);
	bool whole = !rc && f.n && place_load(txn, prefix, &exact) == 0;
	if (!rc && f.n != 1 && !whole)
		rc = ERR_NOT_FOUND;
	if (!rc)
		memcpy(out, id, sizeof(id)); /* the shortest comes first */
	return rc;
}
