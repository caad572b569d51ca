#include "monitor/checks.h"

static const struct check_kind *const kinds[] = {&check_http, &check_tcp, &check_command,
						 &check_tls};

static const char *const common_keys[] = {"name",     "type",      "interval", "timeout",
					  "failures", "successes", "repeat",   "severity",
					  "summary",  "service",   "instance", "labels"};

enum { KEYS_MAX = 32 };

static int kind_take(const struct yaml_node *node, struct check *c, struct why *out_why)
{
	const char *type = NULL;
	int rc = yaml_str(yaml_get(node, "type"), "type", &type, out_why);

	if (rc)
		return yaml_error(node, out_why, "type: missing");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (str_eq(kinds[i]->name, type))
			c->kind = kinds[i];
	}
	if (!c->kind)
		return yaml_error(node, out_why, "type: \"%s\" is none of http, tcp, command, tls",
				  type);
	return 0;
}

static int keys_check(const struct yaml_node *node, const struct check *c, struct why *out_why)
{
	const char *keys[KEYS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(common_keys); i++)
		keys[n++] = common_keys[i];
	for (size_t i = 0; c->kind->keys[i] && n < KEYS_MAX; i++)
		keys[n++] = c->kind->keys[i];
	return yaml_only_keys(node, keys, n, out_why);
}

struct text_row {
	const char *key;
	size_t offset;
};

static int texts_take(const struct yaml_node *node, struct check *c, struct why *out_why)
{
	static const struct text_row rows[] = {
		{"name", offsetof(struct check, name)},
		{"summary", offsetof(struct check, summary)},
		{"service", offsetof(struct check, service)},
		{"instance", offsetof(struct check, instance)},
		{"url", offsetof(struct check, url)},
		{"contains", offsetof(struct check, contains)},
		{"host", offsetof(struct check, host)},
		{"server_name", offsetof(struct check, server_name)},
		{"ca_file", offsetof(struct check, ca_file)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct yaml_node *at = yaml_get(node, rows[i].key);
		const char *text;
		int rc;

		if (!at)
			continue;
		rc = yaml_str(at, rows[i].key, &text, out_why);
		if (rc)
			return rc;
		*(char **)((char *)c + rows[i].offset) = mem_strdup(text);
	}
	return 0;
}

static int numbers_take(const struct yaml_node *node, struct check *c, struct why *out_why)
{
	static const struct {
		const char *key;
		size_t offset;
		bool duration;
		int64_t min, max, fallback;
	} rows[] = {
		{"interval", offsetof(struct check, interval_ms), true, 100, 86400000, 10000},
		{"timeout", offsetof(struct check, timeout_ms), true, 10, 600000, 5000},
		{"repeat", offsetof(struct check, repeat_ms), true, 1000, 86400000, 300000},
		{"failures", offsetof(struct check, failures), false, 1, 1000, 2},
		{"successes", offsetof(struct check, successes), false, 1, 1000, 1},
		{"status", offsetof(struct check, status), false, 100, 599, 0},
		{"port", offsetof(struct check, port), false, 1, 65535, 0},
		{"days", offsetof(struct check, days), false, 0, 3650, 14},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t *out = (int64_t *)(void *)((char *)c + rows[i].offset);
		const struct yaml_node *at = yaml_get(node, rows[i].key);
		int rc = 0;

		*out = rows[i].fallback;
		if (at && rows[i].duration)
			rc = yaml_duration_ms(at, rows[i].key, rows[i].min, rows[i].max, out,
					      out_why);
		else if (at)
			rc = yaml_int(at, rows[i].key, rows[i].min, rows[i].max, out, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

static int severity_take(const struct yaml_node *node, struct check *c, struct why *out_why)
{
	const struct yaml_node *at = yaml_get(node, "severity");
	const char *text = "critical";
	int value, rc = at ? yaml_str(at, "severity", &text, out_why) : 0;

	if (rc)
		return rc;
	if (wire_enum_parse(&healbus__severity__descriptor, text, &value) || !value)
		return yaml_error(at, out_why,
				  "severity: \"%s\" is none of info, warning, error, critical",
				  text);
	c->severity = (Healbus__Severity)value;
	return 0;
}

static int labels_take(const struct yaml_node *node, struct check *c, struct why *out_why)
{
	const struct yaml_node *at = yaml_get(node, "labels");

	if (!at)
		return 0;
	if (at->type != YAML_MAP || at->count > WIRE_LABELS_MAX - 5)
		return yaml_error(at, out_why, "labels: a map of at most %d", WIRE_LABELS_MAX - 5);
	c->label_names = mem_calloc(at->count + 1, sizeof(*c->label_names));
	c->label_values = mem_calloc(at->count + 1, sizeof(*c->label_values));
	YAML_EACH(label, at)
	{
		const char *value;
		int rc = yaml_str(label, label->key, &value, out_why);

		if (rc)
			return rc;
		c->label_names[c->n_labels] = mem_strdup(label->key);
		c->label_values[c->n_labels++] = mem_strdup(value);
	}
	return 0;
}

static int check_parse(struct check *c, const struct yaml_node *node, struct why *out_why)
{
	int rc = node->type == YAML_MAP ? kind_take(node, c, out_why)
					: yaml_error(node, out_why, "a check is a map");

	if (!rc)
		rc = keys_check(node, c, out_why);
	if (!rc)
		rc = texts_take(node, c, out_why);
	if (!rc)
		rc = numbers_take(node, c, out_why);
	if (!rc)
		rc = severity_take(node, c, out_why);
	if (!rc)
		rc = labels_take(node, c, out_why);
	if (rc)
		return rc;
	if (!c->name || !token_valid(c->name))
		return yaml_error(node, out_why, "name: must be [A-Za-z0-9_-]{1,64}");
	return c->kind->parse(c, node, out_why);
}

int checks_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct checks *checks = field;

	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_LIST || node->count > CHECKS_MAX)
		return yaml_error(node, out_why, "checks: a list of at most %d", CHECKS_MAX);
	checks->items = mem_calloc(node->count + 1, sizeof(*checks->items));
	YAML_EACH(item, node)
	{
		struct check *c = &checks->items[checks->n++];
		int rc = check_parse(c, item, out_why);

		for (size_t i = 0; !rc && i + 1 < checks->n; i++) {
			if (str_eq(checks->items[i].name, c->name))
				rc = yaml_error(item, out_why, "name: \"%s\" is there twice",
						c->name);
		}
		if (rc)
			return rc;
	}
	return 0;
}

static void check_release(struct check *c)
{
	char *texts[] = {c->name,     c->summary, c->service,     c->instance, c->url,
			 c->contains, c->host,    c->server_name, c->ca_file};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(texts[i]);
	for (size_t i = 0; i < c->n_labels; i++) {
		free(c->label_names[i]);
		free(c->label_values[i]);
	}
	free(c->label_names);
	free(c->label_values);
	for (size_t i = 0; c->argv[i]; i++)
		free(c->argv[i]);
}

void checks_release(void *field)
{
	struct checks *checks = field;

	for (size_t i = 0; i < checks->n; i++)
		check_release(&checks->items[i]);
	free(checks->items);
	*checks = (struct checks){0};
}
