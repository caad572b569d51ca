/*
 * A bus in shared memory, so that it outlives the process that uses it: a test forks an executor,
 * lets it die at its n-th call, and looks at what another one makes of what is left. Only what the
 * executor's core calls. One process at a time.
 */
#ifndef TESTS_EXECUTOR_FAKE_BUS_H
#define TESTS_EXECUTOR_FAKE_BUS_H

#include "common/base.h"

#include <sys/mman.h>

#include "common/bus.h"
#include "common/clock.h"
#include "common/stage.h"
#include "tests/unit/executor/support.h"

enum { WORLD_MESSAGES = 200, WORLD_KEYS = 60, WORLD_DATA = 40000, WORLD_NAME = 256 };

struct world_message {
	char subject[WORLD_NAME], id[WORLD_NAME];
	char data[WORLD_DATA];
	size_t len;
};

struct world_key {
	char bucket[16], key[WORLD_NAME];
	char data[WORLD_DATA];
	size_t len;
	uint64_t revision; /* 0: free row */
};

/* Named by the option table; the real one would bring the whole stage, and its bus, along. */
const char *const stage_log_levels[] = {"debug", "info", "warn", "error", NULL};
const char *const stage_ticks_names[] = {"clock", NULL};

/* What the n-th call of the bus does. */
enum trouble { TROUBLE_NONE, DIE_BEFORE, DIE_AFTER, FAIL_BEFORE, FAIL_AFTER };

struct world {
	struct world_message messages[WORLD_MESSAGES];
	size_t n_messages;
	struct world_key keys[WORLD_KEYS];
	uint64_t revision;
	enum trouble trouble;
	unsigned at;
	unsigned calls;
	int64_t stall_ms; /* so long the process stands still once it has said that a step started
			   */
};

static struct world *world;

static inline void world_new(void)
{
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_true(world != MAP_FAILED);
}

static inline void world_free(void)
{
	munmap(world, sizeof(*world));
}

/* Before the call's effect; a negative result is what the caller gets instead. */
static int trouble_before(void)
{
	bool now = world->trouble && ++world->calls == world->at;
	if (now && world->trouble == DIE_BEFORE)
		_exit(99);
	return now && world->trouble == FAIL_BEFORE ? ERR_TIMEOUT : 0;
}

static int trouble_after(int rc)
{
	bool now = world->trouble && world->calls == world->at;
	if (now && world->trouble == DIE_AFTER)
		_exit(99);
	return now && world->trouble == FAIL_AFTER ? ERR_TIMEOUT : rc;
}

/* ---- messages ---- */

static int publish(const struct bus_msg *m)
{
	for (size_t i = 0; i < world->n_messages; i++)
		if (m->id && str_eq(world->messages[i].id, m->id))
			return 0;
	assert_true(world->n_messages < WORLD_MESSAGES && m->len <= WORLD_DATA);
	struct world_message *w = &world->messages[world->n_messages++];
	snprintf(w->subject, sizeof(w->subject), "%s", m->subject);
	snprintf(w->id, sizeof(w->id), "%s", m->id ? m->id : "");
	memcpy(w->data, m->data, m->len);
	w->len = m->len;
	return 0;
}

int bus_publish(struct bus *b, const struct bus_msg *m, int64_t timeout_ms, uint64_t *out_seq,
		struct why *out_why)
{
	(void)b;
	(void)timeout_ms;
	(void)out_seq;
	int rc = trouble_before();
	if (!rc)
		rc = trouble_after(publish(m));
	return rc ? why_set(out_why, rc, "the bus is in trouble") : 0;
}

struct bus_pending {
	int rc;
};

struct bus_pending *bus_publish_begin(struct bus *b, const struct bus_msg *m)
{
	struct bus_pending *p = mem_alloc(sizeof(*p));
	p->rc = bus_publish(b, m, 0, NULL, NULL);
	return p;
}

int bus_publish_end(struct bus_pending *p, int64_t timeout_ms, struct why *out_why)
{
	int rc = p->rc;
	(void)timeout_ms;
	free(p);
	return rc ? why_set(out_why, rc, "the bus is in trouble") : 0;
}

static void deliver(size_t i, struct bus_delivery *out)
{
	const struct world_message *w = &world->messages[i];
	*out = (struct bus_delivery){
		.subject = w->subject, .id = w->id, .data = w->data, .len = w->len, .seq = i + 1};
}

int bus_get(struct bus *b, const char *stream, uint64_t seq, struct bus_delivery *out,
	    struct why *out_why)
{
	(void)b;
	(void)stream;
	int rc = trouble_before();
	if (rc)
		return why_set(out_why, rc, "the bus is in trouble");
	if (seq == 0 || seq > world->n_messages)
		return ERR_NOT_FOUND;
	deliver(seq - 1, out);
	return 0;
}

int bus_get_last(struct bus *b, const char *stream, const char *subject, struct bus_delivery *out,
		 struct why *out_why)
{
	(void)b;
	(void)stream;
	int rc = trouble_before();
	if (rc)
		return why_set(out_why, rc, "the bus is in trouble");
	for (size_t i = world->n_messages; i > 0; i--) {
		if (!str_eq(world->messages[i - 1].subject, subject))
			continue;
		deliver(i - 1, out);
		return 0;
	}
	return ERR_NOT_FOUND;
}

void bus_delivery_free(struct bus_delivery *d)
{
	(void)d;
}

int64_t bus_connected_ms(struct bus *b)
{
	(void)b;
	return 1000000;
}

/* ---- keys ---- */

static struct world_key *key_find(const char *bucket, const char *key)
{
	struct world_key *free_row = NULL;
	for (size_t i = 0; i < WORLD_KEYS; i++) {
		struct world_key *k = &world->keys[i];
		if (k->revision && str_eq(k->bucket, bucket) && str_eq(k->key, key))
			return k;
		if (!k->revision && !free_row)
			free_row = k;
	}
	assert_non_null(free_row);
	snprintf(free_row->bucket, sizeof(free_row->bucket), "%s", bucket);
	snprintf(free_row->key, sizeof(free_row->key), "%s", key);
	return free_row;
}

int bus_kv_get(struct bus *b, const char *bucket, const char *key, struct bus_kv_entry *out,
	       struct why *out_why)
{
	(void)b;
	int rc = trouble_before();
	if (rc)
		return why_set(out_why, rc, "the bus is in trouble");
	const struct world_key *k = key_find(bucket, key);
	if (!k->revision)
		return why_set(out_why, ERR_NOT_FOUND, "no key %s", key);
	*out = (struct bus_kv_entry){
		.value = mem_dup(k->data, k->len), .len = k->len, .revision = k->revision};
	return 0;
}

static int kv_put(const char *bucket, const char *key, const void *value, size_t len,
		  uint64_t *out_revision)
{
	struct world_key *k = key_find(bucket, key);
	assert_true(len <= WORLD_DATA);
	memcpy(k->data, value, len);
	k->len = len;
	k->revision = ++world->revision;
	if (out_revision)
		*out_revision = k->revision;
	return 0;
}

static void stall(const char *bucket, const void *value, uint64_t revision)
{
	bool renews = str_eq(bucket, BUCKET_LOCK) && revision;
	bool starts = str_eq(bucket, BUCKET_CLAIM) && str_starts(value, "1 started");
	if (world->stall_ms && (renews || starts))
		clock_fake(clock_real_ms() + world->stall_ms, clock_mono_ms() + world->stall_ms);
}

int bus_kv_put(struct bus *b, const char *bucket, const char *key, const void *value, size_t len,
	       uint64_t revision, uint64_t *out_revision, struct why *out_why)
{
	(void)b;
	int rc = trouble_before();
	if (!rc && key_find(bucket, key)->revision != revision)
		rc = ERR_CONFLICT;
	if (!rc)
		rc = trouble_after(kv_put(bucket, key, value, len, out_revision));
	stall(bucket, value, revision);
	return rc ? why_set(out_why, rc, "%s", err_name(rc)) : 0;
}

int bus_kv_set(struct bus *b, const char *bucket, const char *key, const void *value, size_t len,
	       uint64_t *out_revision, struct why *out_why)
{
	(void)b;
	int rc = trouble_before();
	if (!rc)
		rc = trouble_after(kv_put(bucket, key, value, len, out_revision));
	return rc ? why_set(out_why, rc, "%s", err_name(rc)) : 0;
}

int bus_kv_del(struct bus *b, const char *bucket, const char *key, uint64_t revision,
	       struct why *out_why)
{
	(void)b;
	struct world_key *k = key_find(bucket, key);
	int rc = trouble_before();
	if (!rc && k->revision != revision)
		rc = ERR_CONFLICT;
	if (!rc) {
		k->revision = 0;
		rc = trouble_after(0);
	}
	return rc ? why_set(out_why, rc, "%s", err_name(rc)) : 0;
}

void bus_kv_drop(struct bus *b, const char *bucket, const char *key, uint64_t revision)
{
	bus_kv_del(b, bucket, key, revision, NULL);
}

static void ask_one(struct bus *b, struct bus_ask *a)
{
	uint64_t revision = 0;
	switch (a->kind) {
	case BUS_ASK_LAST:
		a->rc = bus_get_last(b, a->bucket, a->key, &a->delivery, &a->why);
		break;
	case BUS_ASK_GET:
		a->rc = bus_kv_get(b, a->bucket, a->key, &a->entry, &a->why);
		break;
	case BUS_ASK_PUT:
		a->rc = bus_kv_put(b, a->bucket, a->key, a->value, a->len, a->revision, &revision,
				   &a->why);
		break;
	case BUS_ASK_SET:
		a->rc = bus_kv_set(b, a->bucket, a->key, a->value, a->len, &revision, &a->why);
		break;
	case BUS_ASK_DEL:
		a->rc = bus_kv_del(b, a->bucket, a->key, a->revision, &a->why);
		break;
	}
	if (a->rc == 0)
		a->revision = revision;
}

void bus_ask(struct bus *b, struct bus_ask *asks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ask_one(b, &asks[i]);
}

/* ---- what tests ask ---- */

/* As time does: what expires is gone. */
static inline void world_expire(void)
{
	for (size_t i = 0; i < WORLD_KEYS; i++)
		if (!str_eq(world->keys[i].bucket, BUCKET_CLAIM))
			world->keys[i].revision = 0;
}

/* The i-th message of this kind, unpacked; NULL when there are fewer. */
static inline ProtobufCMessage *world_message(enum kind kind, size_t i, struct arena *arena)
{
	for (size_t m = 0; m < world->n_messages; m++) {
		struct topic topic;
		ProtobufCMessage *msg = NULL;
		struct why why = {0};
		if (topic_parse(world->messages[m].subject, &topic) || topic.kind != kind || i--)
			continue;
		if (wire_unpack(kind, world->messages[m].data, world->messages[m].len, arena, &msg,
				&why))
			fail_msg("%s", why.text);
		return msg;
	}
	return NULL;
}

static inline size_t world_count(enum kind kind)
{
	size_t n = 0;
	for (size_t m = 0; m < world->n_messages; m++) {
		struct topic topic;
		n += topic_parse(world->messages[m].subject, &topic) == 0 && topic.kind == kind;
	}
	return n;
}

#endif
