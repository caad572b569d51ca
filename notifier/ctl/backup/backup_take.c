#include "notifier/ctl/backup/backup.h"

#include "common/clock.h"

enum { WINDOW = 256, ACK_EVERY = 128, PULL_WAIT_MS = 2000 };

int backup_record(struct backup_taking *t, const struct recording_record *r, struct why *out_why)
{
	int rc = recording_add(t->writer, r, out_why);

	if (!rc && r->stream < BACKUP_PARTS)
		backup_part_add(&t->parts[r->stream], r);
	return rc;
}

/* ---- places and ends ---- */

static int take_place(struct backup_taking *t, const struct topic_consumer *c, struct why *out_why)
{
	struct bus_consumer_state state = {0};
	struct why why = {0};
	int rc = bus_consumer_state(t->bus, c->stream, c->name, &state, &why);

	if (rc == ERR_NOT_FOUND) /* its stage has never run: it will begin at the beginning */
		return 0;
	if (rc)
		return why_set(out_why, rc, "consumer %s: %s", c->name, why.text);
	json_array_append_new(t->consumers,
			      json_pack("{s:s, s:s, s:I}", "stream", c->stream, "name", c->name,
					"next_seq", (json_int_t)state.settled_seq + 1));
	return 0;
}

static int take_end(struct backup_taking *t, const char *stream, struct why *out_why)
{
	struct why why = {0};
	size_t i = 0;

	while (!str_eq(recording_streams[i], stream))
		i++;
	int rc = bus_stream_state(t->bus, stream, &t->ends[i], &why);

	return rc ? why_set(out_why, rc, "stream %s: %s", stream, why.text) : 0;
}

static int take_story_time(struct backup_taking *t, struct why *out_why)
{
	struct bus_delivery last = {0};
	const struct bus_stream_state *story = NULL;

	for (size_t i = 0; i < RECORDING_STREAMS; i++)
		if (str_eq(recording_streams[i], STREAM_STORY))
			story = &t->ends[i];
	t->story_ns = INT64_MAX;
	if (!story || story->messages == 0)
		return 0;
	int rc = bus_get(t->bus, STREAM_STORY, story->last_seq, &last, out_why);

	if (!rc)
		t->story_ns = last.stream_ns;
	bus_delivery_free(&last);
	return rc == ERR_NOT_FOUND ? 0 : rc; /* it aged out just now */
}

int backup_take_ends(struct backup_taking *t, struct why *out_why)
{
	static const char *const order[] = {STREAM_DEAD, STREAM_STORY, STREAM_EVENTS, STREAM_RAW};
	int rc = 0;

	t->consumers = json_array();
	for (size_t i = 0; i < topic_consumers_n && !rc; i++)
		rc = take_place(t, &topic_consumers[i], out_why);
	for (size_t i = 0; i < ARRAY_SIZE(order) && !rc; i++)
		rc = take_end(t, order[i], out_why);
	return rc ? rc : take_story_time(t, out_why);
}

/* ---- one stream ---- */

struct pulling {
	struct backup_taking *t;
	const char *stream; /* on the server */
	unsigned kind;
	uint64_t last;     /* none behind this one */
	uint64_t next_seq; /* where it really ended, plus one */
	struct bus_puller *puller;
};

static bool too_young(const struct pulling *p, const struct bus_delivery *d)
{
	struct topic topic;

	return str_eq(p->stream, STREAM_EVENTS) && d->stream_ns > p->t->story_ns &&
	       topic_parse(d->subject, &topic) == 0 && topic.kind == KIND_CONTROL;
}

static int keep(struct pulling *p, const struct bus_delivery *d, struct why *out_why)
{
	const struct recording_record r = {.stream = p->kind,
					   .seq = d->seq,
					   .stream_ns = d->stream_ns,
					   .time_ms = d->time_ms,
					   .subject = d->subject,
					   .id = d->id,
					   .cause = d->cause,
					   .content_type = d->content_type,
					   .data = d->data,
					   .len = d->len};

	p->next_seq = d->seq + 1;
	/* What is left of a claim that was deleted. */
	return p->kind == RECORDING_CLAIM && d->len == 0 ? 0 : backup_record(p->t, &r, out_why);
}

/* *out_end: that was all. */
static int take_delivery(struct pulling *p, const struct bus_delivery *d, bool *out_end,
			 struct why *out_why)
{
	*out_end = d->seq > p->last || too_young(p, d);
	if (*out_end)
		return 0;
	int rc = keep(p, d, out_why);

	*out_end = d->seq == p->last || d->pending == 0;
	if (d->consumer_seq % ACK_EVERY == 0)
		bus_ack(p->puller, d);
	return rc;
}

static int pull_all(struct pulling *p, struct why *out_why)
{
	int64_t heard = clock_mono_ms();

	for (bool end = false; !end;) {
		struct bus_delivery d = {0};
		int rc = bus_puller_next(p->puller, PULL_WAIT_MS, &d);

		if (rc == ERR_TIMEOUT && clock_mono_ms() < heard + BACKUP_SILENCE_MS)
			continue;
		if (rc)
			return why_set(out_why, rc, "%s: %s behind message %" PRIu64, p->stream,
				       rc == ERR_NOT_FOUND ? "another recording or backup began"
							   : err_name(rc),
				       p->next_seq - 1);
		heard = clock_mono_ms();
		rc = take_delivery(p, &d, &end, out_why);
		bus_delivery_free(&d);
		if (rc)
			return rc;
	}
	return 0;
}

static int pull_stream(struct pulling *p, const char *filter, struct why *out_why)
{
	struct bus *b = p->t->bus;
	struct bus_consumer_state state = {0};
	int rc = bus_fold_consumer(b, p->stream, backup_consumer, filter, 0, 0, out_why);

	if (!rc)
		rc = bus_consumer_state(b, p->stream, backup_consumer, &state, out_why);
	if (!rc && state.pending > 0) {
		rc = bus_puller_open(b, p->stream, backup_consumer, WINDOW, &p->puller);
		if (!rc)
			rc = pull_all(p, out_why);
		bus_puller_close(p->puller);
	}
	bus_consumer_delete(b, p->stream, backup_consumer, NULL);
	return rc;
}

static int take_stream(struct backup_taking *t, unsigned kind, struct why *out_why)
{
	const struct bus_stream_state *end = &t->ends[kind];
	struct pulling p = {.t = t,
			    .stream = recording_streams[kind],
			    .kind = kind,
			    .last = end->last_seq,
			    .next_seq = end->last_seq + 1};
	int rc = end->messages ? pull_stream(&p, backup_filters[kind], out_why) : 0;

	/* A stream that was cut goes on where it was cut. */
	t->parts[kind].next_seq = t->parts[kind].n ? p.next_seq : end->last_seq + 1;
	return rc;
}

static int take_claims(struct backup_taking *t, struct why *out_why)
{
	struct pulling p = {.t = t,
			    .stream = "KV_" BUCKET_CLAIM,
			    .kind = RECORDING_CLAIM,
			    .last = UINT64_MAX,
			    .next_seq = 1};

	return pull_stream(&p, "$KV." BUCKET_CLAIM ".>", out_why);
}

int backup_take_bus(struct backup_taking *t, struct why *out_why)
{
	static const unsigned order[] = {3, 0, 1, 2}; /* as they are laid: STORY last */
	int rc = take_claims(t, out_why);

	for (size_t i = 0; i < ARRAY_SIZE(order) && !rc; i++)
		rc = take_stream(t, order[i], out_why);
	return rc;
}
