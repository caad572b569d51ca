#include "reasoner/models/purse.h"

#include "common/metrics.h"

enum {
	KEY_BYTES = 256,
	KEEP_DAYS = 40,
	PER_MILLION = 1000000,
	PERMILLE = 1000,
	/* What a provider counts besides our bytes: its own words around messages and tools. */
	OVERHEAD_TOKENS = 512,
	METER_MIN_PERCENT = 100,
	METER_MAX_PERCENT = 1600,
};

const struct store_table purse_spent = {"spent", 1};
const struct store_table purse_meters = {"meters", 1};

struct row {
	int64_t tokens;
	int64_t micro_usd;
	int64_t day; /* last booked on */
};

/* One of the books that a charge stands in, and its limit. */
struct book {
	char key[KEY_BYTES];
	const char *name;
	const struct model_limit *limit;
};

enum { BOOK_INCIDENT, BOOK_DAY, BOOK_PROVIDER, BOOKS };

static struct metric used = METRIC_GAUGE(
	"healbus_reasoner_model_budget_used_ratio",
	"Share of a day's budget for models that is booked; of a provider, or of all.", "budget");

static void books_of(const struct models_config *config, const struct charge *c,
		     struct book out[static BOOKS])
{
	static const struct model_limit none;
	const char *provider = c->provider->name;

	snprintf(out[BOOK_INCIDENT].key, KEY_BYTES, "i/%s", c->incident);
	snprintf(out[BOOK_DAY].key, KEY_BYTES, "d/%" PRId64, c->day);
	snprintf(out[BOOK_PROVIDER].key, KEY_BYTES, "p/%" PRId64 "/%s", c->day, provider);
	out[BOOK_INCIDENT].name = "this incident";
	out[BOOK_DAY].name = "the day";
	out[BOOK_PROVIDER].name = "the provider's day";
	out[BOOK_INCIDENT].limit = config ? &config->incident : &none;
	out[BOOK_DAY].limit = config ? &config->day : &none;
	out[BOOK_PROVIDER].limit = &c->provider->day;
}

/* After booking: the larger share of tokens and money. Books of incidents are too many to tell. */
static void tell_used(const struct book *b, const struct row *r, const char *budget)
{
	double tokens = b->limit->tokens ? (double)r->tokens / (double)b->limit->tokens : 0;
	double usd = b->limit->micro_usd ? (double)r->micro_usd / (double)b->limit->micro_usd : 0;
	if (b->limit->tokens || b->limit->micro_usd)
		metric_set(&used, MAX(tokens, usd), budget);
}

static int row_get(struct store_txn *txn, const char *key, struct row *out)
{
	struct store_val v;
	int rc = store_get_str(txn, &purse_spent, key, &v);

	*out = (struct row){0};
	if (rc == ERR_NOT_FOUND)
		return 0;
	if (!rc && v.len != sizeof(*out))
		rc = ERR_CORRUPT;
	if (!rc)
		memcpy(out, v.data, sizeof(*out));
	return rc;
}

static int64_t total(const struct cost *c)
{
	return c->tokens_in + c->tokens_out;
}

int64_t cost_micro_usd(const struct model_provider *p, const struct cost *c)
{
	int64_t nano = c->tokens_in * p->price_in + c->tokens_out * p->price_out;

	return nano / PER_MILLION + (nano % PER_MILLION != 0);
}

struct cost cost_estimate(const struct model_provider *p, size_t body_bytes)
{
	return (struct cost){
		.tokens_in = (int64_t)body_bytes / MAX(p->bytes_per_token, 1) + OVERHEAD_TOKENS,
		.tokens_out = p->max_tokens,
	};
}

/* ---- the provider's meter: how much more it counts than we estimate, in percent ---- */

static int64_t meter_get(struct store_txn *txn, const char *provider)
{
	struct store_val v;
	int64_t percent = METER_MIN_PERCENT;

	if (store_get_str(txn, &purse_meters, provider, &v) == 0 && v.len == sizeof(percent))
		memcpy(&percent, v.data, sizeof(percent));
	return MIN(MAX(percent, METER_MIN_PERCENT), METER_MAX_PERCENT);
}

static void meter_note(struct store_txn *txn, const struct charge *c, const struct cost *actual)
{
	int64_t plain = MAX(total(&c->plain), 1);
	int64_t percent = (total(actual) * 100 + plain - 1) / plain;

	percent = MIN(percent, METER_MAX_PERCENT);
	if (percent > meter_get(txn, c->provider->name))
		store_put_str(txn, &purse_meters, c->provider->name, &percent, sizeof(percent));
}

/* ---- booking ---- */

static int over(const struct book *b, const char *what, int64_t left, struct why *out_why)
{
	return why_set(out_why, ERR_DENIED, "budget of %s: %" PRId64 " %s left, which may not do",
		       b->name, MAX(left, 0), what);
}

static int book_check(const struct book *b, const struct row *r, const struct model_limit *more,
		      struct why *out_why)
{
	if (b->limit->tokens && r->tokens + more->tokens > b->limit->tokens)
		return over(b, "tokens", b->limit->tokens - r->tokens, out_why);
	if (b->limit->micro_usd && r->micro_usd + more->micro_usd > b->limit->micro_usd)
		return over(b, "micro-USD", b->limit->micro_usd - r->micro_usd, out_why);
	return 0;
}

static int collect_old(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct buf *keys = ctx;
	struct row r;
	int64_t limit;

	memcpy(&limit, keys->data, sizeof(limit));
	if (val.len != sizeof(r))
		return ERR_CORRUPT;
	memcpy(&r, val.data, sizeof(r));
	if (r.day < limit) {
		buf_add(keys, key, key_len);
		buf_add_char(keys, '\0');
	}
	return 0;
}

/* Once a day. The oldest day that stays stands before the keys. */
static void prune(struct store_txn *txn, int64_t day)
{
	auto_buf keys = {0};
	struct store_range all = {0};
	int64_t limit = day - KEEP_DAYS;

	buf_add(&keys, &limit, sizeof(limit));
	if (store_each(txn, &purse_spent, &all, collect_old, &keys))
		return;
	for (size_t i = sizeof(limit); i < keys.len; i += strlen(keys.data + i) + 1)
		store_del_str(txn, &purse_spent, keys.data + i);
}

static int book_all(struct store_txn *txn, const struct models_config *config,
		    const struct charge *c, struct why *out_why)
{
	struct book books[BOOKS];
	struct row rows[BOOKS] = {0};
	struct model_limit more = {total(&c->reserved), cost_micro_usd(c->provider, &c->reserved)};

	books_of(config, c, books);
	for (size_t i = 0; i < BOOKS; i++) {
		int rc = row_get(txn, books[i].key, &rows[i]);

		if (rc)
			return why_set(out_why, rc, "the books of models cannot be read");
		rc = book_check(&books[i], &rows[i], &more, out_why);
		if (rc)
			return rc;
	}
	if (rows[BOOK_DAY].day == 0)
		prune(txn, c->day);
	for (size_t i = 0; i < BOOKS; i++) {
		rows[i].tokens += more.tokens;
		rows[i].micro_usd += more.micro_usd;
		rows[i].day = c->day;
		store_put_str(txn, &purse_spent, books[i].key, &rows[i], sizeof(rows[i]));
	}
	tell_used(&books[BOOK_DAY], &rows[BOOK_DAY], "all");
	tell_used(&books[BOOK_PROVIDER], &rows[BOOK_PROVIDER], c->provider->name);
	return 0;
}

int purse_reserve(struct store *s, const struct models_config *config, struct charge *charge,
		  struct why *out_why)
{
	struct store_txn *txn = store_begin_write(s);
	int64_t percent = meter_get(txn, charge->provider->name);

	charge->reserved.tokens_in = (charge->plain.tokens_in * percent + 99) / 100;
	charge->reserved.tokens_out = (charge->plain.tokens_out * percent + 99) / 100;
	int rc = book_all(txn, config, charge, out_why);
	if (rc) {
		store_end(txn);
		return rc;
	}
	rc = store_commit(txn);
	return rc ? why_set(out_why, rc, "the books of models cannot be written: %s", err_name(rc))
		  : 0;
}

int purse_settle(struct store *s, const struct charge *charge, const struct cost *actual)
{
	struct store_txn *txn = store_begin_write(s);
	struct book books[BOOKS];
	int64_t tokens = total(actual) - total(&charge->reserved);
	int64_t micro = cost_micro_usd(charge->provider, actual) -
			cost_micro_usd(charge->provider, &charge->reserved);

	books_of(NULL, charge, books);
	for (size_t i = 0; i < BOOKS; i++) {
		struct row r;
		int rc = row_get(txn, books[i].key, &r);

		if (rc) {
			store_end(txn);
			return rc;
		}
		r.tokens = MAX(r.tokens + tokens, 0);
		r.micro_usd = MAX(r.micro_usd + micro, 0);
		r.day = charge->day;
		store_put_str(txn, &purse_spent, books[i].key, &r, sizeof(r));
	}
	meter_note(txn, charge, actual);
	return store_commit(txn);
}

static int permille(int64_t booked, int64_t limit)
{
	if (!limit)
		return -1;
	return (int)MIN((double)booked * PERMILLE / (double)limit, (double)PERMILLE);
}

int purse_day_permille(struct store *s, const struct models_config *config,
		       const struct charge *charge, bool refused)
{
	auto_txn txn = store_begin_read(s);
	struct model_limit more = {total(&charge->reserved),
				   cost_micro_usd(charge->provider, &charge->reserved)};
	struct book books[BOOKS];
	int most = -1;

	books_of(config, charge, books);
	for (size_t i = BOOK_DAY; i < BOOKS; i++) {
		struct row r;

		if (row_get(txn, books[i].key, &r))
			return -1;
		most = MAX(most, permille(r.tokens, books[i].limit->tokens));
		most = MAX(most, permille(r.micro_usd, books[i].limit->micro_usd));
		if (refused && book_check(&books[i], &r, &more, NULL))
			most = PERMILLE;
	}
	return most;
}

struct model_limit purse_read(struct store *s, const char *incident, int64_t day,
			      const char *provider)
{
	auto_txn txn = store_begin_read(s);
	char key[KEY_BYTES];
	struct row r;

	if (incident)
		snprintf(key, sizeof(key), "i/%s", incident);
	else if (provider)
		snprintf(key, sizeof(key), "p/%" PRId64 "/%s", day, provider);
	else
		snprintf(key, sizeof(key), "d/%" PRId64, day);
	if (row_get(txn, key, &r))
		r = (struct row){0};
	return (struct model_limit){r.tokens, r.micro_usd};
}
