#include "common/expr_impl.h"

#include "common/mem.h"

struct expr {
	char *source;
	jq_state *jq; /* NULL: simple */
	struct simple simple;
	struct buf errors;
};

const char *expr_source(const struct expr *e)
{
	return e->source;
}

void expr_free(struct expr *e)
{
	if (!e)
		return;
	if (e->jq)
		jq_teardown(&e->jq);
	simple_release(&e->simple);
	buf_release(&e->errors);
	free(e->source);
	free(e);
}

/* ---- jq ---- */

static void keep_error(void *ctx, jv message)
{
	struct buf *errors = ctx;
	jv text = jq_format_error(message);
	if (jv_get_kind(text) == JV_KIND_STRING && errors->len < WHY_TEXT_BYTES) {
		const char *s = jv_string_value(text);
		buf_add_str(errors, errors->len ? "; " : "");
		buf_add_str(errors, str_starts(s, "jq: error: ") ? s + 11 : s);
	}
	jv_free(text);
}

static void out_of_memory(void *ctx)
{
	(void)ctx;
	abort();
}

static int compile_jq(struct expr *e, struct why *out_why)
{
	int rc = expr_scan(e->source, out_why);
	if (rc)
		return why_prefix(out_why, rc, "%.200s", e->source);
	e->jq = jq_init();
	if (!e->jq)
		abort();
	/* Without it, jq 1.6 calls whatever lay in the memory that it took. */
	jq_set_nomem_handler(e->jq, out_of_memory, NULL);
	jq_set_error_cb(e->jq, keep_error, &e->errors);
	/* Nothing is ever looked for in files. */
	jq_set_attr(e->jq, jv_string("JQ_LIBRARY_PATH"), jv_array());
	if (jq_compile(e->jq, e->source))
		return 0;
	return why_set(out_why, ERR_CONFIG, "%.200s: %.250s", e->source, buf_str(&e->errors));
}

int expr_compile(const char *source, struct expr **out, struct why *out_why)
{
	if (strlen(source) > EXPR_SOURCE_MAX_BYTES)
		return why_set(out_why, ERR_CONFIG, "expression longer than %d bytes",
			       EXPR_SOURCE_MAX_BYTES);
	struct expr *e = mem_alloc(sizeof(*e));
	e->source = mem_strdup(source);
	int rc = 0;
	if (!simple_parse(source, &e->simple))
		rc = compile_jq(e, out_why);
	if (rc)
		expr_free(e);
	else
		*out = e;
	return rc;
}

/* jq says "no more" and "error" with the same kind of value. */
static int end_of_outputs(const struct expr *e, jv end, struct why *out_why)
{
	if (!jv_invalid_has_msg(jv_copy(end))) {
		jv_free(end);
		return 0;
	}
	jv message = jv_invalid_get_msg(end);
	if (jv_get_kind(message) != JV_KIND_STRING)
		message = jv_dump_string(message, 0);
	int rc = why_set(out_why, ERR_INVALID, "%.200s: %.250s", e->source,
			 jv_string_value(message));
	jv_free(message);
	return rc;
}

/* Outputs go to the end of the array, at most max of them. */
static int pull(struct expr *e, size_t max, json_t *array, struct why *out_why)
{
	size_t budget = EXPR_OUTPUT_MAX_BYTES;
	for (size_t n = 0; n < max; n++) {
		jv value = jq_next(e->jq);
		if (!jv_is_valid(value))
			return end_of_outputs(e, value, out_why);
		json_t *json = NULL;
		int rc = expr_json_from_jv(value, &budget, &json);
		jv_free(value);
		if (rc)
			return why_set(out_why, rc, "%.200s: output too large", e->source);
		json_array_append_new(array, json);
	}
	if (max > 1)
		return why_set(out_why, ERR_TOO_LARGE, "%.200s: more than %zu outputs", e->source,
			       max);
	return 0;
}

static int eval_jq(struct expr *e, const json_t *input, size_t max, json_t *array,
		   struct why *out_why)
{
	struct expr_guard guard;
	jq_start(e->jq, expr_jv_from_json(input), 0);
	expr_guard_start(&guard, e->jq);
	int rc = pull(e, max, array, out_why);
	expr_guard_stop(&guard);
	if (guard.fired)
		rc = why_set(out_why, ERR_TIMEOUT, "%.200s: ran longer than %d ms", e->source,
			     EXPR_TIME_MAX_MS);
	/* Lets go of the input and of what was left half done. */
	jq_start(e->jq, jv_null(), 0);
	return rc;
}

static int eval_into(struct expr *e, const json_t *input, size_t max, json_t *array,
		     struct why *out_why)
{
	if (e->jq)
		return eval_jq(e, input, max, array, out_why);
	json_t *value = NULL;
	int rc = simple_eval(&e->simple, input, &value, out_why);
	if (rc)
		return why_prefix(out_why, rc, "%.200s", e->source);
	json_array_append_new(array, value);
	return 0;
}

int expr_eval(struct expr *e, const json_t *input, json_t **out, struct why *out_why)
{
	json_t *array = json_array();
	int rc = eval_into(e, input, 1, array, out_why);
	if (!rc)
		*out = json_incref(json_array_get(array, 0));
	json_decref(array);
	return rc;
}

int expr_eval_all(struct expr *e, const json_t *input, json_t **out_array, struct why *out_why)
{
	json_t *array = json_array();
	int rc = eval_into(e, input, EXPR_OUTPUTS_MAX, array, out_why);
	if (rc)
		json_decref(array);
	else
		*out_array = array;
	return rc;
}

int expr_test(struct expr *e, const json_t *input, bool *out, struct why *out_why)
{
	json_t *value = NULL;
	int rc = expr_eval(e, input, &value, out_why);
	*out = !rc && value && !json_is_false(value) && !json_is_null(value);
	json_decref(value);
	return rc;
}
