#include "monitor/ingress_private.h"
#include "common/clock.h"
#include "common/failpoint.h"
#include "common/metrics.h"
#include "monitor/body.h"
#include "monitor/normaliser.h"

#include <sched.h>
#include <sys/eventfd.h>

enum {
	RETRY_MIN_S = 1,
	RETRY_SPREAD_S = 4,
	ACK_POLL_MS = 100,
	IDLE_POLL_MS = 500, /* while nothing waits for an ack */
	BUS_POLL_MS = 20,
	DRAIN_MS = 3000,
	FEW_WAITING = 4, /* with more, bodies may wait for each other on their way to the bus */
};

static struct metric requests_total = METRIC_COUNTER(
	"healbus_monitor_requests_total", "Bodies posted, by answer.", "source", "status");
static struct metric repeats_total = METRIC_COUNTER(
	"healbus_monitor_repeats_total",
	"Bodies not stored, since the stream has what they say, or soon will.", "source", "of");
static struct metric ack_seconds = METRIC_HISTOGRAM(
	"healbus_monitor_ack_seconds", "From a posted body to the stream's acknowledgement.");

/* A request that waits for the ack of another's body. */
struct joined {
	struct joined *next;
	struct http_request *req;
};

/*
 * A request that waits for its ack. `word` is a generation and a state; whoever moves it from
 * WAITING to TAKEN answers, and a late ack finds another generation.
 */
enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_WAITING, SLOT_TAKEN };

struct slot {
	_Atomic uint64_t word;
	_Atomic int64_t since_ms;
	struct http_request *req;
	struct buf identities;
	_Atomic(struct joined *) joined;
	char id[ID_BYTES];
	char source[TOKEN_MAX + 1];
};

struct ingress *ingress_new(size_t slots)
{
	struct ingress *in = mem_alloc(sizeof(*in));

	in->slots = mem_calloc(slots, sizeof(*in->slots));
	in->n_slots = slots;
	in->repeats = repeats_new();
	in->repeat = http_fixed_new(202, CONTENT_TYPE_JSON, "{\"repeat\":true}\n");
	in->remedies_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (in->remedies_bell < 0)
		abort();
	return in;
}

void ingress_free(struct ingress *in)
{
	if (!in)
		return;
	for (size_t i = 0; i < in->n_slots; i++)
		buf_release(&in->slots[i].identities);
	repeats_free(in->repeats);
	http_fixed_free(in->repeat);
	close(in->remedies_bell);
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

static void answer_taken(struct http_request *req, const struct slot *slot)
{
	char body[ID_BYTES + 16];
	int n = snprintf(body, sizeof(body), "{\"id\":\"%s\"}\n", slot->id);

	count(slot->source, 202);
	metric_observe(&ack_seconds, (double)(clock_mono_ms() - slot->since_ms) / 1000);
	http_reply(req, 202, CONTENT_TYPE_JSON, body, (size_t)n);
}

static void answer_repeat(struct ingress *in, struct http_request *req, const char *source)
{
	count(source, 202);
	http_reply_fixed(req, in->repeat);
}

void ingress_answer_repeat(struct ingress *in, struct posting *p)
{
	metric_add(&repeats_total, 1, p->source->name, "stored");
	answer_repeat(in, p->req, p->source->name);
}

void ingress_answer_error(const struct posting *p, const char *source, unsigned status, int rc,
			  const struct why *why)
{
	count(source, status);
	http_reply_error(p->req, rc, why);
}

void ingress_answer_text(const struct posting *p, unsigned status, const char *text)
{
	count(p->source->name, status);
	http_reply(p->req, status, CONTENT_TYPE_JSON, text, strlen(text));
}

void ingress_answer_rate(const struct posting *p)
{
	count(p->source->name, 429);
	http_reply_retry(p->req, 429, 1, "over the rate of this source");
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

static uint64_t token_of(const struct ingress *in, const struct slot *slot, uint32_t generation)
{
	return (uint64_t)generation << 32 | (uint64_t)(slot - in->slots);
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

/* True: the caller answers, with slot_settle. */
static bool slot_claim(struct slot *slot, uint32_t generation)
{
	uint64_t word = word_of(generation, SLOT_WAITING);

	return atomic_compare_exchange_strong(&slot->word, &word, word_of(generation, SLOT_TAKEN));
}

/* Answers the request of a claimed slot, and those that joined it. later: why not; NULL: stored. */
static void slot_settle(struct ingress *in, struct slot *slot, uint32_t generation,
			const char *later)
{
	size_t n = slot->identities.len / sizeof(struct identity);
	struct joined *list, *next;

	FAILPOINT("ingress-stored");
	repeats_end(in->repeats, (const struct identity *)(const void *)slot->identities.data, n,
		    token_of(in, slot, generation), !later);
	if (later)
		answer_later(in, slot->req, slot->source, later);
	else
		answer_taken(slot->req, slot);
	for (list = atomic_exchange(&slot->joined, NULL); list; list = next) {
		next = list->next;
		if (later)
			answer_later(in, list->req, slot->source, later);
		else
			answer_repeat(in, list->req, slot->source);
		free(list);
	}
	buf_reset(&slot->identities);
	atomic_store(&slot->word, word_of(generation + 1, SLOT_FREE));
	atomic_fetch_sub(&in->waiting, 1);
}

struct joining {
	struct slot *slot;
	struct joined *joined;
};

static void slot_join(void *ctx)
{
	struct joining *j = ctx;

	j->joined->next = atomic_load(&j->slot->joined);
	while (!atomic_compare_exchange_weak(&j->slot->joined, &j->joined->next, j->joined))
		;
}

/* A slot ends its alerts' entries before it looks who joined, so nobody comes too late. */
bool ingress_join(struct ingress *in, const struct posting *p, struct identity id, uint64_t token)
{
	struct joining j = {&in->slots[token & UINT32_MAX], mem_alloc(sizeof(*j.joined))};

	j.joined->req = p->req;
	if (repeats_join(in->repeats, id, token, slot_join, &j)) {
		metric_add(&repeats_total, 1, p->source->name, "under_way");
		return true;
	}
	free(j.joined);
	return false;
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

/* ---- storing ---- */

enum { CONTENT_TYPE_BYTES = 160 };

static const char *content_type(const struct posting *p, char out[static CONTENT_TYPE_BYTES])
{
	snprintf(out, CONTENT_TYPE_BYTES, "%s%s%s%s",
		 p->protobuf ? CONTENT_TYPE_PROTOBUF : CONTENT_TYPE_JSON,
		 p->event ? "; " EVENT_PARAMETER "=" : "", p->event ? p->event : "",
		 p->known ? "" : "; " UNTRUSTED_PARAMETER);
	return out;
}

/* The same body again is the same message: the stream drops it within its window. */
static void raw_id(const struct posting *p, char out[static ID_BYTES])
{
	const struct raw_body body = {.source = p->source->name, .data = p->body, .len = p->len};
	char when[24] = "";

	if (p->source->grain_ms)
		snprintf(when, sizeof(when), "%" PRId64, clock_real_ms() / p->source->grain_ms);
	body_id(&body, p->known, when, out);
}

bool ingress_is_busy(const struct ingress *in)
{
	return atomic_load(&in->waiting) > FEW_WAITING;
}

static int posting_send(struct ingress *in, const struct posting *p, uint64_t token, const char *id)
{
	char subject[SUBJECT_MAX + 1], type[CONTENT_TYPE_BYTES];
	struct bus_msg m = {
		.subject = subject_raw(subject, p->source->name),
		.id = id,
		.content_type = content_type(p, type),
		.time_ms = clock_real_ms(),
		.data = p->body,
		.len = p->len,
		.may_wait = ingress_is_busy(in),
	};
	struct bus_outlet *o = outlet_borrow(in);
	int rc;

	if (!o)
		return ERR_UNAVAILABLE;
	rc = bus_outlet_send(o, &m, token);
	outlet_return(in);
	FAILPOINT("ingress-sent");
	return rc;
}

/* From WAITING on the ack thread answers, unless the sending failed. */
void ingress_store(struct ingress *in, struct posting *p)
{
	uint32_t generation;
	struct slot *slot = slot_reserve(in, &generation);
	char id[ID_BYTES];
	size_t n;
	const struct identity *ids = posting_ids(p, &n);
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
	token = token_of(in, slot, generation);
	if (p->identified) {
		buf_add(&slot->identities, ids, n * sizeof(*ids));
		repeats_begin(in->repeats, ids, n, token, slot->since_ms);
	}
	atomic_store(&slot->word, word_of(generation, SLOT_WAITING));
	if (posting_send(in, p, token, id) && slot_claim(slot, generation))
		slot_settle(in, slot, generation, "the bus is away");
}

/* ---- the thread that answers ---- */

static void ack_answer(struct ingress *in, const struct bus_ack *ack)
{
	size_t index = ack->token & UINT32_MAX;
	uint32_t generation = (uint32_t)(ack->token >> 32);
	struct slot *slot = index < in->n_slots ? &in->slots[index] : NULL;

	if (slot && slot_claim(slot, generation))
		slot_settle(in, slot, generation, ack->rc ? err_name(ack->rc) : NULL);
}

static void overdue_answer(struct ingress *in, int64_t before_ms, const char *reason)
{
	for (size_t i = 0; i < in->n_slots; i++) {
		struct slot *slot = &in->slots[i];
		uint64_t word = atomic_load(&slot->word);
		uint32_t generation = generation_of(word);

		if (word == word_of(generation, SLOT_WAITING) &&
		    atomic_load(&slot->since_ms) < before_ms && slot_claim(slot, generation))
			slot_settle(in, slot, generation, reason);
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
		bool waiting = atomic_load(&in->waiting) > 0;
		int rc = bus_outlet_next(o, waiting ? ACK_POLL_MS : IDLE_POLL_MS, &ack);
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

		if (bus_outlet_open_packing(stage_bus(s), &o)) {
			stage_sleep(s, BUS_POLL_MS);
			continue;
		}
		/* The bus may have lost what it acknowledged to the connection before. */
		repeats_forget(in->repeats);
		atomic_store(&in->outlet, o);
		outlet_serve(s, in, o);
		outlet_close(in);
		overdue_answer(in, INT64_MAX, "the bus went away");
	}
}
