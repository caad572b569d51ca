#include "common/config.h"
#include "common/mem.h"

struct loader {
	const struct option_table *table;
	const char *base; /* absolute directory for relative paths */
	const struct yaml_node *root;
	const char *(*lookup)(const char *name);
	struct why *why;
};

struct bytes_unit {
	const char *name;
	int64_t bytes;
};

static const struct bytes_unit bytes_units[] = {
	{"", 1},
	{"B", 1},
	{"KiB", INT64_C(1) << 10},
	{"MiB", INT64_C(1) << 20},
	{"GiB", INT64_C(1) << 30},
	{"TiB", INT64_C(1) << 40},
	{"kB", 1000},
	{"MB", 1000000},
	{"GB", 1000000000},
	{"TB", INT64_C(1000000000000)},
};

int bytes_parse(const char *text, int64_t *out_bytes)
{
	size_t digits = strspn(text, "0123456789");
	int64_t value;

	if (digits == 0)
		return ERR_INVALID;
	errno = 0;
	value = strtoll(text, NULL, 10);
	if (errno)
		return ERR_INVALID;
	for (size_t i = 0; i < ARRAY_SIZE(bytes_units); i++) {
		if (!str_eq(text + digits, bytes_units[i].name))
			continue;
		if (__builtin_mul_overflow(value, bytes_units[i].bytes, &value))
			return ERR_INVALID;
		*out_bytes = value;
		return 0;
	}
	return ERR_INVALID;
}

void config_env_name(const struct option_table *table, const struct option *row, struct buf *out)
{
	buf_add_str(out, table->env_prefix);
	for (const char *p = row->name; *p; p++) {
		bool lower = *p >= 'a' && *p <= 'z';

		buf_add_char(out, lower ? (char)(*p - 'a' + 'A') : *p == '.' ? '_' : *p);
	}
}

/* ---- one value ---- */

/* INT64_MAX is not a double: a row says 1e19 or INT64_MAX for "no limit". */
static int64_t limit(double d)
{
	if (d >= 9.2e18)
		return INT64_MAX;
	return d <= -9.2e18 ? INT64_MIN : (int64_t)d;
}

static int read_string(const struct loader *l, const struct option *row,
		       const struct yaml_node *node, void *field)
{
	const char *text = NULL;
	int rc = yaml_str(node, row->name, &text, l->why);

	if (rc == 0)
		*(char **)field = mem_strdup(text);
	return rc;
}

static int read_path(const struct loader *l, const struct option *row, const struct yaml_node *node,
		     void *field)
{
	const char *text = NULL;
	int rc = yaml_str(node, row->name, &text, l->why);

	if (rc)
		return rc;
	if (*text == '\0' || *text == '/')
		*(char **)field = mem_strdup(text);
	else
		*(char **)field = mem_printf("%s/%s", l->base, text);
	return 0;
}

static int read_int(const struct loader *l, const struct option *row, const struct yaml_node *node,
		    void *field)
{
	return yaml_int(node, row->name, limit(row->min), limit(row->max), field, l->why);
}

static int read_bytes(const struct loader *l, const struct option *row,
		      const struct yaml_node *node, void *field)
{
	const char *text = NULL;
	int64_t value;
	int rc = yaml_str(node, row->name, &text, l->why);

	if (rc)
		return rc;
	if (bytes_parse(text, &value))
		return yaml_error(node, l->why,
				  "%s: expected a size such as 4096, 64KiB or 1GiB, found \"%s\"",
				  row->name, text);
	if (value < limit(row->min) || value > limit(row->max))
		return yaml_error(node, l->why, "%s: %s is not in %" PRId64 "..%" PRId64 " bytes",
				  row->name, text, limit(row->min), limit(row->max));
	*(int64_t *)field = value;
	return 0;
}

static int read_duration(const struct loader *l, const struct option *row,
			 const struct yaml_node *node, void *field)
{
	return yaml_duration_ms(node, row->name, limit(row->min), limit(row->max), field, l->why);
}

static int read_double(const struct loader *l, const struct option *row,
		       const struct yaml_node *node, void *field)
{
	return yaml_double(node, row->name, row->min, row->max, field, l->why);
}

static int read_bool(const struct loader *l, const struct option *row, const struct yaml_node *node,
		     void *field)
{
	return yaml_bool(node, row->name, field, l->why);
}

static int read_enum(const struct loader *l, const struct option *row, const struct yaml_node *node,
		     void *field)
{
	const char *text = NULL;
	auto_buf list = {0};
	int rc = yaml_str(node, row->name, &text, l->why);

	if (rc)
		return rc;
	for (int64_t i = 0; row->names[i]; i++) {
		if (str_eq(row->names[i], text)) {
			*(int64_t *)field = i;
			return 0;
		}
		buf_printf(&list, "%s%s", i ? ", " : "", row->names[i]);
	}
	return yaml_error(node, l->why, "%s: expected one of %s, found \"%s\"", row->name,
			  buf_str(&list), text);
}

struct kind {
	size_t size;
	bool owned; /* a string to free */
	int (*read)(const struct loader *, const struct option *, const struct yaml_node *, void *);
};

static const struct kind kinds[] = {
	[OPTION_STRING] = {sizeof(char *), true, read_string},
	[OPTION_PATH] = {sizeof(char *), true, read_path},
	[OPTION_INT] = {sizeof(int64_t), false, read_int},
	[OPTION_BYTES] = {sizeof(int64_t), false, read_bytes},
	[OPTION_DURATION] = {sizeof(int64_t), false, read_duration},
	[OPTION_DOUBLE] = {sizeof(double), false, read_double},
	[OPTION_BOOL] = {sizeof(bool), false, read_bool},
	[OPTION_ENUM] = {sizeof(int64_t), false, read_enum},
	[OPTION_TREE] = {0},
};

/* ---- the file ---- */

const struct yaml_node *config_node(const struct yaml_node *root, const char *name)
{
	const struct yaml_node *node = root;

	while (node && *name) {
		size_t len = strcspn(name, ".");
		auto_free char *key = mem_dup(name, len);

		node = yaml_get(node, key);
		name += len + (name[len] == '.');
	}
	return node && node->type == YAML_NULL ? NULL : node;
}

static const char *last_part(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? dot + 1 : name;
}

static const char *hint_for(const struct option_table *table, const char *full)
{
	auto_free const char **names = mem_calloc(table->n, sizeof *names);
	const char *hint;

	for (size_t i = 0; i < table->n; i++)
		names[i] = table->rows[i].name;
	hint = yaml_nearest(full, names, table->n);
	for (size_t i = 0; i < table->n && !hint; i++)
		if (str_eq(last_part(names[i]), last_part(full)))
			hint = names[i];
	return hint;
}

enum place { PLACE_UNKNOWN, PLACE_ROW, PLACE_GROUP };

static enum place place_of(const struct option_table *table, const char *full)
{
	size_t len = strlen(full);

	for (size_t i = 0; i < table->n; i++) {
		const char *name = table->rows[i].name;

		if (str_eq(name, full))
			return PLACE_ROW;
		if (strncmp(name, full, len) == 0 && name[len] == '.')
			return PLACE_GROUP;
	}
	return PLACE_UNKNOWN;
}

static int unknown_key(const struct loader *l, const struct yaml_node *node, const char *full)
{
	const char *hint = hint_for(l->table, full);

	if (hint && str_eq(hint, full))
		return yaml_error(node, l->why, "\"%s\" is one key: write it as nested keys", full);
	if (hint)
		return yaml_error(node, l->why, "unknown key \"%s\"; did you mean \"%s\"?", full,
				  hint);
	return yaml_error(node, l->why, "unknown key \"%s\"", full);
}

static int check_keys(const struct loader *l, const struct yaml_node *map, const char *prefix)
{
	if (!map || map->type == YAML_NULL)
		return 0;
	if (map->type != YAML_MAP)
		return yaml_error(map, l->why, "%s: expected keys and values",
				  *prefix ? prefix : "the file");
	YAML_EACH(node, map)
	{
		auto_free char *full = mem_printf("%s%s%s", prefix, *prefix ? "." : "", node->key);
		enum place place =
			strchr(node->key, '.') ? PLACE_UNKNOWN : place_of(l->table, full);
		int rc = 0;

		if (place == PLACE_UNKNOWN)
			return unknown_key(l, node, full);
		if (place == PLACE_GROUP)
			rc = check_keys(l, node, full);
		if (rc)
			return rc;
	}
	return 0;
}

static int load_tree(const struct loader *l, const struct option *row, void *field)
{
	int rc = row->parse(field, config_node(l->root, row->name), l->why);

	return rc ? why_set(l->why, rc, "%s/%s: %s: not valid", l->base, l->table->file, row->name)
		  : 0;
}

/* A relative path in a variable is relative to where the program was started. */
static int load_variable(const struct loader *l, const struct option *row, const char *name,
			 const char *text, void *field)
{
	const struct yaml_node node = {.type = YAML_SCALAR, .scalar = text, .file = name};
	auto_free char *here = getcwd(NULL, 0);
	struct loader from_here = *l;

	from_here.base = here ? here : "";
	return kinds[row->type].read(&from_here, row, &node, field);
}

static int load_row(const struct loader *l, const struct option *row, void *field)
{
	const struct yaml_node *node = config_node(l->root, row->name);
	const struct yaml_node fallback = {
		.type = YAML_SCALAR, .scalar = row->fallback, .file = "default"};
	auto_buf name = {0};
	const char *text;

	if (row->type == OPTION_TREE)
		return load_tree(l, row, field);
	config_env_name(l->table, row, &name);
	text = l->lookup ? l->lookup(name.data) : NULL;
	if (text && *text)
		return load_variable(l, row, name.data, text, field);
	if (!node && !row->fallback)
		return 0;
	return kinds[row->type].read(l, row, node ? node : &fallback, field);
}

static int load_rows(const struct loader *l, char *values)
{
	int rc = check_keys(l, l->root, "");

	for (size_t i = 0; i < l->table->n && rc == 0; i++)
		rc = load_row(l, &l->table->rows[i], values + l->table->rows[i].offset);
	return rc;
}

/* Paths are made absolute, so that a printed configuration means the same elsewhere. */
static char *absolute(const char *dir)
{
	auto_free char *here = *dir == '/' ? NULL : getcwd(NULL, 0);

	return here ? mem_printf("%s/%s", here, dir) : mem_strdup(dir);
}

int config_load(const struct option_table *table, const char *dir,
		const char *(*lookup)(const char *name), void *values, struct why *out_why)
{
	auto_free char *path = mem_printf("%s/%s", dir, table->file);
	auto_free char *base = absolute(dir);
	struct loader l = {.table = table, .base = base, .lookup = lookup, .why = out_why};
	struct yaml_doc doc = {0};
	int rc = yaml_parse_file(path, &doc, out_why);

	if (rc == ERR_NOT_FOUND) {
		rc = 0;
		if (out_why)
			out_why->text[0] = '\0';
	}
	l.root = doc.root;
	if (rc == 0)
		rc = load_rows(&l, values);
	if (rc)
		config_release(table, values);
	yaml_release(&doc);
	return rc ? ERR_CONFIG : 0;
}

void config_release(const struct option_table *table, void *values)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct option *row = &table->rows[i];
		const struct kind *kind = &kinds[row->type];
		void *field = (char *)values + row->offset;

		if (kind->owned)
			free(*(char **)field);
		if (row->type == OPTION_TREE && row->release)
			row->release(field);
		memset(field, 0, kind->size);
	}
}

char *shipped_path(const char *path, const char *stage, const char *name)
{
	static const char *const above[] = {"..", "../.."};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	path = path ? path : "";
	if (access(path, R_OK) == 0 || n <= 0)
		return mem_strdup(path);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	char *other = mem_printf("%s/../share/healbus/%s", self, name);
	for (size_t i = 0; access(other, R_OK) != 0; i++) {
		free(other);
		if (i == ARRAY_SIZE(above))
			return mem_strdup(path);
		other = mem_printf("%s/%s/%s/%s", self, above[i], stage, name);
	}
	return other;
}
