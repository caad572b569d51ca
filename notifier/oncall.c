#include "notifier/oncall.h"

#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"

enum { HOUR_MS = 3600 * 1000 };
#define DAY_MS (24 * (int64_t)HOUR_MS)

/* ---- YAML ---- */

static int list_check(const struct yaml_node *node, const char *what, size_t max,
		      struct why *out_why)
{
	if (node->type == YAML_LIST && node->count > 0 && node->count <= max)
		return 0;
	return yaml_error(node, out_why, "%s: a list of 1 to %zu", what, max);
}

/* "2026-01-05T09:00" by the rotation's own clock, or RFC 3339 with an offset. */
static int moment_parse(const struct yaml_node *map, const char *key, const struct zone *zone,
			int64_t *out_ms, struct why *out_why)
{
	const char *text = NULL;
	int rc = yaml_str(yaml_get(map, key), key, &text, out_why);
	if (rc)
		return rc;
	auto_free char *local = mem_printf("%s%s", text, strlen(text) == 16 ? ":00Z" : "Z");
	if (!time_parse(text, out_ms))
		return 0;
	if (time_parse(local, out_ms))
		return yaml_error(yaml_get(map, key), out_why,
				  "%s: \"%s\" is not a time such as 2026-01-05T09:00", key, text);
	*out_ms = zone_utc_ms(zone, *out_ms);
	return 0;
}

static int shift_parse(const struct yaml_node *map, int64_t *out_ms, struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, "shift");
	*out_ms = 7 * DAY_MS;
	if (!node)
		return 0;
	if (node->scalar && str_eq(node->scalar, "weekly"))
		return 0;
	if (node->scalar && str_eq(node->scalar, "daily")) {
		*out_ms = DAY_MS;
		return 0;
	}
	return yaml_duration_ms(node, "shift", HOUR_MS, 366 * DAY_MS, out_ms, out_why);
}

static int people_parse(const struct yaml_node *map, struct words *out, struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, "rotation");
	if (!node)
		return yaml_error(map, out_why, "rotation: missing: a list of people");
	int rc = list_check(node, "rotation", ONCALL_PEOPLE_MAX, out_why);
	if (!rc)
		rc = words_parse(node, "rotation", out, out_why);
	for (size_t i = 0; i < out->n && !rc; i++)
		if (!token_valid(out->items[i]))
			rc = yaml_error(node, out_why, "rotation: \"%s\" is not a person's name",
					out->items[i]);
	return rc;
}

static int layer_parse(const struct yaml_node *map, const struct zone *zone,
		       struct oncall_layer *out, struct why *out_why)
{
	int64_t start_ms = 0;
	int rc = people_parse(map, &out->people, out_why);
	if (!rc)
		rc = shift_parse(map, &out->shift_ms, out_why);
	if (!rc)
		rc = moment_parse(map, "start", zone, &start_ms, out_why);
	if (!rc)
		rc = words_parse(yaml_get(map, "when"), "when", &out->when, out_why);
	out->start_ms = zone_local_ms(zone, start_ms);
	return rc;
}

static int layers_parse(const struct yaml_node *map, struct oncall *out, struct why *out_why)
{
	static const char *const keys[] = {"rotation", "shift", "start", "when"};
	const struct yaml_node *list = yaml_get(map, "layers");
	int rc = list ? list_check(list, "layers", ONCALL_LAYERS_MAX, out_why) : 0;
	if (rc)
		return rc;
	out->layers = mem_calloc(list ? list->count : 1, sizeof(*out->layers));
	if (!list)
		return layer_parse(map, &out->zone, &out->layers[out->n_layers++], out_why);
	if (yaml_get(map, "rotation"))
		return yaml_error(map, out_why, "rotation or layers, not both");
	YAML_EACH(item, list)
	{
		struct oncall_layer *layer = &out->layers[out->n_layers++];
		rc = yaml_only_keys(item, keys, ARRAY_SIZE(keys), out_why);
		if (!rc)
			rc = layer_parse(item, &out->zone, layer, out_why);
		if (!rc && out->n_layers == 1 && layer->when.n)
			rc = yaml_error(item, out_why,
					"when: the first layer holds always, so that somebody is "
					"on call at any time");
		if (rc)
			return rc;
	}
	return 0;
}

static int override_parse(const struct yaml_node *map, const struct zone *zone,
			  struct oncall_override *out, struct why *out_why)
{
	static const char *const keys[] = {"from", "until", "person"};
	const char *person = NULL;
	int rc = yaml_only_keys(map, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = moment_parse(map, "from", zone, &out->from_ms, out_why);
	if (!rc)
		rc = moment_parse(map, "until", zone, &out->until_ms, out_why);
	if (!rc)
		rc = yaml_str(yaml_get(map, "person"), "person", &person, out_why);
	if (rc)
		return rc;
	if (!token_valid(person))
		return yaml_error(map, out_why, "person: \"%s\" is not a person's name", person);
	if (out->until_ms <= out->from_ms)
		return yaml_error(map, out_why, "until: must be after from");
	out->person = mem_strdup(person);
	return 0;
}

static int overrides_parse(const struct yaml_node *map, struct oncall *out, struct why *out_why)
{
	const struct yaml_node *list = yaml_get(map, "overrides");
	if (!list || list->type == YAML_NULL)
		return 0;
	if (list->type != YAML_LIST || list->count > ONCALL_OVERRIDES_MAX)
		return yaml_error(list, out_why, "overrides: a list of at most %d",
				  ONCALL_OVERRIDES_MAX);
	out->overrides = mem_calloc(list->count, sizeof(*out->overrides));
	YAML_EACH(item, list)
	{
		int rc = override_parse(item, &out->zone, &out->overrides[out->n_overrides++],
					out_why);
		if (rc)
			return rc;
	}
	return 0;
}

static int oncall_parse(const struct yaml_node *map, struct oncall *out, struct why *out_why)
{
	static const char *const keys[] = {"name",  "timezone", "layers",   "rotation",
					   "shift", "start",    "overrides"};
	int rc = yaml_only_keys(map, keys, ARRAY_SIZE(keys), out_why);
	const struct yaml_node *name = yaml_get(map, "name"), *zone = yaml_get(map, "timezone");
	if (rc)
		return rc;
	if (!name || !name->scalar || !token_valid(name->scalar))
		return yaml_error(map, out_why, "oncall: name must be 1 to 64 of [A-Za-z0-9_-]");
	out->name = mem_strdup(name->scalar);
	if (zone)
		rc = zone_from_yaml(zone, "timezone", &out->zone, out_why);
	if (!rc)
		rc = layers_parse(map, out, out_why);
	if (!rc)
		rc = overrides_parse(map, out, out_why);
	return rc;
}

int oncalls_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct oncalls *all = field;
	if (!node || node->type == YAML_NULL)
		return 0;
	int rc = list_check(node, "oncall", ONCALL_MAX, out_why);
	if (rc)
		return rc;
	all->items = mem_calloc(node->count, sizeof(*all->items));
	YAML_EACH(item, node)
	{
		struct oncall *o = &all->items[all->n++];
		rc = oncall_parse(item, o, out_why);
		if (rc)
			return rc;
		if (oncall_find(all, o->name) != o)
			return yaml_error(item, out_why, "oncall: \"%s\" is there twice", o->name);
	}
	return 0;
}

static void oncall_release(struct oncall *o)
{
	for (size_t i = 0; i < o->n_layers; i++) {
		words_release(&o->layers[i].people);
		words_release(&o->layers[i].when);
	}
	for (size_t i = 0; i < o->n_overrides; i++)
		free(o->overrides[i].person);
	free(o->layers);
	free(o->overrides);
	free(o->name);
}

void oncalls_release(void *field)
{
	struct oncalls *all = field;
	for (size_t i = 0; i < all->n; i++)
		oncall_release(&all->items[i]);
	free(all->items);
	*all = (struct oncalls){0};
}

int oncalls_check(const struct oncalls *all, const struct intervals *intervals, struct why *out_why)
{
	for (size_t i = 0; i < all->n; i++) {
		for (size_t k = 0; k < all->items[i].n_layers; k++) {
			const struct words *when = &all->items[i].layers[k].when;
			for (size_t w = 0; w < when->n; w++)
				if (!intervals_find(intervals, when->items[w]))
					return why_set(out_why, ERR_CONFIG,
						       "oncall: %s: time interval \"%s\" is not "
						       "defined",
						       all->items[i].name, when->items[w]);
		}
	}
	return 0;
}

static const char *stranger(const struct oncall *o,
			    bool (*known)(const void *ctx, const char *name), const void *ctx)
{
	for (size_t i = 0; i < o->n_layers; i++)
		for (size_t k = 0; k < o->layers[i].people.n; k++)
			if (!known(ctx, o->layers[i].people.items[k]))
				return o->layers[i].people.items[k];
	for (size_t i = 0; i < o->n_overrides; i++)
		if (!known(ctx, o->overrides[i].person))
			return o->overrides[i].person;
	return NULL;
}

const char *oncalls_stranger(const struct oncalls *all,
			     bool (*known)(const void *ctx, const char *name), const void *ctx)
{
	const char *found = NULL;
	for (size_t i = 0; i < all->n && !found; i++)
		found = stranger(&all->items[i], known, ctx);
	return found;
}

/* ---- use ---- */

const struct oncall *oncall_find(const struct oncalls *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (str_eq(all->items[i].name, name))
			return &all->items[i];
	return NULL;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* When the layer's k-th shift begins. Grows with k, whatever the clock on the wall does. */
static int64_t handover_ms(const struct oncall *o, const struct oncall_layer *l, int64_t k)
{
	return zone_utc_ms(&o->zone, l->start_ms + k * l->shift_ms);
}

static int64_t shift_at(const struct oncall *o, const struct oncall_layer *l, int64_t ms)
{
	int64_t k = floor_div(zone_local_ms(&o->zone, ms) - l->start_ms, l->shift_ms);
	/* Of an hour that comes twice, the clock shows less the second time. */
	while (handover_ms(o, l, k + 1) <= ms)
		k++;
	return k;
}

static const char *layer_who(const struct oncall *o, const struct oncall_layer *l, int64_t ms)
{
	int64_t n = (int64_t)l->people.n;
	int64_t k = shift_at(o, l, ms) % n;
	return l->people.items[k < 0 ? k + n : k];
}

const char *oncall_who(const struct oncall *o, const struct intervals *intervals, int64_t ms)
{
	for (size_t i = o->n_overrides; i > 0; i--) {
		const struct oncall_override *v = &o->overrides[i - 1];
		if (ms >= v->from_ms && ms < v->until_ms)
			return v->person;
	}
	for (size_t i = o->n_layers - 1; i > 0; i--) {
		const struct oncall_layer *l = &o->layers[i];
		if (!l->when.n || intervals_cover(intervals, l->when.items, l->when.n, ms))
			return layer_who(o, l, ms);
	}
	return layer_who(o, &o->layers[0], ms);
}

/* The first moment after ms at which anything could change. */
static int64_t edge_after(const struct oncall *o, const struct intervals *intervals, int64_t ms)
{
	int64_t next = INT64_MAX;
	for (size_t i = 0; i < o->n_overrides; i++) {
		const struct oncall_override *v = &o->overrides[i];
		int64_t edge = v->from_ms > ms ? v->from_ms : v->until_ms;
		next = edge > ms ? MIN(next, edge) : next;
	}
	for (size_t i = 0; i < o->n_layers; i++) {
		const struct oncall_layer *l = &o->layers[i];
		next = MIN(next, handover_ms(o, l, shift_at(o, l, ms) + 1));
		for (size_t k = 0; k < l->when.n; k++) {
			const struct interval *in = intervals_find(intervals, l->when.items[k]);
			next = in ? MIN(next, interval_next_change_ms(in, ms)) : next;
		}
	}
	return next;
}

int64_t oncall_until_ms(const struct oncall *o, const struct intervals *intervals, int64_t ms)
{
	const char *now = oncall_who(o, intervals, ms);
	int64_t end = ms + ONCALL_LOOK_DAYS * DAY_MS, at = ms;
	while (at < end && str_eq(oncall_who(o, intervals, at), now))
		at = edge_after(o, intervals, at);
	return MIN(at, end);
}
