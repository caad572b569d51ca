#include "executor/catalogue.h"

#include <dirent.h>
#include <pthread.h>

#include "common/mem.h"
#include "executor/catalogue_parse.h"
#include "executor/runners/runner.h"

/* Compiling takes libjq about 14 ms, and tools repeat each other: one compiled form a source. */
struct pooled {
	char *source;
	struct template *tmpl;
	struct expr *expr;
};

struct catalogue {
	struct tool *tools;
	size_t n;
	struct pooled *pool;
	size_t n_pool;
	pthread_mutex_t lock;
};

static void ref_release(struct tool_ref *r)
{
	for (size_t i = 0; i < r->n_args; i++)
		free(r->args[i].name);
	free(r->args);
	free(r->tool);
}

void tool_release(struct tool *t)
{
	for (size_t i = 0; i < t->n_calls; i++)
		if (t->calls[i].runner)
			t->calls[i].runner->spec_free(t->calls[i].spec);
	free(t->calls);
	params_release(&t->params);
	ref_release(&t->verify);
	ref_release(&t->rollback);
	free(t->name);
	free(t->summary);
	*t = (struct tool){0};
}

void catalogue_free(struct catalogue *cat)
{
	if (!cat)
		return;
	for (size_t i = 0; i < cat->n; i++)
		tool_release(&cat->tools[i]);
	for (size_t i = 0; i < cat->n_pool; i++) {
		free(cat->pool[i].source);
		template_free(cat->pool[i].tmpl);
		expr_free(cat->pool[i].expr);
	}
	free(cat->tools);
	free(cat->pool);
	pthread_mutex_destroy(&cat->lock);
	free(cat);
}

const struct tool *tool_find(const struct catalogue *cat, const char *name)
{
	for (size_t i = 0; name && i < cat->n; i++)
		if (str_eq(cat->tools[i].name, name))
			return &cat->tools[i];
	return NULL;
}

size_t catalogue_size(const struct catalogue *cat)
{
	return cat->n;
}

const struct tool *catalogue_tool(const struct catalogue *cat, size_t i)
{
	return &cat->tools[i];
}

static struct pooled *pool_find(struct catalogue *cat, const char *source, bool want_expr)
{
	for (size_t i = 0; i < cat->n_pool; i++) {
		struct pooled *p = &cat->pool[i];
		if (str_eq(p->source, source) && (want_expr ? p->expr != NULL : p->tmpl != NULL))
			return p;
	}
	return NULL;
}

static struct pooled *pool_add(struct catalogue *cat, const char *source)
{
	cat->pool = mem_realloc(cat->pool, (cat->n_pool + 1) * sizeof(*cat->pool));
	struct pooled *p = &cat->pool[cat->n_pool++];
	*p = (struct pooled){.source = mem_strdup(source)};
	return p;
}

int catalogue_template(struct catalogue *cat, const struct yaml_node *node, const char *what,
		       struct template **out, struct why *out_why)
{
	const char *source = NULL;
	int rc = yaml_str(node, what, &source, out_why);
	if (rc)
		return rc;
	struct pooled *p = pool_find(cat, source, false);
	if (!p) {
		struct template *t = NULL;
		struct why why = {0};
		if (template_compile(source, &t, &why))
			return yaml_error(node, out_why, "%s: %s", what, why.text);
		p = pool_add(cat, source);
		p->tmpl = t;
	}
	*out = p->tmpl;
	return 0;
}

int catalogue_expr(struct catalogue *cat, const struct yaml_node *node, const char *what,
		   struct expr **out, struct why *out_why)
{
	const char *source = NULL;
	int rc = yaml_str(node, what, &source, out_why);
	if (rc)
		return rc;
	struct pooled *p = pool_find(cat, source, true);
	if (!p) {
		struct expr *e = NULL;
		struct why why = {0};
		if (expr_compile(source, &e, &why))
			return yaml_error(node, out_why, "%s: %s", what, why.text);
		p = pool_add(cat, source);
		p->expr = e;
	}
	*out = p->expr;
	return 0;
}

int catalogue_render(const struct catalogue *cat, struct template *t, const json_t *input,
		     struct buf *out, struct why *out_why)
{
	pthread_mutex_t *lock = &((struct catalogue *)cat)->lock;
	pthread_mutex_lock(lock);
	int rc = template_render(t, input, out, out_why);
	pthread_mutex_unlock(lock);
	return rc;
}

int catalogue_test(const struct catalogue *cat, struct expr *e, const json_t *input, bool *out,
		   struct why *out_why)
{
	pthread_mutex_t *lock = &((struct catalogue *)cat)->lock;
	pthread_mutex_lock(lock);
	int rc = expr_test(e, input, out, out_why);
	pthread_mutex_unlock(lock);
	return rc;
}

int tool_choose(const struct catalogue *cat, const struct tool *tool, const json_t *input,
		const struct call **out, struct why *out_why)
{
	for (size_t i = 0; i < tool->n_calls; i++) {
		const struct call *c = &tool->calls[i];
		bool fits = true;
		if (c->when && catalogue_test(cat, c->when, input, &fits, NULL))
			fits = false;
		if (!fits)
			continue;
		*out = c;
		return 0;
	}
	return why_set(out_why, ERR_UNSUPPORTED, "%s has no variant for this target", tool->name);
}

/* ---- loading ---- */

static int check_ref(const struct catalogue *cat, const struct tool *tool,
		     const struct tool_ref *ref, Healbus__Level highest, struct why *out_why)
{
	if (!ref->tool)
		return 0;
	const struct tool *other = tool_find(cat, ref->tool);
	if (!other)
		return why_set(out_why, ERR_CONFIG, "tool %s: no tool %s", tool->name, ref->tool);
	if (other->level > highest)
		return why_set(out_why, ERR_CONFIG, "tool %s: %s may not be used here (its level)",
			       tool->name, ref->tool);
	return 0;
}

static int check_refs(const struct catalogue *cat, struct why *out_why)
{
	for (size_t i = 0; i < cat->n; i++) {
		const struct tool *t = &cat->tools[i];
		int rc = check_ref(cat, t, &t->verify, HEALBUS__LEVEL__LEVEL_NONE, out_why);
		if (!rc)
			rc = check_ref(cat, t, &t->rollback, HEALBUS__LEVEL__LEVEL_HARD, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

static int load_file(struct catalogue *cat, const char *path, struct why *out_why)
{
	struct yaml_doc doc = {0};
	int rc = yaml_parse_file(path, &doc, out_why);
	if (rc)
		return rc;
	struct tool tool = {0};
	rc = tool_parse(cat, doc.root, &tool, out_why);
	if (!rc && tool_find(cat, tool.name))
		rc = yaml_error(doc.root, out_why, "name: %s is there twice", tool.name);
	yaml_release(&doc);
	if (rc) {
		tool_release(&tool);
		return rc;
	}
	cat->tools = mem_realloc(cat->tools, (cat->n + 1) * sizeof(*cat->tools));
	cat->tools[cat->n++] = tool;
	return 0;
}

static int is_yaml(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return entry->d_name[0] != '.' && len > 5 && str_eq(entry->d_name + len - 5, ".yaml");
}

static int load_dir(struct catalogue *cat, const char *dir, struct why *out_why)
{
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_yaml, alphasort);
	if (n < 0)
		return why_set(out_why, ERR_CONFIG, "tools_dir: %s: cannot be read", dir);
	int rc = n > TOOLS_MAX ? why_set(out_why, ERR_CONFIG, "%s: too many tools", dir) : 0;
	for (int i = 0; i < n; i++) {
		auto_free char *path = mem_printf("%s/%s", dir, entries[i]->d_name);
		rc = rc ? rc : load_file(cat, path, out_why);
		free(entries[i]);
	}
	free(entries);
	return rc;
}

int catalogue_load(const char *dir, struct catalogue **out, struct why *out_why)
{
	struct catalogue *cat = mem_alloc(sizeof(*cat));
	pthread_mutex_init(&cat->lock, NULL);
	int rc = load_dir(cat, dir, out_why);
	if (!rc)
		rc = check_refs(cat, out_why);
	if (rc) {
		catalogue_free(cat);
		return rc;
	}
	*out = cat;
	return 0;
}

/* ---- telling ---- */

static Healbus__ToolInfo *tool_info(const struct tool *t, struct arena *arena)
{
	Healbus__ToolInfo *info = arena_alloc(arena, sizeof(*info));
	healbus__tool_info__init(info);
	info->name = t->name;
	info->summary = t->summary;
	SET(info, level, t->level);
	info->runner = (char *)t->calls[0].runner->name;
	SET(info, can_undo, t->rollback.tool != NULL);
	info->params = arena_alloc(arena, (t->params.n + 1) * sizeof(char *));
	info->n_params = t->params.n;
	for (size_t i = 0; i < t->params.n; i++)
		info->params[i] = arena_printf(arena, "%s:%s", t->params.items[i].name,
					       param_type_name(t->params.items[i].type));
	return info;
}

Healbus__Control *catalogue_control(const struct catalogue *cat, struct arena *arena)
{
	Healbus__Control *c = arena_alloc(arena, sizeof(*c));
	healbus__control__init(c);
	SET(c, kind, HEALBUS__CONTROL_KIND__CONTROL_CATALOGUE);
	c->tools = arena_alloc(arena, (cat->n + 1) * sizeof(*c->tools));
	c->n_tools = cat->n;
	for (size_t i = 0; i < cat->n; i++)
		c->tools[i] = tool_info(&cat->tools[i], arena);
	return c;
}
