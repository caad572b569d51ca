#include "monitor/state.h"

static const struct rules *rules_of(struct fold *f)
{
	return monitor_rules(fold_config(f));
}

/* Timers of one moment fire in the order of their names: "t:" is behind those that mute. */
static void timer_name(char out[static ID_BYTES + 2], const char *key)
{
	snprintf(out, ID_BYTES + 2, "t:%s", key);
}

static void group_timer_set(struct fold *f, const char *key, int64_t due_ms)
{
	char name[ID_BYTES + 2];

	timer_name(name, key);
	fold_timer_set(f, name, due_ms);
}

/* ---- counting ---- */

/* So soon after its end that it is the same incident. */
static bool group_returns(struct fold *f, const struct group *g, const Healbus__Event *e)
{
	const struct source_grouping *own = rules_grouping(rules_of(f), e->source);

	return own && g->incident[0] && g->revision && g->resolved_ms &&
	       fold_now_ms(f) - g->resolved_ms < own->reopen_ms;
}

static void group_begin(struct fold *f, const char *key, struct group *g, const struct sighting *s)
{
	const struct rules *r = rules_of(f);
	struct group fresh = {
		.state = GROUP_PENDING,
		.trusted = 1,
		.opened_ms = fold_now_ms(f),
		.resolved_ms = g->resolved_ms,
		.n_opens = g->n_opens,
		.told_ms = fold_now_ms(f) + r->group_wait_ms,
	};

	memcpy(fresh.opens_ms, g->opens_ms, sizeof(fresh.opens_ms));
	if (g->resolved_ms)
		fresh.told_ms = MAX(fresh.told_ms, g->resolved_ms + r->cooldown_ms);
	id_make(fresh.incident, "incident", key, s->event_id);
	if (group_returns(f, g, s->event)) {
		memcpy(fresh.incident, g->incident, sizeof(fresh.incident));
		fresh.revision = g->revision;
		fresh.fingerprints = g->fingerprints;
		fresh.opened_ms = g->opened_ms;
	}
	snprintf(fresh.name, sizeof(fresh.name), "%s", s->event->name ? s->event->name : "");
	*g = fresh;
	storm_count(f);
	build_began(f, s, key, fresh.incident);
	if (fresh.told_ms > fold_now_ms(f))
		group_timer_set(f, key, fresh.told_ms);
}

static void group_severity(struct group *g)
{
	for (uint8_t s = ARRAY_SIZE(g->by_severity); s-- > 0;) {
		if (g->by_severity[s]) {
			g->severity = s;
			return;
		}
	}
}

/* The labels of the episode are those on which all its alerts agree. */
static void group_agree(struct fold *f, const char *key, bool first, struct labels labels)
{
	auto_buf agreed = {0};
	struct store_val val;

	if (first) {
		buf_add(&agreed, labels.data, labels.len);
		labels_fit(&agreed, AGREED_BYTES);
	} else if (store_get_str(fold_txn(f), &table_agreed, key, &val) ||
		   !labels_intersect((struct labels){val.data, val.len}, labels, &agreed)) {
		return;
	}
	store_put_str(fold_txn(f), &table_agreed, key, buf_str(&agreed), agreed.len);
}

static void group_touch(struct fold *f, struct group *g)
{
	g->dirty |= DIRTY_CHANGED;
	g->updated_ms = fold_now_ms(f);
	g->changed_ms = g->updated_ms;
}

static void group_hurry(struct fold *f, struct group *g)
{
	g->dirty |= DIRTY_CHANGED | DIRTY_URGENT;
	g->updated_ms = fold_now_ms(f);
}

int group_fire(struct fold *f, const struct sighting *s, const char *key, struct alert *a)
{
	struct group g = {0};
	int rc = group_get(f, key, &g);
	bool first = false;

	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (g.state == GROUP_REST) {
		group_begin(f, key, &g, s);
		first = true;
	}
	if (!str_eq(a->incident, g.incident)) {
		a->slot = SLOT_NONE;
		g.fingerprints++;
	}
	g.trusted = g.trusted && a->trusted;
	group_agree(f, key, first, s->labels);
	memcpy(a->incident, g.incident, sizeof(a->incident));
	snprintf(a->key, sizeof(a->key), "%s", key);
	slot_take(f, key, &g, s->event, &a->slot);
	g.firing++;
	g.by_severity[a->severity]++;
	g.observations++;
	group_severity(&g);
	group_touch(f, &g);
	group_put(f, key, &g);
	return 0;
}

/* The group in which this alert is counted. */
static int group_of(struct fold *f, const struct alert *a, struct group *g)
{
	int rc = group_get(f, a->key, g);

	if (rc)
		return rc == ERR_NOT_FOUND ? ERR_INTERNAL : rc;
	return str_eq(g->incident, a->incident) ? 0 : ERR_INTERNAL;
}

void group_repeat(struct fold *f, const struct alert *a)
{
	struct group g;

	if (group_of(f, a, &g))
		return;
	g.observations++;
	group_put(f, a->key, &g);
}

int group_resolve_alert(struct fold *f, struct alert *a, const Healbus__Event *e)
{
	struct group g;
	int rc = group_of(f, a, &g);

	if (rc)
		return rc;
	g.firing--;
	g.by_severity[a->severity]--;
	g.muted -= a->muted;
	a->muted = 0;
	g.observations += e ? 1 : 0;
	slot_resolve(f, a->key, &g, a->slot, e && e->ends_at_ms ? e->ends_at_ms : fold_now_ms(f));
	group_severity(&g);
	group_touch(f, &g);
	group_put(f, a->key, &g);
	return 0;
}

int group_change_severity(struct fold *f, struct alert *a, Healbus__Severity severity)
{
	struct group g;
	int rc = group_of(f, a, &g);

	if (rc)
		return rc;
	g.by_severity[a->severity]--;
	g.by_severity[severity]++;
	a->severity = (uint8_t)severity;
	group_severity(&g);
	g.dirty |= DIRTY_CHANGED;
	g.updated_ms = fold_now_ms(f);
	group_put(f, a->key, &g);
	return 0;
}

int group_advance(struct fold *f, const Healbus__Event *e, struct alert *a)
{
	struct group g;
	int rc = group_of(f, a, &g);

	if (rc)
		return rc;
	slot_take(f, a->key, &g, e, &a->slot);
	g.observations++;
	group_hurry(f, &g);
	group_put(f, a->key, &g);
	return 0;
}

int group_learn(struct fold *f, const Healbus__Event *e, struct alert *a)
{
	struct group g;
	int rc;

	if (!slot_learn(f, a->key, a->slot, e))
		return 0;
	rc = group_of(f, a, &g);
	if (rc)
		return rc;
	group_hurry(f, &g);
	group_put(f, a->key, &g);
	return 0;
}

int group_note(struct fold *f, const char *key, const Healbus__Event *e, struct alert *a)
{
	struct group g;
	int rc = group_get(f, key, &g);

	if (rc)
		return rc;
	if (!str_eq(a->incident, g.incident))
		a->slot = SLOT_NONE;
	memcpy(a->incident, g.incident, sizeof(a->incident));
	snprintf(a->key, sizeof(a->key), "%s", key);
	slot_take(f, key, &g, e, &a->slot);
	if (a->slot != SLOT_NONE)
		g.slots_firing &= (uint16_t) ~(1u << a->slot);
	group_hurry(f, &g);
	group_put(f, key, &g);
	return group_settle(f, key, NULL);
}

int group_command(struct fold *f, const char *key, const Healbus__Command *c)
{
	auto_buf packed = {0};
	struct group g;
	int rc = group_get(f, key, &g);

	wire_pack(&c->base, &packed);
	store_put_str(fold_txn(f), &table_commands, key, buf_str(&packed), packed.len);
	if (rc == ERR_NOT_FOUND || (!rc && g.state == GROUP_REST))
		return 0;
	if (rc)
		return rc;
	group_hurry(f, &g);
	group_put(f, key, &g);
	return group_settle(f, key, NULL);
}

bool group_goes_on(struct fold *f, const char *key, struct group *out_g)
{
	return group_get(f, key, out_g) == 0 && out_g->state != GROUP_REST;
}

int group_set_muted(struct fold *f, struct alert *a, bool muted)
{
	struct group g;
	int rc = group_of(f, a, &g);

	if (rc)
		return rc;
	g.muted += muted;
	g.muted -= a->muted;
	a->muted = muted;
	if (muted && !g.flapping)
		memcpy(g.suppressed_by, a->muted_by, sizeof(g.suppressed_by));
	group_put(f, a->key, &g);
	return 0;
}

/* ---- telling ---- */

/* Keeps the row for its flaps and its cool-down until nobody can ask for them. */
static int group_rest(struct fold *f, const char *key, struct group *g)
{
	g->state = GROUP_REST;
	g->flapping = 0;
	g->dirty = 0;
	slots_clear(f, key, g);
	store_del_str(fold_txn(f), &table_agreed, key);
	store_del_str(fold_txn(f), &table_commands, key);
	group_timer_set(f, key, fold_now_ms(f) + rules_of(f)->retention_ms);
	return 0;
}

static int group_resolve(struct fold *f, const char *key, struct group *g, const char *why)
{
	int rc;

	g->resolved_ms = fold_now_ms(f);
	g->updated_ms = g->resolved_ms;
	rc = group_emit(f, key, g, HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED,
			why ? why : "all alerts resolved");
	return rc ? rc : group_rest(f, key, g);
}

static bool group_all_muted(const struct group *g)
{
	return g->firing && g->muted == g->firing;
}

static int group_suppress(struct fold *f, const char *key, struct group *g)
{
	char reason[TOKEN_MAX + 32];

	snprintf(reason, sizeof(reason), "muted by %s", g->suppressed_by);
	g->state = GROUP_SUPPRESSED;
	return group_emit(f, key, g, HEALBUS__INCIDENT_STATE__INCIDENT_SUPPRESSED, reason);
}

static int group_tell_open(struct fold *f, const char *key, struct group *g, const char *reason)
{
	g->state = GROUP_OPEN;
	g->suppressed_by[0] = '\0';
	return group_emit(f, key, g, HEALBUS__INCIDENT_STATE__INCIDENT_OPEN, reason);
}

static uint32_t flap_count(struct fold *f, struct group *g)
{
	int64_t since = fold_now_ms(f) - rules_of(f)->flap_window_ms;
	uint32_t n = 0;

	memmove(&g->opens_ms[1], &g->opens_ms[0], sizeof(g->opens_ms) - sizeof(g->opens_ms[0]));
	g->opens_ms[0] = fold_now_ms(f);
	g->n_opens = MIN(g->n_opens + 1, FLAP_OPENS_MAX);
	while (n < g->n_opens && g->opens_ms[n] > since)
		n++;
	return n;
}

static int group_flaps(struct fold *f, const char *key, struct group *g, uint32_t opens)
{
	char reason[96];

	snprintf(reason, sizeof(reason), "flapping: opened %u times within %" PRId64 " s", opens,
		 rules_of(f)->flap_window_ms / 1000);
	snprintf(g->suppressed_by, sizeof(g->suppressed_by), "flapping");
	g->state = GROUP_SUPPRESSED;
	g->flapping = 1;
	group_timer_set(f, key, g->changed_ms + rules_of(f)->flap_quiet_ms);
	return group_emit(f, key, g, HEALBUS__INCIDENT_STATE__INCIDENT_SUPPRESSED, reason);
}

static int group_open(struct fold *f, const char *key, struct group *g)
{
	uint32_t opens = flap_count(f, g);
	int64_t threshold = rules_of(f)->flap_threshold;

	if (threshold && opens > threshold)
		return group_flaps(f, key, g, opens);
	if (group_all_muted(g))
		return group_suppress(f, key, g);
	return group_tell_open(f, key, g, "");
}

static int settle_pending(struct fold *f, const char *key, struct group *g, const char *why)
{
	(void)why;
	if (!g->firing)
		return group_rest(f, key, g);
	return fold_now_ms(f) >= g->told_ms ? group_open(f, key, g) : 0;
}

static int settle_open(struct fold *f, const char *key, struct group *g, const char *why)
{
	const struct rules *r = rules_of(f);
	bool urgent = g->dirty & DIRTY_URGENT;
	int64_t due = g->told_ms +
		      (urgent ? MIN(r->group_wait_ms, r->group_interval_ms) : r->group_interval_ms);

	if (!g->firing)
		return group_resolve(f, key, g, why);
	if (group_all_muted(g))
		return group_suppress(f, key, g);
	if (g->severity > g->severity_told || g->trusted != g->trust_told)
		return group_tell_open(f, key, g, "");
	if (!(g->dirty & DIRTY_CHANGED))
		return 0;
	if (due <= fold_now_ms(f))
		return group_tell_open(f, key, g, "");
	if (urgent || !(g->dirty & DIRTY_TIMER))
		group_timer_set(f, key, due);
	g->dirty |= DIRTY_TIMER;
	return 0;
}

static int settle_suppressed(struct fold *f, const char *key, struct group *g, const char *why)
{
	if (g->flapping)
		return 0;
	if (!g->firing)
		return group_resolve(f, key, g, why);
	return group_all_muted(g) ? 0 : group_tell_open(f, key, g, "no longer muted");
}

static int settle_rest(struct fold *f, const char *key, struct group *g, const char *why)
{
	(void)f, (void)key, (void)g, (void)why;
	return 0;
}

typedef int settle_function(struct fold *f, const char *key, struct group *g, const char *why);
static settle_function *const settle[GROUP_STATES] = {
	[GROUP_REST] = settle_rest,
	[GROUP_PENDING] = settle_pending,
	[GROUP_OPEN] = settle_open,
	[GROUP_SUPPRESSED] = settle_suppressed,
};

int group_settle(struct fold *f, const char *key, const char *why)
{
	struct group g;
	int rc = group_get(f, key, &g);

	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	if (g.state >= GROUP_STATES)
		return ERR_CORRUPT;
	rc = settle[g.state](f, key, &g, why);
	if (!rc)
		group_put(f, key, &g);
	return rc;
}

static int flap_timer(struct fold *f, const char *key, struct group *g)
{
	int64_t quiet_at = g->changed_ms + rules_of(f)->flap_quiet_ms;

	if (quiet_at > fold_now_ms(f)) {
		group_timer_set(f, key, quiet_at);
		return 0;
	}
	g->flapping = 0;
	g->n_opens = 0;
	if (!g->firing)
		return group_resolve(f, key, g, "quiet after flapping");
	return group_all_muted(g) ? group_suppress(f, key, g)
				  : group_tell_open(f, key, g, "fires steadily after flapping");
}

int group_timer(struct fold *f, const char *key)
{
	struct group g;
	int rc = group_get(f, key, &g);

	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	if (g.state == GROUP_REST) {
		store_del_str(fold_txn(f), &table_groups, key);
		return 0;
	}
	g.dirty &= (uint8_t)~DIRTY_TIMER;
	rc = g.flapping ? flap_timer(f, key, &g) : settle[g.state](f, key, &g, NULL);
	if (!rc)
		group_put(f, key, &g);
	return rc;
}
