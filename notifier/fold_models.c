#include "notifier/matter.h"

/*
 * Models that fail, and their budget, from what the reasoner says of each exchange. Only providers
 * that fail are remembered, and those of which people still have to hear that it is over.
 */

enum {
	FAILS_IN_A_ROW = 5, /* as many as the reasoner's breaker needs to open */
	PROVIDERS_KEPT = 16,
	NAME_BYTES = 64,
	REASON_BYTES = 120,
	STALE_MS = 24 * 3600 * 1000, /* asked no more: taken out of the configuration */
	DAY_MS = 24 * 3600 * 1000,
	NEAR_PERMILLE = 800,
	OUT_PERMILLE = 1000,
};

struct provider_row {
	char name[NAME_BYTES]; /* empty: free */
	char reason[REASON_BYTES];
	int64_t since_ms; /* its first failure in a row */
	int64_t last_ms;
	int64_t over_ms; /* it answers again; 0: it fails */
	uint32_t fails;  /* in a row */
	uint32_t told;   /* that it fails: 0 or 1 */
};

struct provider_rows {
	struct provider_row items[PROVIDERS_KEPT];
};

struct budget_row {
	int64_t day;   /* since 1970-01-01 */
	int64_t level; /* raised that day: 0, 1 near its end, 2 used up */
};

/* ---- providers ---- */

static void rows_get(struct fold *f, struct provider_rows *out)
{
	*out = (struct provider_rows){0};
	row_struct(fold_txn(f), &table_health, "models", out, sizeof(*out));
}

static bool is_failing(const struct provider_row *r)
{
	return r->name[0] && !r->over_ms && r->fails >= FAILS_IN_A_ROW;
}

static bool is_over(const struct provider_row *r)
{
	return r->name[0] && r->over_ms && r->told;
}

static void rows_put(struct fold *f, const struct provider_rows *rows)
{
	bool failing = false, over = false;
	for (size_t i = 0; i < PROVIDERS_KEPT; i++) {
		failing |= is_failing(&rows->items[i]) && !rows->items[i].told;
		over |= is_over(&rows->items[i]);
	}
	store_put_str(fold_txn(f), &table_health, "models", rows, sizeof(*rows));
	matter_want(f, MATTER_MODEL, failing);
	matter_want(f, MATTER_MODEL_OVER, over);
}

static struct provider_row *row_find(struct provider_rows *rows, const char *name)
{
	for (size_t i = 0; i < PROVIDERS_KEPT; i++)
		if (str_eq(rows->items[i].name, name))
			return &rows->items[i];
	return NULL;
}

/* A free row, or that of which nothing was heard for the longest time. */
static struct provider_row *row_add(struct provider_rows *rows, const char *name)
{
	struct provider_row *oldest = &rows->items[0];
	for (size_t i = 1; i < PROVIDERS_KEPT; i++)
		if (rows->items[i].last_ms < oldest->last_ms)
			oldest = &rows->items[i];
	*oldest = (struct provider_row){0};
	snprintf(oldest->name, sizeof(oldest->name), "%s", name);
	return oldest;
}

static void rows_age(struct fold *f, struct provider_rows *rows)
{
	for (size_t i = 0; i < PROVIDERS_KEPT; i++)
		if (rows->items[i].last_ms + STALE_MS < fold_now_ms(f))
			rows->items[i] = (struct provider_row){0};
}

/* One line, cut at a character's border. */
static const char *line_of(struct fold *f, const char *text, size_t max)
{
	char *line = wire_text(fold_arena(f), text, strlen(text), max);
	for (char *c = line; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	return line;
}

static void on_failure(struct fold *f, const Healbus__ModelExchange *m, const char *name)
{
	struct provider_rows rows;
	rows_get(f, &rows);
	rows_age(f, &rows);
	struct provider_row *r = row_find(&rows, name);
	if (!r)
		r = row_add(&rows, name);
	if (!r->since_ms)
		r->since_ms = fold_now_ms(f);
	r->last_ms = fold_now_ms(f);
	r->over_ms = 0;
	r->fails++;
	/* The breaker has judged already; why, an exchange before it said. */
	if (m->left_alone)
		r->fails = MAX(r->fails, (uint32_t)FAILS_IN_A_ROW);
	if (!m->left_alone || !r->reason[0])
		snprintf(r->reason, sizeof(r->reason), "%s",
			 line_of(f, m->error, REASON_BYTES - 1));
	rows_put(f, &rows);
}

static void on_answer(struct fold *f, const char *name)
{
	struct provider_rows rows;
	rows_get(f, &rows);
	struct provider_row *r = row_find(&rows, name);
	if (!r || r->over_ms)
		return;
	if (r->told) {
		r->over_ms = fold_now_ms(f);
		r->last_ms = r->over_ms;
		r->fails = 0;
	} else {
		*r = (struct provider_row){0};
	}
	rows_put(f, &rows);
}

/* What was not asked for want of budget or time says nothing about the provider, nor does what
 * was remembered. */
static void on_exchange(struct fold *f, const Healbus__ModelExchange *m)
{
	const char *name = line_of(f, str_or_empty(m->provider), NAME_BYTES - 1);
	bool failed = *str_or_empty(m->error), asked = *str_or_empty(m->prompt);
	if (!*name || m->cached || (failed && !asked && !m->left_alone))
		return;
	if (failed)
		on_failure(f, m, name);
	else
		on_answer(f, name);
}

void models_failing_say(struct fold *f, char said[static MATTER_SAID_MAX])
{
	struct provider_rows rows;
	auto_buf text = {0};
	rows_get(f, &rows);
	for (size_t i = 0; i < PROVIDERS_KEPT; i++) {
		const struct provider_row *r = &rows.items[i];
		int64_t minute = r->since_ms / 60000 % INT64_C(1440);
		if (is_failing(r))
			buf_printf(&text, "%s %s since %02" PRId64 ":%02" PRId64 " UTC (last: %s)",
				   text.len ? "," : "a model fails:", r->name, minute / 60,
				   minute % 60, r->reason);
	}
	snprintf(said, MATTER_SAID_MAX, "%s", line_of(f, buf_str(&text), MATTER_SAID_MAX - 1));
}

void models_over_say(struct fold *f, char said[static MATTER_SAID_MAX])
{
	struct provider_rows rows;
	auto_buf text = {0};
	rows_get(f, &rows);
	for (size_t i = 0; i < PROVIDERS_KEPT; i++) {
		const struct provider_row *r = &rows.items[i];
		if (is_over(r))
			buf_printf(&text, "%s %s after %" PRId64 " min",
				   text.len ? "," : "a model answers again:", r->name,
				   (r->over_ms - r->since_ms) / 60000);
	}
	snprintf(said, MATTER_SAID_MAX, "%s", line_of(f, buf_str(&text), MATTER_SAID_MAX - 1));
}

void models_failing_told(struct fold *f)
{
	struct provider_rows rows;
	rows_get(f, &rows);
	for (size_t i = 0; i < PROVIDERS_KEPT; i++)
		if (is_failing(&rows.items[i]))
			rows.items[i].told = 1;
	store_put_str(fold_txn(f), &table_health, "models", &rows, sizeof(rows));
}

void models_over_told(struct fold *f)
{
	struct provider_rows rows;
	rows_get(f, &rows);
	for (size_t i = 0; i < PROVIDERS_KEPT; i++)
		if (is_over(&rows.items[i]))
			rows.items[i] = (struct provider_row){0};
	store_put_str(fold_txn(f), &table_health, "models", &rows, sizeof(rows));
}

/* ---- budget ---- */

static void budget_raise(struct fold *f, const Healbus__ModelExchange *m, int64_t level)
{
	const char *name = line_of(f, str_or_empty(m->provider), NAME_BYTES - 1);
	char said[MATTER_SAID_MAX];
	if (level == 2) {
		snprintf(said, sizeof(said),
			 "the day's budget for models is used up (of %s, or of all)", name);
		matter_forget(f, MATTER_BUDGET);
		matter_raise(f, MATTER_BUDGET_OUT, said);
		return;
	}
	snprintf(said, sizeof(said),
		 "%" PRIu32 " %% of the day's budget for models is used (of %s, or of all)",
		 m->budget_permille / 10, name);
	matter_raise(f, MATTER_BUDGET, said);
}

static void on_budget(struct fold *f, const Healbus__ModelExchange *m)
{
	int64_t day = fold_now_ms(f) / DAY_MS;
	struct budget_row row = {0};
	/* What began before midnight is of yesterday's budget. */
	if (!m->has_budget_permille || m->started_at_ms / DAY_MS != day)
		return;
	row_struct(fold_txn(f), &table_health, "budget_day", &row, sizeof(row));
	if (row.day != day) {
		row = (struct budget_row){.day = day};
		matter_forget(f, MATTER_BUDGET);
		matter_forget(f, MATTER_BUDGET_OUT);
	}
	int64_t level =
		(m->budget_permille >= NEAR_PERMILLE) + (m->budget_permille >= OUT_PERMILLE);
	if (level > row.level) {
		row.level = level;
		budget_raise(f, m, level);
	}
	store_put_str(fold_txn(f), &table_health, "budget_day", &row, sizeof(row));
}

void models_follow(struct fold *f, const struct fold_input *in)
{
	const Healbus__ModelExchange *m = (const Healbus__ModelExchange *)in->msg;
	if (m->state != HEALBUS__MODEL_STATE__MODEL_EXCHANGED)
		return;
	on_budget(f, m);
	on_exchange(f, m);
}
