#include "common/expr_impl.h"

#include "common/mem.h"

struct piece {
	char *text; /* or */
	struct expr *expr;
};

struct template
{
	struct piece *pieces;
	size_t n;
};

void template_free(struct template *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++) {
		free(t->pieces[i].text);
		expr_free(t->pieces[i].expr);
	}
	free(t->pieces);
	free(t);
}

bool template_is_constant(const struct template *t)
{
	return t->n == 0 || (t->n == 1 && t->pieces[0].text);
}

struct expr *template_expr(const struct template *t)
{
	return t->n == 1 ? t->pieces[0].expr : NULL;
}

static void add_piece(struct template *t, struct piece piece)
{
	t->pieces = mem_realloc(t->pieces, (t->n + 1) * sizeof(*t->pieces));
	t->pieces[t->n++] = piece;
}

static void add_text(struct template *t, struct buf *text)
{
	if (text->len > 0)
		add_piece(t, (struct piece){.text = buf_detach(text)});
}

/* *at stands behind "{{"; moves behind "}}". */
static int add_expr(struct template *t, const char **at, struct why *out_why)
{
	size_t len = expr_scan_end(*at);
	if (len == SIZE_MAX)
		return why_set(out_why, ERR_CONFIG, "{{%.100s: no closing }}", *at);
	auto_free char *source = mem_dup(*at, len);
	struct expr *expr = NULL;
	int rc = expr_compile(source, &expr, out_why);
	if (rc)
		return rc;
	add_piece(t, (struct piece){.expr = expr});
	*at += len + 2;
	return 0;
}

static int parse(struct template *t, const char *source, struct buf *text, struct why *out_why)
{
	for (const char *at = source; *at;) {
		if (str_starts(at, "{{{{")) {
			buf_add_str(text, "{{");
			at += 4;
		} else if (str_starts(at, "{{")) {
			add_text(t, text);
			at += 2;
			int rc = add_expr(t, &at, out_why);
			if (rc)
				return rc;
		} else {
			buf_add_char(text, *at++);
		}
	}
	add_text(t, text);
	return 0;
}

int template_compile(const char *source, struct template **out, struct why *out_why)
{
	auto_buf text = {0};
	struct template *t = mem_alloc(sizeof(*t));
	int rc = parse(t, source, &text, out_why);
	if (rc)
		template_free(t);
	else
		*out = t;
	return rc;
}

static void add_value(struct buf *out, const json_t *value)
{
	if (!value || json_is_null(value))
		return;
	if (json_is_string(value)) {
		buf_add(out, json_string_value(value), json_string_length(value));
		return;
	}
	auto_free char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	buf_add_str(out, text ? text : "");
}

int template_render(struct template *t, const json_t *input, struct buf *out, struct why *out_why)
{
	auto_buf text = {0};
	for (size_t i = 0; i < t->n; i++) {
		const struct piece *p = &t->pieces[i];
		json_t *value = NULL;
		int rc = p->expr ? expr_eval(p->expr, input, &value, out_why) : 0;
		if (rc)
			return rc;
		if (p->text)
			buf_add_str(&text, p->text);
		add_value(&text, value);
		json_decref(value);
		if (text.len > EXPR_OUTPUT_MAX_BYTES)
			return why_set(out_why, ERR_TOO_LARGE, "rendered text too large");
	}
	buf_add(out, text.data, text.len);
	return 0;
}
