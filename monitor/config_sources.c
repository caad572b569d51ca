#include "monitor/config.h"

#include <dirent.h>

enum { GITHUB_TIMEOUT_DAYS = 30 };
#define DAY_MS INT64_C(86400000)

static struct source *source_at(struct sources *sources, const char *name)
{
	for (size_t i = 0; i < sources->n; i++) {
		if (str_eq(sources->items[i].name, name))
			return &sources->items[i];
	}
	return NULL;
}

static struct source *source_append(struct sources *sources, const char *name)
{
	struct source *s;

	sources->items = mem_realloc(sources->items, (sources->n + 1) * sizeof(*s));
	s = &sources->items[sources->n++];
	*s = (struct source){.name = mem_strdup(name),
			     .trusted = true,
			     .resolve_timeout_ms = -1,
			     .next_ns = mem_alloc(sizeof(*s->next_ns))};
	return s;
}

static void source_release(struct source *s)
{
	free(s->name);
	free(s->map);
	free(s->token_file);
	free(s->hmac_file);
	free(s->hmac_header);
	secret_release(&s->token);
	free(s->hmac_lines);
	secret_release(&s->hmac);
	free((void *)s->next_ns);
}

void sources_release(void *field)
{
	struct sources *sources = field;

	for (size_t i = 0; i < sources->n; i++)
		source_release(&sources->items[i]);
	free(sources->items);
	*sources = (struct sources){0};
}

/* ---- one entry of `sources:`, or one shipped file ---- */

/* Relative to the file that names it. */
static char *path_from(const struct yaml_node *node, const char *path)
{
	const char *slash = strrchr(node->file, '/');

	if (*path == '/' || !slash)
		return mem_strdup(path);
	return mem_printf("%.*s/%s", (int)(slash - node->file), node->file, path);
}

static int text_take(const struct yaml_node *map, const char *key, char **out, struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, key);
	const char *text;
	int rc;

	if (!node)
		return 0;
	rc = yaml_str(node, key, &text, out_why);
	if (rc)
		return rc;
	free(*out);
	*out = mem_strdup(text);
	return 0;
}

static int path_take(const struct yaml_node *map, const char *key, char **out, struct why *out_why)
{
	char *path = NULL;
	int rc = text_take(map, key, &path, out_why);

	if (path) {
		free(*out);
		*out = path_from(yaml_get(map, key), path);
	}
	free(path);
	return rc;
}

static int map_take(const struct yaml_node *node, struct source *s, struct why *out_why)
{
	auto_free char *file = NULL;
	auto_buf text = {0};
	int rc = text_take(node, "map", &s->map, out_why);

	if (!rc)
		rc = path_take(node, "map_file", &file, out_why);
	if (rc || !file)
		return rc;
	if (s->map)
		return yaml_error(node, out_why, "%s: map or map_file, not both", s->name);
	if (buf_read_file(&text, file, EXPR_SOURCE_MAX_BYTES))
		return yaml_error(node, out_why, "%s: cannot read %s", s->name, file);
	s->map = buf_detach(&text);
	return 0;
}

static int format_take(const struct yaml_node *node, struct source *s, struct why *out_why)
{
	const struct yaml_node *at = yaml_get(node, "format");
	const char *name = s->map ? "jq" : NULL;
	int rc;

	if (!at && !name)
		return 0;
	rc = at ? yaml_str(at, "format", &name, out_why) : 0;
	if (rc)
		return rc;
	s->format = source_format_find(name);
	if (!s->format)
		return yaml_error(at, out_why,
				  "format: \"%s\" is none of alertmanager, cloudevents, event, "
				  "github, jq",
				  name);
	if (str_eq(name, "jq") != (s->map != NULL))
		return yaml_error(node, out_why, "%s: format jq and map go together", s->name);
	return 0;
}

static int numbers_take(const struct yaml_node *node, struct source *s, struct why *out_why)
{
	const struct yaml_node *rate = yaml_get(node, "rate"), *burst = yaml_get(node, "burst");
	const struct yaml_node *trusted = yaml_get(node, "trusted");
	const struct yaml_node *timeout = yaml_get(node, "resolve_timeout");
	int rc = rate ? yaml_int(rate, "rate", 1, 1000000, &s->rate, out_why) : 0;

	if (!rc && burst)
		rc = yaml_int(burst, "burst", 1, 1000000, &s->burst, out_why);
	if (!rc && trusted)
		rc = yaml_bool(trusted, "trusted", &s->trusted, out_why);
	if (!rc && timeout)
		rc = yaml_duration_ms(timeout, "resolve_timeout", 0, 2592000000,
				      &s->resolve_timeout_ms, out_why);
	return rc;
}

static int entry_take(const struct yaml_node *node, struct source *s, struct why *out_why)
{
	int rc = map_take(node, s, out_why);

	if (!rc)
		rc = format_take(node, s, out_why);
	if (!rc)
		rc = path_take(node, "token_file", &s->token_file, out_why);
	if (!rc)
		rc = path_take(node, "hmac_file", &s->hmac_file, out_why);
	if (!rc)
		rc = text_take(node, "hmac_header", &s->hmac_header, out_why);
	if (!rc)
		rc = numbers_take(node, s, out_why);
	return rc;
}

int sources_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {
		"format",      "map",  "map_file", "token_file", "hmac_file",
		"hmac_header", "rate", "burst",    "trusted",    "resolve_timeout"};
	struct sources *sources = field;

	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_MAP)
		return yaml_error(node, out_why, "sources: a map of name to settings");
	YAML_EACH(item, node)
	{
		int rc;

		if (!token_valid(item->key) || source_reserved(item->key) ||
		    str_eq(item->key, "check"))
			return yaml_error(item, out_why,
					  "source \"%s\": a name is [A-Za-z0-9_-]{1,64} and not "
					  "tick, control or check",
					  item->key);
		if (item->type != YAML_MAP && item->type != YAML_NULL)
			return yaml_error(item, out_why, "source %s: must be a map", item->key);
		rc = yaml_only_keys(item, keys, ARRAY_SIZE(keys), out_why);
		if (!rc)
			rc = entry_take(item, source_append(sources, item->key), out_why);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- what is there without configuration ---- */

/* A configured entry keeps what it says and takes the rest. */
static void source_offer(struct sources *sources, const char *name, const struct source *from)
{
	struct source *s = source_at(sources, name);

	if (!s)
		s = source_append(sources, name);
	if (s->format)
		return;
	s->format = from->format;
	s->map = mem_strdup(from->map);
	if (!s->hmac_header && from->hmac_header)
		s->hmac_header = mem_strdup(from->hmac_header);
	if (s->resolve_timeout_ms < 0)
		s->resolve_timeout_ms = from->resolve_timeout_ms;
	s->internal = from->internal;
	s->shipped = from->map != NULL;
}

static int shipped_offer(struct sources *sources, const struct yaml_node *root,
			 struct source *shipped, struct why *out_why)
{
	static const char *const keys[] = {"name", "aliases",     "help",
					   "map",  "hmac_header", "resolve_timeout"};
	const struct yaml_node *aliases = yaml_get(root, "aliases");
	int rc = yaml_only_keys(root, keys, ARRAY_SIZE(keys), out_why);

	if (!rc)
		rc = text_take(root, "name", &shipped->name, out_why);
	if (!rc)
		rc = entry_take(root, shipped, out_why);
	if (rc)
		return rc;
	if (!shipped->name || !token_valid(shipped->name) || !shipped->map)
		return yaml_error(root, out_why, "a mapping needs name and map");
	source_offer(sources, shipped->name, shipped);
	YAML_EACH(alias, aliases)
	{
		if (alias->type == YAML_SCALAR && token_valid(alias->scalar))
			source_offer(sources, alias->scalar, shipped);
	}
	return 0;
}

static int shipped_load(struct sources *sources, const char *path, struct why *out_why)
{
	struct source shipped = {.resolve_timeout_ms = -1};
	struct yaml_doc doc = {0};
	int rc = yaml_parse_file(path, &doc, out_why);

	if (!rc)
		rc = shipped_offer(sources, doc.root, &shipped, out_why);
	source_release(&shipped);
	yaml_release(&doc);
	return rc;
}

static int is_yaml(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && dot > entry->d_name && str_eq(dot, ".yaml");
}

static int shipped_load_all(struct monitor_config *c, struct why *out_why)
{
	struct dirent **entries = NULL;
	int n = scandir(c->sources_dir, &entries, is_yaml, alphasort), rc = 0;

	if (n < 0 && str_eq(c->sources_dir, SOURCES_DIR_DEFAULT))
		return 0;
	if (n < 0)
		return why_set(out_why, ERR_CONFIG, "sources_dir: cannot read %s", c->sources_dir);
	for (int i = 0; i < n; i++) {
		auto_free char *path = mem_printf("%s/%s", c->sources_dir, entries[i]->d_name);

		if (!rc)
			rc = shipped_load(&c->sources, path, out_why);
		free(entries[i]);
	}
	free(entries);
	return rc;
}

static int source_complete(const struct monitor_config *c, struct source *s, struct why *out_why)
{
	struct expr *map = NULL;
	int rc = 0;

	if (!s->format)
		return why_set(out_why, ERR_CONFIG,
			       "sources.%s: no such built-in or shipped source; give format or map",
			       s->name);
	if (s->map && !s->shipped) /* those are tested, and each costs 14 ms */
		rc = expr_compile(s->map, &map, out_why);
	expr_free(map);
	if (!rc && !c->without_secrets)
		rc = secret_read(&s->token, s->token_file, out_why);
	if (!rc && !c->without_secrets)
		rc = secret_read(&s->hmac, s->hmac_file, out_why);
	if (rc)
		return why_prefix(out_why, ERR_CONFIG, "sources.%s", s->name);
	s->n_hmac_lines = secret_lines(&s->hmac, &s->hmac_lines);
	s->insecure = s->insecure || (s->format->sealed && c->github_insecure);
	if (!s->hmac_header)
		s->hmac_header = mem_strdup("X-Hub-Signature-256");
	/* What GitHub tells it does not repeat. */
	if (s->format == &format_github && s->resolve_timeout_ms < 0)
		s->resolve_timeout_ms = GITHUB_TIMEOUT_DAYS * DAY_MS;
	s->rate = s->rate ? s->rate : c->rate;
	s->burst = s->burst ? s->burst : c->burst;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct source *)a)->name, ((const struct source *)b)->name);
}

/* `github.secret_file` is for whatever reads GitHub's deliveries and names no file of its own. */
static void github_secret_give(struct monitor_config *c)
{
	for (size_t i = 0; c->github_secret_file && i < c->sources.n; i++) {
		struct source *s = &c->sources.items[i];

		if (s->format == &format_github && !s->hmac_file)
			s->hmac_file = mem_strdup(c->github_secret_file);
	}
}

int sources_complete(struct monitor_config *c, struct why *out_why)
{
	static const struct {
		const char *name;
		const struct source_format *format;
		bool internal;
	} built_in[] = {
		{"alertmanager", &format_alertmanager, false},
		{"cloudevents", &format_cloudevents, false},
		{"event", &format_event, false},
		{"github", &format_github, false},
		{"check", &format_event, true},
	};
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(built_in); i++) {
		struct source from = {.format = built_in[i].format,
				      .resolve_timeout_ms = -1,
				      .internal = built_in[i].internal};

		source_offer(&c->sources, built_in[i].name, &from);
	}
	github_secret_give(c);
	rc = shipped_load_all(c, out_why);
	for (size_t i = 0; i < c->sources.n && !rc; i++)
		rc = source_complete(c, &c->sources.items[i], out_why);
	qsort(c->sources.items, c->sources.n, sizeof(*c->sources.items), by_name);
	return rc;
}
