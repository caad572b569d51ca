#include "monitor/ingress.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "monitor/config.h"
#include "monitor/json_text.h"
#include "monitor/normaliser.h"

#include <sched.h>

enum {
	RETRY_MIN_S = 1,
	RETRY_SPREAD_S = 4,
	ACK_POLL_MS = 100,
	BUS_POLL_MS = 20,
	DRAIN_MS = 3000,
};

static struct metric requests_total = METRIC_COUNTER(
	"healbus_monitor_requests_total", "Bodies posted, by answer.", "source", "status");
static struct metric ack_seconds = METRIC_HISTOGRAM(
	"healbus_monitor_ack_seconds", "From a posted body to the stream's acknowledgement.");

/*
 * A request that waits for its ack. `word` is a generation and a state; whoever moves it from
 * WAITING to TAKEN answers, and a late ack finds another generation.
 */
enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_WAITING, SLOT_TAKEN };

struct slot {
	_Atomic uint64_t word;
	_Atomic int64_t since_ms;
	struct http_request *req;
	char id[ID_BYTES];
	char source[TOKEN_MAX + 1];
};

struct ingress {
	struct slot *slots;
	size_t n_slots;
	atomic_size_t next;
	atomic_size_t waiting;
	_Atomic(struct bus_outlet *) outlet; /* NULL while the bus is away */
	atomic_uint users;                   /* of the outlet, at this moment */
	_Atomic uint32_t jitter;
};

struct ingress *ingress_new(size_t slots)
{
	struct ingress *in = mem_alloc(sizeof(*in));

	in->slots = mem_calloc(slots, sizeof(*in->slots));
	in->n_slots = slots;
	return in;
}

void ingress_free(struct ingress *in)
{
	if (!in)
		return;
	free(in->slots);
	free(in);
}

/* ---- answers ---- */

static void count(const char *source, unsigned status)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", status);
	metric_add(&requests_total, 1, source, text);
}

/* Spread, so that senders do not come back together. */
static void answer_later(struct ingress *in, struct http_request *req, const char *source,
			 const char *reason)
{
	unsigned wait = RETRY_MIN_S + atomic_fetch_add(&in->jitter, 7) % RETRY_SPREAD_S;

	count(source, 503);
	http_reply_retry(req, 503, wait, reason);
}

static void answer_taken(struct http_request *req, const struct slot *slot, const char *source)
{
	char body[ID_BYTES + 16];
	int n = snprintf(body, sizeof(body), "{\"id\":\"%s\"}\n", slot->id);

	count(source, 202);
	metric_observe(&ack_seconds, (double)(clock_mono_ms() - slot->since_ms) / 1000);
	http_reply(req, 202, CONTENT_TYPE_JSON, body, (size_t)n);
}

static void answer_error(struct http_request *req, const char *source, unsigned status, int rc,
			 const struct why *why)
{
	count(source, status);
	http_reply_error(req, rc, why);
}

/* ---- slots ---- */

static uint64_t word_of(uint32_t generation, enum slot_state state)
{
	return (uint64_t)generation << 2 | state;
}

static uint32_t generation_of(uint64_t word)
{
	return (uint32_t)(word >> 2);
}

static struct slot *slot_reserve(struct ingress *in, uint32_t *out_generation)
{
	for (size_t tries = 0; tries < in->n_slots; tries++) {
		struct slot *slot = &in->slots[atomic_fetch_add(&in->next, 1) % in->n_slots];
		uint64_t word = atomic_load(&slot->word);
		uint32_t generation = generation_of(word);

		if (word == word_of(generation, SLOT_FREE) &&
		    atomic_compare_exchange_strong(&slot->word, &word,
						   word_of(generation, SLOT_FILLING))) {
			*out_generation = generation;
			return slot;
		}
	}
	return NULL;
}

/* True: the caller answers, then calls slot_free. */
static bool slot_claim(struct slot *slot, uint32_t generation)
{
	uint64_t word = word_of(generation, SLOT_WAITING);

	return atomic_compare_exchange_strong(&slot->word, &word, word_of(generation, SLOT_TAKEN));
}

static void slot_free(struct ingress *in, struct slot *slot, uint32_t generation)
{
	atomic_store(&slot->word, word_of(generation + 1, SLOT_FREE));
	atomic_fetch_sub(&in->waiting, 1);
}

/* ---- the outlet: handlers borrow it, the thread replaces it ---- */

static struct bus_outlet *outlet_borrow(struct ingress *in)
{
	struct bus_outlet *o;

	atomic_fetch_add(&in->users, 1);
	o = atomic_load(&in->outlet);
	if (!o)
		atomic_fetch_sub(&in->users, 1);
	return o;
}

static void outlet_return(struct ingress *in)
{
	atomic_fetch_sub(&in->users, 1);
}

/* Sends never block, so the borrowers are gone within microseconds. */
static void outlet_close(struct ingress *in)
{
	struct bus_outlet *o = atomic_exchange(&in->outlet, NULL);

	while (atomic_load(&in->users))
		sched_yield();
	bus_outlet_close(o);
}

/* ---- the handler ---- */

bool rate_allow(_Atomic int64_t *next_ns, int64_t rate, int64_t burst, int64_t now_ns)
{
	int64_t step = INT64_C(1000000000) / rate;
	int64_t due = atomic_load(next_ns);

	for (;;) {
		int64_t from = MAX(due, now_ns);

		if (from - now_ns > step * burst)
			return false;
		if (atomic_compare_exchange_weak(next_ns, &due, from + step))
			return true;
	}
}

struct posting {
	struct http_request *req;
	const struct source *source;
	const char *body;
	size_t len;
	struct buf converted;
	bool protobuf;
	bool known; /* authenticated, or the machine itself */
};

static bool token_given(const struct http_request *req, const struct secret *token)
{
	const char *header = http_header(req, "Authorization");

	if (!header || strncasecmp(header, "Bearer ", 7) != 0)
		return false;
	return secret_equal(token, header + 7, strlen(header + 7));
}

/* With a secret configured it must be shown; without one, only the machine itself is known. */
static int posting_authenticate(struct posting *p, struct why *why)
{
	const struct source *s = p->source;

	if (!s->token.len && !s->hmac.len) {
		p->known = http_peer_is_loopback(p->req);
		return 0;
	}
	p->known = (s->token.len && token_given(p->req, &s->token)) ||
		   (s->hmac.len && http_hmac_valid(p->req, s->hmac_header, &s->hmac));
	return p->known ? 0 : why_set(why, ERR_UNAUTHENTICATED, "no valid token or signature");
}

static int posting_check(struct posting *p, struct why *why)
{
	const char *type = http_header(p->req, "Content-Type");

	p->protobuf = type && str_starts(type, CONTENT_TYPE_PROTOBUF);
	if (p->source->format == &format_cloudevents &&
	    cloudevent_structured(p->req, &p->converted)) {
		p->body = buf_str(&p->converted);
		p->len = p->converted.len;
	}
	if (p->len > WIRE_RAW_MAX_BYTES)
		return why_set(why, ERR_TOO_LARGE, "body: over %d bytes", WIRE_RAW_MAX_BYTES);
	if (!p->len)
		return why_set(why, ERR_INVALID, "body: empty");
	return p->protobuf ? 0 : json_text_check(p->body, p->len, why);
}

static const char *content_type(const struct posting *p)
{
	if (p->protobuf)
		return p->known ? CONTENT_TYPE_PROTOBUF
				: CONTENT_TYPE_PROTOBUF "; " UNTRUSTED_PARAMETER;
	return p->known ? CONTENT_TYPE_JSON : CONTENT_TYPE_JSON "; " UNTRUSTED_PARAMETER;
}

/* The same body again is the same message: the stream drops it within its window. */
static void raw_id(const struct posting *p, char out[static ID_BYTES])
{
	uint8_t digest[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1];

	digest_sha256(p->body, p->len, digest);
	hex_encode(digest, sizeof(digest), hex);
	id_make(out, "raw", p->source->name, hex, p->known ? "" : "untrusted");
}

static int posting_send(struct ingress *in, const struct posting *p, uint64_t token, const char *id)
{
	char subject[SUBJECT_MAX + 1];
	struct bus_msg m = {
		.subject = subject_raw(subject, p->source->name),
		.id = id,
		.content_type = content_type(p),
		.time_ms = clock_real_ms(),
		.data = p->body,
		.len = p->len,
	};
	struct bus_outlet *o = outlet_borrow(in);
	int rc;

	if (!o)
		return ERR_UNAVAILABLE;
	rc = bus_outlet_send(o, &m, token);
	outlet_return(in);
	return rc;
}

/* From here on the ack thread answers, unless the sending failed. */
static void posting_store(struct ingress *in, struct posting *p)
{
	uint32_t generation;
	struct slot *slot = slot_reserve(in, &generation);
	char id[ID_BYTES];
	uint64_t token;

	if (!slot) {
		answer_later(in, p->req, p->source->name, "too many bodies under way");
		return;
	}
	raw_id(p, id);
	memcpy(slot->id, id, sizeof(slot->id));
	snprintf(slot->source, sizeof(slot->source), "%s", p->source->name);
	slot->req = p->req;
	atomic_store(&slot->since_ms, clock_mono_ms());
	atomic_fetch_add(&in->waiting, 1);
	token = (uint64_t)generation << 32 | (uint64_t)(slot - in->slots);
	atomic_store(&slot->word, word_of(generation, SLOT_WAITING));
	if (posting_send(in, p, token, id) == 0 || !slot_claim(slot, generation))
		return;
	answer_later(in, p->req, p->source->name, "the bus is away");
	slot_free(in, slot, generation);
}

static void posting_take(struct ingress *in, const struct monitor_config *c, struct posting *p)
{
	const char *name = http_wildcard(p->req);
	struct why why = {0};
	auto_buf known = {0};

	p->source = source_find(c, name);
	if (!p->source || p->source->internal) {
		sources_print(c, false, &known);
		why_set(&why, 0, "no source \"%.64s\"; known: %s", name, buf_str(&known));
		answer_error(p->req, "unknown", 404, ERR_NOT_FOUND, &why);
		return;
	}
	if (posting_authenticate(p, &why)) {
		answer_error(p->req, p->source->name, 401, ERR_UNAUTHENTICATED, &why);
		return;
	}
	if (!rate_allow(p->source->next_ns, p->source->rate, p->source->burst,
			clock_mono_ms() * 1000000)) {
		count(p->source->name, 429);
		http_reply_retry(p->req, 429, 1, "over the rate of this source");
		return;
	}
	p->body = http_body(p->req, &p->len);
	if (posting_check(p, &why))
		answer_error(p->req, p->source->name, p->len > WIRE_RAW_MAX_BYTES ? 413 : 400,
			     p->len > WIRE_RAW_MAX_BYTES ? ERR_TOO_LARGE : ERR_INVALID, &why);
	else
		posting_store(in, p);
}

void ingress_webhook(void *ctx, struct http_request *req)
{
	struct stage *s = ctx;
	const struct monitor_config *c = stage_config_get(s);
	struct posting p = {.req = req};

	posting_take(stage_data(s), c, &p);
	buf_release(&p.converted);
	stage_config_put(s, c);
}

/* ---- the thread that answers ---- */

static void ack_answer(struct ingress *in, const struct bus_ack *ack)
{
	size_t index = ack->token & UINT32_MAX;
	uint32_t generation = (uint32_t)(ack->token >> 32);
	struct slot *slot = index < in->n_slots ? &in->slots[index] : NULL;

	if (!slot || !slot_claim(slot, generation))
		return;
	if (ack->rc)
		answer_later(in, slot->req, slot->source, err_name(ack->rc));
	else
		answer_taken(slot->req, slot, slot->source);
	slot_free(in, slot, generation);
}

static void overdue_answer(struct ingress *in, int64_t before_ms, const char *reason)
{
	for (size_t i = 0; i < in->n_slots; i++) {
		struct slot *slot = &in->slots[i];
		uint64_t word = atomic_load(&slot->word);
		uint32_t generation = generation_of(word);

		if (word != word_of(generation, SLOT_WAITING) ||
		    atomic_load(&slot->since_ms) >= before_ms || !slot_claim(slot, generation))
			continue;
		answer_later(in, slot->req, slot->source, reason);
		slot_free(in, slot, generation);
	}
}

/* One connection's life. Acks not seen before it ends never come. */
static void outlet_serve(struct stage *s, struct ingress *in, struct bus_outlet *o)
{
	const struct monitor_config *c = stage_config_get(s);
	int64_t timeout_ms = c->ack_timeout_ms, swept_ms = clock_mono_ms(), stop_ms = 0;

	stage_config_put(s, c);
	for (;;) {
		struct bus_ack ack;
		int rc = bus_outlet_next(o, ACK_POLL_MS, &ack);
		int64_t now = clock_mono_ms();

		if (rc == 0)
			ack_answer(in, &ack);
		else if (rc != ERR_TIMEOUT)
			return;
		if (now - swept_ms >= ACK_POLL_MS) {
			overdue_answer(in, now - timeout_ms, "no acknowledgement from the stream");
			swept_ms = now;
		}
		if (stage_stopping(s) && !stop_ms)
			stop_ms = now;
		if (stop_ms && (!atomic_load(&in->waiting) || now - stop_ms > DRAIN_MS))
			return;
	}
}

void ingress_thread(struct stage *s)
{
	struct ingress *in = stage_data(s);

	while (!stage_stopping(s)) {
		struct bus_outlet *o = NULL;

		if (bus_outlet_open(stage_bus(s), &o)) {
			stage_sleep(s, BUS_POLL_MS);
			continue;
		}
		atomic_store(&in->outlet, o);
		outlet_serve(s, in, o);
		outlet_close(in);
		overdue_answer(in, INT64_MAX, "the bus went away");
	}
}
