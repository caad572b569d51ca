#include "notifier/kpi.h"

#include "common/mem.h"

static bool has(const struct kpi_row *row, uint32_t flag)
{
	return row->flags & flag;
}

static bool is_ended(const struct kpi_row *row)
{
	return row->resolved_ms || has(row, KPI_ESCALATED);
}

static bool is_needed(const struct kpi_row *row)
{
	return is_ended(row) && (row->acted_ms || has(row, KPI_ESCALATED | KPI_PERSON));
}

bool kpi_counts(const struct kpi_row *row)
{
	return row->opened_ms && (!has(row, KPI_SUPPRESSED) || row->acted_ms);
}

bool kpi_is_autonomous(const struct kpi_row *row)
{
	return is_needed(row) && row->resolved_ms && has(row, KPI_HEALED) &&
	       !has(row, KPI_ESCALATED | KPI_PERSON);
}

bool kpi_is_false_positive(const struct kpi_row *row)
{
	if (!row->acted_ms)
		return false;
	if (has(row, KPI_FALSE_ALARM))
		return true;
	if (!row->resolved_ms)
		return false;
	return row->resolved_ms <= row->acted_ms ||
	       !has(row, KPI_HEALED | KPI_ESCALATED | KPI_PERSON);
}

static void heal_add(struct kpi_cell *cell, int64_t ms)
{
	if (cell->n_heal == cell->cap) {
		cell->cap = cell->cap ? cell->cap * 2 : 64;
		cell->heal_ms = mem_realloc(cell->heal_ms, cell->cap * sizeof(*cell->heal_ms));
	}
	cell->heal_ms[cell->n_heal++] = ms;
}

void kpi_add(struct kpi_cell *cell, const struct kpi_row *row)
{
	if (!kpi_counts(row))
		return;
	cell->counted++;
	cell->acted += row->acted_ms != 0;
	cell->ended += is_ended(row);
	cell->needed += is_needed(row);
	cell->autonomous += kpi_is_autonomous(row);
	cell->attempted += row->attempts != 0;
	cell->first_healed += has(row, KPI_FIRST_HEALED);
	cell->escalated += has(row, KPI_ESCALATED);
	cell->false_positives += kpi_is_false_positive(row);
	cell->undone += has(row, KPI_UNDONE);
	cell->did_not_hold += has(row, KPI_DID_NOT_HOLD);
	cell->cost_micro_usd += row->cost_micro_usd;
	if (row->resolved_ms && has(row, KPI_HEALED))
		heal_add(cell, MAX(0, row->resolved_ms - row->opened_ms));
}

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

void kpi_finish(struct kpi_cell *cell)
{
	if (cell->n_heal)
		qsort(cell->heal_ms, cell->n_heal, sizeof(*cell->heal_ms), by_value);
}

void kpi_release(struct kpi_cell *cell)
{
	free(cell->heal_ms);
	*cell = (struct kpi_cell){0};
}

int64_t kpi_percentile_ms(const struct kpi_cell *cell, unsigned percent)
{
	if (!cell->n_heal)
		return -1;
	size_t rank = (cell->n_heal * percent + 99) / 100;
	return cell->heal_ms[MAX(rank, (size_t)1) - 1];
}
