#include "monitor/sources/source.h"

#include <ctype.h>

/* An Event must fit a message; labels come first, annotations share what is left. */
enum { EVENT_BYTES_MAX = 200 << 10, ANNOTATIONS_MAX = WIRE_LABELS_MAX };

/* ---- labels ---- */

static int view_order(const void *a, const void *b)
{
	const struct label_view *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Prometheus counts a label without value as absent. */
static size_t drop_empty(struct label_view *views, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (views[i].name[0] && views[i].value[0])
			views[kept++] = views[i];
	}
	return kept;
}

/* Sources use names that are none of ours: "info.host-id", "1st", "été". */
static char *clean_name(struct arena *arena, const char *name)
{
	bool digit = isdigit((unsigned char)name[0]);
	size_t len = MIN(strlen(name), (size_t)WIRE_LABEL_NAME_MAX - 1);
	char *copy = arena_alloc(arena, len + 2);

	if (!copy)
		return NULL;
	copy[0] = '_';
	for (size_t i = 0; i < len; i++)
		copy[i + digit] = name[i];
	for (char *c = copy; *c; c++) {
		bool inner = *c == '.' || *c == '-';

		if (!isalnum((unsigned char)*c) && *c != '_' && !(inner && c > copy))
			*c = '_';
	}
	return copy;
}

static int pair_order(const void *a, const void *b)
{
	return strcmp((*(Healbus__Label *const *)a)->name, (*(Healbus__Label *const *)b)->name);
}

/* Cleaning may have brought two names together or out of order. */
static size_t sort_pairs(Healbus__Label **pairs, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(pairs, n, sizeof(*pairs), pair_order);
	for (size_t i = 0; i < n; i++) {
		if (!kept || !str_eq(pairs[kept - 1]->name, pairs[i]->name))
			pairs[kept++] = pairs[i];
	}
	return kept;
}

/* Clean and sorted; NULL when the arena is full. */
static Healbus__Label **make_pairs(struct arena *arena, const struct label_view *views, size_t n,
				   size_t value_max, size_t *out_n)
{
	Healbus__Label **out = arena_alloc(arena, (n + 1) * sizeof(*out));
	size_t used = 0;

	for (size_t i = 0; out && i < n; i++) {
		const char *text = views[i].value;
		char *name = clean_name(arena, views[i].name);
		char *value = wire_text(arena, text, strlen(text), value_max);

		if (used && name && str_eq(out[used - 1]->name, name))
			continue;
		out[used] = label_of(arena, name, value);
		if (!out[used])
			return NULL;
		used++;
	}
	if (out)
		*out_n = sort_pairs(out, used);
	return out;
}

static int labels_check(const struct draft *d, struct why *out_why)
{
	if (d->n_labels > WIRE_LABELS_MAX)
		return why_set(out_why, ERR_TOO_LARGE, "labels: %zu, at most %d are taken",
			       d->n_labels, WIRE_LABELS_MAX);
	for (size_t i = 0; i < d->n_labels; i++) {
		if (i && str_eq(d->labels[i].name, d->labels[i - 1].name))
			return why_set(out_why, ERR_INVALID, "labels.%.100s: given twice",
				       d->labels[i].name);
		if (strlen(d->labels[i].value) > WIRE_LABEL_VALUE_MAX)
			return why_set(out_why, ERR_TOO_LARGE, "labels.%.100s: over %d bytes",
				       d->labels[i].name, WIRE_LABEL_VALUE_MAX);
	}
	return 0;
}

static void fill_labels(struct reading *r, const struct draft *d, Healbus__Event *e)
{
	e->labels =
		make_pairs(r->arena, d->labels, d->n_labels, WIRE_LABEL_VALUE_MAX, &e->n_labels);
}

static void fill_annotations(struct reading *r, const struct draft *d, Healbus__Event *e)
{
	size_t n = MIN(d->n_annotations, (size_t)ANNOTATIONS_MAX);
	size_t budget = EVENT_BYTES_MAX, each;

	for (size_t i = 0; e->labels && i < e->n_labels; i++)
		budget -= MIN(budget, strlen(e->labels[i]->name) + strlen(e->labels[i]->value) + 8);
	each = MIN((size_t)WIRE_ANNOTATION_MAX, n ? budget / n : 0);
	each = each > WIRE_LABEL_NAME_MAX + 8 ? each - WIRE_LABEL_NAME_MAX - 8 : 0;
	e->annotations = make_pairs(r->arena, d->annotations, n, each, &e->n_annotations);
}

/* ---- what follows from the labels ---- */

static const char *view_get(const struct draft *d, const char *name)
{
	for (size_t i = 0; i < d->n_labels; i++) {
		if (str_eq(d->labels[i].name, name))
			return d->labels[i].value;
	}
	return NULL;
}

/* "db1:9100" -> "db1", "[::1]:9100" -> "[::1]". */
static char *host_of(struct arena *arena, const char *instance)
{
	const char *colon = strrchr(instance, ':');
	const char *bracket = strrchr(instance, ']');
	size_t len = strlen(instance);

	if (colon && (bracket ? colon > bracket : strchr(instance, ':') == colon))
		len = (size_t)(colon - instance);
	return arena_printf(arena, "%.*s", (int)len, instance);
}

static char *partition_key(struct reading *r, const Healbus__Event *e)
{
	for (size_t i = 0; i < r->rules->partition_by.n; i++) {
		const char *name = r->rules->partition_by.items[i];
		const char *value = label_get(e->labels, e->n_labels, name);

		if (!value || !*value)
			continue;
		return str_eq(name, "instance") ? host_of(r->arena, value)
						: arena_strdup(r->arena, value);
	}
	return arena_strdup(r->arena, e->name ? e->name : "");
}

static bool hex16(const char *text)
{
	return text && strlen(text) == FINGERPRINT_LEN &&
	       strspn(text, "0123456789abcdef") == FINGERPRINT_LEN;
}

static void fill_fingerprint(struct reading *r, const struct draft *d, Healbus__Event *e)
{
	e->fingerprint = arena_alloc(r->arena, FINGERPRINT_LEN + 1);
	if (!e->fingerprint)
		return;
	if (hex16(d->fingerprint))
		memcpy(e->fingerprint, d->fingerprint, FINGERPRINT_LEN);
	else
		fingerprint_labels(d->labels, d->n_labels, e->fingerprint);
}

/*
 * The stream drops a second event of the same id, so all that the correlator may act on is in it.
 * Without a beginning of its own, an observation is the one in this very message.
 */
static void fill_id(struct reading *r, const struct draft *d, Healbus__Event *e)
{
	int64_t grain_ms = rules_grain_ms(r->rules, r->source);
	char own[FINGERPRINT_LEN + 1], what[128];

	fingerprint_labels(d->labels, d->n_labels, own);
	snprintf(what, sizeof(what), "%s %d %d %d %" PRId64 " %" PRId64 " %" PRId64, own,
		 (int)e->status, (int)e->severity, e->trusted != 0, d->starts_at_ms, e->ends_at_ms,
		 grain_ms ? r->time_ms / grain_ms : 0);
	e->id = arena_alloc(r->arena, ID_BYTES);
	if (e->id)
		id_make(e->id, "event", r->source, e->fingerprint, what,
			d->starts_at_ms && !d->per_body ? "" : r->raw_id);
}

static char *text_of(struct reading *r, const char *text, size_t max)
{
	return text && *text ? wire_text(r->arena, text, strlen(text), max) : NULL;
}

static void fill_texts(struct reading *r, const struct draft *d, Healbus__Event *e)
{
	const char *name = d->name && *d->name ? d->name : view_get(d, "alertname");

	e->source = arena_strdup(r->arena, r->source);
	e->raw_id = r->raw_id ? arena_strdup(r->arena, r->raw_id) : NULL;
	e->name = text_of(r, name, WIRE_TITLE_MAX);
	e->summary = text_of(r, d->summary, WIRE_LINE_MAX);
	e->generator_url = text_of(r, d->generator_url, 2048);
}

static void fill_numbers(struct reading *r, const struct draft *d, Healbus__Event *e)
{
	bool firing = d->status == HEALBUS__STATUS__STATUS_FIRING;
	Healbus__Severity severity = d->severity;

	if (!severity)
		severity = severity_from_text(view_get(d, "severity"));
	SET(e, status, d->status);
	SET(e, severity, severity);
	SET(e, starts_at_ms, d->starts_at_ms || !firing ? d->starts_at_ms : r->time_ms);
	SET(e, trusted, r->trusted);
	if (!firing && (d->ends_at_ms || !d->starts_at_ms))
		SET(e, ends_at_ms, d->ends_at_ms ? d->ends_at_ms : r->time_ms);
	if (d->truncated)
		SET(e, truncated, d->truncated);
	if (d->covers)
		SET(e, covers, true);
	e->command = d->command;
}

static int draft_event(struct reading *r, struct draft *d, Healbus__Event *e, struct why *out_why)
{
	int rc;

	if (d->n_labels)
		qsort(d->labels, d->n_labels, sizeof(*d->labels), view_order);
	d->n_labels = drop_empty(d->labels, d->n_labels);
	rc = labels_check(d, out_why);
	if (rc)
		return rc;
	if (d->by_end)
		d->status = d->ends_at_ms && d->ends_at_ms <= r->time_ms
				    ? HEALBUS__STATUS__STATUS_RESOLVED
				    : HEALBUS__STATUS__STATUS_FIRING;
	if (!d->status && !d->note && !d->command)
		return why_set(out_why, ERR_INVALID, "status: missing");
	fill_texts(r, d, e);
	if (!e->name)
		return why_set(out_why, ERR_INVALID, "name: missing, and no label alertname");
	fill_labels(r, d, e);
	fill_annotations(r, d, e);
	fill_fingerprint(r, d, e);
	fill_numbers(r, d, e);
	fill_id(r, d, e);
	e->partition_key = partition_key(r, e);
	if (!e->partition_key || !e->id || !e->labels || !e->annotations)
		return why_set(out_why, ERR_TOO_LARGE, "too much in one body");
	return wire_check(KIND_EVENT, &e->base, out_why);
}

void draft_refuse(struct reading *r, const char *where, const struct why *why)
{
	if (r->refused++)
		return;
	if (where && *where)
		why_set(&r->refused_why, 0, "%s.%s", where, why->text);
	else
		r->refused_why = *why;
}

static void reading_push(struct reading *r, Healbus__Event *e)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 16;
		r->events = mem_realloc(r->events, r->cap * sizeof(*r->events));
	}
	r->events[r->n++] = e;
}

void draft_add(struct reading *r, struct draft *d)
{
	Healbus__Event *e = arena_alloc(r->arena, sizeof(*e));
	struct why why = {0};
	int rc = e ? 0 : why_set(&why, ERR_TOO_LARGE, "too much in one body");

	if (e) {
		healbus__event__init(e);
		rc = draft_event(r, d, e, &why);
	}
	if (rc)
		draft_refuse(r, d->where, &why);
	else
		reading_push(r, e);
}

/* ---- the body ---- */

int reading_json(struct reading *r, struct why *out_why)
{
	json_error_t error;

	r->json = json_loadb(r->data, r->len, JSON_ALLOW_NUL, &error);
	/* One id over 2^63 must not cost the whole body. */
	if (!r->json && json_error_code(&error) == json_error_numeric_overflow)
		r->json = json_loadb(r->data, r->len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
				     &error);
	if (r->json)
		return 0;
	return why_set(out_why, ERR_INVALID, "not JSON: line %d, column %d: %s", error.line,
		       error.column, error.text);
}

void draft_read(struct reading *r, const json_t *alert, const char *where, draft_fill *fill)
{
	struct draft d = {.where = where};
	struct why why = {0};

	if (fill(r, alert, &d, &why))
		draft_refuse(r, where, &why);
	else
		draft_add(r, &d);
}

int reading_each(struct reading *r, draft_fill *fill, struct why *out_why)
{
	json_t *alert;
	size_t i;
	int rc = reading_json(r, out_why);

	if (rc)
		return rc;
	if (!json_is_array(r->json)) {
		draft_read(r, r->json, "", fill);
		return 0;
	}
	json_array_foreach(r->json, i, alert)
	{
		char where[32];

		snprintf(where, sizeof(where), "[%zu]", i);
		draft_read(r, alert, where, fill);
	}
	return 0;
}

static const char *pair_text(struct reading *r, const json_t *value)
{
	auto_free char *text = NULL;

	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_null(value))
		return "";
	text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	return text ? arena_strdup(r->arena, text) : NULL;
}

int draft_pairs(struct reading *r, const json_t *object, const char *what, struct label_view *pairs,
		size_t *n, struct why *out_why)
{
	const char *name;
	json_t *value;

	if (!object || json_is_null(object))
		return 0;
	if (!json_is_object(object))
		return why_set(out_why, ERR_INVALID, "%s: not an object", what);
	if (*n + json_object_size(object) > DRAFT_PAIRS_MAX)
		return why_set(out_why, ERR_TOO_LARGE, "%s: over %d", what, DRAFT_PAIRS_MAX);
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		const char *text = pair_text(r, value);

		if (!text)
			return why_set(out_why, ERR_TOO_LARGE, "%s: too much in one body", what);
		pairs[(*n)++] = (struct label_view){name, text};
	}
	return 0;
}

int reading_run(struct reading *r, const struct source_format *format, struct why *out_why)
{
	if (r->is_protobuf && !format->protobuf)
		return why_set(out_why, ERR_UNSUPPORTED, "source %s takes JSON only", r->source);
	return format->read(r, out_why);
}

void reading_release(struct reading *r)
{
	json_decref(r->json);
	free(r->events);
	r->json = NULL;
	r->events = NULL;
	r->n = r->cap = 0;
}
