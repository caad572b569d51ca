#include "reasoner/models/kind.h"

#include <math.h>

#include "common/expr.h"
#include "common/http_text.h"
#include "common/id.h"

#define DAY_MS (24 * INT64_C(3600000))
#define USD INT64_C(1000000) /* micro-USD */

static const int64_t timeout_max_ms = 3600000;
static const int64_t tokens_max = INT64_C(1) << 40;
static const double usd_max = 1e5; /* a limit, or a million tokens */

/* Relative to the file that names it. */
static char *path_from(const struct yaml_node *node, const char *path)
{
	const char *slash = strrchr(node->file, '/');

	if (*path == '/' || !slash)
		return mem_strdup(path);
	return mem_printf("%.*s/%s", (int)(slash - node->file), node->file, path);
}

static int take_text(const struct yaml_node *map, const char *key, char **out, struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, key);
	const char *text = NULL;
	int rc = node ? yaml_str(node, key, &text, out_why) : 0;

	if (!rc && text)
		*out = mem_strdup(text);
	return rc;
}

static int take_path(const struct yaml_node *map, const char *key, char **out, struct why *out_why)
{
	auto_free char *path = NULL;
	int rc = take_text(map, key, &path, out_why);

	if (!rc && path)
		*out = path_from(yaml_get(map, key), path);
	return rc;
}

static int take_usd(const struct yaml_node *map, const char *key, int64_t *out, struct why *out_why)
{
	double usd = (double)*out / USD;
	int rc = yaml_double(yaml_get(map, key), key, 0, usd_max, &usd, out_why);

	if (!rc)
		*out = llround(usd * USD);
	return rc;
}

static int take_limit(const struct yaml_node *node, const char *what, struct model_limit *out,
		      struct why *out_why)
{
	static const char *const keys[] = {"tokens", "usd"};

	if (!node)
		return 0;
	if (node->type != YAML_MAP)
		return yaml_error(node, out_why, "%s: a map of tokens and usd", what);
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = yaml_int(yaml_get(node, "tokens"), "tokens", 0, tokens_max, &out->tokens,
			      out_why);
	return rc ? rc : take_usd(node, "usd", &out->micro_usd, out_why);
}

/* ---- one provider ---- */

static int take_severity(const struct yaml_node *map, int *out, struct why *out_why)
{
	static const char *const names[] = {"info", "warning", "error", "critical"};
	const struct yaml_node *node = yaml_get(map, "severity");
	const char *text = NULL;
	int rc = node ? yaml_str(node, "severity", &text, out_why) : 0;

	if (rc || !text)
		return rc;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_eq(names[i], text)) {
			*out = (int)i + HEALBUS__SEVERITY__SEVERITY_INFO;
			return 0;
		}
	}
	return yaml_error(node, out_why, "severity: info, warning, error or critical");
}

static int take_kind(const struct yaml_node *map, struct model_provider *p, struct why *out_why)
{
	const char *name = NULL;
	int rc = yaml_str(yaml_get(map, "kind"), "kind", &name, out_why);

	if (rc)
		return yaml_error(map, out_why, "kind: one of %s", model_kind_names());
	p->kind = model_kind_find(name);
	if (!p->kind)
		return yaml_error(yaml_get(map, "kind"), out_why, "kind: \"%s\" is none of %s",
				  name, model_kind_names());
	return 0;
}

static int check_jq(const struct yaml_node *map, const char *key, const char *source,
		    struct why *out_why)
{
	struct expr *e = NULL;
	struct why inner = {0};
	int rc = expr_compile(source, &e, &inner);

	expr_free(e);
	return rc ? yaml_error(yaml_get(map, key), out_why, "%s: %s", key, inner.text) : 0;
}

static int take_mappings(const struct yaml_node *map, struct model_provider *p, struct why *out_why)
{
	int rc = take_text(map, "request", &p->request, out_why);

	if (!rc)
		rc = take_text(map, "response", &p->response, out_why);
	if (rc)
		return rc;
	if (p->kind->mapped != (p->request != NULL) || p->kind->mapped != (p->response != NULL))
		return yaml_error(map, out_why,
				  "request and response belong to kind http, which needs both");
	if (!p->kind->mapped)
		return 0;
	rc = check_jq(map, "request", p->request, out_why);
	return rc ? rc : check_jq(map, "response", p->response, out_why);
}

/* A key never crosses a network in the clear. */
static int check_url(const struct yaml_node *map, const struct model_provider *p,
		     struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, "url");
	bool plain = str_starts(p->url, "http://");

	if (!plain && !str_starts(p->url, "https://"))
		return yaml_error(node, out_why, "url: begins with https:// or http://");
	const char *host = strstr(p->url, "://") + 3;
	auto_free char *name = mem_printf("%.*s", (int)strcspn(host, "/?#"), host);
	if (strchr(name, '@'))
		return yaml_error(node, out_why, "url: no user or password in it; use key_file");
	if (!plain || !p->key_file)
		return 0;
	if (!http_host_is_loopback(name))
		return yaml_error(node, out_why,
				  "url: with a key_file it must be https, or this machine");
	return 0;
}

static int take_numbers(const struct yaml_node *map, struct model_provider *p, struct why *out_why)
{
	int rc = yaml_duration_ms(yaml_get(map, "timeout"), "timeout", 100, timeout_max_ms,
				  &p->timeout_ms, out_why);
	if (!rc)
		rc = yaml_int(yaml_get(map, "max_tokens"), "max_tokens", 1, 1000000, &p->max_tokens,
			      out_why);
	if (!rc)
		rc = yaml_int(yaml_get(map, "bytes_per_token"), "bytes_per_token", 1, 8,
			      &p->bytes_per_token, out_why);
	if (!rc)
		rc = yaml_double(yaml_get(map, "temperature"), "temperature", 0,
				 p->kind->temperature_max, &p->temperature, out_why);
	if (!rc)
		rc = yaml_double(yaml_get(map, "complexity"), "complexity", 0, 1, &p->complexity,
				 out_why);
	if (!rc)
		rc = take_usd(map, "price_in", &p->price_in, out_why);
	if (!rc)
		rc = take_usd(map, "price_out", &p->price_out, out_why);
	if (!rc)
		rc = take_severity(map, &p->severity, out_why);
	return rc ? rc : take_limit(yaml_get(map, "budget"), "budget", &p->day, out_why);
}

static int take_texts(const struct yaml_node *map, struct model_provider *p, struct why *out_why)
{
	int rc = take_text(map, "name", &p->name, out_why);

	if (!rc)
		rc = take_text(map, "url", &p->url, out_why);
	if (!rc)
		rc = take_text(map, "model", &p->model, out_why);
	if (!rc)
		rc = take_text(map, "key_header", &p->key_header, out_why);
	if (!rc)
		rc = take_path(map, "key_file", &p->key_file, out_why);
	if (!rc)
		rc = take_path(map, "ca_file", &p->ca_file, out_why);
	if (rc)
		return rc;
	if (!p->name || !token_valid(p->name))
		return yaml_error(map, out_why, "name: [A-Za-z0-9_-]{1,64}, and not missing");
	if (!p->url || !p->model || !*p->model || strlen(p->model) > 200)
		return yaml_error(map, out_why, "%s: url and model are needed", p->name);
	if (p->key_header && !token_valid(p->key_header))
		return yaml_error(yaml_get(map, "key_header"), out_why,
				  "key_header: the name of a header");
	return check_url(map, p, out_why);
}

static int take_provider(const struct yaml_node *map, struct model_provider *p, struct why *out_why)
{
	static const char *const keys[] = {
		"name",        "kind",       "url",
		"model",       "key_file",   "key_header",
		"ca_file",     "timeout",    "max_tokens",
		"temperature", "price_in",   "price_out",
		"severity",    "complexity", "budget",
		"request",     "response",   "bytes_per_token",
	};
	if (map->type != YAML_MAP)
		return yaml_error(map, out_why, "providers: a list of maps");
	int rc = yaml_only_keys(map, keys, ARRAY_SIZE(keys), out_why);

	if (!rc)
		rc = take_texts(map, p, out_why);
	if (!rc)
		rc = take_kind(map, p, out_why);
	if (!rc)
		rc = take_numbers(map, p, out_why);
	return rc ? rc : take_mappings(map, p, out_why);
}

/* By one before the last. */
static bool name_taken(const struct models_config *c, const char *name)
{
	for (size_t i = 0; i + 1 < c->n_providers; i++) {
		if (name && c->providers[i].name && str_eq(c->providers[i].name, name))
			return true;
	}
	return false;
}

static int take_providers(const struct yaml_node *list, struct models_config *c,
			  struct why *out_why)
{
	if (!list)
		return 0;
	if (list->type != YAML_LIST || list->count > MODELS_PROVIDERS_MAX)
		return yaml_error(list, out_why, "providers: a list of at most %d",
				  MODELS_PROVIDERS_MAX);
	c->providers = mem_calloc(list->count + 1, sizeof(*c->providers));
	YAML_EACH(item, list)
	{
		struct model_provider *p = &c->providers[c->n_providers++];

		*p = (struct model_provider){.timeout_ms = 120000,
					     .max_tokens = 8192,
					     .bytes_per_token = 2,
					     .temperature = -1,
					     .complexity = -1};
		int rc = take_provider(item, p, out_why);
		if (rc)
			return rc;
		if (name_taken(c, p->name))
			return yaml_error(item, out_why, "name: \"%s\" is there twice", p->name);
	}
	return 0;
}

/* ---- what holds for all ---- */

static int take_budget(const struct yaml_node *map, struct models_config *c, struct why *out_why)
{
	static const char *const keys[] = {"incident", "day"};

	if (!map)
		return 0;
	if (map->type != YAML_MAP)
		return yaml_error(map, out_why, "budget: a map of incident and day");
	int rc = yaml_only_keys(map, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = take_limit(yaml_get(map, "incident"), "incident", &c->incident, out_why);
	return rc ? rc : take_limit(yaml_get(map, "day"), "day", &c->day, out_why);
}

static int take_cache(const struct yaml_node *map, struct models_config *c, struct why *out_why)
{
	static const char *const keys[] = {"ttl", "entries"};

	if (!map)
		return 0;
	if (map->type != YAML_MAP)
		return yaml_error(map, out_why, "cache: a map of ttl and entries");
	int rc = yaml_only_keys(map, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = yaml_duration_ms(yaml_get(map, "ttl"), "ttl", 0, 30 * DAY_MS, &c->cache_ttl_ms,
				      out_why);
	return rc ? rc
		  : yaml_int(yaml_get(map, "entries"), "entries", 1, 1000, &c->cache_entries,
			     out_why);
}

int models_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"providers", "budget", "jitter", "cache"};
	struct models_config *c = field;

	*c = (struct models_config){
		.incident = {.tokens = 600000, .micro_usd = 5 * USD},
		.day = {.tokens = 6000000, .micro_usd = 50 * USD},
		.jitter_ms = 500,
		.cache_ttl_ms = DAY_MS,
		.cache_entries = 500,
	};
	if (!node)
		return 0;
	if (node->type != YAML_MAP)
		return yaml_error(node, out_why,
				  "models: a map of providers, budget, jitter, cache");
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = take_budget(yaml_get(node, "budget"), c, out_why);
	if (!rc)
		rc = take_cache(yaml_get(node, "cache"), c, out_why);
	if (!rc)
		rc = yaml_duration_ms(yaml_get(node, "jitter"), "jitter", 0, 60000, &c->jitter_ms,
				      out_why);
	return rc ? rc : take_providers(yaml_get(node, "providers"), c, out_why);
}

void models_release(void *field)
{
	struct models_config *c = field;

	for (size_t i = 0; i < c->n_providers; i++) {
		struct model_provider *p = &c->providers[i];
		char *texts[] = {p->name,       p->url,     p->model,   p->key_file,
				 p->key_header, p->ca_file, p->request, p->response};

		for (size_t t = 0; t < ARRAY_SIZE(texts); t++)
			free(texts[t]);
	}
	free(c->providers);
	*c = (struct models_config){0};
}
