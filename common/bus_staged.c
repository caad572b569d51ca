#include "common/bus_private.h"

/*
 * Where a stream has copies, nats-server 2.10 notes the id of a message when it proposes it, before
 * a majority has it. When the leader changes in between the proposal may be lost, but the note
 * stays for as long as the stream's duplicate window: from then on the server answers "duplicate"
 * to each further try, with sequence 0, and never stores the message (seen with 2.10.27;
 * nats-server #6415). So such an answer is no acknowledgement; and an id that has got nothing else
 * for BUS_STAGED_MS goes out under another name, beside the true one in Healbus-Id. Should the
 * first try have been stored after all, then the message is there twice; readers go by the true id,
 * and so pass over the second one.
 */

static struct bus_staged *slot_of(struct bus *b, uint64_t hash)
{
	return &b->staged[(hash ^ hash >> 32) % BUS_STAGED_MAX];
}

uint64_t bus_id_hash(const char *id)
{
	return id && *id ? fnv1a(FNV_INIT, id, strlen(id)) : 0;
}

unsigned bus_staged_tries(struct bus *b, uint64_t hash)
{
	unsigned tries = 0;
	if (hash == 0 || atomic_load(&b->staged_n) == 0)
		return 0;
	pthread_mutex_lock(&b->lock);
	struct bus_staged *s = slot_of(b, hash);
	if (s->hash == hash)
		tries = s->tries;
	pthread_mutex_unlock(&b->lock);
	return tries;
}

static void note(struct bus *b, struct bus_staged *s, uint64_t hash)
{
	int64_t now = clock_mono_ms();
	if (s->hash != hash) {
		if (s->hash == 0)
			atomic_fetch_add(&b->staged_n, 1);
		*s = (struct bus_staged){.hash = hash, .since_mono_ms = now};
	} else if (now - s->since_mono_ms >= BUS_STAGED_MS) {
		s->tries++;
		s->since_mono_ms = now;
	}
}

void bus_staged_answered(struct bus *b, uint64_t hash, int rc, bool staged)
{
	if (hash == 0 || (!staged && atomic_load(&b->staged_n) == 0))
		return;
	pthread_mutex_lock(&b->lock);
	struct bus_staged *s = slot_of(b, hash);
	if (staged) {
		note(b, s, hash);
	} else if (rc == 0 && s->hash == hash) {
		*s = (struct bus_staged){0};
		atomic_fetch_sub(&b->staged_n, 1);
	}
	pthread_mutex_unlock(&b->lock);
}
