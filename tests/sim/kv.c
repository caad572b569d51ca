/* Key-value buckets with compare-and-set and expiry; liveness is read from the processes. */
#include "common/lease.h"
#include "tests/sim/sim.h"

enum { LATE_MS = 20000 };

static int64_t ttl_ms(const char *bucket)
{
	return str_eq(bucket, BUCKET_LOCK) ? LOCK_TTL_MS : INT64_MAX / 2;
}

static struct kv_key *row_find(const char *bucket, const char *key)
{
	for (size_t i = 0; i < W->n_keys; i++)
		if (str_eq(W->keys[i].key, key) && str_eq(W->keys[i].bucket, bucket))
			return &W->keys[i];
	return NULL;
}

struct kv_key *kv_find(const char *bucket, const char *key)
{
	struct kv_key *k = row_find(bucket, key);
	bool there = k && k->revision && k->at_ms + ttl_ms(bucket) > W->now_ms;
	return there ? k : NULL;
}

static char *keep(const void *data, size_t len)
{
	char *out = arena_alloc(&W->arena, len + 1);
	if (!out)
		abort();
	if (len)
		memcpy(out, data, len);
	return out;
}

static bool refused(const char *bucket, const struct kv_key *k, const uint64_t *expected)
{
	if (!expected || *expected == (k ? k->revision : 0))
		return false;
	if (planted("ignore-lock") && str_eq(bucket, BUCKET_LOCK))
		return false;
	return !(planted("blind-claims") && str_eq(bucket, BUCKET_CLAIM));
}

int kv_store(const char *bucket, const char *key, const void *value, size_t len,
	     const uint64_t *expected, uint64_t *out_revision)
{
	struct kv_key *k = kv_find(bucket, key);
	if (refused(bucket, k, expected))
		return ERR_CONFLICT;
	k = row_find(bucket, key);
	if (!k) {
		if (W->n_keys == SIM_KEYS)
			abort();
		k = &W->keys[W->n_keys++];
		*k = (struct kv_key){.bucket = keep(bucket, strlen(bucket)),
				     .key = keep(key, strlen(key))};
	}
	k->value = keep(value, len);
	k->len = len;
	k->revision = ++W->kv_revision;
	k->at_ms = W->now_ms;
	if (out_revision)
		*out_revision = k->revision;
	TRACE("%s %s = %.60s", bucket, key, k->value);
	if (str_eq(bucket, BUCKET_CLAIM))
		judge_claim(key, k->value);
	else
		judge_lock(key, k->value);
	return 0;
}

int kv_delete(const char *bucket, const char *key, uint64_t revision)
{
	struct kv_key *k = kv_find(bucket, key);
	if (!k || k->revision != revision)
		return ERR_CONFLICT;
	TRACE("%s %s deleted", bucket, key);
	k->revision = 0;
	if (str_eq(bucket, BUCKET_LOCK))
		judge_lock(key, NULL);
	return 0;
}

/* ---- as the executor calls it ---- */

struct late {
	char *bucket, *key, *value;
	size_t len;
	uint64_t revision;
	bool delete;
};

static void arrive_late(void *arg)
{
	const struct late *l = arg;
	TRACE("a late request arrives");
	if (l->delete)
		kv_delete(l->bucket, l->key, l->revision);
	else
		kv_store(l->bucket, l->key, l->value, l->len, &l->revision, NULL);
}

static void send_late(const struct late *l)
{
	struct late *copy = (struct late *)keep(l, sizeof(*l));
	copy->bucket = keep(l->bucket, strlen(l->bucket));
	copy->key = keep(l->key, strlen(l->key));
	copy->value = keep(l->value, l->len);
	todo_add(W->now_ms + (int64_t)draw(LATE_MS), arrive_late, copy);
}

/* A process that beats lives; the last beat of one that stopped is up to LIVE_BEAT_MS old. */
static bool alive(const char *boot)
{
	for (size_t i = 0; i < W->n_procs; i++) {
		const struct proc *p = &W->procs[i];
		if (!str_eq(p->boot, boot))
			continue;
		if (p->up && !p->dead && !proc_frozen(p) && proc_connected(p))
			return true;
		return p->last_seen_ms + LIVE_TTL_MS - LIVE_BEAT_MS > W->now_ms;
	}
	return false;
}

static char *plant_value(const char *bucket, const char *value)
{
	char *text = mem_strdup(value);
	char *started = planted("start-again") && str_eq(bucket, BUCKET_CLAIM)
				? strstr(text, "1 started ")
				: NULL;
	if (started)
		memcpy(started, "1 claimed ", 10);
	return text;
}

static int get(struct bus_ask *a)
{
	if (str_eq(a->bucket, BUCKET_LIVE)) {
		if (!alive(a->key))
			return ERR_NOT_FOUND;
		a->entry = (struct bus_kv_entry){.value = mem_strdup(""), .revision = 1};
		return 0;
	}
	const struct kv_key *k = kv_find(a->bucket, a->key);
	if (!k)
		return ERR_NOT_FOUND;
	a->entry = (struct bus_kv_entry){.len = k->len, .revision = k->revision, .at_ms = k->at_ms};
	a->entry.value = planted("start-again") ? plant_value(a->bucket, k->value)
						: mem_dup(k->value, k->len);
	return 0;
}

static int put(struct bus_ask *a)
{
	return kv_store(a->bucket, a->key, a->value, a->len, &a->revision, &a->revision);
}

static int set(struct bus_ask *a UNUSED)
{
	return 0; /* beats: see alive() */
}

static int del(struct bus_ask *a)
{
	return kv_delete(a->bucket, a->key, a->revision);
}

static int last(struct bus_ask *a)
{
	return stream_last(a->bucket, a->key, &a->delivery);
}

static int (*const by_kind[])(struct bus_ask *) = {[BUS_ASK_LAST] = last,
						   [BUS_ASK_GET] = get,
						   [BUS_ASK_PUT] = put,
						   [BUS_ASK_SET] = set,
						   [BUS_ASK_DEL] = del};

/* The request is on its way now and will be carried out, but nobody hears of it in time. */
static void carry_out_later(const struct bus_ask *a)
{
	if (a->kind == BUS_ASK_PUT || a->kind == BUS_ASK_DEL)
		send_late(&(struct late){.bucket = (char *)(uintptr_t)a->bucket,
					 .key = (char *)(uintptr_t)a->key,
					 .value = (char *)(uintptr_t)a->value,
					 .len = a->len,
					 .revision = a->revision,
					 .delete = a->kind == BUS_ASK_DEL});
}

static int ask_one(struct bus_ask *a)
{
	int rc = call_send(a->key);
	if (!rc && call_late()) {
		carry_out_later(a);
		return ERR_TIMEOUT;
	}
	if (!rc)
		rc = by_kind[a->kind](a);
	return rc ? rc : call_answer(a->key);
}

static void forget_answer(struct bus_ask *a)
{
	free(a->entry.value);
	a->entry = (struct bus_kv_entry){0};
}

/* In any order, as the server may; one wait for all whose answer does not come. */
void bus_ask(struct bus *b UNUSED, struct bus_ask *asks, size_t n)
{
	bool late = false;
	size_t first = n > 1 ? draw(n) : 0;
	judge_asks();
	for (size_t i = 0; i < n; i++) {
		struct bus_ask *a = &asks[(first + i) % n];
		a->rc = ask_one(a);
		late |= a->rc == ERR_TIMEOUT;
	}
	if (late)
		task_wait(W->now_ms + BUS_REQUEST_TIMEOUT_MS, NULL, NULL);
	for (size_t i = 0; i < n; i++) {
		if (is_dead())
			asks[i].rc = ERR_CLOSED;
		if (asks[i].rc)
			forget_answer(&asks[i]);
		if (asks[i].rc)
			why_set(&asks[i].why, asks[i].rc, "%s", err_name(asks[i].rc));
	}
}

static int ask(struct bus_ask *a, struct why *out_why)
{
	bus_ask(NULL, a, 1);
	return a->rc ? why_set(out_why, a->rc, "%s", a->why.text) : 0;
}

int bus_kv_get(struct bus *b UNUSED, const char *bucket, const char *key, struct bus_kv_entry *out,
	       struct why *out_why)
{
	struct bus_ask a = {.kind = BUS_ASK_GET, .bucket = bucket, .key = key};
	int rc = ask(&a, out_why);
	if (!rc)
		*out = a.entry;
	return rc;
}

int bus_kv_put(struct bus *b UNUSED, const char *bucket, const char *key, const void *value,
	       size_t len, uint64_t revision, uint64_t *out_revision, struct why *out_why)
{
	struct bus_ask a = {.kind = BUS_ASK_PUT,
			    .bucket = bucket,
			    .key = key,
			    .value = value,
			    .len = len,
			    .revision = revision};
	int rc = ask(&a, out_why);
	if (!rc && out_revision)
		*out_revision = a.revision;
	return rc;
}

int bus_kv_set(struct bus *b UNUSED, const char *bucket UNUSED, const char *key UNUSED,
	       const void *value UNUSED, size_t len UNUSED, uint64_t *out_revision UNUSED,
	       struct why *out_why UNUSED)
{
	return 0;
}

int bus_kv_del(struct bus *b UNUSED, const char *bucket, const char *key, uint64_t revision,
	       struct why *out_why)
{
	struct bus_ask a = {
		.kind = BUS_ASK_DEL, .bucket = bucket, .key = key, .revision = revision};
	return ask(&a, out_why);
}

void bus_kv_drop(struct bus *b, const char *bucket, const char *key, uint64_t revision)
{
	bus_kv_del(b, bucket, key, revision, NULL);
}

int bus_get_last(struct bus *b, const char *stream, const char *subject, struct bus_delivery *out,
		 struct why *out_why)
{
	struct bus_ask ask = {.kind = BUS_ASK_LAST, .bucket = stream, .key = subject};
	bus_ask(b, &ask, 1);
	if (ask.rc)
		return why_set(out_why, ask.rc, "%s", ask.why.text);
	*out = ask.delivery;
	return 0;
}
