#include "monitor/record.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/recording.h"
#include "common/stage.h"
#include "monitor/command.h"

enum {
	UNDER_WAY_MAX = 1024,
	ACK_WAIT_MS = 5000,
	BUS_WAIT_MS = 30000,
	NAP_MS = 200,
	FOLD_NAMES_MAX = 8,
	VAIN_MAX = 3, /* connections in a row on which nothing was stored */
	SPEED_MAX = 1000000,
};

/* ---- the command line ---- */

struct request {
	unsigned streams;              /* 0: the first one that the recording has */
	double speed;                  /* 0: as fast as the bus takes it */
	char *without[FOLD_NAMES_MAX]; /* marks in ids: ":monitor:" */
	size_t n_without;
	const char *user;
};

static int take_streams(void *request, const char *value)
{
	struct request *r = request;

	r->streams = streams_parse(value);
	return r->streams ? 0 : ERR_INVALID;
}

static int take_speed(void *request, const char *value)
{
	struct request *r = request;
	char *end = NULL;

	if (str_eq(value, "max")) {
		r->speed = 0;
		return 0;
	}
	r->speed = strtod(value, &end);
	return end != value && !*end && r->speed >= 0.001 && r->speed <= SPEED_MAX ? 0
										   : ERR_INVALID;
}

static int take_without(void *request, const char *value)
{
	struct request *r = request;

	if (!*value || strlen(value) > TOKEN_MAX || r->n_without == FOLD_NAMES_MAX)
		return ERR_INVALID;
	r->without[r->n_without++] = mem_printf(":%s:", value);
	return 0;
}

static int take_user(void *request, const char *value)
{
	((struct request *)request)->user = value;
	return *value ? 0 : ERR_INVALID;
}

static const struct command_option options[] = {
	{"--to-stream", take_streams, "RAW, EVENTS, STORY, DEAD or all"},
	{"--speed", take_speed, "1, another factor, or max"},
	{"--without", take_without, "wants the name of a fold: monitor, reasoner, notifier"},
	{"--user", take_user, "wants a user of the bus"},
};

static const struct command command = {
	.name = "replay",
	.usage = "usage: healbus-monitor [-c DIR] replay [OPTION...] FILE\n\n"
		 "Publishes a recording again: same subjects, ids, times and bytes. What the bus\n"
		 "has seen within its duplicate window it drops, and that is counted. The stages\n"
		 "that read this bus make the rest again: so by default only the first stream of\n"
		 "the recording is replayed. For old recordings run them with `ticks: follow` (or\n"
		 "`off`, when the recording has their ticks), else they know what time it is now.\n"
		 "CAUTION: a replayed STORY holds plans and decisions. Plans that are not too old\n"
		 "will run if an executor reads this bus.\n\n"
		 "  --to-stream NAMES  RAW, EVENTS, STORY, DEAD, several separated by commas, or\n"
		 "                     all (default: the first of these that the recording has)\n"
		 "  --speed FACTOR     1 is the original pace, max (the default) as fast as the\n"
		 "                     bus takes it\n"
		 "  --without FOLD     leave out what this fold has said (monitor, reasoner or\n"
		 "                     notifier), for it to say it again; may be repeated\n"
		 "  --user NAME        user of the bus, as in bus.yaml (default: operator)\n",
	.options = options,
	.n_options = ARRAY_SIZE(options),
};

/* ---- what is under way ---- */

/* Messages are numbered in the order of sending; the number is the token of the ack. */
struct slot {
	uint64_t offset; /* of its record */
	bool acked;
	bool again;   /* sent on an earlier connection too */
	bool counted; /* and its ack was seen there */
};

struct session {
	struct request want;
	struct bus *bus;
	struct bus_outlet *outlet;
	struct recording *recording;
	struct slot slots[UNDER_WAY_MAX]; /* by number modulo its size */
	uint64_t sent, oldest;            /* numbers: the next one, the first without an ack */
	uint64_t again_to;                /* numbers before this one are sent again */
	unsigned vain;
	uint64_t fresh, duplicates, left_out;
	uint64_t furthest; /* offset of the last record looked at */
	int64_t first_ns, first_mono_ms, now_ns;
	struct progress progress;
};

static struct slot *slot_of(struct session *s, uint64_t number)
{
	return &s->slots[number % UNDER_WAY_MAX];
}

static int ack_take(struct session *s, const struct bus_ack *ack, struct why *out_why)
{
	struct slot *slot = slot_of(s, ack->token);

	if (ack->token < s->oldest || ack->token >= s->sent || slot->acked)
		return 0;
	if (ack->rc)
		return why_set(out_why, ack->rc, "the bus refuses a message: %s",
			       ack->rc == ERR_FULL ? "the stream is full" : err_name(ack->rc));
	slot->acked = true;
	s->vain = 0;
	/* Whether it was new when it was sent first, nobody knows; most likely. */
	s->duplicates += ack->duplicate && !slot->again && !slot->counted;
	s->fresh += (!ack->duplicate || slot->again) && !slot->counted;
	while (s->oldest < s->sent && slot_of(s, s->oldest)->acked)
		s->oldest++;
	return 0;
}

/* No ack may mean that the user lacks the right: the server says so beside it. */
static int is_hopeless(struct session *s, struct why *out_why)
{
	char denied[WHY_TEXT_BYTES];

	if (bus_violations(s->bus, denied))
		return why_set(out_why, ERR_DENIED, "%s", denied);
	if (s->vain++ < VAIN_MAX)
		return 0;
	return why_set(out_why, ERR_TIMEOUT, "the bus does not acknowledge what it is sent");
}

/* A new connection: everything without an ack is sent again, in order. */
static int start_again(struct session *s, struct why *out_why)
{
	uint64_t offset;
	int rc = is_hopeless(s, out_why);

	bus_outlet_close(s->outlet);
	s->outlet = NULL;
	if (!rc)
		rc = bus_wait(s->bus, BUS_WAIT_MS, out_why);
	if (!rc)
		rc = bus_outlet_open(s->bus, &s->outlet);
	if (rc || s->oldest == s->sent)
		return rc;
	offset = slot_of(s, s->oldest)->offset;
	s->again_to = MAX(s->again_to, s->sent);
	s->sent = s->oldest;
	return recording_seek(s->recording, offset, out_why);
}

/* Waits for one ack at most so long, then takes all that are there. ERR_TIMEOUT: there was none. */
static int acks_take(struct session *s, int64_t wait_ms, struct why *out_why)
{
	struct bus_ack ack;
	bool any = false;
	int rc = bus_outlet_next(s->outlet, wait_ms, &ack);

	while (rc == 0) {
		any = true;
		rc = ack_take(s, &ack, out_why);
		if (!rc)
			rc = bus_outlet_next(s->outlet, 0, &ack);
	}
	return any && rc == ERR_TIMEOUT ? 0 : rc;
}

/* Until at most `left` are under way. ERR_CLOSED: the connection is to be made anew. */
static int acks_await(struct session *s, uint64_t left, struct why *out_why)
{
	while (s->sent - s->oldest > left) {
		int rc = acks_take(s, ACK_WAIT_MS, out_why);

		if (rc)
			return rc == ERR_TIMEOUT ? ERR_CLOSED : rc;
	}
	return 0;
}

/* ---- one message ---- */

/* Outputs of a fold have ids that end in :<fold>:<n>; what came of them, ids that go on. */
static bool is_said_by(const char *id, const char *mark)
{
	const char *last = strrchr(id, ':');
	size_t len = strlen(mark);

	return last && last[1] && strspn(last + 1, "0123456789") == strlen(last + 1) &&
	       (size_t)(last + 1 - id) >= len && strncmp(last + 1 - len, mark, len) == 0;
}

static bool is_wanted(struct session *s, const struct recording_record *r, uint64_t offset)
{
	bool looked_at = offset <= s->furthest;

	s->furthest = MAX(offset, s->furthest);
	if (!(s->want.streams & (1U << r->stream)))
		return false;
	for (size_t i = 0; i < s->want.n_without; i++) {
		if (is_said_by(r->id, s->want.without[i])) {
			s->left_out += !looked_at;
			return false;
		}
	}
	return true;
}

/* Until it is this message's turn. */
static int pace(struct session *s, const struct recording_record *r, struct why *out_why)
{
	if (!s->first_mono_ms) {
		s->first_mono_ms = clock_mono_ms();
		s->first_ns = r->stream_ns;
	}
	s->now_ns = r->stream_ns;
	while (s->want.speed > 0) {
		double after_ms = (double)(r->stream_ns - s->first_ns) / 1e6 / s->want.speed;
		int64_t wait = s->first_mono_ms + (int64_t)after_ms - clock_mono_ms();
		int rc;

		if (wait <= 0)
			break;
		rc = acks_take(s, MIN(wait, NAP_MS), out_why);
		if (rc && rc != ERR_TIMEOUT)
			return rc;
	}
	return 0;
}

static void slot_fill(struct slot *slot, uint64_t offset, bool again)
{
	*slot = (struct slot){.offset = offset,
			      .again = again,
			      .counted = again && (slot->acked || slot->counted)};
}

static int send(struct session *s, const struct recording_record *r, uint64_t offset,
		struct why *out_why)
{
	struct topic topic;
	struct bus_msg m = {.subject = r->subject,
			    .id = *r->id ? r->id : NULL,
			    .cause = r->cause,
			    .content_type = r->content_type,
			    .time_ms = r->time_ms,
			    .data = r->data,
			    .len = r->len};
	int rc;

	if (topic_parse(r->subject, &topic))
		return why_set(out_why, ERR_INVALID,
			       "the recording has a subject that is not in the topic table: %.100s",
			       r->subject);
	rc = acks_await(s, UNDER_WAY_MAX - 1, out_why);
	if (rc)
		return rc;
	rc = bus_outlet_send(s->outlet, &m, s->sent);
	if (rc)
		return rc == ERR_CLOSED
			       ? rc
			       : why_set(out_why, rc, "%.100s: %s", r->subject, err_name(rc));
	slot_fill(slot_of(s, s->sent), offset, s->sent < s->again_to);
	s->sent++;
	return 0;
}

static void show(struct session *s)
{
	char at[TIME_TEXT_BYTES];

	if (!progress_due(&s->progress))
		return;
	fprintf(stderr, "\r%3.0f %%  %" PRIu64 " messages, at %s\033[K",
		100.0 * (double)recording_offset(s->recording) /
			(double)MAX(recording_bytes(s->recording), 1U),
		s->fresh + s->duplicates, time_format(s->now_ns / 1000000, at));
}

/* ERR_NOT_FOUND at the end. */
static int replay_one(struct session *s, struct why *out_why)
{
	struct recording_record r;
	uint64_t offset = recording_offset(s->recording);
	int rc = recording_next(s->recording, &r, out_why);

	if (rc || !is_wanted(s, &r, offset))
		return rc;
	rc = pace(s, &r, out_why);
	if (!rc)
		rc = send(s, &r, offset, out_why);
	/* Not sent: it is the next one after the connection was made anew. */
	if (rc == ERR_CLOSED)
		rc = recording_seek(s->recording, offset, out_why) ? ERR_IO : ERR_CLOSED;
	show(s);
	return rc;
}

static int replay_all(struct session *s, struct why *out_why)
{
	int rc = ERR_CLOSED;

	for (;;) {
		if (rc == ERR_CLOSED)
			rc = start_again(s, out_why);
		while (!rc)
			rc = replay_one(s, out_why);
		/* A torn tail is said only after what stands before it was stored. */
		if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT) {
			int stored = acks_await(s, 0, out_why);

			if (stored != ERR_CLOSED)
				return stored ? stored : rc == ERR_NOT_FOUND ? 0 : rc;
			rc = ERR_CLOSED;
		}
		if (rc != ERR_CLOSED)
			return rc;
	}
}

/* ---- the whole ---- */

static int first_stream(struct session *s, struct why *out_why)
{
	struct recording_record r;
	unsigned present = 0;
	uint64_t start = recording_offset(s->recording);
	int rc = 0;

	while (!s->want.streams && !(rc = recording_next(s->recording, &r, out_why)))
		present |= 1U << r.stream;
	if (!s->want.streams)
		s->want.streams = present & -present;
	if (rc && rc != ERR_NOT_FOUND && rc != ERR_CORRUPT)
		return rc;
	return recording_seek(s->recording, start, out_why);
}

static void report(const struct session *s)
{
	printf("replayed %" PRIu64 " messages (", s->fresh + s->duplicates);
	for (unsigned i = 0, n = 0; i < RECORDING_STREAMS; i++) {
		if (s->want.streams & (1U << i))
			printf("%s%s", n++ ? ", " : "", recording_streams[i]);
	}
	printf("): %" PRIu64 " new, %" PRIu64 " duplicates that the bus dropped", s->fresh,
	       s->duplicates);
	if (s->want.n_without)
		printf("; %" PRIu64 " left out", s->left_out);
	printf("\n");
}

static int replay(struct session *s, const char *file)
{
	struct why why = {0};
	int rc = recording_open(file, &s->recording, &why);

	if (!rc)
		rc = first_stream(s, &why);
	if (rc)
		return command_fail(&command, COMMAND_FAILED, why.text);
	rc = replay_all(s, &why);
	progress_end(&s->progress);
	bus_outlet_close(s->outlet);
	recording_close(s->recording);
	report(s);
	if (!rc)
		return COMMAND_OK;
	command_fail(&command, 0, why.text[0] ? why.text : err_name(rc));
	return err_class(rc) == ERR_CLASS_TRANSIENT ? COMMAND_NO_BUS : COMMAND_FAILED;
}

int replay_command(int argc, char **argv, const char *config_dir)
{
	struct session *s = mem_alloc(sizeof(*s));
	const char *file;
	struct why why = {0};
	int code;

	s->want.user = "operator";
	code = command_parse(&command, argc, argv, &s->want, &file);
	if (!code && stage_bus_open(config_dir, s->want.user, &s->bus, &why))
		code = command_fail(&command, COMMAND_USAGE, why.text);
	if (!code) {
		progress_begin(&s->progress);
		code = replay(s, file);
		bus_close(s->bus);
	}
	for (size_t i = 0; i < s->want.n_without; i++)
		free(s->want.without[i]);
	free(s);
	return code == COMMAND_HELPED ? COMMAND_OK : code;
}
