#include "notifier/kpi.h"
#include "notifier/view.h"

struct counting {
	struct store_txn *txn;
	const struct kpi_window *window;
	struct kpi_cell overall;
	struct kpi_cell *cells;
	size_t n;
};

static int row_visit(void *ctx, const void *key, size_t key_len, struct store_val val UNUSED)
{
	struct counting *c = ctx;
	struct kpi_row row;
	char id[TOKEN_MAX + 1] = "";
	if (key_len <= 8 || key_len - 8 > TOKEN_MAX)
		return 0;
	memcpy(id, (const char *)key + 8, key_len - 8);
	if (!row_struct(c->txn, &table_kpis, id, &row, sizeof(row)) ||
	    row.opened_ms < c->window->since_ms)
		return 0;
	if (row.opened_ms >= c->window->until_ms)
		return 1;
	kpi_add(&c->overall, &row);
	kpi_add(&c->cells[(row.opened_ms - c->window->since_ms) / c->window->step_ms], &row);
	return 0;
}

static json_t *share(uint64_t part, uint64_t whole)
{
	return whole ? json_real((double)part / (double)whole) : json_null();
}

static json_t *time_json(int64_t ms)
{
	return ms < 0 ? json_null() : json_integer((json_int_t)ms);
}

static void add_counts(json_t *out, const struct kpi_cell *c)
{
	const struct {
		const char *name;
		uint64_t n;
	} rows[] = {
		{"incidents", c->counted},
		{"acted", c->acted},
		{"ended", c->ended},
		{"needed", c->needed},
		{"autonomous", c->autonomous},
		{"attempted", c->attempted},
		{"first_attempt_healed", c->first_healed},
		{"healed", c->n_heal},
		{"false_positives", c->false_positives},
		{"escalated", c->escalated},
		{"undone", c->undone},
		{"did_not_hold", c->did_not_hold},
		{"cost_micro_usd", (uint64_t)c->cost_micro_usd},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		json_object_set_new(out, rows[i].name, json_integer((json_int_t)rows[i].n));
}

static json_t *cell_json(struct kpi_cell *c)
{
	json_t *out = json_object();
	kpi_finish(c);
	json_object_set_new(out, "from_ms", json_integer((json_int_t)c->from_ms));
	add_counts(out, c);
	json_object_set_new(out, "autonomous_resolution", share(c->autonomous, c->needed));
	json_object_set_new(out, "time_to_heal_p50_ms", time_json(kpi_percentile_ms(c, 50)));
	json_object_set_new(out, "time_to_heal_p90_ms", time_json(kpi_percentile_ms(c, 90)));
	json_object_set_new(out, "first_attempt_success", share(c->first_healed, c->attempted));
	json_object_set_new(out, "false_positive_rate", share(c->false_positives, c->acted));
	json_object_set_new(out, "escalation_rate", share(c->escalated, c->counted));
	json_object_set_new(out, "cost_per_incident_micro_usd",
			    share((uint64_t)c->cost_micro_usd, c->counted));
	return out;
}

json_t *view_kpis(struct store_txn *txn, const struct kpi_window *w)
{
	struct store_key64 from = store_key64((uint64_t)w->since_ms);
	struct store_range range = {.from = from.b, .from_len = sizeof(from.b)};
	struct counting c = {.txn = txn, .window = w};
	json_t *steps = json_array();
	c.n = (size_t)((w->until_ms - w->since_ms + w->step_ms - 1) / w->step_ms);
	c.cells = mem_calloc(c.n, sizeof(*c.cells));
	c.overall.from_ms = w->since_ms;
	for (size_t i = 0; i < c.n; i++)
		c.cells[i].from_ms = w->since_ms + (int64_t)i * w->step_ms;
	store_each(txn, &table_by_time, &range, row_visit, &c);
	for (size_t i = 0; i < c.n; i++) {
		json_array_append_new(steps, cell_json(&c.cells[i]));
		kpi_release(&c.cells[i]);
	}
	free(c.cells);
	json_t *out =
		json_pack("{s:I,s:I,s:I,s:o,s:o}", "since_ms", (json_int_t)w->since_ms, "until_ms",
			  (json_int_t)w->until_ms, "step_ms", (json_int_t)w->step_ms, "overall",
			  cell_json(&c.overall), "steps", steps);
	kpi_release(&c.overall);
	return out;
}
