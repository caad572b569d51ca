#include "common/stage_fold_private.h"

void fold_loop_error(struct fold_loop *l, int rc, const struct why *why)
{
	atomic_store(&l->last_error, rc);
	if (l->logged_error != rc)
		LOG(ERROR, "fold stopped for now", S("worker", l->name), S("error", err_name(rc)),
		    S("why", why->text));
	l->logged_error = rc;
}

static void clear_error(struct fold_loop *l)
{
	if (l->logged_error)
		LOG(INFO, "fold goes on", S("worker", l->name));
	l->logged_error = 0;
	atomic_store(&l->last_error, 0);
}

/* ---- outputs ---- */

static int send_row(void *ctx, const struct fold_row *row)
{
	struct fold_loop *l = ctx;
	if (!row->acked) {
		if (!fold_owner_is(l))
			return ERR_BUSY;
		struct bus_msg m = {.subject = row->msg.subject,
				    .id = row->msg.id,
				    .cause = row->cause,
				    .time_ms = row->msg.time_ms,
				    .again = row->again,
				    .data = row->msg.data,
				    .len = row->msg.len};
		int rc = bus_outlet_send(l->outlet, &m, row->row);
		if (rc)
			return rc;
		FAILPOINT("after-send");
	}
	l->sent_to = row->row + 1;
	return 0;
}

static int send_one(void *ctx, const struct fold_row *row)
{
	int rc = send_row(ctx, row);
	return rc ? rc : 1;
}

static void note_oldest(struct fold_loop *l)
{
	uint64_t oldest = fold_outbox_oldest(l->fold);
	atomic_store(&l->unacked, fold_outbox_unacked(l->fold));
	if (oldest == l->oldest)
		return;
	l->oldest = oldest;
	l->oldest_mono_ms = clock_mono_ms();
}

static int send_from(struct fold_loop *l, uint64_t row)
{
	int rc = fold_outbox_each(l->fold, row, send_row, l);
	l->oldest = fold_outbox_oldest(l->fold);
	l->oldest_mono_ms = clock_mono_ms();
	atomic_store(&l->unacked, fold_outbox_unacked(l->fold));
	return rc;
}

int fold_loop_send_new(struct fold_loop *l)
{
	if (l->paused || l->sent_to == fold_outbox_next(l->fold))
		return 0;
	int rc = fold_outbox_each(l->fold, l->sent_to, send_row, l);
	note_oldest(l);
	return rc;
}

/* The bus refused a row while later ones may be stored: stop, and try this one alone. */
static void pause_outputs(struct fold_loop *l, const struct bus_ack *ack)
{
	if (!l->paused)
		LOG(ERROR, "the bus refuses an output, waiting", S("worker", l->name),
		    S("error", err_name(ack->rc)), I("row", ack->token));
	l->paused = true;
	l->probe = UINT64_MAX;
	l->probe_mono_ms = clock_mono_ms();
	atomic_store(&l->last_error, ack->rc);
}

static int resume_outputs(struct fold_loop *l)
{
	LOG(INFO, "the bus takes outputs again", S("worker", l->name));
	l->paused = false;
	atomic_store(&l->last_error, 0);
	return send_from(l, fold_outbox_oldest(l->fold));
}

static int take_ack(struct fold_loop *l, const struct bus_ack *ack)
{
	if (ack->token == FOLD_LOOP_TICK_TOKEN || ack->staged)
		return 0; /* staged: another answer is to come, or it is sent again when it is late
			   */
	if (ack->rc && ack->rc != ERR_EXISTS) {
		pause_outputs(l, ack);
		return 0;
	}
	fold_outbox_acked(l->fold, ack->token, clock_mono_ms());
	if (l->paused && ack->token == l->probe)
		return resume_outputs(l);
	return 0;
}

int fold_loop_acks(struct fold_loop *l, int64_t wait_ms)
{
	struct bus_ack ack;
	int rc = bus_outlet_next(l->outlet, wait_ms, &ack);
	while (rc == 0) {
		rc = take_ack(l, &ack);
		if (rc == 0)
			rc = bus_outlet_next(l->outlet, 0, &ack);
	}
	note_oldest(l);
	return rc == ERR_TIMEOUT ? 0 : rc;
}

static int probe(struct fold_loop *l)
{
	int64_t now = clock_mono_ms();
	if (now < l->probe_mono_ms + FOLD_LOOP_RETRY_MS)
		return 0;
	l->probe_mono_ms = now;
	/* What was refused has been taken meanwhile: by an answer that was under way. */
	if (fold_outbox_unacked(l->fold) == 0)
		return resume_outputs(l);
	l->probe = fold_outbox_oldest(l->fold);
	return fold_outbox_each(l->fold, l->probe, send_one, l);
}

int fold_loop_resend_late(struct fold_loop *l)
{
	if (l->paused)
		return probe(l);
	if (fold_outbox_unacked(l->fold) == 0 ||
	    clock_mono_ms() < l->oldest_mono_ms + FOLD_LOOP_LATE_MS)
		return 0;
	return send_from(l, fold_outbox_oldest(l->fold));
}

/* ---- what the deleted state, or somebody else, had already said ---- */

static int scan_to(struct fold_loop *l, struct bus_puller *p, uint64_t last_seq)
{
	char mark[TOKEN_MAX + 3];
	struct bus_delivery d = {0};
	snprintf(mark, sizeof(mark), ":%s:", l->def->name);
	for (bool end = false; !end;) {
		stage_pulse(l->pulse);
		int rc = bus_puller_next(p, BUS_REQUEST_TIMEOUT_MS, &d);
		if (rc)
			return rc;
		if (strstr(d.id, mark))
			fold_known_outputs_add(l->fold, d.id);
		end = d.seq >= last_seq || d.pending == 0;
		if (end || d.consumer_seq % FOLD_BATCH_MAX == 0)
			bus_ack(p, &d);
		bus_delivery_free(&d);
		if (stage_stopping(l->stage))
			return ERR_CLOSED;
	}
	return 0;
}

/* From start_ms on; 0: all of it. */
static int scan_story(struct fold_loop *l, uint64_t last_seq, int64_t start_ms, struct why *out_why)
{
	char consumer[sizeof(l->consumer) + 16];
	struct bus_puller *p = NULL;
	struct bus *b = stage_bus(l->stage);
	snprintf(consumer, sizeof(consumer), "%s-rebuild", l->consumer);
	int rc = bus_fold_consumer(b, STREAM_STORY, consumer, "heal.>", 0, start_ms, out_why);
	if (rc)
		return rc;
	rc = bus_puller_open(b, STREAM_STORY, consumer, 2 * FOLD_BATCH_MAX, &p);
	if (rc == 0)
		rc = scan_to(l, p, last_seq);
	bus_puller_close(p);
	if (rc == 0)
		rc = bus_consumer_delete(b, STREAM_STORY, consumer, out_why);
	return rc;
}

static int note_time(void *ctx, const struct fold_row *row)
{
	if (row->acked)
		return 0;
	*(int64_t *)ctx = row->msg.time_ms;
	return 1;
}

/* Since when there may be outputs of ours on STORY that it would store a second time: 0 all of it,
 * INT64_MAX none. Within the stream's duplicate window it says so by itself; after that, what a
 * bus without an answer took from us long ago counts, and what another process said in our place: a
 * replica of ours, or who owned the partition; or we, from a commit that a crash of the machine has
 * undone. */
static int64_t unknown_since_ms(struct fold_loop *l, const struct bus_stream_state *story)
{
	struct fold_offset o = fold_offset(l->fold);
	int64_t old = clock_real_ms() - FOLD_LOOP_KNOWN_MS, row_ms = INT64_MAX;
	int64_t read_ms = o.stream_ns / 1000000;
	bool others = l->def->partitioned ? l->foreign || fold_machine_restarted(l)
					  : story->last_seq > o.seq;
	if (o.seq == 0)
		return 0;
	fold_outbox_each(l->fold, fold_outbox_oldest(l->fold), note_time, &row_ms);
	if (row_ms >= old && (read_ms >= old || !others))
		return INT64_MAX;
	return MAX(1, MIN(row_ms, read_ms) - FOLD_LOOP_MARGIN_MS);
}

static int learn_outputs(struct fold_loop *l, struct why *out_why)
{
	struct bus_stream_state story = {0}, input = {0};
	struct bus *b = stage_bus(l->stage);
	if (l->rebuild_checked)
		return 0;
	int rc = bus_stream_state(b, STREAM_STORY, &story, out_why);
	if (rc == 0)
		rc = bus_stream_state(b, l->def->stream, &input, out_why);
	if (rc)
		return rc;
	int64_t since_ms = unknown_since_ms(l, &story);
	if (story.messages > 0 && input.messages > 0 && since_ms < INT64_MAX) {
		LOG(INFO,
		    since_ms ? "away for long: looking up what was said meanwhile"
			     : "no state: rebuilding it from the bus",
		    S("worker", l->name), I("messages", input.messages));
		l->rebuild_mono_ms = clock_mono_ms();
		rc = scan_story(l, story.last_seq, since_ms, out_why);
		if (rc)
			return rc;
		fold_outbox_settle_known(l->fold, clock_mono_ms());
		l->rebuild_head = input.last_seq;
	}
	l->rebuild_checked = true;
	fold_machine_note(l);
	return 0;
}

/* ---- position ---- */

struct place {
	uint64_t start_seq;
	int64_t start_ms;
	bool went_back;
};

/* Is the message at our offset still the one that we read? */
static int find_place(struct fold_loop *l, struct place *out, struct why *out_why)
{
	struct fold_offset o = fold_offset(l->fold);
	struct bus *b = stage_bus(l->stage);
	struct bus_delivery d = {0};
	struct bus_stream_state state = {0};
	struct why why = {0};
	*out = (struct place){.start_seq = o.seq ? o.seq + 1 : 0};
	atomic_store(&l->applied_seq, o.seq);
	if (o.seq == 0)
		return 0;
	int rc = bus_get(b, l->def->stream, o.seq, &d, &why);
	bool same = rc == 0 && d.stream_ns == o.stream_ns;
	bool gone = rc == ERR_NOT_FOUND;
	bus_delivery_free(&d);
	if (same || (rc && !gone))
		return rc ? why_set(out_why, rc, "%s", why.text) : 0;
	/* Aged out is fine; a stream that ends before the offset, or is younger, is not. */
	rc = bus_stream_state(b, l->def->stream, &state, out_why);
	bool younger = state.created_ns > o.stream_ns;
	out->went_back = rc == 0 && (!gone || state.last_seq < o.seq || younger);
	/* Our ids tell what a lost tail was, not all that a backup has. */
	if (rc == 0 && younger && state.laid_ms)
		return why_set(out_why, ERR_CONFIG,
			       "%s was restored from a backup after this state was made: move the "
			       "directory %s below state_dir away, it is rebuilt",
			       l->def->stream, l->name);
	return rc;
}

static int resume_by_time(struct fold_loop *l, struct place *place, struct why *out_why)
{
	const struct stage_config *c = l->config;
	struct fold_offset o = fold_offset(l->fold);
	LOG(WARN, "the bus lost messages that were read: reading again by time",
	    S("worker", l->name), I("offset", o.seq));
	place->start_seq = 0;
	place->start_ms = MAX(1, o.stream_ns / 1000000 - c->outbox_retain_ms - FOLD_LOOP_MARGIN_MS);
	return fold_skip_seen(l->fold, out_why);
}

static int take_position(struct fold_loop *l, struct why *out_why)
{
	struct place place;
	struct bus *b = stage_bus(l->stage);
	int rc = find_place(l, &place, out_why);
	if (rc == 0 && place.went_back)
		rc = resume_by_time(l, &place, out_why);
	if (rc == 0)
		rc = bus_fold_consumer(b, l->def->stream, l->consumer, l->filter, place.start_seq,
				       place.start_ms, out_why);
	if (rc == 0)
		rc = bus_puller_open(b, l->def->stream, l->consumer, l->window, &l->puller);
	if (rc)
		return rc;
	l->expected = 1;
	metric_add(&stage_resets, 1, l->name);
	atomic_store(&l->reading, true);
	l->read_mono_ms = clock_mono_ms();
	atomic_store(&l->moved_mono_ms, l->read_mono_ms);
	return 0;
}

static int open_outlet(struct fold_loop *l)
{
	int rc = bus_outlet_open(stage_bus(l->stage), &l->outlet);
	if (rc)
		return rc;
	l->paused = false;
	fold_outbox_unack(l->fold);
	return 0;
}

static int own(struct fold_loop *l, struct why *out_why)
{
	int rc = fold_owner_take(l, out_why);
	atomic_store(&l->standing_by, rc == ERR_BUSY);
	return rc;
}

int fold_loop_connect(struct fold_loop *l)
{
	struct why why = {0};
	int rc = bus_wait(stage_bus(l->stage), FOLD_LOOP_SLICE_MS, &why);
	if (rc == ERR_TIMEOUT)
		return 0;
	if (rc == 0)
		rc = own(l, &why);
	bool fresh = rc == 0 && !l->outlet;
	if (fresh)
		rc = open_outlet(l);
	if (rc == 0)
		rc = learn_outputs(l, &why);
	if (rc == 0 && fresh)
		rc = send_from(l, 0);
	if (rc == 0)
		rc = take_position(l, &why);
	if (rc && rc != ERR_CLOSED)
		fold_loop_error(l, rc, &why);
	else if (rc == 0)
		clear_error(l);
	return rc;
}

void fold_loop_disconnect(struct fold_loop *l, bool outlet_too)
{
	atomic_store(&l->reading, false);
	bus_puller_close(l->puller);
	l->puller = NULL;
	if (!outlet_too)
		return;
	bus_outlet_close(l->outlet);
	l->outlet = NULL;
}
