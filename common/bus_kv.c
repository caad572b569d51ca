#include "common/bus_private.h"

/* ---- direct reads ---- */

int bus_direct_read(natsMsg *m, struct bus_delivery *out, struct why *out_why)
{
	int status = bus_msg_status(m);
	if (status == 404)
		return why_set(out_why, ERR_NOT_FOUND, "bus: no such message");
	if (status != 0)
		return why_set(out_why, ERR_INVALID, "bus: %s", bus_header_get(m, "Description"));
	int n_seqs, n;
	const char *seq = bus_header_last(m, BUS_ANSWER_HEADER, &n_seqs);
	struct bus_delivery d = {.subject = bus_header_last(m, "Nats-Subject", &n),
				 .id = bus_msg_id(m),
				 .cause = bus_header_text(m, HEADER_CAUSE),
				 .content_type = bus_header_text(m, HEADER_CONTENT_TYPE),
				 .again = str_eq(bus_header_text(m, HEADER_AGAIN), "1"),
				 .schema = n_seqs > 1 ? SCHEMA_ANSWER : bus_header_schema(m),
				 .seq = strtoull(seq, NULL, 10),
				 .stream_ns =
					 bus_time_ns(bus_header_last(m, "Nats-Time-Stamp", &n)),
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
	rc = bus_direct_read(m, out, out_why);
	if (rc)
		bus_msg_drop(b, m);
	return rc;
}

static int leader_get(struct bus *b, struct bus_call *call, struct bus_delivery *out,
		      struct why *out_why)
{
	natsMsg *m = NULL;
	int rc = bus_request(b, call, &m, out_why);
	if (!rc)
		rc = bus_leader_read(b, m, &m, out_why);
	if (rc)
		return rc;
	rc = bus_direct_read(m, out, out_why);
	if (rc)
		bus_msg_drop(b, m);
	return rc;
}

int bus_get(struct bus *b, const char *stream, uint64_t seq, struct bus_delivery *out,
	    struct why *out_why)
{
	char subject[SUBJECT_MAX + 1], body[BUS_LEADER_BODY_BYTES];
	snprintf(subject, sizeof(subject), "$JS.API.DIRECT.GET.%s", stream);
	bus_leader_ask_seq(body, seq);
	struct bus_call call = {.subject = subject, .data = body, .len = strlen(body)};
	struct why why = {0};
	int rc = direct_get(b, &call, out, &why);
	if (rc != ERR_NOT_FOUND)
		return rc ? why_set(out_why, rc, "%s", why.text) : 0;
	snprintf(subject, sizeof(subject), "$JS.API.STREAM.MSG.GET.%s", stream);
	call = (struct bus_call){.subject = subject, .data = body, .len = strlen(body)};
	return leader_get(b, &call, out, out_why);
}

int bus_get_next(struct bus *b, const struct topic_consumer *of, uint64_t seq,
		 struct bus_delivery *out, struct why *out_why)
{
	char subject[SUBJECT_MAX + 1], body[SUBJECT_MAX + 64];
	snprintf(subject, sizeof(subject), "$JS.API.DIRECT.GET.%s", of->stream);
	snprintf(body, sizeof(body), "{\"seq\":%" PRIu64 ",\"next_by_subj\":\"%s\"}", seq,
		 of->filter);
	struct bus_call call = {.subject = subject, .data = body, .len = strlen(body)};
	return direct_get(b, &call, out, out_why);
}

/* ---- key-value: several calls at once ---- */

/* A call on its way, with the text that it borrows. */
struct asking {
	char subject[2 * SUBJECT_MAX];
	char expected[24];
	char body[BUS_LEADER_BODY_BYTES];
	uint64_t revision; /* what the put expects */
	struct bus_header headers[2];
};

static bool is_deleted(const struct bus_delivery *d)
{
	return bus_header_get(d->private, "KV-Operation")[0] != '\0';
}

static int prepare_get(struct bus_ask *a, struct asking *w, struct bus_call *call)
{
	if (a->kind == BUS_ASK_LAST)
		snprintf(w->subject, sizeof(w->subject), "$JS.API.DIRECT.GET.%s.%s", a->bucket,
			 a->key);
	else
		snprintf(w->subject, sizeof(w->subject), "$JS.API.DIRECT.GET.KV_%s.$KV.%s.%s",
			 a->bucket, a->bucket, a->key);
	*call = (struct bus_call){.subject = w->subject};
	if (!a->leader)
		return 0;
	snprintf(w->subject, sizeof(w->subject), "$JS.API.STREAM.MSG.GET.%s%s",
		 a->kind == BUS_ASK_LAST ? "" : "KV_", a->bucket);
	char subject[SUBJECT_MAX + 1];
	if (a->kind == BUS_ASK_LAST)
		snprintf(subject, sizeof(subject), "%s", a->key);
	else
		snprintf(subject, sizeof(subject), "$KV.%s.%s", a->bucket, a->key);
	bus_leader_ask_last(w->body, subject);
	call->data = w->body;
	call->len = strlen(w->body);
	return 0;
}

static bool key_valid(const char *key)
{
	char part[TOKEN_MAX + 1];
	for (;;) {
		size_t len = strcspn(key, ".");
		if (len > TOKEN_MAX)
			return false;
		snprintf(part, sizeof(part), "%.*s", (int)len, key);
		if (!token_valid(part))
			return false;
		if (!key[len])
			return true;
		key += len + 1;
	}
}

static int prepare_write(struct bus_ask *a, struct asking *w, struct bus_call *call)
{
	bool set = a->kind == BUS_ASK_SET;
	if (a->len > BUS_VALUE_MAX_BYTES)
		return why_set(&a->why, ERR_TOO_LARGE, "bus: value of %s over 64 KiB", a->key);
	if (!key_valid(a->key))
		return why_set(&a->why, ERR_INVALID, "bus: key is not one of tokens and dots");
	snprintf(w->subject, sizeof(w->subject), "$KV.%s.%s", a->bucket, a->key);
	snprintf(w->expected, sizeof(w->expected), "%" PRIu64, w->revision);
	w->headers[0] = (struct bus_header){"KV-Operation", a->kind == BUS_ASK_DEL ? "DEL" : NULL};
	w->headers[1] = (struct bus_header){"Nats-Expected-Last-Subject-Sequence",
					    set ? NULL : w->expected};
	*call = (struct bus_call){.subject = w->subject,
				  .headers = w->headers,
				  .n_headers = ARRAY_SIZE(w->headers),
				  .data = a->value,
				  .len = a->len};
	return 0;
}

/* What nobody said counts for nothing, least of all as a deletion or the end of a pause. */
static int read_said(natsMsg *m, struct bus_delivery *out, struct why *out_why)
{
	int rc = bus_direct_read(m, out, out_why);
	if (rc == 0 && out->schema == SCHEMA_ANSWER)
		rc = why_set(out_why, ERR_CORRUPT, "bus: %s: " SCHEMA_ANSWER_TEXT, out->subject);
	return rc;
}

/* An answer is the ask's from here on. */
static int read_entry(struct bus *b, struct bus_ask *a, natsMsg *m)
{
	struct bus_delivery d = {0};
	int rc = a->leader ? bus_leader_read(b, m, &m, &a->why) : 0;
	if (rc)
		return rc;
	rc = read_said(m, &d, &a->why);
	if (rc == 0 && is_deleted(&d))
		rc = why_set(&a->why, ERR_NOT_FOUND, "bus: %s/%s is deleted", a->bucket, a->key);
	else if (rc == 0)
		a->entry = (struct bus_kv_entry){.value = mem_dup(d.data, d.len),
						 .len = d.len,
						 .revision = d.seq,
						 .at_ms = d.stream_ns / 1000000};
	bus_msg_drop(b, m);
	return rc;
}

static int read_last(struct bus *b, struct bus_ask *a, natsMsg *m)
{
	int rc = a->leader ? bus_leader_read(b, m, &m, &a->why) : 0;
	if (rc)
		return rc;
	rc = read_said(m, &a->delivery, &a->why);
	if (rc)
		bus_msg_drop(b, m);
	return rc;
}

static int read_revision(struct bus *b, struct bus_ask *a, natsMsg *m)
{
	struct bus_ack ack = {0};
	int rc = bus_puback_parse(m, &ack, &a->why);
	bus_msg_drop(b, m);
	if (rc == 0)
		a->revision = ack.seq;
	return rc;
}

static const struct {
	int (*prepare)(struct bus_ask *a, struct asking *w, struct bus_call *call);
	int (*read)(struct bus *b, struct bus_ask *a, natsMsg *m);
} kinds[] = {
	[BUS_ASK_LAST] = {prepare_get, read_last},
	[BUS_ASK_GET] = {prepare_get, read_entry},
	[BUS_ASK_PUT] = {prepare_write, read_revision},
	[BUS_ASK_SET] = {prepare_write, read_revision},
	[BUS_ASK_DEL] = {prepare_write, read_revision},
};

/* Each call that can be sent is; the others have their rc. */
static void ask_once(struct bus *b, struct bus_ask *asks, struct asking *work, size_t n)
{
	struct bus_call *calls = mem_calloc(n, sizeof(*calls));
	struct bus_ask **of = mem_calloc(n, sizeof(struct bus_ask *));
	size_t sent = 0;
	for (size_t i = 0; i < n; i++) {
		struct bus_ask *a = &asks[i];
		a->rc = kinds[a->kind].prepare(a, &work[i], &calls[sent]);
		if (a->rc == 0)
			of[sent++] = a;
	}
	bus_requests(b, calls, sent);
	for (size_t i = 0; i < sent; i++) {
		struct bus_ask *a = of[i];
		a->rc = calls[i].rc ? why_set(&a->why, calls[i].rc, "%s", calls[i].why.text)
				    : kinds[a->kind].read(b, a, calls[i].answer);
	}
	free(of);
	free(calls);
}

/* ---- keys that must not exist ---- */

/* Our own deletions: whoever takes a key that he gave back knows what its last message is. */
static struct bus_gone *gone_slot(struct bus *b, const struct bus_ask *a, uint64_t *out_hash)
{
	uint64_t h = fnv1a(FNV_INIT, a->bucket, strlen(a->bucket));
	*out_hash = fnv1a(h ^ '/', a->key, strlen(a->key));
	return &b->gone[(*out_hash ^ *out_hash >> 32) % BUS_GONE_MAX];
}

static uint64_t gone_revision(struct bus *b, const struct bus_ask *a)
{
	uint64_t hash = 0, revision = 0;
	struct bus_gone *g = gone_slot(b, a, &hash);
	pthread_mutex_lock(&b->lock);
	if (g->hash == hash)
		revision = g->revision;
	pthread_mutex_unlock(&b->lock);
	return revision;
}

static void note_gone(struct bus *b, const struct bus_ask *a)
{
	uint64_t hash = 0;
	struct bus_gone *g = gone_slot(b, a, &hash);
	pthread_mutex_lock(&b->lock);
	*g = (struct bus_gone){.hash = hash, .revision = a->revision};
	pthread_mutex_unlock(&b->lock);
}

/* "Must not exist" includes a key whose last message is its deletion. */
static void ask_again(struct bus *b, struct bus_ask *a, struct asking *w)
{
	char stream[TOKEN_MAX + 8], subject[SUBJECT_MAX + 1];
	struct bus_delivery d = {0};
	struct why refused = a->why;
	snprintf(stream, sizeof(stream), "KV_%s", a->bucket);
	snprintf(subject, sizeof(subject), "$KV.%s.%s", a->bucket, a->key);
	int rc = bus_get_last(b, stream, subject, &d, NULL);
	bool absent = rc == ERR_NOT_FOUND || (rc == 0 && is_deleted(&d));
	w->revision = d.seq;
	bus_delivery_free(&d);
	a->why = (struct why){0};
	if (absent)
		ask_once(b, a, w, 1);
	else
		a->why = refused;
}

void bus_ask(struct bus *b, struct bus_ask *asks, size_t n)
{
	struct asking *work = mem_calloc(n, sizeof(*work));
	for (size_t i = 0; i < n; i++) {
		struct bus_ask *a = &asks[i];
		a->why = (struct why){0};
		work[i].revision = a->revision;
		if (a->kind == BUS_ASK_PUT && a->revision == 0)
			work[i].revision = gone_revision(b, a);
	}
	ask_once(b, asks, work, n);
	for (size_t i = 0; i < n; i++) {
		struct bus_ask *a = &asks[i];
		if (a->kind == BUS_ASK_PUT && a->rc == ERR_CONFLICT && a->revision == 0)
			ask_again(b, a, &work[i]);
		if (a->kind == BUS_ASK_DEL && a->rc == 0)
			note_gone(b, a);
	}
	free(work);
}

/* ---- one at a time ---- */

static int ask_one(struct bus *b, struct bus_ask *a, struct why *out_why)
{
	bus_ask(b, a, 1);
	return a->rc ? why_set(out_why, a->rc, "%s", a->why.text) : 0;
}

int bus_get_last(struct bus *b, const char *stream, const char *subject, struct bus_delivery *out,
		 struct why *out_why)
{
	struct bus_ask a = {.kind = BUS_ASK_LAST, .bucket = stream, .key = subject};
	int rc = ask_one(b, &a, NULL);
	if (rc == ERR_NOT_FOUND) {
		a.leader = true;
		rc = ask_one(b, &a, NULL);
	}
	if (rc == 0)
		*out = a.delivery;
	return rc ? why_set(out_why, rc, "%s", a.why.text) : 0;
}

int bus_kv_get(struct bus *b, const char *bucket, const char *key, struct bus_kv_entry *out,
	       struct why *out_why)
{
	struct bus_ask a = {.kind = BUS_ASK_GET, .bucket = bucket, .key = key, .leader = true};
	int rc = ask_one(b, &a, out_why);
	if (rc == 0)
		*out = a.entry;
	return rc;
}

static int write_one(struct bus *b, struct bus_ask *a, uint64_t *out_revision, struct why *out_why)
{
	int rc = ask_one(b, a, out_why);
	if (rc == 0 && out_revision)
		*out_revision = a->revision;
	return rc;
}

int bus_kv_put(struct bus *b, const char *bucket, const char *key, const void *value, size_t len,
	       uint64_t revision, uint64_t *out_revision, struct why *out_why)
{
	struct bus_ask a = {.kind = BUS_ASK_PUT,
			    .bucket = bucket,
			    .key = key,
			    .value = value,
			    .len = len,
			    .revision = revision};
	return write_one(b, &a, out_revision, out_why);
}

int bus_kv_set(struct bus *b, const char *bucket, const char *key, const void *value, size_t len,
	       uint64_t *out_revision, struct why *out_why)
{
	struct bus_ask a = {
		.kind = BUS_ASK_SET, .bucket = bucket, .key = key, .value = value, .len = len};
	return write_one(b, &a, out_revision, out_why);
}

int bus_kv_del(struct bus *b, const char *bucket, const char *key, uint64_t revision,
	       struct why *out_why)
{
	struct bus_ask a = {
		.kind = BUS_ASK_DEL, .bucket = bucket, .key = key, .revision = revision};
	return write_one(b, &a, NULL, out_why);
}

void bus_kv_drop(struct bus *b, const char *bucket, const char *key, uint64_t revision)
{
	struct bus_ask a = {
		.kind = BUS_ASK_DEL, .bucket = bucket, .key = key, .revision = revision};
	struct asking work = {.revision = revision};
	struct bus_call call;
	auto_conn c = bus_conn_get(b);
	if (c && prepare_write(&a, &work, &call) == 0)
		bus_conn_send(c, &call, NULL);
}

/* ---- keys ---- */

int bus_kv_keys(struct bus *b, const char *bucket, void (*visit)(void *ctx, const char *key),
		void *ctx, struct why *out_why)
{
	char subject[SUBJECT_MAX + 1], prefix[SUBJECT_MAX + 1];
	auto_json answer = NULL;
	const char *name;
	json_t *messages;
	snprintf(subject, sizeof(subject), "$JS.API.STREAM.INFO.KV_%s", bucket);
	snprintf(prefix, sizeof(prefix), "$KV.%s.", bucket);
	json_t *body = json_pack("{s:s+}", "subjects_filter", prefix, ">");
	int rc = bus_api(b, subject, body, &answer, out_why);
	json_t *subjects = json_object_get(json_object_get(answer, "state"), "subjects");
	json_object_foreach(subjects, name, messages)
	{
		(void)messages;
		if (str_starts(name, prefix))
			visit(ctx, name + strlen(prefix));
	}
	return rc;
}
