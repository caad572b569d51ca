#include "monitor/sources/source.h"

/*
 * CloudEvents 1.0, structured or batch (the door has made binary ones structured). An event is an
 * alert named by its type; the extension attributes become labels, `status` and `severity` are
 * read if present, and a type that ends in .resolved, .cleared, .recovered or .ok resolves.
 */

static const char *const not_labels[] = {
	"id",      "time",        "type",        "specversion", "datacontenttype", "dataschema",
	"data",    "data_base64", "traceparent", "tracestate",  "status",          "source",
	"subject", "sequence",    "sampledrate", "summary"};

static bool is_label(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(not_labels); i++) {
		if (str_eq(not_labels[i], name))
			return false;
	}
	return true;
}

static void label_add(struct draft *d, const char *name, const char *value)
{
	if (value && d->n_labels < DRAFT_PAIRS_MAX)
		d->labels[d->n_labels++] = (struct label_view){name, value};
}

static int required(const json_t *event, const char *name, const char **out, struct why *out_why)
{
	*out = json_string_value(json_object_get(event, name));
	if (*out && **out)
		return 0;
	return why_set(out_why, ERR_INVALID, "%s: missing", name);
}

static int status_read(const json_t *event, const char *type, Healbus__Status *out,
		       struct why *out_why)
{
	const char *status = json_string_value(json_object_get(event, "status"));
	const char *last = strrchr(type, '.');

	*out = HEALBUS__STATUS__STATUS_FIRING;
	if (status && status_from_text(status, out))
		return why_set(out_why, ERR_INVALID, "status: \"%.40s\" is not known", status);
	if (!status && last)
		status_from_text(last + 1, out);
	return 0;
}

static int attributes_read(struct reading *r, const json_t *event, struct draft *d,
			   struct why *out_why)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)event, name, value)
	{
		auto_free char *number = NULL;

		if (!is_label(name))
			continue;
		if (json_is_object(value) || json_is_array(value) || json_is_real(value))
			return why_set(out_why, ERR_INVALID, "%.40s: not a CloudEvents type", name);
		if (json_is_integer(value) || json_is_boolean(value))
			number = json_dumps(value, JSON_ENCODE_ANY);
		label_add(d, name,
			  number ? arena_strdup(r->arena, number) : json_string_value(value));
	}
	return 0;
}

static void data_read(struct reading *r, const json_t *event, struct draft *d)
{
	json_t *data = json_object_get(event, "data");
	const char *base64 = json_string_value(json_object_get(event, "data_base64"));
	auto_free char *text = NULL;

	if (data && !json_is_string(data))
		text = json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	if (data || base64)
		d->annotations[d->n_annotations++] = (struct label_view){
			data ? "data" : "data_base64",
			base64 ? base64
			       : (text ? arena_strdup(r->arena, text) : json_string_value(data))};
	if (d->n_annotations && !d->annotations[d->n_annotations - 1].value)
		d->n_annotations--;
}

static int event_read(struct reading *r, const json_t *event, struct draft *d, struct why *out_why)
{
	const char *id, *type, *source, *version;
	int rc = json_is_object(event) ? 0 : why_set(out_why, ERR_INVALID, "not an object");

	if (!rc)
		rc = required(event, "specversion", &version, out_why);
	if (!rc && !str_starts(version, "1."))
		rc = why_set(out_why, ERR_UNSUPPORTED, "specversion: \"%.10s\", 1.0 is known",
			     version);
	if (!rc)
		rc = required(event, "id", &id, out_why);
	if (!rc)
		rc = required(event, "type", &type, out_why);
	if (!rc)
		rc = required(event, "source", &source, out_why);
	if (!rc)
		rc = status_read(event, type, &d->status, out_why);
	if (!rc)
		rc = draft_time(json_object_get(event, "time"), "time", &d->starts_at_ms, out_why);
	if (rc)
		return rc;
	/* Its time is when it happened, not when what it resolves began. */
	if (d->status == HEALBUS__STATUS__STATUS_RESOLVED) {
		d->ends_at_ms = d->starts_at_ms;
		d->starts_at_ms = 0;
	}
	d->name = type;
	label_add(d, "alertname", type);
	label_add(d, "ce_source", source);
	label_add(d, "ce_subject", json_string_value(json_object_get(event, "subject")));
	d->summary = json_string_value(json_object_get(event, "summary"));
	data_read(r, event, d);
	return attributes_read(r, event, d, out_why);
}

static int cloudevents_read(struct reading *r, struct why *out_why)
{
	return reading_each(r, event_read, out_why);
}

const struct source_format format_cloudevents = {
	.name = "cloudevents",
	.read = cloudevents_read,
};
