/*
 * The inventory: what may be acted upon, by which tools. Default deny: a target that is not here, a
 * tool that no pattern of the target's `tools:` matches, a path or host that is not listed, does
 * not exist as far as the executor is concerned. Read from `targets:` and `groups:` of
 * executor.yaml:
 *
 *     targets:
 *       - id: web-1
 *         kind: service
 *         labels: {env: prod}
 *         tools: [service_*, http_probe]
 *         manager: runit                  # any other key under attributes: is free
 *         attributes: {service_dir: /etc/service/web}
 *         paths: [/var/log/web]
 *         read_paths: [/]                 # further ones, for tools that only read
 *         hosts: [127.0.0.1:8080]
 *         critical: true
 *         group: web
 *         check: {tool: http_probe, params: {url: "http://127.0.0.1:8080/"}}
 *     groups:
 *       - id: web
 *         min_healthy: 50%
 *
 * Templates of tools see a target as .target: its id, kind, labels, group, critical, manager, and
 * each attribute by name. Read-only after loading; any thread.
 */
#ifndef EXECUTOR_INVENTORY_H
#define EXECUTOR_INVENTORY_H

#include "common/base.h"

#include <jansson.h>

#include "common/wire.h"
#include "common/yaml.h"

enum { TARGET_ID_MAX = 56, TARGETS_MAX = 10000 };

struct target {
	char *id;
	char *kind;
	char *group; /* NULL: none */
	char **tools;
	size_t n_tools;
	char **paths;
	size_t n_paths;
	char **read_paths; /* for tools of level none only */
	size_t n_read_paths;
	char **hosts; /* "host" or "host:port" */
	size_t n_hosts;
	bool critical;
	char *check_tool; /* NULL: none */
	Healbus__Param **check_params;
	size_t n_check_params;
	json_t *json; /* what templates see as .target */
};

struct target_group {
	char *id;
	int64_t min_healthy;
	bool percent;
};

struct inventory {
	struct target *targets;
	size_t n;
	struct target_group *groups;
	size_t n_groups;
};

/* OPT_TREE parsers of `targets:` and `groups:`; field is the struct inventory *. */
int inventory_parse_targets(void *field, const struct yaml_node *node, struct why *out_why);
int inventory_parse_groups(void *field, const struct yaml_node *node, struct why *out_why);
void inventory_release(void *field);
/* What rows cannot say: groups exist, members of groups with min_healthy have a check. ERR_CONFIG.
 */
int inventory_check(const struct inventory *inv, struct why *out_why);

/* NULL when unknown. */
const struct target *target_find(const struct inventory *inv, const char *id);
const struct target_group *group_find(const struct inventory *inv, const char *id);
/* How many members must stay healthy, of n. */
size_t group_minimum(const struct target_group *g, size_t n);

bool target_allows_tool(const struct target *t, const char *tool);
/* True for a plain path that equals or lies below one of the target's paths (or, for a tool that
 * only reads, its read_paths). */
bool target_allows_path(const struct target *t, const char *path, bool reads);
bool target_allows_host(const struct target *t, const char *host);
/* The URL's host and port (80 and 443 by default) are listed, as "host" (any port) or "host:port".
 */
bool target_allows_url(const struct target *t, const char *url);

/*
 * Opens a path for binding into a sandbox (O_PATH). Below one of the target's paths, no symbolic
 * link is followed, so that what was allowed is what is opened; any other path comes from the
 * configuration and is opened as it is. The caller closes *out_fd. ERR_NOT_FOUND, ERR_DENIED
 * (a symbolic link), ERR_IO.
 */
int target_open_path(const struct target *t, const char *path, int *out_fd, struct why *out_why);

#endif
