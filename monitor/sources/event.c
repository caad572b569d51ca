#include "monitor/sources/source.h"

/* Our own Event: as protobuf, or as JSON with the same names (one object or a list of them). */

static int take_text(const json_t *value, const char *name, const char **out, struct why *out_why)
{
	if (json_is_null(value))
		return 0;
	*out = json_string_value(value);
	return *out ? 0 : why_set(out_why, ERR_INVALID, "%s: not text", name);
}

static int take_name(struct reading *r, const json_t *v, struct draft *d, struct why *out_why)
{
	(void)r;
	return take_text(v, "name", &d->name, out_why);
}

static int take_fingerprint(struct reading *r, const json_t *v, struct draft *d,
			    struct why *out_why)
{
	(void)r;
	return take_text(v, "fingerprint", &d->fingerprint, out_why);
}

static int take_summary(struct reading *r, const json_t *v, struct draft *d, struct why *out_why)
{
	(void)r;
	return take_text(v, "summary", &d->summary, out_why);
}

static int take_url(struct reading *r, const json_t *v, struct draft *d, struct why *out_why)
{
	(void)r;
	return take_text(v, "generator_url", &d->generator_url, out_why);
}

static int take_status(struct reading *r, const json_t *v, struct draft *d, struct why *out_why)
{
	const char *text = json_string_value(v);

	(void)r;
	d->by_end = json_is_null(v);
	if (d->by_end)
		return 0;
	if (!text || status_from_text(text, &d->status))
		return why_set(out_why, ERR_INVALID, "status: neither firing nor resolved");
	return 0;
}

static int take_severity(struct reading *r, const json_t *v, struct draft *d, struct why *out_why)
{
	(void)r;
	if (!json_is_string(v) && !json_is_null(v))
		return why_set(out_why, ERR_INVALID, "severity: not text");
	d->severity = severity_from_text(json_string_value(v));
	return 0;
}

static int take_labels(struct reading *r, const json_t *v, struct draft *d, struct why *out_why)
{
	return draft_pairs(r, v, "labels", d->labels, &d->n_labels, out_why);
}

static int take_annotations(struct reading *r, const json_t *v, struct draft *d,
			    struct why *out_why)
{
	return draft_pairs(r, v, "annotations", d->annotations, &d->n_annotations, out_why);
}

static int take_starts(struct reading *r, const json_t *v, struct draft *d, struct why *out_why)
{
	(void)r;
	return draft_time(v, "starts_at", &d->starts_at_ms, out_why);
}

static int take_ends(struct reading *r, const json_t *v, struct draft *d, struct why *out_why)
{
	(void)r;
	return draft_time(v, "ends_at", &d->ends_at_ms, out_why);
}

static int take_truncated(struct reading *r, const json_t *v, struct draft *d, struct why *out_why)
{
	(void)r;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
		return why_set(out_why, ERR_INVALID, "truncated: not a count");
	d->truncated = (uint32_t)json_integer_value(v);
	return 0;
}

static const struct {
	const char *name;
	int (*take)(struct reading *r, const json_t *v, struct draft *d, struct why *out_why);
} fields[] = {
	{"name", take_name},           {"fingerprint", take_fingerprint},
	{"summary", take_summary},     {"generator_url", take_url},
	{"status", take_status},       {"severity", take_severity},
	{"labels", take_labels},       {"annotations", take_annotations},
	{"starts_at", take_starts},    {"starts_at_ms", take_starts},
	{"ends_at", take_ends},        {"ends_at_ms", take_ends},
	{"truncated", take_truncated},
};

static int field_take(struct reading *r, const char *name, const json_t *v, struct draft *d,
		      struct why *out_why)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (str_eq(fields[i].name, name))
			return fields[i].take(r, v, d, out_why);
	}
	return why_set(out_why, ERR_UNKNOWN_KEY, "%.100s: unknown field", name);
}

int draft_from_json(struct reading *r, const json_t *object, struct draft *d, struct why *out_why)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return why_set(out_why, ERR_INVALID, "not an object");
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		int rc = field_take(r, name, value, d, out_why);

		if (rc)
			return rc;
	}
	return 0;
}

static void views_from(Healbus__Label *const *labels, size_t n, struct label_view *views,
		       size_t *out_n)
{
	for (size_t i = 0; i < n && i < DRAFT_PAIRS_MAX; i++)
		views[(*out_n)++] = (struct label_view){labels[i]->name,
							labels[i]->value ? labels[i]->value : ""};
}

/* Everything is derived again but what the publisher observed. */
static int protobuf_read(struct reading *r, struct why *out_why)
{
	struct draft d = {0};
	ProtobufCMessage *msg;
	const Healbus__Event *e;
	int rc = wire_unpack(KIND_EVENT, r->data, r->len, r->arena, &msg, out_why);

	if (rc)
		return rc;
	e = (const Healbus__Event *)msg;
	d.name = e->name;
	d.fingerprint = e->fingerprint;
	d.summary = e->summary;
	d.generator_url = e->generator_url;
	d.status = e->status;
	d.severity = e->severity;
	d.starts_at_ms = e->starts_at_ms;
	d.ends_at_ms = e->ends_at_ms;
	d.truncated = e->truncated;
	views_from(e->labels, e->n_labels, d.labels, &d.n_labels);
	views_from(e->annotations, e->n_annotations, d.annotations, &d.n_annotations);
	draft_add(r, &d);
	return 0;
}

static int event_read(struct reading *r, struct why *out_why)
{
	return r->is_protobuf ? protobuf_read(r, out_why)
			      : reading_each(r, draft_from_json, out_why);
}

const struct source_format format_event = {
	.name = "event",
	.resolves = true,
	.protobuf = true,
	.read = event_read,
};
