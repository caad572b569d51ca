#include "notifier/routing.h"

#include "common/buf.h"
#include "common/mem.h"
#include "proto/healbus.pb-c.h"

/* Alertmanager's defaults. */
enum { GROUP_WAIT_MS = 30000, GROUP_INTERVAL_MS = 300000, REPEAT_INTERVAL_MS = 14400000 };

/* More than one in two minutes nobody reads. And a channel that is dead for a day then holds fewer
 * notices than the consumer lets wait at once, so that it does not stop the others. */
enum { THROTTLE_LIMIT = 30, THROTTLE_PER_MS = 3600 * 1000 };

static const char *const severity_names[] = {"unknown", "info", "warning", "error", "critical"};

/* ---- parsing ---- */

static int severity_parse(const struct yaml_node *node, int64_t *out, struct why *out_why)
{
	if (!node)
		return 0;
	const char *text;
	int rc = yaml_str(node, "severity", &text, out_why);
	if (rc)
		return rc;
	for (size_t i = 1; i < ARRAY_SIZE(severity_names); i++) {
		if (str_eq(severity_names[i], text)) {
			*out = (int64_t)i;
			return 0;
		}
	}
	return yaml_error(node, out_why, "severity: \"%s\" is not info, warning, error or critical",
			  text);
}

static int duration_read(const struct yaml_node *map, const char *key, int64_t *io,
			 struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, key);
	const int64_t year_ms = INT64_C(365) * 86400000;
	return node ? yaml_duration_ms(node, key, 0, year_ms, io, out_why) : 0;
}

static int group_by_parse(const struct yaml_node *node, struct route *r, struct why *out_why)
{
	if (!node)
		return 0;
	int rc = words_parse(node, "group_by", &r->group_by, out_why);
	r->group_by_incident = words_have(&r->group_by, "...");
	return rc;
}

static void route_inherit(struct route *r, const struct route *parent)
{
	r->receiver = mem_strdup(parent->receiver);
	words_copy(&r->group_by, &parent->group_by);
	r->group_by_incident = parent->group_by_incident;
	r->group_wait_ms = parent->group_wait_ms;
	r->group_interval_ms = parent->group_interval_ms;
	r->repeat_interval_ms = parent->repeat_interval_ms;
	r->severity = parent->severity;
	r->escalation = parent->escalation ? mem_strdup(parent->escalation) : NULL;
	r->escalate_opened = parent->escalate_opened;
}

/* Alertmanager's spelling before `matchers`: a map of label: value. */
static int match_parse(const struct yaml_node *route, const char *key, enum matcher_op op,
		       struct matchers *out, struct why *out_why)
{
	const struct yaml_node *map = yaml_get(route, key);
	if (map && map->type != YAML_MAP)
		return yaml_error(map, out_why, "%s: must be a map of label: value", key);
	YAML_EACH(item, map)
	{
		const char *value = NULL;
		struct why why = {0};
		int rc = yaml_str(item, item->key, &value, out_why);
		if (rc)
			return rc;
		if (matchers_add(out, item->key, op, value, &why))
			return yaml_error(item, out_why, "%s: %s", key, why.text);
	}
	return 0;
}

/* "" takes an inherited policy away. */
static int escalation_read(struct route *r, const struct yaml_node *node, struct why *out_why)
{
	const struct yaml_node *on = yaml_get(node, "escalate_on");
	const char *name = NULL, *when = NULL;
	int rc = yaml_get(node, "escalation")
			 ? yaml_str(yaml_get(node, "escalation"), "escalation", &name, out_why)
			 : 0;
	if (!rc && on)
		rc = yaml_str(on, "escalate_on", &when, out_why);
	if (!rc && when && !str_eq(when, "opened") && !str_eq(when, "escalated"))
		rc = yaml_error(on, out_why, "escalate_on: \"%s\" is not opened or escalated",
				when);
	if (!rc && when)
		r->escalate_opened = str_eq(when, "opened");
	if (rc || !name)
		return rc;
	free(r->escalation);
	r->escalation = mem_strdup(name);
	return 0;
}

static int route_scalars(struct route *r, const struct yaml_node *node, struct why *out_why)
{
	const struct yaml_node *receiver = yaml_get(node, "receiver");
	const char *name;
	int rc = receiver ? yaml_str(receiver, "receiver", &name, out_why) : 0;
	if (!rc && receiver) {
		free(r->receiver);
		r->receiver = mem_strdup(name);
	}
	const struct yaml_node *go_on = yaml_get(node, "continue");
	if (!rc && go_on)
		rc = yaml_bool(go_on, "continue", &r->go_on, out_why);
	if (!rc)
		rc = duration_read(node, "group_wait", &r->group_wait_ms, out_why);
	if (!rc)
		rc = duration_read(node, "group_interval", &r->group_interval_ms, out_why);
	if (!rc)
		rc = duration_read(node, "repeat_interval", &r->repeat_interval_ms, out_why);
	if (!rc)
		rc = severity_parse(yaml_get(node, "severity"), &r->severity, out_why);
	if (!rc)
		rc = escalation_read(r, node, out_why);
	return rc;
}

static int route_lists(struct route *r, const struct yaml_node *node, struct why *out_why)
{
	int rc = matchers_from_yaml(yaml_get(node, "matchers"), &r->matchers, out_why);
	if (!rc)
		rc = match_parse(node, "match", MATCHER_EQUAL, &r->matchers, out_why);
	if (!rc)
		rc = match_parse(node, "match_re", MATCHER_REGEX, &r->matchers, out_why);
	if (!rc)
		rc = group_by_parse(yaml_get(node, "group_by"), r, out_why);
	if (!rc)
		rc = words_parse(yaml_get(node, "mute_time_intervals"), "mute_time_intervals",
				 &r->mute, out_why);
	return rc;
}

static void route_name(struct route *r, const struct route *parent)
{
	auto_buf text = {0};
	matchers_print(&r->matchers, &text);
	id_make(r->id, "route", parent ? parent->id : "", buf_str(&text),
		r->receiver ? r->receiver : "");
}

static int route_read(struct route *r, const struct route *parent, const struct yaml_node *node,
		      int depth, struct why *out_why)
{
	static const char *const keys[] = {"receiver",        "matchers",
					   "continue",        "group_by",
					   "group_wait",      "group_interval",
					   "repeat_interval", "severity",
					   "routes",          "mute_time_intervals",
					   "match",           "match_re",
					   "escalation",      "escalate_on"};
	if (depth > ROUTES_DEPTH_MAX)
		return yaml_error(node, out_why, "route: nested deeper than %d", ROUTES_DEPTH_MAX);
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = route_scalars(r, node, out_why);
	if (!rc)
		rc = route_lists(r, node, out_why);
	if (rc)
		return rc;
	if (!parent && r->matchers.n)
		return yaml_error(node, out_why, "route: the root must match everything");
	route_name(r, parent);
	const struct yaml_node *routes = yaml_get(node, "routes");
	r->children = mem_calloc(routes ? routes->count : 0, sizeof(*r->children));
	YAML_EACH(item, routes)
	{
		struct route *child = &r->children[r->n_children++];
		route_inherit(child, r);
		rc = route_read(child, r, item, depth + 1, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

/* How many routes one incident may take, if all matchers that can agree do. */
static size_t route_width(const struct route *r)
{
	size_t going_on = 0, last = 0;
	for (size_t i = 0; i < r->n_children; i++) {
		size_t width = route_width(&r->children[i]);
		last = MAX(last, going_on + width);
		going_on += r->children[i].go_on ? width : 0;
	}
	return MAX(last, 1);
}

int route_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct route *root = field;
	root->group_wait_ms = GROUP_WAIT_MS;
	root->group_interval_ms = GROUP_INTERVAL_MS;
	root->repeat_interval_ms = REPEAT_INTERVAL_MS;
	root->group_by_incident = true;
	if (!node || node->type == YAML_NULL) {
		route_name(root, NULL);
		return 0;
	}
	if (node->type != YAML_MAP)
		return yaml_error(node, out_why, "route: must be a map");
	int rc = route_read(root, NULL, node, 1, out_why);
	if (!rc && route_width(root) > ROUTES_MATCHED_MAX)
		return yaml_error(node, out_why, "route: one incident could take more than %d",
				  ROUTES_MATCHED_MAX);
	return rc;
}

void route_release(void *field)
{
	struct route *r = field;
	for (size_t i = 0; i < r->n_children; i++)
		route_release(&r->children[i]);
	free(r->children);
	free(r->receiver);
	free(r->escalation);
	matchers_release(&r->matchers);
	words_release(&r->group_by);
	words_release(&r->mute);
	*r = (struct route){0};
}

static int throttle_parse(const struct yaml_node *node, struct receiver *out, struct why *out_why)
{
	static const char *const keys[] = {"limit", "per"};
	if (!node)
		return 0;
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	const struct yaml_node *limit = yaml_get(node, "limit");
	if (!rc && limit)
		rc = yaml_int(limit, "limit", 0, 1000000, &out->throttle_limit, out_why);
	if (!rc)
		rc = duration_read(node, "per", &out->throttle_per_ms, out_why);
	if (!rc && out->throttle_per_ms < 1000)
		rc = yaml_error(node, out_why, "throttle: per must be at least 1s");
	return rc;
}

static int receiver_parse(const struct yaml_node *node, struct receiver *out, struct why *out_why)
{
	static const char *const keys[] = {"name", "channels", "fallback", "send_resolved",
					   "throttle"};
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (rc)
		return rc;
	const struct yaml_node *name = yaml_get(node, "name");
	if (!name || !name->scalar || !token_valid(name->scalar))
		return yaml_error(node, out_why,
				  "receivers: name must be 1 to 64 of [A-Za-z0-9_-]");
	out->name = mem_strdup(name->scalar);
	out->send_resolved = true;
	out->throttle_limit = THROTTLE_LIMIT;
	out->throttle_per_ms = THROTTLE_PER_MS;
	const struct yaml_node *resolved = yaml_get(node, "send_resolved");
	if (resolved)
		rc = yaml_bool(resolved, "send_resolved", &out->send_resolved, out_why);
	if (!rc)
		rc = words_parse(yaml_get(node, "channels"), "channels", &out->channels, out_why);
	if (!rc)
		rc = words_parse(yaml_get(node, "fallback"), "fallback", &out->fallback, out_why);
	if (!rc)
		rc = throttle_parse(yaml_get(node, "throttle"), out, out_why);
	return rc;
}

int receivers_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct receivers *all = field;
	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_LIST)
		return yaml_error(node, out_why, "receivers: must be a list");
	all->items = mem_calloc(node->count, sizeof(*all->items));
	YAML_EACH(item, node)
	{
		int rc = receiver_parse(item, &all->items[all->n++], out_why);
		if (rc)
			return rc;
	}
	return 0;
}

void receivers_release(void *field)
{
	struct receivers *all = field;
	for (size_t i = 0; i < all->n; i++) {
		free(all->items[i].name);
		words_release(&all->items[i].channels);
		words_release(&all->items[i].fallback);
	}
	free(all->items);
	*all = (struct receivers){0};
}

static int route_check(const struct rules *rules, const struct route *r, struct why *out_why)
{
	if (r->receiver && !receiver_find(&rules->receivers, r->receiver))
		return why_set(out_why, ERR_CONFIG, "route: receiver \"%s\" is not defined",
			       r->receiver);
	for (size_t i = 0; i < r->mute.n; i++)
		if (!intervals_find(&rules->intervals, r->mute.items[i]))
			return why_set(out_why, ERR_CONFIG,
				       "route: time interval \"%s\" is not defined",
				       r->mute.items[i]);
	if (r->escalation && *r->escalation && !escalation_find(&rules->escalations, r->escalation))
		return why_set(out_why, ERR_CONFIG, "route: escalation \"%s\" is not defined",
			       r->escalation);
	for (size_t i = 0; i < r->n_children; i++) {
		int rc = route_check(rules, &r->children[i], out_why);
		if (rc)
			return rc;
	}
	return 0;
}

int rules_check(const struct rules *rules, struct why *out_why)
{
	if (rules->receivers.n && !rules->route.receiver)
		return why_set(out_why, ERR_CONFIG, "route: the root names no receiver");
	return route_check(rules, &rules->route, out_why);
}

/* ---- use ---- */

const struct receiver *receiver_find(const struct receivers *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (str_eq(all->items[i].name, name))
			return &all->items[i];
	return NULL;
}

const struct route *route_find(const struct route *root, const char *id)
{
	if (str_eq(root->id, id))
		return root;
	for (size_t i = 0; i < root->n_children; i++) {
		const struct route *found = route_find(&root->children[i], id);
		if (found)
			return found;
	}
	return NULL;
}

const char *receiver_fallback(const struct receiver *r, const char *name)
{
	for (size_t i = 0; i < r->fallback.n; i++)
		if (str_eq(r->fallback.items[i], name))
			return i + 1 < r->fallback.n ? r->fallback.items[i + 1] : NULL;
	return r->fallback.n ? r->fallback.items[0] : NULL;
}

struct match {
	matcher_lookup *lookup;
	const void *labels;
	const struct route **out;
	size_t n;
};

static bool route_visit(const struct route *r, struct match *m)
{
	if (!matchers_match(&r->matchers, m->lookup, m->labels))
		return false;
	bool taken = false;
	for (size_t i = 0; i < r->n_children; i++) {
		if (!route_visit(&r->children[i], m))
			continue;
		taken = true;
		if (!r->children[i].go_on)
			break;
	}
	if (!taken && m->n < ROUTES_MATCHED_MAX)
		m->out[m->n++] = r;
	return true;
}

size_t route_match(const struct route *root, matcher_lookup *lookup, const void *labels,
		   const struct route *out[static ROUTES_MATCHED_MAX])
{
	struct match m = {lookup, labels, out, 0};
	route_visit(root, &m);
	return m.n;
}

void route_group(const struct route *r, matcher_lookup *lookup, const void *labels,
		 const char *incident, char out[static ID_BYTES])
{
	enum { GROUP_BY_MAX = 30 };
	const char *parts[GROUP_BY_MAX + 1] = {r->id};
	size_t n = 1;
	if (r->group_by_incident)
		parts[n++] = incident;
	for (size_t i = 0; i < r->group_by.n && n <= GROUP_BY_MAX && !r->group_by_incident; i++) {
		const char *value = lookup(labels, r->group_by.items[i]);
		parts[n++] = value ? value : "";
	}
	id_derive(out, "group", parts, n);
}
