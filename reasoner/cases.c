#include "reasoner/cases.h"

#include "reasoner/ask.h"
#include "reasoner/call.h"
#include "reasoner/case.h"
#include "reasoner/effect.h"
#include "reasoner/feedback.h"
#include "reasoner/lesson.h"
#include "reasoner/memory/memory.h"
#include "reasoner/plan.h"
#include "reasoner/queue.h"
#include "reasoner/repair.h"
#include "reasoner/memory/statistics.h"
#include "reasoner/undo.h"

const struct store_table table_cases = {"cases", 2};
const struct store_table table_incidents = {"incidents", 1};
const struct store_table table_effects = {"effects", 1};
const struct store_table table_plans = {"plans", 1};
const struct store_table table_queue = {"queue", 1};
const struct store_table table_changes = {"changes", 1};
const struct store_table table_storm = {"storm", 1};
const struct store_table table_details = {"details", 1};
const struct store_table table_catalogue = {"catalogue", 1};
const struct store_table table_diagnoses = {"diagnoses", 1};
const struct store_table table_last_plans = {"last_plans", 1};
const struct store_table table_patches = {"patches", 1};

static const struct store_table *const tables[] = {
	&table_cases,      &table_incidents, &table_effects, &table_plans,      &table_queue,
	&table_changes,    &table_storm,     &table_details, &table_catalogue,  &table_diagnoses,
	&table_last_plans, &table_patches,   MEMORY_TABLES,  STATISTICS_TABLES,
};

/* ---- timers by name ---- */

static const char *timer_key(char out[static 256], const char *prefix, const char *id)
{
	snprintf(out, 256, "%s%s", prefix, id);
	return out;
}

void desk_timer(struct desk *d, const char *prefix, const char *id, int64_t due_ms)
{
	char key[256];
	fold_timer_set(d->f, timer_key(key, prefix, id), due_ms);
}

void desk_timer_cancel(struct desk *d, const char *prefix, const char *id)
{
	char key[256];
	fold_timer_cancel(d->f, timer_key(key, prefix, id));
}

/* ---- incidents ---- */

/* What we know goes over into what the monitor says. */
static int incident_case(struct desk *d, const Healbus__Incident *said, struct case_file *out,
			 bool *out_was_open)
{
	Healbus__Incident *copy = arena_alloc(&d->arena, sizeof(*copy));
	*copy = *said;
	copy->tried = NULL;
	copy->n_tried = 0;
	*out = (struct case_file){0};
	int rc = case_load(d, said->id, out);
	*out_was_open = rc == 0 && case_is_open(out);
	if (rc == 0 && said->revision <= out->incident->revision)
		return ERR_EXISTS;
	if (rc == 0) {
		copy->tried = out->incident->tried;
		copy->n_tried = out->incident->n_tried;
	}
	out->incident = copy;
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* What a person said where the failure is discussed; a push of theirs means: I have it. */
static const struct {
	const char *verb;
	enum case_event event;
} commands[] = {
	{"fix", CASE_RETRY},
	{"retry", CASE_RETRY},
	{"stop", CASE_TAKEN},
	{"push", CASE_TAKEN},
};

/* A push to a pull request's branch says that somebody works there; a default branch gets pushes
 * all the time. */
static bool command_counts(const struct case_file *c, const char *verb)
{
	return !str_eq(verb, "push") || incident_says(c->incident, "pr") != NULL;
}

/* Is there one that was not followed yet? */
static bool command_take(struct case_file *c, enum case_event *out)
{
	const Healbus__Command *command = c->incident->command;
	if (!command || str_eq(command->id, c->row.command))
		return false;
	snprintf(c->row.command, sizeof(c->row.command), "%s", command->id);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!str_eq(commands[i].verb, command->verb) || !command_counts(c, command->verb))
			continue;
		*out = commands[i].event;
		return true;
	}
	return false;
}

static int case_resolved(struct desk *d, struct case_file *c)
{
	desk_timer(d, TIMER_FORGET, c->incident->id,
		   fold_now_ms(d->f) + d->settings->case_retain_ms);
	return lesson_learn(d, c);
}

/* It was open before, and something about it is new. */
static int case_updated(struct desk *d, struct case_file *c)
{
	enum case_event command;
	if (command_take(c, &command))
		return case_event(d, c, command);
	if (ask_is_outdated(c))
		return case_event(d, c, CASE_STILL_FIRING);
	case_save(d, c);
	return 0;
}

static int apply_incident(struct desk *d, const struct fold_input *in)
{
	const Healbus__Incident *said = (const Healbus__Incident *)in->msg;
	struct case_file c;
	bool was_open;
	if (said->set_by && str_eq(said->set_by, fold_definition(d->f)->name))
		return 0;
	int rc = incident_case(d, said, &c, &was_open);
	if (rc)
		return rc == ERR_EXISTS ? 0 : rc;
	if (said->state == HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED)
		rc = case_resolved(d, &c);
	else
		desk_timer_cancel(d, TIMER_FORGET, said->id);
	if (rc)
		return rc;
	if (!case_is_open(&c))
		return case_event(d, &c, CASE_CLOSED);
	if (was_open)
		return case_updated(d, &c);
	enum case_event event = CASE_OPEN;
	command_take(&c, &event);
	c.row.since_ms = fold_now_ms(d->f);
	return case_event(d, &c, event);
}

/* ---- outcomes ---- */

static const enum case_event verdict_events[] = {
	[HEALBUS__VERDICT__VERDICT_UNKNOWN] = CASE_FAILED,
	[HEALBUS__VERDICT__VERDICT_HEALED] = CASE_FIXED,
	[HEALBUS__VERDICT__VERDICT_FAILED] = CASE_FAILED,
	[HEALBUS__VERDICT__VERDICT_ROLLED_BACK] = CASE_FAILED,
	[HEALBUS__VERDICT__VERDICT_REFUSED] = CASE_STOPPED,
	[HEALBUS__VERDICT__VERDICT_DENIED] = CASE_STOPPED,
	[HEALBUS__VERDICT__VERDICT_EXPIRED] = CASE_EXPIRED,
	[HEALBUS__VERDICT__VERDICT_OBSERVED] = CASE_OBSERVED,
	[HEALBUS__VERDICT__VERDICT_ROLLBACK_FAILED] = CASE_STOPPED,
};

struct ended {
	Healbus__Verdict verdict;
	const char *reason;
	enum case_event event;
};

static void note_attempt(struct desk *d, struct case_file *c, const Healbus__Plan *plan,
			 const struct ended *how)
{
	Healbus__Attempt *a = arena_alloc(&d->arena, sizeof(*a));
	healbus__attempt__init(a);
	SET(a, number, plan->attempt);
	SET(a, verdict, how->verdict);
	a->plan_id = plan->id;
	a->runbook = plan->runbook;
	a->reason = wire_text(&d->arena, how->reason, strlen(how->reason), WIRE_REASON_MAX);
	a->what = plan_summary(d, plan);
	a->specialist = plan->specialist;
	a->failure_type = plan->failure_type;
	if (plan->has_provenance)
		SET(a, provenance, plan->provenance);
	a->detail = detail_get(d, plan->id);
	a->edits = plan_edits(d, plan);
	case_tried(d, c, a);
}

/* The case of the plan, if it still waits for this plan. */
static int case_of_plan(struct desk *d, const Healbus__Plan *plan, struct case_file *out)
{
	int rc = case_load(d, plan->incident, out);
	return !rc && !str_eq(out->row.plan, plan->id) ? ERR_NOT_FOUND : rc;
}

static int case_ended(struct desk *d, struct case_file *c, const Healbus__Plan *plan,
		      const struct ended *how)
{
	c->row.plan[0] = 0;
	if (how->event == CASE_FIXED && patch_get(d, plan, &d->patch, &d->answer) == 0)
		return case_event(d, c, CASE_PATCHED);
	d->reason = how->reason;
	if (how->event != CASE_UNTRIED && how->event != CASE_SAID)
		note_attempt(d, c, plan, how);
	return case_event(d, c, how->event);
}

static int case_plan_ended(struct desk *d, const Healbus__Plan *plan, const struct ended *how)
{
	struct case_file c;
	char waiting[TOKEN_MAX + 8];
	int rc = effect_plan_ended(d, plan, waiting);
	if (rc)
		return rc;
	rc = case_of_plan(d, plan, &c);
	if (rc == 0)
		rc = case_ended(d, &c, plan, how);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	rc = waiting[0] ? case_load(d, waiting, &c) : ERR_NOT_FOUND;
	if (rc == 0 && c.row.phase == CASE_COOLING)
		rc = case_event(d, &c, CASE_DUE);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int plan_ended(struct desk *d, const Healbus__Plan *plan, const struct ended *how)
{
	bool undo = plan->provenance == HEALBUS__PROVENANCE__PROVENANCE_UNDO;
	int rc = 0;
	plan_close(d, plan);
	if (undo)
		rc = undo_ended(d, plan, how->event == CASE_FIXED, how->reason);
	else if (plan->provenance != HEALBUS__PROVENANCE__PROVENANCE_AGENT)
		rc = case_plan_ended(d, plan, how);
	detail_drop(d, plan->id);
	return rc ? rc : queue_release(d);
}

/* A step was started, nobody knows how it ended, no check has looked, and once more could do harm.
 */
static bool needs_a_human(const Healbus__Plan *plan, const Healbus__Outcome *o)
{
	bool open = false, checked = false;
	for (size_t i = 0; i < o->n_steps; i++) {
		const Healbus__StepReport *r = o->steps[i];
		checked |= r->phase == HEALBUS__PHASE__PHASE_VERIFY;
		open |= r->phase == HEALBUS__PHASE__PHASE_ACT &&
			r->state == HEALBUS__STEP_STATE__STEP_UNKNOWN && r->index < plan->n_steps &&
			!plan->steps[r->index]->idempotent;
	}
	return o->verdict == HEALBUS__VERDICT__VERDICT_UNKNOWN && open && !checked;
}

static enum case_event event_of(const Healbus__Plan *plan, const Healbus__Outcome *o)
{
	if (needs_a_human(plan, o))
		return CASE_STOPPED;
	if (outcome_untried(o))
		return CASE_UNTRIED;
	if (plan_only_says(plan) && o->verdict == HEALBUS__VERDICT__VERDICT_HEALED)
		return CASE_SAID;
	/* Saying it again would not go better, and nobody's fix has failed. */
	if (plan_only_says(plan) && o->verdict == HEALBUS__VERDICT__VERDICT_FAILED)
		return CASE_STOPPED;
	return verdict_events[o->verdict];
}

static const char *reason_of(struct desk *d, const Healbus__Plan *plan, const Healbus__Outcome *o)
{
	const char *url = o->n_steps ? o->steps[0]->url : NULL;
	if (plan_only_says(plan) && o->verdict == HEALBUS__VERDICT__VERDICT_HEALED)
		return arena_printf(&d->arena,
				    "nothing is pushed to a fork; a comment on its pull request "
				    "says what was found%s%s",
				    url ? ": " : "", url ? url : "");
	return o->reason && *o->reason
		       ? o->reason
		       : wire_enum_name(&healbus__verdict__descriptor, (int)o->verdict);
}

static int apply_outcome(struct desk *d, const struct fold_input *in)
{
	const Healbus__Outcome *o = (const Healbus__Outcome *)in->msg;
	Healbus__Plan *plan = NULL;
	/* A rehearsal is not the end of its plan. */
	if ((size_t)o->verdict >= ARRAY_SIZE(verdict_events))
		return 0;
	int rc = plan_load(d, o->plan_id, &plan);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (plan && !str_eq(plan->incident, o->incident))
		return why_set(d->why, ERR_INVALID, "outcome.incident: plan %s belongs to %s",
			       plan->id, plan->incident);
	rc = changes_record(d, o);
	if (!rc && plan)
		rc = lesson_outcome(d, plan, o);
	if (rc || !plan)
		return rc;
	const struct ended how = {
		.verdict = o->verdict,
		.reason = reason_of(d, plan, o),
		.event = event_of(plan, o),
	};
	return plan_ended(d, plan, &how);
}

/* Somebody works on it: the wait for the outcome starts anew. */
static int apply_step(struct desk *d, const struct fold_input *in)
{
	const Healbus__StepReport *s = (const Healbus__StepReport *)in->msg;
	Healbus__Plan *plan = NULL;
	struct case_file c;
	int rc = plan_load(d, s->plan_id, &plan);
	if (!rc)
		rc = case_of_plan(d, plan, &c);
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	int64_t late = MAX(in->message_ms, plan->not_after_ms) + plan_patience_ms(d, plan);
	c.row.late_ms = MAX(late, c.row.late_ms);
	c.row.started |= s->state == HEALBUS__STEP_STATE__STEP_STARTED;
	desk_timer(d, TIMER_LATE, plan->id, c.row.late_ms);
	if (s->state == HEALBUS__STEP_STATE__STEP_FAILED)
		detail_keep(d, plan->id, s);
	patch_keep(d, plan, s);
	case_save(d, &c);
	return 0;
}

/* ---- controls ---- */

static int apply_control(struct desk *d, const struct fold_input *in)
{
	const Healbus__Control *control = (const Healbus__Control *)in->msg;
	struct case_file c;
	if (control->kind == HEALBUS__CONTROL_KIND__CONTROL_UNDO)
		return undo_request(d, control);
	if (control->kind == HEALBUS__CONTROL_KIND__CONTROL_FEEDBACK)
		return feedback_apply(d, control);
	if (control->kind == HEALBUS__CONTROL_KIND__CONTROL_CALL)
		return call_request(d, control);
	if (control->kind == HEALBUS__CONTROL_KIND__CONTROL_CATALOGUE) {
		store_put_str(fold_txn(d->f), &table_catalogue, catalogue_row, in->data, in->len);
		return 0;
	}
	if (control->kind != HEALBUS__CONTROL_KIND__CONTROL_ACK || !control->incident)
		return 0;
	int rc = case_load(d, control->incident, &c);
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	return case_event(d, &c, CASE_TAKEN);
}

/* ---- diagnoses ---- */

static int apply_model(struct desk *d, const struct fold_input *in)
{
	const Healbus__ModelExchange *m = (const Healbus__ModelExchange *)in->msg;
	struct case_file c;
	if (m->state != HEALBUS__MODEL_STATE__MODEL_ANSWERED || !m->ask)
		return 0;
	int rc = case_load(d, m->incident, &c);
	if (rc || !str_eq(c.row.ask, m->ask))
		return rc == ERR_NOT_FOUND ? 0 : rc;
	d->answer = m;
	lesson_diagnosis(d, m);
	return case_event(d, &c, CASE_ANSWERED);
}

static int (*const appliers[KINDS])(struct desk *, const struct fold_input *) = {
	[KIND_INCIDENT] = apply_incident, [KIND_OUTCOME] = apply_outcome, [KIND_STEP] = apply_step,
	[KIND_MODEL] = apply_model,       [KIND_CONTROL] = apply_control,
};

static struct desk desk_open(struct fold *f, struct why *out_why)
{
	return (struct desk){
		.f = f,
		.settings = settings_of(fold_config(f)),
		.why = out_why,
	};
}

static int cases_apply(struct fold *f, const struct fold_input *in, struct why *out_why)
{
	struct desk d = desk_open(f, out_why);
	int rc = appliers[in->kind] ? appliers[in->kind](&d, in) : 0;
	arena_release(&d.arena);
	return rc;
}

/* ---- timers ---- */

static int timer_late(struct desk *d, const char *id)
{
	static const struct ended lost = {.verdict = HEALBUS__VERDICT__VERDICT_UNKNOWN,
					  .reason = "no outcome came",
					  .event = CASE_LATE};
	Healbus__Plan *plan = NULL;
	int rc = plan_load(d, id, &plan);
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	return plan_ended(d, plan, &lost);
}

static int timer_case(struct desk *d, const char *id, enum case_event event)
{
	struct case_file c;
	int rc = case_load(d, id, &c);
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	return case_event(d, &c, event);
}

static int timer_cool(struct desk *d, const char *id)
{
	return timer_case(d, id, CASE_DUE);
}

static int timer_settle(struct desk *d, const char *id)
{
	return timer_case(d, id, CASE_STILL_FIRING);
}

static int timer_answer(struct desk *d, const char *id)
{
	return timer_case(d, id, CASE_UNANSWERED);
}

static int timer_forget(struct desk *d, const char *id)
{
	case_delete(d, id);
	lesson_drop(d, id);
	return 0;
}

static const struct {
	const char *prefix;
	int (*fire)(struct desk *d, const char *id);
} timers[] = {
	{TIMER_LATE, timer_late},     {TIMER_COOL, timer_cool},    {TIMER_SETTLE, timer_settle},
	{TIMER_FORGET, timer_forget}, {TIMER_QUIET, effect_quiet}, {TIMER_CHANGE, change_forget},
	{TIMER_ANSWER, timer_answer},
};

static int cases_timer(struct fold *f, const char *key, struct why *out_why)
{
	struct desk d = desk_open(f, out_why);
	int rc = 0;
	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		if (str_starts(key, timers[i].prefix))
			rc = timers[i].fire(&d, key + strlen(timers[i].prefix));
	}
	arena_release(&d.arena);
	return rc;
}

const struct fold_def cases_fold = {
	.name = "reasoner",
	.stream = STREAM_STORY,
	.filter = "heal.>",
	.tables = tables,
	.n_tables = ARRAY_SIZE(tables),
	.apply = cases_apply,
	.timer = cases_timer,
};
