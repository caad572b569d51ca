#include "executor/audit.h"

#include "common/buf.h"

const struct store_table audit_records = {.name = "audit", .version = 1};
const struct store_table audit_heads = {.name = "audit_head", .version = 1};

static const char head_key[] = "head";
static const char cut_key[] = "cut"; /* what the first record follows; none: nothing */
static const char at_key[] = ",\"at_ms\":";

struct head {
	uint64_t records;
	uint8_t digest[DIGEST_BYTES];
};

static int head_read(struct store_txn *txn, const char *key, struct head *out)
{
	struct store_val val;
	int rc = store_get_str(txn, &audit_heads, key, &val);
	if (rc == ERR_NOT_FOUND) {
		*out = (struct head){0};
		return 0;
	}
	if (rc)
		return rc;
	if (val.len != sizeof(*out))
		return ERR_CORRUPT;
	memcpy(out, val.data, sizeof(*out));
	return 0;
}

static void add_field(struct buf *b, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(b, ",\"%s\":", name);
	buf_add_json(b, value, strlen(value));
}

static void record_text(struct buf *b, const struct audit_entry *e, const struct head *head,
			int64_t now_ms)
{
	buf_printf(b, "{\"seq\":%" PRIu64 "%s%" PRId64, head->records + 1, at_key, now_ms);
	add_field(b, "what", e->what);
	add_field(b, "incident", e->incident);
	add_field(b, "plan", e->plan);
	add_field(b, "step", e->step);
	add_field(b, "who", e->who);
	add_field(b, "text", e->text);
	buf_add_str(b, ",\"prev\":\"");
	buf_add_hex(b, head->digest, DIGEST_BYTES);
	buf_add_str(b, "\"}");
}

int audit_append(struct store_txn *txn, const struct audit_entry *entry, int64_t now_ms)
{
	struct head head;
	int rc = head_read(txn, head_key, &head);
	if (rc)
		return rc;
	auto_buf text = {0};
	record_text(&text, entry, &head, now_ms);
	head.records++;
	digest_sha256(text.data, text.len, head.digest);
	struct store_key64 key = store_key64(head.records);
	store_put(txn, &audit_records, &key, sizeof(key), text.data, text.len);
	store_put_str(txn, &audit_heads, head_key, &head, sizeof(head));
	return 0;
}

/* ---- checking ---- */

struct walk {
	struct head at; /* what the next record must follow */
	struct why *why;
};

static int broken(const struct walk *w, const char *what)
{
	return why_set(w->why, ERR_CORRUPT, "audit record %" PRIu64 ": %s", w->at.records + 1,
		       what);
}

static int visit(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct walk *w = ctx;
	if (key_len != sizeof(struct store_key64) || store_key64_value(key) != w->at.records + 1)
		return broken(w, "missing");
	auto_buf prev = {0};
	buf_add_str(&prev, ",\"prev\":\"");
	buf_add_hex(&prev, w->at.digest, DIGEST_BYTES);
	buf_add_str(&prev, "\"}");
	const char *tail = (const char *)val.data + val.len - prev.len;
	if (val.len < prev.len || memcmp(tail, prev.data, prev.len) != 0)
		return broken(w, "does not follow the one before");
	w->at.records++;
	digest_sha256(val.data, val.len, w->at.digest);
	return 0;
}

int audit_check(struct store_txn *txn, struct audit_summary *out, struct why *out_why)
{
	struct walk w = {.why = out_why};
	struct store_range all = {0};
	struct head head;
	int rc = head_read(txn, cut_key, &w.at);
	const uint64_t cut = w.at.records;
	if (!rc)
		rc = store_each(txn, &audit_records, &all, visit, &w);
	if (!rc)
		rc = head_read(txn, head_key, &head);
	if (rc)
		return why_set(out_why, ERR_CORRUPT, "audit: %s", err_name(rc));
	if (head.records != w.at.records || !digest_equal(head.digest, w.at.digest, DIGEST_BYTES))
		return why_set(out_why, ERR_CORRUPT,
			       "audit: the chain ends at record %" PRIu64
			       ", the head names record %" PRIu64,
			       w.at.records, head.records);
	*out = (struct audit_summary){.records = head.records, .cut = cut};
	if (head.records)
		hex_encode(head.digest, DIGEST_BYTES, out->head);
	return 0;
}

/* ---- cutting ---- */

struct cutting {
	struct walk walk;
	uint64_t end; /* no record after this one */
	int64_t before_ms;
};

/* When a record was made; INT64_MAX when it does not say. */
static int64_t made_ms(struct store_val val)
{
	const char *at = memmem(val.data, val.len, at_key, strlen(at_key));
	char digits[24] = "";
	if (!at)
		return INT64_MAX;
	at += strlen(at_key);
	size_t left = val.len - (size_t)(at - (const char *)val.data);
	memcpy(digits, at, MIN(left, sizeof(digits) - 1));
	return strtoll(digits, NULL, 10);
}

static int visit_old(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct cutting *c = ctx;
	if (c->walk.at.records == c->end || made_ms(val) >= c->before_ms)
		return 1;
	return visit(&c->walk, key, key_len, val);
}

static int say_cut(struct store_txn *txn, const struct head *cut, int64_t now_ms)
{
	auto_buf text = {0};
	buf_printf(&text,
		   "records up to %" PRIu64 " were old and are cut off; the last one's digest was ",
		   cut->records);
	buf_add_hex(&text, cut->digest, DIGEST_BYTES);
	const struct audit_entry e = {.what = "cut", .text = buf_str(&text)};
	return audit_append(txn, &e, now_ms);
}

int audit_cut(struct store_txn *txn, int64_t before_ms, int64_t now_ms, uint64_t *out_n)
{
	struct cutting c = {.before_ms = before_ms};
	struct store_range all = {0};
	int rc = head_read(txn, cut_key, &c.walk.at);
	const uint64_t first = c.walk.at.records + 1;
	c.end = c.walk.at.records + AUDIT_CUT_MAX;
	if (!rc)
		rc = store_each(txn, &audit_records, &all, visit_old, &c);
	if (rc)
		return ERR_CORRUPT;
	*out_n = c.walk.at.records + 1 - first;
	if (*out_n == 0)
		return 0;
	for (uint64_t n = first; n <= c.walk.at.records; n++) {
		struct store_key64 key = store_key64(n);
		store_del(txn, &audit_records, &key, sizeof(key));
	}
	store_put_str(txn, &audit_heads, cut_key, &c.walk.at, sizeof(c.walk.at));
	return say_cut(txn, &c.walk.at, now_ms);
}
