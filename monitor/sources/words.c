#include "monitor/sources/source.h"
#include "common/clock.h"

/* What monitoring systems call their severities and states. */

static const struct {
	const char *word;
	Healbus__Severity severity;
} severities[] = {
	{"critical", HEALBUS__SEVERITY__SEVERITY_CRITICAL},
	{"crit", HEALBUS__SEVERITY__SEVERITY_CRITICAL},
	{"fatal", HEALBUS__SEVERITY__SEVERITY_CRITICAL},
	{"emergency", HEALBUS__SEVERITY__SEVERITY_CRITICAL},
	{"emerg", HEALBUS__SEVERITY__SEVERITY_CRITICAL},
	{"alert", HEALBUS__SEVERITY__SEVERITY_CRITICAL},
	{"page", HEALBUS__SEVERITY__SEVERITY_CRITICAL},
	{"disaster", HEALBUS__SEVERITY__SEVERITY_CRITICAL},
	{"p1", HEALBUS__SEVERITY__SEVERITY_CRITICAL},
	{"sev1", HEALBUS__SEVERITY__SEVERITY_CRITICAL},
	{"error", HEALBUS__SEVERITY__SEVERITY_ERROR},
	{"err", HEALBUS__SEVERITY__SEVERITY_ERROR},
	{"major", HEALBUS__SEVERITY__SEVERITY_ERROR},
	{"high", HEALBUS__SEVERITY__SEVERITY_ERROR},
	{"p2", HEALBUS__SEVERITY__SEVERITY_ERROR},
	{"sev2", HEALBUS__SEVERITY__SEVERITY_ERROR},
	{"warning", HEALBUS__SEVERITY__SEVERITY_WARNING},
	{"warn", HEALBUS__SEVERITY__SEVERITY_WARNING},
	{"minor", HEALBUS__SEVERITY__SEVERITY_WARNING},
	{"medium", HEALBUS__SEVERITY__SEVERITY_WARNING},
	{"moderate", HEALBUS__SEVERITY__SEVERITY_WARNING},
	{"average", HEALBUS__SEVERITY__SEVERITY_WARNING},
	{"degraded", HEALBUS__SEVERITY__SEVERITY_WARNING},
	{"p3", HEALBUS__SEVERITY__SEVERITY_WARNING},
	{"sev3", HEALBUS__SEVERITY__SEVERITY_WARNING},
	{"info", HEALBUS__SEVERITY__SEVERITY_INFO},
	{"information", HEALBUS__SEVERITY__SEVERITY_INFO},
	{"informational", HEALBUS__SEVERITY__SEVERITY_INFO},
	{"notice", HEALBUS__SEVERITY__SEVERITY_INFO},
	{"debug", HEALBUS__SEVERITY__SEVERITY_INFO},
	{"low", HEALBUS__SEVERITY__SEVERITY_INFO},
	{"none", HEALBUS__SEVERITY__SEVERITY_INFO},
	{"p4", HEALBUS__SEVERITY__SEVERITY_INFO},
	{"p5", HEALBUS__SEVERITY__SEVERITY_INFO},
	{"sev4", HEALBUS__SEVERITY__SEVERITY_INFO},
	{"sev5", HEALBUS__SEVERITY__SEVERITY_INFO},
};

Healbus__Severity severity_from_text(const char *text)
{
	for (size_t i = 0; text && i < ARRAY_SIZE(severities); i++) {
		if (strcasecmp(text, severities[i].word) == 0)
			return severities[i].severity;
	}
	return HEALBUS__SEVERITY__SEVERITY_UNKNOWN;
}

static const struct {
	const char *word;
	Healbus__Status status;
} statuses[] = {
	{"firing", HEALBUS__STATUS__STATUS_FIRING},
	{"alerting", HEALBUS__STATUS__STATUS_FIRING},
	{"triggered", HEALBUS__STATUS__STATUS_FIRING},
	{"open", HEALBUS__STATUS__STATUS_FIRING},
	{"opened", HEALBUS__STATUS__STATUS_FIRING},
	{"active", HEALBUS__STATUS__STATUS_FIRING},
	{"alarm", HEALBUS__STATUS__STATUS_FIRING},
	{"critical", HEALBUS__STATUS__STATUS_FIRING},
	{"warning", HEALBUS__STATUS__STATUS_FIRING},
	{"error", HEALBUS__STATUS__STATUS_FIRING},
	{"down", HEALBUS__STATUS__STATUS_FIRING},
	{"failed", HEALBUS__STATUS__STATUS_FIRING},
	{"problem", HEALBUS__STATUS__STATUS_FIRING},
	{"no_data", HEALBUS__STATUS__STATUS_FIRING},
	{"resolved", HEALBUS__STATUS__STATUS_RESOLVED},
	{"ok", HEALBUS__STATUS__STATUS_RESOLVED},
	{"normal", HEALBUS__STATUS__STATUS_RESOLVED},
	{"closed", HEALBUS__STATUS__STATUS_RESOLVED},
	{"close", HEALBUS__STATUS__STATUS_RESOLVED},
	{"cleared", HEALBUS__STATUS__STATUS_RESOLVED},
	{"recovered", HEALBUS__STATUS__STATUS_RESOLVED},
	{"recovery", HEALBUS__STATUS__STATUS_RESOLVED},
	{"up", HEALBUS__STATUS__STATUS_RESOLVED},
};

int status_from_text(const char *text, Healbus__Status *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		if (strcasecmp(text, statuses[i].word) == 0) {
			*out = statuses[i].status;
			return 0;
		}
	}
	return ERR_INVALID;
}

static const double seconds_below = 1e11, time_max_ms = 4e12;

static int time_from_number(double number, const char *what, int64_t *out_ms, struct why *out_why)
{
	double ms = number < seconds_below ? number * 1000 : number;

	if (!(ms >= 0 && ms <= time_max_ms))
		return why_set(out_why, ERR_INVALID, "%s: not a time", what);
	*out_ms = (int64_t)ms;
	return 0;
}

int draft_time_text(const char *text, const char *what, int64_t *out_ms, struct why *out_why)
{
	if (!text || !*text)
		return 0;
	if (time_parse(text, out_ms))
		return why_set(out_why, ERR_INVALID, "%s: \"%.64s\" is not an RFC 3339 time", what,
			       text);
	*out_ms = MAX(*out_ms, 0);
	return 0;
}

int draft_time(const json_t *value, const char *what, int64_t *out_ms, struct why *out_why)
{
	if (!value || json_is_null(value))
		return 0;
	if (json_is_number(value))
		return time_from_number(json_number_value(value), what, out_ms, out_why);
	if (!json_is_string(value))
		return why_set(out_why, ERR_INVALID, "%s: neither text nor number", what);
	return draft_time_text(json_string_value(value), what, out_ms, out_why);
}
