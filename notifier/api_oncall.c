#include "common/clock.h"
#include "notifier/api.h"
#include "notifier/config.h"
#include "notifier/control.h"
#include "notifier/duty.h"
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

struct shifts_wanted {
	int64_t from_ms;
	size_t n;
};

static json_t *shifts_json(struct store_txn *txn, const struct oncall *o,
			   const struct intervals *intervals, const struct shifts_wanted *want)
{
	json_t *out = json_array();
	int64_t ms = want->from_ms;
	for (size_t i = 0; i < want->n; i++) {
		struct duty d;
		duty_at(txn, o, intervals, ms, &d);
		json_array_append_new(out, json_pack("{s:s,s:I,s:I,s:s}", "person", d.person,
						     "from_ms", (json_int_t)ms, "until_ms",
						     (json_int_t)d.until_ms, "override_by", d.by));
		ms = d.until_ms;
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
	struct shifts_wanted want = {
		.from_ms = (int64_t)api_limit(call, "at_ms", (size_t)clock_real_ms(),
					      INT64_MAX / 1024),
		.n = api_limit(call, "shifts", SHIFTS_DEFAULT, SHIFTS_MAX),
	};
	json_t *rotations = json_array(), *policies = json_array();
	auto_txn txn = api_read(call);
	for (size_t i = 0; i < rules->oncalls.n; i++) {
		const struct oncall *o = &rules->oncalls.items[i];
		struct duty now;
		duty_at(txn, o, &rules->intervals, want.from_ms, &now);
		json_array_append_new(rotations,
				      json_pack("{s:s,s:s,s:o}", "name", o->name, "person",
						now.person, "shifts",
						shifts_json(txn, o, &rules->intervals, &want)));
	}
	for (size_t i = 0; i < rules->escalations.n; i++) {
		const struct escalation *e = &rules->escalations.items[i];
		json_array_append_new(
			policies, json_pack("{s:s,s:o}", "name", e->name, "calls", beats_json(e)));
	}
	stage_config_put(call->stage, config);
	api_reply(call, 200,
		  json_pack("{s:I,s:o,s:o}", "at_ms", (json_int_t)want.from_ms, "oncall", rotations,
			    "escalations", policies));
}

/* ---- changing it ---- */

/* From when until when: `from` (a time or ms; now), `duration` or `until`. */
static int duty_times(struct api_call *call, Healbus__Duty *d, struct why *out_why)
{
	int64_t from_ms = clock_real_ms(), until_ms = 0, duration_ms = 0;
	int rc = *api_str(call, "from") ? time_parse(api_str(call, "from"), &from_ms) : 0;
	if (!rc && *api_str(call, "duration"))
		rc = duration_parse(api_str(call, "duration"), &duration_ms);
	else if (!rc)
		rc = time_parse(api_str(call, "until"), &until_ms);
	until_ms = duration_ms ? from_ms + duration_ms : until_ms;
	if (rc || until_ms <= from_ms || until_ms <= clock_real_ms() ||
	    until_ms > clock_real_ms() + DUTY_DAYS_MAX * DAY_MS)
		return why_set(
			out_why, ERR_INVALID,
			"give a duration (\"8h\"), or until (2026-12-24T09:00:00Z) after from, "
			"at most a year ahead");
	SET(d, from_ms, from_ms);
	SET(d, until_ms, until_ms);
	return 0;
}

static int duty_check(struct api_call *call, const Healbus__Duty *d, struct why *out_why)
{
	const struct notifier_config *c = stage_config_get(call->stage);
	int rc = 0;
	if (!oncall_find(&c->rules.oncalls, d->rotation))
		rc = why_set(out_why, ERR_NOT_FOUND, "no rotation is called %.64s", d->rotation);
	else if (d->person && c->people.n && !person_by(&c->people, "name", d->person))
		rc = why_set(out_why, ERR_INVALID, "person: %.64s is not one of the people",
			     d->person);
	else if (d->person && (!*d->person || strlen(d->person) > DUTY_NAME_MAX))
		rc = why_set(out_why, ERR_INVALID, "person: 1 to %d bytes", DUTY_NAME_MAX);
	stage_config_put(call->stage, c);
	return rc;
}

static void duty_say(struct api_call *call, Healbus__Duty *d, const char *by, struct why *why)
{
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	const char *reason = api_str(call, "reason");
	int rc = duty_check(call, d, why);
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_ONCALL);
	c.by = (char *)by;
	c.duty = d;
	c.reason = wire_text(&call->arena, reason, strlen(reason), WIRE_REASON_MAX);
	if (!rc)
		rc = control_publish(call->stage, &c, "oncall", why);
	if (rc)
		api_fail(call, rc, why);
	else
		api_reply(call, 200,
			  json_pack("{s:s,s:s,s:I,s:I,s:s}", "rotation", d->rotation, "person",
				    d->person ? d->person : "", "from_ms", (json_int_t)d->from_ms,
				    "until_ms", (json_int_t)d->until_ms, "by", by));
}

/* POST /api/oncall {rotation, person, from, duration | until, reason} */
void api_oncall_set(struct api_call *call)
{
	Healbus__Duty d = HEALBUS__DUTY__INIT;
	struct why why = {0};
	const char *by = api_by(call, api_str(call, "by"));
	if (!by)
		return;
	d.rotation = (char *)api_str(call, "rotation");
	d.person = (char *)api_str(call, "person");
	int rc = duty_times(call, &d, &why);
	if (rc)
		api_fail(call, rc, &why);
	else
		duty_say(call, &d, by, &why);
}

/* DELETE /api/oncall/ROTATION: the rotation as configured, from now on. */
void api_oncall_clear(struct api_call *call)
{
	Healbus__Duty d = HEALBUS__DUTY__INIT;
	struct why why = {0};
	const char *by = api_by(call, http_query(call->req, "by"));
	if (!by)
		return;
	d.rotation = (char *)http_wildcard(call->req);
	duty_say(call, &d, by, &why);
}
