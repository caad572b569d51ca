#include "monitor/alert_text.h"

enum { MEMBERS_MAX = 256 };

struct read {
	struct json_cursor c;
	struct alerts_text *out;
	bool plain;
	bool seen_alerts, seen_truncated;
	struct json_span version;
};

/* A text that is to be there once. */
static bool take_string(struct read *r, struct json_span *out)
{
	if (out->data || cursor_peek(&r->c) != '"') {
		r->plain = false;
		return cursor_skip(&r->c, NULL);
	}
	return cursor_string(&r->c, out);
}

/* Its members are checked and counted, not looked at. */
static bool take_object(struct read *r, struct json_span *out)
{
	struct json_span key;
	bool first = true;
	size_t n = 0;

	if (out->data || cursor_peek(&r->c) != '{') {
		r->plain = false;
		return cursor_skip(&r->c, NULL);
	}
	out->data = r->c.at;
	if (!cursor_enter(&r->c, '{'))
		return false;
	while (cursor_member(&r->c, &first, &key)) {
		n++;
		if (!cursor_skip(&r->c, NULL))
			return false;
	}
	out->len = (size_t)(r->c.at - out->data);
	r->plain &= n <= MEMBERS_MAX;
	return !r->c.wrong;
}

/* ---- one alert ---- */

static bool take_other(struct read *r, struct json_span *out)
{
	(void)out;
	return cursor_skip(&r->c, NULL);
}

static const struct alert_field {
	const char *name;
	size_t offset;
	bool (*take)(struct read *r, struct json_span *out);
} alert_fields[] = {
	{"status", offsetof(struct alert_text, status), take_string},
	{"labels", offsetof(struct alert_text, labels), take_object},
	{"annotations", offsetof(struct alert_text, annotations), take_object},
	{"startsAt", offsetof(struct alert_text, starts_at), take_string},
	{"endsAt", offsetof(struct alert_text, ends_at), take_string},
	{"generatorURL", offsetof(struct alert_text, generator_url), take_string},
	{"fingerprint", offsetof(struct alert_text, fingerprint), take_string},
};
static const struct alert_field other_field = {"", 0, take_other};

/* Members come in the order above more often than not: the search goes on where it stopped. */
static const struct alert_field *find_field(struct json_span key, size_t *inout_next)
{
	for (size_t i = 0; i < ARRAY_SIZE(alert_fields); i++) {
		size_t k = (*inout_next + i) % ARRAY_SIZE(alert_fields);

		if (json_span_is(key, alert_fields[k].name)) {
			*inout_next = k + 1;
			return &alert_fields[k];
		}
	}
	return &other_field;
}

static bool take_alert(struct read *r)
{
	struct alert_text alert = {0};
	struct json_span key;
	bool first = true;
	size_t next = 0;

	if (cursor_peek(&r->c) != '{') {
		r->plain = false;
		return cursor_skip(&r->c, NULL);
	}
	if (!cursor_enter(&r->c, '{'))
		return false;
	while (cursor_member(&r->c, &first, &key)) {
		const struct alert_field *field = find_field(key, &next);

		r->plain &= !key.escaped;
		if (!field->take(r, (struct json_span *)(void *)((char *)&alert + field->offset)))
			return false;
	}
	r->plain &= alert.status.data != NULL;
	if (!r->c.wrong && r->plain)
		r->out->visit(r->out->ctx, &alert);
	r->out->n++;
	return !r->c.wrong;
}

/* ---- the body ---- */

static bool take_alerts(struct read *r)
{
	bool first = true;

	if (r->seen_alerts || cursor_peek(&r->c) != '[') {
		r->plain = false;
		return cursor_skip(&r->c, NULL);
	}
	r->seen_alerts = true;
	if (!cursor_enter(&r->c, '['))
		return false;
	while (cursor_element(&r->c, &first)) {
		if (!take_alert(r))
			return false;
	}
	return !r->c.wrong;
}

static bool take_version(struct read *r)
{
	return take_string(r, &r->version);
}

static bool take_truncated(struct read *r)
{
	struct json_span number;
	int64_t value = 0;

	if (!cursor_skip(&r->c, &number))
		return false;
	r->plain &= !r->seen_truncated && number.len <= 9;
	for (size_t i = 0; r->plain && i < number.len; i++) {
		r->plain = number.data[i] >= '0' && number.data[i] <= '9';
		value = value * 10 + (number.data[i] - '0');
	}
	r->seen_truncated = true;
	r->out->truncated = value;
	return true;
}

static const struct {
	const char *name;
	bool (*take)(struct read *r);
} body_fields[] = {
	{"alerts", take_alerts},
	{"version", take_version},
	{"truncatedAlerts", take_truncated},
};

static bool take_member(struct read *r, struct json_span key)
{
	r->plain &= !key.escaped;
	for (size_t i = 0; i < ARRAY_SIZE(body_fields); i++) {
		if (json_span_is(key, body_fields[i].name))
			return body_fields[i].take(r);
	}
	return cursor_skip(&r->c, NULL);
}

static bool version_known(struct json_span version)
{
	return !version.data || json_span_is(version, "4") || json_span_is(version, "3") ||
	       json_span_is(version, "1");
}

static bool read_body(struct read *r)
{
	struct json_span key;
	bool first = true;

	if (cursor_peek(&r->c) != '{') {
		r->plain = false;
		return cursor_skip(&r->c, NULL) && cursor_finish(&r->c);
	}
	if (!cursor_enter(&r->c, '{'))
		return false;
	while (cursor_member(&r->c, &first, &key)) {
		if (!take_member(r, key))
			return false;
	}
	return !r->c.wrong && cursor_finish(&r->c);
}

int alerts_text_read(const char *data, size_t len, struct alerts_text *a, struct why *out_why)
{
	struct read r = {
		.c = {.at = data, .start = data, .end = data + len},
		.out = a,
		.plain = true,
	};

	a->n = 0;
	a->truncated = 0;
	if (!read_body(&r))
		return cursor_why(&r.c, out_why);
	if (!r.plain || r.c.odd || !a->n || !version_known(r.version))
		return why_set(out_why, ERR_UNSUPPORTED, "not a plain Alertmanager body");
	return 0;
}
