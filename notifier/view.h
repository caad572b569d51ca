/*
 * The projection as JSON, for the API: pure functions of a read transaction. Field names are part
 * of the API; equal projections give equal bytes. Every result is a new reference.
 */
#ifndef NOTIFIER_VIEW_H
#define NOTIFIER_VIEW_H

#include "notifier/tables.h"

#include <jansson.h>

enum { VIEW_LIMIT_DEFAULT = 100, VIEW_LIMIT_MAX = 100000 };

struct view_filter {
	const char *state; /* NULL: any; "open", "escalated", ... */
	size_t limit;      /* 0: none */
};

/* {"incidents":[...]}: newest first, without their events. */
json_t *view_incidents(struct store_txn *txn, const struct view_filter *filter);
/* One incident with its events, NULL when unknown. */
json_t *view_incident(struct store_txn *txn, const char *id);
/* {"open":n,"escalated":n,"resolved":n,"suppressed":n} */
json_t *view_counts(struct store_txn *txn);
size_t view_pending(struct store_txn *txn);
/* {"on":bool,"by","at_ms","reason"} */
json_t *view_paused(struct store_txn *txn);
/* [{"executor","at_ms","tools":n}] */
json_t *view_executors(struct store_txn *txn);
/* {"approvals":[...]}: those that wait for an answer, with their incident's title. */
json_t *view_approvals(struct store_txn *txn);
/* {"tools":[...]} of the newest catalogue. */
json_t *view_tools(struct store_txn *txn);
/* Adds "runs" and "done" to each tool: over all incidents that are kept. */
void view_tool_rates(struct store_txn *txn, json_t *tools);
/* {"silences":[...]}: those in force or still to come, or all. */
json_t *view_silences(struct store_txn *txn, bool all, int64_t now_ms);
/* {"changes":[...]}: newest first. */
json_t *view_changes(struct store_txn *txn, size_t limit);
/* "planned", "pending", "approved", "denied", "expired", "running" or the outcome's verdict. */
const char *view_plan_state(const struct plan_row *row);

/* The last plan of an incident; false when it has none. */
bool view_last_plan(struct store_txn *txn, const char *incident, char out[static TOKEN_MAX + 1]);
/* The approval that waits for an answer about this incident, or else its last plan's. */
bool view_approval_of(struct store_txn *txn, const char *incident, char out[static TOKEN_MAX + 1]);

/* What nobody has got yet, {"undelivered":[{id, incident, channels, kind, subject, approval,
 * since_ms, state, error}]}: state "queued" (under way) or "failed" (no channel took it; it will be
 * said anew). */
json_t *view_unsent(struct store_txn *txn, size_t limit);
/* How many; queued ones only when they are older than UNSENT_SHOWN_MS. At most UNSENT_COUNT_MAX of
 * each are counted. */
enum { UNSENT_SHOWN_MS = 30 * 1000, UNSENT_COUNT_MAX = 1000 };
struct unsent_counts {
	size_t queued, failed;
};
struct unsent_counts view_unsent_counts(struct store_txn *txn, int64_t now_ms);

/* What kpi.h counts, over the incidents opened in the window: {since_ms, until_ms, step_ms,
 * overall, steps: [...]}; steps begin at since_ms. */
struct kpi_window {
	int64_t since_ms, until_ms; /* until_ms is excluded and later than since_ms */
	int64_t step_ms;            /* at most KPI_STEPS_MAX of them */
};
json_t *view_kpis(struct store_txn *txn, const struct kpi_window *window);

#endif
