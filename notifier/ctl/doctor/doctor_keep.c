#include "notifier/ctl/doctor/doctor.h"

#include "common/bus.h"
#include "common/clock.h"
#include "common/id.h"

enum { FULL_PERCENT = 80, OLD_PERCENT = 80, HOUR_MS = 3600000 };

static const char claims[] = "KV_" BUCKET_CLAIM;
static const char *const kept[] = {STREAM_RAW, STREAM_EVENTS, STREAM_STORY, STREAM_DEAD, claims};

/* ---- room ---- */

static bool look_at_room_of(struct doctor *d, struct bus *b, const char *stream)
{
	struct bus_stream_state s;
	struct why why = {0};

	if (bus_stream_state(b, stream, &s, &why) || s.max_bytes <= 0)
		return true;
	uint64_t percent = s.bytes * 100 / (uint64_t)s.max_bytes;
	if (percent <= FULL_PERCENT)
		return true;
	finding(d, percent >= 100 ? FINDING_FAIL : FINDING_WARN, "room",
		"raise its bytes or lower its age below keep: in bus.yaml, then healctl doctor "
		"--fix; look who sends so much: healctl status",
		"%s is %" PRIu64 " %% full; when it is full, new messages are refused", stream,
		percent);
	return false;
}

void doctor_room(struct doctor *d, struct bus *b)
{
	bool room = true;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		room &= look_at_room_of(d, b, kept[i]);
	if (room)
		finding(d, FINDING_OK, "room", NULL, "no stream is more than %d %% full",
			FULL_PERCENT);
}

/* ---- readers ---- */

/* How old the first message is that it has not settled; 0: it has settled all, or is not there. */
static int64_t behind_ms(struct bus *b, const struct topic_consumer *c)
{
	struct bus_consumer_state state;
	struct bus_delivery first = {0};
	struct why why = {0};

	if (bus_consumer_state(b, c->stream, c->name, &state, &why) ||
	    state.pending + state.unacked == 0 ||
	    bus_get_next(b, c, state.settled_seq + 1, &first, &why))
		return 0;
	int64_t age_ms = clock_real_ms() - first.stream_ns / 1000000;
	bus_delivery_free(&first);
	return age_ms;
}

static bool look_at_reader(struct doctor *d, struct bus *b, const struct topic_consumer *c)
{
	struct bus_stream_state s;
	struct why why = {0};
	int64_t age_ms = behind_ms(b, c);

	if (age_ms == 0 || bus_stream_state(b, c->stream, &s, &why) || s.max_age_ms == 0 ||
	    age_ms < s.max_age_ms / 100 * OLD_PERCENT)
		return true;
	finding(d, FINDING_FAIL, "readers",
		"start its stage or look why it does not read; until then raise the stream's age "
		"below keep: in bus.yaml, then healctl doctor --fix",
		"%s has not read what came to %s %" PRId64 " h ago, and after %" PRId64
		" h it is thrown away",
		c->name, c->stream, age_ms / HOUR_MS, s.max_age_ms / HOUR_MS);
	return false;
}

/* Every process of a stage reads all of STORY. */
static bool look_at_fold(struct doctor *d, struct bus *b, const char *fold)
{
	bool all = true;

	for (unsigned n = 1; n <= TOPIC_REPLICAS; n++) {
		char name[TOKEN_MAX + 1];
		struct topic_consumer c = {
			.name = name, .stream = STREAM_STORY, .filter = "heal.>"};

		if (n == 1)
			snprintf(name, sizeof(name), "%s", fold);
		else
			snprintf(name, sizeof(name), "%s-%u", fold, n);
		all &= look_at_reader(d, b, &c);
	}
	return all;
}

void doctor_readers(struct doctor *d, struct bus *b)
{
	bool all = true;

	for (size_t i = 0; i < topic_consumers_n; i++)
		all &= look_at_reader(d, b, &topic_consumers[i]);
	for (unsigned p = 0; p < PARTITIONS; p++) {
		char name[TOKEN_MAX + 1], filter[SUBJECT_MAX + 1];
		struct topic_consumer c = {.name = name, .stream = STREAM_EVENTS, .filter = filter};
		snprintf(name, sizeof(name), "monitor-%02u", p);
		subject_partition(filter, p);
		all &= look_at_reader(d, b, &c);
	}
	all &= look_at_fold(d, b, "reasoner");
	all &= look_at_fold(d, b, "notifier");
	if (all)
		finding(d, FINDING_OK, "readers", NULL,
			"everybody has read what is thrown away next");
}
