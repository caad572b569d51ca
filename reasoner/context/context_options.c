#include "reasoner/context/context.h"

#include "common/config.h"
#include "common/expr.h"

#include <pthread.h>

enum {
	TIMEOUT_MS = 20000,
	SOURCE_TIMEOUT_MS = 10000,
	TIMEOUT_MAX_MS = 300000,
	LINES = 100,
	LINES_MAX = 1000,
};

#define RANGE_MAX_MS (30 * 86400000LL)
#define KIB 1024LL
#define MIB (1024 * KIB)

/* What may be said of each service, and what its texts are when nothing is said. */
static const struct {
	const char *name;
	const char *texts[3];
	const char *fallbacks[3];
	bool queries;
} kinds[CONTEXT_SERVICES] = {
	[CONTEXT_GITHUB] = {.name = "github"},
	[CONTEXT_PROMETHEUS] = {.name = "prometheus", .queries = true},
	[CONTEXT_LOKI] = {.name = "loki", .texts = {"tenant"}, .queries = true},
	[CONTEXT_ARGOCD] = {.name = "argocd",
			    .texts = {"application"},
			    .fallbacks = {"{{ .labels.application // .labels.argocd_application // "
					  ".labels.dest_app // \"\" }}"}},
	[CONTEXT_KUBERNETES] = {.name = "kubernetes",
				.texts = {"namespace", "pod", "selector"},
				.fallbacks = {"{{ .labels.namespace // \"\" }}",
					      "{{ .labels.pod // \"\" }}", NULL}},
	[CONTEXT_GRAFANA] = {.name = "grafana"},
};

/* ---- single values ---- */

static int take_text(const struct yaml_node *map, const char *key, char **out, struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, key);
	const char *text;
	int rc = node ? yaml_str(node, key, &text, out_why) : 0;

	if (node && !rc)
		*out = mem_strdup(text);
	return rc;
}

/* Relative to the file that names it. */
static int take_path(const struct yaml_node *map, const char *key, char **out, struct why *out_why)
{
	auto_free char *path = NULL;
	int rc = take_text(map, key, &path, out_why);
	const char *file = path ? yaml_get(map, key)->file : NULL;
	const char *slash = file ? strrchr(file, '/') : NULL;

	if (path && (*path == '/' || !slash))
		*out = mem_strdup(path);
	else if (path)
		*out = mem_printf("%.*s/%s", (int)(slash - file), file, path);
	return rc;
}

static int take_bytes(const struct yaml_node *map, const char *key, int64_t max, int64_t *out,
		      struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, key);
	const char *text;
	int64_t value;
	int rc = node ? yaml_str(node, key, &text, out_why) : 0;

	if (!node || rc)
		return rc;
	if (bytes_parse(text, &value) || value < KIB || value > max)
		return yaml_error(node, out_why, "%s: \"%s\" is not a size from 1KiB to %lldKiB",
				  key, text, (long long)(max / KIB));
	*out = value;
	return 0;
}

static int take_template(const struct yaml_node *map, const char *key, const char *fallback,
			 struct template **out, struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, key);
	const char *text = fallback;
	struct why why = {0};
	int rc = node ? yaml_str(node, key, &text, out_why) : 0;

	if (rc || !text)
		return rc;
	if (template_compile(text, out, &why))
		return yaml_error(node, out_why, "%s: %s", key, why.text);
	return 0;
}

static int take_duration(const struct yaml_node *map, const char *key, int64_t max, int64_t *out,
			 struct why *out_why)
{
	return yaml_duration_ms(yaml_get(map, key), key, 0, max, out, out_why);
}

/* ---- queries ---- */

static int take_query(const struct yaml_node *node, bool loki, struct context_query *q,
		      struct why *out_why)
{
	static const char *const keys[] = {"name", "query", "range", "step", "limit"};
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);

	*q = (struct context_query){.range_ms = loki ? 1800000 : 0, .limit = LINES};
	if (!rc)
		rc = take_text(node, "name", &q->name, out_why);
	if (!rc)
		rc = take_template(node, "query", NULL, &q->query, out_why);
	if (!rc)
		rc = take_duration(node, "range", RANGE_MAX_MS, &q->range_ms, out_why);
	if (!rc)
		rc = take_duration(node, "step", RANGE_MAX_MS, &q->step_ms, out_why);
	if (!rc)
		rc = yaml_int(yaml_get(node, "limit"), "limit", 1, LINES_MAX, &q->limit, out_why);
	if (!rc && (!q->name || !q->query))
		rc = yaml_error(node, out_why, "queries: name and query are needed");
	if (!rc && loki && !q->range_ms)
		rc = yaml_error(node, out_why, "queries: %s: range: more than 0", q->name);
	if (!rc && q->range_ms && !q->step_ms)
		q->step_ms = MAX(q->range_ms / 60, (int64_t)1000);
	return rc;
}

static int take_queries(const struct yaml_node *map, bool loki, struct context_service *s,
			struct why *out_why)
{
	const struct yaml_node *list = yaml_get(map, "queries");
	int rc = 0;

	if (!list)
		return 0;
	if (list->type != YAML_LIST || list->count > CONTEXT_QUERIES_MAX)
		return yaml_error(list, out_why, "queries: expected a list of at most %d",
				  CONTEXT_QUERIES_MAX);
	s->queries = mem_calloc(list->count, sizeof(*s->queries));
	YAML_EACH(item, list)
	{
		if (!rc)
			rc = take_query(item, loki, &s->queries[s->n_queries++], out_why);
	}
	return rc;
}

/* ---- services ---- */

static int check_url(const struct yaml_node *node, char *url, struct why *out_why)
{
	if (!url || (!str_starts(url, "http://") && !str_starts(url, "https://")))
		return yaml_error(node, out_why, "url: an http or https URL is needed");
	for (size_t n = strlen(url); n && url[n - 1] == '/'; n--)
		url[n - 1] = '\0';
	return 0;
}

static int take_service(const struct yaml_node *map, size_t id, struct context_service *s,
			struct why *out_why)
{
	const char *keys[9] = {"url", "token_file", "ca_file", "timeout"};
	size_t n = 4;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds[id].texts) && kinds[id].texts[i]; i++)
		keys[n++] = kinds[id].texts[i];
	if (kinds[id].queries)
		keys[n++] = "queries";
	rc = yaml_only_keys(map, keys, n, out_why);
	if (!rc)
		rc = take_text(map, "url", &s->url, out_why);
	if (!rc)
		rc = check_url(map, s->url, out_why);
	if (!rc)
		rc = take_path(map, "token_file", &s->token_file, out_why);
	if (!rc)
		rc = take_path(map, "ca_file", &s->ca_file, out_why);
	if (!rc)
		rc = take_duration(map, "timeout", TIMEOUT_MAX_MS, &s->timeout_ms, out_why);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(s->texts) && kinds[id].texts[i]; i++)
		rc = take_template(map, kinds[id].texts[i], kinds[id].fallbacks[i], &s->texts[i],
				   out_why);
	if (!rc && kinds[id].queries)
		rc = take_queries(map, id == CONTEXT_LOKI, s, out_why);
	return rc;
}

static int take_github(const struct yaml_node *map, struct context_config *c, struct why *out_why)
{
	static const char *const keys[] = {"enabled", "timeout"};
	int rc = yaml_only_keys(map, keys, ARRAY_SIZE(keys), out_why);

	if (!rc)
		rc = yaml_bool(yaml_get(map, "enabled"), "enabled", &c->github_enabled, out_why);
	if (!rc)
		rc = take_duration(map, "timeout", TIMEOUT_MAX_MS,
				   &c->services[CONTEXT_GITHUB].timeout_ms, out_why);
	return rc;
}

static int take_services(const struct yaml_node *node, struct context_config *c,
			 struct why *out_why)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < CONTEXT_SERVICES; i++) {
		const struct yaml_node *map = yaml_get(node, kinds[i].name);
		if (map && map->type != YAML_MAP && map->type != YAML_NULL)
			return yaml_error(map, out_why, "%s: expected a map", kinds[i].name);
		if (!map || map->type != YAML_MAP)
			continue;
		rc = i == CONTEXT_GITHUB ? take_github(map, c, out_why)
					 : take_service(map, i, &c->services[i], out_why);
		if (rc)
			why_prefix(out_why, rc, "context.%s", kinds[i].name);
	}
	return rc;
}

int context_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"timeout",          "source_timeout", "max_bytes",
					   "source_max_bytes", "log_max_bytes",  "github",
					   "prometheus",       "loki",           "argocd",
					   "kubernetes",       "grafana"};
	struct context_config *c = field;
	int64_t each_ms = SOURCE_TIMEOUT_MS;

	*c = (struct context_config){.timeout_ms = TIMEOUT_MS,
				     .max_bytes = 128 * KIB,
				     .source_max_bytes = 48 * KIB,
				     .log_max_bytes = 4 * MIB,
				     .github_enabled = true,
				     .lock = mem_alloc(sizeof(pthread_mutex_t))};
	pthread_mutex_init(c->lock, NULL);
	int rc = yaml_only_keys(node, keys, node ? ARRAY_SIZE(keys) : 0, out_why);
	if (!rc)
		rc = take_duration(node, "timeout", TIMEOUT_MAX_MS, &c->timeout_ms, out_why);
	if (!rc)
		rc = take_duration(node, "source_timeout", TIMEOUT_MAX_MS, &each_ms, out_why);
	if (!rc)
		rc = take_bytes(node, "max_bytes", MIB, &c->max_bytes, out_why);
	if (!rc)
		rc = take_bytes(node, "source_max_bytes", MIB, &c->source_max_bytes, out_why);
	if (!rc)
		rc = take_bytes(node, "log_max_bytes", CONTEXT_LOG_FETCH_MAX_BYTES,
				&c->log_max_bytes, out_why);
	for (size_t i = 0; i < CONTEXT_SERVICES; i++)
		c->services[i].timeout_ms = each_ms;
	return rc ? rc : take_services(node, c, out_why);
}

void context_release(void *field)
{
	struct context_config *c = field;

	for (size_t i = 0; i < CONTEXT_SERVICES; i++) {
		struct context_service *s = &c->services[i];
		for (size_t k = 0; k < s->n_queries; k++) {
			free(s->queries[k].name);
			template_free(s->queries[k].query);
		}
		for (size_t k = 0; k < ARRAY_SIZE(s->texts); k++)
			template_free(s->texts[k]);
		free(s->queries);
		free(s->url);
		free(s->token_file);
		free(s->ca_file);
	}
	if (c->lock)
		pthread_mutex_destroy(c->lock);
	free(c->lock);
	*c = (struct context_config){0};
}

void context_secret_files(const struct context_config *c,
			  const char *out[static CONTEXT_SECRETS_MAX + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < CONTEXT_SERVICES; i++) {
		if (c->services[i].token_file)
			out[n++] = c->services[i].token_file;
	}
	out[n] = NULL;
}
