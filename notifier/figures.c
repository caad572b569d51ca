#include "notifier/figures.h"

#include "common/clock.h"
#include "common/metrics.h"
#include "notifier/view.h"

enum { DAY_MS = 24 * 60 * 60 * 1000, DAY_AGAIN_MS = 60 * 1000 };

static struct metric undelivered = METRIC_GAUGE(
	"healbus_notices_undelivered",
	"Notices that nobody has got yet: queued, or failed and to be said anew.", "state");
static struct metric incidents =
	METRIC_GAUGE("healbus_incidents", "Incidents that are kept, by state.", "state");
static struct metric approvals =
	METRIC_GAUGE("healbus_approvals_pending", "Plans that wait for people's answers.");
static struct metric paused =
	METRIC_GAUGE("healbus_paused", "1 while no new action is to start anywhere.");
static struct metric day_incidents =
	METRIC_GAUGE("healbus_day_incidents",
		     "Incidents opened in the last 24 hours, by what is true of them.", "what");
static struct metric time_to_heal = METRIC_GAUGE(
	"healbus_day_time_to_heal_seconds",
	"From opened to resolved, of the last 24 hours' incidents that a plan healed.", "quantile");
static struct metric autonomous =
	METRIC_GAUGE("healbus_day_autonomous_ratio",
		     "Share of the last 24 hours' incidents that were healed without a person, of "
		     "those that needed something.");

static double real_of(const json_t *of, const char *name)
{
	return json_number_value(json_object_get(of, name));
}

static void day_take(struct store_txn *txn)
{
	static const char *const whats[] = {"incidents", "acted", "healed", "escalated",
					    "false_positives"};
	int64_t now = clock_real_ms();
	const struct kpi_window day = {
		.since_ms = now - DAY_MS, .until_ms = now + 1, .step_ms = DAY_MS + 1};
	json_t *kpis = view_kpis(txn, &day);
	const json_t *all = json_object_get(kpis, "overall");
	for (size_t i = 0; i < ARRAY_SIZE(whats); i++)
		metric_set(&day_incidents, real_of(all, whats[i]), whats[i]);
	metric_set(&time_to_heal, real_of(all, "time_to_heal_p50_ms") / 1000, "0.5");
	metric_set(&time_to_heal, real_of(all, "time_to_heal_p90_ms") / 1000, "0.9");
	metric_set(&autonomous, real_of(all, "autonomous_resolution"));
	json_decref(kpis);
}

static void now_take(struct store_txn *txn)
{
	struct unsent_counts unsent = view_unsent_counts(txn, clock_real_ms());
	const char *state;
	json_t *n, *counts = view_counts(txn), *pause = view_paused(txn);
	metric_set(&undelivered, (double)unsent.queued, "queued");
	metric_set(&undelivered, (double)unsent.failed, "failed");
	json_object_foreach(counts, state, n) metric_set(&incidents, json_number_value(n), state);
	metric_set(&approvals, (double)view_pending(txn));
	metric_set(&paused, json_is_true(json_object_get(pause, "on")) ? 1 : 0);
	json_decref(counts);
	json_decref(pause);
}

void figures_take(struct stage *s)
{
	static int64_t day_mono_ms = INT64_MIN / 2; /* of the one thread that calls this */
	auto_txn txn = store_begin_read(fold_store(stage_fold(s, 0, 0)));
	now_take(txn);
	if (clock_mono_ms() < day_mono_ms + DAY_AGAIN_MS)
		return;
	day_mono_ms = clock_mono_ms();
	day_take(txn);
}
