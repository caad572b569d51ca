#include "reasoner/runbook/runbook_private.h"

#include <dirent.h>

static bool is_yaml(const char *name)
{
	size_t len = strlen(name);
	return name[0] != '.' && len > 5 && str_eq(name + len - 5, ".yaml");
}

static int yaml_filter(const struct dirent *entry)
{
	return is_yaml(entry->d_name);
}

static struct runbook *set_slot(struct runbooks *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++) {
		if (str_eq(set->items[i]->name, name))
			return set->items[i];
	}
	return NULL;
}

static int set_add(struct runbooks *set, const char *path, size_t first, struct why *out_why)
{
	struct runbook *rb = arena_alloc(&set->arena, sizeof(*rb));
	int rc = runbook_parse(set, path, rb, out_why);
	struct runbook *old = rc ? NULL : set_slot(set, rb->name);
	if (rc) {
		matchers_release(&rb->match);
		return rc;
	}
	for (size_t i = first; old && i < set->n; i++) {
		if (set->items[i] != old)
			continue;
		matchers_release(&rb->match);
		return why_set(out_why, ERR_CONFIG, "%s:1: name: %s is taken by %s", path, rb->name,
			       old->file);
	}
	if (old) {
		matchers_release(&old->match);
		*old = *rb;
		return 0;
	}
	set->items = mem_realloc(set->items, (set->n + 1) * sizeof(*set->items));
	set->items[set->n++] = rb;
	return 0;
}

static int load_dir(struct runbooks *set, const char *dir, struct why *out_why)
{
	struct dirent **names = NULL;
	size_t first = set->n;
	int rc = 0;
	int n = scandir(dir, &names, yaml_filter, alphasort);
	if (n < 0)
		return why_set(out_why, ERR_CONFIG, "%s: cannot read the directory of runbooks",
			       dir);
	for (int i = 0; i < n; i++) {
		auto_free char *path = mem_printf("%s/%s", dir, names[i]->d_name);
		if (!rc)
			rc = set_add(set, path, first, out_why);
		free(names[i]);
	}
	free(names);
	return rc;
}

static int runbook_order(const void *a, const void *b)
{
	const struct runbook *x = *(struct runbook *const *)a;
	const struct runbook *y = *(struct runbook *const *)b;
	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Asked ones to the front, in order; the rest stays only to be released. */
static void set_sort(struct runbooks *set)
{
	size_t n = 0;
	for (size_t i = 0; i < set->n; i++) {
		if (set->items[i]->enabled)
			set->items[n++] = set->items[i];
		else
			matchers_release(&set->items[i]->match);
	}
	set->n = n;
	if (n)
		qsort(set->items, n, sizeof(*set->items), runbook_order);
}

int runbooks_load(const char *const *dirs, size_t n_dirs, struct runbooks **out,
		  struct why *out_why)
{
	struct runbooks *set = mem_alloc(sizeof(*set));
	int rc = 0;
	set->arena.limit_bytes = SIZE_MAX / 2;
	for (size_t i = 0; i < n_dirs && !rc; i++)
		rc = dirs[i] && *dirs[i] ? load_dir(set, dirs[i], out_why) : 0;
	if (rc) {
		runbooks_free(set);
		return rc;
	}
	set_sort(set);
	*out = set;
	return 0;
}

void runbooks_free(struct runbooks *set)
{
	if (!set)
		return;
	for (struct compiled *c = set->compiled; c; c = c->next) {
		template_free(c->text);
		expr_free(c->jq);
	}
	for (size_t i = 0; i < set->n; i++)
		matchers_release(&set->items[i]->match);
	free(set->items);
	arena_release(&set->arena);
	free(set);
}

size_t runbooks_count(const struct runbooks *set)
{
	return set ? set->n : 0;
}

const struct runbook *runbooks_at(const struct runbooks *set, size_t i)
{
	return set->items[i];
}

const struct runbook *runbooks_find(const struct runbooks *set, const char *name)
{
	for (size_t i = 0; i < runbooks_count(set); i++) {
		if (str_eq(set->items[i]->name, name))
			return set->items[i];
	}
	return NULL;
}

/* ---- matching ---- */

static const char *incident_label(const void *incident, const char *name)
{
	const Healbus__Incident *i = incident;
	const char *value = label_get(i->labels, i->n_labels, name);
	if (!value && str_eq(name, "alertname") && i->n_events)
		return i->events[0]->name;
	return value;
}

bool runbook_matches(const struct runbook *rb, const Healbus__Incident *incident)
{
	return (int)incident->severity >= rb->severity &&
	       matchers_match(&rb->match, incident_label, incident);
}

json_t *runbook_view(const Healbus__Incident *incident, uint32_t attempt)
{
	json_t *view = wire_to_json(&incident->base);
	if (!json_object_get(view, "tried"))
		json_object_set_new(view, "tried", json_array());
	if (!json_object_get(view, "labels"))
		json_object_set_new(view, "labels", json_object());
	json_object_set_new(view, "attempt", json_integer(attempt));
	return view;
}

int runbook_wanted(const struct runbook *rb, const json_t *view, struct why *out_why)
{
	bool wanted = true;
	int rc = rb->when ? expr_test(rb->when, view, &wanted, out_why) : 0;
	return rc ? rc : wanted;
}
