#include "common/matcher.h"

#include "common/buf.h"
#include "common/mem.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
	MATCHERS_MAX = 64,
	VALUE_MAX_BYTES = 4096,
	NAME_MAX_BYTES = 128,
	/* A match gives up (no match) after so many steps: well under a millisecond. */
	STEPS_MAX = 20000,
	DEPTH_MAX = 500,
	HEAP_MAX_KIB = 256,
};

static const struct {
	const char *text;
	enum matcher_op op;
} ops[] = {
	/* Longer ones first. */
	{"=~", MATCHER_REGEX},
	{"!~", MATCHER_NOT_REGEX},
	{"!=", MATCHER_NOT_EQUAL},
	{"=", MATCHER_EQUAL},
};

/* ---- regular expressions ---- */

static int regex_compile(const char *pattern, void **out, struct why *out_why)
{
	int code;
	PCRE2_SIZE offset;
	uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOTALL;
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	pcre2_set_max_pattern_length(context, VALUE_MAX_BYTES);
	pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
				       options | PCRE2_ANCHORED | PCRE2_ENDANCHORED, &code, &offset,
				       context);
	pcre2_compile_context_free(context);
	if (!re) {
		unsigned char text[160] = "";
		pcre2_get_error_message(code, text, sizeof(text));
		return why_set(out_why, ERR_INVALID, "regular expression \"%s\": %s at %zu",
			       pattern, (const char *)text, (size_t)offset);
	}
	*out = re;
	return 0;
}

/* 1, 0, or ERR_TOO_LARGE when a limit was reached or the value is not UTF-8. */
static int regex_match(const void *regex, const char *value)
{
	pcre2_match_context *context = pcre2_match_context_create(NULL);
	pcre2_match_data *data = pcre2_match_data_create_from_pattern(regex, NULL);
	if (!context || !data)
		abort();
	pcre2_set_match_limit(context, STEPS_MAX);
	pcre2_set_depth_limit(context, DEPTH_MAX);
	pcre2_set_heap_limit(context, HEAP_MAX_KIB);
	int rc = pcre2_match(regex, (PCRE2_SPTR)value, strlen(value), 0, 0, data, context);
	pcre2_match_data_free(data);
	pcre2_match_context_free(context);
	if (rc == PCRE2_ERROR_NOMATCH)
		return 0;
	return rc >= 0 ? 1 : ERR_TOO_LARGE;
}

/* ---- building ---- */

static bool name_valid(const char *s)
{
	size_t len = strlen(s);
	bool digit = s[0] >= '0' && s[0] <= '9';
	return len > 0 && len <= NAME_MAX_BYTES && !digit && s[0] != '.' && s[0] != '-' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
		       len;
}

static bool is_regex(enum matcher_op op)
{
	return op == MATCHER_REGEX || op == MATCHER_NOT_REGEX;
}

int matchers_add(struct matchers *m, const char *name, enum matcher_op op, const char *value,
		 struct why *out_why)
{
	if (op < MATCHER_EQUAL || op > MATCHER_NOT_REGEX)
		return why_set(out_why, ERR_INVALID, "matcher \"%s\": unknown operator", name);
	if (!name_valid(name))
		return why_set(out_why, ERR_INVALID, "matcher \"%s\": not a label name", name);
	if (strlen(value) > VALUE_MAX_BYTES || m->n >= MATCHERS_MAX)
		return why_set(out_why, ERR_TOO_LARGE, "matcher \"%s\": %s", name,
			       m->n >= MATCHERS_MAX ? "too many matchers" : "value too long");
	if (!utf8_valid(value, strlen(value)))
		return why_set(out_why, ERR_INVALID, "matcher \"%s\": not UTF-8", name);
	void *regex = NULL;
	int rc = is_regex(op) ? regex_compile(value, &regex, out_why) : 0;
	if (rc)
		return rc;
	m->items = mem_realloc(m->items, (m->n + 1) * sizeof(*m->items));
	m->items[m->n++] = (struct matcher){
		.name = mem_strdup(name), .value = mem_strdup(value), .op = op, .regex = regex};
	return 0;
}

/* Drops what was added behind the first n. */
static void shrink(struct matchers *m, size_t n)
{
	while (m->n > n) {
		struct matcher *last = &m->items[--m->n];
		free(last->name);
		free(last->value);
		pcre2_code_free(last->regex);
	}
}

void matchers_release(struct matchers *m)
{
	shrink(m, 0);
	free(m->items);
	*m = (struct matchers){0};
}

/* ---- parsing ---- */

struct cursor {
	const char *text;
	const char *at;
};

static int expected(const struct cursor *c, struct why *out_why, const char *what)
{
	return why_set(out_why, ERR_INVALID, "matcher: expected %s at \"%.20s\" (column %zu)", what,
		       c->at, (size_t)(c->at - c->text) + 1);
}

static void skip_space(struct cursor *c)
{
	c->at += strspn(c->at, " \t\n\r");
}

static int parse_name(struct cursor *c, struct buf *out, struct why *out_why)
{
	size_t len = strcspn(c->at, "=!~{}\", \t\n\r");
	if (len == 0)
		return expected(c, out_why, "a label name");
	buf_add(out, c->at, len);
	c->at += len;
	return 0;
}

static int parse_op(struct cursor *c, enum matcher_op *out, struct why *out_why)
{
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		if (!str_starts(c->at, ops[i].text))
			continue;
		c->at += strlen(ops[i].text);
		*out = ops[i].op;
		return 0;
	}
	return expected(c, out_why, "one of = != =~ !~");
}

/* As in Go's and Prometheus' double-quoted strings, as far as matchers use them. */
static int parse_escape(struct cursor *c, struct buf *out, struct why *out_why)
{
	switch (*c->at) {
	case 'n':
		buf_add_char(out, '\n');
		break;
	case '"':
	case '\\':
		buf_add_char(out, *c->at);
		break;
	case '\0':
		return expected(c, out_why, "an escaped character");
	default:
		/* "\d" in a regular expression: Alertmanager keeps both characters. */
		buf_add_char(out, '\\');
		buf_add_char(out, *c->at);
	}
	c->at++;
	return 0;
}

static int parse_quoted(struct cursor *c, struct buf *out, struct why *out_why)
{
	c->at++;
	while (*c->at != '"') {
		if (!*c->at)
			return expected(c, out_why, "a closing quote");
		if (*c->at != '\\') {
			buf_add_char(out, *c->at++);
			continue;
		}
		c->at++;
		int rc = parse_escape(c, out, out_why);
		if (rc)
			return rc;
	}
	c->at++;
	return 0;
}

static int parse_value(struct cursor *c, struct buf *out, struct why *out_why)
{
	if (*c->at == '"')
		return parse_quoted(c, out, out_why);
	size_t len = strcspn(c->at, ",{}\"");
	buf_add(out, c->at, len);
	c->at += len;
	while (out->len > 0 && strchr(" \t\n\r", out->data[out->len - 1]))
		out->data[--out->len] = '\0';
	return 0;
}

static int parse_one(struct cursor *c, struct matchers *out, struct why *out_why)
{
	auto_buf name = {0};
	auto_buf value = {0};
	enum matcher_op op = MATCHER_EQUAL;
	skip_space(c);
	int rc = parse_name(c, &name, out_why);
	if (rc)
		return rc;
	skip_space(c);
	rc = parse_op(c, &op, out_why);
	if (rc)
		return rc;
	skip_space(c);
	rc = parse_value(c, &value, out_why);
	if (rc)
		return rc;
	skip_space(c);
	return matchers_add(out, buf_str(&name), op, buf_str(&value), out_why);
}

static int parse_all(struct cursor *c, struct matchers *out, struct why *out_why)
{
	skip_space(c);
	bool braces = *c->at == '{';
	c->at += braces;
	do {
		int rc = parse_one(c, out, out_why);
		if (rc)
			return rc;
		if (*c->at != ',')
			break;
		c->at++;
		skip_space(c);
	} while (*c->at && *c->at != '}');
	if (braces && *c->at != '}')
		return expected(c, out_why, "\",\" or \"}\"");
	c->at += braces;
	skip_space(c);
	return *c->at ? expected(c, out_why, "\",\" or the end") : 0;
}

int matchers_parse(const char *text, struct matchers *out, struct why *out_why)
{
	struct cursor c = {text, text};
	size_t before = out->n;
	int rc = parse_all(&c, out, out_why);
	if (rc)
		shrink(out, before);
	return rc;
}

static int from_list(const struct yaml_node *list, struct matchers *out, struct why *out_why)
{
	YAML_EACH(item, list)
	{
		struct why why = {0};
		const char *text = NULL;
		int rc = yaml_str(item, "matcher", &text, out_why);
		if (rc)
			return rc;
		if (matchers_parse(text, out, &why))
			return yaml_error(item, out_why, "%s", why.text);
	}
	return 0;
}

static int from_map(const struct yaml_node *map, struct matchers *out, struct why *out_why)
{
	YAML_EACH(item, map)
	{
		struct why why = {0};
		const char *text = NULL;
		int rc = yaml_str(item, item->key, &text, out_why);
		if (rc)
			return rc;
		if (matchers_add(out, item->key, MATCHER_EQUAL, text, &why))
			return yaml_error(item, out_why, "%s", why.text);
	}
	return 0;
}

int matchers_from_yaml(const struct yaml_node *node, struct matchers *out, struct why *out_why)
{
	if (!node || node->type == YAML_NULL)
		return 0;
	size_t before = out->n;
	int rc;
	if (node->type == YAML_LIST)
		rc = from_list(node, out, out_why);
	else if (node->type == YAML_MAP)
		rc = from_map(node, out, out_why);
	else
		rc = yaml_error(node, out_why,
				"expected a list of matchers or a map of labels to values");
	if (rc)
		shrink(out, before);
	return rc;
}

/* ---- matching ---- */

static bool match_one(const struct matcher *m, const char *value)
{
	switch (m->op) {
	case MATCHER_EQUAL:
		return str_eq(value, m->value);
	case MATCHER_NOT_EQUAL:
		return !str_eq(value, m->value);
	case MATCHER_REGEX:
		return regex_match(m->regex, value) == 1;
	case MATCHER_NOT_REGEX:
		return regex_match(m->regex, value) == 0;
	}
	return false;
}

bool matchers_match(const struct matchers *m, matcher_lookup *lookup, const void *labels)
{
	for (size_t i = 0; i < m->n; i++) {
		const char *value = lookup(labels, m->items[i].name);
		if (!match_one(&m->items[i], value ? value : ""))
			return false;
	}
	return true;
}

/* ---- printing ---- */

static const char *op_text(enum matcher_op op)
{
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		if (ops[i].op == op)
			return ops[i].text;
	return "?";
}

static void print_value(struct buf *out, const char *value)
{
	buf_add_char(out, '"');
	for (; *value; value++) {
		if (*value == '\n') {
			buf_add_str(out, "\\n");
			continue;
		}
		if (*value == '"' || *value == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, *value);
	}
	buf_add_char(out, '"');
}

void matchers_print(const struct matchers *m, struct buf *out)
{
	for (size_t i = 0; i < m->n; i++) {
		if (i > 0)
			buf_add_str(out, ", ");
		buf_add_str(out, m->items[i].name);
		buf_add_str(out, op_text(m->items[i].op));
		print_value(out, m->items[i].value);
	}
}
