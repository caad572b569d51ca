/*
 * Answers that were paid for already, on disk. The key says all that the answer depended on. The
 * caller holds the store's lock.
 */
#ifndef REASONER_MODELS_CACHE_H
#define REASONER_MODELS_CACHE_H

#include "common/id.h"
#include "common/store.h"
#include "reasoner/models/kind.h"

extern const struct store_table cache_answers;
extern const struct store_table cache_ages;

struct cache {
	struct store *store;
	int64_t ttl_ms;
	int64_t entries_max;
};

/* SHA-256 of kind, URL, model, system, prompt and schema, each with its length before it. */
void cache_key(const struct model_call *call, uint8_t out[static DIGEST_BYTES]);

/* Appends the answer; ERR_NOT_FOUND when there is none that is young enough. */
int cache_get(const struct cache *c, const uint8_t key[static DIGEST_BYTES], int64_t now_ms,
	      struct buf *out);

/* Keeps it; the oldest go when there are too many. A failure only costs money later. */
void cache_put(const struct cache *c, const uint8_t key[static DIGEST_BYTES], int64_t now_ms,
	       const struct buf *answer);

#endif
