#include "common/wire_fields.h"

#define TIME_MAX_MS INT64_C(253402300799999) /* the end of the year 9999 */
#define DAY_MS INT64_C(86400000)

#define R_ANY(f)                                                                                   \
	{                                                                                          \
		.field = f, .type = ANY                                                            \
	}
#define R_TOKEN(f)                                                                                 \
	{                                                                                          \
		.field = f, .type = TOKEN                                                          \
	}
#define R_ID(f)                                                                                    \
	{                                                                                          \
		.field = f, .type = TOKEN, .required = true                                        \
	}
#define R_TEXT(f, m)                                                                               \
	{                                                                                          \
		.field = f, .type = TEXT, .max = m                                                 \
	}
#define R_HEX16(f)                                                                                 \
	{                                                                                          \
		.field = f, .type = HEX16                                                          \
	}
#define R_TIME(f)                                                                                  \
	{                                                                                          \
		.field = f, .type = NUMBER, .max = TIME_MAX_MS                                     \
	}
#define R_NUM(f, lo, hi)                                                                           \
	{                                                                                          \
		.field = f, .type = NUMBER, .min = lo, .max = hi                                   \
	}
#define R_COUNT(f)                                                                                 \
	{                                                                                          \
		.field = f, .type = NUMBER, .max = INT64_MAX                                       \
	}
#define R_REAL(f)                                                                                  \
	{                                                                                          \
		.field = f, .type = REAL, .min = INT32_MIN, .max = INT32_MAX                       \
	}
#define R_SHARE(f)                                                                                 \
	{                                                                                          \
		.field = f, .type = REAL, .max = 1                                                 \
	}
#define R_MANY(f, n)                                                                               \
	{                                                                                          \
		.field = f, .type = ANY, .count_max = n                                            \
	}
#define R_TEXTS(f, m, n)                                                                           \
	{                                                                                          \
		.field = f, .type = TEXT, .max = m, .count_max = n                                 \
	}
#define R_DIGEST(f)                                                                                \
	{                                                                                          \
		.field = f, .type = BYTES, .min = DIGEST_BYTES, .max = DIGEST_BYTES,               \
		.required = true                                                                   \
	}

enum { ID_TEXT_MAX = 200, NAME_MAX_BYTES = 256, URL_MAX = 4096, WHY_MAX = 4096, MANY = 1024 };

static const struct wire_rule label_rules[] = {
	{.field = "name", .type = LABEL_NAME, .required = true},
	R_TEXT("value", WIRE_ANNOTATION_MAX),
};
static const struct wire_rule event_rules[] = {
	R_ID("id"),
	R_ID("source"),
	{.field = "fingerprint", .type = HEX16, .required = true},
	R_ANY("status"),
	R_TEXT("name", WIRE_TITLE_MAX),
	R_ANY("severity"),
	R_MANY("labels", WIRE_LABELS_MAX),
	R_MANY("annotations", WIRE_LABELS_MAX),
	R_TIME("starts_at_ms"),
	R_TIME("ends_at_ms"),
	R_TEXT("partition_key", WIRE_LABEL_VALUE_MAX),
	R_TEXT("generator_url", URL_MAX),
	R_TEXT("summary", WIRE_LINE_MAX),
	R_COUNT("truncated"),
	R_TEXT("raw_id", ID_TEXT_MAX),
	R_ANY("trusted"),
	R_ANY("covers"),
	R_ANY("command"),
};
static const struct wire_rule command_rules[] = {
	R_ID("id"),      R_ID("verb"), R_TEXT("text", WIRE_LINE_MAX), R_TEXT("by", NAME_MAX_BYTES),
	R_TIME("at_ms"),
};
static const struct wire_rule incident_rules[] = {
	R_ID("id"),
	R_ID("key"),
	R_ANY("state"),
	R_COUNT("revision"),
	R_TEXT("title", WIRE_TITLE_MAX),
	R_ANY("severity"),
	R_MANY("labels", WIRE_LABELS_MAX),
	R_MANY("events", WIRE_EVENTS_MAX),
	R_COUNT("firing"),
	R_COUNT("fingerprints"),
	R_COUNT("observations"),
	R_TIME("opened_at_ms"),
	R_TIME("updated_at_ms"),
	R_TIME("resolved_at_ms"),
	R_TEXT("reason", WIRE_REASON_MAX),
	R_TEXT("suppressed_by", NAME_MAX_BYTES),
	R_ANY("trusted"),
	R_NUM("partition", 0, PARTITIONS - 1),
	R_MANY("tried", WIRE_ATTEMPTS_MAX),
	R_TOKEN("set_by"),
	R_ANY("command"),
};
static const struct wire_rule attempt_rules[] = {
	R_COUNT("number"),
	R_TOKEN("plan_id"),
	R_TEXT("runbook", NAME_MAX_BYTES),
	R_ANY("verdict"),
	R_TEXT("reason", WIRE_REASON_MAX),
	R_TEXT("what", WIRE_TEXT_MAX),
	R_TOKEN("specialist"),
	R_TOKEN("failure_type"),
	R_TEXT("detail", WIRE_DETAIL_MAX),
	R_TEXT("edits", WIRE_EDITS_SHORT_MAX),
	R_ANY("provenance"),
};
static const struct wire_rule param_rules[] = {
	{.field = "name", .type = PARAM_NAME, .required = true},
	R_TEXT("string_value", WIRE_LABEL_VALUE_MAX),
	R_NUM("int_value", INT64_MIN, INT64_MAX),
	R_ANY("bool_value"),
	{.field = "double_value", .type = REAL, .min = INT64_MIN, .max = INT64_MAX},
	R_TEXT("text_value", WIRE_PATCH_MAX),
};
static const struct wire_rule check_rules[] = {
	R_ID("tool"),
	R_TOKEN("target"),
	R_MANY("params", WIRE_PARAMS_MAX),
	R_NUM("deadline_ms", 0, 3600000),
	R_NUM("interval_ms", 100, 60000),
};
static const struct wire_rule step_rules[] = {
	R_ID("tool"),
	R_TOKEN("target"),
	R_MANY("params", WIRE_PARAMS_MAX),
	R_NUM("timeout_ms", 0, DAY_MS),
	R_ANY("verify"),
	R_ANY("rollback"),
	R_ANY("idempotent"),
	R_ANY("keep_going"),
};
static const struct wire_rule rollback_rules[] = {
	R_ID("tool"),
	R_TOKEN("target"),
	R_MANY("params", WIRE_PARAMS_MAX),
	R_NUM("timeout_ms", 0, DAY_MS),
};
static const struct wire_rule plan_rules[] = {
	R_ID("id"),
	R_ID("incident"),
	R_TOKEN("incident_key"),
	R_NUM("attempt", 1, MANY),
	R_NUM("max_attempts", 0, MANY),
	R_ANY("provenance"),
	R_TEXT("runbook", NAME_MAX_BYTES),
	R_HEX16("runbook_digest"),
	R_TEXT("why", WHY_MAX),
	R_SHARE("confidence"),
	{.field = "steps", .type = ANY, .count_max = WIRE_STEPS_MAX, .required = true},
	R_ANY("verify"),
	R_TIME("created_at_ms"),
	R_TIME("not_after_ms"),
	R_MANY("labels", WIRE_LABELS_MAX),
	R_ANY("severity"),
	R_ANY("trusted"),
	R_MANY("tried", WIRE_ATTEMPTS_MAX),
	R_TOKEN("undoes"),
	R_TEXT("requested_by", NAME_MAX_BYTES),
	R_ANY("rollback_on_failure"),
	R_TOKEN("specialist"),
	R_TOKEN("failure_type"),
	R_TOKEN("diagnosis"),
	R_TOKEN("memory"),
};
static const struct wire_rule approval_rules[] = {
	R_ID("id"),
	R_ID("incident"),
	R_ID("plan_id"),
	R_DIGEST("plan_digest"),
	R_COUNT("plan_seq"),
	R_ANY("level"),
	R_TEXTS("reasons", WIRE_REASON_MAX, 64),
	R_TEXTS("rendered", WIRE_TEXT_MAX, WIRE_STEPS_MAX),
	R_TEXTS("rollback", WIRE_TEXT_MAX, WIRE_STEPS_MAX),
	R_TIME("asked_at_ms"),
	R_TIME("deadline_ms"),
	R_TEXT("executor", NAME_MAX_BYTES),
};
static const struct wire_rule decision_rules[] = {
	R_ID("id"),
	R_ID("incident"),
	R_ID("plan_id"),
	R_DIGEST("plan_digest"),
	R_COUNT("plan_seq"),
	R_TOKEN("approval"),
	R_ANY("verdict"),
	R_TEXT("by", NAME_MAX_BYTES),
	R_TEXT("channel", NAME_MAX_BYTES),
	R_TEXT("reason", WIRE_REASON_MAX),
	R_TIME("at_ms"),
	R_TIME("deadline_ms"),
	R_HEX16("key_id"),
	{.field = "signature", .type = BYTES, .min = 64, .max = 64},
	{.field = "shown_digest", .type = BYTES, .min = DIGEST_BYTES, .max = DIGEST_BYTES},
};
static const struct wire_rule step_report_rules[] = {
	R_ID("incident"),
	R_ID("plan_id"),
	R_ID("step_id"),
	R_NUM("index", 0, MANY),
	R_ANY("phase"),
	R_ANY("state"),
	R_TOKEN("tool"),
	R_TOKEN("target"),
	R_NUM("exit_code", INT32_MIN, INT32_MAX),
	R_TEXT("output", WIRE_OUTPUT_MAX),
	R_ANY("output_truncated"),
	R_TEXT("reason", WIRE_REASON_MAX),
	R_TEXT("rendered", WIRE_TEXT_MAX),
	R_TIME("started_at_ms"),
	R_TIME("ended_at_ms"),
	R_TEXT("executor", NAME_MAX_BYTES),
	R_TEXT("patch", WIRE_PATCH_MAX),
	R_TEXT("url", URL_MAX),
	R_ANY("not_tried"),
};
static const struct wire_rule change_rules[] = {
	R_ID("id"),      R_TOKEN("tool"), R_TOKEN("target"),    R_TEXT("what", WIRE_TEXT_MAX),
	R_TIME("at_ms"), R_ANY("undo"),   R_TOKEN("undone_by"),
};
static const struct wire_rule outcome_rules[] = {
	R_ID("id"),
	R_ID("incident"),
	R_TOKEN("incident_key"),
	R_ID("plan_id"),
	R_DIGEST("plan_digest"),
	R_NUM("attempt", 0, MANY),
	R_ANY("verdict"),
	R_TEXT("reason", WIRE_REASON_MAX),
	R_MANY("steps", (size_t)4 * WIRE_STEPS_MAX),
	R_MANY("changes", WIRE_STEPS_MAX),
	R_TIME("started_at_ms"),
	R_TIME("ended_at_ms"),
	R_TEXT("executor", NAME_MAX_BYTES),
	R_TEXT("runbook", NAME_MAX_BYTES),
	R_ANY("decision"),
};
static const struct wire_rule evidence_rules[] = {
	R_TOKEN("source"), R_COUNT("line"),  R_TEXT("text", WIRE_OUTPUT_SHORT_MAX),
	R_TOKEN("rule"),   R_REAL("weight"),
};
static const struct wire_rule candidate_rules[] = {
	R_ID("failure_type"),
	R_TOKEN("specialist"),
	R_SHARE("confidence"),
};
static const struct wire_rule recalled_rules[] = {
	R_ID("incident"),
	R_SHARE("similarity"),
	R_TOKEN("failure_type"),
	R_TOKEN("specialist"),
	R_TEXT("what", WIRE_LINE_MAX),
	R_ANY("healed"),
	R_MANY("steps", WIRE_STEPS_MAX),
	R_COUNT("took_ms"),
};
static const struct wire_rule diagnosis_rules[] = {
	R_TOKEN("failure_type"),
	R_TOKEN("specialist"),
	R_SHARE("confidence"),
	R_MANY("evidence", WIRE_EVIDENCE_MAX),
	R_MANY("considered", WIRE_CANDIDATES_MAX),
	R_TEXT("route", WIRE_LINE_MAX),
	R_TEXTS("gathered", WIRE_LINE_MAX, WIRE_SOURCES_MAX),
	R_TEXTS("missing", WIRE_LINE_MAX, WIRE_SOURCES_MAX),
	R_MANY("recalled", WIRE_RECALLED_MAX),
	R_TEXT("proposal", WIRE_PATCH_MAX),
	R_TOKEN("exchange"),
	R_TEXT("reason", WIRE_REASON_MAX),
	R_TEXT("task", WIRE_PROMPT_MAX),
};
static const struct wire_rule model_rules[] = {
	R_ID("id"),
	R_ID("incident"),
	R_TEXT("provider", NAME_MAX_BYTES),
	R_TEXT("model", NAME_MAX_BYTES),
	R_TEXT("purpose", NAME_MAX_BYTES),
	R_TEXT("prompt", WIRE_PROMPT_MAX),
	R_TEXT("answer", WIRE_PATCH_MAX),
	R_TEXT("error", WIRE_REASON_MAX),
	R_COUNT("prompt_tokens"),
	R_COUNT("answer_tokens"),
	R_COUNT("cost_micro_usd"),
	R_TIME("started_at_ms"),
	R_NUM("took_ms", 0, DAY_MS),
	R_ANY("cached"),
	R_ANY("state"),
	R_TOKEN("ask"),
	R_NUM("attempt", 0, MANY),
	R_ANY("subject"),
	R_ANY("diagnosis"),
	R_NUM("budget_permille", 0, 1000),
	R_ANY("left_alone"),
};
static const struct wire_rule notice_rules[] = {
	R_ID("id"),
	R_ID("incident"),
	R_TEXT("channel", NAME_MAX_BYTES),
	R_TOKEN("kind"),
	R_ANY("state"),
	R_TEXT("subject", WIRE_TITLE_MAX),
	R_TEXT("text", WIRE_TEXT_MAX),
	R_COUNT("attempts"),
	R_TEXT("error", WIRE_REASON_MAX),
	R_TIME("at_ms"),
	R_TOKEN("approval"),
	{.field = "incidents", .type = TOKEN, .count_max = MANY},
	R_TEXT("ref", WIRE_REF_MAX),
	R_TEXT("update_of", WIRE_REF_MAX),
	R_ANY("repeated"),
	{.field = "to", .type = TOKEN, .count_max = MANY},
	R_ANY("severity"),
	R_MANY("labels", WIRE_LABELS_MAX),
};
static const struct wire_rule matcher_rules[] = {
	{.field = "name", .type = LABEL_NAME, .required = true},
	R_ANY("op"),
	R_TEXT("value", WIRE_LABEL_VALUE_MAX),
};
static const struct wire_rule silence_rules[] = {
	R_ID("id"),
	R_MANY("matchers", WIRE_LABELS_MAX),
	R_TIME("starts_at_ms"),
	R_TIME("ends_at_ms"),
	R_TEXT("created_by", NAME_MAX_BYTES),
	R_TEXT("comment", WIRE_REASON_MAX),
};
static const struct wire_rule tool_rules[] = {
	R_ID("name"),
	R_TEXT("summary", WIRE_LINE_MAX),
	R_ANY("level"),
	R_TOKEN("runner"),
	R_TEXTS("params", NAME_MAX_BYTES, WIRE_PARAMS_MAX),
	R_ANY("can_undo"),
};
static const struct wire_rule control_rules[] = {
	R_ID("id"),
	R_ANY("kind"),
	R_TEXT("by", NAME_MAX_BYTES),
	R_TEXT("reason", WIRE_REASON_MAX),
	R_TIME("at_ms"),
	R_ANY("silence"),
	R_TOKEN("change"),
	R_TOKEN("incident"),
	R_MANY("tools", MANY),
	R_TEXT("executor", NAME_MAX_BYTES),
	R_ANY("tick"),
	R_TOKEN("approval"),
	R_ANY("held"),
	R_TEXT("channel", NAME_MAX_BYTES),
	R_ANY("false_alarm"),
	R_ANY("health"),
	R_ANY("call"),
	R_ANY("trusted"),
	R_HEX16("key_id"),
	{.field = "signature", .type = BYTES, .min = 64, .max = 64},
	R_ANY("duty"),
};
static const struct wire_rule duty_rules[] = {
	R_TEXT("rotation", NAME_MAX_BYTES),
	R_TEXT("person", NAME_MAX_BYTES),
	R_TIME("from_ms"),
	R_TIME("until_ms"),
};
static const struct wire_rule health_rules[] = {
	R_COUNT("dead_seq"),
	R_COUNT("behind"),
	R_TEXT("slowest", NAME_MAX_BYTES),
	R_TEXTS("channels", NAME_MAX_BYTES, WIRE_LABELS_MAX),
};
static const struct wire_rule tick_rules[] = {
	R_ID("stage"),
	R_TIME("due_ms"),
	R_TIME("at_ms"),
};
static const struct wire_rule dead_rules[] = {
	R_TEXT("id", ID_TEXT_MAX),
	R_ID("stage"),
	R_TEXT("subject", SUBJECT_MAX),
	R_COUNT("seq"),
	R_TEXT("message_id", ID_TEXT_MAX),
	R_TEXT("error", WIRE_REASON_MAX),
	R_TIME("at_ms"),
	{.field = "data", .type = BYTES, .max = WIRE_MESSAGE_MAX_BYTES},
	R_TEXT("content_type", SUBJECT_MAX),
};

static const struct wire_rules all[] = {
#define MESSAGE(name, rules)                                                                       \
	{                                                                                          \
		&healbus__##name##__descriptor, rules, ARRAY_SIZE(rules)                           \
	}
	MESSAGE(label, label_rules),
	MESSAGE(event, event_rules),
	MESSAGE(command, command_rules),
	MESSAGE(incident, incident_rules),
	MESSAGE(attempt, attempt_rules),
	MESSAGE(param, param_rules),
	MESSAGE(check, check_rules),
	MESSAGE(step, step_rules),
	MESSAGE(rollback, rollback_rules),
	MESSAGE(plan, plan_rules),
	MESSAGE(approval_request, approval_rules),
	MESSAGE(decision, decision_rules),
	MESSAGE(step_report, step_report_rules),
	MESSAGE(change, change_rules),
	MESSAGE(outcome, outcome_rules),
	MESSAGE(evidence, evidence_rules),
	MESSAGE(candidate, candidate_rules),
	MESSAGE(recalled, recalled_rules),
	MESSAGE(diagnosis, diagnosis_rules),
	MESSAGE(model_exchange, model_rules),
	MESSAGE(notice, notice_rules),
	MESSAGE(matcher, matcher_rules),
	MESSAGE(silence, silence_rules),
	MESSAGE(tool_info, tool_rules),
	MESSAGE(control, control_rules),
	MESSAGE(tick, tick_rules),
	MESSAGE(health, health_rules),
	MESSAGE(duty, duty_rules),
	MESSAGE(dead, dead_rules),
#undef MESSAGE
};

const struct wire_rules *wire_rules_of(const ProtobufCMessageDescriptor *descriptor)
{
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].descriptor == descriptor)
			return &all[i];
	return NULL;
}
