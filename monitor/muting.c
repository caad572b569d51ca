#include "monitor/state.h"

#define MUTED_BY_TIME "mute"

static const struct rules *rules_of(struct fold *f)
{
	return monitor_rules(fold_config(f));
}

/* ---- mute times ---- */

void mute_arm(struct fold *f)
{
	const struct mutes *mutes = &rules_of(f)->mutes;
	struct meta m;

	if (!mutes->n)
		return;
	m = meta_get(f);
	if (m.mute_due_ms > fold_now_ms(f))
		return;
	m.mute_due_ms = mutes_next_change_ms(mutes, fold_now_ms(f));
	meta_put(f, &m);
	fold_timer_set(f, "m:", m.mute_due_ms);
}

static bool mute_by_time(struct fold *f, struct labels labels)
{
	const struct mutes *mutes = &rules_of(f)->mutes;

	for (size_t i = 0; i < mutes->n; i++) {
		if (mute_active(&mutes->items[i], fold_now_ms(f)) &&
		    matchers_match(&mutes->items[i].matchers, labels_lookup, &labels))
			return true;
	}
	return false;
}

int mute_timer(struct fold *f)
{
	int rc = muting_review_all(f);

	if (!rc && store_count(fold_txn(f), &table_firing))
		mute_arm(f);
	return rc;
}

/* ---- one alert ---- */

/* Who mutes this alert now: writes the id or "mute" and returns true. */
static bool muting_by(struct fold *f, const char *fp, struct labels labels,
		      char out[static TOKEN_MAX + 1])
{
	out[0] = '\0';
	if (silence_by(f, labels, out) || inhibit_by(f, fp, labels, out))
		return true;
	if (!mute_by_time(f, labels))
		return false;
	snprintf(out, TOKEN_MAX + 1, MUTED_BY_TIME);
	return true;
}

int muting_review(struct fold *f, const char *fp)
{
	auto_buf text = {0};
	struct alert a;
	struct labels labels;
	char by[TOKEN_MAX + 1];
	bool muted;
	int rc = alert_get_labels(f, fp, &a, &text);

	if (rc == ERR_NOT_FOUND || (!rc && !a.firing))
		return 0;
	if (rc)
		return rc;
	labels = (struct labels){text.data, text.len};
	muted = muting_by(f, fp, labels, by);
	if (muted != a.muted || !str_eq(by, a.muted_by)) {
		memcpy(a.muted_by, by, sizeof(a.muted_by));
		rc = group_set_muted(f, &a, muted);
		if (rc)
			return rc;
		alert_put(f, fp, &a, labels);
	}
	return group_settle(f, a.key, NULL);
}

int muting_review_all(struct fold *f)
{
	auto_buf firing = {0};

	alerts_firing(f, &firing);
	for (size_t at = 0; at + FINGERPRINT_LEN <= firing.len; at += FINGERPRINT_LEN) {
		char fp[FINGERPRINT_LEN + 1] = {0};
		int rc;

		memcpy(fp, firing.data + at, FINGERPRINT_LEN);
		rc = muting_review(f, fp);
		if (rc)
			return rc;
	}
	return 0;
}

int muting_refresh(struct fold *f)
{
	uint64_t digest = inhibit_digest(&rules_of(f)->inhibit);
	struct meta m = meta_get(f);
	int rc;

	if (m.inhibit_digest == digest)
		return 0;
	m.inhibit_digest = digest;
	meta_put(f, &m);
	rc = inhibit_rebuild(f);
	return rc ? rc : muting_review_all(f);
}
