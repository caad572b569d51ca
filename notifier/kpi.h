/*
 * How well it works, in numbers. The fold keeps one small row an incident (fold_kpi.c); everything
 * here is pure arithmetic on such rows. README.md says it in the same words.
 *
 *   counted        incidents opened in the window, but for those suppressed that nothing was done
 * about acted          of these, those for which a step of a plan was started (undoing is not
 * counted) ended          resolved now, or escalated ever needed         ended, and acted,
 * escalated, or a person took part; what else ended, ended by itself autonomous     needed,
 * resolved, a plan healed it, never escalated, and no person took part false positive acted though
 * there was nothing to do: a person marked it a false alarm; or it was resolved before the first
 * step started; or it was resolved though no plan healed it, no person took part and it was never
 * escalated time to heal   from opened to resolved, of those resolved that a plan healed first
 * attempt  of acted ones with a verdict: the first verdict was healed
 *
 * A person takes part by a decision, an acknowledgement, an undo, or a command other than status.
 * Verdicts that count as attempts: healed, failed, rolled back, rollback failed, unknown.
 */
#ifndef NOTIFIER_KPI_H
#define NOTIFIER_KPI_H

#include "common/base.h"

enum {
	KPI_ESCALATED = 1 << 0,    /* at any time */
	KPI_PERSON = 1 << 1,       /* took part */
	KPI_FIRST_HEALED = 1 << 2, /* the first attempt */
	KPI_HEALED = 1 << 3,       /* any attempt */
	KPI_FALSE_ALARM = 1 << 4,  /* a person says so */
	KPI_SUPPRESSED = 1 << 5,   /* now */
	KPI_UNDONE = 1 << 6,       /* a person had a change taken back */
	KPI_DID_NOT_HOLD = 1 << 7, /* a person says so */
};

/* What is kept of an incident. */
struct kpi_row {
	int64_t opened_ms;
	int64_t resolved_ms; /* 0: not resolved now */
	int64_t acted_ms;    /* when the first step started; 0: never */
	int64_t cost_micro_usd;
	uint32_t attempts;
	uint32_t exchanges; /* with models */
	uint32_t flags;
	uint32_t reserved;
};

enum { KPI_STEPS_MAX = 400 };

/* Counts over some rows. Zeroed; release it. */
struct kpi_cell {
	int64_t from_ms;
	uint64_t counted, acted, ended, needed, autonomous, attempted, first_healed, escalated;
	uint64_t false_positives, undone, did_not_hold;
	int64_t cost_micro_usd;
	int64_t *heal_ms; /* sorted by kpi_finish */
	size_t n_heal, cap;
};

bool kpi_counts(const struct kpi_row *row);
bool kpi_is_false_positive(const struct kpi_row *row);
bool kpi_is_autonomous(const struct kpi_row *row);

void kpi_add(struct kpi_cell *cell, const struct kpi_row *row);
void kpi_finish(struct kpi_cell *cell);
void kpi_release(struct kpi_cell *cell);

/* Nearest rank: the smallest time to heal that at least percent of them do not exceed; -1: none.
 * After kpi_finish. percent: 1-100. */
int64_t kpi_percentile_ms(const struct kpi_cell *cell, unsigned percent);

#endif
