#include "monitor/repeats.h"
#include "common/id.h"
#include "common/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>

enum {
	WAYS = 8,
	BUCKETS_LOG2 = 13,
	LOCKS = 64,
};

static const uint64_t no_token = UINT64_MAX;

struct entry {
	uint64_t key;
	uint64_t state; /* 0: free */
	uint64_t token; /* no_token: the stream has it */
	int64_t since_ms;
};

struct bucket {
	struct entry ways[WAYS];
};

static_assert(sizeof(struct bucket) << BUCKETS_LOG2 == 2 << 20, "two MiB in all");

struct repeats {
	struct bucket *buckets;
	pthread_mutex_t locks[LOCKS];
	uint64_t secret[3];
	_Atomic uint64_t epoch;
};

struct repeats *repeats_new(void)
{
	struct repeats *r = mem_alloc(sizeof(*r));

	r->buckets = mem_calloc((size_t)1 << BUCKETS_LOG2, sizeof(*r->buckets));
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&r->locks[i], NULL);
	if (getrandom(r->secret, sizeof(r->secret), 0) != (ssize_t)sizeof(r->secret))
		abort();
	return r;
}

void repeats_free(struct repeats *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&r->locks[i]);
	free(r->buckets);
	free(r);
}

/* ---- identity: SipHash-1-3 (Aumasson, Bernstein), since senders must not find collisions ---- */

struct sip {
	uint64_t v[4];
};

static inline uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(struct sip *s)
{
	uint64_t *v = s->v;

	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->v[3] ^= word;
	sip_round(s);
	s->v[0] ^= word;
}

/* Each part with its length: no two lists of parts give the same words. */
static void sip_part(struct sip *s, const char *data, size_t len)
{
	uint64_t word;

	sip_word(s, len);
	for (; len >= sizeof(word); data += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		sip_word(s, word);
	}
	word = 0;
	if (len)
		memcpy(&word, data, len);
	sip_word(s, word);
}

static struct sip sip_start(const struct repeats *r)
{
	return (struct sip){{
		r->secret[0] ^ UINT64_C(0x736f6d6570736575),
		r->secret[1] ^ UINT64_C(0x646f72616e646f6d),
		r->secret[0] ^ UINT64_C(0x6c7967656e657261),
		r->secret[1] ^ UINT64_C(0x7465646279746573),
	}};
}

static uint64_t sip_end(struct sip *s)
{
	s->v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(s);
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

static bool fingerprint_read(struct json_span text, uint64_t *out)
{
	uint64_t value = 0;

	if (!text.data || text.len != FINGERPRINT_LEN)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		if ((c < '0' || c > '9') && (c < 'a' || c > 'f'))
			return false;
		value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*out = value;
	return true;
}

bool identity_make(const struct repeats *r, const struct identity_frame *frame,
		   const struct alert_text *alert, struct identity *out)
{
	const struct json_span parts[] = {{frame->source, strlen(frame->source), false},
					  alert->status,
					  alert->starts_at,
					  alert->ends_at,
					  alert->labels};
	struct sip s = sip_start(r);
	uint64_t key, state;

	if (!fingerprint_read(alert->fingerprint, &key))
		return false;
	sip_word(&s, key);
	sip_word(&s, atomic_load(&r->epoch));
	sip_word(&s, frame->generation << 1 | frame->trusted);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		sip_word(&s, parts[i].data != NULL);
		sip_part(&s, parts[i].data, parts[i].len);
	}
	state = sip_end(&s);
	*out = (struct identity){key, state ? state : 1};
	return true;
}

/* ---- the table ---- */

static size_t bucket_of(const struct repeats *r, uint64_t key)
{
	uint64_t mixed = (key ^ r->secret[2]) * UINT64_C(0x9e3779b97f4a7c15);

	mixed = (mixed ^ mixed >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return (size_t)(mixed >> (64 - BUCKETS_LOG2));
}

static struct entry *entry_find(struct bucket *b, uint64_t key)
{
	for (size_t i = 0; i < WAYS; i++) {
		if (b->ways[i].state && b->ways[i].key == key)
			return &b->ways[i];
	}
	return NULL;
}

/* The alert's own, a free one, or the one seen longest ago. */
static struct entry *entry_take(struct bucket *b, uint64_t key)
{
	struct entry *oldest = &b->ways[0], *own = entry_find(b, key);

	if (own)
		return own;
	for (size_t i = 0; i < WAYS; i++) {
		if (!b->ways[i].state)
			return &b->ways[i];
		if (b->ways[i].since_ms < oldest->since_ms)
			oldest = &b->ways[i];
	}
	return oldest;
}

/* The bucket of a key, locked. */
static struct bucket *bucket_lock(struct repeats *r, uint64_t key, pthread_mutex_t **out_lock)
{
	size_t i = bucket_of(r, key);

	*out_lock = &r->locks[i % LOCKS];
	pthread_mutex_lock(*out_lock);
	return &r->buckets[i];
}

enum repeat repeats_look(struct repeats *r, struct identity id, int64_t since_ms,
			 uint64_t *out_token)
{
	pthread_mutex_t *lock;
	const struct entry *e = entry_find(bucket_lock(r, id.key, &lock), id.key);
	enum repeat found = REPEAT_NEW;

	if (e && e->state == id.state && e->since_ms > since_ms) {
		*out_token = e->token;
		found = e->token == no_token ? REPEAT_STORED : REPEAT_PENDING;
	}
	pthread_mutex_unlock(lock);
	return found;
}

void repeats_begin(struct repeats *r, const struct identity *ids, size_t n, uint64_t token,
		   int64_t now_ms)
{
	for (size_t i = 0; i < n; i++) {
		pthread_mutex_t *lock;
		struct entry *e = entry_take(bucket_lock(r, ids[i].key, &lock), ids[i].key);

		*e = (struct entry){ids[i].key, ids[i].state, token, now_ms};
		pthread_mutex_unlock(lock);
	}
}

void repeats_end(struct repeats *r, const struct identity *ids, size_t n, uint64_t token,
		 bool stored)
{
	for (size_t i = 0; i < n; i++) {
		pthread_mutex_t *lock;
		struct entry *e = entry_find(bucket_lock(r, ids[i].key, &lock), ids[i].key);

		if (e && e->token == token)
			*e = stored ? (struct entry){e->key, e->state, no_token, e->since_ms}
				    : (struct entry){0};
		pthread_mutex_unlock(lock);
	}
}

bool repeats_join(struct repeats *r, struct identity id, uint64_t token, void (*join)(void *ctx),
		  void *ctx)
{
	pthread_mutex_t *lock;
	const struct entry *e = entry_find(bucket_lock(r, id.key, &lock), id.key);
	bool pending = e && e->token == token && e->state == id.state;

	if (pending)
		join(ctx);
	pthread_mutex_unlock(lock);
	return pending;
}

void repeats_forget(struct repeats *r)
{
	atomic_fetch_add(&r->epoch, 1);
}
