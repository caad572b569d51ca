#include "reasoner/runbook/runbook.h"

/* What rendering one plan needs everywhere. */
struct renderer {
	const json_t *view;
	struct arena *arena;
	struct why *why;
};

static int render_text(struct renderer *r, struct template *t, size_t max, char **out)
{
	auto_buf text = {0};
	int rc = template_render(t, r->view, &text, r->why);
	if (!rc)
		*out = wire_text(r->arena, buf_str(&text), text.len, max);
	return rc;
}

static int render_target(struct renderer *r, const struct runbook_call *call, char **out)
{
	int rc = render_text(r, call->target, WIRE_LINE_MAX, out);
	if (rc)
		return why_prefix(r->why, rc, "%s: target", call->tool);
	if (!**out)
		return why_set(r->why, ERR_INVALID,
			       "%s: no target: the incident has no label that names it",
			       call->tool);
	if (!token_valid(*out))
		return why_set(r->why, ERR_INVALID,
			       "%s: target \"%.80s\" is not the id of an inventory entry",
			       call->tool, *out);
	return 0;
}

static int param_set_json(struct renderer *r, Healbus__Param *p, const json_t *value)
{
	if (json_is_boolean(value))
		SET(p, bool_value, json_is_true(value));
	else if (json_is_integer(value))
		SET(p, int_value, json_integer_value(value));
	else if (json_is_real(value))
		SET(p, double_value, json_real_value(value));
	else if (json_is_string(value))
		p->string_value = wire_text(r->arena, json_string_value(value),
					    json_string_length(value), WIRE_LABEL_VALUE_MAX);
	else
		return why_set(r->why, ERR_INVALID, "%s: neither text, number nor boolean",
			       p->name);
	return 0;
}

/* Null leaves the parameter out: the tool's own default counts then. */
static int render_jq(struct renderer *r, struct expr *jq, Healbus__Param *p, bool *out_absent)
{
	json_t *value = NULL;
	int rc = expr_eval(jq, r->view, &value, r->why);
	if (rc)
		return why_prefix(r->why, rc, "%s", p->name);
	*out_absent = !value || json_is_null(value);
	if (!*out_absent)
		rc = param_set_json(r, p, value);
	json_decref(value);
	return rc;
}

static int render_param(struct renderer *r, const struct runbook_param *from, Healbus__Param *p,
			bool *out_absent)
{
	switch (from->type) {
	case VALUE_INT:
		SET(p, int_value, from->i);
		return 0;
	case VALUE_DOUBLE:
		SET(p, double_value, from->d);
		return 0;
	case VALUE_BOOL:
		SET(p, bool_value, from->b);
		return 0;
	case VALUE_TEXT:
		return render_text(r, from->text, WIRE_LABEL_VALUE_MAX, &p->string_value);
	case VALUE_JQ:
		return render_jq(r, from->jq, p, out_absent);
	}
	return ERR_INTERNAL;
}

static int render_params(struct renderer *r, const struct runbook_call *call, size_t *out_n,
			 Healbus__Param ***out)
{
	*out = arena_alloc(r->arena, (call->n_params + 1) * sizeof(**out));
	for (size_t i = 0; i < call->n_params; i++) {
		bool absent = false;
		Healbus__Param *p = arena_alloc(r->arena, sizeof(*p));
		healbus__param__init(p);
		p->name = arena_strdup(r->arena, call->params[i].name);
		int rc = render_param(r, &call->params[i], p, &absent);
		if (rc)
			return why_prefix(r->why, rc, "%s", call->tool);
		if (!absent)
			(*out)[(*out_n)++] = p;
	}
	return 0;
}

static int render_check(struct renderer *r, const struct runbook_call *call, Healbus__Check **out)
{
	if (!call)
		return 0;
	Healbus__Check *c = arena_alloc(r->arena, sizeof(*c));
	healbus__check__init(c);
	c->tool = arena_strdup(r->arena, call->tool);
	SET(c, deadline_ms, call->deadline_ms);
	SET(c, interval_ms, call->interval_ms);
	*out = c;
	int rc = render_target(r, call, &c->target);
	return rc ? rc : render_params(r, call, &c->n_params, &c->params);
}

static int render_rollback(struct renderer *r, const struct runbook_call *call,
			   Healbus__Rollback **out)
{
	if (!call)
		return 0;
	Healbus__Rollback *b = arena_alloc(r->arena, sizeof(*b));
	healbus__rollback__init(b);
	b->tool = arena_strdup(r->arena, call->tool);
	if (call->timeout_ms)
		SET(b, timeout_ms, call->timeout_ms);
	*out = b;
	int rc = render_target(r, call, &b->target);
	return rc ? rc : render_params(r, call, &b->n_params, &b->params);
}

static int render_step(struct renderer *r, const struct runbook_step *from, Healbus__Step **out)
{
	Healbus__Step *s = arena_alloc(r->arena, sizeof(*s));
	healbus__step__init(s);
	s->tool = arena_strdup(r->arena, from->act.tool);
	if (from->act.timeout_ms)
		SET(s, timeout_ms, from->act.timeout_ms);
	if (from->idempotent)
		SET(s, idempotent, 1);
	if (from->keep_going)
		SET(s, keep_going, 1);
	*out = s;
	int rc = render_target(r, &from->act, &s->target);
	if (rc || (rc = render_params(r, &from->act, &s->n_params, &s->params)) ||
	    (rc = render_check(r, from->verify, &s->verify)))
		return rc;
	return render_rollback(r, from->rollback, &s->rollback);
}

/* So that the rest can say {{ .target }}; calls check it when they use it. */
static void view_target(const struct runbook *rb, json_t *view)
{
	auto_buf text = {0};
	json_object_del(view, "target");
	if (rb->target && template_render(rb->target, view, &text, NULL) == 0)
		json_object_set_new(view, "target", json_stringn(buf_str(&text), text.len));
}

int runbook_render(const struct runbook *rb, size_t index, json_t *view, struct arena *arena,
		   Healbus__Plan *plan, struct why *out_why)
{
	const struct runbook_alternative *alt =
		&rb->alternatives[MIN(index, rb->n_alternatives - 1)];
	struct renderer r = {.view = view, .arena = arena, .why = out_why};
	view_target(rb, view);
	int rc = render_text(&r, alt->why, 4096, &plan->why);
	if (rc)
		return why_prefix(out_why, rc, "why");
	plan->steps = arena_alloc(arena, alt->n_steps * sizeof(*plan->steps));
	for (; plan->n_steps < alt->n_steps; plan->n_steps++) {
		rc = render_step(&r, &alt->steps[plan->n_steps], &plan->steps[plan->n_steps]);
		if (rc)
			return why_prefix(out_why, rc, "steps[%zu]", plan->n_steps);
	}
	SET(plan, rollback_on_failure, alt->rollback_on_failure);
	rc = render_check(&r, alt->verify, &plan->verify);
	return rc ? why_prefix(out_why, rc, "verify") : 0;
}

const char *runbook_advice(const struct runbook *rb, json_t *view, struct arena *arena)
{
	struct renderer r = {.view = view, .arena = arena};
	char *text = NULL;
	view_target(rb, view);
	if (!rb->escalate || render_text(&r, rb->escalate, WIRE_REASON_MAX, &text))
		return "";
	return text;
}
