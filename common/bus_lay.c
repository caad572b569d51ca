#include "common/bus_lay.h"

#include "common/bus_private.h"

enum {
	UNDER_WAY_MAX = 512,
	UNDER_WAY_BYTES = 8 << 20,
	ACK_WAIT_MS = 5000,
	NAP_MS = 10,
	VAIN_MAX = 500, /* naps in a row: 5 s, for a window of a tenth of a second */
	FIRST_TRUE_MAJOR = 2,
	FIRST_TRUE_MINOR = 10,
};
#define MS_TO_NS INT64_C(1000000)

/* A message on its way. */
struct sent {
	uint64_t seq;
	char *subject, *id, *cause, *content_type;
	int64_t time_ms;
	void *data;
	size_t len;
	bool stored;
};

struct bus_lay {
	struct bus *bus;
	const struct topic_stream *of;
	char filler[SUBJECT_MAX + 1]; /* subject of what fills gaps */
	struct bus_outlet *outlet;
	struct sent ring[UNDER_WAY_MAX]; /* by number modulo its size */
	uint64_t oldest, next;           /* numbers: first one not known to be stored, next one */
	size_t bytes;                    /* of those */
	uint64_t seq;                    /* last one given to us */
	uint64_t offset;                 /* a server that counts anew is behind by this */
	uint64_t stored;
	uint64_t gaps;
};

static int api(struct bus_lay *l, const char *what, json_t *body, struct why *out_why)
{
	char subject[SUBJECT_MAX + 1];
	auto_json answer = NULL;
	snprintf(subject, sizeof(subject), "$JS.API.STREAM.%s.%s", what, l->of->name);
	return bus_api(l->bus, subject, body, &answer, out_why);
}

/* ---- beginning ---- */

static const struct topic_stream *stream_find(const char *name)
{
	for (size_t i = 0; i < topic_streams_n; i++)
		if (str_eq(topic_streams[i].name, name) && !topic_streams[i].bucket)
			return &topic_streams[i];
	return NULL;
}

/* Before 2.10 the number that Nats-Expected-Last-Sequence is compared with does not follow a purge:
 * it counts what came since, until the server starts again. */
static uint64_t server_offset(struct bus *b, uint64_t first_seq)
{
	char version[32];
	char *end;
	bus_server_version(b, version);
	unsigned long major = strtoul(version, &end, 10);
	unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	bool follows = major > FIRST_TRUE_MAJOR ||
		       (major == FIRST_TRUE_MAJOR && minor >= FIRST_TRUE_MINOR);
	return follows ? 0 : first_seq - 1;
}

static int make_stream(struct bus_lay *l, uint64_t first_seq, struct why *out_why)
{
	json_t *config = bus_stream_config(l->bus, l->of);
	json_object_set_new(config, "duplicate_window", json_integer(BUS_LAY_WINDOW_MS * MS_TO_NS));
	json_object_set_new(config, "deny_purge", json_false());
	/* Nothing is to be thrown away, or refused, before all is there. */
	json_object_set_new(config, "max_age", json_integer(0));
	int rc = api(l, "CREATE", config, out_why);
	if (rc || first_seq == 1)
		return rc;
	return api(l, "PURGE", json_pack("{s:I}", "seq", (json_int_t)first_seq), out_why);
}

/* CREATE of one that is there is no error when it is alike. */
static int check_absent(struct bus *b, const char *name, struct why *out_why)
{
	struct bus_stream_state state = {0};
	struct why why = {0};
	int rc = bus_stream_state(b, name, &state, &why);
	if (rc == ERR_NOT_FOUND)
		return 0;
	return rc ? why_set(out_why, rc, "%s: %s", name, why.text)
		  : why_set(out_why, ERR_EXISTS, "stream %s is there, with %" PRIu64 " messages",
			    name, state.messages);
}

/* A subject of the stream that nobody else uses. */
static void set_filler(struct bus_lay *l)
{
	const char *pattern = l->of->subjects[0];
	const char *middle = str_eq(l->of->name, STREAM_EVENTS)  ? "00."
			     : str_eq(l->of->name, STREAM_STORY) ? "control."
								 : "";
	snprintf(l->filler, sizeof(l->filler), "%.*s%srestore-gap", (int)strcspn(pattern, ">"),
		 pattern, middle);
}

int bus_lay_begin(struct bus *b, const char *name, uint64_t first_seq, struct bus_lay **out,
		  struct why *out_why)
{
	const struct topic_stream *of = stream_find(name);
	assert(first_seq >= 1);
	if (!of)
		return why_set(out_why, ERR_INVALID, "%s: not a stream of ours", name);
	int rc = check_absent(b, name, out_why);
	if (rc)
		return rc;
	struct bus_lay *l = mem_alloc(sizeof(*l));
	*l = (struct bus_lay){.bus = b, .of = of, .seq = first_seq - 1};
	set_filler(l);
	l->offset = server_offset(b, first_seq);
	rc = make_stream(l, first_seq, out_why);
	if (!rc)
		rc = bus_outlet_open(b, &l->outlet);
	if (rc) {
		bus_lay_drop(l);
		return why_set(out_why, rc, "%s: %s", name, err_name(rc));
	}
	*out = l;
	return 0;
}

/* ---- under way ---- */

static void sent_release(struct sent *s)
{
	free(s->subject);
	free(s->id);
	free(s->cause);
	free(s->content_type);
	free(s->data);
	*s = (struct sent){0};
}

static struct sent *sent_at(struct bus_lay *l, uint64_t number)
{
	return &l->ring[number % UNDER_WAY_MAX];
}

void bus_lay_drop(struct bus_lay *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < UNDER_WAY_MAX; i++)
		sent_release(&l->ring[i]);
	bus_outlet_close(l->outlet);
	free(l);
}

static int send_number(struct bus_lay *l, uint64_t number, struct why *out_why)
{
	const struct sent *s = sent_at(l, number);
	const struct bus_msg m = {.subject = s->subject,
				  .id = s->id,
				  .cause = s->cause,
				  .content_type = s->content_type,
				  .time_ms = s->time_ms,
				  .data = s->data,
				  .len = s->len,
				  .again = !str_eq(s->subject, l->filler),
				  /* Of the first one only the answer says where it came to lie. */
				  .expect_last = number ? s->seq - 1 - l->offset : 0};
	int rc = bus_outlet_send(l->outlet, &m, number);
	return rc ? why_set(out_why, rc, "%s: message %" PRIu64 ": %s", l->of->name, s->seq,
			    err_name(rc))
		  : 0;
}

static int out_of_place(const struct bus_lay *l, uint64_t seq, struct why *out_why)
{
	return why_set(out_why, ERR_CONFLICT,
		       "message %" PRIu64 " of %s does not come to lie where it was: somebody "
		       "else writes to this bus",
		       seq, l->of->name);
}

/* 0: it is stored, or is to be sent again. */
static int take_ack(struct bus_lay *l, const struct bus_ack *ack, struct why *out_why)
{
	struct sent *s = sent_at(l, ack->token);
	if (ack->token < l->oldest || ack->token >= l->next || s->stored)
		return 0;
	if (ack->staged || ack->rc == ERR_EXISTS || (ack->rc == 0 && ack->duplicate))
		return 0;
	if (ack->rc)
		return why_set(out_why, ack->rc, "%s: the bus refuses message %" PRIu64 ": %s",
			       l->of->name, s->seq, err_name(ack->rc));
	if (ack->seq != s->seq)
		return out_of_place(l, s->seq, out_why);
	s->stored = true;
	return 0;
}

static void forget_stored(struct bus_lay *l)
{
	while (l->oldest < l->next && sent_at(l, l->oldest)->stored) {
		l->bytes -= sent_at(l, l->oldest)->len;
		sent_release(sent_at(l, l->oldest));
		l->oldest++;
		l->stored++;
	}
}

/* So many answers are due. */
static int take_acks(struct bus_lay *l, uint64_t due, struct why *out_why)
{
	for (; due > 0; due--) {
		struct bus_ack ack;
		int rc = bus_outlet_next(l->outlet, ACK_WAIT_MS, &ack);
		if (rc)
			return why_set(out_why, rc, "%s: the bus does not answer (%s)", l->of->name,
				       err_name(rc));
		rc = take_ack(l, &ack, out_why);
		if (rc)
			return rc;
	}
	forget_stored(l);
	return 0;
}

static int send_again(struct bus_lay *l, uint64_t count, struct why *out_why)
{
	int rc = 0;
	for (uint64_t n = 0; n < count && !rc; n++)
		rc = send_number(l, l->oldest + n, out_why);
	return rc ? rc : take_acks(l, count, out_why);
}

/* Until all are stored. What was dropped as a duplicate takes down all that came behind it: it is
 * sent again alone until its window is over, then all the others. */
static int settle(struct bus_lay *l, struct why *out_why)
{
	uint64_t before = l->stored;
	int rc = take_acks(l, l->next - l->oldest, out_why);
	for (int vain = 0; !rc && l->oldest < l->next;) {
		bool moved = l->stored != before;
		before = l->stored;
		vain = moved ? 0 : vain + 1;
		if (vain > VAIN_MAX)
			return out_of_place(l, sent_at(l, l->oldest)->seq, out_why);
		if (!moved)
			nanosleep(&(struct timespec){.tv_nsec = NAP_MS * MS_TO_NS}, NULL);
		rc = send_again(l, moved ? l->next - l->oldest : 1, out_why);
	}
	return rc;
}

static int add(struct bus_lay *l, uint64_t seq, const struct bus_msg *m, struct why *out_why)
{
	int rc = 0;
	if (l->next - l->oldest == UNDER_WAY_MAX || l->bytes + m->len > UNDER_WAY_BYTES)
		rc = settle(l, out_why);
	if (rc)
		return rc;
	*sent_at(l, l->next) = (struct sent){
		.seq = seq,
		.subject = mem_strdup(m->subject),
		.id = m->id && *m->id ? mem_strdup(m->id) : NULL,
		.cause = m->cause && *m->cause ? mem_strdup(m->cause) : NULL,
		.content_type = m->content_type ? mem_strdup(m->content_type) : NULL,
		.time_ms = m->time_ms,
		.data = mem_dup(m->data, m->len),
		.len = m->len,
	};
	l->bytes += m->len;
	l->seq = seq;
	return send_number(l, l->next++, out_why);
}

/* Messages that were deleted left their numbers. */
static int fill_to(struct bus_lay *l, uint64_t seq, struct why *out_why)
{
	const struct bus_msg filler = {.subject = l->filler, .data = ""};
	int rc = 0;
	if (seq - l->seq - 1 > BUS_LAY_GAP_MAX - l->gaps)
		return why_set(out_why, ERR_TOO_LARGE, "%s: over %d messages are missing in it",
			       l->of->name, BUS_LAY_GAP_MAX);
	while (!rc && l->seq + 1 < seq) {
		rc = add(l, l->seq + 1, &filler, out_why);
		l->gaps++;
	}
	return rc;
}

int bus_lay_add(struct bus_lay *l, uint64_t seq, const struct bus_msg *m, struct why *out_why)
{
	assert(seq > l->seq);
	int rc = fill_to(l, seq, out_why);
	return rc ? rc : add(l, seq, m, out_why);
}

static int finish(struct bus_lay *l, uint64_t next_seq, struct why *out_why)
{
	int rc = next_seq ? fill_to(l, next_seq, out_why) : 0;
	if (!rc)
		rc = settle(l, out_why);
	if (!rc && l->gaps)
		rc = api(l, "PURGE", json_pack("{s:s}", "filter", l->filler), out_why);
	if (rc)
		return rc;
	json_t *config = bus_stream_config(l->bus, l->of);
	json_object_set_new(config, "description",
			    json_sprintf(BUS_LAID_TEXT "%" PRId64, clock_real_ms()));
	return api(l, "UPDATE", config, out_why);
}

int bus_lay_end(struct bus_lay *l, uint64_t next_seq, struct why *out_why)
{
	if (!l)
		return 0;
	int rc = finish(l, next_seq, out_why);
	bus_lay_drop(l);
	return rc;
}
