#include "common/yaml.h"
#include "common/buf.h"
#include "common/clock.h"

#include <math.h>

enum { WORD_MAX = 64 };

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
	if (!map || map->type != YAML_MAP)
		return NULL;
	YAML_EACH(child, map)
	if (str_eq(child->key, key))
		return child;
	return NULL;
}

int yaml_error(const struct yaml_node *node, struct why *out_why, const char *fmt, ...)
{
	char text[WHY_TEXT_BYTES];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (!node)
		return why_set(out_why, ERR_CONFIG, "%s", text);
	if (node->line == 0)
		return why_set(out_why, ERR_CONFIG, "%s: %s", node->file, text);
	return why_set(out_why, ERR_CONFIG, "%s:%d: %s", node->file, node->line, text);
}

static const char *type_name(const struct yaml_node *node)
{
	static const char *const names[] = {
		[YAML_NULL] = "nothing",
		[YAML_SCALAR] = "text",
		[YAML_LIST] = "a list",
		[YAML_MAP] = "a map",
	};

	return names[node->type];
}

static int wrong_type(const struct yaml_node *node, const char *what, const char *expected,
		      struct why *out_why)
{
	if (node->type == YAML_SCALAR)
		return yaml_error(node, out_why, "%s: expected %s, found \"%s\"", what, expected,
				  node->scalar);
	return yaml_error(node, out_why, "%s: expected %s, found %s", what, expected,
			  type_name(node));
}

int yaml_str(const struct yaml_node *node, const char *what, const char **out, struct why *out_why)
{
	if (!node && *out)
		return 0;
	if (!node)
		return why_set(out_why, ERR_CONFIG, "%s: missing", what);
	if (node->type != YAML_SCALAR)
		return wrong_type(node, what, "text", out_why);
	*out = node->scalar;
	return 0;
}

/* A JSON number: what YAML 1.2's core schema and every JSON reader agree on. */
static bool number_shape(const char *s, bool *out_whole)
{
	const char *p = s + (*s == '-');
	size_t digits = strspn(p, "0123456789");

	if (digits == 0 || (digits > 1 && *p == '0'))
		return false;
	p += digits;
	*out_whole = *p == '\0';
	if (*p == '.') {
		digits = strspn(p + 1, "0123456789");
		if (digits == 0)
			return false;
		p += digits + 1;
	}
	if (*p == 'e' || *p == 'E') {
		p += 1 + (p[1] == '+' || p[1] == '-');
		digits = strspn(p, "0123456789");
		if (digits == 0)
			return false;
		p += digits;
	}
	return *p == '\0';
}

static bool read_whole(const char *text, int64_t *out)
{
	bool whole = false;

	if (!number_shape(text, &whole) || !whole)
		return false;
	errno = 0;
	*out = strtoll(text, NULL, 10);
	return errno == 0;
}

static bool read_double(const char *text, double *out)
{
	bool whole;

	if (!number_shape(text, &whole))
		return false;
	*out = strtod(text, NULL);
	return isfinite(*out);
}

int yaml_int(const struct yaml_node *node, const char *what, int64_t min, int64_t max, int64_t *out,
	     struct why *out_why)
{
	int64_t value;

	if (!node)
		return 0;
	if (node->type != YAML_SCALAR || !read_whole(node->scalar, &value))
		return wrong_type(node, what, "a whole number", out_why);
	if (value < min || value > max)
		return yaml_error(node, out_why, "%s: %" PRId64 " is not in %" PRId64 "..%" PRId64,
				  what, value, min, max);
	*out = value;
	return 0;
}

int yaml_double(const struct yaml_node *node, const char *what, double min, double max, double *out,
		struct why *out_why)
{
	double value;

	if (!node)
		return 0;
	if (node->type != YAML_SCALAR || !read_double(node->scalar, &value))
		return wrong_type(node, what, "a number", out_why);
	if (value < min || value > max)
		return yaml_error(node, out_why, "%s: %g is not in %g..%g", what, value, min, max);
	*out = value;
	return 0;
}

/* 1 true, 0 false, -1 neither. */
static int truth(const char *text)
{
	static const char *const names[] = {"false", "true", "False", "True", "FALSE", "TRUE"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(text, names[i]))
			return i & 1;
	return -1;
}

int yaml_bool(const struct yaml_node *node, const char *what, bool *out, struct why *out_why)
{
	int value;

	if (!node)
		return 0;
	value = node->type == YAML_SCALAR ? truth(node->scalar) : -1;
	if (value < 0)
		return wrong_type(node, what, "true or false", out_why);
	*out = value;
	return 0;
}

int yaml_duration_ms(const struct yaml_node *node, const char *what, int64_t min, int64_t max,
		     int64_t *out, struct why *out_why)
{
	char low[DURATION_TEXT_BYTES];
	char high[DURATION_TEXT_BYTES];
	int64_t value;

	if (!node)
		return 0;
	if (node->type != YAML_SCALAR || duration_parse(node->scalar, &value))
		return wrong_type(node, what, "a duration such as 30s, 5m or 1h30m", out_why);
	if (value < min || value > max)
		return yaml_error(node, out_why, "%s: %s is not in %s..%s", what, node->scalar,
				  duration_format(min, low), duration_format(max, high));
	*out = value;
	return 0;
}

/* Levenshtein's distance; words over WORD_MAX are far from everything. */
static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1];
	size_t len_a = strlen(a);
	size_t len_b = strlen(b);

	if (len_a > WORD_MAX || len_b > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= len_b; j++)
		row[j] = j;
	for (size_t i = 1; i <= len_a; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= len_b; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, change);
		}
	}
	return row[len_b];
}

const char *yaml_nearest(const char *word, const char *const *words, size_t n)
{
	size_t best = MAX(strlen(word) / 3, (size_t)2) + 1;
	const char *out = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, words[i]);

		if (d < best) {
			best = d;
			out = words[i];
		}
	}
	return out;
}

static bool known(const char *key, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(key, keys[i]))
			return true;
	return false;
}

int yaml_only_keys(const struct yaml_node *map, const char *const *keys, size_t n,
		   struct why *out_why)
{
	if (!map || map->type == YAML_NULL)
		return 0;
	if (map->type != YAML_MAP)
		return yaml_error(map, out_why, "expected keys and values, found %s",
				  type_name(map));
	YAML_EACH(child, map)
	{
		const char *hint;

		if (known(child->key, keys, n))
			continue;
		hint = yaml_nearest(child->key, keys, n);
		if (hint)
			return yaml_error(child, out_why,
					  "unknown key \"%s\"; did you mean \"%s\"?", child->key,
					  hint);
		return yaml_error(child, out_why, "unknown key \"%s\"", child->key);
	}
	return 0;
}

static void scalar_to_json(const struct yaml_node *node, struct buf *out)
{
	bool whole = false;
	int64_t i;
	double d;
	int b = truth(node->scalar);

	if (!node->quoted && b >= 0)
		buf_add_str(out, b ? "true" : "false");
	else if (!node->quoted && number_shape(node->scalar, &whole) &&
		 (whole ? read_whole(node->scalar, &i) : read_double(node->scalar, &d)))
		buf_add_str(out, node->scalar);
	else
		buf_add_json(out, node->scalar, strlen(node->scalar));
}

/* As deep as the document: YAML_DEPTH_MAX. */
void yaml_to_json(const struct yaml_node *node, struct buf *out)
{
	bool map = node->type == YAML_MAP;

	if (node->type == YAML_NULL) {
		buf_add_str(out, "null");
		return;
	}
	if (node->type == YAML_SCALAR) {
		scalar_to_json(node, out);
		return;
	}
	buf_add_char(out, map ? '{' : '[');
	YAML_EACH(child, node)
	{
		if (child != node->child)
			buf_add_char(out, ',');
		if (map) {
			buf_add_json(out, child->key, strlen(child->key));
			buf_add_char(out, ':');
		}
		yaml_to_json(child, out);
	}
	buf_add_char(out, map ? '}' : ']');
}

/* ---- printing ---- */

/* Characters that JSON takes as they are and YAML does not: C1, NEL, line separators, the BOM. */
static size_t awkward(const char *s, unsigned *out_point)
{
	const unsigned char *u = (const unsigned char *)s;

	if (u[0] == 0x7f || (u[0] == 0xc2 && u[1] >= 0x80 && u[1] < 0xa0)) {
		*out_point = u[0] == 0x7f ? 0x7f : u[1];
		return u[0] == 0x7f ? 1 : 2;
	}
	if (u[0] == 0xe2 && u[1] == 0x80 && (u[2] == 0xa8 || u[2] == 0xa9)) {
		*out_point = 0x2000 + u[2] - 0x80u;
		return 3;
	}
	if (u[0] == 0xef && u[1] == 0xbb && u[2] == 0xbf) {
		*out_point = 0xfeff;
		return 3;
	}
	if (u[0] == 0xef && u[1] == 0xbf && u[2] >= 0xbe) {
		*out_point = 0xffc0 + u[2] - 0x80u;
		return 3;
	}
	return 0;
}

void yaml_print_quoted(const char *text, struct buf *out)
{
	auto_buf json = {0};
	unsigned point;

	buf_add_json(&json, text, strlen(text));
	for (const char *p = json.data; *p;) {
		size_t n = awkward(p, &point);

		if (n)
			buf_printf(out, "\\u%04x", point);
		else
			buf_add_char(out, *p);
		p += n ? n : 1;
	}
}

static bool only_plain_characters(const char *text, bool newlines)
{
	unsigned point;

	for (const char *p = text; *p; p++)
		if (((unsigned char)*p < 0x20 && !(newlines && *p == '\n')) || awkward(p, &point))
			return false;
	return true;
}

static bool plain_safe(const char *s)
{
	size_t len = strlen(s);

	if (len == 0 || strchr("-?:,[]{}#&*!|>'\"%@` .", s[0]))
		return len > 1 && s[0] == '-' && strspn(s + 1, "0123456789.eE+-") == len - 1 &&
		       s[1] != '-';
	return s[len - 1] != ' ' && s[len - 1] != ':' && !strstr(s, ": ") && !strstr(s, " #") &&
	       only_plain_characters(s, false);
}

/* Text of several lines reads best as a block; not where indentation or its end would be unclear.
 */
static bool block_safe(const char *s)
{
	size_t len = strlen(s);

	return strchr(s, '\n') && !strchr(" \t\n", s[0]) && !str_starts(s + len - 2, "\n\n") &&
	       only_plain_characters(s, true);
}

static void print_block(const char *text, int indent, struct buf *out)
{
	size_t len = strlen(text);

	buf_add_str(out, text[len - 1] == '\n' ? "|\n" : "|-\n");
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (n)
			buf_printf(out, "%*s", indent, "");
		buf_add(out, text, n);
		buf_add_char(out, '\n');
		text += n + (text[n] == '\n');
	}
}

static void print_key(const char *key, struct buf *out)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"_-./";

	if (key[0] != '-' && key[0] != '.' && key[0] && strspn(key, allowed) == strlen(key))
		buf_add_str(out, key);
	else
		yaml_print_quoted(key, out);
	buf_add_char(out, ':');
}

/* What follows a key or a dash, with the end of the line. */
static void print_inline(const struct yaml_node *node, int indent, struct buf *out)
{
	if (node->type == YAML_LIST || node->type == YAML_MAP)
		buf_add_str(out, node->type == YAML_LIST ? "[]" : "{}");
	else if (node->type == YAML_NULL)
		buf_add_str(out, "null");
	else if (node->quoted && block_safe(node->scalar)) {
		print_block(node->scalar, indent, out);
		return;
	} else if (!node->quoted && plain_safe(node->scalar))
		buf_add_str(out, node->scalar);
	else
		yaml_print_quoted(node->scalar, out);
	buf_add_char(out, '\n');
}

/* A list item stands on the line of its dash, where its own indentation would be. */
static void print_item(const struct yaml_node *item, int indent, struct buf *out)
{
	auto_buf text = {0};

	yaml_print(item, item->child ? indent + 2 : indent, &text);
	buf_printf(out, "%*s- ", indent, "");
	buf_add_str(out, text.data + (item->child ? indent + 2 : 0));
}

void yaml_print(const struct yaml_node *node, int indent, struct buf *out)
{
	if (!node->child) {
		print_inline(node, indent + 2, out);
		return;
	}
	YAML_EACH(child, node)
	{
		if (node->type == YAML_LIST) {
			print_item(child, indent, out);
			continue;
		}
		buf_printf(out, "%*s", indent, "");
		print_key(child->key, out);
		buf_add_char(out, child->child ? '\n' : ' ');
		yaml_print(child, child->child ? indent + 2 : indent, out);
	}
}
