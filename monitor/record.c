#include "monitor/record.h"

#include "common/clock.h"
#include "common/recording.h"
#include "common/stage.h"
#include "monitor/command.h"

enum {
	WINDOW = 256,
	ACK_EVERY = 128,
	PULL_WAIT_MS = 2000,
	BUS_WAIT_MS = 30000,
	SILENCE_MS = 30000, /* messages are due, and none comes */
};

static const char consumer[] = "healctl";

/* ---- the command line ---- */

/* A place in a stream. */
struct place {
	bool given;
	bool is_seq;
	uint64_t seq;
	int64_t ms;
};

struct request {
	unsigned streams;
	struct place from, to;
};

static int place_parse(struct place *out, const char *text)
{
	int64_t ms;

	*out = (struct place){.given = true};
	if (*text && strspn(text, "0123456789") == strlen(text) && strlen(text) < 20) {
		out->is_seq = true;
		out->seq = strtoull(text, NULL, 10);
		return 0;
	}
	if (time_parse(text, &out->ms) == 0)
		return 0;
	if (duration_parse(text, &ms))
		return ERR_INVALID;
	out->ms = clock_real_ms() - ms;
	return 0;
}

static int take_streams(void *request, const char *value)
{
	struct request *r = request;

	r->streams = streams_parse(value);
	return r->streams ? 0 : ERR_INVALID;
}

static int take_from(void *request, const char *value)
{
	return place_parse(&((struct request *)request)->from, value);
}

static int take_to(void *request, const char *value)
{
	return place_parse(&((struct request *)request)->to, value);
}

static const struct command_option options[] = {
	{"--stream", take_streams, "RAW, EVENTS, STORY, DEAD or all"},
	{"--from", take_from, "wants a sequence number, a time, or how long ago"},
	{"--to", take_to, "wants a sequence number, a time, or how long ago"},
};

static const struct command command = {
	.name = "record",
	.usage = "usage: healbus-monitor [-c DIR] record [OPTION...] FILE\n\n"
		 "Writes what the bus holds into a new FILE, in the order in which the bus took\n"
		 "it. Connects as the user healctl of bus.yaml; one recording at a time. The file\n"
		 "holds what the messages hold: keep it as you keep the bus.\n\n"
		 "  --stream NAMES  RAW, EVENTS, STORY, DEAD, several separated by commas, or all\n"
		 "                  (default: all, which is RAW,EVENTS,STORY)\n"
		 "  --from WHEN     first message: a sequence number (of one stream), a time such\n"
		 "                  as 2026-11-21T09:00:00Z, or so long ago: 90m, 7d (default:\n"
		 "                  the oldest)\n"
		 "  --to WHEN       last message, as above (default: the newest as of now)\n",
	.options = options,
	.n_options = ARRAY_SIZE(options),
};

/* ---- one stream ---- */

struct session;

struct tape {
	const char *stream;
	unsigned number; /* in recording_streams */
	char filter[16];
	struct bus_puller *puller;
	struct bus_delivery head; /* read ahead */
	bool has_head;
	bool done;
	uint64_t seq;  /* last one taken */
	uint64_t last; /* none after this one */
	uint64_t n;
};

struct session {
	struct bus *bus;
	struct request want;
	struct recording_writer *writer;
	struct tape tapes[RECORDING_STREAMS];
	size_t n_tapes;
	uint64_t n, bytes;
	int64_t first_ns, last_ns;
	struct progress progress;
};

static void tape_stop(struct tape *t)
{
	bus_delivery_free(&t->head);
	t->has_head = false;
	bus_puller_close(t->puller);
	t->puller = NULL;
}

/* A consumer from where we are. */
static int tape_start(struct session *s, struct tape *t, struct why *out_why)
{
	const struct place *from = &s->want.from;
	uint64_t seq = t->seq ? t->seq + 1 : from->is_seq ? from->seq : 0;
	struct bus_consumer_state state = {0};
	int rc = bus_fold_consumer(s->bus, t->stream, consumer, t->filter, seq,
				   seq || !from->given ? 0 : MAX(from->ms, 1), out_why);

	if (!rc)
		rc = bus_consumer_state(s->bus, t->stream, consumer, &state, out_why);
	if (rc)
		return rc;
	t->done = state.pending == 0;
	rc = bus_puller_open(s->bus, t->stream, consumer, WINDOW, &t->puller);
	return rc ? why_set(out_why, rc, "the connection was lost") : 0;
}

static int tape_open(struct session *s, struct tape *t, unsigned number, struct why *out_why)
{
	static const char *const filters[RECORDING_STREAMS] = {"raw.>", "event.>", "heal.>",
							       "dead.>"};
	struct bus_stream_state state = {0};
	int rc;

	t->number = number;
	t->stream = recording_streams[number];
	snprintf(t->filter, sizeof(t->filter), "%s", filters[number]);
	rc = bus_stream_state(s->bus, t->stream, &state, out_why);
	if (rc)
		return rc;
	t->last = s->want.to.is_seq ? MIN(state.last_seq, s->want.to.seq) : state.last_seq;
	t->done = state.messages == 0 || t->last < state.first_seq;
	return t->done ? 0 : tape_start(s, t, out_why);
}

/* The connection went away: once more, from behind the last one taken. */
static int tape_restart(struct session *s, struct tape *t, struct why *out_why)
{
	int rc;

	tape_stop(t);
	rc = bus_wait(s->bus, BUS_WAIT_MS, out_why);
	return rc ? rc : tape_start(s, t, out_why);
}

static int tape_wait(struct session *s, struct tape *t, struct why *out_why)
{
	int64_t until = clock_mono_ms() + SILENCE_MS;
	int rc = ERR_TIMEOUT;

	while (rc == ERR_TIMEOUT && clock_mono_ms() < until)
		rc = bus_puller_next(t->puller, PULL_WAIT_MS, &t->head);
	if (rc == ERR_CLOSED)
		return tape_restart(s, t, out_why);
	if (rc == ERR_NOT_FOUND)
		return why_set(out_why, rc,
			       "consumer %s of %s is gone: is another recording under way?",
			       consumer, t->stream);
	if (rc)
		return why_set(out_why, rc, "%s: message %" PRIu64 " is due and does not come",
			       t->stream, t->seq + 1);
	t->has_head = true;
	return 0;
}

/* Reads ahead, unless this tape is at its end. What was delivered twice is passed over. */
static int tape_fill(struct session *s, struct tape *t, struct why *out_why)
{
	while (!t->has_head && !t->done) {
		int rc = tape_wait(s, t, out_why);

		if (rc)
			return rc;
		if (!t->has_head)
			continue;
		if (t->head.seq <= t->seq) {
			bus_delivery_free(&t->head);
			t->has_head = false;
		} else if (t->head.seq > t->last || (s->want.to.given && !s->want.to.is_seq &&
						     t->head.stream_ns / 1000000 > s->want.to.ms)) {
			bus_delivery_free(&t->head);
			t->has_head = false;
			t->done = true;
		}
	}
	return 0;
}

static int tape_take(struct session *s, struct tape *t, struct why *out_why)
{
	const struct bus_delivery *d = &t->head;
	struct recording_record r = {.stream = t->number,
				     .seq = d->seq,
				     .stream_ns = d->stream_ns,
				     .time_ms = d->time_ms,
				     .subject = d->subject,
				     .id = d->id,
				     .cause = d->cause,
				     .content_type = d->content_type,
				     .data = d->data,
				     .len = d->len};
	int rc = recording_add(s->writer, &r, out_why);

	t->seq = d->seq;
	t->n++;
	s->n++;
	s->bytes += d->len;
	s->first_ns = s->n == 1 ? d->stream_ns : s->first_ns;
	s->last_ns = d->stream_ns;
	t->done = t->seq >= t->last || d->pending == 0;
	if (t->n % ACK_EVERY == 0 || t->done)
		bus_ack(t->puller, d);
	bus_delivery_free(&t->head);
	t->has_head = false;
	return rc;
}

/* ---- all of them, in the order of the bus's time ---- */

static struct tape *earliest(struct session *s)
{
	struct tape *first = NULL;

	for (size_t i = 0; i < s->n_tapes; i++) {
		struct tape *t = &s->tapes[i];

		if (t->has_head && (!first || t->head.stream_ns < first->head.stream_ns))
			first = t;
	}
	return first;
}

static int run(struct session *s, struct why *out_why)
{
	for (;;) {
		struct tape *t;
		int rc = 0;

		for (size_t i = 0; i < s->n_tapes && !rc; i++)
			rc = tape_fill(s, &s->tapes[i], out_why);
		if (rc)
			return rc;
		t = earliest(s);
		if (!t)
			return 0;
		rc = tape_take(s, t, out_why);
		if (rc)
			return rc;
		if (progress_due(&s->progress))
			fprintf(stderr, "\r%" PRIu64 " messages, %" PRIu64 " MiB\033[K", s->n,
				s->bytes >> 20);
	}
}

static int open_all(struct session *s, struct why *out_why)
{
	int rc = bus_wait(s->bus, BUS_WAIT_MS, out_why);

	for (unsigned i = 0; i < RECORDING_STREAMS && !rc; i++) {
		if (s->want.streams & (1U << i))
			rc = tape_open(s, &s->tapes[s->n_tapes++], i, out_why);
	}
	return rc;
}

static void close_all(struct session *s)
{
	for (size_t i = 0; i < s->n_tapes; i++) {
		tape_stop(&s->tapes[i]);
		bus_consumer_delete(s->bus, s->tapes[i].stream, consumer, NULL);
	}
}

static void report(const struct session *s, const char *file)
{
	char first[TIME_TEXT_BYTES], last[TIME_TEXT_BYTES];

	printf("recorded %" PRIu64 " messages (", s->n);
	for (size_t i = 0; i < s->n_tapes; i++)
		printf("%s%s %" PRIu64, i ? ", " : "", s->tapes[i].stream, s->tapes[i].n);
	printf(")");
	if (s->n)
		printf(" from %s to %s", time_format(s->first_ns / 1000000, first),
		       time_format(s->last_ns / 1000000, last));
	printf(" into %s\n", file);
}

static int record(struct session *s, const char *file)
{
	struct why why = {0};
	int rc = open_all(s, &why);

	if (!rc)
		rc = recording_create(file, clock_real_ms(), &s->writer, &why);
	if (!rc)
		rc = run(s, &why);
	progress_end(&s->progress);
	close_all(s);
	int finished = recording_finish(s->writer, rc ? NULL : &why);
	rc = rc ? rc : finished;
	if (rc) {
		command_fail(&command, 0, why.text[0] ? why.text : err_name(rc));
		if (s->n)
			fprintf(stderr,
				"%s is incomplete: it holds the first %" PRIu64 " messages\n", file,
				s->n);
		return err_class(rc) == ERR_CLASS_TRANSIENT ? COMMAND_NO_BUS : COMMAND_FAILED;
	}
	report(s, file);
	return COMMAND_OK;
}

static bool names_one(unsigned streams)
{
	return (streams & (streams - 1)) == 0;
}

int record_command(int argc, char **argv, const char *config_dir)
{
	struct session s = {.want.streams = streams_parse("all")};
	const char *file;
	struct why why = {0};
	int code = command_parse(&command, argc, argv, &s.want, &file);

	if (code)
		return code == COMMAND_HELPED ? COMMAND_OK : code;
	if ((s.want.from.is_seq || s.want.to.is_seq) && !names_one(s.want.streams))
		return command_usage(&command, "sequence numbers are those of one --stream");
	if (stage_bus_open(config_dir, "operator", &s.bus, &why))
		return command_fail(&command, COMMAND_USAGE, why.text);
	progress_begin(&s.progress);
	code = record(&s, file);
	bus_close(s.bus);
	return code;
}
