#include "common/bus_private.h"

/* ---- direct reads ---- */

static int read_direct(natsMsg *m, struct bus_delivery *out, struct why *out_why)
{
	int status = bus_msg_status(m);
	if (status == 404)
		return why_set(out_why, ERR_NOT_FOUND, "bus: no such message");
	if (status != 0)
		return why_set(out_why, ERR_INVALID, "bus: %s", bus_header_get(m, "Description"));
	struct bus_delivery d = {.subject = bus_header_get(m, "Nats-Subject"),
				 .id = bus_header_get(m, HEADER_ID),
				 .cause = bus_header_get(m, HEADER_CAUSE),
				 .content_type = bus_header_get(m, HEADER_CONTENT_TYPE),
				 .seq = strtoull(bus_header_get(m, "Nats-Sequence"), NULL, 10),
				 .stream_ns = bus_time_ns(bus_header_get(m, "Nats-Time-Stamp")),
				 .delivered = 1,
				 .data = natsMsg_GetData(m),
				 .len = (size_t)natsMsg_GetDataLength(m),
				 .private = m};
	if (d.seq == 0 || d.stream_ns == 0)
		return why_set(out_why, ERR_UNAVAILABLE, "bus: unreadable answer to a direct get");
	d.time_ms = bus_msg_time_ms(m, d.stream_ns);
	*out = d;
	return 0;
}

static int direct_get(struct bus *b, struct bus_call *call, struct bus_delivery *out,
		      struct why *out_why)
{
	natsMsg *m = NULL;
	int rc = bus_request(b, call, &m, out_why);
	if (rc)
		return rc;
	rc = read_direct(m, out, out_why);
	if (rc)
		natsMsg_Destroy(m);
	return rc;
}

int bus_get(struct bus *b, const char *stream, uint64_t seq, struct bus_delivery *out,
	    struct why *out_why)
{
	char subject[SUBJECT_MAX + 1], body[48];
	snprintf(subject, sizeof(subject), "$JS.API.DIRECT.GET.%s", stream);
	snprintf(body, sizeof(body), "{\"seq\":%" PRIu64 "}", seq);
	struct bus_call call = {.subject = subject, .data = body, .len = strlen(body)};
	return direct_get(b, &call, out, out_why);
}

int bus_get_last(struct bus *b, const char *stream, const char *subject, struct bus_delivery *out,
		 struct why *out_why)
{
	char request[2 * SUBJECT_MAX];
	snprintf(request, sizeof(request), "$JS.API.DIRECT.GET.%s.%s", stream, subject);
	struct bus_call call = {.subject = request};
	return direct_get(b, &call, out, out_why);
}

/* ---- key-value ---- */

static int kv_read(struct bus *b, const char *bucket, const char *key, struct bus_delivery *out,
		   struct why *out_why)
{
	char stream[TOKEN_MAX + 8], subject[SUBJECT_MAX + 1];
	snprintf(stream, sizeof(stream), "KV_%s", bucket);
	snprintf(subject, sizeof(subject), "$KV.%s.%s", bucket, key);
	return bus_get_last(b, stream, subject, out, out_why);
}

static bool is_deleted(const struct bus_delivery *d)
{
	return bus_header_get(d->private, "KV-Operation")[0] != '\0';
}

int bus_kv_get(struct bus *b, const char *bucket, const char *key, struct bus_kv_entry *out,
	       struct why *out_why)
{
	struct bus_delivery d = {0};
	int rc = kv_read(b, bucket, key, &d, out_why);
	if (rc)
		return rc;
	if (is_deleted(&d))
		rc = why_set(out_why, ERR_NOT_FOUND, "bus: %s/%s is deleted", bucket, key);
	else
		*out = (struct bus_kv_entry){.value = mem_dup(d.data, d.len),
					     .len = d.len,
					     .revision = d.seq,
					     .at_ms = d.stream_ns / 1000000};
	bus_delivery_free(&d);
	return rc;
}

struct kv_write {
	const char *bucket;
	const char *key;
	const void *value;
	size_t len;
	const char *operation;    /* NULL: put */
	const uint64_t *expected; /* NULL: unconditional */
};

static int kv_write(struct bus *b, const struct kv_write *w, uint64_t *out_revision,
		    struct why *out_why)
{
	char subject[SUBJECT_MAX + 1], expected[24];
	if (w->len > BUS_VALUE_MAX_BYTES)
		return why_set(out_why, ERR_TOO_LARGE, "bus: value of %s over 64 KiB", w->key);
	if (!token_valid(w->key))
		return why_set(out_why, ERR_INVALID, "bus: key is not a token");
	snprintf(subject, sizeof(subject), "$KV.%s.%s", w->bucket, w->key);
	snprintf(expected, sizeof(expected), "%" PRIu64, w->expected ? *w->expected : 0);
	const struct bus_header headers[] = {
		{"KV-Operation", w->operation},
		{"Nats-Expected-Last-Subject-Sequence", w->expected ? expected : NULL},
	};
	struct bus_call call = {.subject = subject,
				.headers = headers,
				.n_headers = ARRAY_SIZE(headers),
				.data = w->value,
				.len = w->len};
	auto_nats_msg m = NULL;
	struct bus_ack ack = {0};
	int rc = bus_request(b, &call, &m, out_why);
	if (rc == 0)
		rc = bus_puback_parse(m, &ack, out_why);
	if (rc == 0 && out_revision)
		*out_revision = ack.seq;
	return rc;
}

int bus_kv_put(struct bus *b, const char *bucket, const char *key, const void *value, size_t len,
	       uint64_t revision, uint64_t *out_revision, struct why *out_why)
{
	struct kv_write w = {
		.bucket = bucket, .key = key, .value = value, .len = len, .expected = &revision};
	int rc = kv_write(b, &w, out_revision, out_why);
	if (rc != ERR_CONFLICT || revision != 0)
		return rc;
	/* "Must not exist" includes a key whose last message is its deletion. */
	struct bus_delivery d = {0};
	if (kv_read(b, bucket, key, &d, NULL))
		return rc;
	bool deleted = is_deleted(&d);
	revision = d.seq;
	bus_delivery_free(&d);
	return deleted ? kv_write(b, &w, out_revision, out_why) : rc;
}

int bus_kv_set(struct bus *b, const char *bucket, const char *key, const void *value, size_t len,
	       uint64_t *out_revision, struct why *out_why)
{
	struct kv_write w = {.bucket = bucket, .key = key, .value = value, .len = len};
	return kv_write(b, &w, out_revision, out_why);
}

int bus_kv_del(struct bus *b, const char *bucket, const char *key, uint64_t revision,
	       struct why *out_why)
{
	struct kv_write w = {
		.bucket = bucket, .key = key, .operation = "DEL", .expected = &revision};
	return kv_write(b, &w, NULL, out_why);
}
