#include "reasoner/models/cache.h"

enum { AGE_KEY_BYTES = 8 + DIGEST_BYTES, EVICT_MAX = 64 };

const struct store_table cache_answers = {"answers", 1};
const struct store_table cache_ages = {"answer_ages", 1};

static void part(struct buf *out, const char *text)
{
	uint64_t len = text ? strlen(text) : 0;

	buf_add(out, &len, sizeof(len));
	buf_add(out, text ? text : "", len);
}

void cache_key(const struct model_call *call, uint8_t out[static DIGEST_BYTES])
{
	const struct model_provider *p = call->provider;
	auto_buf all = {0};

	auto_free char *schema = json_dumps(call->schema, JSON_COMPACT | JSON_SORT_KEYS);
	const char *parts[] = {p->kind->name, p->url, p->model,   call->system,
			       call->prompt,  schema, p->request, p->response};
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		part(&all, parts[i]);
	digest_sha256(all.data, all.len, out);
}

/* A row is the time it was stored at, then the answer. */
static int64_t stored_at(const struct store_val *v)
{
	int64_t ms = 0;

	if (v->len >= sizeof(ms))
		memcpy(&ms, v->data, sizeof(ms));
	return ms;
}

int cache_get(const struct cache *c, const uint8_t key[static DIGEST_BYTES], int64_t now_ms,
	      struct buf *out)
{
	auto_txn txn = store_begin_read(c->store);
	struct store_val v;
	int rc = store_get(txn, &cache_answers, key, DIGEST_BYTES, &v);

	if (rc)
		return rc;
	if (v.len < sizeof(int64_t) || stored_at(&v) < now_ms - c->ttl_ms)
		return ERR_NOT_FOUND;
	buf_add(out, (const char *)v.data + sizeof(int64_t), v.len - sizeof(int64_t));
	return 0;
}

static void age_key(int64_t ms, const uint8_t key[static DIGEST_BYTES],
		    uint8_t out[static AGE_KEY_BYTES])
{
	struct store_key64 at = store_key64((uint64_t)ms);

	memcpy(out, at.b, sizeof(at.b));
	memcpy(out + sizeof(at.b), key, DIGEST_BYTES);
}

static void forget(struct store_txn *txn, const uint8_t key[static DIGEST_BYTES])
{
	uint8_t age[AGE_KEY_BYTES];
	struct store_val v;

	if (store_get(txn, &cache_answers, key, DIGEST_BYTES, &v) == 0) {
		age_key(stored_at(&v), key, age);
		store_del(txn, &cache_ages, age, sizeof(age));
		store_del(txn, &cache_answers, key, DIGEST_BYTES);
	}
}

static int collect(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	(void)val;
	if (key_len == AGE_KEY_BYTES)
		buf_add(ctx, (const char *)key + sizeof(struct store_key64), DIGEST_BYTES);
	return 0;
}

static void evict(struct store_txn *txn, int64_t entries_max)
{
	int64_t n = (int64_t)store_count(txn, &cache_answers) - entries_max;
	struct store_range oldest = {.limit = (size_t)MIN(MAX(n, 0), EVICT_MAX)};
	auto_buf keys = {0};

	if (n <= 0 || store_each(txn, &cache_ages, &oldest, collect, &keys))
		return;
	for (size_t i = 0; i + DIGEST_BYTES <= keys.len; i += DIGEST_BYTES)
		forget(txn, (const uint8_t *)keys.data + i);
}

void cache_put(const struct cache *c, const uint8_t key[static DIGEST_BYTES], int64_t now_ms,
	       const struct buf *answer)
{
	struct store_txn *txn = store_begin_write(c->store);
	uint8_t age[AGE_KEY_BYTES];
	auto_buf row = {0};

	forget(txn, key);
	buf_add(&row, &now_ms, sizeof(now_ms));
	buf_add(&row, buf_str(answer), answer->len);
	store_put(txn, &cache_answers, key, DIGEST_BYTES, row.data, row.len);
	age_key(now_ms, key, age);
	store_put(txn, &cache_ages, age, sizeof(age), "", 0);
	evict(txn, c->entries_max);
	(void)store_commit(txn);
}
