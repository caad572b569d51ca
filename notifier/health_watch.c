#include "notifier/health_watch.h"

#include "common/clock.h"
#include "common/metrics.h"
#include "notifier/channel_state.h"
#include "notifier/config.h"
#include "notifier/figures.h"
#include "notifier/tables.h"

enum {
	ROUND_MS = 15 * 1000,
	PUBLISH_MS = 5000,
	LAG_MESSAGES = 1000,       /* as in fold_health.c */
	AGAIN_MS = 10 * 60 * 1000, /* a lag that stays is said again */
};

/* Other stages' consumers; one that is not there has nobody who could be behind. */
static const struct {
	const char *stream, *consumer;
} consumers[] = {
	{STREAM_RAW, "normaliser"},
	{STREAM_STORY, "reasoner"},
	{STREAM_STORY, "plans"},
	{STREAM_STORY, "decisions"},
};

/* What was said last. */
struct watch {
	bool said;
	uint64_t dead_seq;
	bool lagging;
	uint64_t channels; /* hash of the names of those that are dead; 0: none */
	int64_t at_ms;     /* by clock_mono_ms() */
};

static struct metric pending =
	METRIC_GAUGE("healbus_consumer_pending_messages",
		     "Messages on the bus that a stage's consumer was not given yet.", "consumer");

static void slowest_find(struct stage *s, Healbus__Health *out)
{
	struct bus_stream_state story;
	uint64_t applied = stage_fold_state(s, 0, 0).applied_seq;
	out->slowest = (char *)"notifier";
	if (!bus_stream_state(stage_bus(s), STREAM_STORY, &story, NULL) && story.last_seq > applied)
		SET(out, behind, story.last_seq - applied);
	for (size_t i = 0; i < ARRAY_SIZE(consumers); i++) {
		struct bus_consumer_state state;
		if (bus_consumer_state(stage_bus(s), consumers[i].stream, consumers[i].consumer,
				       &state, NULL))
			continue;
		metric_set(&pending, (double)state.pending, consumers[i].consumer);
		if (state.pending <= out->behind)
			continue;
		SET(out, behind, state.pending);
		out->slowest = (char *)consumers[i].consumer;
	}
}

static uint64_t channels_hash(const Healbus__Health *h)
{
	uint64_t hash = 0;
	for (size_t i = 0; i < h->n_channels; i++) {
		const char *name = str_or_empty(h->channels[i]);
		hash = fnv1a(hash ? hash : FNV_INIT, name, strlen(name) + 1);
	}
	return hash;
}

static struct watch summary(const Healbus__Health *now)
{
	return (struct watch){true, now->dead_seq, now->behind >= LAG_MESSAGES, channels_hash(now),
			      clock_mono_ms()};
}

static bool is_news(const struct watch *was, const struct watch *now)
{
	if (!was->said || now->dead_seq != was->dead_seq || now->lagging != was->lagging ||
	    now->channels != was->channels)
		return true;
	return (now->lagging || now->channels) && now->at_ms - was->at_ms >= AGAIN_MS;
}

/* Two notifiers see the same: their messages have one id. */
static int say(struct stage *s, Healbus__Health *now)
{
	char id[TOKEN_MAX + 1];
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	struct watch w = summary(now);
	SET(&c, at_ms, clock_real_ms());
	snprintf(id, sizeof(id), "health-%" PRIu64 "-%d-%" PRIx64 "-%" PRId64, now->dead_seq,
		 w.lagging, w.channels, w.lagging || w.channels ? c.at_ms / AGAIN_MS : 0);
	c.id = id;
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_HEALTH);
	c.by = (char *)stage_name(s);
	c.health = now;
	return stage_publish(s, KIND_CONTROL, "health", &c.base, id, NULL, c.at_ms, PUBLISH_MS,
			     NULL, NULL);
}

/* Into states' own names. */
static void channels_find(struct stage *s, struct channel_state *states, char **names,
			  Healbus__Health *out)
{
	const struct notifier_config *config = stage_config_get(s);
	size_t n = channel_states(states);
	out->channels = names;
	for (size_t i = 0; i < n; i++)
		if (channel_find(&config->channels, states[i].name) &&
		    channel_state_dead(&states[i], clock_real_ms(), config->channel_dead_after_ms))
			names[out->n_channels++] = states[i].name;
	stage_config_put(s, config);
}

static void look(struct stage *s, struct watch *w)
{
	struct bus_stream_state dead;
	struct channel_state states[CHANNEL_STATES_MAX];
	char *names[CHANNEL_STATES_MAX] = {0};
	Healbus__Health now = HEALBUS__HEALTH__INIT;
	figures_take(s);
	if (!bus_epoch(stage_bus(s)) || bus_stream_state(stage_bus(s), STREAM_DEAD, &dead, NULL))
		return;
	SET(&now, dead_seq, dead.last_seq);
	slowest_find(s, &now);
	channels_find(s, states, names, &now);
	struct watch seen = summary(&now);
	/* An empty one says nothing that is not known. */
	if (!w->said && !now.dead_seq && !seen.lagging && !seen.channels)
		*w = seen;
	if (is_news(w, &seen) && !say(s, &now))
		*w = seen;
}

void health_watch_run(struct stage *s)
{
	struct watch w = {0};
	do {
		look(s, &w);
	} while (!stage_sleep(s, ROUND_MS));
}
