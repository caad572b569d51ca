#include "monitor/state.h"

/* ---- slots: at most 16 representative events an episode, each cut to fit ---- */

static void slot_key(char out[static ID_BYTES + 2], const char *key, unsigned slot)
{
	snprintf(out, ID_BYTES + 2, "%s%c", key, (char)('a' + slot));
}

/* Cuts at a character's border. */
static char *text_cut(struct arena *arena, const char *text, size_t max)
{
	return wire_text(arena, text, strlen(text), max);
}

static void values_cut(struct arena *arena, Healbus__Label **labels, size_t n, size_t max)
{
	for (size_t i = 0; i < n; i++) {
		char *value;

		if (!labels[i]->value || strlen(labels[i]->value) <= max)
			continue;
		value = text_cut(arena, labels[i]->value, max);
		labels[i] = label_new(arena, labels[i]->name, value ? value : "");
	}
}

static Healbus__Label **labels_copy(struct arena *arena, Healbus__Label *const *labels, size_t n)
{
	Healbus__Label **copy = arena_alloc(arena, (n + 1) * sizeof(*copy));

	for (size_t i = 0; copy && i < n; i++)
		copy[i] = labels[i];
	return copy;
}

/* Annotations are shortened first, then dropped; labels only when they alone are too much. */
static void event_cut(struct arena *arena, Healbus__Event *e, struct buf *out)
{
	static const size_t annotation_max[] = {WIRE_ANNOTATION_MAX, 1024, 256, 0};
	static const size_t label_max[] = {128, 32, 0};

	e->annotations = labels_copy(arena, e->annotations, e->n_annotations);
	e->labels = labels_copy(arena, e->labels, e->n_labels);
	for (size_t i = 0; i < ARRAY_SIZE(annotation_max); i++) {
		if (!annotation_max[i])
			e->n_annotations = 0;
		values_cut(arena, e->annotations, e->n_annotations, annotation_max[i]);
		buf_reset(out);
		wire_pack(&e->base, out);
		if (out->len <= SLOT_BYTES)
			return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(label_max); i++) {
		if (!label_max[i])
			e->n_labels = 0;
		values_cut(arena, e->labels, e->n_labels, label_max[i]);
		buf_reset(out);
		wire_pack(&e->base, out);
		if (out->len <= SLOT_BYTES)
			return;
	}
}

static void slot_put(struct fold *f, const char *key, uint8_t slot, const Healbus__Event *e)
{
	struct arena arena = {0};
	auto_buf packed = {0};
	Healbus__Event copy = *e;
	char name[ID_BYTES + 2];

	event_cut(&arena, &copy, &packed);
	slot_key(name, key, slot);
	store_put_str(fold_txn(f), &table_slots, name, packed.data, packed.len);
	arena_release(&arena);
}

static Healbus__Event *slot_get(struct fold *f, struct arena *arena, const char *key, unsigned slot)
{
	char name[ID_BYTES + 2];
	struct store_val val;
	ProtobufCMessage *msg;

	slot_key(name, key, slot);
	if (store_get_str(fold_txn(f), &table_slots, name, &val) ||
	    wire_unpack(KIND_EVENT, val.data, val.len, arena, &msg, NULL))
		return NULL;
	return (Healbus__Event *)msg;
}

static uint8_t slot_free(const struct group *g)
{
	for (unsigned i = 0; i < GROUP_SLOTS; i++) {
		if (!(g->slots_used & (1u << i)))
			return (uint8_t)i;
	}
	for (unsigned i = 0; i < GROUP_SLOTS; i++) {
		if (!(g->slots_firing & (1u << i)))
			return (uint8_t)i;
	}
	return SLOT_NONE;
}

/* The slot may have gone to another alert while this one was resolved. */
static bool slot_owned(struct fold *f, const char *key, uint8_t slot, const Healbus__Event *e)
{
	struct arena arena = {0};
	const Healbus__Event *in = slot_get(f, &arena, key, slot);
	bool owned = in && str_eq(in->fingerprint, e->fingerprint);

	arena_release(&arena);
	return owned;
}

void slot_take(struct fold *f, const char *key, struct group *g, const Healbus__Event *e,
	       uint8_t *inout_slot)
{
	uint8_t slot = *inout_slot;

	if (slot == SLOT_NONE || !slot_owned(f, key, slot, e))
		slot = slot_free(g);
	*inout_slot = slot;
	if (slot == SLOT_NONE)
		return;
	slot_put(f, key, slot, e);
	g->slots_used |= (uint16_t)(1u << slot);
	g->slots_firing |= (uint16_t)(1u << slot);
}

void slot_resolve(struct fold *f, const char *key, struct group *g, uint8_t slot, int64_t ends_ms)
{
	struct arena arena = {0};
	Healbus__Event *e;

	if (slot == SLOT_NONE)
		return;
	g->slots_firing &= (uint16_t) ~(1u << slot);
	e = slot_get(f, &arena, key, slot);
	if (e) {
		SET(e, status, HEALBUS__STATUS__STATUS_RESOLVED);
		SET(e, ends_at_ms, ends_ms);
		slot_put(f, key, slot, e);
	}
	arena_release(&arena);
}

static int label_order(const void *a, const void *b)
{
	return strcmp((*(Healbus__Label *const *)a)->name, (*(Healbus__Label *const *)b)->name);
}

/* *inout_to becomes all of it and those of `from` that it lacks; true when there are any. */
static bool pairs_unite(struct arena *arena, Healbus__Label ***inout_to, size_t *inout_n,
			struct label_set from)
{
	size_t n = *inout_n;
	Healbus__Label **all = arena_alloc(arena, (n + from.n + 1) * sizeof(*all));

	for (size_t i = 0; all && i < n; i++)
		all[i] = (*inout_to)[i];
	for (size_t i = 0; all && i < from.n && n < WIRE_LABELS_MAX; i++) {
		if (!label_get(*inout_to, *inout_n, from.items[i]->name))
			all[n++] = from.items[i];
	}
	if (!all || n == *inout_n)
		return false;
	qsort(all, n, sizeof(Healbus__Label *), label_order);
	*inout_to = all;
	*inout_n = n;
	return true;
}

bool slot_learn(struct fold *f, const char *key, uint8_t slot, const Healbus__Event *e)
{
	struct arena arena = {0};
	Healbus__Event *in = slot == SLOT_NONE ? NULL : slot_get(f, &arena, key, slot);
	bool learnt = false;

	if (in && str_eq(in->fingerprint, e->fingerprint)) {
		learnt = pairs_unite(&arena, &in->labels, &in->n_labels,
				     (struct label_set){e->labels, e->n_labels});
		learnt |= pairs_unite(&arena, &in->annotations, &in->n_annotations,
				      (struct label_set){e->annotations, e->n_annotations});
	}
	if (learnt)
		slot_put(f, key, slot, in);
	arena_release(&arena);
	return learnt;
}

static bool told_otherwise(const Healbus__Event *x, const Healbus__Event *y, const char *name)
{
	const char *a = label_get(x->annotations, x->n_annotations, name);
	const char *b = label_get(y->annotations, y->n_annotations, name);

	return a && b && !str_eq(a, b);
}

enum slot_change slot_compare(struct fold *f, const char *fp, const struct alert *a,
			      const Healbus__Event *e)
{
	struct arena arena = {0};
	enum slot_change change = SLOT_SAME;
	const Healbus__Event *in;

	if (a->slot == SLOT_NONE || !label_get(e->annotations, e->n_annotations, "sha"))
		return SLOT_SAME;
	in = slot_get(f, &arena, a->key, a->slot);
	if (in && str_eq(in->fingerprint, fp)) {
		if (told_otherwise(in, e, "run_id") || told_otherwise(in, e, "run_attempt"))
			change = SLOT_OTHER_RUN;
		if (told_otherwise(in, e, "sha"))
			change = SLOT_OTHER_COMMIT;
	}
	arena_release(&arena);
	return change;
}

void slots_clear(struct fold *f, const char *key, const struct group *g)
{
	char name[ID_BYTES + 2];

	for (unsigned i = 0; i < GROUP_SLOTS; i++) {
		if (!(g->slots_used & (1u << i)))
			continue;
		slot_key(name, key, i);
		store_del_str(fold_txn(f), &table_slots, name);
	}
}

/* ---- the message ---- */

static int event_order(const void *a, const void *b)
{
	const Healbus__Event *x = *(Healbus__Event *const *)a, *y = *(Healbus__Event *const *)b;

	if (x->starts_at_ms != y->starts_at_ms)
		return x->starts_at_ms < y->starts_at_ms ? -1 : 1;
	return strcmp(x->fingerprint, y->fingerprint);
}

static void fill_events(struct fold *f, struct arena *arena, const char *key, const struct group *g,
			Healbus__Incident *msg)
{
	msg->events = arena_alloc(arena, GROUP_SLOTS * sizeof(*msg->events));
	for (unsigned i = 0; msg->events && i < GROUP_SLOTS; i++) {
		Healbus__Event *e = g->slots_used & (1u << i) ? slot_get(f, arena, key, i) : NULL;

		if (e)
			msg->events[msg->n_events++] = e;
	}
	if (msg->events && msg->n_events)
		qsort(msg->events, msg->n_events, sizeof(*msg->events), event_order);
}

static void fill_labels(struct fold *f, struct arena *arena, const char *key,
			Healbus__Incident *msg)
{
	struct store_val val;
	const char *at, *end;

	if (store_get_str(fold_txn(f), &table_agreed, key, &val))
		return;
	msg->labels = arena_alloc(arena, WIRE_LABELS_MAX * sizeof(*msg->labels));
	for (at = val.data, end = at + val.len;
	     msg->labels && at < end && msg->n_labels < WIRE_LABELS_MAX;) {
		const char *value = at + strlen(at) + 1;

		msg->labels[msg->n_labels++] = label_new(arena, at, value);
		at = value + strlen(value) + 1;
	}
}

/* What the incident is about, in one line. */
static char *title_make(struct arena *arena, const struct group *g, const Healbus__Incident *msg)
{
	const char *service = label_get(msg->labels, msg->n_labels, "service");
	const char *instance = label_get(msg->labels, msg->n_labels, "instance");
	const char *repository = label_get(msg->labels, msg->n_labels, "repository");
	const char *where = service ? service : (instance ? instance : repository);
	const char *summary = msg->n_events ? msg->events[0]->summary : NULL;
	char *text;

	if (g->fingerprints > 1)
		text = arena_printf(arena, "%s%s%s (%u alerts)", g->name, where ? " on " : "",
				    where ? where : "", g->fingerprints);
	else if (summary && *summary)
		text = arena_printf(arena, "%s: %s", g->name, summary);
	else
		text = arena_printf(arena, "%s%s%s", g->name, where ? " on " : "",
				    where ? where : "");
	return text_cut(arena, text ? text : g->name, WIRE_TITLE_MAX);
}

static void fill_command(struct fold *f, struct arena *arena, const char *key,
			 Healbus__Incident *msg)
{
	struct store_val val;
	Healbus__Command *c;

	if (store_get_str(fold_txn(f), &table_commands, key, &val))
		return;
	c = healbus__command__unpack(NULL, val.len, val.data);
	if (!c)
		return;
	msg->command = arena_alloc(arena, sizeof(*c));
	if (msg->command) {
		healbus__command__init(msg->command);
		msg->command->id = arena_strdup(arena, c->id);
		msg->command->verb = arena_strdup(arena, c->verb);
		msg->command->text = arena_strdup(arena, c->text ? c->text : "");
		msg->command->by = arena_strdup(arena, c->by ? c->by : "");
		SET(msg->command, at_ms, c->at_ms);
	}
	healbus__command__free_unpacked(c, NULL);
}

static void fill_numbers(struct fold *f, const struct group *g, Healbus__Incident *msg)
{
	SET(msg, revision, g->revision);
	SET(msg, severity, (Healbus__Severity)g->severity);
	SET(msg, firing, g->firing);
	SET(msg, fingerprints, g->fingerprints);
	SET(msg, observations, g->observations);
	SET(msg, opened_at_ms, g->opened_ms);
	SET(msg, updated_at_ms, g->updated_ms);
	SET(msg, trusted, g->trusted);
	SET(msg, partition, fold_partition(f));
	if (msg->state == HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED)
		SET(msg, resolved_at_ms, g->resolved_ms);
}

int group_emit(struct fold *f, const char *key, struct group *g, Healbus__IncidentState state,
	       const char *reason)
{
	struct arena arena = {0};
	Healbus__Incident msg = HEALBUS__INCIDENT__INIT;
	char id[ID_BYTES], key_copy[ID_BYTES];

	memcpy(id, g->incident, sizeof(id));
	snprintf(key_copy, sizeof(key_copy), "%s", key);
	g->revision++;
	g->dirty = 0;
	g->told_ms = fold_now_ms(f);
	g->severity_told = MAX(g->severity_told, g->severity);
	g->trust_told = g->trusted;
	SET(&msg, state, state);
	msg.id = id;
	msg.key = key_copy;
	msg.set_by = arena_strdup(&arena, "monitor");
	msg.reason = *reason ? arena_strdup(&arena, reason) : NULL;
	if (state == HEALBUS__INCIDENT_STATE__INCIDENT_SUPPRESSED)
		msg.suppressed_by = g->suppressed_by;
	fill_events(f, &arena, key, g, &msg);
	fill_labels(f, &arena, key, &msg);
	fill_command(f, &arena, key, &msg);
	fill_numbers(f, g, &msg);
	msg.title = title_make(&arena, g, &msg);
	emit(f, KIND_INCIDENT, id, &msg.base);
	arena_release(&arena);
	return 0;
}
