#include "reasoner/runbook/runbook_private.h"

#include "common/yaml.h"

/* What the functions below need to know about where they are. */
struct parser {
	struct runbooks *set;
	struct runbook *rb;
	struct why *why;
};

#define ONLY_KEYS(p, node, ...)                                                                    \
	yaml_only_keys(node, (const char *const[]){__VA_ARGS__},                                   \
		       sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (p)->why)

static struct compiled *compiled_find(struct runbooks *set, const char *source, bool jq)
{
	for (struct compiled *c = set->compiled; c; c = c->next) {
		if (str_eq(c->source, source) && (jq ? c->jq != NULL : c->text != NULL))
			return c;
	}
	return NULL;
}

static struct compiled *compiled_add(struct runbooks *set, const char *source)
{
	struct compiled *c = arena_alloc(&set->arena, sizeof(*c));
	c->source = arena_strdup(&set->arena, source);
	c->next = set->compiled;
	set->compiled = c;
	return c;
}

static int compile_template(struct parser *p, const struct yaml_node *node, const char *source,
			    struct template **out)
{
	struct compiled *c = compiled_find(p->set, source, false);
	if (!c) {
		struct why inner = {0};
		struct template *text = NULL;
		if (template_compile(source, &text, &inner))
			return yaml_error(node, p->why, "%s", inner.text);
		c = compiled_add(p->set, source);
		c->text = text;
	}
	*out = c->text;
	return 0;
}

static int compile_jq(struct parser *p, const struct yaml_node *node, const char *source,
		      struct expr **out)
{
	struct compiled *c = compiled_find(p->set, source, true);
	if (!c) {
		struct why inner = {0};
		struct expr *jq = NULL;
		if (expr_compile(source, &jq, &inner))
			return yaml_error(node, p->why, "%s", inner.text);
		c = compiled_add(p->set, source);
		c->jq = jq;
	}
	*out = c->jq;
	return 0;
}

/* ---- optional keys: absent leaves what is there ---- */

static int get_text(struct parser *p, const struct yaml_node *map, const char *key,
		    const char **out)
{
	const struct yaml_node *node = yaml_get(map, key);
	const char *text = NULL;
	int rc = node ? yaml_str(node, key, &text, p->why) : 0;
	if (!rc && text)
		*out = arena_strdup(&p->set->arena, text);
	return rc;
}

static int get_template(struct parser *p, const struct yaml_node *map, const char *key,
			struct template **out)
{
	const struct yaml_node *node = yaml_get(map, key);
	const char *text = NULL;
	int rc = node ? yaml_str(node, key, &text, p->why) : 0;
	return rc || !text ? rc : compile_template(p, node, text, out);
}

static int get_bool(struct parser *p, const struct yaml_node *map, const char *key, bool *out)
{
	const struct yaml_node *node = yaml_get(map, key);
	return node ? yaml_bool(node, key, out, p->why) : 0;
}

static int get_int(struct parser *p, const struct yaml_node *map, const char *key,
		   const int64_t range[2], int64_t *out)
{
	const struct yaml_node *node = yaml_get(map, key);
	return node ? yaml_int(node, key, range[0], range[1], out, p->why) : 0;
}

static int get_duration(struct parser *p, const struct yaml_node *map, const char *key,
			const int64_t range[2], int64_t *out)
{
	const struct yaml_node *node = yaml_get(map, key);
	return node ? yaml_duration_ms(node, key, range[0], range[1], out, p->why) : 0;
}

/* ---- calls ---- */

static bool name_valid(const char *s)
{
	if (*s < 'a' || *s > 'z')
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(s) && strlen(s) < 64;
}

/* "{{ jq }}" and nothing else: the value keeps its type. */
static char *single_jq(struct arena *a, const char *text)
{
	size_t len = strlen(text);
	bool single = len > 4 && str_starts(text, "{{") && str_eq(text + len - 2, "}}") &&
		      strstr(text, "}}") == text + len - 2 && !strstr(text + 1, "{{");
	return single ? arena_printf(a, "%.*s", (int)(len - 4), text + 2) : NULL;
}

static int parse_text_value(struct parser *p, const struct yaml_node *node,
			    struct runbook_param *out)
{
	const char *jq = single_jq(&p->set->arena, node->scalar);
	if (jq) {
		out->type = VALUE_JQ;
		return compile_jq(p, node, jq, &out->jq);
	}
	out->type = VALUE_TEXT;
	return compile_template(p, node, node->scalar, &out->text);
}

static int parse_param(struct parser *p, const struct yaml_node *node, struct runbook_param *out)
{
	char *end;
	if (!name_valid(node->key))
		return yaml_error(node, p->why, "%s: not a parameter name", node->key);
	if (node->type != YAML_SCALAR)
		return yaml_error(node, p->why, "%s: text, number or boolean wanted", node->key);
	out->name = arena_strdup(&p->set->arena, node->key);
	const char *s = node->scalar;
	if (node->quoted)
		return parse_text_value(p, node, out);
	if (yaml_bool(node, node->key, &out->b, NULL) == 0) {
		out->type = VALUE_BOOL;
		return 0;
	}
	if (yaml_int(node, node->key, INT64_MIN, INT64_MAX, &out->i, NULL) == 0) {
		out->type = VALUE_INT;
		return 0;
	}
	out->type = VALUE_DOUBLE;
	out->d = strtod(s, &end);
	return *s && !*end ? 0 : parse_text_value(p, node, out);
}

static int parse_params(struct parser *p, const struct yaml_node *map, struct runbook_call *out)
{
	if (!map)
		return 0;
	if (map->type != YAML_MAP)
		return yaml_error(map, p->why, "params: a map wanted");
	if (map->count > WIRE_PARAMS_MAX)
		return yaml_error(map, p->why, "params: at most %d", WIRE_PARAMS_MAX);
	out->params = arena_alloc(&p->set->arena, map->count * sizeof(*out->params));
	YAML_EACH(node, map)
	{
		int rc = parse_param(p, node, &out->params[out->n_params++]);
		if (rc)
			return rc;
	}
	return 0;
}

/* tool, target and params, which every kind of call has. */
static int parse_call(struct parser *p, const struct yaml_node *map, struct runbook_call *out)
{
	static const int64_t timeouts[2] = {0, 24 * INT64_C(3600000)};
	static const int64_t deadlines[2] = {0, 3600000};
	static const int64_t intervals[2] = {100, 60000};
	int rc = get_text(p, map, "tool", &out->tool);
	if (rc)
		return rc;
	if (!out->tool || !name_valid(out->tool))
		return yaml_error(map, p->why, "tool: name of a tool wanted");
	out->target = p->rb->target;
	out->interval_ms = 2000;
	out->deadline_ms = 30000;
	if ((rc = get_template(p, map, "target", &out->target)) ||
	    (rc = get_duration(p, map, "timeout", timeouts, &out->timeout_ms)) ||
	    (rc = get_duration(p, map, "deadline", deadlines, &out->deadline_ms)) ||
	    (rc = get_duration(p, map, "interval", intervals, &out->interval_ms)))
		return rc;
	if (!out->target)
		return yaml_error(map, p->why, "target: missing here and in the runbook");
	return parse_params(p, yaml_get(map, "params"), out);
}

static int parse_check(struct parser *p, const struct yaml_node *map, struct runbook_call **out)
{
	if (!map)
		return 0;
	int rc = ONLY_KEYS(p, map, "tool", "target", "params", "deadline", "interval");
	if (rc)
		return rc;
	*out = arena_alloc(&p->set->arena, sizeof(**out));
	return parse_call(p, map, *out);
}

static int parse_rollback(struct parser *p, const struct yaml_node *map, struct runbook_call **out)
{
	if (!map)
		return 0;
	int rc = ONLY_KEYS(p, map, "tool", "target", "params", "timeout");
	if (rc)
		return rc;
	*out = arena_alloc(&p->set->arena, sizeof(**out));
	return parse_call(p, map, *out);
}

static int parse_step(struct parser *p, const struct yaml_node *map, struct runbook_step *out)
{
	int rc = ONLY_KEYS(p, map, "tool", "target", "params", "timeout", "verify", "rollback",
			   "keep_going", "idempotent");
	if (rc || (rc = parse_call(p, map, &out->act)) ||
	    (rc = parse_check(p, yaml_get(map, "verify"), &out->verify)) ||
	    (rc = parse_rollback(p, yaml_get(map, "rollback"), &out->rollback)) ||
	    (rc = get_bool(p, map, "keep_going", &out->keep_going)))
		return rc;
	return get_bool(p, map, "idempotent", &out->idempotent);
}

/* ---- alternatives ---- */

static int parse_steps(struct parser *p, const struct yaml_node *map,
		       struct runbook_alternative *out)
{
	const struct yaml_node *list = yaml_get(map, "steps");
	if (!list || list->type != YAML_LIST || list->count == 0)
		return yaml_error(list ? list : map, p->why, "steps: a list of steps wanted");
	if (list->count > WIRE_STEPS_MAX)
		return yaml_error(list, p->why, "steps: at most %d", WIRE_STEPS_MAX);
	out->steps = arena_alloc(&p->set->arena, list->count * sizeof(*out->steps));
	YAML_EACH(node, list)
	{
		int rc = parse_step(p, node, &out->steps[out->n_steps++]);
		if (rc)
			return rc;
	}
	return 0;
}

static int parse_alternative(struct parser *p, const struct yaml_node *map,
			     struct runbook_alternative *out)
{
	int rc = ONLY_KEYS(p, map, "why", "steps", "verify", "rollback_on_failure");
	if (rc || (rc = get_template(p, map, "why", &out->why)) || (rc = parse_steps(p, map, out)))
		return rc;
	if (!out->why)
		return yaml_error(map, p->why, "why: missing; one sentence for people");
	if ((rc = parse_check(p, yaml_get(map, "verify"), &out->verify)))
		return rc;
	return get_bool(p, map, "rollback_on_failure", &out->rollback_on_failure);
}

static int parse_attempts(struct parser *p, const struct yaml_node *root)
{
	const struct yaml_node *list = yaml_get(root, "attempts");
	struct runbook *rb = p->rb;
	if (!list || list->type != YAML_LIST || list->count == 0)
		return yaml_error(list ? list : root, p->why, "attempts: a list wanted");
	if (list->count > RUNBOOK_ATTEMPTS_MAX)
		return yaml_error(list, p->why, "attempts: at most %d", RUNBOOK_ATTEMPTS_MAX);
	rb->alternatives = arena_alloc(&p->set->arena, list->count * sizeof(*rb->alternatives));
	YAML_EACH(node, list)
	{
		int rc = parse_alternative(p, node, &rb->alternatives[rb->n_alternatives++]);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- the runbook ---- */

static int parse_severity(struct parser *p, const struct yaml_node *root)
{
	const struct yaml_node *node = yaml_get(root, "severity");
	const char *name = NULL;
	int rc = node ? yaml_str(node, "severity", &name, p->why) : 0;
	if (rc || !name)
		return rc;
	if (wire_enum_parse(&healbus__severity__descriptor, name, &p->rb->severity))
		return yaml_error(node, p->why, "severity: info, warning, error or critical");
	return 0;
}

static int parse_when(struct parser *p, const struct yaml_node *root)
{
	const struct yaml_node *node = yaml_get(root, "when");
	const char *source = NULL;
	int rc = node ? yaml_str(node, "when", &source, p->why) : 0;
	return rc || !source ? rc : compile_jq(p, node, source, &p->rb->when);
}

static int parse_name(struct parser *p, const struct yaml_node *root)
{
	struct runbook *rb = p->rb;
	int rc = get_text(p, root, "name", &rb->name);
	if (rc || (rc = get_text(p, root, "description", &rb->description)))
		return rc;
	if (!rb->name || !token_valid(rb->name))
		return yaml_error(root, p->why, "name: 1 to 64 of A-Z a-z 0-9 _ - wanted");
	if (!rb->description)
		return yaml_error(root, p->why, "description: missing");
	return 0;
}

static int parse_match(struct parser *p, const struct yaml_node *root)
{
	const struct yaml_node *node = yaml_get(root, "match");
	if (!node && !yaml_get(root, "when"))
		return yaml_error(root, p->why, "match: missing, and there is no when either");
	return matchers_from_yaml(node, &p->rb->match, p->why);
}

static int parse_limits(struct parser *p, const struct yaml_node *root)
{
	static const int64_t priorities[2] = {0, 1000};
	static const int64_t attempts[2] = {1, RUNBOOK_ATTEMPTS_MAX};
	static const int64_t pauses[2] = {0, 24 * INT64_C(3600000)};
	static const int64_t windows[2] = {1000, INT64_C(7) * 24 * 3600000};
	struct runbook *rb = p->rb;
	const struct yaml_node *confidence = yaml_get(root, "confidence");
	int rc;
	if ((rc = get_int(p, root, "priority", priorities, &rb->priority)) ||
	    (rc = get_int(p, root, "max_attempts", attempts, &rb->max_attempts)) ||
	    (rc = get_duration(p, root, "cooldown", pauses, &rb->cooldown_ms)) ||
	    (rc = get_duration(p, root, "effective_window", windows, &rb->effective_window_ms)) ||
	    (rc = get_duration(p, root, "resolve_within", windows, &rb->resolve_within_ms)))
		return rc;
	return confidence ? yaml_double(confidence, "confidence", 0, 1, &rb->confidence, p->why)
			  : 0;
}

static int parse_root(struct parser *p, const struct yaml_node *root)
{
	int rc = ONLY_KEYS(p, root, "name", "description", "enabled", "priority", "match", "when",
			   "severity", "target", "attempts", "max_attempts", "cooldown",
			   "effective_window", "resolve_within", "confidence", "escalate");
	if (rc || (rc = parse_name(p, root)) ||
	    (rc = get_bool(p, root, "enabled", &p->rb->enabled)) || (rc = parse_match(p, root)) ||
	    (rc = parse_when(p, root)) || (rc = parse_severity(p, root)) ||
	    (rc = parse_limits(p, root)) ||
	    (rc = get_template(p, root, "target", &p->rb->target)) ||
	    (rc = get_template(p, root, "escalate", &p->rb->escalate)))
		return rc;
	return parse_attempts(p, root);
}

static void runbook_defaults(struct runbook *rb)
{
	rb->enabled = true;
	rb->priority = 100;
	rb->max_attempts = 3;
	rb->cooldown_ms = 60000;
	rb->effective_window_ms = 30 * INT64_C(60000);
	rb->resolve_within_ms = 10 * INT64_C(60000);
	rb->confidence = 0.8;
}

static void auto_doc_release(struct yaml_doc *doc)
{
	yaml_release(doc);
}

int runbook_parse(struct runbooks *set, const char *path, struct runbook *out, struct why *out_why)
{
	auto_buf text = {0};
	uint8_t digest[DIGEST_BYTES];
	__attribute__((cleanup(auto_doc_release))) struct yaml_doc doc = {0};
	int rc = buf_read_file(&text, path, RUNBOOK_FILE_MAX_BYTES);
	if (rc)
		return why_set(out_why, ERR_CONFIG, "%s: %s", path, err_name(rc));
	rc = yaml_parse_text(path, buf_str(&text), text.len, &doc, out_why);
	if (rc)
		return rc;
	if (doc.root->type != YAML_MAP)
		return why_set(out_why, ERR_CONFIG, "%s:1: a runbook is a map", path);
	struct parser p = {.set = set, .rb = out, .why = out_why};
	runbook_defaults(out);
	digest_sha256(buf_str(&text), text.len, digest);
	hex_encode(digest, 8, out->digest);
	out->file = arena_strdup(&set->arena, path);
	return parse_root(&p, doc.root);
}
