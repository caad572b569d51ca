#include "notifier/projection.h"

static project *const projects[KINDS] = {
	[KIND_INCIDENT] = project_incident, [KIND_PLAN] = project_plan,
	[KIND_APPROVAL] = project_approval, [KIND_DECISION] = project_decision,
	[KIND_STEP] = project_step,         [KIND_OUTCOME] = project_outcome,
	[KIND_NOTICE] = project_notice,     [KIND_CONTROL] = project_control,
};

static const struct {
	char letter;
	on_timer *run;
} timers[] = {
	{'a', approval_deadline}, {'f', feedback_ask},    {'g', group_flush},   {'e', ladder_due},
	{'h', health_due},        {'r', incident_retire}, {'r', ladder_retire}, {'r', kpi_retire},
	{'s', silence_retire},    {'u', unsent_due},
};

static follow *const followers[] = {ladder_follow, kpi_follow, health_follow, tools_follow};

static bool is_machinery(const struct fold_input *in)
{
	static const char *const reserved[] = {"pause", "silence", "catalogue",
					       "tick",  "health",  "oncall"};
	for (size_t i = 0; i < ARRAY_SIZE(reserved) && in->kind == KIND_CONTROL; i++)
		if (str_eq(reserved[i], in->token))
			return true;
	return false;
}

static void story_add(struct fold *f, const struct fold_input *in)
{
	char timer[2 + TOKEN_MAX + 1];
	struct key key = key_story(in->token, in->seq);
	struct story_row row = {
		.id_hash = fnv1a(FNV_INIT, in->id, strlen(in->id)),
		.time_ms = in->message_ms,
		.kind = (uint32_t)in->kind,
	};
	store_put(fold_txn(f), &table_story, key.bytes, key.len, &row, sizeof(row));
	snprintf(timer, sizeof(timer), "r:%s", in->token);
	fold_timer_set(f, timer, fold_now_ms(f) + rules_of(fold_config(f))->retain_ms);
}

static int notifier_apply(struct fold *f, const struct fold_input *in, struct why *out_why)
{
	if (!is_machinery(in))
		story_add(f, in);
	project *run = projects[in->kind];
	int rc = run ? run(f, in, out_why) : 0;
	for (size_t i = 0; i < ARRAY_SIZE(followers) && !rc; i++)
		followers[i](f, in);
	return rc;
}

static int notifier_timer(struct fold *f, const char *key, struct why *out_why UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
		if (timers[i].letter == key[0])
			timers[i].run(f, key + 2);
	return 0;
}

static const struct store_table *const tables[] = {
	&table_incidents, &table_by_time,     &table_counts,          &table_story,
	&table_refs,      &table_plans,       &table_approvals,       &table_pending,
	&table_decisions, &table_changes,     &table_changes_by_time, &table_silences,
	&table_notices,   &table_notice_meta, &table_groups,          &table_items,
	&table_throttles, &table_machinery,   &table_briefs,          &table_votes,
	&table_feedback,  &table_messages,    &table_ladders,         &table_diagnoses,
	&table_kpis,      &table_health,      &table_unsent,
};

const struct fold_def notifier_fold = {
	.name = "notifier",
	.stream = STREAM_STORY,
	.filter = "heal.>",
	.tables = tables,
	.n_tables = ARRAY_SIZE(tables),
	.apply = notifier_apply,
	.timer = notifier_timer,
};
