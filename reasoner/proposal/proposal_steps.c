#include "common/base.h"

#include <ctype.h>

#include "reasoner/proposal/proposal.h"
#include "reasoner/proposal/proposal_private.h"

bool tool_is_ours(const char *name)
{
	static const char *const names[] = {"code_fix", "code_push", "agent_fix"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(names[i], name))
			return true;
	return str_starts(name, "pull_request_");
}

/* ---- targets ---- */

/* Labels that say what is broken. Never those whose value anybody may choose: branch, actor, path.
 */
static const char *const target_labels[] = {
	"app",       "application", "client",     "component",  "consumer",   "consumergroup",
	"container", "daemonset",   "database",   "dependency", "deployment", "host",
	"hostname",  "instance",    "job",        "name",       "node",       "pod",
	"queue",     "replica",     "repository", "resolver",   "scheduler",  "server",
	"service",   "statefulset", "suspect",    "target",     "unit",
};

/* The value itself, its host part ("db-1:9100"), or a repository as the inventory spells it. */
static bool value_names(const char *value, const char *target)
{
	size_t len = strlen(target);
	if (strncmp(value, target, len) == 0 && (!value[len] || value[len] == ':'))
		return true;
	for (; *value && *target; value++, target++) {
		unsigned char c = (unsigned char)*value;
		bool plain = isalnum(c) || c == '_' || c == '-';
		if (*target != (plain ? (char)c : '_'))
			return false;
	}
	return !*value && !*target;
}

static bool labels_name(Healbus__Label *const *labels, size_t n, const char *target)
{
	for (size_t i = 0; i < ARRAY_SIZE(target_labels); i++) {
		const char *value = label_get(labels, n, target_labels[i]);
		if (value && value_names(value, target))
			return true;
	}
	return false;
}

bool incident_names_target(const Healbus__Incident *incident, const char *target)
{
	if (!incident || !token_valid(target))
		return false;
	if (labels_name(incident->labels, incident->n_labels, target))
		return true;
	for (size_t i = 0; i < incident->n_events; i++) {
		const Healbus__Event *e = incident->events[i];
		if (e->trusted && labels_name(e->labels, e->n_labels, target))
			return true;
	}
	return false;
}

/* ---- values ---- */

static bool plain_path(const char *s)
{
	while (*s) {
		size_t len = strcspn(++s, "/");
		if (len == 0 || (len == 1 && s[0] == '.') ||
		    (len == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		s += len;
	}
	return true;
}

static bool web_address(const char *s)
{
	size_t scheme = str_starts(s, "https://") ? 8 : str_starts(s, "http://") ? 7 : 0;
	return scheme && s[scheme] && s[scheme] != '/' && !strchr(s, '@');
}

/* "90s", "1h30m" */
static bool duration_text(const char *s)
{
	do {
		size_t digits = strspn(s, "0123456789");
		size_t unit = strspn(s + digits, "dhms");
		if (digits == 0 || digits > 9 || unit == 0 || unit > 2)
			return false;
		s += digits + unit;
	} while (*s);
	return true;
}

/*
 * Narrower than what the executor takes of a runbook: a model fills no free text, nothing a shell
 * would see, no query of an address.
 */
static const struct value_rule {
	const char *type;
	const char *first; /* besides letters and digits */
	const char *rest;
	size_t max;
	bool (*extra)(const char *s); /* NULL: none */
} value_rules[] = {
	{"string", "", "._:/@%+=,-", 255, NULL},
	{"enum", "", "._-", 63, NULL},
	{"name", "", "._-", 63, NULL},
	{"host", "[", ".:[]-", 255, NULL},
	{"duration", "", "", 32, duration_text},
	{"path", "/", "._/@+=,-", 1023, plain_path},
	{"url", "", "._~/%:[]-", 1023, web_address},
};

static bool ascii_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool value_fits(const struct value_rule *r, const char *s)
{
	size_t len = strlen(s);
	bool starts = ascii_alnum(s[0]) ? r->first[0] != '/' : s[0] && strchr(r->first, s[0]);
	if (!starts || len > r->max)
		return false;
	for (const char *c = s + 1; *c; c++)
		if (!ascii_alnum(*c) && !strchr(r->rest, *c))
			return false;
	return !r->extra || r->extra(s);
}

static bool whole_number(const char *s)
{
	s += *s == '-';
	size_t digits = strspn(s, "0123456789");
	return digits > 0 && digits < 19 && !s[digits];
}

static int check_value(const Healbus__Param *p, const char *type, struct why *out_why)
{
	const char *text = p->string_value;
	int values = (text != NULL) + (p->has_int_value != 0) + (p->has_bool_value != 0) +
		     (p->has_double_value != 0) + (p->text_value != NULL);
	bool good = false;
	if (str_eq(type, "int"))
		good = p->has_int_value || (text && whole_number(text));
	else if (str_eq(type, "bool"))
		good = p->has_bool_value ||
		       (text && (str_eq(text, "true") || str_eq(text, "false")));
	for (size_t i = 0; i < ARRAY_SIZE(value_rules); i++)
		if (str_eq(type, value_rules[i].type))
			good = text && value_fits(&value_rules[i], text);
	if (values == 1 && good)
		return 0;
	return why_set(out_why, ERR_INVALID, "params.%.63s: not a value of type %.32s", p->name,
		       type);
}

/* ---- tools ---- */

static const Healbus__ToolInfo *find_tool(const struct proposal_rules *rules, const char *name)
{
	for (size_t i = 0; rules->tools && i < rules->n_tools; i++)
		if (rules->tools[i]->name && str_eq(rules->tools[i]->name, name))
			return rules->tools[i];
	return NULL;
}

/* The type of a declared parameter ("name:type"), or NULL. */
static const char *declared_type(const Healbus__ToolInfo *tool, const char *param)
{
	size_t len = strlen(param);
	for (size_t i = 0; i < tool->n_params; i++)
		if (strncmp(tool->params[i], param, len) == 0 && tool->params[i][len] == ':')
			return tool->params[i] + len + 1;
	return NULL;
}

static int check_params(const Healbus__ToolInfo *tool, Healbus__Param *const *params, size_t n,
			struct why *out_why)
{
	if (n > WIRE_PARAMS_MAX)
		return why_set(out_why, ERR_TOO_LARGE, "params: more than %d", WIRE_PARAMS_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *name = params[i]->name ? params[i]->name : "";
		const char *type = declared_type(tool, name);
		if (!type)
			return why_set(out_why, ERR_UNKNOWN_KEY,
				       "params.%.63s: the tool %s has no such parameter", name,
				       tool->name);
		for (size_t j = 0; j < i; j++)
			if (params[j]->name && str_eq(params[j]->name, name))
				return why_set(out_why, ERR_INVALID, "params.%.63s: given twice",
					       name);
		int rc = check_value(params[i], type, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

/* A step, a check or a rollback: what they have in common. */
struct call {
	const char *tool, *target;
	Healbus__Param *const *params;
	size_t n_params;
};

static int check_call(const struct call *c, const struct proposal_rules *rules, struct why *out_why)
{
	const char *name = c->tool ? c->tool : "";
	const Healbus__ToolInfo *tool = find_tool(rules, name);
	if (!tool)
		return why_set(out_why, ERR_DENIED, "tool: \"%.63s\" is not in the catalogue",
			       name);
	if (tool_is_ours(name))
		return why_set(out_why, ERR_DENIED, "tool: %s is not for a proposal to choose",
			       name);
	if (tool->level < HEALBUS__LEVEL__LEVEL_NONE || tool->level > HEALBUS__LEVEL__LEVEL_HARD)
		return why_set(out_why, ERR_DENIED, "tool: %s is forbidden", name);
	const char *target = c->target ? c->target : "";
	if (!incident_names_target(rules->incident, target))
		return why_set(out_why, ERR_DENIED,
			       "target: the incident names no \"%.63s\"; use one of its labels' "
			       "values",
			       target);
	return check_params(tool, c->params, c->n_params, out_why);
}

static int check_step(const Healbus__Step *s, const struct proposal_rules *rules,
		      struct why *out_why)
{
	struct call act = {s->tool, s->target, s->params, s->n_params};
	int rc = check_call(&act, rules, out_why);
	if (!rc && s->verify) {
		const Healbus__Check *v = s->verify;
		struct call call = {v->tool, v->target, v->params, v->n_params};
		rc = check_call(&call, rules, out_why);
		if (rc)
			return why_prefix(out_why, rc, "verify");
	}
	if (!rc && s->rollback) {
		const Healbus__Rollback *b = s->rollback;
		struct call call = {b->tool, b->target, b->params, b->n_params};
		rc = check_call(&call, rules, out_why);
		if (rc)
			return why_prefix(out_why, rc, "rollback");
	}
	return rc;
}

int steps_check(Healbus__Step *const *steps, size_t n, const struct proposal_rules *rules,
		struct why *out_why)
{
	if (n > WIRE_STEPS_MAX)
		return why_set(out_why, ERR_TOO_LARGE, "steps: more than %d", WIRE_STEPS_MAX);
	for (size_t i = 0; i < n; i++) {
		int rc = check_step(steps[i], rules, out_why);
		if (rc)
			return why_prefix(out_why, rc, "steps[%zu]", i);
	}
	return 0;
}

/* ---- from JSON ---- */

/* Typed as the catalogue says; what does not fit stays as it is, for check_value to refuse. */
static void read_value(struct arena *arena, const json_t *value, const char *type,
		       Healbus__Param *p)
{
	const char *text = json_string_value(value);
	if (json_is_boolean(value))
		SET(p, bool_value, json_is_true(value));
	else if (json_is_integer(value))
		SET(p, int_value, json_integer_value(value));
	else if (text && str_eq(type, "int") && whole_number(text))
		SET(p, int_value, strtoll(text, NULL, 10));
	else if (text && str_eq(type, "bool") && (str_eq(text, "true") || str_eq(text, "false")))
		SET(p, bool_value, str_eq(text, "true"));
	else if (text && strlen(text) <= WIRE_LABEL_VALUE_MAX)
		p->string_value = arena_strdup(arena, text);
}

/* A step that is being read, and its tool. */
struct step_reader {
	struct proposal_reader *r;
	const Healbus__ToolInfo *tool;
	Healbus__Step *step;
};

static int add_param(struct step_reader *s, const char *name, const json_t *value)
{
	Healbus__Param *p = arena_alloc(s->r->arena, sizeof(*p));
	if (!p)
		return why_set(s->r->why, ERR_TOO_LARGE, "params: no room");
	healbus__param__init(p);
	p->name = arena_strdup(s->r->arena, name);
	const char *type = declared_type(s->tool, name);
	read_value(s->r->arena, value, type ? type : "", p);
	s->step->params[s->step->n_params++] = p;
	return p->name ? 0 : why_set(s->r->why, ERR_TOO_LARGE, "params: no room");
}

static int read_listed_param(struct step_reader *s, const json_t *item)
{
	static const char *const names[] = {"name", "value"};
	const char *name = json_string_value(json_object_get(item, "name"));
	const json_t *value = json_object_get(item, "value");
	if (!name || !value)
		return why_set(s->r->why, ERR_INVALID, "params: each has a name and a value");
	int rc = only_fields(item, names, ARRAY_SIZE(names), s->r->why);
	return rc ? why_prefix(s->r->why, rc, "params") : add_param(s, name, value);
}

/* {name: value} or [{name, value}], as the schema has it. */
static int read_params(struct step_reader *s, const json_t *params)
{
	size_t n = json_object_size(params) + json_array_size(params);
	s->step->params = arena_alloc(s->r->arena, (n + 1) * sizeof(*s->step->params));
	if (n > WIRE_PARAMS_MAX || !s->step->params)
		return why_set(s->r->why, ERR_TOO_LARGE, "params: more than %d", WIRE_PARAMS_MAX);
	const char *key = NULL;
	json_t *value = NULL;
	size_t i = 0;
	int rc = 0;
	json_object_foreach((json_t *)params, key, value)
	{
		if ((rc = add_param(s, key, value)))
			return rc;
	}
	json_array_foreach(params, i, value)
	{
		if ((rc = read_listed_param(s, value)))
			return rc;
	}
	return 0;
}

static int read_step(struct proposal_reader *r, const json_t *json, Healbus__Step *step)
{
	static const char *const names[] = {"tool", "target", "params"};
	const char *tool = json_string_value(json_object_get(json, "tool"));
	const char *target = json_string_value(json_object_get(json, "target"));
	const json_t *params = json_object_get(json, "params");
	if (!tool || !target)
		return why_set(r->why, ERR_INVALID, "tool and target wanted, both text");
	int rc = only_fields(json, names, ARRAY_SIZE(names), r->why);
	if (rc)
		return rc;
	if (params && !json_is_null(params) && !json_is_object(params) && !json_is_array(params))
		return why_set(r->why, ERR_INVALID, "params: a list of {name, value} wanted");
	healbus__step__init(step);
	step->tool = arena_strdup(r->arena, tool);
	step->target = arena_strdup(r->arena, target);
	if (!step->tool || !step->target)
		return why_set(r->why, ERR_TOO_LARGE, "no room");
	struct step_reader s = {.r = r, .tool = find_tool(r->rules, tool), .step = step};
	return s.tool ? read_params(&s, params) : 0;
}

int steps_read(struct proposal_reader *r, const json_t *list)
{
	size_t n = json_array_size(list);
	if (n > PROPOSAL_STEPS_MAX)
		return why_set(r->why, ERR_TOO_LARGE, "steps: more than %d", PROPOSAL_STEPS_MAX);
	Healbus__Step **steps = arena_alloc(r->arena, (n + 1) * sizeof(*steps));
	for (size_t i = 0; i < n; i++) {
		Healbus__Step *s = steps ? arena_alloc(r->arena, sizeof(*s)) : NULL;
		if (!s)
			return why_set(r->why, ERR_TOO_LARGE, "steps: no room");
		steps[i] = s;
		int rc = read_step(r, json_array_get(list, i), s);
		if (rc)
			return why_prefix(r->why, rc, "steps[%zu]", i);
	}
	r->out.steps = steps;
	r->out.n_steps = n;
	return steps_check(steps, n, r->rules, r->why);
}
