#include "notifier/ctl/backup/backup.h"

#include "common/bus_lay.h"
#include "common/clock.h"
#include "common/lease.h"
#include "common/mem.h"

enum { CLAIMS_AT_ONCE = 64 };

/* ---- is there room? ---- */

static int check_empty(struct bus *bus, struct why *out_why)
{
	for (size_t i = 0; i < topic_streams_n; i++) {
		const struct topic_stream *t = &topic_streams[i];
		auto_free char *name = mem_printf("%s%s", t->bucket ? "KV_" : "", t->name);
		struct bus_stream_state state = {0};
		struct why why = {0};
		int rc = bus_stream_state(bus, name, &state, &why);

		/* Locks and signs of life do not come back. */
		bool passing = str_eq(t->name, BUCKET_LOCK) || str_eq(t->name, BUCKET_LIVE);
		if (rc == ERR_NOT_FOUND || (!rc && passing))
			continue;
		if (rc)
			return why_set(out_why, rc, "%s", why.text);
		return why_set(out_why, ERR_EXISTS,
			       "the bus has a stream %s already, with %" PRIu64 " messages", name,
			       state.messages);
	}
	return 0;
}

/* ---- claims ---- */

struct claims {
	struct bus *bus;
	struct bus_ask asks[CLAIMS_AT_ONCE];
	size_t n;
};

static int claims_flush(struct claims *c, struct why *out_why)
{
	int rc = 0;

	bus_ask(c->bus, c->asks, c->n);
	for (size_t i = 0; i < c->n; i++) {
		if (c->asks[i].rc && !rc)
			rc = why_set(out_why, c->asks[i].rc, "claim %s: %s", c->asks[i].key,
				     c->asks[i].why.text);
		free((void *)(uintptr_t)c->asks[i].key);
		free((void *)(uintptr_t)c->asks[i].value);
	}
	c->n = 0;
	return rc;
}

/* A claim that moved while it was read stands in the file twice, the later state behind. */
static int claims_add(struct claims *c, const struct recording_record *r, struct why *out_why)
{
	const char *key = r->subject + strlen("$KV." BUCKET_CLAIM ".");
	int rc = c->n == CLAIMS_AT_ONCE ? claims_flush(c, out_why) : 0;

	for (size_t i = 0; i < c->n && !rc; i++)
		if (str_eq(c->asks[i].key, key))
			rc = claims_flush(c, out_why);
	/* An earlier restore's note; ours is there already. */
	if (rc || str_eq(key, CLAIM_RESTORED))
		return rc;
	c->asks[c->n++] = (struct bus_ask){.kind = BUS_ASK_SET,
					   .bucket = BUCKET_CLAIM,
					   .key = mem_strdup(key),
					   .value = mem_dup(r->data, r->len),
					   .len = r->len};
	return 0;
}

static int lay_claims(struct bus *bus, struct backup *b, struct why *out_why)
{
	struct claims c = {.bus = bus};
	struct recording_record r;
	char now[24];
	int rc = bus_provision_one(bus, BUCKET_CLAIM, out_why);

	snprintf(now, sizeof(now), "%" PRId64, clock_real_ms());
	if (!rc)
		rc = bus_kv_set(bus, BUCKET_CLAIM, CLAIM_RESTORED, now, strlen(now), NULL, out_why);
	if (!rc)
		rc = backup_rewind(b, out_why);
	while (!rc && !(rc = recording_next_any(b->file, &r, out_why)))
		if (r.stream == RECORDING_CLAIM)
			rc = claims_add(&c, &r, out_why);
	if (rc == ERR_NOT_FOUND)
		return claims_flush(&c, out_why);
	claims_flush(&c, NULL);
	return rc;
}

/* ---- streams ---- */

struct laying {
	struct bus *bus;
	const struct backup *backup;
	struct bus_lay *lay;
	unsigned kind; /* of lay; RECORDING_STREAMS: none */
	unsigned done; /* bit set of kinds */
};

static int end_stream(struct laying *l, struct why *out_why)
{
	if (l->kind == RECORDING_STREAMS)
		return 0;
	int rc = bus_lay_end(l->lay, l->backup->parts[l->kind].next_seq, out_why);

	l->lay = NULL;
	l->done |= 1U << l->kind;
	l->kind = RECORDING_STREAMS;
	return rc;
}

static int begin_stream(struct laying *l, unsigned kind, struct why *out_why)
{
	const struct backup_part *p = &l->backup->parts[kind];
	int rc = end_stream(l, out_why);

	if (!rc)
		rc = bus_lay_begin(l->bus, recording_streams[kind],
				   MAX(p->n ? p->first_seq : p->next_seq, 1U), &l->lay, out_why);
	if (!rc)
		l->kind = kind;
	return rc;
}

static int lay_record(struct laying *l, const struct recording_record *r, struct why *out_why)
{
	const struct bus_msg m = {.subject = r->subject,
				  .id = r->id,
				  .cause = r->cause,
				  .content_type = *r->content_type ? r->content_type : NULL,
				  .time_ms = r->time_ms,
				  .data = r->data,
				  .len = r->len};
	struct topic topic;

	if (topic_parse(r->subject, &topic))
		return why_set(out_why, ERR_INVALID, "%.100s: not a subject of ours", r->subject);
	int rc = r->stream == l->kind ? 0 : begin_stream(l, r->stream, out_why);
	return rc ? rc : bus_lay_add(l->lay, r->seq, &m, out_why);
}

/* Streams without messages, too: their numbers go on. */
static int lay_streams(struct bus *bus, struct backup *b, struct why *out_why)
{
	struct laying l = {.bus = bus, .backup = b, .kind = RECORDING_STREAMS};
	struct recording_record r;
	int rc = backup_rewind(b, out_why);

	while (!rc && !(rc = recording_next(b->file, &r, out_why)))
		rc = lay_record(&l, &r, out_why);
	if (rc == ERR_NOT_FOUND)
		rc = end_stream(&l, out_why);
	for (unsigned kind = 0; kind < RECORDING_STREAMS && !rc; kind++) {
		if (l.done & 1U << kind)
			continue;
		rc = begin_stream(&l, kind, out_why);
		if (!rc)
			rc = end_stream(&l, out_why);
	}
	bus_lay_drop(l.lay);
	return rc;
}

/* ---- consumers ---- */

static int lay_consumers(struct bus *bus, const struct backup *b, struct why *out_why)
{
	size_t i;
	json_t *said;
	int rc = 0;

	json_array_foreach(json_object_get(b->begin, "consumers"), i, said)
	{
		const struct topic_consumer *c = topic_consumer_find(js(said, "name"));
		int64_t next = ji(said, "next_seq");

		if (!c || rc)
			continue;
		rc = bus_shared_consumer_from(bus, c, (uint64_t)MAX(next, 1), out_why);
	}
	return rc;
}

int backup_lay(struct bus *bus, struct backup *b, struct why *out_why)
{
	int rc = check_empty(bus, out_why);

	if (!rc)
		rc = lay_claims(bus, b, out_why);
	if (!rc)
		rc = lay_streams(bus, b, out_why);
	if (!rc)
		rc = lay_consumers(bus, b, out_why);
	return rc ? rc : bus_provision(bus, NULL, NULL, out_why);
}
