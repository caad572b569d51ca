#include "common/expr_impl.h"

#include <math.h>

enum { DEPTH_MAX = 256 };

/* ---- jansson to jq ---- */

static jv from_json(const json_t *json, int depth);

static jv from_object(const json_t *json, int depth)
{
	jv out = jv_object();
	for (void *i = json_object_iter((json_t *)(uintptr_t)json); i;
	     i = json_object_iter_next((json_t *)(uintptr_t)json, i))
		out = jv_object_set(out, jv_string(json_object_iter_key(i)),
				    from_json(json_object_iter_value(i), depth + 1));
	return out;
}

static jv from_array(const json_t *json, int depth)
{
	size_t n = json_array_size(json);
	jv out = jv_array();
	for (size_t i = 0; i < n; i++)
		out = jv_array_append(out, from_json(json_array_get(json, i), depth + 1));
	return out;
}

static jv from_json(const json_t *json, int depth)
{
	if (!json || depth > DEPTH_MAX)
		return jv_null();
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return from_object(json, depth);
	case JSON_ARRAY:
		return from_array(json, depth);
	case JSON_STRING:
		return jv_string_sized(json_string_value(json), (int)json_string_length(json));
	case JSON_INTEGER:
	case JSON_REAL:
		return jv_number(json_number_value(json));
	case JSON_TRUE:
		return jv_true();
	case JSON_FALSE:
		return jv_false();
	case JSON_NULL:
		break;
	}
	return jv_null();
}

jv expr_jv_from_json(const json_t *json)
{
	return from_json(json, 0);
}

/* ---- jq to jansson ---- */

struct output {
	size_t *budget;
	int depth;
};

static int to_json(struct output *o, jv value, json_t **out);

static int spend(struct output *o, size_t bytes)
{
	if (bytes > *o->budget)
		return ERR_TOO_LARGE;
	*o->budget -= bytes;
	return 0;
}

static json_t *from_number(double n)
{
	static const double exact_max = 9007199254740992.0; /* 2^53 */
	if (!isfinite(n))
		return json_null();
	if (fabs(n) <= exact_max && floor(n) == n)
		return json_integer((json_int_t)n);
	return json_real(n);
}

static int to_string(struct output *o, jv value, json_t **out)
{
	size_t len = (size_t)jv_string_length_bytes(jv_copy(value));
	int rc = spend(o, len);
	if (!rc)
		*out = json_stringn_nocheck(jv_string_value(value), len);
	return rc;
}

static int to_array(struct output *o, jv value, json_t *array)
{
	int n = jv_array_length(jv_copy(value));
	for (int i = 0; i < n; i++) {
		json_t *item = NULL;
		jv element = jv_array_get(jv_copy(value), i);
		int rc = to_json(o, element, &item);
		jv_free(element);
		if (rc)
			return rc;
		json_array_append_new(array, item);
	}
	return 0;
}

static int to_member(struct output *o, jv key, jv value, json_t *object)
{
	json_t *item = NULL;
	int rc = spend(o, (size_t)jv_string_length_bytes(jv_copy(key)));
	if (!rc)
		rc = to_json(o, value, &item);
	if (!rc)
		json_object_set_new_nocheck(object, jv_string_value(key), item);
	return rc;
}

static int to_object(struct output *o, jv value, json_t *object)
{
	for (int i = jv_object_iter(value); jv_object_iter_valid(value, i);
	     i = jv_object_iter_next(value, i)) {
		jv key = jv_object_iter_key(value, i);
		jv member = jv_object_iter_value(value, i);
		int rc = to_member(o, key, member, object);
		jv_free(key);
		jv_free(member);
		if (rc)
			return rc;
	}
	return 0;
}

static int to_container(struct output *o, jv value, json_t **out)
{
	bool array = jv_get_kind(value) == JV_KIND_ARRAY;
	json_t *container = array ? json_array() : json_object();
	o->depth++;
	int rc = o->depth > DEPTH_MAX ? ERR_TOO_LARGE
		 : array              ? to_array(o, value, container)
				      : to_object(o, value, container);
	o->depth--;
	if (rc)
		json_decref(container);
	else
		*out = container;
	return rc;
}

/* Borrows value. */
static int to_json(struct output *o, jv value, json_t **out)
{
	int rc = spend(o, 8);
	if (rc)
		return rc;
	switch (jv_get_kind(value)) {
	case JV_KIND_OBJECT:
	case JV_KIND_ARRAY:
		return to_container(o, value, out);
	case JV_KIND_STRING:
		return to_string(o, value, out);
	case JV_KIND_NUMBER:
		*out = from_number(jv_number_value(value));
		return 0;
	case JV_KIND_TRUE:
	case JV_KIND_FALSE:
		*out = json_boolean(jv_get_kind(value) == JV_KIND_TRUE);
		return 0;
	case JV_KIND_NULL:
	case JV_KIND_INVALID:
		break;
	}
	*out = json_null();
	return 0;
}

int expr_json_from_jv(jv value, size_t *budget, json_t **out)
{
	struct output o = {.budget = budget};
	return to_json(&o, value, out);
}
