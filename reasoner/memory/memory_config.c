#include "reasoner/memory/memory_config.h"

#include "reasoner/memories/memories.h"

enum { TIMEOUT_MS = 5000, TIMEOUT_MIN_MS = 100, TIMEOUT_MAX_MS = 60000 };

struct key {
	const char *name;
	size_t offset;
	const char *fallback; /* NULL: none */
	enum { IS_URL, IS_TOKEN, IS_PATH } is;
};

static const struct key keys[] = {
	{"url", offsetof(struct memory_store, url), NULL, IS_URL},
	{"tenant", offsetof(struct memory_store, tenant), "default_tenant", IS_TOKEN},
	{"database", offsetof(struct memory_store, database), "default_database", IS_TOKEN},
	{"collection", offsetof(struct memory_store, collection), "healbus", IS_TOKEN},
	{"user", offsetof(struct memory_store, user), "healbus", IS_TOKEN},
	{"token_file", offsetof(struct memory_store, token_file), NULL, IS_PATH},
	{"ca_file", offsetof(struct memory_store, ca_file), NULL, IS_PATH},
};

static char **value_at(struct memory_store *s, const struct key *k)
{
	return (char **)(void *)((char *)s + k->offset);
}

/* Relative to the file that names it. */
static char *path_from(const struct yaml_node *node, const char *path)
{
	const char *slash = strrchr(node->file, '/');
	if (*path == '/' || !slash)
		return mem_strdup(path);
	return mem_printf("%.*s/%s", (int)(slash - node->file), node->file, path);
}

static int value_read(const struct yaml_node *map, const struct key *k, char **out,
		      struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, k->name);
	const char *text = k->fallback ? k->fallback : "";
	int rc = yaml_str(node, k->name, &text, out_why);
	if (rc)
		return rc;
	if (k->is == IS_TOKEN && !token_valid(text))
		return yaml_error(node, out_why, "%s: must be 1 to 64 of [A-Za-z0-9_-]", k->name);
	if (k->is == IS_URL && !str_starts(text, "http://") && !str_starts(text, "https://"))
		return yaml_error(node ? node : map, out_why,
				  "%s: must be an http:// or https:// address", k->name);
	if (k->is == IS_PATH)
		*out = *text ? path_from(node, text) : NULL;
	else
		*out = mem_strdup(text);
	return 0;
}

/* Paths are added to it. */
static void cut_slash(char *url)
{
	size_t n = strlen(url);
	if (url[n - 1] == '/')
		url[n - 1] = 0;
}

static int known_keys(const struct yaml_node *node, struct why *out_why)
{
	const char *names[ARRAY_SIZE(keys) + 3] = {"name", "kind", "timeout"};
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		names[i + 3] = keys[i].name;
	return yaml_only_keys(node, names, ARRAY_SIZE(names), out_why);
}

static int store_read(const struct yaml_node *node, struct memory_store *out, struct why *out_why)
{
	const char *name = "", *kind = "";
	if (node->type != YAML_MAP)
		return yaml_error(node, out_why, "memory.stores: each must be a map");
	int rc = known_keys(node, out_why);
	if (!rc)
		rc = yaml_str(yaml_get(node, "name"), "name", &name, out_why);
	if (!rc)
		rc = yaml_str(yaml_get(node, "kind"), "kind", &kind, out_why);
	if (rc)
		return rc;
	if (!token_valid(name))
		return yaml_error(node, out_why, "name: must be 1 to 64 of [A-Za-z0-9_-]");
	out->name = mem_strdup(name);
	out->kind = memory_kind_find(kind);
	if (!out->kind)
		return yaml_error(node, out_why, "kind: must be chroma or openmemory");
	out->timeout_ms = TIMEOUT_MS;
	rc = yaml_duration_ms(yaml_get(node, "timeout"), "timeout", TIMEOUT_MIN_MS, TIMEOUT_MAX_MS,
			      &out->timeout_ms, out_why);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(keys); i++)
		rc = value_read(node, &keys[i], value_at(out, &keys[i]), out_why);
	if (!rc)
		cut_slash(out->url);
	return rc;
}

static bool is_twice(const struct memory_stores *all)
{
	for (size_t i = 0; i + 1 < all->n; i++) {
		if (str_eq(all->items[i].name, all->items[all->n - 1].name))
			return true;
	}
	return false;
}

int memory_stores_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct memory_stores *all = field;
	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_LIST)
		return yaml_error(node, out_why, "memory.stores: must be a list");
	all->items = mem_calloc(node->count, sizeof(*all->items));
	YAML_EACH(item, node)
	{
		int rc = store_read(item, &all->items[all->n++], out_why);
		if (rc)
			return rc;
		if (is_twice(all))
			return yaml_error(item, out_why, "name: there is another store %s",
					  all->items[all->n - 1].name);
	}
	return 0;
}

void memory_stores_release(void *field)
{
	struct memory_stores *all = field;
	for (size_t i = 0; i < all->n; i++) {
		struct memory_store *s = &all->items[i];
		free(s->name);
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			free(*value_at(s, &keys[k]));
	}
	free(all->items);
	*all = (struct memory_stores){0};
}
