#include "executor/action.h"

#include "common/clock.h"
#include "common/mem.h"

enum { LAST_LINE_MAX = 200 };

void action_release(struct action *a)
{
	if (a->call)
		a->call->runner->rendered_free(a->rendered);
	json_decref(a->input);
	free(a->text);
	lines_release(&a->concerns);
	*a = (struct action){0};
}

void prepared_release(struct prepared *p)
{
	for (size_t i = 0; i < p->n; i++) {
		action_release(&p->steps[i].act);
		action_release(&p->steps[i].verify.action);
		action_release(&p->steps[i].rollback);
	}
	free(p->steps);
	action_release(&p->verify.action);
	lines_release(&p->refusals);
	*p = (struct prepared){0};
}

static Healbus__Level elevated(const struct tool *tool, const struct target *target)
{
	bool raise = target->critical && tool->level == HEALBUS__LEVEL__LEVEL_SOFT;
	return raise ? HEALBUS__LEVEL__LEVEL_HARD : tool->level;
}

static int look_up(const struct executor_config *config, const char *tool, const char *target,
		   struct action *a, struct why *out_why)
{
	const struct tool *found = tool_find(config->catalogue, tool);
	if (!found)
		return why_set(out_why, ERR_DENIED, "no tool %s", tool ? tool : "");
	a->target = target_find(&config->inventory, target);
	if (!a->target)
		return why_set(out_why, ERR_DENIED, "no target %s", target ? target : "");
	if (found->level == HEALBUS__LEVEL__LEVEL_FORBIDDEN)
		return why_set(out_why, ERR_DENIED, "%s is forbidden", tool);
	if (!target_allows_tool(a->target, tool))
		return why_set(out_why, ERR_DENIED, "%s is not allowed on %s", tool, target);
	a->tool = found;
	a->level = elevated(found, a->target);
	return 0;
}

static int render(const struct executor_config *config, struct action *a, json_t *params,
		  struct why *out_why)
{
	auto_buf text = {0};
	const struct call *call = NULL;
	assert(a->target);
	a->input = json_pack("{s:o, s:O}", "params", params, "target", a->target->json);
	int rc = tool_choose(config->catalogue, a->tool, a->input, &call, out_why);
	if (rc)
		return rc;
	struct render_input in = {.cat = config->catalogue, .target = a->target, .json = a->input};
	rc = call->runner->render(call->spec, &in, &a->rendered, &text, out_why);
	if (rc)
		return rc;
	a->call = call;
	a->text = wire_text(NULL, buf_str(&text), text.len, WIRE_TEXT_MAX);
	a->timeout_ms = call->timeout_ms;
	return 0;
}

/* What the runner sees in its own work may raise the level, never lower it. */
static int inspect(struct action *a, struct why *out_why)
{
	const struct runner *runner = a->call->runner;
	if (!runner->inspect)
		return 0;
	Healbus__Level level = runner->inspect(a->rendered, &a->concerns);
	a->level = MAX(a->level, level);
	if (level != HEALBUS__LEVEL__LEVEL_FORBIDDEN)
		return 0;
	auto_free char *reasons = lines_join(&a->concerns, WHY_TEXT_BYTES - 1);
	return why_set(out_why, ERR_DENIED, "%s", reasons);
}

int action_prepare(const struct executor_config *config, const char *tool, const char *target,
		   Healbus__Param *const *params, size_t n_params, struct action *out,
		   struct why *out_why)
{
	struct action a = {0};
	json_t *values = NULL;
	int rc = look_up(config, tool, target, &a, out_why);
	struct params_place place = {.target = a.target,
				     .reads = a.level == HEALBUS__LEVEL__LEVEL_NONE};
	if (!rc)
		rc = params_validate(&a.tool->params, &place, params, n_params, &values, out_why);
	if (!rc)
		rc = render(config, &a, values, out_why);
	if (!rc)
		rc = inspect(&a, out_why);
	if (rc) {
		action_release(&a);
		return rc;
	}
	*out = a;
	return 0;
}

/* ---- a tool's own verification and rollback ---- */

static int prepare_ref(const struct executor_config *config, const struct action *of,
		       const struct tool_ref *ref, struct action *out, struct why *out_why)
{
	Healbus__Param **params = mem_calloc(ref->n_args, sizeof(*params));
	int rc = 0;
	for (size_t i = 0; i < ref->n_args; i++) {
		auto_buf value = {0};
		if (!rc)
			rc = catalogue_render(config->catalogue, ref->args[i].value, of->input,
					      &value, out_why);
		params[i] = param_new_string(NULL, ref->args[i].name, buf_str(&value));
	}
	if (!rc)
		rc = action_prepare(config, ref->tool, of->target->id, params, ref->n_args, out,
				    out_why);
	for (size_t i = 0; i < ref->n_args; i++)
		healbus__param__free_unpacked(params[i], NULL);
	free(params);
	return rc;
}

/* ---- plans ---- */

static void prepare_check(const struct executor_config *config, const Healbus__Check *c,
			  const char *where, struct check *out, struct lines *refusals)
{
	struct why why = {0};
	if (!c)
		return;
	if (action_prepare(config, c->tool, c->target, c->params, c->n_params, &out->action,
			   &why)) {
		lines_add(refusals, "%s: verify: %s", where, why.text);
		return;
	}
	if (out->action.level != HEALBUS__LEVEL__LEVEL_NONE)
		lines_add(refusals, "%s: verify: %s changes something", where, c->tool);
	out->deadline_ms = c->deadline_ms;
	out->interval_ms = c->has_interval_ms ? c->interval_ms : 1000;
}

static void prepare_verify(const struct executor_config *config, const Healbus__Step *s,
			   const char *where, struct step *out, struct lines *refusals)
{
	const struct tool_ref *own = &out->act.tool->verify;
	struct why why = {0};
	if (s->verify || !own->tool) {
		prepare_check(config, s->verify, where, &out->verify, refusals);
		return;
	}
	/* The tool's own check is a service to the plan: a target that does not offer it does
	 * without. */
	if (!target_allows_tool(out->act.target, own->tool))
		return;
	if (prepare_ref(config, &out->act, own, &out->verify.action, &why))
		lines_add(refusals, "%s: verify: %s", where, why.text);
	out->verify.deadline_ms = own->deadline_ms;
	out->verify.interval_ms = own->interval_ms;
}

static void prepare_rollback(const struct executor_config *config, const Healbus__Step *s,
			     const char *where, struct step *out, struct lines *refusals)
{
	const Healbus__Rollback *r = s->rollback;
	const struct tool_ref *own = &out->act.tool->rollback;
	struct why why = {0};
	int rc = 0;
	if (r)
		rc = action_prepare(config, r->tool, r->target, r->params, r->n_params,
				    &out->rollback, &why);
	else if (own->tool && target_allows_tool(out->act.target, own->tool))
		rc = prepare_ref(config, &out->act, own, &out->rollback, &why);
	if (rc)
		lines_add(refusals, "%s: rollback: %s", where, why.text);
	if (!rc && r && r->timeout_ms > 0)
		out->rollback.timeout_ms = MIN(r->timeout_ms, TOOL_TIMEOUT_MAX_MS);
}

static void prepare_step(const struct executor_config *config, const Healbus__Step *s, size_t i,
			 struct step *out, struct lines *refusals)
{
	char where[32];
	struct why why = {0};
	snprintf(where, sizeof(where), "step %zu", i + 1);
	if (action_prepare(config, s->tool, s->target, s->params, s->n_params, &out->act, &why)) {
		lines_add(refusals, "%s: %s", where, why.text);
		return;
	}
	if (s->timeout_ms > 0)
		out->act.timeout_ms = MIN(s->timeout_ms, TOOL_TIMEOUT_MAX_MS);
	out->keep_going = s->keep_going;
	prepare_verify(config, s, where, out, refusals);
	prepare_rollback(config, s, where, out, refusals);
}

void plan_prepare(const struct executor_config *config, const Healbus__Plan *plan,
		  struct prepared *out)
{
	*out = (struct prepared){.n = plan->n_steps};
	out->steps = mem_calloc(plan->n_steps, sizeof(*out->steps));
	for (size_t i = 0; i < plan->n_steps; i++)
		prepare_step(config, plan->steps[i], i, &out->steps[i], &out->refusals);
	prepare_check(config, plan->verify, "plan", &out->verify, &out->refusals);
	if (plan->n_steps == 0)
		lines_add(&out->refusals, "the plan has no steps");
}

/* ---- running ---- */

static json_t *result_json(const struct action *a, const struct run_result *r)
{
	auto_free char *text = wire_text(NULL, buf_str(&r->output), r->output.len, r->output.len);
	json_t *o = json_pack("{s:i, s:s, s:O, s:O, s:f}", "status", r->exit_code, "output", text,
			      "params", json_object_get(a->input, "params"), "target",
			      json_object_get(a->input, "target"), "now",
			      (double)clock_real_ms() / 1000);
	json_t *body = json_loadb(buf_str(&r->output), r->output.len, 0, NULL);
	json_object_set_new(o, "body", body ? body : json_null());
	return o;
}

static bool by_code(const struct call *call, int code)
{
	if (call->n_exit_codes == 0)
		return call->runner == &runner_http ? code >= 200 && code < 300 : code == 0;
	for (size_t i = 0; i < call->n_exit_codes; i++)
		if (call->exit_codes[i] == code)
			return true;
	return false;
}

/* The last line it printed says more to a person than a number does. */
static void say_ending(const struct run_result *r, const char *what, struct why *out_why)
{
	const char *text = buf_str(&r->output);
	size_t end = r->output.len;
	while (end > 0 && strchr("\n\r\t ", text[end - 1]))
		end--;
	size_t begin = end;
	while (begin > 0 && text[begin - 1] != '\n')
		begin--;
	auto_free char *line = wire_text(NULL, text + begin, end - begin, LAST_LINE_MAX);
	why_set(out_why, ERR_REJECTED, "%s (%d)%s%s", what, r->exit_code, *line ? ": " : "", line);
}

static bool succeeded(const struct executor_config *config, const struct action *a,
		      const struct run_result *r, struct why *out_why)
{
	bool ok = false;
	int rc = 0;
	if (a->call->success) {
		json_t *input = result_json(a, r);
		rc = catalogue_test(config->catalogue, a->call->success, input, &ok, out_why);
		json_decref(input);
	} else {
		ok = by_code(a->call, r->exit_code);
	}
	if (!rc && !ok)
		say_ending(r, a->call->success ? "it did not find what it must" : "it failed",
			   out_why);
	return !rc && ok;
}

void action_run(const struct executor_config *config, const struct action *a,
		const struct run_limits *limits, struct action_result *out)
{
	struct run_limits own = *limits;
	struct run_result r = {0};
	own.timeout_ms = a->timeout_ms;
	own.output_limit_bytes = (size_t)a->call->output_limit_bytes;
	own.target = a->target;
	own.allow_unsandboxed = config->allow_unsandboxed;
	own.config = config;
	a->call->runner->run(a->rendered, &own, &r);
	static const enum action_end ends[] = {[RUN_ENDED] = ACTION_DONE,
					       [RUN_FAILED] = ACTION_FAILED,
					       [RUN_UNKNOWN] = ACTION_UNKNOWN};
	out->end = ends[r.state];
	out->why = r.why;
	if (r.state == RUN_ENDED && !succeeded(config, a, &r, &out->why))
		out->end = ACTION_FAILED;
	out->exit_code = r.exit_code;
	out->output = r.output;
	out->truncated = r.truncated;
	out->patch = r.patch;
	out->url = r.url;
	out->not_tried = r.not_tried && out->end == ACTION_FAILED;
}

void action_result_release(struct action_result *r)
{
	buf_release(&r->output);
	free(r->patch);
	free(r->url);
	*r = (struct action_result){0};
}
