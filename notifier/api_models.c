#include "common/clock.h"
#include "notifier/api.h"
#include "notifier/story_read.h"
#include "notifier/view.h"

/* What models were asked and what it cost, added up from the exchanges on the bus. */

enum {
	DAYS_DEFAULT = 7,
	EXCHANGES_MAX = 5000, /* the newest; read one by one */
	INCIDENTS_MAX = 20000,
};
#define DAY_MS INT64_C(86400000)

struct sums {
	struct api_call *call;
	struct store_txn *txn;
	int64_t since_ms;
	struct entries entries;
	size_t incidents;
	json_t *by_day, *by_model, *by_incident, *total;
};

static const char *const sum_names[] = {"prompt_tokens", "answer_tokens", "cost_micro_usd",
					"took_ms"};

static void count(json_t *row, const char *name, json_int_t by)
{
	json_int_t now = json_integer_value(json_object_get(row, name));
	json_object_set_new(row, name, json_integer(now + by));
}

static void row_add(json_t *row, const json_t *exchange)
{
	count(row, "exchanges", 1);
	count(row, "cached", json_is_true(json_object_get(exchange, "cached")));
	count(row, "errors", json_object_get(exchange, "error") != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(sum_names); i++)
		count(row, sum_names[i],
		      json_integer_value(json_object_get(exchange, sum_names[i])));
}

static json_t *row_new(void)
{
	json_t *row = json_pack("{s:i,s:i,s:i}", "exchanges", 0, "cached", 0, "errors", 0);
	for (size_t i = 0; i < ARRAY_SIZE(sum_names); i++)
		count(row, sum_names[i], 0);
	return row;
}

static json_t *row_of(json_t *all, const char *key)
{
	json_t *row = json_object_get(all, key);
	if (!row) {
		row = row_new();
		json_object_set_new(all, key, row);
	}
	return row;
}

static const char *str_of(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));
	return text ? text : "";
}

static void exchange_add(struct sums *s, const json_t *x, int64_t time_ms)
{
	char day[TIME_TEXT_BYTES];
	time_format(time_ms, day);
	day[10] = '\0'; /* 2026-11-26 */
	json_t *row = row_of(s->by_day, day);
	json_object_set_new(row, "day", json_string(day));
	row_add(row, x);
	auto_free char *model = mem_printf("%s\n%s", str_of(x, "provider"), str_of(x, "model"));
	row = row_of(s->by_model, model);
	json_object_set_new(row, "provider", json_string(str_of(x, "provider")));
	json_object_set_new(row, "model", json_string(str_of(x, "model")));
	row_add(row, x);
	row = row_of(s->by_incident, str_of(x, "incident"));
	json_object_set_new(row, "incident", json_string(str_of(x, "incident")));
	row_add(row, x);
	row_add(s->total, x);
}

static int incident_visit(void *ctx, const void *key, size_t key_len, struct store_val val UNUSED)
{
	struct sums *s = ctx;
	char id[TOKEN_MAX + 1] = "";
	struct entries one = {0};
	if (key_len <= 8 || key_len - 8 > TOKEN_MAX)
		return 0;
	memcpy(id, (const char *)key + 8, key_len - 8);
	story_entries(s->txn, id, &one);
	for (size_t i = 0; i < one.n; i++)
		if (one.items[i].row.kind == KIND_MODEL && one.items[i].row.time_ms >= s->since_ms)
			entries_add(&s->entries, &one.items[i]);
	entries_release(&one);
	return s->entries.n >= EXCHANGES_MAX || ++s->incidents >= INCIDENTS_MAX;
}

static json_t *values(json_t *rows)
{
	const char *key;
	json_t *row, *list = json_array();
	json_object_foreach(rows, key, row)
	{
		json_array_append(list, row);
	}
	json_decref(rows);
	return list;
}

static void sums_read(struct sums *s)
{
	for (size_t i = 0; i < s->entries.n && i < EXCHANGES_MAX; i++) {
		struct why why = {0};
		const struct entry *e = &s->entries.items[i];
		json_t *x = story_message(s->call, e->seq, &e->row.id_hash, &why);
		if (str_eq(str_of(x, "state"), "exchanged"))
			exchange_add(s, x, e->row.time_ms);
		json_decref(x);
	}
}

/* GET /api/models?since_ms=&incident= */
void api_models(struct api_call *call)
{
	char id[TOKEN_MAX + 1] = "";
	size_t week_ago = (size_t)(clock_real_ms() - DAYS_DEFAULT * DAY_MS);
	const char *incident = http_query(call->req, "incident");
	struct sums s = {.call = call};
	struct store_range range = {.backwards = true};
	auto_txn txn = api_read(call);
	s.txn = txn;
	if (incident && api_find(call, txn, &table_incidents, incident, id))
		return;
	s.since_ms = (int64_t)api_limit(call, "since_ms", *id ? 0 : week_ago, INT64_MAX / 2);
	if (*id)
		incident_visit(&s, key_time(0, id).bytes, 8 + strlen(id), (struct store_val){0});
	else
		store_each(txn, &table_by_time, &range, incident_visit, &s);
	store_end(txn);
	txn = NULL;
	s.by_day = json_object();
	s.by_model = json_object();
	s.by_incident = json_object();
	s.total = row_new();
	sums_read(&s);
	entries_release(&s.entries);
	api_reply(call, 200,
		  json_pack("{s:I,s:o,s:o,s:o,s:o}", "since_ms", (json_int_t)s.since_ms, "total",
			    s.total, "days", values(s.by_day), "models", values(s.by_model),
			    "incidents", values(s.by_incident)));
}
