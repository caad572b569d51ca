#include "executor/mcp/mcp_schema.h"

static bool is_reserved(const char *name)
{
	return str_eq(name, MCP_ARG_TARGET) || str_eq(name, MCP_ARG_INCIDENT);
}

static size_t count_targets(const struct executor_config *config, const struct tool *tool,
			    const struct target **out_last)
{
	size_t n = 0;
	for (size_t i = 0; i < config->inventory.n; i++) {
		if (!target_allows_tool(&config->inventory.targets[i], tool->name))
			continue;
		*out_last = &config->inventory.targets[i];
		n++;
	}
	return n;
}

bool mcp_tool_offered(const struct executor_config *config, const struct tool *tool)
{
	const struct target *t = NULL;
	if (tool->level >= HEALBUS__LEVEL__LEVEL_FORBIDDEN)
		return false;
	for (size_t i = 0; i < tool->params.n; i++)
		if (is_reserved(tool->params.items[i].name))
			return false;
	return count_targets(config, tool, &t) > 0;
}

const struct target *mcp_only_target(const struct executor_config *config, const struct tool *tool)
{
	const struct target *t = NULL;
	return count_targets(config, tool, &t) == 1 ? t : NULL;
}

/* ---- schemas ---- */

static void add_string(const struct param_def *d, json_t *o)
{
	json_object_set_new(o, "type", json_string("string"));
	if (!d->pattern && d->type != PARAM_STRING && d->type != PARAM_NAME)
		return;
	const char *pattern = d->pattern ? d->pattern : PARAM_DEFAULT_PATTERN;
	json_object_set_new(o, "pattern", json_sprintf("^(?:%s)$", pattern));
}

static void add_int(const struct param_def *d, json_t *o)
{
	json_object_set_new(o, "type", json_string("integer"));
	if (d->min != INT64_MIN)
		json_object_set_new(o, "minimum", json_integer(d->min));
	if (d->max != INT64_MAX)
		json_object_set_new(o, "maximum", json_integer(d->max));
}

static void add_bool(const struct param_def *d UNUSED, json_t *o)
{
	json_object_set_new(o, "type", json_string("boolean"));
}

static void add_enum(const struct param_def *d, json_t *o)
{
	json_t *values = json_array();
	for (size_t i = 0; d->values[i]; i++)
		json_array_append_new(values, json_string(d->values[i]));
	json_object_set_new(o, "type", json_string("string"));
	json_object_set_new(o, "enum", values);
}

static void add_text(const struct param_def *d UNUSED, json_t *o)
{
	json_object_set_new(o, "type", json_string("string"));
	json_object_set_new(o, "maxLength", json_integer(PARAM_TEXT_MAX));
}

static const struct {
	void (*add)(const struct param_def *d, json_t *o);
	const char *help;
} types[] = {
	[PARAM_STRING] = {add_string, NULL},
	[PARAM_INT] = {add_int, NULL},
	[PARAM_BOOL] = {add_bool, NULL},
	[PARAM_ENUM] = {add_enum, NULL},
	[PARAM_DURATION] = {add_string, "a duration: 500ms, 90s, 5m, 2h"},
	[PARAM_PATH] = {add_string, "an absolute path that the target allows"},
	[PARAM_HOST] = {add_string, "a host that the target allows"},
	[PARAM_NAME] = {add_string, NULL},
	[PARAM_URL] = {add_string, "a URL whose host the target allows"},
	[PARAM_TEXT] = {add_text, NULL},
};

static json_t *param_schema(const struct param_def *d)
{
	json_t *o = json_object();
	const char *help = d->help ? d->help : types[d->type].help;
	types[d->type].add(d, o);
	if (help)
		json_object_set_new(o, "description", json_string(help));
	if (d->fallback && !json_is_null(d->fallback))
		json_object_set_new(o, "default", json_deep_copy(d->fallback));
	return o;
}

static json_t *target_schema(const struct executor_config *config, const struct tool *tool)
{
	const struct target *last = NULL;
	json_t *o = json_pack("{s:s, s:s}", "type", "string", "description",
			      "id of what it is done to");
	if (count_targets(config, tool, &last) > MCP_TARGETS_SHOWN)
		return o;
	json_t *ids = json_array();
	for (size_t i = 0; i < config->inventory.n; i++)
		if (target_allows_tool(&config->inventory.targets[i], tool->name))
			json_array_append_new(ids, json_string(config->inventory.targets[i].id));
	json_object_set_new(o, "enum", ids);
	return o;
}

static json_t *input_schema(const struct executor_config *config, const struct tool *tool)
{
	json_t *properties = json_object(), *required = json_array();
	for (size_t i = 0; i < tool->params.n; i++) {
		const struct param_def *d = &tool->params.items[i];
		json_object_set_new(properties, d->name, param_schema(d));
		if (d->required && !d->fallback)
			json_array_append_new(required, json_string(d->name));
	}
	json_object_set_new(properties, MCP_ARG_TARGET, target_schema(config, tool));
	if (!mcp_only_target(config, tool))
		json_array_append_new(required, json_string(MCP_ARG_TARGET));
	json_object_set_new(properties, MCP_ARG_INCIDENT,
			    json_pack("{s:s, s:s}", "type", "string", "description",
				      "id of the incident that it is for, if there is one"));
	return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties,
			 "required", required, "additionalProperties", 0);
}

static const char *const level_help[] = {
	[HEALBUS__LEVEL__LEVEL_UNKNOWN] = "",
	[HEALBUS__LEVEL__LEVEL_NONE] = "It reads only.",
	[HEALBUS__LEVEL__LEVEL_SOFT] =
		"It changes something that can be undone; policy may ask a person first.",
	[HEALBUS__LEVEL__LEVEL_HARD] = "It destroys or interrupts; a person is asked first.",
};

json_t *mcp_tool_json(const struct executor_config *config, const struct tool *tool)
{
	bool reads = tool->level == HEALBUS__LEVEL__LEVEL_NONE;
	json_t *annotations =
		json_pack("{s:b, s:b, s:b, s:b}", "readOnlyHint", reads, "destructiveHint",
			  tool->level == HEALBUS__LEVEL__LEVEL_HARD, "idempotentHint",
			  reads || tool->idempotent, "openWorldHint", 0);
	json_t *o = json_pack("{s:s, s:o, s:o}", "name", tool->name, "inputSchema",
			      input_schema(config, tool), "annotations", annotations);
	json_object_set_new(o, "description",
			    json_sprintf("%s. %s", tool->summary, level_help[tool->level]));
	return o;
}

/* ---- arguments ---- */

static int param_of(const struct param_def *d, const json_t *value, Healbus__Param *p,
		    struct why *out_why)
{
	bool text = d && d->type == PARAM_TEXT;
	if (json_is_string(value) && strlen(json_string_value(value)) != json_string_length(value))
		return why_set(out_why, ERR_INVALID, "%s: holds a NUL", p->name);
	if (json_is_string(value) && text)
		p->text_value = (char *)json_string_value(value);
	else if (json_is_string(value))
		p->string_value = (char *)json_string_value(value);
	else if (json_is_integer(value))
		SET(p, int_value, json_integer_value(value));
	else if (json_is_boolean(value))
		SET(p, bool_value, json_is_true(value));
	else if (json_is_real(value))
		SET(p, double_value, json_real_value(value));
	else
		return why_set(out_why, ERR_INVALID, "%s: must be text, a number, true or false",
			       p->name);
	return 0;
}

static const struct param_def *def_of(const struct tool *tool, const char *name)
{
	for (size_t i = 0; i < tool->params.n; i++)
		if (str_eq(tool->params.items[i].name, name))
			return &tool->params.items[i];
	return NULL;
}

static int take_params(const struct mcp_ask *ask, Healbus__Step *step, struct why *out_why)
{
	const char *name;
	json_t *value;
	step->params = arena_alloc(ask->arena, (WIRE_PARAMS_MAX + 1) * sizeof(*step->params));
	json_object_foreach((json_t *)ask->arguments, name, value)
	{
		if (is_reserved(name) || json_is_null(value))
			continue;
		if (step->n_params == WIRE_PARAMS_MAX)
			return why_set(out_why, ERR_INVALID, "arguments: more than %d",
				       WIRE_PARAMS_MAX);
		Healbus__Param *p = arena_alloc(ask->arena, sizeof(*p));
		healbus__param__init(p);
		p->name = (char *)name;
		int rc = param_of(def_of(ask->tool, name), value, p, out_why);
		if (rc)
			return rc;
		step->params[step->n_params++] = p;
	}
	return 0;
}

static int take_token(const json_t *arguments, const char *name, const char **out,
		      struct why *out_why)
{
	const json_t *value = json_object_get(arguments, name);
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value) || !token_valid(json_string_value(value)))
		return why_set(out_why, ERR_INVALID, "%s: must be an id", name);
	*out = json_string_value(value);
	return 0;
}

int mcp_step(struct mcp_ask *ask, struct why *out_why)
{
	const struct target *only = mcp_only_target(ask->config, ask->tool);
	const char *target = only ? only->id : NULL, *incident = NULL;
	Healbus__Step *step = arena_alloc(ask->arena, sizeof(*step));
	healbus__step__init(step);
	int rc = take_token(ask->arguments, MCP_ARG_TARGET, &target, out_why);
	if (!rc && !target)
		rc = why_set(out_why, ERR_INVALID, "target: missing; several allow %s",
			     ask->tool->name);
	if (!rc)
		rc = take_token(ask->arguments, MCP_ARG_INCIDENT, &incident, out_why);
	if (!rc)
		rc = take_params(ask, step, out_why);
	if (rc)
		return rc;
	step->tool = ask->tool->name;
	step->target = (char *)target;
	ask->step = step;
	ask->incident = incident;
	return 0;
}
