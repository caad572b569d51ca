#include "notifier/ctl/backup/backup.h"

#include "common/clock.h"

enum { WINDOW = 256, ACK_EVERY = 128, PULL_WAIT_MS = 2000 };

/* The bus's side of one stream, read along with the backup's. */
struct side {
	struct bus *bus;
	unsigned kind; /* RECORDING_STREAMS: none yet */
	struct bus_puller *puller;
	struct bus_delivery head;
	bool has_head, ended;
	struct backup_difference *out;
};

static void side_close(struct side *s)
{
	if (s->has_head)
		bus_delivery_free(&s->head);
	bus_puller_close(s->puller);
	if (s->kind < RECORDING_STREAMS)
		bus_consumer_delete(s->bus, recording_streams[s->kind], backup_consumer, NULL);
	*s = (struct side){.bus = s->bus, .kind = RECORDING_STREAMS, .out = s->out};
}

static int side_open(struct side *s, unsigned kind, struct why *out_why)
{
	const char *stream = recording_streams[kind];
	struct bus_consumer_state state = {0};

	side_close(s);
	int rc = bus_fold_consumer(s->bus, stream, backup_consumer, backup_filters[kind], 0, 0,
				   out_why);
	if (rc)
		return rc;
	s->kind = kind;
	rc = bus_consumer_state(s->bus, stream, backup_consumer, &state, out_why);
	s->ended = state.pending == 0;
	if (!rc)
		rc = bus_puller_open(s->bus, stream, backup_consumer, WINDOW, &s->puller);
	return rc;
}

static int side_next(struct side *s, struct why *out_why)
{
	int64_t until = clock_mono_ms() + BACKUP_SILENCE_MS;

	while (!s->has_head && !s->ended) {
		int rc = bus_puller_next(s->puller, PULL_WAIT_MS, &s->head);

		if (rc == ERR_TIMEOUT && clock_mono_ms() < until)
			continue;
		if (rc)
			return why_set(out_why, rc, "%s: reading it back: %s",
				       recording_streams[s->kind], err_name(rc));
		s->has_head = true;
	}
	return 0;
}

static void side_drop(struct side *s)
{
	s->ended = s->head.pending == 0;
	if (s->head.consumer_seq % ACK_EVERY == 0)
		bus_ack(s->puller, &s->head);
	bus_delivery_free(&s->head);
	s->has_head = false;
}

/* ---- one message ---- */

static bool is_same(const struct recording_record *r, const struct bus_delivery *d)
{
	return r->seq == d->seq && r->time_ms == d->time_ms && str_eq(r->subject, d->subject) &&
	       str_eq(r->id, d->id) && str_eq(r->cause, d->cause) &&
	       str_eq(r->content_type, d->content_type) && r->len == d->len &&
	       memcmp(r->data, d->data, r->len) == 0;
}

static void note(struct side *s, uint64_t *count, const struct recording_record *r,
		 const char *what)
{
	if (s->out->different + s->out->missing == 0)
		snprintf(s->out->first, sizeof(s->out->first), "message %" PRIu64 " of %s %s",
			 r->seq, recording_streams[r->stream], what);
	++*count;
}

static int compare_one(struct side *s, const struct recording_record *r, bool first,
		       struct why *out_why)
{
	int rc = side_next(s, out_why);

	if (rc)
		return rc;
	if (!s->has_head) {
		note(s, &s->out->missing, r, "is not on the bus");
		return 0;
	}
	if (r->seq < s->head.seq) {
		if (first)
			s->out->gone++;
		else
			note(s, &s->out->missing, r, "is not on the bus");
		return 0;
	}
	if (is_same(r, &s->head))
		s->out->same++;
	else
		note(s, &s->out->different, r, "is another on the bus");
	side_drop(s);
	return 0;
}

int backup_compare(struct bus *bus, struct backup *b, struct backup_difference *out,
		   struct why *out_why)
{
	struct side s = {.bus = bus, .kind = RECORDING_STREAMS, .out = out};
	struct recording_record r;
	bool first = true; /* nothing of this stream was on both sides yet */
	int rc = backup_rewind(b, out_why);

	*out = (struct backup_difference){0};
	while (!rc && !(rc = recording_next(b->file, &r, out_why))) {
		uint64_t met = out->same + out->different;

		first = first || r.stream != s.kind;
		if (r.stream != s.kind)
			rc = side_open(&s, r.stream, out_why);
		if (!rc)
			rc = compare_one(&s, &r, first, out_why);
		first = first && out->same + out->different == met;
	}
	side_close(&s);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}
