#include "executor/report.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

int report_publish(const struct executor *ex, enum kind kind, const char *token,
		   const ProtobufCMessage *msg, const char *id, const char *cause,
		   struct why *out_why)
{
	char subject[SUBJECT_MAX + 1];
	auto_buf packed = {0};
	int rc = wire_check(kind, msg, out_why);
	if (rc)
		return rc;
	wire_pack(msg, &packed);
	struct bus_msg m = {.subject = subject_story(subject, kind, token),
			    .id = id,
			    .cause = cause && *cause ? cause : NULL,
			    .time_ms = clock_real_ms(),
			    .data = packed.data,
			    .len = packed.len};
	return bus_publish(ex->bus, &m, REPORT_TIMEOUT_MS, NULL, out_why);
}

/* ---- steps ---- */

Healbus__StepReport *report_new(const struct plan_run *run, const struct slot *slot,
				Healbus__StepState state, const char *reason)
{
	Healbus__StepReport *r = arena_alloc(run->arena, sizeof(*r));
	healbus__step_report__init(r);
	r->incident = run->plan->incident;
	r->plan_id = run->plan->id;
	r->step_id = arena_strdup(run->arena, slot->id);
	SET(r, index, (uint32_t)slot->index);
	SET(r, phase, slot->phase);
	SET(r, state, state);
	if (slot->action && slot->action->tool) {
		r->tool = arena_strdup(run->arena, slot->action->tool->name);
		r->target = arena_strdup(run->arena, slot->action->target->id);
		r->rendered = arena_strdup(run->arena, slot->action->text);
	}
	if (reason)
		r->reason = wire_text(run->arena, reason, strlen(reason), WIRE_REASON_MAX);
	SET(r, started_at_ms, clock_real_ms());
	r->executor = (char *)run->ex->instance;
	return r;
}

void report_set_result(const struct plan_run *run, Healbus__StepReport *r,
		       const struct action_result *result)
{
	static const Healbus__StepState states[] = {
		[ACTION_DONE] = HEALBUS__STEP_STATE__STEP_DONE,
		[ACTION_FAILED] = HEALBUS__STEP_STATE__STEP_FAILED,
		[ACTION_UNKNOWN] = HEALBUS__STEP_STATE__STEP_UNKNOWN};
	const char *text = buf_str(&result->output);
	size_t len = result->output.len;
	size_t cut = len > WIRE_OUTPUT_MAX / 2 ? len - WIRE_OUTPUT_MAX / 2 : 0;
	r->output = wire_text(run->arena, text + cut, len - cut, WIRE_OUTPUT_MAX);
	SET(r, output_truncated, cut > 0 || result->truncated);
	SET(r, state, states[result->end]);
	SET(r, exit_code, result->exit_code);
	SET(r, ended_at_ms, clock_real_ms());
	size_t patch_len = result->patch ? strlen(result->patch) : 0;
	if (patch_len && patch_len <= WIRE_PATCH_MAX)
		r->patch = wire_text(run->arena, result->patch, patch_len, WIRE_PATCH_MAX);
	if (result->not_tried)
		SET(r, not_tried, true);
	if (result->url)
		r->url = arena_strdup(run->arena, result->url);
	if (result->why.text[0])
		r->reason = wire_text(run->arena, result->why.text, strlen(result->why.text),
				      WIRE_REASON_MAX);
}

static void report_id(const Healbus__StepReport *r, char out[static BUS_ID_MAX])
{
	snprintf(out, BUS_ID_MAX, "%s:%s", r->step_id,
		 wire_enum_name(&healbus__step_state__descriptor, (int)r->state));
}

struct bus_pending *report_begin(const struct plan_run *run, const Healbus__StepReport *r)
{
	char subject[SUBJECT_MAX + 1], id[BUS_ID_MAX];
	auto_buf packed = {0};
	if (wire_check(KIND_STEP, &r->base, NULL))
		return NULL;
	wire_pack(&r->base, &packed);
	report_id(r, id);
	struct bus_msg m = {.subject = subject_story(subject, KIND_STEP, r->incident),
			    .id = id,
			    .cause = run->cause && *run->cause ? run->cause : NULL,
			    .time_ms = clock_real_ms(),
			    .data = packed.data,
			    .len = packed.len};
	return bus_publish_begin(run->ex->bus, &m);
}

int report_end(struct bus_pending *pending, struct why *out_why)
{
	return pending ? bus_publish_end(pending, REPORT_TIMEOUT_MS, out_why) : 0;
}

int report_send(const struct plan_run *run, const Healbus__StepReport *r, struct why *out_why)
{
	char id[BUS_ID_MAX];
	report_id(r, id);
	return report_publish(run->ex, KIND_STEP, r->incident, &r->base, id, run->cause, out_why);
}

void report_waiting(const struct plan_run *run, const struct slot *slot, const char *reason)
{
	char id[BUS_ID_MAX], hash[ID_BYTES];
	struct why why = {0};
	Healbus__StepReport *r = report_new(run, slot, HEALBUS__STEP_STATE__STEP_WAITING, reason);
	id_make(hash, "reason", reason);
	snprintf(id, sizeof(id), "%s:waiting:%s", slot->id, hash);
	if (report_publish(run->ex, KIND_STEP, r->incident, &r->base, id, run->cause, &why))
		LOG(WARN, "could not say that a step waits", S("plan", run->plan->id),
		    S("why", why.text));
}

void report_keep(struct plan_run *run, Healbus__StepReport *r)
{
	if (run->n_reports < RUN_REPORTS_MAX)
		run->reports[run->n_reports++] = r;
}

/* ---- asking ---- */

static char *ask_line(struct plan_run *run, const struct action *a)
{
	if (!a->tool)
		return arena_strdup(run->arena, "cannot be undone");
	return arena_printf(run->arena, "%s(%s): %s", a->tool->name, a->target->id, a->text);
}

/* What can be undone may wait for somebody to wake up. */
static int64_t patience_ms(const struct plan_run *run, const struct policy_result *policy)
{
	const struct executor_config *c = run->ex->config;
	bool soft = policy->level == HEALBUS__LEVEL__LEVEL_SOFT ||
		    policy->level == HEALBUS__LEVEL__LEVEL_NONE;
	return soft ? c->approval_deadline_soft_ms : c->approval_deadline_ms;
}

static Healbus__ApprovalRequest *ask_new(struct plan_run *run, const struct policy_result *policy)
{
	Healbus__ApprovalRequest *q = arena_alloc(run->arena, sizeof(*q));
	char *id = arena_alloc(run->arena, ID_BYTES);
	int64_t now = clock_real_ms();
	healbus__approval_request__init(q);
	id_make(id, "approval", run->digest_hex);
	q->id = id;
	q->incident = run->plan->incident;
	q->plan_id = run->plan->id;
	SET(q, plan_digest,
	    ((ProtobufCBinaryData){.data = run->digest, .len = sizeof(run->digest)}));
	SET(q, plan_seq, run->seq);
	SET(q, level, policy->level);
	SET(q, asked_at_ms, now);
	SET(q, deadline_ms, MIN(now + patience_ms(run, policy), run->plan->not_after_ms));
	q->executor = (char *)run->ex->instance;
	q->reasons = policy->reasons.items;
	q->n_reasons = MIN(policy->reasons.n, 64);
	return q;
}

static Healbus__ApprovalRequest *ask_fill(struct plan_run *run, const struct policy_result *policy)
{
	const struct prepared *p = &run->prepared;
	Healbus__ApprovalRequest *q = ask_new(run, policy);
	q->rendered = arena_alloc(run->arena, p->n * sizeof(char *));
	q->rollback = arena_alloc(run->arena, p->n * sizeof(char *));
	for (size_t i = 0; i < p->n; i++) {
		q->rendered[q->n_rendered++] = ask_line(run, &p->steps[i].act);
		q->rollback[q->n_rollback++] = ask_line(run, &p->steps[i].rollback);
	}
	return q;
}

bool report_as_shown(struct plan_run *run, const struct policy_result *policy)
{
	uint8_t now[DIGEST_BYTES];
	const ProtobufCBinaryData *shown = &run->decision->shown_digest;
	if (!run->decision->has_shown_digest)
		return true; /* of a notifier that did not say it yet */
	approval_digest(ask_fill(run, policy), now);
	return shown->len == sizeof(now) && digest_equal(now, shown->data, sizeof(now));
}

int report_ask(struct plan_run *run, const struct policy_result *policy, struct why *out_why)
{
	Healbus__ApprovalRequest *q = ask_fill(run, policy);
	return report_publish(run->ex, KIND_APPROVAL, q->incident, &q->base, q->id, run->cause,
			      out_why);
}

/* ---- changes ---- */

static bool is_duration(const struct tool *tool, const char *name)
{
	for (size_t i = 0; i < tool->params.n; i++)
		if (str_eq(tool->params.items[i].name, name))
			return tool->params.items[i].type == PARAM_DURATION;
	return false;
}

static Healbus__Param *param_from_json(struct arena *arena, const struct tool *tool,
				       const char *name, const json_t *value)
{
	if (json_is_string(value))
		return param_new_string(arena, name, json_string_value(value));
	if (json_is_integer(value) && is_duration(tool, name))
		return param_new_string(arena, name,
					arena_printf(arena, "%lldms", json_integer_value(value)));
	Healbus__Param *p = arena_alloc(arena, sizeof(*p));
	healbus__param__init(p);
	p->name = arena_strdup(arena, name);
	if (json_is_boolean(value))
		SET(p, bool_value, json_is_true(value));
	else
		SET(p, int_value, json_integer_value(value));
	return p;
}

static Healbus__Rollback *undo_of(struct plan_run *run, const struct action *undo)
{
	Healbus__Rollback *r = arena_alloc(run->arena, sizeof(*r));
	json_t *params = json_object_get(undo->input, "params");
	healbus__rollback__init(r);
	r->tool = arena_strdup(run->arena, undo->tool->name);
	r->target = arena_strdup(run->arena, undo->target->id);
	SET(r, timeout_ms, undo->timeout_ms);
	r->params = arena_alloc(run->arena, (json_object_size(params) + 1) * sizeof(*r->params));
	const char *name;
	json_t *value;
	json_object_foreach(params, name, value)
	{
		if (!json_is_null(value))
			r->params[r->n_params++] =
				param_from_json(run->arena, undo->tool, name, value);
	}
	return r;
}

void report_change(struct plan_run *run, const struct slot *slot, const struct action *undo)
{
	if (slot->action->level <= HEALBUS__LEVEL__LEVEL_NONE || run->n_changes == WIRE_STEPS_MAX)
		return;
	Healbus__Change *c = arena_alloc(run->arena, sizeof(*c));
	healbus__change__init(c);
	c->id = arena_strdup(run->arena, slot->id);
	c->tool = arena_strdup(run->arena, slot->action->tool->name);
	c->target = arena_strdup(run->arena, slot->action->target->id);
	c->what = arena_strdup(run->arena, slot->action->text);
	SET(c, at_ms, clock_real_ms());
	if (undo->tool)
		c->undo = undo_of(run, undo);
	run->changes[run->n_changes++] = c;
}

/* ---- the end ---- */

static void cut_field(struct plan_run *run, char **field, size_t max)
{
	if (*field && strlen(*field) > max)
		*field = wire_text(run->arena, *field, strlen(*field), max);
}

static void shorten(struct plan_run *run, size_t max)
{
	for (size_t i = 0; i < run->n_reports; i++) {
		cut_field(run, &run->reports[i]->output, max);
		cut_field(run, &run->reports[i]->rendered, max);
		cut_field(run, &run->reports[i]->reason, max);
		run->reports[i]->patch = NULL;
	}
	for (size_t i = 0; i < run->n_changes; i++)
		cut_field(run, &run->changes[i]->what, max);
}

Healbus__Outcome *report_outcome(struct plan_run *run, Healbus__Verdict verdict, const char *reason,
				 struct buf *out_packed)
{
	static const size_t limits[] = {WIRE_OUTPUT_SHORT_MAX, 256, 64, 16};
	Healbus__Outcome *o = arena_alloc(run->arena, sizeof(*o));
	healbus__outcome__init(o);
	o->id = run->outcome_id;
	o->incident = run->plan->incident;
	o->incident_key = run->plan->incident_key;
	o->plan_id = run->plan->id;
	o->runbook = run->plan->runbook;
	o->executor = (char *)run->ex->instance;
	o->decision = (Healbus__Decision *)run->decision;
	SET(o, plan_digest,
	    ((ProtobufCBinaryData){.data = run->digest, .len = sizeof(run->digest)}));
	SET(o, attempt, run->plan->attempt);
	SET(o, verdict, verdict);
	o->reason = wire_text(run->arena, reason, strlen(reason), WIRE_REASON_MAX);
	o->steps = run->reports;
	o->n_steps = run->n_reports;
	o->changes = run->changes;
	o->n_changes = run->n_changes;
	SET(o, started_at_ms, run->started_ms);
	SET(o, ended_at_ms, clock_real_ms());
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		shorten(run, limits[i]);
		buf_reset(out_packed);
		wire_pack(&o->base, out_packed);
		if (out_packed->len <= CLAIM_NOTE_MAX)
			break;
	}
	return o;
}

int report_outcome_send(const struct plan_run *run, const void *packed, size_t len,
			struct why *out_why)
{
	char subject[SUBJECT_MAX + 1], id[BUS_ID_MAX];
	snprintf(id, sizeof(id), "outcome:%s", run->outcome_id);
	struct bus_msg m = {.subject = subject_story(subject, KIND_OUTCOME, run->plan->incident),
			    .id = id,
			    .cause = run->cause && *run->cause ? run->cause : NULL,
			    .time_ms = clock_real_ms(),
			    .data = packed,
			    .len = len};
	return bus_publish(run->ex->bus, &m, REPORT_TIMEOUT_MS, NULL, out_why);
}

int report_audit(const struct plan_run *run, const char *what, const char *who, const char *text)
{
	struct why why = {0};
	struct audit_entry e = {.what = what,
				.incident = run->plan->incident,
				.plan = run->plan->id,
				.who = who,
				.text = text};
	int rc = journal_write(run->ex->journal, NULL, &e, &why);
	if (rc)
		LOG(ERROR, "audit record could not be written", S("what", what),
		    S("why", why.text));
	return rc;
}
