#include "notifier/channels/shape.h"

#include "common/expr.h"
#include "common/http_text.h"
#include "common/mem.h"

struct shape {
	json_t *tree;
	struct template *leaves[SHAPE_LEAVES_MAX]; /* its strings, in the order of a walk */
	size_t n;
};

void shape_free(struct shape *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		template_free(s->leaves[i]);
	json_decref(s->tree);
	free(s);
}

static int walk_compile(struct shape *s, const json_t *node, int depth, struct why *out_why)
{
	const char *key;
	json_t *child;
	size_t i;
	int rc = 0;
	if (depth > SHAPE_DEPTH_MAX)
		return why_set(out_why, ERR_CONFIG, "nested deeper than %d", SHAPE_DEPTH_MAX);
	if (json_is_string(node)) {
		if (s->n == SHAPE_LEAVES_MAX)
			return why_set(out_why, ERR_CONFIG, "more than %d texts", SHAPE_LEAVES_MAX);
		return template_compile(json_string_value(node), &s->leaves[s->n++], out_why);
	}
	json_object_foreach((json_t *)node, key, child)
	{
		rc = walk_compile(s, child, depth + 1, out_why);
		if (rc)
			return why_prefix(out_why, rc, "%s", key);
	}
	json_array_foreach(node, i, child)
	{
		rc = walk_compile(s, child, depth + 1, out_why);
		if (rc)
			return why_prefix(out_why, rc, "[%zu]", i);
	}
	return 0;
}

int shape_compile(const json_t *source, struct shape **out, struct why *out_why)
{
	struct shape *s = mem_alloc(sizeof(*s));
	s->tree = json_deep_copy(source);
	int rc = walk_compile(s, s->tree, 0, out_why);
	if (rc)
		shape_free(s);
	else
		*out = s;
	return rc;
}

static int leaf_make(struct template *leaf, const json_t *input, json_t **out, struct why *out_why)
{
	auto_buf text = {0};
	struct expr *value = template_expr(leaf);
	if (value) {
		json_t *made = NULL;
		int rc = expr_eval(value, input, &made, out_why);
		if (!rc)
			*out = made ? made : json_null();
		return rc;
	}
	int rc = template_render(leaf, input, &text, out_why);
	if (rc)
		return rc;
	json_t *made = json_stringn(buf_str(&text), text.len);
	if (!made)
		return why_set(out_why, ERR_INVALID, "the text is not UTF-8");
	*out = made;
	return 0;
}

struct making {
	const struct shape *shape;
	const json_t *input;
	size_t next;
	struct why *why;
};

static int walk_make(struct making *m, const json_t *node, json_t **out)
{
	const char *key;
	json_t *child, *made = NULL;
	size_t i;
	int rc = 0;
	if (json_is_string(node))
		return leaf_make(m->shape->leaves[m->next++], m->input, out, m->why);
	if (!json_is_object(node) && !json_is_array(node)) {
		*out = json_deep_copy(node);
		return 0;
	}
	json_t *all = json_is_object(node) ? json_object() : json_array();
	json_object_foreach((json_t *)node, key, child)
	{
		rc = walk_make(m, child, &made);
		if (rc)
			break;
		json_object_set_new(all, key, made);
	}
	json_array_foreach(node, i, child)
	{
		rc = walk_make(m, child, &made);
		if (rc)
			break;
		json_array_append_new(all, made);
	}
	if (rc)
		json_decref(all);
	else
		*out = all;
	return rc;
}

int shape_make(struct shape *s, const json_t *input, json_t **out, struct why *out_why)
{
	struct making m = {s, input, 0, out_why};
	return walk_make(&m, s->tree, out);
}

/* Of the text outside {{ }}. */
static size_t count_outside(const char *source, char c)
{
	size_t n = 0;
	for (const char *s = source; *s; s++) {
		const char *end = str_starts(s, "{{") ? strstr(s, "}}") : NULL;
		if (end)
			s = end + 1;
		else
			n += *s == c;
	}
	return n;
}

static size_t count_in(const char *text, char c)
{
	size_t n = 0;
	for (; *text; text++)
		n += *text == c;
	return n;
}

int shape_path(const char *source, struct template *t, const json_t *input, struct buf *out,
	       struct why *out_why)
{
	static const char structure[] = "/?#&=";
	auto_buf path = {0};
	struct http_target target = {0};
	int rc = template_render(t, input, &path, out_why);
	if (rc)
		return rc;
	for (const char *c = structure; *c; c++)
		if (count_in(buf_str(&path), *c) != count_outside(source, *c))
			return why_set(out_why, ERR_REJECTED,
				       "path: a value has \"%c\" in it: write it with | @uri", *c);
	rc = http_target_parse(buf_str(&path), &target, NULL);
	http_target_release(&target);
	if (rc)
		return why_set(out_why, ERR_REJECTED,
			       "path: a value does not fit into it: write it with | @uri");
	for (size_t i = 0; i < path.len; i++)
		if ((unsigned char)path.data[i] <= ' ' || (unsigned char)path.data[i] >= 0x7f)
			return why_set(out_why, ERR_REJECTED,
				       "path: a value does not fit into it: write it with | @uri");
	buf_add(out, path.data, path.len);
	return 0;
}
