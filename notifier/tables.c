#include "notifier/tables.h"

const struct store_table table_incidents = {"incidents", 1};
const struct store_table table_by_time = {"by_time", 1};
const struct store_table table_counts = {"counts", 1};
const struct store_table table_story = {"story", 1};
const struct store_table table_refs = {"refs", 1};
const struct store_table table_plans = {"plans", 1};
const struct store_table table_approvals = {"approvals", 1};
const struct store_table table_pending = {"pending", 1};
const struct store_table table_decisions = {"decisions", 1};
const struct store_table table_changes = {"changes", 1};
const struct store_table table_changes_by_time = {"changes_by_time", 1};
const struct store_table table_silences = {"silences", 1};
const struct store_table table_notices = {"notices", 1};
const struct store_table table_notice_meta = {"notice_meta", 1};
const struct store_table table_groups = {"groups", 1};
const struct store_table table_items = {"items", 1};
const struct store_table table_throttles = {"throttles", 1};
const struct store_table table_machinery = {"machinery", 1};
const struct store_table table_briefs = {"briefs", 1};
const struct store_table table_votes = {"votes", 1};
const struct store_table table_feedback = {"feedback", 1};
const struct store_table table_messages = {"messages", 1};
const struct store_table table_ladders = {"ladders", 1};
const struct store_table table_diagnoses = {"diagnoses", 1};
const struct store_table table_kpis = {"kpis", 1};
const struct store_table table_health = {"health", 1};
const struct store_table table_unsent = {"unsent", 1};

static void key_add(struct key *k, const void *data, size_t len)
{
	assert(k->len + len < sizeof(k->bytes));
	memcpy(k->bytes + k->len, data, len);
	k->len += len;
}

static void key_add_str(struct key *k, const char *s)
{
	key_add(k, s, strlen(s));
}

struct key key_owner(const char *owner)
{
	struct key k = {0};
	key_add(&k, owner, strlen(owner) + 1);
	return k;
}

struct key key_pair(const char *owner, const char *name)
{
	struct key k = key_owner(owner);
	key_add_str(&k, name);
	return k;
}

struct key key_story(const char *incident, uint64_t seq)
{
	struct key k = key_owner(incident);
	struct store_key64 n = store_key64(seq);
	key_add(&k, n.b, sizeof(n.b));
	return k;
}

struct key key_ref(const char *incident, char tag, const char *name)
{
	struct key k = key_owner(incident);
	key_add(&k, &tag, 1);
	key_add_str(&k, name);
	return k;
}

struct key key_ref_seq(const char *incident, char tag, uint64_t seq)
{
	struct key k = key_owner(incident);
	struct store_key64 n = store_key64(seq);
	key_add(&k, &tag, 1);
	key_add(&k, n.b, sizeof(n.b));
	return k;
}

struct key key_time(int64_t ms, const char *id)
{
	struct key k = {0};
	struct store_key64 n = store_key64((uint64_t)MAX(ms, 0));
	key_add(&k, n.b, sizeof(n.b));
	key_add_str(&k, id);
	return k;
}

const char *key_name(const struct key *k)
{
	return k->bytes + strlen(k->bytes) + 1;
}

static void *arena_take(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void arena_keep(void *arena UNUSED, void *p UNUSED)
{
}

ProtobufCMessage *row_unpack(struct store_val val, const ProtobufCMessageDescriptor *type,
			     struct arena *arena)
{
	ProtobufCAllocator allocator = {arena_take, arena_keep, arena};
	return protobuf_c_message_unpack(type, &allocator, val.len, val.data);
}

ProtobufCMessage *row_message(struct store_txn *txn, const struct store_table *table,
			      const char *id, const ProtobufCMessageDescriptor *type,
			      struct arena *arena)
{
	struct store_val val;
	if (!*id || store_get_str(txn, table, id, &val))
		return NULL;
	return row_unpack(val, type, arena);
}

void row_put_message(struct store_txn *txn, const struct store_table *table, const void *key,
		     size_t key_len, const ProtobufCMessage *msg)
{
	auto_buf packed = {0};
	wire_pack(msg, &packed);
	store_put(txn, table, key, key_len, packed.data, packed.len);
}

bool row_struct(struct store_txn *txn, const struct store_table *table, const char *id, void *out,
		size_t size)
{
	struct store_val val;
	if (!*id || store_get_str(txn, table, id, &val) || val.len != size)
		return false;
	memcpy(out, val.data, size);
	return true;
}

uint64_t count_get(struct store_txn *txn, int state)
{
	uint8_t key = (uint8_t)state;
	uint64_t n = 0;
	struct store_val val;
	if (!store_get(txn, &table_counts, &key, 1, &val) && val.len == sizeof(n))
		memcpy(&n, val.data, sizeof(n));
	return n;
}

void count_add(struct store_txn *txn, int state, int by)
{
	uint8_t key = (uint8_t)state;
	uint64_t n = count_get(txn, state) + (uint64_t)(int64_t)by;
	store_put(txn, &table_counts, &key, 1, &n, sizeof(n));
}

static int keys_visit(void *ctx, const void *key, size_t key_len, struct store_val val UNUSED)
{
	struct keys *out = ctx;
	if (out->n == out->cap) {
		out->cap = out->cap ? out->cap * 2 : 16;
		out->items = mem_realloc(out->items, out->cap * sizeof(*out->items));
	}
	struct key *k = &out->items[out->n++];
	*k = (struct key){0};
	key_add(k, key, key_len);
	return 0;
}

void keys_collect(struct store_txn *txn, const struct store_table *table, const void *prefix,
		  size_t prefix_len, struct keys *out)
{
	struct store_range range = {.prefix = prefix, .prefix_len = prefix_len};
	store_each(txn, table, &range, keys_visit, out);
}

void keys_release(struct keys *k)
{
	free(k->items);
	*k = (struct keys){0};
}

int id_find(struct store_txn *txn, const struct store_table *table, const char *prefix,
	    char out[static TOKEN_MAX + 1], struct buf *out_candidates)
{
	enum { CANDIDATES_MAX = 10 };
	auto_keys found = {0};
	if (!token_valid(prefix))
		return ERR_NOT_FOUND;
	struct store_range range = {
		.prefix = prefix, .prefix_len = strlen(prefix), .limit = CANDIDATES_MAX};
	int rc = store_each(txn, table, &range, keys_visit, &found);
	if (rc)
		return rc;
	if (found.n == 0)
		return ERR_NOT_FOUND;
	/* Keys come sorted, so an exact match is the first. */
	if (found.n > 1 && !str_eq(found.items[0].bytes, prefix)) {
		for (size_t i = 0; i < found.n; i++)
			buf_printf(out_candidates, "%s%s", i ? ", " : "", found.items[i].bytes);
		return ERR_CONFLICT;
	}
	token_copy(out, found.items[0].bytes);
	return 0;
}

void token_copy(char out[static TOKEN_MAX + 1], const char *token)
{
	size_t len = token ? strnlen(token, TOKEN_MAX) : 0;
	memset(out, 0, TOKEN_MAX + 1);
	if (len)
		memcpy(out, token, len);
}

bool message_ref(struct store_txn *txn, const char *incident, const char *channel,
		 char out[static CHANNEL_MESSAGE_MAX + 1])
{
	struct store_val val;
	if (!token_valid(channel))
		return false;
	struct key key = key_pair(incident, channel);
	if (store_get(txn, &table_messages, key.bytes, key.len, &val) ||
	    val.len > CHANNEL_MESSAGE_MAX)
		return false;
	memcpy(out, val.data, val.len);
	out[val.len] = '\0';
	return true;
}
