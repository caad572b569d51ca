#include "reasoner/plan.h"

enum { WHY_MAX = 4096 };

size_t plans_open(struct desk *d)
{
	return store_count(fold_txn(d->f), &table_plans);
}

int plan_load(struct desk *d, const char *id, Healbus__Plan **out)
{
	struct store_val val;
	ProtobufCMessage *msg = NULL;
	int rc = store_get_str(fold_txn(d->f), &table_plans, id, &val);
	if (!rc)
		rc = desk_unpack(d, KIND_PLAN, &val, &msg);
	if (!rc)
		*out = (Healbus__Plan *)msg;
	return rc;
}

void plan_close(struct desk *d, const Healbus__Plan *plan)
{
	store_del_str(fold_txn(d->f), &table_plans, plan->id);
	desk_timer_cancel(d, TIMER_LATE, plan->id);
}

static int64_t check_ms(const Healbus__Check *check)
{
	return check ? check->deadline_ms : 0;
}

int64_t plan_patience_ms(const struct desk *d, const Healbus__Plan *plan)
{
	int64_t ms = d->settings->outcome_grace_ms + check_ms(plan->verify);
	for (size_t i = 0; i < plan->n_steps; i++) {
		const Healbus__Step *s = plan->steps[i];
		ms += s->timeout_ms + check_ms(s->verify);
		ms += s->rollback ? s->rollback->timeout_ms : 0;
	}
	return ms;
}

void plan_send(struct desk *d, const Healbus__Plan *plan)
{
	auto_buf packed = {0};
	wire_pack(&plan->base, &packed);
	emit(d->f, KIND_PLAN, plan->incident, &plan->base);
	store_put_str(fold_txn(d->f), &table_plans, plan->id, buf_str(&packed), packed.len);
	desk_timer(d, TIMER_LATE, plan->id, plan->not_after_ms + plan_patience_ms(d, plan));
}

char *plan_summary(struct desk *d, const Healbus__Plan *plan)
{
	auto_buf text = {0};
	for (size_t i = 0; i < plan->n_steps; i++)
		buf_printf(&text, "%s%s(%s)", i ? ", " : "", plan->steps[i]->tool,
			   plan->steps[i]->target ? plan->steps[i]->target : "");
	return wire_text(&d->arena, buf_str(&text), text.len, WIRE_LINE_MAX);
}

const struct runbook *case_runbook(const struct desk *d, const struct case_file *c)
{
	return c->row.runbook[0] ? runbooks_find(d->settings->runbooks, c->row.runbook) : NULL;
}

/* The runbook's sentence, then what was tried before. */
static char *plan_why(struct desk *d, const struct case_file *c, const char *why)
{
	auto_buf text = {0};
	buf_add_str(&text, why);
	if (c->incident->n_tried)
		buf_add_str(&text, "\nTried before:");
	for (size_t i = 0; i < c->incident->n_tried; i++) {
		const Healbus__Attempt *a = c->incident->tried[i];
		buf_printf(&text, "\n%zu. %s: %s", i + 1, a->what ? a->what : a->runbook,
			   a->reason ? a->reason : "no reason given");
	}
	return wire_text(&d->arena, buf_str(&text), text.len, WHY_MAX);
}

/* Who told the machine to act, and so cannot be who allows it to; NULL: nobody did. */
static char *commander(const struct case_file *c)
{
	const Healbus__Command *command = c->incident->command;
	if (!command || !str_eq(command->id, c->row.command))
		return NULL;
	bool asks = str_eq(command->verb, "fix") || str_eq(command->verb, "retry");
	return asks ? command->by : NULL;
}

void plan_frame(struct desk *d, const struct case_file *c, Healbus__Provenance provenance,
		Healbus__Plan *plan)
{
	Healbus__Incident *i = c->incident;
	char id[ID_BYTES];
	char serial[16];
	snprintf(serial, sizeof(serial), "%u", c->row.serial + 1);
	id_make(id, "plan", i->id, serial,
		wire_enum_name(&healbus__provenance__descriptor, (int)provenance));
	healbus__plan__init(plan);
	plan->id = arena_strdup(&d->arena, id);
	plan->incident = i->id;
	plan->incident_key = i->key;
	SET(plan, attempt, c->row.attempt + 1);
	SET(plan, max_attempts, (uint32_t)d->settings->max_attempts);
	SET(plan, provenance, provenance);
	SET(plan, created_at_ms, fold_now_ms(d->f));
	SET(plan, not_after_ms, fold_now_ms(d->f) + d->settings->plan_ttl_ms);
	SET(plan, severity, i->severity);
	SET(plan, trusted, i->trusted);
	plan->labels = i->labels;
	plan->n_labels = i->n_labels;
	plan->tried = i->tried;
	plan->n_tried = i->n_tried;
	plan->requested_by = commander(c);
}

static void plan_head(struct desk *d, const struct case_file *c, const struct runbook *rb,
		      Healbus__Plan *plan)
{
	plan_frame(d, c, HEALBUS__PROVENANCE__PROVENANCE_RUNBOOK, plan);
	plan->runbook = arena_strdup(&d->arena, rb->name);
	plan->runbook_digest = arena_strdup(&d->arena, rb->digest);
	SET(plan, max_attempts, (uint32_t)rb->max_attempts);
	SET(plan, confidence, rb->confidence);
}

static int plan_build(struct desk *d, const struct case_file *c, const struct runbook *rb,
		      json_t *view, Healbus__Plan *plan, struct why *out_why)
{
	plan_head(d, c, rb, plan);
	int rc = runbook_render(rb, c->row.skip + c->row.attempt, view, &d->arena, plan, out_why);
	if (rc)
		return why_prefix(out_why, rc, "runbook %s", rb->name);
	plan->why = plan_why(d, c, plan->why);
	rc = wire_check(KIND_PLAN, &plan->base, out_why);
	return rc ? why_prefix(out_why, rc, "runbook %s", rb->name) : 0;
}

static int plan_try(struct desk *d, const struct case_file *c, const struct runbook *rb,
		    json_t *view, Healbus__Plan *plan, struct why *out_why)
{
	struct why why = {0};
	int rc = runbook_wanted(rb, view, &why);
	if (rc < 0)
		return why_set(out_why, rc, "runbook %s: when: %s", rb->name, why.text);
	return rc == 0 ? ERR_NOT_FOUND : plan_build(d, c, rb, view, plan, out_why);
}

/* The first that answers and can be rendered; *out_why keeps the first that could not. */
static const struct runbook *plan_choose(struct desk *d, const struct case_file *c, json_t *view,
					 Healbus__Plan *plan, struct why *out_why)
{
	const struct runbook *again = case_runbook(d, c);
	if (again)
		return plan_build(d, c, again, view, plan, out_why) ? NULL : again;
	for (size_t i = 0; i < runbooks_count(d->settings->runbooks); i++) {
		const struct runbook *rb = runbooks_at(d->settings->runbooks, i);
		struct why why = {0};
		if (!runbook_matches(rb, c->incident))
			continue;
		if (plan_try(d, c, rb, view, plan, &why) == 0)
			return rb;
		if (!out_why->text[0] && why.text[0])
			why_set(out_why, 0, "no runbook can answer: %s", why.text);
	}
	return NULL;
}

static void json_cleanup(json_t **json)
{
	json_decref(*json);
}

int plan_make(struct desk *d, struct case_file *c, struct why *out_why)
{
	Healbus__Plan plan = HEALBUS__PLAN__INIT;
	__attribute__((cleanup(json_cleanup))) json_t *view =
		runbook_view(c->incident, c->row.attempt + 1);
	const struct runbook *rb = plan_choose(d, c, view, &plan, out_why);
	if (!rb && !out_why->text[0])
		why_set(out_why, 0, "no runbook answers this incident");
	if (!rb)
		return ERR_NOT_FOUND;
	assert(plan.id);
	snprintf(c->row.runbook, sizeof(c->row.runbook), "%s", rb->name);
	snprintf(c->row.plan, sizeof(c->row.plan), "%s", plan.id);
	c->row.attempt++;
	c->row.serial++;
	c->row.started = 0;
	c->row.late_ms = plan.not_after_ms + plan_patience_ms(d, &plan);
	plan_send(d, &plan);
	return 0;
}
