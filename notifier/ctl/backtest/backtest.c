#include "notifier/ctl/backtest/backtest.h"

#include "common/mem.h"
#include "common/stage.h"

#include <ftw.h>

/* ---- configuration ---- */

static const char *environment(const char *name)
{
	return getenv(name);
}

int bt_config_load(const struct stage_core *core, const char *dir, void **out, struct why *out_why)
{
	void *config = mem_alloc(core->config_size);
	int rc = config_load(core->options, dir, environment, config, out_why);

	if (rc) {
		free(config);
		return rc;
	}
	rc = core->prepare(config, out_why);
	if (rc)
		bt_config_free(core, config);
	else
		*out = config;
	return rc;
}

void bt_config_free(const struct stage_core *core, void *config)
{
	if (!config)
		return;
	core->unprepare(config);
	config_release(core->options, config);
	free(config);
}

/* ---- small things ---- */

struct fold_message bt_message_copy(struct arena *arena, const struct fold_message *m)
{
	struct fold_message copy = *m;
	char *data = arena_alloc(arena, m->len);

	copy.subject = arena_strdup(arena, m->subject);
	copy.id = arena_strdup(arena, m->id ? m->id : "");
	if (m->len)
		memcpy(data, m->data, m->len);
	copy.data = data;
	return copy;
}

void backtest_write(struct backtest *b, const struct fold_message *m, const char *cause)
{
	struct recording_record r = {.stream = 2,
				     .seq = b->written + 1,
				     .stream_ns = m->time_ms * 1000000,
				     .time_ms = m->time_ms,
				     .subject = m->subject,
				     .id = m->id,
				     .cause = cause,
				     .content_type = "",
				     .data = m->data,
				     .len = m->len};

	if (b->writer && recording_add(b->writer, &r, NULL) == 0)
		b->written++;
}

static struct bt_item *item_add(struct bt_window *w)
{
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 1024;
		w->items = mem_realloc(w->items, w->cap * sizeof(*w->items));
	}
	return &w->items[w->n++];
}

/* ---- reading a window ---- */

static bool is_made_anew(const struct backtest *b, const struct recording_record *r)
{
	struct topic topic;

	return b->raw_to_events && topic_parse(r->subject, &topic) == 0 && topic.kind == KIND_EVENT;
}

static void item_fill(struct backtest *b, const struct recording_record *r, struct bt_item *out)
{
	struct bt_window *w = &b->window;
	struct fold_message m = {.subject = r->subject,
				 .id = r->id,
				 .time_ms = r->time_ms,
				 .stream_ns = r->stream_ns,
				 .seq = r->seq,
				 .data = r->data,
				 .len = r->len};

	w->top_ms = MAX(w->top_ms, r->time_ms);
	*out = (struct bt_item){.m = bt_message_copy(&w->arena, &m),
				.content_type = arena_strdup(&w->arena, r->content_type),
				.stream = r->stream,
				.top_ms = w->top_ms};
}

void bt_window_add(struct bt_window *w, const struct bt_item *item)
{
	*item_add(w) = *item;
}

/* A silence reaches every correlator. */
static void relay_control(struct backtest *b, const struct bt_item *item, const Healbus__Control *c)
{
	char subject[SUBJECT_MAX + 1], id[SUBJECT_MAX + 1];

	if (c->kind != HEALBUS__CONTROL_KIND__CONTROL_SILENCE &&
	    c->kind != HEALBUS__CONTROL_KIND__CONTROL_SILENCE_EXPIRE)
		return;
	for (unsigned part = 0; part < PARTITIONS; part++) {
		struct bt_item copy = *item;

		snprintf(id, sizeof(id), "%.200s:%02u", item->m.id, part);
		copy.m.subject = subject_event(subject, part, "control");
		copy.m.id = id;
		copy.m = bt_message_copy(&b->window.arena, &copy.m);
		copy.stream = 1;
		bt_window_add(&b->window, &copy);
	}
}

static void relay(struct backtest *b, const struct bt_item *item)
{
	struct topic topic;
	struct arena arena = {0};
	ProtobufCMessage *msg = NULL;

	if (topic_parse(item->m.subject, &topic) || topic.kind != KIND_CONTROL)
		return;
	if (wire_unpack(topic.kind, item->m.data, item->m.len, &arena, &msg, NULL) == 0)
		relay_control(b, item, (const Healbus__Control *)msg);
	arena_release(&arena);
}

static void take(struct backtest *b, const struct recording_record *r)
{
	struct bt_item item;

	if (!b->events && r->stream != 2)
		return;
	if (r->stream == 3 || (r->stream == 0 && !b->raw_to_events) || is_made_anew(b, r))
		return;
	item_fill(b, r, &item);
	if (r->stream == 0) {
		bt_events_take(b, &item);
		return;
	}
	bt_window_add(&b->window, &item);
	/* With events in the recording, silences are among them. */
	if (r->stream == 2 && b->events && b->index.streams[1] == 0)
		relay(b, &item);
}

/* ERR_NOT_FOUND: there is no more. */
static int window_read(struct backtest *b, struct why *out_why)
{
	struct bt_window *w = &b->window;
	struct recording_record r;
	int rc = 0;

	arena_reset(&w->arena);
	w->n = w->n_extras = w->n_inputs = 0;
	while (w->n < BT_WINDOW_ITEMS && w->arena.used_bytes < BT_WINDOW_BYTES) {
		rc = recording_next(b->file, &r, out_why);
		if (rc)
			break;
		take(b, &r);
	}
	if (rc == ERR_CORRUPT)
		rc = ERR_NOT_FOUND; /* said once, in the report */
	return rc == ERR_NOT_FOUND && w->n ? 0 : rc;
}

/* ---- the run ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int open_folds(struct backtest *b, struct why *out_why)
{
	const char *tmp = getenv("TMPDIR");
	auto_free char *dir = mem_printf("%s/healbus-backtest-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	int rc = 0;

	if (!mkdtemp(dir))
		return why_set(out_why, err_from_errno(errno), "%s: %s", dir, strerror(errno));
	if (b->index.streams[1] || (b->index.streams[0] && b->raw_to_events)) {
		rc = bt_config_load(&monitor_core, b->options->config_dir, &b->monitor_config,
				    out_why);
		if (!rc)
			rc = bt_events_open(b, dir, out_why);
	}
	for (size_t side = 0; side < b->options->n_sides && !rc; side++)
		rc = bt_cases_open(b, side, dir, out_why);
	/* Open files live on without a name, and leave nothing behind however this ends. */
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	return rc;
}

static int open_all(struct backtest *b, struct why *out_why)
{
	const struct backtest_options *o = b->options;
	int rc = recording_open(o->file, &b->file, out_why);

	if (!rc)
		rc = bt_index_read(&b->index, b->file, b->report, out_why);
	if (!rc)
		b->raw_to_events = b->index.streams[0] && (o->from_raw || !b->index.streams[1]);
	if (!rc)
		rc = open_folds(b, out_why);
	if (!rc && o->write)
		rc = recording_create(o->write, 0, &b->writer, out_why);
	return rc;
}

static int window_run(struct backtest *b, struct why *out_why)
{
	int rc = b->events ? bt_events_run(b, out_why) : 0;

	if (!rc)
		bt_story_merge(b);
	for (size_t side = 0; side < b->options->n_sides && !rc; side++)
		rc = bt_cases_run(b->cases[side], out_why);
	return rc;
}

static int run(struct backtest *b, struct why *out_why)
{
	int rc;

	while (!(rc = window_read(b, out_why))) {
		b->window.until_ms = b->window.top_ms - BT_GRACE_MS;
		rc = window_run(b, out_why);
		if (rc)
			return rc;
	}
	if (rc != ERR_NOT_FOUND)
		return rc;
	if (b->options->settle_ms == 0)
		return 0;
	b->window.until_ms = b->window.top_ms + b->options->settle_ms;
	return window_run(b, out_why);
}

static void close_all(struct backtest *b)
{
	bt_events_close(b->events);
	for (size_t side = 0; side < BT_SIDES_MAX; side++)
		bt_cases_close(b->cases[side]);
	bt_config_free(&monitor_core, b->monitor_config);
	bt_index_release(&b->index);
	recording_close(b->file);
	arena_release(&b->window.arena);
	free(b->window.items);
	free(b->window.extras);
	free(b->window.inputs);
}

int backtest_run(const struct backtest_options *options, struct bt_report *report,
		 struct why *out_why)
{
	struct backtest b = {.options = options, .report = report};
	int rc, written;

	b.window.arena.limit_bytes = report->arena.limit_bytes = SIZE_MAX / 2;
	b.window.top_ms = INT64_MIN / 2;
	report->n_sides = options->n_sides;
	rc = open_all(&b, out_why);
	if (!rc)
		rc = run(&b, out_why);
	written = recording_finish(b.writer, rc ? NULL : out_why);
	close_all(&b);
	bt_report_finish(report);
	return rc ? rc : written;
}
