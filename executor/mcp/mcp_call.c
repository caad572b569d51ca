/* tools/call: asks for a plan, and waits for what becomes of it. */
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "executor/action.h"
#include "executor/mcp/mcp_private.h"
#include "executor/mcp/mcp_schema.h"

enum { PUBLISH_TIMEOUT_MS = 5000 };

/* What was asked, ready to be said on the bus. */
struct ask {
	struct mcp_ask what;
	struct arena arena;
	char id[ID_BYTES];
};

/* The executor weighs the plan again when it comes; this tells a slip at once. */
static int ask_check(const struct ask *a, struct why *out_why)
{
	struct action action = {0};
	int rc = action_prepare(a->what.config, a->what.step->tool, a->what.step->target,
				a->what.step->params, a->what.step->n_params, &action, out_why);
	action_release(&action);
	return rc;
}

static int ask_publish(struct mcp *m, const struct mcp_job *job, const struct ask *a,
		       struct why *out_why)
{
	const char *tokens = a->what.config->stage.http_token_file;
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	auto_free char *by = mem_printf("agent:%s", job->who);
	auto_free char *what = mem_printf("%s on %s", a->what.step->tool, a->what.step->target);
	const struct audit_entry entry = {.what = "requested",
					  .incident = job->call.incident,
					  .plan = job->call.plan,
					  .who = by,
					  .text = what};
	c.id = (char *)a->id;
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_CALL);
	c.by = by;
	c.incident = (char *)job->call.incident;
	c.call = a->what.step;
	SET(&c, trusted, tokens && *tokens);
	SET(&c, at_ms, clock_real_ms());
	int rc = journal_write(m->journal, NULL, &entry, out_why);
	return rc ? rc
		  : stage_publish(m->stage, KIND_CONTROL, "call", &c.base, a->id, NULL, c.at_ms,
				  PUBLISH_TIMEOUT_MS, NULL, out_why);
}

static void call_name(struct mcp *m, struct mcp_job *job, struct ask *a)
{
	char serial[24];
	struct mcp_call *call = &job->call;
	snprintf(serial, sizeof(serial), "%" PRIu64, (uint64_t)++m->serial);
	id_make(a->id, "call", stage_boot(m->stage), serial);
	if (a->what.incident)
		snprintf(call->incident, sizeof(call->incident), "%s", a->what.incident);
	else
		id_make(call->incident, "incident", "call", a->id);
	id_make(call->plan, "plan", call->incident, "call", a->id);
	call->deadline_ms = clock_mono_ms() + a->what.config->mcp_wait_ms;
	call->token =
		json_object_get(json_object_get(job->message.params, "_meta"), "progressToken");
}

/* What the agent may put right itself is the tool's error, not the protocol's. */
static void call_tool(struct mcp *m, struct mcp_job *job, struct ask *a, json_t **out_result)
{
	struct why why = {0};
	int rc = mcp_step(&a->what, &why);
	if (!rc)
		rc = ask_check(a, &why);
	if (!rc && m->n_calls >= MCP_CALLS_MAX)
		rc = why_set(&why, ERR_BUSY, "too many calls are under way: try again later");
	if (!rc) {
		call_name(m, job, a);
		rc = ask_publish(m, job, a, &why);
	}
	if (rc)
		*out_result = mcp_text_result(why.text, true);
	else
		LOG(INFO, "an agent asked for a tool", S("agent", job->who),
		    S("tool", a->what.step->tool), S("target", a->what.step->target),
		    S("plan", job->call.plan));
}

/* ---- healbus_outcome ---- */

static int call_outcome(struct mcp *m, struct mcp_job *job, json_t **out_result,
			struct why *out_why)
{
	const json_t *arguments = json_object_get(job->message.params, "arguments");
	const char *name = json_string_value(json_object_get(arguments, "plan"));
	struct mcp_call call = {0};
	bool final;
	char now[256];
	size_t len = name ? strcspn(name, "/") : 0;
	if (!name || !name[len] || len >= sizeof(call.incident) ||
	    strlen(name + len + 1) >= sizeof(call.plan))
		return why_set(out_why, ERR_INVALID, "plan: as a call's result named it");
	memcpy(call.incident, name, len);
	snprintf(call.plan, sizeof(call.plan), "%s", name + len + 1);
	if (!token_valid(call.incident) || !token_valid(call.plan))
		return why_set(out_why, ERR_INVALID, "plan: as a call's result named it");
	*out_result = mcp_look(stage_bus(m->stage), &call, &final, now);
	return 0;
}

int mcp_tools_call(struct mcp *m, struct mcp_job *job, json_t **out_result, struct why *out_why)
{
	const char *name = json_string_value(json_object_get(job->message.params, "name"));
	const json_t *arguments = json_object_get(job->message.params, "arguments");
	if (!name || (arguments && !json_is_object(arguments)))
		return why_set(out_why, ERR_INVALID, "name and arguments: a text and an object");
	if (str_eq(name, mcp_outcome_tool))
		return call_outcome(m, job, out_result, out_why);
	const struct executor_config *config = stage_config_get(m->stage);
	struct ask a = {.what = {.config = config, .arguments = arguments}};
	int rc = 0;
	a.what.arena = &a.arena;
	a.what.tool = tool_find(config->catalogue, name);
	if (a.what.tool && mcp_tool_offered(config, a.what.tool))
		call_tool(m, job, &a, out_result);
	else
		rc = why_set(out_why, ERR_INVALID, "name: no such tool");
	stage_config_put(m->stage, config);
	arena_release(&a.arena);
	return rc;
}

/* ---- waiting ---- */

static void tell_progress(struct mcp *m, struct mcp_job *job, const char *now)
{
	struct mcp_call *call = &job->call;
	if (!call->token || str_eq(call->last, now))
		return;
	snprintf(call->last, sizeof(call->last), "%s", now);
	json_t *params = json_pack("{s:i, s:s}", "progress", (int)++call->said, "message", now);
	json_object_set_new(params, "progressToken", json_deep_copy(call->token));
	mcp_job_tell(m, job, rpc_notification("notifications/progress", params));
}

json_t *mcp_call_poll(struct mcp *m, struct mcp_job *job)
{
	bool final = false;
	char now[256];
	json_t *result = mcp_look(stage_bus(m->stage), &job->call, &final, now);
	tell_progress(m, job, now);
	if (final || clock_mono_ms() >= job->call.deadline_ms)
		return result;
	json_decref(result);
	return NULL;
}
