/* How far a plan is, told to an agent. */
#include "common/mem.h"
#include "executor/mcp/mcp_private.h"

const char mcp_outcome_tool[] = "healbus_outcome";

json_t *mcp_outcome_tool_json(void)
{
	return json_pack(
		"{s:s, s:s, s:{s:s, s:{s:{s:s, s:s}}, s:[s], s:b}, s:{s:b, s:b}}", "name",
		mcp_outcome_tool, "description", "How far an earlier call is. It reads only.",
		"inputSchema", "type", "object", "properties", "plan", "type", "string",
		"description", "structuredContent.plan of that call's result", "required", "plan",
		"additionalProperties", 0, "annotations", "readOnlyHint", 1, "openWorldHint", 0);
}

static json_t *content_of(const char *text)
{
	return json_pack("[{s:s, s:s}]", "type", "text", "text", text);
}

json_t *mcp_text_result(const char *text, bool is_error)
{
	return json_pack("{s:o, s:b}", "content", content_of(text), "isError", is_error);
}

enum { LOOK_OUTCOME, LOOK_APPROVAL, LOOK_DECISION, LOOK_STEP, LOOK_PLAN, LOOKS };

static const enum kind look_kinds[LOOKS] = {
	[LOOK_OUTCOME] = KIND_OUTCOME,   [LOOK_APPROVAL] = KIND_APPROVAL,
	[LOOK_DECISION] = KIND_DECISION, [LOOK_STEP] = KIND_STEP,
	[LOOK_PLAN] = KIND_PLAN,
};

/* The latest of each kind, NULL where it is of another plan. */
struct look {
	const struct mcp_call *call;
	struct arena arena;
	const Healbus__Outcome *outcome;
	const Healbus__ApprovalRequest *approval;
	const Healbus__Decision *decision;
	const Healbus__StepReport *step;
	bool known; /* the plan is the incident's latest */
	int rc;     /* the bus did not answer */
};

static bool is_ours(const struct look *l, const char *plan)
{
	return plan && str_eq(plan, l->call->plan);
}

static void take(struct look *l, ProtobufCMessage *const *msgs)
{
	const Healbus__Outcome *o = (const Healbus__Outcome *)msgs[LOOK_OUTCOME];
	const Healbus__ApprovalRequest *a = (const Healbus__ApprovalRequest *)msgs[LOOK_APPROVAL];
	const Healbus__Decision *d = (const Healbus__Decision *)msgs[LOOK_DECISION];
	const Healbus__StepReport *s = (const Healbus__StepReport *)msgs[LOOK_STEP];
	const Healbus__Plan *p = (const Healbus__Plan *)msgs[LOOK_PLAN];
	l->outcome = o && is_ours(l, o->plan_id) ? o : NULL;
	l->approval = a && is_ours(l, a->plan_id) ? a : NULL;
	l->decision = d && is_ours(l, d->plan_id) ? d : NULL;
	l->step = s && is_ours(l, s->plan_id) ? s : NULL;
	l->known = p && is_ours(l, p->id);
}

static void look_ask(struct look *l, struct bus *bus)
{
	struct bus_ask asks[LOOKS] = {0};
	char subjects[LOOKS][SUBJECT_MAX + 1];
	ProtobufCMessage *msgs[LOOKS] = {0};
	for (size_t i = 0; i < LOOKS; i++)
		asks[i] = (struct bus_ask){
			.kind = BUS_ASK_LAST,
			.bucket = STREAM_STORY,
			.key = subject_story(subjects[i], look_kinds[i], l->call->incident)};
	bus_ask(bus, asks, LOOKS);
	for (size_t i = 0; i < LOOKS; i++) {
		if (asks[i].rc == 0) {
			wire_unpack(look_kinds[i], asks[i].delivery.data, asks[i].delivery.len,
				    &l->arena, &msgs[i], NULL);
			bus_delivery_free(&asks[i].delivery);
		} else if (asks[i].rc != ERR_NOT_FOUND) {
			l->rc = asks[i].rc;
		}
	}
	take(l, msgs);
}

static json_t *state_json(const struct look *l, const char *state)
{
	json_t *o = json_pack("{s:s, s:s}", "state", state, "incident", l->call->incident);
	json_object_set_new(o, "plan", json_sprintf("%s/%s", l->call->incident, l->call->plan));
	return o;
}

static json_t *result_of(const char *text, bool is_error, json_t *structured)
{
	json_t *o = mcp_text_result(text, is_error);
	json_object_set_new(o, "structuredContent", structured);
	return o;
}

static const char *text_or(const char *text, const char *other)
{
	return text && *text ? text : other;
}

/* The step's own report holds more of what it printed than the outcome's. */
static const Healbus__StepReport *act_of(const struct look *l)
{
	const Healbus__StepReport *s = l->step;
	if (s && s->phase == HEALBUS__PHASE__PHASE_ACT &&
	    (s->state == HEALBUS__STEP_STATE__STEP_DONE ||
	     s->state == HEALBUS__STEP_STATE__STEP_FAILED))
		return s;
	for (size_t i = 0; i < l->outcome->n_steps; i++)
		if (l->outcome->steps[i]->phase == HEALBUS__PHASE__PHASE_ACT)
			return l->outcome->steps[i];
	return NULL;
}

static json_t *ended(const struct look *l)
{
	const Healbus__Outcome *out = l->outcome;
	const Healbus__StepReport *act = act_of(l);
	const char *verdict = wire_enum_name(&healbus__verdict__descriptor, (int)out->verdict);
	const char *output = act ? text_or(act->output, "") : "";
	bool good = out->verdict == HEALBUS__VERDICT__VERDICT_HEALED;
	json_t *o = state_json(l, "ended");
	auto_buf text = {0};
	json_object_set_new(o, "verdict", json_string(good ? "done" : verdict));
	json_object_set_new(o, "reason", json_string(text_or(out->reason, "")));
	json_object_set_new(o, "output", json_string(output));
	if (act)
		json_object_set_new(o, "exit_code", json_integer(act->exit_code));
	if (!good)
		buf_printf(&text, "%s: %s%s", verdict, text_or(out->reason, "no reason given"),
			   *output ? "\n" : "");
	buf_add_str(&text, good ? text_or(output, "done") : output);
	return result_of(buf_str(&text), !good, o);
}

static json_t *waiting(const struct look *l)
{
	auto_free char *text = mem_printf(
		"waiting for a human: approval %s. Ask %s about plan %s/%s later; do not call "
		"again.",
		l->approval->id, mcp_outcome_tool, l->call->incident, l->call->plan);
	json_t *o = state_json(l, "waiting_for_human"), *reasons = json_array();
	for (size_t i = 0; i < l->approval->n_reasons; i++)
		json_array_append_new(reasons, json_string(l->approval->reasons[i]));
	json_object_set_new(o, "approval", json_string(l->approval->id));
	json_object_set_new(o, "reasons", reasons);
	json_object_set_new(o, "deadline_ms", json_integer(l->approval->deadline_ms));
	return result_of(text, false, o);
}

static json_t *running(const struct look *l, const char *now)
{
	json_t *o = state_json(l, "running");
	json_object_set_new(o, "reason", json_string(now));
	return result_of(now, false, o);
}

static void tell_now(const struct look *l, char out[static 256])
{
	if (l->rc)
		snprintf(out, 256, "the bus does not answer: %s", err_name(l->rc));
	else if (l->step)
		snprintf(out, 256, "%s: %s %s", text_or(l->step->tool, ""),
			 wire_enum_name(&healbus__step_state__descriptor, (int)l->step->state),
			 text_or(l->step->reason, ""));
	else if (l->known)
		snprintf(out, 256, "planned");
	else
		snprintf(out, 256, "asked for");
}

json_t *mcp_look(struct bus *bus, const struct mcp_call *call, bool *out_final,
		 char out_now[static 256])
{
	struct look l = {.call = call};
	look_ask(&l, bus);
	tell_now(&l, out_now);
	*out_final = true;
	json_t *result;
	if (l.outcome) {
		result = ended(&l);
	} else if (l.approval && !l.decision) {
		result = waiting(&l);
	} else {
		*out_final = false;
		result = running(&l, out_now);
	}
	arena_release(&l.arena);
	return result;
}
