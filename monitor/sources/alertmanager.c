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

static int alertmanager_read(struct reading *r, struct why *out_why)
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

const struct source_format format_alertmanager = {
	.name = "alertmanager",
	.resolves = true,
	.read = alertmanager_read,
};
