#include "reasoner/models/schema.h"

#include "common/buf.h"

enum { PATH_MAX_BYTES = 160, KEY_SHOWN_BYTES = 40 };

/* Where we are: a list from the value outwards. */
struct place {
	const struct place *outer;
	const char *key; /* NULL: index */
	size_t index;
	unsigned depth;
};

typedef int value_check(const json_t *rule, const json_t *value, const struct place *at,
			struct why *out_why);

static int check_value(const json_t *schema, const json_t *value, const struct place *at,
		       struct why *out_why);

static void path_add(const struct place *at, struct buf *out)
{
	if (!at || out->len > PATH_MAX_BYTES)
		return;
	path_add(at->outer, out);
	if (!at->key && at->outer)
		buf_printf(out, "[%zu]", at->index);
	if (at->key && out->len)
		buf_add_char(out, '.');
	if (at->key) /* it may be a word of the model's */
		buf_add_printable(out, at->key, MIN(strlen(at->key), KEY_SHOWN_BYTES));
}

static int wrong(const struct place *at, struct why *out_why, int rc, const char *text)
{
	auto_buf path = {0};

	path_add(at, &path);
	return why_set(out_why, rc, "%s: %s", path.len ? buf_str(&path) : "the answer", text);
}

/* ---- one keyword each ---- */

static const struct {
	const char *name;
	json_type type;
} types[] = {
	{"object", JSON_OBJECT},   {"array", JSON_ARRAY},   {"string", JSON_STRING},
	{"integer", JSON_INTEGER}, {"number", JSON_REAL},   {"number", JSON_INTEGER},
	{"boolean", JSON_TRUE},    {"boolean", JSON_FALSE}, {"null", JSON_NULL},
};

static bool is_type(const json_t *name, const json_t *value)
{
	const char *text = json_string_value(name);

	for (size_t i = 0; text && i < ARRAY_SIZE(types); i++) {
		if (str_eq(types[i].name, text) && types[i].type == json_typeof(value))
			return true;
	}
	return false;
}

static int check_type(const json_t *rule, const json_t *value, const struct place *at,
		      struct why *out_why)
{
	bool good = is_type(rule, value);
	size_t i;
	const json_t *name;

	json_array_foreach(rule, i, name)
	{
		good = good || is_type(name, value);
	}
	if (good)
		return 0;
	auto_free char *wanted = json_dumps(rule, JSON_COMPACT | JSON_ENCODE_ANY);
	auto_buf text = {0};
	buf_printf(&text, "must be of type %.80s", wanted ? wanted : "?");
	return wrong(at, out_why, ERR_SCHEMA, buf_str(&text));
}

static int check_enum(const json_t *rule, const json_t *value, const struct place *at,
		      struct why *out_why)
{
	size_t i;
	const json_t *one;

	json_array_foreach(rule, i, one)
	{
		if (json_equal(one, value))
			return 0;
	}
	return wrong(at, out_why, ERR_SCHEMA, "is none of the values allowed");
}

static int check_properties(const json_t *rule, const json_t *value, const struct place *at,
			    struct why *out_why)
{
	const char *key;
	json_t *schema;

	if (!json_is_object(value))
		return 0;
	json_object_foreach((json_t *)rule, key, schema)
	{
		const json_t *member = json_object_get(value, key);
		struct place inner = {.outer = at, .key = key, .depth = at->depth + 1};
		int rc = member ? check_value(schema, member, &inner, out_why) : 0;

		if (rc)
			return rc;
	}
	return 0;
}

static int check_required(const json_t *rule, const json_t *value, const struct place *at,
			  struct why *out_why)
{
	size_t i;
	const json_t *name;

	if (!json_is_object(value))
		return 0;
	json_array_foreach(rule, i, name)
	{
		const char *key = json_string_value(name);
		struct place inner = {.outer = at, .key = key, .depth = at->depth + 1};

		if (key && !json_object_get(value, key))
			return wrong(&inner, out_why, ERR_SCHEMA, "missing");
	}
	return 0;
}

static int check_items(const json_t *rule, const json_t *value, const struct place *at,
		       struct why *out_why)
{
	size_t i;
	const json_t *one;

	json_array_foreach(value, i, one)
	{
		struct place inner = {.outer = at, .index = i, .depth = at->depth + 1};
		int rc = check_value(rule, one, &inner, out_why);

		if (rc)
			return rc;
	}
	return 0;
}

/* Of UTF-8, which jansson has checked. */
static size_t characters(const json_t *text)
{
	const char *s = json_string_value(text);
	size_t n = 0;

	for (size_t i = 0; i < json_string_length(text); i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

static int check_min_length(const json_t *rule, const json_t *value, const struct place *at,
			    struct why *out_why)
{
	if (!json_is_string(value) || (json_int_t)characters(value) >= json_integer_value(rule))
		return 0;
	return wrong(at, out_why, ERR_SCHEMA, "is too short");
}

static int check_max_length(const json_t *rule, const json_t *value, const struct place *at,
			    struct why *out_why)
{
	if (!json_is_string(value) || (json_int_t)characters(value) <= json_integer_value(rule))
		return 0;
	return wrong(at, out_why, ERR_SCHEMA, "is too long");
}

static int check_minimum(const json_t *rule, const json_t *value, const struct place *at,
			 struct why *out_why)
{
	if (!json_is_number(value) || json_number_value(value) >= json_number_value(rule))
		return 0;
	return wrong(at, out_why, ERR_SCHEMA, "is under the minimum");
}

static int check_maximum(const json_t *rule, const json_t *value, const struct place *at,
			 struct why *out_why)
{
	if (!json_is_number(value) || json_number_value(value) <= json_number_value(rule))
		return 0;
	return wrong(at, out_why, ERR_SCHEMA, "is over the maximum");
}

static int check_min_items(const json_t *rule, const json_t *value, const struct place *at,
			   struct why *out_why)
{
	if (!json_is_array(value) || (json_int_t)json_array_size(value) >= json_integer_value(rule))
		return 0;
	return wrong(at, out_why, ERR_SCHEMA, "has too few items");
}

static int check_max_items(const json_t *rule, const json_t *value, const struct place *at,
			   struct why *out_why)
{
	if (!json_is_array(value) || (json_int_t)json_array_size(value) <= json_integer_value(rule))
		return 0;
	return wrong(at, out_why, ERR_SCHEMA, "has too many items");
}

/* ---- what a schema may hold ---- */

static bool good_type(const json_t *rule)
{
	size_t i, j;
	const json_t *name;
	bool known = false;

	if (json_is_array(rule)) {
		json_array_foreach(rule, i, name)
		{
			if (!json_is_string(name) || !good_type(name))
				return false;
		}
		return json_array_size(rule) > 0;
	}
	for (j = 0; json_is_string(rule) && j < ARRAY_SIZE(types); j++)
		known = known || str_eq(types[j].name, json_string_value(rule));
	return known;
}

static bool good_texts(const json_t *rule)
{
	size_t i;
	const json_t *name;

	json_array_foreach(rule, i, name)
	{
		if (!json_is_string(name))
			return false;
	}
	return json_is_array(rule);
}

static bool good_array(const json_t *rule)
{
	return json_array_size(rule) > 0;
}

static bool good_object(const json_t *rule)
{
	return json_is_object(rule);
}

static bool good_bool(const json_t *rule)
{
	return json_is_boolean(rule);
}

static bool good_count(const json_t *rule)
{
	return json_is_integer(rule) && json_integer_value(rule) >= 0;
}

static bool good_number(const json_t *rule)
{
	return json_is_number(rule);
}

static bool good_text(const json_t *rule)
{
	return json_is_string(rule);
}

/* In the order in which an answer is held against them. additionalProperties needs its sibling,
 * and so is not here alone. */
static const struct keyword {
	const char *name;
	bool (*good)(const json_t *rule);
	value_check *check;
} keywords[] = {
	{"type", good_type, check_type},
	{"enum", good_array, check_enum},
	{"required", good_texts, check_required},
	{"properties", good_object, check_properties},
	{"items", good_object, check_items},
	{"minLength", good_count, check_min_length},
	{"maxLength", good_count, check_max_length},
	{"minimum", good_number, check_minimum},
	{"maximum", good_number, check_maximum},
	{"minItems", good_count, check_min_items},
	{"maxItems", good_count, check_max_items},
	{"additionalProperties", good_bool, NULL},
	{"title", good_text, NULL},
	{"description", good_text, NULL},
};

static int check_additional(const json_t *schema, const json_t *value, const struct place *at,
			    struct why *out_why)
{
	const json_t *known = json_object_get(schema, "properties");
	const char *key;
	json_t *member;

	if (!json_is_false(json_object_get(schema, "additionalProperties")))
		return 0;
	json_object_foreach((json_t *)value, key, member)
	{
		struct place inner = {.outer = at, .key = key, .depth = at->depth + 1};

		if (!json_object_get(known, key))
			return wrong(&inner, out_why, ERR_SCHEMA, "nobody asked for this");
	}
	return 0;
}

static int check_value(const json_t *schema, const json_t *value, const struct place *at,
		       struct why *out_why)
{
	int rc = 0;

	if (at->depth > SCHEMA_DEPTH_MAX)
		return wrong(at, out_why, ERR_SCHEMA, "is too deep");
	for (size_t i = 0; i < ARRAY_SIZE(keywords) && !rc; i++) {
		const json_t *rule = json_object_get(schema, keywords[i].name);

		if (rule && keywords[i].check)
			rc = keywords[i].check(rule, value, at, out_why);
	}
	return rc ? rc : check_additional(schema, value, at, out_why);
}

int schema_validate(const json_t *schema, const json_t *value, struct why *out_why)
{
	return check_value(schema, value, &(struct place){0}, out_why);
}

/* ---- the schema itself ---- */

static int check_schema(const json_t *schema, const struct place *at, struct why *out_why);

static int check_keyword(const char *name, const json_t *rule, const struct place *at,
			 struct why *out_why)
{
	for (size_t i = 0; i < ARRAY_SIZE(keywords); i++) {
		if (!str_eq(keywords[i].name, name))
			continue;
		return keywords[i].good(rule) ? 0
					      : wrong(at, out_why, ERR_INVALID,
						      "the schema's keyword is malformed");
	}
	return wrong(at, out_why, ERR_INVALID, "the schema's keyword is not one that we check");
}

static int check_inner(const json_t *schema, const struct place *at, struct why *out_why)
{
	const json_t *items = json_object_get(schema, "items");
	struct place inner = {.outer = at, .key = "items", .depth = at->depth + 1};
	int rc = items ? check_schema(items, &inner, out_why) : 0;
	const char *key;
	json_t *one;

	json_object_foreach(json_object_get(schema, "properties"), key, one)
	{
		inner.key = key;
		if (!rc)
			rc = check_schema(one, &inner, out_why);
	}
	return rc;
}

static int check_schema(const json_t *schema, const struct place *at, struct why *out_why)
{
	const char *key;
	json_t *rule;

	if (!json_is_object(schema) || at->depth > SCHEMA_DEPTH_MAX)
		return wrong(at, out_why, ERR_INVALID, "the schema is no object, or too deep");
	json_object_foreach((json_t *)schema, key, rule)
	{
		struct place inner = {.outer = at, .key = key, .depth = at->depth + 1};
		int rc = check_keyword(key, rule, &inner, out_why);

		if (rc)
			return rc;
	}
	return check_inner(schema, at, out_why);
}

int schema_check(const json_t *schema, struct why *out_why)
{
	return check_schema(schema, &(struct place){0}, out_why);
}

static bool is_named(const json_t *type, const char *name)
{
	return json_is_string(type) && str_eq(json_string_value(type), name);
}

static bool closed_here(const json_t *schema)
{
	const json_t *properties = json_object_get(schema, "properties");
	const json_t *type = json_object_get(schema, "type");
	bool object = properties || is_named(type, "object");
	size_t i;
	const json_t *name;

	json_array_foreach(type, i, name)
	{
		object = object || is_named(name, "object");
	}
	if (!object)
		return true;
	return json_is_false(json_object_get(schema, "additionalProperties")) &&
	       json_array_size(json_object_get(schema, "required")) == json_object_size(properties);
}

bool schema_is_closed(const json_t *schema)
{
	const json_t *items = json_object_get(schema, "items");
	const char *key;
	json_t *one;

	if (!closed_here(schema) || (items && !schema_is_closed(items)))
		return false;
	json_object_foreach(json_object_get(schema, "properties"), key, one)
	{
		if (!schema_is_closed(one))
			return false;
	}
	return true;
}

json_t *schema_without_lengths(const json_t *schema)
{
	json_t *copy = json_copy((json_t *)schema);
	json_t *items = json_object_get(copy, "items");
	json_t *properties = json_object_get(copy, "properties");
	const char *key;
	json_t *one;

	json_object_del(copy, "minLength");
	json_object_del(copy, "maxLength");
	if (items)
		json_object_set_new(copy, "items", schema_without_lengths(items));
	if (properties) {
		json_t *mine = json_object();

		json_object_foreach(properties, key, one)
		{
			json_object_set_new(mine, key, schema_without_lengths(one));
		}
		json_object_set_new(copy, "properties", mine);
	}
	return copy;
}
