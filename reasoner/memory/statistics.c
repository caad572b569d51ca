#include "reasoner/memory/statistics.h"

const struct store_table table_statistics = {"statistics", 1};
const struct store_table table_misrouted = {"misrouted", 1};

enum { PARTS = 3, SEPARATOR = 0x1f };

/* Stored as it is. */
struct counts {
	uint64_t successes, failures;
};

static bool key_of(const char *const parts[PARTS], struct buf *out)
{
	for (size_t i = 0; i < PARTS; i++) {
		const char *part = parts[i] ? parts[i] : "";
		if (*part && !token_valid(part))
			return false;
		if (i)
			buf_add_char(out, SEPARATOR);
		buf_add_str(out, part);
	}
	return true;
}

static int counts_load(struct store_txn *txn, const struct store_table *table,
		       const struct buf *key, struct counts *out)
{
	struct store_val val;
	*out = (struct counts){0};
	int rc = store_get(txn, table, key->data, key->len, &val);
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	if (val.len != sizeof(*out))
		return ERR_CORRUPT;
	memcpy(out, val.data, sizeof(*out));
	return 0;
}

/* ---- writing ---- */

struct change {
	const char *const *parts;
	int successes, failures;
};

static uint64_t moved(uint64_t n, int by)
{
	return by < 0 && n < (uint64_t)-by ? 0 : n + (uint64_t)by;
}

static int count(struct store_txn *txn, const struct store_table *table, const struct change *by)
{
	auto_buf key = {0};
	struct counts c;
	if (!key_of(by->parts, &key))
		return ERR_INVALID;
	int rc = counts_load(txn, table, &key, &c);
	if (rc)
		return rc;
	c.successes = moved(c.successes, by->successes);
	c.failures = moved(c.failures, by->failures);
	store_put(txn, table, key.data, key.len, &c, sizeof(c));
	return 0;
}

int statistics_note(struct store_txn *txn, const struct statistic_key *key, bool success)
{
	const char *parts[PARTS] = {key->failure_type, key->specialist, key->tool};
	return count(txn, &table_statistics, &(struct change){parts, success, !success});
}

int statistics_correct(struct store_txn *txn, const struct statistic_key *key)
{
	const char *parts[PARTS] = {key->failure_type, key->specialist, key->tool};
	return count(txn, &table_statistics, &(struct change){parts, -1, 1});
}

int statistics_misrouted(struct store_txn *txn, const char *failure_type, const char *routed,
			 const char *by)
{
	const char *parts[PARTS] = {failure_type, routed, by};
	if (!routed || !by || str_eq(routed, by))
		return 0;
	return count(txn, &table_misrouted, &(struct change){parts, 1, 0});
}

/* What a verdict says of the plan: 1, 0, or -1 for nothing. */
static int plan_worked(Healbus__Verdict verdict)
{
	static const int8_t said[] = {
		[HEALBUS__VERDICT__VERDICT_UNKNOWN] = 0,
		[HEALBUS__VERDICT__VERDICT_HEALED] = 1,
		[HEALBUS__VERDICT__VERDICT_FAILED] = 0,
		[HEALBUS__VERDICT__VERDICT_ROLLED_BACK] = 0,
		[HEALBUS__VERDICT__VERDICT_REFUSED] = -1,
		[HEALBUS__VERDICT__VERDICT_DENIED] = -1,
		[HEALBUS__VERDICT__VERDICT_EXPIRED] = -1,
		[HEALBUS__VERDICT__VERDICT_OBSERVED] = -1,
		[HEALBUS__VERDICT__VERDICT_ROLLBACK_FAILED] = 0,
		[HEALBUS__VERDICT__VERDICT_REHEARSED] = -1,
	};
	return (size_t)verdict < ARRAY_SIZE(said) ? said[verdict] : -1;
}

bool outcome_untried(const Healbus__Outcome *o)
{
	bool failed = o->verdict == HEALBUS__VERDICT__VERDICT_FAILED ||
		      o->verdict == HEALBUS__VERDICT__VERDICT_ROLLED_BACK;
	bool untried = false;
	for (size_t i = 0; i < o->n_steps; i++)
		untried |=
			o->steps[i]->phase == HEALBUS__PHASE__PHASE_ACT && o->steps[i]->not_tried;
	return failed && untried;
}

static int note_step(struct store_txn *txn, const Healbus__Plan *plan, const Healbus__StepReport *s)
{
	struct statistic_key key = {plan->failure_type, plan->specialist, s->tool};
	bool done = s->state == HEALBUS__STEP_STATE__STEP_DONE;
	bool failed = s->state == HEALBUS__STEP_STATE__STEP_FAILED ||
		      s->state == HEALBUS__STEP_STATE__STEP_UNKNOWN;
	if (s->phase != HEALBUS__PHASE__PHASE_ACT || (!done && !failed) || !s->tool || !*s->tool ||
	    s->not_tried)
		return 0;
	return statistics_note(txn, &key, done);
}

int statistics_outcome(struct store_txn *txn, const Healbus__Plan *plan,
		       const Healbus__Outcome *outcome)
{
	struct statistic_key whole = {plan->failure_type, plan->specialist, ""};
	int worked = plan_worked(outcome->verdict);
	if (worked < 0)
		return 0;
	int rc = outcome_untried(outcome) ? 0 : statistics_note(txn, &whole, worked);
	for (size_t i = 0; !rc && i < outcome->n_steps; i++)
		rc = note_step(txn, plan, outcome->steps[i]);
	return rc;
}

/* ---- reading ---- */

static const struct statistic_prior prior_default = {1, 1, 0.05};

static void judge(const struct counts *c, const struct statistic_prior *prior,
		  struct statistic *out)
{
	const struct statistic_prior *p = prior && prior->successes > 0 ? prior : &prior_default;
	out->successes = c->successes;
	out->failures = c->failures;
	out->alpha = p->successes + (double)c->successes;
	out->beta = p->failures + (double)c->failures;
	out->mean = out->alpha / (out->alpha + out->beta);
	out->lower = beta_quantile(out->alpha, out->beta, p->doubt);
}

int statistics_get(struct store_txn *txn, const struct statistic_key *key,
		   const struct statistic_prior *prior, struct statistic *out)
{
	const char *parts[PARTS] = {key->failure_type, key->specialist, key->tool};
	auto_buf name = {0};
	struct counts c;
	if (!key_of(parts, &name))
		return ERR_INVALID;
	int rc = counts_load(txn, &table_statistics, &name, &c);
	if (!rc)
		judge(&c, prior, out);
	return rc;
}

struct row {
	char *parts[PARTS];
	struct counts c;
};

struct rows {
	struct arena *arena;
	struct row *items; /* heap */
	size_t n;
};

static int read_row(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct rows *rows = ctx;
	struct row row = {0};
	char *text = arena_alloc(rows->arena, key_len + 1);
	if (!text)
		return ERR_TOO_LARGE;
	memcpy(text, key, key_len);
	for (size_t i = 0; i < PARTS && text; i++)
		row.parts[i] = strsep(&text, (const char[]){SEPARATOR, 0});
	if (!row.parts[PARTS - 1] || val.len != sizeof(row.c))
		return ERR_CORRUPT;
	memcpy(&row.c, val.data, sizeof(row.c));
	rows->items = mem_realloc(rows->items, (rows->n + 1) * sizeof(*rows->items));
	rows->items[rows->n++] = row;
	return 0;
}

struct wanted {
	const char *failure_type; /* NULL: all */
	bool tools;
};

static bool is_wanted(const struct wanted *w, const struct row *row)
{
	return (!w->failure_type || str_eq(w->failure_type, row->parts[0])) &&
	       (w->tools || !*row->parts[PARTS - 1]);
}

static int records(struct rows *rows, const struct wanted *w, const struct statistic_prior *prior,
		   struct statistic_record **out)
{
	struct statistic_record *list = arena_alloc(rows->arena, (rows->n + 1) * sizeof(*list));
	size_t n = 0;
	if (!list)
		return ERR_TOO_LARGE;
	for (size_t i = 0; i < rows->n; i++) {
		char *const *parts = rows->items[i].parts;
		if (!is_wanted(w, &rows->items[i]))
			continue;
		list[n] = (struct statistic_record){parts[0], parts[1], parts[2], {0}};
		judge(&rows->items[i].c, prior, &list[n++].s);
	}
	rows->n = n;
	*out = list;
	return 0;
}

int statistics_for_type(struct store_txn *txn, const char *failure_type,
			const struct statistic_prior *prior, struct arena *arena,
			struct statistic_record **out, size_t *out_n)
{
	struct wanted w = {failure_type, false};
	struct rows rows = {.arena = arena};
	struct store_range range = {.prefix = failure_type,
				    .prefix_len = failure_type ? strlen(failure_type) : 0};
	int rc = store_each(txn, &table_statistics, &range, read_row, &rows);
	if (!rc)
		rc = records(&rows, &w, prior, out);
	if (!rc)
		*out_n = rows.n;
	free(rows.items);
	return rc;
}

int statistics_all(struct store_txn *txn, const struct statistic_prior *prior, struct arena *arena,
		   struct statistic_record **out, size_t *out_n)
{
	struct wanted w = {NULL, true};
	struct rows rows = {.arena = arena};
	int rc = store_each(txn, &table_statistics, &(struct store_range){0}, read_row, &rows);
	if (!rc)
		rc = records(&rows, &w, prior, out);
	if (!rc)
		*out_n = rows.n;
	free(rows.items);
	return rc;
}

int statistics_misroutes(struct store_txn *txn, struct arena *arena, struct misrouted **out,
			 size_t *out_n)
{
	struct rows rows = {.arena = arena};
	int rc = store_each(txn, &table_misrouted, &(struct store_range){0}, read_row, &rows);
	struct misrouted *list = rc ? NULL : arena_alloc(arena, (rows.n + 1) * sizeof(*list));
	if (!rc && !list)
		rc = ERR_TOO_LARGE;
	for (size_t i = 0; !rc && i < rows.n; i++) {
		char *const *parts = rows.items[i].parts;
		list[i] =
			(struct misrouted){parts[0], parts[1], parts[2], rows.items[i].c.successes};
	}
	free(rows.items);
	if (rc)
		return rc;
	*out = list;
	*out_n = rows.n;
	return 0;
}
