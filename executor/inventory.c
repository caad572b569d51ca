#include "executor/inventory.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "common/mem.h"
#include "executor/params.h"

static void strings_free(char **items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(items[i]);
	free(items);
}

static void target_release(struct target *t)
{
	free(t->id);
	free(t->kind);
	free(t->group);
	strings_free(t->tools, t->n_tools);
	strings_free(t->paths, t->n_paths);
	strings_free(t->read_paths, t->n_read_paths);
	strings_free(t->hosts, t->n_hosts);
	free(t->check_tool);
	for (size_t i = 0; i < t->n_check_params; i++)
		healbus__param__free_unpacked(t->check_params[i], NULL);
	free(t->check_params);
	json_decref(t->json);
}

void inventory_release(void *field)
{
	struct inventory *inv = field;
	for (size_t i = 0; i < inv->n; i++)
		target_release(&inv->targets[i]);
	for (size_t i = 0; i < inv->n_groups; i++)
		free(inv->groups[i].id);
	free(inv->targets);
	free(inv->groups);
	*inv = (struct inventory){0};
}

/* ---- parsing ---- */

static int parse_list(const struct yaml_node *node, const char *what, char ***out, size_t *out_n,
		      struct why *out_why)
{
	if (!node)
		return 0;
	if (node->type != YAML_LIST)
		return yaml_error(node, out_why, "%s: must be a list", what);
	*out = mem_calloc(node->count, sizeof(**out));
	YAML_EACH(item, node)
	{
		const char *text = NULL;
		int rc = yaml_str(item, what, &text, out_why);
		if (rc)
			return rc;
		(*out)[(*out_n)++] = mem_strdup(text);
	}
	return 0;
}

static int parse_text(const struct yaml_node *node, const char *what, char **out,
		      struct why *out_why)
{
	const char *text = NULL;
	if (!node)
		return 0;
	int rc = yaml_str(node, what, &text, out_why);
	if (!rc)
		*out = mem_strdup(text);
	return rc;
}

static Healbus__Param *param_from_yaml(const struct yaml_node *node)
{
	return param_new_string(NULL, node->key, node->scalar ? node->scalar : "");
}

static int parse_check(struct target *t, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"tool", "params"};
	if (!node)
		return 0;
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	const char *tool = NULL;
	if (!rc)
		rc = yaml_str(yaml_get(node, "tool"), "check.tool", &tool, out_why);
	if (rc)
		return rc;
	t->check_tool = mem_strdup(tool);
	const struct yaml_node *params = yaml_get(node, "params");
	t->check_params = mem_calloc(params ? params->count : 0, sizeof(*t->check_params));
	YAML_EACH(item, params)
	t->check_params[t->n_check_params++] = param_from_yaml(item);
	return 0;
}

static int parse_paths(const struct yaml_node *target, const char *key, char ***out, size_t *out_n,
		       struct why *out_why)
{
	const struct yaml_node *node = yaml_get(target, key);
	int rc = parse_list(node, key, out, out_n, out_why);
	for (size_t i = 0; !rc && i < *out_n; i++)
		if (!path_is_plain((*out)[i]))
			return yaml_error(node, out_why, "%s: %s is not a plain absolute path", key,
					  (*out)[i]);
	return rc;
}

static json_t *node_json(const struct yaml_node *node)
{
	auto_buf text = {0};
	yaml_to_json(node, &text);
	return json_loads(buf_str(&text), JSON_DECODE_ANY, NULL);
}

static int build_json(struct target *t, const struct yaml_node *node, struct why *out_why)
{
	static const char *const seen[] = {"id", "kind", "group", "manager", "labels"};
	const struct yaml_node *attributes = yaml_get(node, "attributes");
	if (attributes && attributes->type != YAML_MAP)
		return yaml_error(attributes, out_why, "attributes: must be a map");
	t->json = attributes ? node_json(attributes) : json_object();
	if (!t->json)
		return yaml_error(node, out_why, "attributes: not representable as JSON");
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		if (json_object_get(t->json, seen[i]))
			return yaml_error(attributes, out_why, "attributes: %s is a key of targets",
					  seen[i]);
		const struct yaml_node *value = yaml_get(node, seen[i]);
		if (value)
			json_object_set_new(t->json, seen[i], node_json(value));
	}
	json_object_set_new(t->json, "critical", json_boolean(t->critical));
	return 0;
}

static int parse_id(const struct yaml_node *node, char **out, struct why *out_why)
{
	int rc = parse_text(yaml_get(node, "id"), "id", out, out_why);
	if (rc)
		return rc;
	/* "global" would share a key with the rate of all targets. */
	if (!*out || !token_valid(*out) || strlen(*out) > TARGET_ID_MAX || str_eq(*out, "global"))
		return yaml_error(node, out_why, "id: must be 1-56 of [A-Za-z0-9_-]");
	return 0;
}

static int parse_target(struct target *t, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"id",       "kind",       "labels",  "tools",
					   "paths",    "read_paths", "hosts",   "group",
					   "critical", "check",      "manager", "attributes"};
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = parse_id(node, &t->id, out_why);
	if (!rc)
		rc = parse_text(yaml_get(node, "kind"), "kind", &t->kind, out_why);
	if (!rc)
		rc = parse_text(yaml_get(node, "group"), "group", &t->group, out_why);
	if (!rc)
		rc = parse_list(yaml_get(node, "tools"), "tools", &t->tools, &t->n_tools, out_why);
	if (!rc)
		rc = parse_list(yaml_get(node, "hosts"), "hosts", &t->hosts, &t->n_hosts, out_why);
	if (!rc)
		rc = parse_paths(node, "paths", &t->paths, &t->n_paths, out_why);
	if (!rc)
		rc = parse_paths(node, "read_paths", &t->read_paths, &t->n_read_paths, out_why);
	const struct yaml_node *critical = yaml_get(node, "critical");
	if (!rc && critical)
		rc = yaml_bool(critical, "critical", &t->critical, out_why);
	if (!rc)
		rc = parse_check(t, yaml_get(node, "check"), out_why);
	return rc ? rc : build_json(t, node, out_why);
}

int inventory_parse_targets(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct inventory *inv = field;
	if (!node || node->count == 0)
		return 0;
	if (node->type != YAML_LIST || node->count > TARGETS_MAX)
		return yaml_error(node, out_why, "targets: must be a list of at most %d",
				  TARGETS_MAX);
	inv->targets = mem_calloc(node->count, sizeof(*inv->targets));
	YAML_EACH(item, node)
	{
		struct target *t = &inv->targets[inv->n++];
		int rc = parse_target(t, item, out_why);
		if (rc)
			return rc;
		if (target_find(inv, t->id) != t)
			return yaml_error(item, out_why, "id: %s is there twice", t->id);
	}
	return 0;
}

static int parse_minimum(struct target_group *g, const struct yaml_node *node, struct why *out_why)
{
	const char *text = NULL;
	int rc = yaml_str(node, "min_healthy", &text, out_why);
	if (rc)
		return rc;
	char *end = NULL;
	g->min_healthy = strtoll(text, &end, 10);
	g->percent = str_eq(end, "%");
	bool ok = end != text && (*end == 0 || g->percent) && g->min_healthy >= 0 &&
		  g->min_healthy <= (g->percent ? 100 : TARGETS_MAX);
	return ok ? 0 : yaml_error(node, out_why, "min_healthy: a count or a percentage");
}

int inventory_parse_groups(void *field, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"id", "min_healthy"};
	struct inventory *inv = field;
	if (!node || node->count == 0)
		return 0;
	if (node->type != YAML_LIST)
		return yaml_error(node, out_why, "groups: must be a list");
	inv->groups = mem_calloc(node->count, sizeof(*inv->groups));
	YAML_EACH(item, node)
	{
		struct target_group *g = &inv->groups[inv->n_groups++];
		int rc = yaml_only_keys(item, keys, ARRAY_SIZE(keys), out_why);
		if (!rc)
			rc = parse_id(item, &g->id, out_why);
		if (!rc)
			rc = parse_minimum(g, yaml_get(item, "min_healthy"), out_why);
		if (rc)
			return rc;
	}
	return 0;
}

int inventory_check(const struct inventory *inv, struct why *out_why)
{
	for (size_t i = 0; i < inv->n; i++) {
		const struct target *t = &inv->targets[i];
		if (!t->group)
			continue;
		const struct target_group *g = group_find(inv, t->group);
		if (!g)
			return why_set(out_why, ERR_CONFIG, "target %s: no group %s", t->id,
				       t->group);
		if (g->min_healthy > 0 && !t->check_tool)
			return why_set(out_why, ERR_CONFIG,
				       "target %s: group %s has min_healthy, so it needs a check",
				       t->id, t->group);
	}
	return 0;
}

/* ---- looking up ---- */

const struct target *target_find(const struct inventory *inv, const char *id)
{
	for (size_t i = 0; id && i < inv->n; i++)
		if (str_eq(inv->targets[i].id, id))
			return &inv->targets[i];
	return NULL;
}

const struct target_group *group_find(const struct inventory *inv, const char *id)
{
	for (size_t i = 0; id && i < inv->n_groups; i++)
		if (str_eq(inv->groups[i].id, id))
			return &inv->groups[i];
	return NULL;
}

size_t group_minimum(const struct target_group *g, size_t n)
{
	if (!g->percent)
		return (size_t)g->min_healthy;
	return ((size_t)g->min_healthy * n + 99) / 100;
}

bool target_allows_tool(const struct target *t, const char *tool)
{
	for (size_t i = 0; i < t->n_tools; i++)
		if (fnmatch(t->tools[i], tool, 0) == 0)
			return true;
	return false;
}

/* The longest of the paths that holds `path`, or `best`. */
static const char *longest(char *const *paths, size_t n, const char *path, const char *best)
{
	for (size_t i = 0; i < n; i++) {
		const char *p = paths[i];
		size_t len = str_eq(p, "/") ? 0 : strlen(p);
		bool inside = strncmp(path, p, len) == 0 && (path[len] == '/' || path[len] == 0);
		if (inside && (!best || strlen(best) < strlen(p)))
			best = p;
	}
	return best;
}

static const char *prefix_of(const struct target *t, const char *path, bool reads)
{
	const char *best = longest(t->paths, t->n_paths, path, NULL);
	return reads ? longest(t->read_paths, t->n_read_paths, path, best) : best;
}

bool target_allows_path(const struct target *t, const char *path, bool reads)
{
	return path_is_plain(path) && prefix_of(t, path, reads);
}

static bool host_listed(const struct target *t, const char *host, const char *host_port)
{
	for (size_t i = 0; i < t->n_hosts; i++) {
		if (host && strcasecmp(t->hosts[i], host) == 0)
			return true;
		if (host_port && strcasecmp(t->hosts[i], host_port) == 0)
			return true;
	}
	return false;
}

bool target_allows_host(const struct target *t, const char *host)
{
	size_t len = strlen(host);
	for (size_t i = 0; i < t->n_hosts; i++) {
		const char *h = t->hosts[i];
		if (strncasecmp(h, host, len) == 0 && (h[len] == 0 || h[len] == ':'))
			return true;
	}
	return false;
}

bool target_allows_url(const struct target *t, const char *url)
{
	bool tls = str_starts(url, "https://");
	if (!tls && !str_starts(url, "http://"))
		return false;
	const char *start = url + (tls ? 8 : 7);
	size_t len = strcspn(start, "/?#");
	if (len == 0 || memchr(start, '@', len) || memchr(start, '\\', len))
		return false;
	auto_free char *authority = mem_dup(start, len);
	char *bracket = strrchr(authority, ']');
	char *colon = strrchr(bracket ? bracket : authority, ':');
	if (colon) {
		auto_free char *host = mem_dup(authority, (size_t)(colon - authority));
		return host_listed(t, host, authority);
	}
	auto_free char *full = mem_printf("%s:%d", authority, tls ? 443 : 80);
	return host_listed(t, authority, full);
}

/* ---- opening ---- */

static int open_beneath(int dir, const char *rest, int *out_fd)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	long fd = syscall(SYS_openat2, dir, rest, &how, sizeof(how));
	if (fd < 0)
		return errno;
	*out_fd = (int)fd;
	return 0;
}

static int open_error(int errnum, const char *path, struct why *out_why)
{
	if (errnum == ELOOP || errnum == EXDEV)
		return why_set(out_why, ERR_DENIED, "%s: a symbolic link", path);
	if (errnum == ENOENT || errnum == ENOTDIR)
		return why_set(out_why, ERR_NOT_FOUND, "%s: not there", path);
	return why_set(out_why, ERR_IO, "%s: %s", path, strerrordesc_np(errnum));
}

int target_open_path(const struct target *t, const char *path, int *out_fd, struct why *out_why)
{
	const char *prefix = prefix_of(t, path, true);
	const char *rest = prefix ? path + (str_eq(prefix, "/") ? 0 : strlen(prefix)) : "";
	while (*rest == '/')
		rest++;
	int fd = open(prefix ? prefix : path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return open_error(errno, path, out_why);
	if (*rest == 0) {
		*out_fd = fd;
		return 0;
	}
	int errnum = open_beneath(fd, rest, out_fd);
	close(fd);
	return errnum ? open_error(errnum, path, out_why) : 0;
}
