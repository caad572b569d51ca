#include "executor/params.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "common/clock.h"
#include "common/mem.h"

enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 1000 };

static const char *const type_names[] = {"string", "int",  "bool", "enum", "duration",
					 "path",   "host", "name", "url",  "text"};

#define HOST_PATTERN "(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45})"

/* What a value of each type looks like when the schema gives no pattern of its own. */
static const char *const type_patterns[] = {
	[PARAM_STRING] = PARAM_DEFAULT_PATTERN,
	[PARAM_NAME] = PARAM_DEFAULT_PATTERN,
	[PARAM_HOST] = HOST_PATTERN,
	[PARAM_PATH] = "/[^\\x00-\\x1f\\x7f]{0,1023}",
	[PARAM_URL] = "https?://[A-Za-z0-9.:\\[\\]-]{1,255}(?:/[A-Za-z0-9._~/%+=&?,:;@-]{0,1023})?",
	[PARAM_DURATION] = "[0-9a-z]{1,32}",
	[PARAM_TEXT] = NULL,
};

bool params_have_text(const struct params_def *defs)
{
	for (size_t i = 0; i < defs->n; i++)
		if (defs->items[i].type == PARAM_TEXT)
			return true;
	return false;
}

const char *param_type_name(enum param_type type)
{
	return type_names[type];
}

bool path_is_plain(const char *path)
{
	if (path[0] != '/')
		return false;
	if (path[1] == 0)
		return true;
	for (const char *p = path; *p;) {
		size_t len = strcspn(++p, "/");
		bool dots = (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.');
		if (len == 0 || dots)
			return false;
		p += len;
	}
	return true;
}

/* ---- schema ---- */

static void param_release(struct param_def *d)
{
	free(d->name);
	free(d->pattern);
	free(d->help);
	pcre2_code_free(d->regex);
	for (size_t i = 0; d->values && d->values[i]; i++)
		free(d->values[i]);
	free(d->values);
	json_decref(d->fallback);
}

void params_release(struct params_def *defs)
{
	for (size_t i = 0; i < defs->n; i++)
		param_release(&defs->items[i]);
	free(defs->items);
	*defs = (struct params_def){0};
}

static int compile_pattern(struct param_def *d, const struct yaml_node *node, struct why *out_why)
{
	const char *pattern = d->pattern ? d->pattern : type_patterns[d->type];
	if (!pattern)
		return 0;
	int code = 0;
	PCRE2_SIZE at = 0;
	d->regex =
		pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
			      PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_UTF,
			      &code, &at, NULL);
	if (d->regex)
		return 0;
	PCRE2_UCHAR text[128] = {0};
	pcre2_get_error_message(code, text, sizeof(text));
	return yaml_error(node, out_why, "pattern: %s at %zu", (const char *)text, (size_t)at);
}

static int parse_type(struct param_def *d, const struct yaml_node *node, struct why *out_why)
{
	const char *text = NULL;
	int rc = yaml_str(yaml_get(node, "type"), "type", &text, out_why);
	if (rc)
		return rc;
	for (size_t i = 0; i < ARRAY_SIZE(type_names); i++) {
		if (!str_eq(text, type_names[i]))
			continue;
		d->type = (enum param_type)i;
		return 0;
	}
	return yaml_error(node, out_why, "type: \"%s\" is not a parameter type", text);
}

static int parse_range(struct param_def *d, const struct yaml_node *node, struct why *out_why)
{
	d->min = d->type == PARAM_DURATION ? 0 : INT64_MIN;
	d->max = INT64_MAX;
	const struct yaml_node *min = yaml_get(node, "min"), *max = yaml_get(node, "max");
	if (d->type == PARAM_DURATION) {
		int rc = min ? yaml_duration_ms(min, "min", 0, INT64_MAX, &d->min, out_why) : 0;
		if (rc || !max)
			return rc;
		return yaml_duration_ms(max, "max", 0, INT64_MAX, &d->max, out_why);
	}
	int rc = min ? yaml_int(min, "min", INT64_MIN, INT64_MAX, &d->min, out_why) : 0;
	if (rc || !max)
		return rc;
	return yaml_int(max, "max", INT64_MIN, INT64_MAX, &d->max, out_why);
}

static int parse_values(struct param_def *d, const struct yaml_node *node, struct why *out_why)
{
	const struct yaml_node *list = yaml_get(node, "values");
	if (!list != (d->type != PARAM_ENUM))
		return yaml_error(node, out_why, "values: an enum has them, nothing else");
	if (!list)
		return 0;
	d->values = mem_calloc(list->count + 1, sizeof(*d->values));
	size_t n = 0;
	YAML_EACH(item, list)
	{
		const char *text = NULL;
		int rc = yaml_str(item, "values", &text, out_why);
		if (rc)
			return rc;
		d->values[n++] = mem_strdup(text);
	}
	return n ? 0 : yaml_error(list, out_why, "values: empty");
}

static json_t *scalar_json(const struct yaml_node *node)
{
	auto_buf text = {0};
	yaml_to_json(node, &text);
	return json_loads(buf_str(&text), JSON_DECODE_ANY, NULL);
}

static int parse_texts(struct param_def *d, const struct yaml_node *node, struct why *out_why)
{
	const char *pattern = NULL, *help = NULL;
	const struct yaml_node *p = yaml_get(node, "pattern"), *h = yaml_get(node, "help");
	int rc = p ? yaml_str(p, "pattern", &pattern, out_why) : 0;
	if (!rc && h)
		rc = yaml_str(h, "help", &help, out_why);
	if (rc)
		return rc;
	d->pattern = mem_strdup(pattern);
	d->help = mem_strdup(help);
	const struct yaml_node *fallback = yaml_get(node, "default");
	d->fallback = fallback ? scalar_json(fallback) : NULL;
	d->required = !fallback;
	return 0;
}

static int parse_param(struct param_def *d, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"type",     "pattern", "min",        "max", "values",
					   "required", "default", "allow_dash", "help"};
	d->name = mem_strdup(node->key);
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = parse_type(d, node, out_why);
	if (!rc)
		rc = parse_range(d, node, out_why);
	if (!rc)
		rc = parse_values(d, node, out_why);
	if (!rc)
		rc = parse_texts(d, node, out_why);
	const struct yaml_node *required = yaml_get(node, "required");
	if (!rc && required)
		rc = yaml_bool(required, "required", &d->required, out_why);
	const struct yaml_node *dash = yaml_get(node, "allow_dash");
	if (!rc && dash)
		rc = yaml_bool(dash, "allow_dash", &d->dash, out_why);
	return rc ? rc : compile_pattern(d, node, out_why);
}

int params_parse(const struct yaml_node *node, struct params_def *out, struct why *out_why)
{
	if (!node || node->count == 0)
		return 0;
	if (node->type != YAML_MAP)
		return yaml_error(node, out_why, "params: must be a map");
	out->items = mem_calloc(node->count, sizeof(*out->items));
	YAML_EACH(item, node)
	{
		int rc = parse_param(&out->items[out->n++], item, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- values ---- */

static int bad(const struct param_def *d, struct why *out_why, int rc, const char *what)
{
	return why_set(out_why, rc, "parameter %s: %s", d->name, what);
}

static bool matches(const struct param_def *d, const char *text)
{
	if (!d->regex)
		return true;
	pcre2_match_context *limits = pcre2_match_context_create(NULL);
	pcre2_set_match_limit(limits, MATCH_LIMIT);
	pcre2_set_depth_limit(limits, DEPTH_LIMIT);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	int rc = pcre2_match(d->regex, (PCRE2_SPTR)text, strlen(text), 0, 0, data, limits);
	pcre2_match_data_free(data);
	pcre2_match_context_free(limits);
	return rc >= 0;
}

static int check_int(const struct param_def *d, int64_t v, json_t **out, struct why *out_why)
{
	if (v < d->min || v > d->max)
		return why_set(out_why, ERR_INVALID, "parameter %s: %" PRId64 " is out of range",
			       d->name, v);
	*out = json_integer(v);
	return 0;
}

static int check_enum(const struct param_def *d, const char *text, struct why *out_why)
{
	for (size_t i = 0; d->values[i]; i++)
		if (str_eq(d->values[i], text))
			return 0;
	return bad(d, out_why, ERR_INVALID, "is not one of its values");
}

static int check_place(const struct param_def *d, const struct params_place *at, const char *text,
		       struct why *out_why)
{
	if (d->type == PARAM_PATH && !path_is_plain(text))
		return bad(d, out_why, ERR_INVALID, "is not a plain absolute path");
	if (d->type == PARAM_PATH && !target_allows_path(at->target, text, at->reads))
		return bad(d, out_why, ERR_DENIED, "is outside the target's paths");
	if (d->type == PARAM_HOST && !target_allows_host(at->target, text))
		return bad(d, out_why, ERR_DENIED, "is not one of the target's hosts");
	if (d->type == PARAM_URL && !target_allows_url(at->target, text))
		return bad(d, out_why, ERR_DENIED, "its host is not one of the target's");
	return 0;
}

static int check_text(const struct param_def *d, const struct params_place *at, const char *text,
		      json_t **out, struct why *out_why)
{
	if (text[0] == '-' && !d->dash)
		return bad(d, out_why, ERR_INVALID, "begins with '-'");
	if (!matches(d, text))
		return bad(d, out_why, ERR_INVALID, "does not match its pattern");
	int rc = d->type == PARAM_ENUM ? check_enum(d, text, out_why) : 0;
	if (!rc)
		rc = check_place(d, at, text, out_why);
	if (rc)
		return rc;
	int64_t ms = 0;
	if (d->type != PARAM_DURATION) {
		*out = json_string(text);
		return *out ? 0 : bad(d, out_why, ERR_INVALID, "is not UTF-8");
	}
	if (duration_parse(text, &ms))
		return bad(d, out_why, ERR_INVALID, "is not a duration");
	return check_int(d, ms, out, out_why);
}

static int text_to_int(const char *text, int64_t *out)
{
	char *end = NULL;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	bool digits = text[0] == '-' ? text[1] >= '0' && text[1] <= '9'
				     : text[0] >= '0' && text[0] <= '9';
	if (!digits || errno || *end)
		return ERR_INVALID;
	*out = v;
	return 0;
}

static int check_number(const struct param_def *d, const Healbus__Param *p, json_t **out,
			struct why *out_why)
{
	int64_t v = p->int_value;
	if (p->has_double_value) {
		if (!(p->double_value >= -9e15 && p->double_value <= 9e15))
			return bad(d, out_why, ERR_INVALID, "is out of range");
		v = (int64_t)p->double_value;
		if ((double)v < p->double_value || (double)v > p->double_value)
			return bad(d, out_why, ERR_INVALID, "is not a whole number");
	} else if (p->string_value) {
		if (text_to_int(p->string_value, &v))
			return bad(d, out_why, ERR_INVALID, "is not a whole number");
	} else if (!p->has_int_value) {
		return bad(d, out_why, ERR_INVALID, "is not a whole number");
	}
	return check_int(d, v, out, out_why);
}

static int check_bool(const struct param_def *d, const Healbus__Param *p, json_t **out,
		      struct why *out_why)
{
	bool text_true = p->string_value && str_eq(p->string_value, "true");
	bool text_false = p->string_value && str_eq(p->string_value, "false");
	if (!p->has_bool_value && !text_true && !text_false)
		return bad(d, out_why, ERR_INVALID, "is not true or false");
	*out = json_boolean(p->has_bool_value ? p->bool_value : text_true);
	return 0;
}

static int check_long_text(const struct param_def *d, const Healbus__Param *p, json_t **out,
			   struct why *out_why)
{
	const char *text = p->text_value ? p->text_value : p->string_value;
	if (!text)
		return bad(d, out_why, ERR_INVALID, "must be text");
	if (strlen(text) > PARAM_TEXT_MAX)
		return bad(d, out_why, ERR_TOO_LARGE, "is longer than 128 KiB");
	*out = json_string(text);
	return *out ? 0 : bad(d, out_why, ERR_INVALID, "is not UTF-8");
}

static int check_param(const struct param_def *d, const struct params_place *at,
		       const Healbus__Param *p, json_t **out, struct why *out_why)
{
	if (d->type == PARAM_INT)
		return check_number(d, p, out, out_why);
	if (d->type == PARAM_BOOL)
		return check_bool(d, p, out, out_why);
	if (d->type == PARAM_TEXT)
		return check_long_text(d, p, out, out_why);
	if (p->string_value)
		return check_text(d, at, p->string_value, out, out_why);
	if (!p->has_int_value || d->type == PARAM_DURATION)
		return bad(d, out_why, ERR_INVALID, "must be text");
	/* A label such as "5432" comes out of a template as a number. */
	char text[32];
	snprintf(text, sizeof(text), "%" PRId64, p->int_value);
	return check_text(d, at, text, out, out_why);
}

static const struct param_def *def_find(const struct params_def *defs, const char *name)
{
	for (size_t i = 0; name && i < defs->n; i++)
		if (str_eq(defs->items[i].name, name))
			return &defs->items[i];
	return NULL;
}

static int take_values(const struct params_def *defs, const struct params_place *place,
		       Healbus__Param *const *params, size_t n, json_t *object, struct why *out_why)
{
	for (size_t i = 0; i < n; i++) {
		const struct param_def *d = def_find(defs, params[i]->name);
		if (!d)
			return why_set(out_why, ERR_UNKNOWN_KEY, "parameter %s: unknown",
				       params[i]->name ? params[i]->name : "");
		if (json_object_get(object, d->name))
			return bad(d, out_why, ERR_INVALID, "is given twice");
		json_t *value = NULL;
		int rc = check_param(d, place, params[i], &value, out_why);
		if (rc)
			return rc;
		json_object_set_new(object, d->name, value);
	}
	return 0;
}

static int fill_defaults(const struct params_def *defs, json_t *object, struct why *out_why)
{
	for (size_t i = 0; i < defs->n; i++) {
		const struct param_def *d = &defs->items[i];
		if (json_object_get(object, d->name))
			continue;
		if (!d->fallback && d->required)
			return bad(d, out_why, ERR_INVALID, "is missing");
		json_object_set_new(object, d->name,
				    d->fallback ? json_deep_copy(d->fallback) : json_null());
	}
	return 0;
}

int params_validate(const struct params_def *defs, const struct params_place *place,
		    Healbus__Param *const *params, size_t n, json_t **out, struct why *out_why)
{
	json_t *object = json_object();
	int rc = take_values(defs, place, params, n, object, out_why);
	if (!rc)
		rc = fill_defaults(defs, object, out_why);
	if (rc) {
		json_decref(object);
		return rc;
	}
	*out = object;
	return 0;
}
