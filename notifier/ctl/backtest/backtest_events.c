#include "notifier/ctl/backtest/backtest.h"

#include "common/mem.h"

struct part {
	struct bt_events *events;
	struct fold *fold;
	unsigned number;
	/* the window under way */
	uint32_t *positions; /* of its items */
	size_t n, cap, at;
	int64_t time_ms; /* the fold's, after the message being applied */
	bool ticking;    /* a tick of ours is being applied */
	struct fold_message tick;
	char tick_id[TOKEN_MAX + 32];
};

struct bt_events {
	struct backtest *b;
	struct part parts[PARTITIONS];
	/* from raw bodies */
	struct core_reader *reader;
	struct idmap ids[2]; /* of events that the stream knows, by half windows: newest first */
	int64_t ids_since_ns;
	/* what waits for its place in the recorded story */
	struct idmap held_at;
	struct fold_message *held;
	size_t n_held, cap_held;
};

/* ---- raw bodies ---- */

/* The bus drops an event whose id it has seen within its duplicate window. */
static bool is_duplicate(struct bt_events *e, const char *id, int64_t now_ns)
{
	int64_t window_ns = 0;
	const uint64_t *seen;

	for (size_t i = 0; i < topic_streams_n; i++) {
		if (str_eq(topic_streams[i].name, STREAM_EVENTS))
			window_ns = topic_streams[i].duplicate_window_ms * 1000000;
	}
	if (now_ns - e->ids_since_ns >= window_ns) {
		idmap_release(&e->ids[1]);
		e->ids[1] = e->ids[0];
		e->ids[0] = (struct idmap){0};
		e->ids_since_ns = now_ns;
	}
	for (size_t i = 0; i < ARRAY_SIZE(e->ids); i++) {
		seen = idmap_find(&e->ids[i], id);
		if (seen && now_ns - (int64_t)*seen < window_ns)
			return true;
	}
	*idmap_at(&e->ids[0], id) = (uint64_t)now_ns;
	return false;
}

struct raw_ctx {
	struct backtest *b;
	struct bt_item item; /* of the body */
};

static void event_add(void *ctx, const struct core_message *event)
{
	const struct raw_ctx *raw = ctx;
	struct bt_window *w = &raw->b->window;
	struct bt_item item = raw->item;

	if (event->id && is_duplicate(raw->b->events, event->id, item.m.stream_ns))
		return;
	item.stream = 1;
	item.content_type = "";
	item.m = bt_message_copy(&w->arena, &(struct fold_message){.subject = event->subject,
								   .id = event->id,
								   .time_ms = event->time_ms,
								   .stream_ns = item.m.stream_ns,
								   .seq = item.m.seq,
								   .data = event->data,
								   .len = event->len});
	bt_window_add(w, &item);
}

void bt_events_take(struct backtest *b, const struct bt_item *item)
{
	struct raw_ctx ctx = {b, *item};
	struct core_message raw = {.subject = item->m.subject,
				   .id = item->m.id,
				   .content_type = item->content_type,
				   .time_ms = item->m.time_ms,
				   .data = item->m.data,
				   .len = item->m.len};

	if (core_read(b->events->reader, b->monitor_config, &raw, event_add, &ctx, NULL))
		b->report->bodies_refused++;
}

/* ---- what a correlator says ---- */

static void hold(struct bt_events *e, const char *key, const struct fold_row *row)
{
	struct fold_message *m;

	if (e->n_held == e->cap_held) {
		e->cap_held = e->cap_held ? e->cap_held * 2 : 64;
		e->held = mem_realloc(e->held, e->cap_held * sizeof(*e->held));
	}
	m = &e->held[e->n_held++];
	*m = row->msg;
	m->subject = mem_strdup(row->msg.subject);
	m->id = mem_strdup(row->msg.id);
	m->data = mem_dup(row->msg.data, row->msg.len);
	*idmap_at(&e->held_at, key) = e->n_held;
}

bool bt_events_held(struct backtest *b, const char *key, struct fold_message *out)
{
	struct bt_events *e = b->events;
	uint64_t *at = idmap_find(&e->held_at, key);
	struct fold_message *m = at && *at ? &e->held[*at - 1] : NULL;

	if (!m || !m->subject)
		return false;
	*out = bt_message_copy(&b->window.arena, m);
	free((void *)(uintptr_t)m->subject);
	free((void *)(uintptr_t)m->id);
	free((void *)(uintptr_t)m->data);
	*m = (struct fold_message){0};
	return true;
}

/* The first item of the window by which it was this late. */
static uint32_t position_of(const struct bt_window *w, int64_t time_ms)
{
	size_t low = 0, high = w->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (w->items[middle].top_ms < time_ms)
			low = middle + 1;
		else
			high = middle;
	}
	return (uint32_t)low;
}

static void extra_add(struct part *p, const struct fold_row *row)
{
	struct bt_window *w = &p->events->b->window;
	bool by_timer = p->ticking || row->msg.time_ms < p->time_ms;
	struct bt_extra extra = {.n = (uint32_t)w->n_extras, .partition = p->number};

	if (w->n_extras == w->cap_extras) {
		w->cap_extras = w->cap_extras ? w->cap_extras * 2 : 256;
		w->extras = mem_realloc(w->extras, w->cap_extras * sizeof(*w->extras));
	}
	extra.after = !by_timer;
	extra.position = by_timer ? position_of(w, row->msg.time_ms) : p->positions[p->at - 1];
	if (!p->ticking)
		extra.position = MIN(extra.position, p->positions[p->at - 1]);
	extra.m = bt_message_copy(&w->arena, &row->msg);
	extra.m.stream_ns = row->msg.time_ms * 1000000;
	w->extras[w->n_extras++] = extra;
}

static void on_output(void *ctx, const struct fold_row *row)
{
	struct part *p = ctx;
	struct backtest *b = p->events->b;
	struct arena arena = {0};
	ProtobufCMessage *msg = NULL;
	char key[TOKEN_MAX + 16];
	const uint64_t *place;

	if (str_starts(row->msg.subject, "dead.")) {
		b->report->buried++;
		return;
	}
	if (wire_unpack(KIND_INCIDENT, row->msg.data, row->msg.len, &arena, &msg, NULL) == 0) {
		const Healbus__Incident *i = (const Healbus__Incident *)msg;

		bt_report_monitor(b->report, i);
		place = idmap_find(&b->index.said, bt_revision_key(key, i));
		if (place && *place == BT_COMES)
			hold(p->events, key, row);
		else
			extra_add(p, row);
	}
	arena_release(&arena);
}

/* ---- a window ---- */

static const struct fold_message *next_message(void *ctx)
{
	struct part *p = ctx;
	const struct bt_item *item;

	if (p->at == p->n)
		return NULL;
	item = &p->events->b->window.items[p->positions[p->at++]];
	p->time_ms = MAX(p->time_ms, item->m.time_ms);
	return &item->m;
}

static const struct fold_message *next_tick(void *ctx)
{
	struct part *p = ctx;

	if (p->ticking)
		return NULL;
	p->ticking = true;
	return &p->tick;
}

/* What a running monitor says when nobody else does: that time has passed. */
static int tick(struct part *p, int64_t due_ms, struct why *out_why)
{
	char subject[SUBJECT_MAX + 1];
	const char *name = monitor_core.fold->name;
	Healbus__Tick t = HEALBUS__TICK__INIT;
	auto_buf packed = {0};
	int rc;

	t.stage = (char *)(uintptr_t)name;
	SET(&t, due_ms, due_ms);
	SET(&t, at_ms, due_ms);
	wire_pack(&t.base, &packed);
	snprintf(p->tick_id, sizeof(p->tick_id), "tick:%s-%02u:%" PRId64, name, p->number, due_ms);
	p->tick = (struct fold_message){.subject = subject_event(subject, p->number, "tick"),
					.id = p->tick_id,
					.time_ms = due_ms,
					.stream_ns = due_ms * 1000000,
					.seq = fold_offset(p->fold).seq + 1,
					.data = packed.data,
					.len = packed.len};
	p->time_ms = MAX(p->time_ms, due_ms);
	rc = fold_apply_each(p->fold, next_tick, p, out_why);
	p->ticking = false;
	return rc;
}

static int part_run(struct part *p, struct why *out_why)
{
	int64_t limit_ms = p->events->b->window.until_ms;
	int rc = p->n ? fold_apply_each(p->fold, next_message, p, out_why) : 0;

	while (!rc && fold_next_due_ms(p->fold) <= limit_ms)
		rc = tick(p, fold_next_due_ms(p->fold), out_why);
	return rc;
}

static void part_add(struct part *p, uint32_t position)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 1024;
		p->positions = mem_realloc(p->positions, p->cap * sizeof(*p->positions));
	}
	p->positions[p->n++] = position;
}

/* "event.07.x" -> 7. The fold itself refuses what is not like that. */
static unsigned partition_in(const char *subject)
{
	unsigned tens = (unsigned)(subject[6] - '0'),
		 ones = subject[6] ? (unsigned)(subject[7] - '0') : 0;

	return (tens * 10 + ones) % PARTITIONS;
}

int bt_events_run(struct backtest *b, struct why *out_why)
{
	struct bt_events *e = b->events;
	int rc = 0;

	for (unsigned k = 0; k < PARTITIONS; k++)
		e->parts[k].n = e->parts[k].at = 0;
	for (size_t i = 0; i < b->window.n; i++) {
		const struct bt_item *item = &b->window.items[i];

		if (item->stream != 1)
			continue;
		part_add(&e->parts[partition_in(item->m.subject)], (uint32_t)i);
		b->report->events++;
	}
	for (unsigned k = 0; k < PARTITIONS && !rc; k++)
		rc = part_run(&e->parts[k], out_why);
	return rc;
}

/* ---- opening ---- */

int bt_events_open(struct backtest *b, const char *dir, struct why *out_why)
{
	struct bt_events *e = mem_alloc(sizeof(*e));
	int rc = 0;

	b->events = e;
	e->b = b;
	e->reader = core_reader_new();
	for (unsigned k = 0; k < PARTITIONS && !rc; k++) {
		struct part *p = &e->parts[k];
		auto_free char *path = mem_printf("%s/monitor-%02u", dir, k);
		struct fold_options o = {.dir = path,
					 .partition = k,
					 .config = b->monitor_config,
					 .map_bytes = BT_MAP_BYTES,
					 .no_sync = true,
					 .output = on_output,
					 .output_ctx = p};

		p->events = e;
		p->number = k;
		rc = fold_open(monitor_core.fold, &o, &p->fold, out_why);
	}
	return rc;
}

void bt_events_close(struct bt_events *e)
{
	if (!e)
		return;
	for (unsigned k = 0; k < PARTITIONS; k++) {
		fold_close(e->parts[k].fold);
		free(e->parts[k].positions);
	}
	for (size_t i = 0; i < e->n_held; i++) {
		free((void *)(uintptr_t)e->held[i].subject);
		free((void *)(uintptr_t)e->held[i].id);
		free((void *)(uintptr_t)e->held[i].data);
	}
	free(e->held);
	idmap_release(&e->held_at);
	idmap_release(&e->ids[0]);
	idmap_release(&e->ids[1]);
	core_reader_free(e->reader);
	free(e);
}
