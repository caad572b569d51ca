#include "common/bus_private.h"

/* ---- sending ---- */

static const struct {
	natsStatus status;
	int rc;
} statuses[] = {
	{NATS_OK, 0},
	{NATS_TIMEOUT, ERR_TIMEOUT},
	{NATS_CONNECTION_CLOSED, ERR_CLOSED},
	{NATS_CONNECTION_DISCONNECTED, ERR_CLOSED},
	{NATS_INVALID_SUBSCRIPTION, ERR_CLOSED},
	{NATS_IO_ERROR, ERR_CLOSED},
	{NATS_STALE_CONNECTION, ERR_CLOSED},
	{NATS_MAX_PAYLOAD, ERR_TOO_LARGE},
	{NATS_INVALID_SUBJECT, ERR_INVALID},
	{NATS_INVALID_ARG, ERR_INVALID},
	{NATS_CONNECTION_AUTH_FAILED, ERR_DENIED},
	{NATS_NOT_PERMITTED, ERR_DENIED},
	{NATS_NOT_FOUND, ERR_NOT_FOUND},
};

int bus_status(natsStatus s)
{
	if (s == NATS_NO_MEMORY)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (statuses[i].status == s)
			return statuses[i].rc;
	return ERR_UNAVAILABLE;
}

/* The library does not check: a line break in a value would forge a header. */
static bool header_safe(const char *value)
{
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return true;
}

static int set_headers(natsMsg *m, const struct bus_call *call)
{
	for (size_t i = 0; i < call->n_headers; i++) {
		const struct bus_header *h = &call->headers[i];
		if (!h->value)
			continue;
		if (!header_safe(h->value))
			return ERR_INVALID;
		int rc = bus_status(natsMsgHeader_Set(m, h->name, h->value));
		if (rc)
			return rc;
	}
	return 0;
}

/* The second connection may break alone. */
static int publish(struct bus_conn *c, natsMsg *m, bool may_wait)
{
	natsConnection *bulk = may_wait ? atomic_load(&c->bulk) : NULL;
	if (bulk && natsConnection_PublishMsg(bulk, m) == NATS_OK)
		return 0;
	return bus_status(natsConnection_PublishMsg(c->nc, m));
}

int bus_conn_send(struct bus_conn *c, const struct bus_call *call, const char *reply)
{
	natsMsg *m = NULL;
	if (call->n_headers == 0)
		return bus_status(natsConnection_PublishRequest(c->nc, call->subject, reply,
								call->data, (int)call->len));
	int rc = bus_status(natsMsg_Create(&m, call->subject, reply, call->data, (int)call->len));
	if (rc == 0)
		rc = set_headers(m, call);
	if (rc == 0)
		rc = publish(c, m, call->may_wait);
	bus_msg_drop(c->bus, m);
	return rc;
}

/* ---- reading ---- */

const char *bus_header_get(natsMsg *m, const char *name)
{
	const char *value = NULL;
	return natsMsgHeader_Get(m, name, &value) == NATS_OK && value ? value : "";
}

const char *bus_header_last(natsMsg *m, const char *name, int *out_n)
{
	const char **values = NULL;
	const char *last = NULL;
	*out_n = 0;
	if (natsMsgHeader_Values(m, name, &values, out_n) == NATS_OK && *out_n > 0)
		last = values[*out_n - 1];
	free(values);
	return last ? last : "";
}

const char *bus_msg_id(natsMsg *m)
{
	const char *own = bus_header_text(m, HEADER_TRUE_ID);
	return *own ? own : bus_header_text(m, HEADER_ID);
}

const char *bus_header_text(natsMsg *m, const char *name)
{
	const char *value = bus_header_get(m, name);
	return strlen(value) <= BUS_ID_MAX && header_safe(value) ? value : "";
}

unsigned bus_header_schema(natsMsg *m)
{
	unsigned long n = strtoul(bus_header_get(m, HEADER_SCHEMA), NULL, 10);
	return (unsigned)MIN(n, (unsigned long)UINT_MAX);
}

int bus_msg_status(natsMsg *m)
{
	if (natsMsg_GetDataLength(m) != 0)
		return 0;
	return (int)strtol(bus_header_get(m, "Status"), NULL, 10);
}

int64_t bus_json_int(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

const char *bus_json_str(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));
	return s ? s : "";
}

int64_t bus_time_ns(const char *text)
{
	char whole[TIME_TEXT_BYTES];
	int64_t ms = 0, fraction = 0, unit = 100000000;
	if (strlen(text) < 20 || text[strlen(text) - 1] != 'Z')
		return 0;
	snprintf(whole, sizeof(whole), "%.19sZ", text);
	if (time_parse(whole, &ms) || ms >= INT64_MAX / 1000000 - 1000 || ms < 0)
		return 0;
	for (const char *p = text[19] == '.' ? text + 20 : ""; *p >= '0' && *p <= '9'; p++) {
		fraction += (*p - '0') * unit;
		unit /= 10;
	}
	return ms * 1000000 + fraction;
}

int64_t bus_msg_time_ms(natsMsg *m, int64_t stream_ns)
{
	int64_t stream_ms = stream_ns / 1000000;
	char *end = NULL;
	const char *text = bus_header_get(m, HEADER_TIME);
	errno = 0;
	long long own = strtoll(text, &end, 10);
	if (end == text || *end || errno || own <= 0)
		return stream_ms;
	return MIN(stream_ms, (int64_t)own);
}

/* ---- JetStream's API ---- */

static const struct {
	int64_t code;
	int rc;
} api_errors[] = {
	{10023, ERR_FULL},      /* insufficient resources */
	{10028, ERR_FULL},      /* memory resources exceeded */
	{10047, ERR_FULL},      /* storage resources exceeded */
	{10077, ERR_FULL},      /* stream store failed: maximum bytes or messages exceeded */
	{10071, ERR_CONFLICT},  /* wrong last sequence */
	{10060, ERR_CONFLICT},  /* expected stream does not match */
	{10070, ERR_CONFLICT},  /* wrong last message id */
	{10058, ERR_EXISTS},    /* stream name in use */
	{10013, ERR_EXISTS},    /* consumer name in use */
	{10105, ERR_EXISTS},    /* consumer already exists */
	{10148, ERR_EXISTS},    /* consumer already exists (2.10) */
	{10014, ERR_NOT_FOUND}, /* consumer */
	{10037, ERR_NOT_FOUND}, /* message */
	{10059, ERR_NOT_FOUND}, /* stream */
	{10008, ERR_UNAVAILABLE}, {10009, ERR_UNAVAILABLE},
	{10039, ERR_UNAVAILABLE}, {10076, ERR_UNAVAILABLE},
};

static int api_error_code(const json_t *error)
{
	int64_t code = bus_json_int(error, "err_code");
	for (size_t i = 0; i < ARRAY_SIZE(api_errors); i++)
		if (api_errors[i].code == code)
			return api_errors[i].rc;
	int64_t status = bus_json_int(error, "code");
	return status == 404 ? ERR_NOT_FOUND : status == 400 ? ERR_INVALID : ERR_UNAVAILABLE;
}

int bus_api_error(const json_t *answer, struct why *out_why)
{
	const json_t *error = json_object_get(answer, "error");
	if (!error)
		return 0;
	return why_set(out_why, api_error_code(error), "bus: %s (%" PRId64 ")",
		       bus_json_str(error, "description"), bus_json_int(error, "err_code"));
}

int bus_api(struct bus *b, const char *subject, json_t *body, json_t **out, struct why *out_why)
{
	auto_free char *text = body ? json_dumps(body, JSON_COMPACT) : mem_strdup("");
	json_decref(body);
	if (!text)
		return why_set(out_why, ERR_INVALID, "bus: %s: not UTF-8", subject);
	struct bus_call call = {.subject = subject, .data = text, .len = strlen(text)};
	natsMsg *m = NULL;
	int rc = bus_request(b, &call, &m, out_why);
	if (rc)
		return rc;
	auto_json answer =
		json_loadb(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m), 0, NULL);
	bus_msg_drop(b, m);
	if (!json_is_object(answer))
		return why_set(out_why, ERR_UNAVAILABLE, "bus: %s: unreadable answer", subject);
	rc = bus_api_error(answer, out_why);
	if (rc)
		return rc;
	*out = json_incref(answer);
	return 0;
}

/* {"stream":"STORY","seq":12,"duplicate":true}: the common answer without a JSON tree; false sends
 * everything else to the careful reader. */
static bool parse_plain_ack(natsMsg *m, struct bus_ack *out)
{
	char text[160];
	size_t len = (size_t)natsMsg_GetDataLength(m);
	if (len == 0 || len >= sizeof(text))
		return false;
	memcpy(text, natsMsg_GetData(m), len);
	text[len] = '\0';
	const char *seq = strstr(text, "\"seq\":");
	if (!seq || strstr(text, "\"error\"") || !str_starts(text, "{\"stream\":"))
		return false;
	out->seq = strtoull(seq + 6, NULL, 10);
	if (out->seq == 0)
		return false;
	out->duplicate = strstr(seq, "\"duplicate\":true") || strstr(seq, "\"duplicate\": true");
	return true;
}

int bus_puback_parse(natsMsg *m, struct bus_ack *out, struct why *out_why)
{
	if (parse_plain_ack(m, out))
		return 0;
	if (bus_msg_status(m) == 503)
		return why_set(out_why, ERR_UNAVAILABLE, "bus: no stream takes this subject");
	auto_json answer =
		json_loadb(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m), 0, NULL);
	int rc = json_is_object(answer) ? bus_api_error(answer, out_why) : ERR_UNAVAILABLE;
	if (rc)
		return rc;
	if (!json_object_get(answer, "seq"))
		return why_set(out_why, ERR_UNAVAILABLE, "bus: not an acknowledgement");
	/* nats-server 2.10: it has seen this id, but no majority has taken the message yet. */
	out->staged = bus_json_int(answer, "seq") <= 0;
	if (out->staged)
		return why_set(out_why, ERR_UNAVAILABLE, "bus: not stored yet");
	out->seq = (uint64_t)bus_json_int(answer, "seq");
	out->duplicate = json_is_true(json_object_get(answer, "duplicate"));
	return 0;
}

/* ---- publishing ---- */

void bus_msg_headers(struct bus *b, const struct bus_msg *m, struct bus_headers *out)
{
	out->id_hash = bus_id_hash(m->id);
	unsigned tries = bus_staged_tries(b, out->id_hash);
	snprintf(out->time, sizeof(out->time), "%" PRId64, m->time_ms);
	snprintf(out->last, sizeof(out->last), "%" PRIu64, m->expect_last);
	if (tries > 0)
		snprintf(out->id, sizeof(out->id), "%s~%u", m->id, tries);
	const struct bus_header headers[] = {
		{HEADER_ID, tries > 0 ? out->id : m->id},
		{HEADER_TRUE_ID, tries > 0 ? m->id : NULL},
		{HEADER_TIME, m->time_ms > 0 ? out->time : NULL},
		{HEADER_CAUSE, m->cause && *m->cause ? m->cause : NULL},
		{HEADER_CONTENT_TYPE, m->content_type && *m->content_type ? m->content_type : NULL},
		{HEADER_SCHEMA, SCHEMA_VERSION},
		{HEADER_AGAIN, m->again ? "1" : NULL},
		{"Nats-Expected-Last-Subject-Sequence", m->expect_no_message ? "0" : NULL},
		{"Nats-Expected-Last-Sequence", m->expect_last ? out->last : NULL},
	};
	static_assert(ARRAY_SIZE(headers) <= BUS_HEADERS_MAX, "room for all");
	memcpy(out->items, headers, sizeof(headers));
	out->n = ARRAY_SIZE(headers);
}

struct bus_pending {
	struct bus *bus;
	struct bus_box *box;
	struct bus_call call;
	char subject[SUBJECT_MAX + 1];
	uint64_t id_hash;
	bool must_be_first;
};

static void publish_begin(struct bus *b, const struct bus_msg *m, struct bus_pending *p)
{
	struct bus_headers headers;
	bus_msg_headers(b, m, &headers);
	*p = (struct bus_pending){
		.bus = b, .id_hash = headers.id_hash, .must_be_first = m->expect_no_message};
	snprintf(p->subject, sizeof(p->subject), "%s", m->subject);
	p->call = (struct bus_call){.subject = p->subject,
				    .headers = headers.items,
				    .n_headers = headers.n,
				    .data = m->data,
				    .len = m->len};
	if (m->id && strlen(m->id) > BUS_ID_MAX)
		p->call.rc = why_set(&p->call.why, ERR_INVALID, "bus: message id over %d bytes",
				     BUS_ID_MAX);
	else
		p->box = bus_requests_send(b, &p->call, 1);
	p->call.headers = NULL;
	p->call.data = NULL;
}

static int publish_end(struct bus_pending *p, int64_t timeout_ms, uint64_t *out_seq,
		       struct why *out_why)
{
	struct bus_ack ack = {0};
	p->call.timeout_ms = timeout_ms;
	bus_requests_await(p->box);
	if (p->call.rc)
		return why_set(out_why, p->call.rc, "%s", p->call.why.text);
	int rc = bus_puback_parse(p->call.answer, &ack, out_why);
	bus_msg_drop(p->bus, p->call.answer);
	bus_staged_answered(p->bus, p->id_hash, rc, ack.staged);
	if (rc == ERR_CONFLICT && p->must_be_first)
		return ERR_EXISTS;
	if (rc == 0 && out_seq)
		*out_seq = ack.seq;
	return rc;
}

int bus_publish(struct bus *b, const struct bus_msg *m, int64_t timeout_ms, uint64_t *out_seq,
		struct why *out_why)
{
	struct bus_pending p;
	publish_begin(b, m, &p);
	return publish_end(&p, timeout_ms, out_seq, out_why);
}

struct bus_pending *bus_publish_begin(struct bus *b, const struct bus_msg *m)
{
	struct bus_pending *p = mem_alloc(sizeof(*p));
	publish_begin(b, m, p);
	return p;
}

int bus_publish_end(struct bus_pending *p, int64_t timeout_ms, struct why *out_why)
{
	int rc = publish_end(p, timeout_ms, NULL, out_why);
	free(p);
	return rc;
}
