#include "reasoner/ask.h"

#include "reasoner/escalate.h"
#include "reasoner/plan.h"
#include "reasoner/repair.h"

/* What a question may weigh: it must fit into one message with all that goes around it. */
enum { SUBJECT_MAX_BYTES = WIRE_MESSAGE_MAX_BYTES - (16 << 10), EVIDENCE_SHOWN = 3 };

bool ask_wanted(const struct desk *d, const struct case_file *c)
{
	const Healbus__Incident *i = c->incident;
	if (d->settings->diagnose == DIAGNOSE_REPOSITORIES)
		return label_get(i->labels, i->n_labels, "repository") != NULL;
	return d->settings->diagnose == DIAGNOSE_ALL;
}

const char *incident_says(const Healbus__Incident *i, const char *name)
{
	for (size_t n = i->n_events; n > 0; n--) {
		const Healbus__Event *e = i->events[n - 1];
		const char *value = label_get(e->annotations, e->n_annotations, name);
		if (value && *value)
			return value;
	}
	return NULL;
}

bool ask_is_outdated(const struct case_file *c)
{
	const char *sha = incident_says(c->incident, "sha");
	if (c->row.phase != CASE_HEALED || !c->row.sha[0] || !sha)
		return false;
	return strncmp(c->row.sha, sha, sizeof(c->row.sha) - 1) != 0;
}

/* The incident, with so many of its latest events that the whole can travel. */
static Healbus__Incident *subject_of(struct desk *d, const struct case_file *c)
{
	Healbus__Incident *subject = arena_alloc(&d->arena, sizeof(*subject));
	*subject = *c->incident;
	while (subject->n_events > 1 &&
	       protobuf_c_message_get_packed_size(&subject->base) > SUBJECT_MAX_BYTES) {
		subject->events++;
		subject->n_events--;
	}
	return subject;
}

int ask_workers(struct desk *d, struct case_file *c)
{
	Healbus__ModelExchange ask = HEALBUS__MODEL_EXCHANGE__INIT;
	const char *sha = incident_says(c->incident, "sha");
	char serial[16];
	char id[ID_BYTES];
	snprintf(serial, sizeof(serial), "%u", ++c->row.asked);
	id_make(id, "ask", c->incident->id, serial);
	ask.id = id;
	ask.incident = c->incident->id;
	ask.purpose = arena_strdup(&d->arena, "plan");
	ask.subject = subject_of(d, c);
	SET(&ask, state, HEALBUS__MODEL_STATE__MODEL_ASKED);
	SET(&ask, attempt, c->row.attempt + 1);
	SET(&ask, started_at_ms, fold_now_ms(d->f));
	emit(d->f, KIND_MODEL, c->incident->id, &ask.base);
	snprintf(c->row.ask, sizeof(c->row.ask), "%s", id);
	snprintf(c->row.sha, sizeof(c->row.sha), "%s", sha ? sha : "");
	c->row.phase = CASE_ASKING;
	desk_timer(d, TIMER_ANSWER, c->incident->id,
		   fold_now_ms(d->f) + d->settings->answer_timeout_ms);
	return 0;
}

/* ---- what comes of the answer ---- */

const char *evidence_line(const Healbus__Diagnosis *g, size_t n)
{
	for (size_t i = 0; i < g->n_evidence; i++) {
		const Healbus__Evidence *e = g->evidence[i];
		if (e->line > 0 && e->text && n-- == 0)
			return e->text;
	}
	return NULL;
}

/* "rust_test (rex, 93 %): error[E0308]: mismatched types": for people who must go on from here. */
static char *no_plan(struct desk *d, const Healbus__Diagnosis *g, const char *why)
{
	auto_buf text = {0};
	buf_add_str(&text, why);
	if (g->failure_type && !str_eq(g->failure_type, "unknown"))
		buf_printf(&text, "\nIt looks like %s (%s, %.0f %% sure)", g->failure_type,
			   g->specialist ? g->specialist : "nobody", g->confidence * 100);
	for (size_t i = 0; i < EVIDENCE_SHOWN && evidence_line(g, i); i++)
		buf_printf(&text, "\n  %s", evidence_line(g, i));
	for (size_t i = 0; i < g->n_missing; i++)
		buf_printf(&text, "\nNot to be had: %s", g->missing[i]);
	return wire_text(&d->arena, buf_str(&text), text.len, WIRE_REASON_MAX - 64);
}

static int tools_known(struct desk *d, struct proposal_rules *rules)
{
	struct store_val val;
	ProtobufCMessage *msg = NULL;
	int rc = store_get_str(fold_txn(d->f), &table_catalogue, catalogue_row, &val);
	if (!rc)
		rc = desk_unpack(d, KIND_CONTROL, &val, &msg);
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	const Healbus__Control *control = (const Healbus__Control *)msg;
	rules->tools = control->tools;
	rules->n_tools = control->n_tools;
	return 0;
}

static void plan_count(struct desk *d, struct case_file *c, const Healbus__Plan *plan)
{
	snprintf(c->row.plan, sizeof(c->row.plan), "%s", plan->id);
	c->row.attempt++;
	c->row.serial++;
	c->row.started = 0;
	c->row.late_ms = plan->not_after_ms + plan_patience_ms(d, plan);
	plan_send(d, plan);
}

/* The most alike incident whose fix can be done again and was not tried here yet. */
static const Healbus__Recalled *memory_of(const struct desk *d, const Healbus__Diagnosis *g)
{
	for (size_t i = 0; i < g->n_recalled; i++) {
		const Healbus__Recalled *r = g->recalled[i];
		if (r->healed && r->n_steps && r->similarity >= d->settings->recall_min)
			return r;
	}
	return NULL;
}

int answer_plan(struct desk *d, struct case_file *c, const char **out_reason)
{
	static Healbus__Diagnosis empty = HEALBUS__DIAGNOSIS__INIT;
	const Healbus__Diagnosis *g = d->answer->diagnosis ? d->answer->diagnosis : &empty;
	struct proposal_rules rules = {.incident = c->incident,
				       .ci_files = failure_is_of_ci(g->failure_type)};
	struct repair r = {.desk = d, .file = c, .diagnosis = g, .rules = &rules};
	Healbus__Plan plan = HEALBUS__PLAN__INIT;
	struct why why = {0};
	int rc = tools_known(d, &rules);
	if (rc)
		return rc;
	const Healbus__Recalled *memory = g->proposal ? NULL : memory_of(d, g);
	if (d->patch)
		rc = repair_patched(&r, d->patch, &plan, &why);
	else if (g->proposal)
		rc = repair_proposed(&r, &plan, &why);
	else if (memory && c->row.attempt == 0)
		rc = repair_recalled(&r, memory, &plan, &why);
	else if (g->task && d->settings->agent_tool)
		rc = repair_by_agent(&r, &plan, &why);
	else
		rc = why_set(&why, ERR_NOT_FOUND, "%s",
			     g->reason ? g->reason : "nothing is proposed");
	if (!rc)
		rc = wire_check(KIND_PLAN, &plan.base, &why);
	if (rc) {
		*out_reason = no_plan(d, g, why.text);
		return ERR_NOT_FOUND;
	}
	plan_count(d, c, &plan);
	return 0;
}

/* ---- what an attempt leaves for the next ---- */

void detail_keep(struct desk *d, const char *plan, const Healbus__StepReport *report)
{
	const char *text = report->output && *report->output ? report->output : report->reason;
	size_t len = text ? strlen(text) : 0;
	size_t skip = len > WIRE_DETAIL_MAX ? len - WIRE_DETAIL_MAX : 0;
	if (len)
		store_put_str(fold_txn(d->f), &table_details, plan, text + skip, len - skip);
}

void patch_keep(struct desk *d, const Healbus__Plan *plan, const Healbus__StepReport *report)
{
	bool agent = d->settings->agent_tool && report->tool &&
		     str_eq(report->tool, d->settings->agent_tool);
	if (agent && report->patch && report->state == HEALBUS__STEP_STATE__STEP_DONE)
		store_put_str(fold_txn(d->f), &table_patches, plan->id, report->patch,
			      strlen(report->patch));
}

int patch_get(struct desk *d, const Healbus__Plan *plan, const char **out,
	      const Healbus__ModelExchange **out_answer)
{
	struct store_val val;
	ProtobufCMessage *answer = NULL;
	int rc = store_get_str(fold_txn(d->f), &table_patches, plan->id, &val);
	if (rc)
		return rc;
	*out = wire_text(&d->arena, val.data, val.len, WIRE_PATCH_MAX);
	rc = store_get_str(fold_txn(d->f), &table_diagnoses, plan->incident, &val);
	if (!rc)
		rc = desk_unpack(d, KIND_MODEL, &val, &answer);
	*out_answer = (Healbus__ModelExchange *)answer;
	return rc;
}

void detail_drop(struct desk *d, const char *plan)
{
	store_del_str(fold_txn(d->f), &table_patches, plan);
	store_del_str(fold_txn(d->f), &table_details, plan);
}

char *detail_get(struct desk *d, const char *plan)
{
	struct store_val val;
	if (store_get_str(fold_txn(d->f), &table_details, plan, &val))
		return NULL;
	return wire_text(&d->arena, val.data, val.len, WIRE_DETAIL_MAX);
}

char *plan_edits(struct desk *d, const Healbus__Plan *plan)
{
	for (size_t i = 0; i < plan->n_steps; i++) {
		const Healbus__Step *s = plan->steps[i];
		for (size_t k = 0; k < s->n_params; k++) {
			const char *text = s->params[k]->text_value;
			if (text && str_eq(s->params[k]->name, "edits"))
				return wire_text(&d->arena, text, strlen(text),
						 WIRE_EDITS_SHORT_MAX);
		}
	}
	return NULL;
}
