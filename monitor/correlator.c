#include "monitor/correlator.h"
#include "monitor/state.h"

/* A repeat is written down, and counted, when so long has passed since the last that was: often
 * enough for its time-out, and one that only repeats costs nothing but a look. */
enum { SEEN_GRAIN_MAX_MS = 60000, SEEN_GRAINS = 64 };

static const struct rules *rules_of(struct fold *f)
{
	return monitor_rules(fold_config(f));
}

void alert_timer_set(struct fold *f, const char *fp, int64_t due_ms)
{
	char name[FINGERPRINT_LEN + 3];

	snprintf(name, sizeof(name), "a:%s", fp);
	fold_timer_set(f, name, due_ms);
}

/* ---- what an event means for its alert ---- */

enum meaning {
	MEANS_NOTHING, /* late, or a resolution of what never fired */
	MEANS_BURIED,  /* a resolution before its firing: remembered so that it never opens */
	MEANS_FIRES,
	MEANS_REPEAT,
	MEANS_RESOLVED,
	MEANINGS,
};

static enum meaning meaning_of_firing(const struct sight *s)
{
	if (!s->known)
		return MEANS_FIRES;
	if (s->alert.firing)
		return MEANS_REPEAT;
	return s->e->starts_at_ms > s->alert.starts_at_ms ? MEANS_FIRES : MEANS_NOTHING;
}

/* Of a build that began earlier, of another commit: late. */
static bool is_stale(struct fold *f, const struct sight *s)
{
	return s->e->starts_at_ms && s->e->starts_at_ms < s->alert.starts_at_ms &&
	       slot_compare(f, s->e->fingerprint, &s->alert, s->e) == SLOT_OTHER_COMMIT;
}

static enum meaning meaning_of_resolved(struct fold *f, const struct sight *s)
{
	int64_t starts = s->e->starts_at_ms;

	if (!s->known)
		return starts ? MEANS_BURIED : MEANS_NOTHING;
	if (!s->alert.firing)
		return starts > s->alert.starts_at_ms ? MEANS_BURIED : MEANS_NOTHING;
	if ((s->alert.trusted && !s->e->trusted) || is_stale(f, s))
		return MEANS_NOTHING;
	/* A source may move the beginning of an episode back; then its end says which it is. */
	if (!starts || starts >= s->alert.starts_at_ms || s->e->ends_at_ms > s->alert.starts_at_ms)
		return MEANS_RESOLVED;
	return MEANS_NOTHING;
}

static enum meaning meaning_of(struct fold *f, const struct sight *s)
{
	if (s->e->status == HEALBUS__STATUS__STATUS_FIRING)
		return meaning_of_firing(s);
	if (s->e->status == HEALBUS__STATUS__STATUS_RESOLVED)
		return meaning_of_resolved(f, s);
	return MEANS_NOTHING;
}

/* ---- and what follows ---- */

static int on_nothing(struct fold *f, struct sight *s)
{
	(void)f, (void)s;
	return 0;
}

static void alert_fill(struct fold *f, struct sight *s)
{
	struct alert *a = &s->alert;

	a->severity = (uint8_t)s->e->severity;
	a->trusted = s->e->trusted != 0;
	a->starts_at_ms = s->e->starts_at_ms;
	a->seen_ms = fold_now_ms(f);
	snprintf(a->source, sizeof(a->source), "%s", s->e->source);
}

static int on_buried(struct fold *f, struct sight *s)
{
	alert_fill(f, s);
	alert_put(f, s->e->fingerprint, &s->alert, s->labels);
	alert_timer_set(f, s->e->fingerprint, fold_now_ms(f) + rules_of(f)->retention_ms);
	return 0;
}

int alert_fire(struct fold *f, struct sight *s)
{
	struct alert *a = &s->alert;
	const char *fp = s->e->fingerprint;
	struct sighting sighting = {
		.event = s->e,
		.event_id = s->e->id ? s->e->id : s->in->id,
		.labels = s->labels,
	};
	char key[ID_BYTES];
	int rc;

	alert_fill(f, s);
	a->firing = 1;
	group_key(f, s->e, s->labels, key);
	rc = group_fire(f, &sighting, key, a);
	if (rc)
		return rc;
	alert_put(f, fp, a, s->labels);
	alert_set_firing(f, fp, true);
	alert_timer_set(f, fp, fold_now_ms(f) + rules_alert_timeout_ms(rules_of(f), a->source));
	mute_arm(f);
	rc = inhibit_update(f, fp, s->labels, true);
	return rc ? rc : muting_review(f, fp);
}

static bool repeat_counts(struct fold *f, const struct alert *a)
{
	int64_t grain_ms = rules_alert_timeout_ms(rules_of(f), a->source) / SEEN_GRAINS;

	return fold_now_ms(f) - a->seen_ms >= MIN(grain_ms, (int64_t)SEEN_GRAIN_MAX_MS);
}

/* The next sight of something built: of another commit or run, or more about the same one. */
static int on_built_again(struct fold *f, struct sight *s)
{
	struct alert *a = &s->alert;
	bool other = slot_compare(f, s->e->fingerprint, a, s->e) != SLOT_SAME;
	bool moved = other && s->e->starts_at_ms >= a->starts_at_ms;
	auto_buf labels = {0};
	auto_buf before = {0};
	struct alert old;
	int rc;

	if (other && !moved)
		return 0; /* late */
	rc = moved ? group_advance(f, s->e, a) : group_learn(f, s->e, a);

	if (!rc)
		rc = alert_get_labels(f, s->e->fingerprint, &old, &before);
	if (rc)
		return rc;
	/* A check run does not say its workflow; the job of the same name has said it. */
	labels_unite(s->labels, (struct labels){before.data, before.len}, &labels);
	a->seen_ms = fold_now_ms(f);
	a->starts_at_ms = moved ? MAX(a->starts_at_ms, s->e->starts_at_ms) : a->starts_at_ms;
	alert_put(f, s->e->fingerprint, a, (struct labels){labels.data, labels.len});
	return group_settle(f, a->key, NULL);
}

static int on_repeat(struct fold *f, struct sight *s)
{
	struct alert *a = &s->alert;
	bool later = s->e->starts_at_ms > a->starts_at_ms;
	bool believed = s->e->trusted || !a->trusted;
	bool changed = s->e->severity != a->severity && believed;
	int rc = 0;

	if (label_get(s->e->annotations, s->e->n_annotations, "sha"))
		return believed ? on_built_again(f, s) : 0;
	if (!later && !changed && !repeat_counts(f, a))
		return 0;
	if (changed)
		rc = group_change_severity(f, a, s->e->severity);
	if (rc)
		return rc;
	group_repeat(f, a);
	a->seen_ms = fold_now_ms(f);
	a->starts_at_ms = MAX(a->starts_at_ms, s->e->starts_at_ms);
	alert_put(f, s->e->fingerprint, a, s->labels);
	return changed ? group_settle(f, a->key, NULL) : 0;
}

int alert_end(struct fold *f, const char *fp, struct alert *a, struct labels labels,
	      const Healbus__Event *e)
{
	int rc = group_resolve_alert(f, a, e);

	if (rc)
		return rc;
	a->firing = 0;
	a->muted_by[0] = '\0';
	a->seen_ms = fold_now_ms(f);
	a->starts_at_ms = e ? MAX(a->starts_at_ms, e->starts_at_ms) : a->starts_at_ms;
	alert_put(f, fp, a, labels);
	alert_set_firing(f, fp, false);
	alert_timer_set(f, fp, fold_now_ms(f) + rules_of(f)->retention_ms);
	return inhibit_update(f, fp, labels, false);
}

/* e is NULL when its time ran out. */
static int alert_resolve(struct fold *f, const char *fp, struct alert *a, struct labels labels,
			 const Healbus__Event *e)
{
	int rc = alert_end(f, fp, a, labels, e);

	return rc ? rc : group_settle(f, a->key, e ? NULL : "no repeat within resolve_timeout");
}

static int on_resolved(struct fold *f, struct sight *s)
{
	return alert_resolve(f, s->e->fingerprint, &s->alert, s->labels, s->e);
}

typedef int meaning_function(struct fold *f, struct sight *s);
static meaning_function *const meanings[MEANINGS] = {
	[MEANS_NOTHING] = on_nothing, [MEANS_BURIED] = on_buried,     [MEANS_FIRES] = alert_fire,
	[MEANS_REPEAT] = on_repeat,   [MEANS_RESOLVED] = on_resolved,
};

static int sight_refresh(struct fold *f, struct sight *s)
{
	int rc = alert_get(f, s->e->fingerprint, &s->alert);

	s->known = rc == 0;
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int event_apply(struct fold *f, const struct fold_input *in, struct why *out_why)
{
	struct sight s = {.in = in, .e = (const Healbus__Event *)in->msg};
	auto_buf labels = {0};
	bool done = false;
	int rc;

	if (!s.e->fingerprint || !s.e->source)
		return why_set(out_why, ERR_INVALID, "event: no fingerprint or source");
	if (body_again(f, s.e))
		return 0;
	labels_pack(&labels, s.e->labels, s.e->n_labels);
	s.labels = (struct labels){labels.data, labels.len};
	rc = sight_refresh(f, &s);
	if (!rc)
		rc = build_before(f, &s, &done);
	if (rc || done)
		return rc;
	/* Its own alert is covered too: all end before anything is told. */
	if (s.e->covers && s.e->status == HEALBUS__STATUS__STATUS_RESOLVED) {
		rc = build_covers(f, &s);
		if (!rc)
			rc = sight_refresh(f, &s);
	}
	return rc ? rc : meanings[meaning_of(f, &s)](f, &s);
}

/* ---- the fold ---- */

static int correlator_apply(struct fold *f, const struct fold_input *in, struct why *out_why)
{
	int rc = muting_refresh(f);

	if (rc)
		return rc;
	if (in->kind == KIND_EVENT)
		return event_apply(f, in, out_why);
	if (in->kind == KIND_CONTROL)
		return silence_apply(f, in, out_why);
	return 0;
}

static int alert_timer(struct fold *f, const char *fp)
{
	auto_buf labels = {0};
	struct alert a;
	int64_t due;
	int rc = alert_get_labels(f, fp, &a, &labels);

	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	if (!a.firing) {
		alert_forget(f, fp);
		return 0;
	}
	due = a.seen_ms + rules_alert_timeout_ms(rules_of(f), a.source);
	if (due > fold_now_ms(f)) {
		alert_timer_set(f, fp, due);
		return 0;
	}
	return alert_resolve(f, fp, &a, (struct labels){labels.data, labels.len}, NULL);
}

static int mute_timer_named(struct fold *f, const char *rest)
{
	(void)rest;
	return mute_timer(f);
}

static int correlator_timer(struct fold *f, const char *key, struct why *out_why)
{
	static const struct {
		const char *prefix;
		int (*due)(struct fold *f, const char *rest);
	} timers[] = {
		{"a:", alert_timer},      {"b:", body_timer},    {"l:", link_timer},
		{"m:", mute_timer_named}, {"s:", silence_timer}, {"t:", group_timer},
	};
	int rc = muting_refresh(f);

	if (rc)
		return rc;
	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		if (str_starts(key, timers[i].prefix))
			return timers[i].due(f, key + 2);
	}
	return why_set(out_why, ERR_INTERNAL, "timer \"%s\"", key);
}

const struct fold_def correlator = {
	.name = "monitor",
	.stream = STREAM_EVENTS,
	.partitioned = true,
	.tables = monitor_tables,
	.n_tables = MONITOR_TABLES,
	.apply = correlator_apply,
	.timer = correlator_timer,
};
