#include "monitor/state.h"

/*
 * Index rows: role ('S' or 'T'), the rule's digest, the hash of the `equal` values, fingerprint.
 * All firing alerts that could mute a target are one prefix; so are all that a source could mute.
 */
enum { PREFIX_LEN = 1 + 16 + 16, ROW_LEN = PREFIX_LEN + FINGERPRINT_LEN };

enum role { ROLE_SOURCE = 'S', ROLE_TARGET = 'T' };

static bool plays(const struct inhibit_rule *rule, enum role role, struct labels labels)
{
	const struct matchers *m = role == ROLE_SOURCE ? &rule->source : &rule->target;

	return matchers_match(m, labels_lookup, &labels);
}

static void row_name(char out[static ROW_LEN + 1], enum role role, const struct inhibit_rule *rule,
		     struct labels labels)
{
	uint64_t hash = FNV_INIT;

	for (size_t i = 0; i < rule->equal.n; i++) {
		const char *value = labels_lookup(&labels, rule->equal.items[i]);

		hash = fnv1a(hash, value ? value : "", value ? strlen(value) + 1 : 1);
	}
	snprintf(out, ROW_LEN + 1, "%c%016" PRIx64 "%016" PRIx64, (char)role, rule->digest, hash);
}

static int collect(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	(void)val;
	buf_add(ctx, (const char *)key + PREFIX_LEN, key_len - PREFIX_LEN);
	return 0;
}

/* The fingerprints under this prefix, FINGERPRINT_LEN bytes each. */
static void rows_under(struct fold *f, const char *prefix, struct buf *out)
{
	struct store_range range = {.prefix = prefix, .prefix_len = PREFIX_LEN};

	store_each(fold_txn(f), &table_inhibit, &range, collect, out);
}

static void row_set(struct fold *f, const char *prefix, const char *fp, bool present)
{
	char name[ROW_LEN + 1];

	snprintf(name, sizeof(name), "%.*s%s", PREFIX_LEN, prefix, fp);
	if (present)
		store_put_str(fold_txn(f), &table_inhibit, name, "", 0);
	else
		store_del_str(fold_txn(f), &table_inhibit, name);
}

static bool row_exists(struct fold *f, const char *prefix, const char *fp)
{
	char name[ROW_LEN + 1];
	struct store_val val;

	snprintf(name, sizeof(name), "%.*s%s", PREFIX_LEN, prefix, fp);
	return store_get_str(fold_txn(f), &table_inhibit, name, &val) == 0;
}

static int review_targets(struct fold *f, const struct inhibit_rule *rule, struct labels labels)
{
	char prefix[ROW_LEN + 1];
	auto_buf targets = {0};

	row_name(prefix, ROLE_TARGET, rule, labels);
	rows_under(f, prefix, &targets);
	for (size_t at = 0; at + FINGERPRINT_LEN <= targets.len; at += FINGERPRINT_LEN) {
		char fp[FINGERPRINT_LEN + 1] = {0};
		int rc;

		memcpy(fp, targets.data + at, FINGERPRINT_LEN);
		rc = muting_review(f, fp);
		if (rc)
			return rc;
	}
	return 0;
}

static bool index_rule(struct fold *f, const struct inhibit_rule *rule, const char *fp,
		       struct labels labels, bool firing)
{
	char prefix[ROW_LEN + 1];
	bool source = plays(rule, ROLE_SOURCE, labels);

	if (plays(rule, ROLE_TARGET, labels)) {
		row_name(prefix, ROLE_TARGET, rule, labels);
		row_set(f, prefix, fp, firing);
	}
	if (source) {
		row_name(prefix, ROLE_SOURCE, rule, labels);
		row_set(f, prefix, fp, firing);
	}
	return source;
}

int inhibit_update(struct fold *f, const char *fp, struct labels labels, bool firing)
{
	const struct inhibit_rules *rules = &monitor_rules(fold_config(f))->inhibit;

	for (size_t i = 0; i < rules->n; i++) {
		int rc = 0;

		if (index_rule(f, &rules->items[i], fp, labels, firing))
			rc = review_targets(f, &rules->items[i], labels);
		if (rc)
			return rc;
	}
	return 0;
}

/* As Alertmanager has it: an alert that is on both sides of a rule is not muted by another such. */
static bool rule_mutes(struct fold *f, const struct inhibit_rule *rule, const char *fp,
		       struct labels labels, char out[static TOKEN_MAX + 1])
{
	char sources[ROW_LEN + 1], targets[ROW_LEN + 1];
	bool both = plays(rule, ROLE_SOURCE, labels);
	auto_buf found = {0};

	row_name(sources, ROLE_SOURCE, rule, labels);
	row_name(targets, ROLE_TARGET, rule, labels);
	rows_under(f, sources, &found);
	for (size_t at = 0; at + FINGERPRINT_LEN <= found.len; at += FINGERPRINT_LEN) {
		char other[FINGERPRINT_LEN + 1] = {0};
		struct alert a;

		memcpy(other, found.data + at, FINGERPRINT_LEN);
		if (str_eq(other, fp) || (both && row_exists(f, targets, other)))
			continue;
		if (alert_get(f, other, &a))
			continue;
		snprintf(out, TOKEN_MAX + 1, "%s", a.incident);
		return true;
	}
	return false;
}

bool inhibit_by(struct fold *f, const char *fp, struct labels labels,
		char out[static TOKEN_MAX + 1])
{
	const struct inhibit_rules *rules = &monitor_rules(fold_config(f))->inhibit;

	for (size_t i = 0; i < rules->n; i++) {
		if (plays(&rules->items[i], ROLE_TARGET, labels) &&
		    rule_mutes(f, &rules->items[i], fp, labels, out))
			return true;
	}
	return false;
}

int inhibit_rebuild(struct fold *f)
{
	const struct inhibit_rules *rules = &monitor_rules(fold_config(f))->inhibit;
	auto_buf firing = {0};

	store_clear(fold_txn(f), &table_inhibit);
	alerts_firing(f, &firing);
	for (size_t at = 0; at + FINGERPRINT_LEN <= firing.len; at += FINGERPRINT_LEN) {
		auto_buf text = {0};
		char fp[FINGERPRINT_LEN + 1] = {0};
		struct alert a;

		memcpy(fp, firing.data + at, FINGERPRINT_LEN);
		if (alert_get_labels(f, fp, &a, &text))
			continue;
		for (size_t i = 0; i < rules->n; i++)
			index_rule(f, &rules->items[i], fp, (struct labels){text.data, text.len},
				   true);
	}
	return 0;
}
