#include "common/config.h"
#include "common/clock.h"
#include "common/mem.h"

enum { TEXT_COLUMNS = 100, INDENT = 2 };

struct walk {
	const struct option_table *table;
	const char *values;           /* config_print only */
	const struct yaml_node *root; /* of the file; config_print only */
	struct buf *out;
	void (*row)(const struct walk *w, const struct option *row, const char *key, int indent);
};

static void indent_by(struct buf *out, int indent)
{
	buf_printf(out, "%*s", indent, "");
}

/* The same group may be told in two places of the table and must be one map in the file. */
static bool group_seen(const struct walk *w, size_t before, const char *group, size_t len)
{
	for (size_t i = 0; i < before; i++)
		if (strncmp(w->table->rows[i].name, group, len) == 0)
			return true;
	return false;
}

/* Rows below prefix (which ends in a dot, or is empty), in the order of the table. */
static void walk_group(const struct walk *w, const char *prefix, int indent)
{
	size_t skip = strlen(prefix);

	for (size_t i = 0; i < w->table->n; i++) {
		const char *name = w->table->rows[i].name;
		const char *dot;
		auto_free char *group = NULL;

		if (strncmp(name, prefix, skip) != 0)
			continue;
		dot = strchr(name + skip, '.');
		if (!dot) {
			w->row(w, &w->table->rows[i], name + skip, indent);
			continue;
		}
		group = mem_dup(name, (size_t)(dot - name) + 1);
		if (group_seen(w, i, group, strlen(group)))
			continue;
		indent_by(w->out, indent);
		buf_printf(w->out, "%.*s:\n", (int)(strlen(group) - skip - 1), group + skip);
		walk_group(w, group, indent + INDENT);
	}
}

/* ---- values as text ---- */

struct bytes_unit {
	const char *name;
	int64_t bytes;
};

/* The shortest text that bytes_parse reads as exactly this. */
static void bytes_format(int64_t bytes, struct buf *out)
{
	static const struct bytes_unit units[] = {
		{"KiB", INT64_C(1) << 10},
		{"MiB", INT64_C(1) << 20},
		{"GiB", INT64_C(1) << 30},
		{"TiB", INT64_C(1) << 40},
		{"kB", 1000},
		{"MB", 1000000},
		{"GB", INT64_C(1000000000)},
		{"TB", INT64_C(1000000000000)},
	};
	char best[40];
	char text[40];

	(void)snprintf(best, sizeof best, "%" PRId64, bytes);
	for (size_t i = 0; i < ARRAY_SIZE(units) && bytes; i++) {
		if (bytes % units[i].bytes)
			continue;
		(void)snprintf(text, sizeof text, "%" PRId64 "%s", bytes / units[i].bytes,
			       units[i].name);
		if (strlen(text) < strlen(best))
			memcpy(best, text, sizeof best);
	}
	buf_add_str(out, best);
}

static void double_format(double d, struct buf *out)
{
	char text[32];

	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*g", digits, d);
		if (!(strtod(text, NULL) < d) && !(strtod(text, NULL) > d))
			break;
	}
	buf_add_str(out, text);
}

static void whole_format(enum option_type type, int64_t value, struct buf *out)
{
	char text[DURATION_TEXT_BYTES];

	if (type == OPTION_BYTES)
		bytes_format(value, out);
	else if (type == OPTION_DURATION)
		buf_add_str(out, duration_format(value, text));
	else
		buf_printf(out, "%" PRId64, value);
}

static bool reads_as_text(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789/._:@-";
	static const char *const nulls[] = {"null", "Null", "NULL"};
	size_t len = strlen(s);

	for (size_t i = 0; i < ARRAY_SIZE(nulls); i++)
		if (str_eq(s, nulls[i]))
			return false;
	return len && strspn(s, allowed) == len && !strchr("._:@-", s[0]) && s[len - 1] != ':';
}

static void string_format(const char *s, struct buf *out)
{
	if (reads_as_text(s))
		buf_add_str(out, s);
	else
		yaml_print_quoted(s, out);
}

/* False when the option has no value. */
static bool value_format(const struct option *row, const void *field, struct buf *out)
{
	const char *text;
	int64_t value;

	if (row->type == OPTION_STRING || row->type == OPTION_PATH) {
		text = *(char *const *)field;
		if (text)
			string_format(text, out);
		return text != NULL;
	}
	if (row->type == OPTION_BOOL) {
		buf_add_str(out, *(const bool *)field ? "true" : "false");
		return true;
	}
	if (row->type == OPTION_DOUBLE) {
		double d = *(const double *)field;

		double_format(d, out);
		return row->fallback || (d >= row->min && d <= row->max);
	}
	value = *(const int64_t *)field;
	if (row->type == OPTION_ENUM) {
		buf_add_str(out, row->names[value]);
		return true;
	}
	whole_format(row->type, value, out);
	return row->fallback || ((double)value >= row->min && (double)value <= row->max);
}

/* ---- --print-config ---- */

static void print_tree(const struct walk *w, const struct option *row, const char *key, int indent)
{
	const struct yaml_node *node = config_node(w->root, row->name);

	indent_by(w->out, indent);
	if (!node) {
		buf_printf(w->out, "# %s: not set\n", key);
		return;
	}
	buf_printf(w->out, "%s:%s", key, node->child ? "\n" : " ");
	yaml_print(node, node->child ? indent + INDENT : indent, w->out);
}

static void print_row(const struct walk *w, const struct option *row, const char *key, int indent)
{
	auto_buf value = {0};

	if (row->type == OPTION_TREE) {
		print_tree(w, row, key, indent);
		return;
	}
	indent_by(w->out, indent);
	if (value_format(row, w->values + row->offset, &value))
		buf_printf(w->out, "%s: %s\n", key, buf_str(&value));
	else
		buf_printf(w->out, "# %s: not set\n", key);
}

void config_print(const struct option_table *table, const char *dir, const void *values,
		  struct buf *out)
{
	auto_free char *path = mem_printf("%s/%s", dir, table->file);
	struct yaml_doc doc = {0};
	struct walk w = {.table = table, .values = values, .out = out, .row = print_row};

	if (yaml_parse_file(path, &doc, NULL) == 0)
		w.root = doc.root;
	buf_printf(out, "# %s\n", table->file);
	walk_group(&w, "", 0);
	yaml_release(&doc);
}

/* ---- what a row means ---- */

static void describe_range(const struct option *row, struct buf *out)
{
	bool open_end = row->max >= 9.2e18;

	if (row->type == OPTION_DOUBLE) {
		buf_printf(out, " %g..%g", row->min, row->max);
		return;
	}
	buf_add_str(out, open_end ? " from " : " ");
	whole_format(row->type, (int64_t)row->min, out);
	if (open_end)
		return;
	buf_add_str(out, "..");
	whole_format(row->type, (int64_t)row->max, out);
}

static void describe_names(const struct option *row, struct buf *out)
{
	for (size_t i = 0; row->names[i]; i++) {
		const char *between = i == 0 ? "" : row->names[i + 1] ? ", " : " or ";

		buf_printf(out, "%s%s", between, row->names[i]);
	}
}

/* "duration 0s..1h, default 30s" */
static void describe(const struct option *row, struct buf *out)
{
	static const char *const words[] = {
		[OPTION_STRING] = "text",
		[OPTION_PATH] = "path",
		[OPTION_INT] = "whole number",
		[OPTION_BYTES] = "size in bytes",
		[OPTION_DURATION] = "duration",
		[OPTION_DOUBLE] = "number",
		[OPTION_BOOL] = "true or false",
		[OPTION_ENUM] = "",
		[OPTION_TREE] = "keys and values below",
	};
	bool ranged = row->type == OPTION_INT || row->type == OPTION_BYTES ||
		      row->type == OPTION_DURATION || row->type == OPTION_DOUBLE;

	buf_add_str(out, words[row->type]);
	if (row->type == OPTION_ENUM)
		describe_names(row, out);
	if (ranged)
		describe_range(row, out);
	if (row->fallback)
		buf_printf(out, ", default %s", *row->fallback ? row->fallback : "empty");
	else if (row->type != OPTION_TREE)
		buf_add_str(out, ", not set by default");
}

/* Fills lines up to TEXT_COLUMNS, each behind `indent` spaces and the prefix. */
static void add_wrapped(struct buf *out, int indent, const char *prefix, const char *text)
{
	size_t start = (size_t)indent + strlen(prefix);
	size_t column = 0;

	for (const char *p = text + strspn(text, " \n"); *p; p += strspn(p, " \n")) {
		size_t len = strcspn(p, " \n");

		if (column && column + 1 + len > TEXT_COLUMNS) {
			buf_add_char(out, '\n');
			column = 0;
		}
		if (column)
			buf_add_char(out, ' ');
		else
			buf_printf(out, "%*s%s", indent, "", prefix);
		column = column ? column + 1 + len : start + len;
		buf_add(out, p, len);
		p += len;
	}
	buf_add_char(out, '\n');
}

/* ---- the example file ---- */

static void example_row(const struct walk *w, const struct option *row, const char *key, int indent)
{
	auto_buf text = {0};

	buf_printf(&text, "%s (", row->help);
	describe(row, &text);
	if (row->type != OPTION_TREE) {
		buf_add_str(&text, "; ");
		config_env_name(w->table, row, &text);
	}
	buf_add_char(&text, ')');
	add_wrapped(w->out, indent, "# ", text.data);
	indent_by(w->out, indent);
	buf_printf(w->out, "#%s:", key);
	if (row->fallback) {
		buf_add_char(w->out, ' ');
		string_format(row->fallback, w->out);
	}
	buf_add_str(w->out, "\n\n");
}

void config_example(const struct option_table *table, struct buf *out)
{
	struct walk w = {.table = table, .out = out, .row = example_row};
	auto_buf text = {0};

	buf_printf(&text,
		   "%s: every key with its default. Remove the # before a key to change it; a "
		   "variable of the environment named in parentheses goes before the file.",
		   table->file);
	add_wrapped(out, 0, "# ", text.data);
	buf_add_char(out, '\n');
	walk_group(&w, "", 0);
	out->len--;
	out->data[out->len] = '\0';
}

/* ---- --help ---- */

void config_help(const struct option_table *table, struct buf *out)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct option *row = &table->rows[i];
		auto_buf head = {0};

		buf_printf(&head, "%s (", row->name);
		describe(row, &head);
		buf_add_char(&head, ')');
		add_wrapped(out, INDENT, "", head.data);
		add_wrapped(out, INDENT * 3, "", row->help);
	}
}
