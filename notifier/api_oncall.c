#include "common/clock.h"
#include "notifier/api.h"
#include "notifier/config.h"
#include "notifier/kpi.h"
#include "notifier/view.h"

enum { KPI_DAYS_DEFAULT = 30, STEP_MIN_MS = 3600 * 1000 };
#define DAY_MS INT64_C(86400000)

/* "1d" or a number of ms. */
static int step_read(struct api_call *call, int64_t *out_ms)
{
	const char *text = http_query(call->req, "step");
	*out_ms = DAY_MS;
	return text && *text ? duration_parse(text, out_ms) : 0;
}

static int64_t midnight(int64_t ms)
{
	return ms - ms % DAY_MS;
}

/* GET /api/kpis?since_ms=&until_ms=&step=1d */
void api_kpis(struct api_call *call)
{
	int64_t now = clock_real_ms();
	struct kpi_window w = {0};
	struct why why = {0};
	size_t tomorrow = (size_t)(midnight(now) + DAY_MS);
	w.until_ms = (int64_t)api_limit(call, "until_ms", tomorrow, INT64_MAX / 2);
	int64_t since_ms = MAX(0, w.until_ms - KPI_DAYS_DEFAULT * DAY_MS);
	w.since_ms = (int64_t)api_limit(call, "since_ms", (size_t)since_ms, INT64_MAX / 2);
	int rc = step_read(call, &w.step_ms);
	if (rc || w.step_ms < STEP_MIN_MS)
		rc = why_set(&why, ERR_INVALID, "step: say for instance 1d; at least 1h");
	else if (w.until_ms <= w.since_ms)
		rc = why_set(&why, ERR_INVALID, "until_ms: must be after since_ms");
	else if ((w.until_ms - w.since_ms - 1) / w.step_ms >= KPI_STEPS_MAX)
		rc = why_set(&why, ERR_INVALID, "step: would give more than %d of them",
			     KPI_STEPS_MAX);
	if (rc) {
		api_fail(call, rc, &why);
		return;
	}
	auto_txn txn = api_read(call);
	api_reply(call, 200, view_kpis(txn, &w));
}

/* ---- who is on call ---- */

enum { SHIFTS_DEFAULT = 4, SHIFTS_MAX = 100 };

static json_t *shifts_json(const struct oncall *o, const struct intervals *intervals, int64_t ms,
			   size_t n)
{
	json_t *out = json_array();
	for (size_t i = 0; i < n; i++) {
		int64_t until_ms = oncall_until_ms(o, intervals, ms);
		json_array_append_new(out,
				      json_pack("{s:s,s:I,s:I}", "person",
						oncall_who(o, intervals, ms), "from_ms",
						(json_int_t)ms, "until_ms", (json_int_t)until_ms));
		ms = until_ms;
	}
	return out;
}

static const char *const target_words[TARGET_KINDS] = {
	[TARGET_PERSON] = "",
	[TARGET_ONCALL] = "oncall:",
	[TARGET_CHANNEL] = "channel:",
	[TARGET_RECEIVER] = "receiver:",
};

static json_t *targets_json(const struct escalation_step *s)
{
	json_t *out = json_array();
	for (size_t i = 0; i < s->n_targets; i++)
		json_array_append_new(out, json_sprintf("%s%s", target_words[s->targets[i].kind],
							s->targets[i].name));
	return out;
}

static json_t *beats_json(const struct escalation *e)
{
	json_t *out = json_array();
	for (size_t i = 0; i < e->n_beats; i++)
		json_array_append_new(
			out, json_pack("{s:I,s:s,s:o}", "after_ms", (json_int_t)e->beats[i].at_ms,
				       "kind", e->beats[i].summary ? "summary" : "called", "to",
				       targets_json(&e->steps[e->beats[i].step])));
	return out;
}

/* GET /api/oncall?at_ms=&shifts=: the rotations from at_ms (now) on, and the policies. */
void api_oncall(struct api_call *call)
{
	const struct notifier_config *config = stage_config_get(call->stage);
	const struct rules *rules = &config->rules;
	int64_t at_ms =
		(int64_t)api_limit(call, "at_ms", (size_t)clock_real_ms(), INT64_MAX / 1024);
	size_t shifts = api_limit(call, "shifts", SHIFTS_DEFAULT, SHIFTS_MAX);
	json_t *rotations = json_array(), *policies = json_array();
	for (size_t i = 0; i < rules->oncalls.n; i++) {
		const struct oncall *o = &rules->oncalls.items[i];
		json_array_append_new(rotations,
				      json_pack("{s:s,s:s,s:o}", "name", o->name, "person",
						oncall_who(o, &rules->intervals, at_ms), "shifts",
						shifts_json(o, &rules->intervals, at_ms, shifts)));
	}
	for (size_t i = 0; i < rules->escalations.n; i++) {
		const struct escalation *e = &rules->escalations.items[i];
		json_array_append_new(
			policies, json_pack("{s:s,s:o}", "name", e->name, "calls", beats_json(e)));
	}
	stage_config_put(call->stage, config);
	api_reply(call, 200,
		  json_pack("{s:I,s:o,s:o}", "at_ms", (json_int_t)at_ms, "oncall", rotations,
			    "escalations", policies));
}
