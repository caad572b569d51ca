#include "notifier/health_watch.h"

#include "common/clock.h"
#include "common/log.h"

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
	int64_t at_ms; /* by clock_mono_ms() */
};

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
				       &state, NULL) ||
		    state.pending <= out->behind)
			continue;
		SET(out, behind, state.pending);
		out->slowest = (char *)consumers[i].consumer;
	}
}

static bool is_news(const struct watch *w, const Healbus__Health *now)
{
	bool lagging = now->behind >= LAG_MESSAGES;
	if (!w->said || now->dead_seq != w->dead_seq || lagging != w->lagging)
		return true;
	return lagging && clock_mono_ms() - w->at_ms >= AGAIN_MS;
}

/* Two notifiers see the same: their messages have one id. */
static int say(struct stage *s, Healbus__Health *now)
{
	char id[TOKEN_MAX + 1];
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	bool lagging = now->behind >= LAG_MESSAGES;
	SET(&c, at_ms, clock_real_ms());
	snprintf(id, sizeof(id), "health-%" PRIu64 "-%d-%" PRId64, now->dead_seq, lagging,
		 lagging ? c.at_ms / AGAIN_MS : 0);
	c.id = id;
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_HEALTH);
	c.by = (char *)stage_name(s);
	c.health = now;
	return stage_publish(s, KIND_CONTROL, "health", &c.base, id, NULL, c.at_ms, PUBLISH_MS,
			     NULL, NULL);
}

static void look(struct stage *s, struct watch *w)
{
	struct bus_stream_state dead;
	Healbus__Health now = HEALBUS__HEALTH__INIT;
	if (!bus_epoch(stage_bus(s)) || bus_stream_state(stage_bus(s), STREAM_DEAD, &dead, NULL))
		return;
	SET(&now, dead_seq, dead.last_seq);
	slowest_find(s, &now);
	/* An empty one says nothing that is not known. */
	if (!w->said && !now.dead_seq && now.behind < LAG_MESSAGES)
		*w = (struct watch){.said = true, .at_ms = clock_mono_ms()};
	if (is_news(w, &now) && !say(s, &now))
		*w = (struct watch){true, now.dead_seq, now.behind >= LAG_MESSAGES,
				    clock_mono_ms()};
}

void health_watch_run(struct stage *s)
{
	struct watch w = {0};
	do {
		look(s, &w);
	} while (!stage_sleep(s, ROUND_MS));
}
