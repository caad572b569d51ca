#include "monitor/alert_text.h"
#include "monitor/sources/source.h"

/* https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, version "4"; "3" lacks
 * fingerprints. Grafana's unified alerting sends the same shape with version "1". */

static const char *text_at(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static int alert_read(struct reading *r, const json_t *alert, struct draft *d, struct why *out_why)
{
	const char *status = text_at(alert, "status");
	int rc;

	if (!json_is_object(alert))
		return why_set(out_why, ERR_INVALID, "not an object");
	if (!status || status_from_text(status, &d->status))
		return why_set(out_why, ERR_INVALID, "status: neither firing nor resolved");
	rc = draft_pairs(r, json_object_get(alert, "labels"), "labels", d->labels, &d->n_labels,
			 out_why);
	if (!rc)
		rc = draft_pairs(r, json_object_get(alert, "annotations"), "annotations",
				 d->annotations, &d->n_annotations, out_why);
	if (!rc)
		rc = draft_time(json_object_get(alert, "startsAt"), "startsAt", &d->starts_at_ms,
				out_why);
	if (!rc)
		rc = draft_time(json_object_get(alert, "endsAt"), "endsAt", &d->ends_at_ms,
				out_why);
	d->fingerprint = text_at(alert, "fingerprint");
	d->generator_url = text_at(alert, "generatorURL");
	d->summary = text_at(json_object_get(alert, "annotations"), "summary");
	if (!d->summary)
		d->summary = text_at(json_object_get(alert, "annotations"), "description");
	return rc;
}

static int version_check(const json_t *body, struct why *out_why)
{
	static const char *const known[] = {"4", "3", "1"};
	const char *version = text_at(body, "version");

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!version || str_eq(version, known[i]))
			return 0;
	}
	return why_set(out_why, ERR_UNSUPPORTED, "version: \"%.20s\" is not known (4, 3, 1 are)",
		       version);
}

static int tree_read(struct reading *r, struct why *out_why)
{
	json_t *alerts, *alert;
	json_int_t truncated;
	size_t i;
	int rc = reading_json(r, out_why);

	if (!rc)
		rc = version_check(r->json, out_why);
	if (rc)
		return rc;
	alerts = json_object_get(r->json, "alerts");
	if (!json_is_array(alerts) || !json_array_size(alerts))
		return why_set(out_why, ERR_INVALID, "alerts: not a list of alerts");
	truncated = json_integer_value(json_object_get(r->json, "truncatedAlerts"));
	json_array_foreach(alerts, i, alert)
	{
		char where[32];
		struct draft d = {.where = where};
		struct why why = {0};

		snprintf(where, sizeof(where), "alerts[%zu]", i);
		d.truncated = truncated > 0 ? (uint32_t)MIN(truncated, INT32_MAX) : 0;
		if (alert_read(r, alert, &d, &why))
			draft_refuse(r, where, &why);
		else
			draft_add(r, &d);
	}
	return 0;
}

/* ---- the same without a tree, for bodies that hold nothing unusual ---- */

enum { PLAIN_PAIRS_MAX = 32 };

static void alert_keep(void *ctx, const struct alert_text *alert)
{
	buf_add(ctx, alert, sizeof(*alert));
}

static bool name_known(const struct label_view *pairs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (str_eq(pairs[i].name, name))
			return true;
	}
	return false;
}

/* Texts only, no name twice, not many. */
static bool plain_pairs(struct json_span object, struct label_view *pairs, size_t *out_n)
{
	struct json_cursor c = {.at = object.data, .start = object.data};
	struct json_span name, value;
	bool first = true;
	size_t n = 0;

	if (!object.data)
		return true;
	c.end = object.data + object.len;
	if (!cursor_enter(&c, '{'))
		return false;
	while (cursor_member(&c, &first, &name)) {
		if (n == PLAIN_PAIRS_MAX || !cursor_string(&c, &value))
			return false;
		pairs[n] = (struct label_view){json_span_decode(name), json_span_decode(value)};
		if (name_known(pairs, n, pairs[n].name))
			return false;
		n++;
	}
	*out_n = n;
	return !c.wrong;
}

static const char *plain_text(struct json_span s)
{
	return s.data ? json_span_decode(s) : NULL;
}

static const char *pair_value(const struct draft *d, const char *name)
{
	for (size_t i = 0; i < d->n_annotations; i++) {
		if (str_eq(d->annotations[i].name, name))
			return d->annotations[i].value;
	}
	return NULL;
}

static bool plain_alert(const struct alert_text *a, struct draft *d)
{
	if (status_from_text(plain_text(a->status), &d->status) ||
	    !plain_pairs(a->labels, d->labels, &d->n_labels) ||
	    !plain_pairs(a->annotations, d->annotations, &d->n_annotations) ||
	    draft_time_text(plain_text(a->starts_at), "", &d->starts_at_ms, NULL) ||
	    draft_time_text(plain_text(a->ends_at), "", &d->ends_at_ms, NULL))
		return false;
	d->fingerprint = plain_text(a->fingerprint);
	d->generator_url = plain_text(a->generator_url);
	d->summary = pair_value(d, "summary");
	if (!d->summary)
		d->summary = pair_value(d, "description");
	return true;
}

/* False when something in it wants the tree; r is then as before. */
static bool plain_read(struct reading *r)
{
	auto_buf list = {0};
	struct alerts_text alerts = {.visit = alert_keep, .ctx = &list};
	char *copy = arena_alloc(r->arena, r->len + 1);

	if (!copy)
		return false;
	memcpy(copy, r->data, r->len);
	if (alerts_text_read(copy, r->len, &alerts, NULL))
		return false;
	for (size_t i = 0; i < alerts.n; i++) {
		char where[32];
		struct draft d = {.where = where, .truncated = (uint32_t)alerts.truncated};
		struct alert_text alert;

		memcpy(&alert, list.data + i * sizeof(alert), sizeof(alert));
		snprintf(where, sizeof(where), "alerts[%zu]", i);
		if (!plain_alert(&alert, &d)) {
			r->n = r->refused = 0;
			return false;
		}
		draft_add(r, &d);
	}
	return true;
}

static int alertmanager_read(struct reading *r, struct why *out_why)
{
	return plain_read(r) ? 0 : tree_read(r, out_why);
}

const struct source_format format_alertmanager = {
	.name = "alertmanager",
	.resolves = true,
	.read = alertmanager_read,
};
