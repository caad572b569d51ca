/* What the executor's tests share: a configuration from YAML text, plans from few words. */
#ifndef TESTS_EXECUTOR_SUPPORT_H
#define TESTS_EXECUTOR_SUPPORT_H

#include "common/base.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/mem.h"
#include "executor/config.h"

/* A temporary directory, removed by support_remove. Caller frees. */
static inline char *support_dir(void)
{
	char *dir = mem_strdup("/tmp/healbus-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return dir;
}

static inline void support_write(const char *dir, const char *name, const char *text)
{
	auto_free char *path = mem_printf("%s/%s", dir, name);
	auto_file FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Deletes files and directories below and dir itself. */
static inline void support_remove(const char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Where the shipped tools are: $HEALBUS_TOOLS, else executor/tools below the working directory. */
static inline const char *support_tools(void)
{
	const char *dir = getenv("HEALBUS_TOOLS");
	return dir ? dir : "executor/tools";
}

static inline const char *no_environment(const char *name)
{
	(void)name;
	return NULL;
}

/* executor.yaml's text as a loaded configuration; tools_dir as given. Release with
 * support_config_release. */
static inline void support_config(struct executor_config *out, const char *yaml,
				  const char *tools_dir)
{
	struct why why = {0};
	auto_free char *dir = support_dir();
	support_write(dir, "executor.yaml", yaml);
	*out = (struct executor_config){0};
	int rc = config_load(&executor_options, dir, no_environment, out, &why);
	support_remove(dir);
	if (rc == 0) {
		free(out->tools_dir);
		out->tools_dir = mem_strdup(tools_dir);
		rc = executor_prepare(out, &why);
	}
	if (rc)
		fail_msg("configuration: %s", why.text);
}

static inline void support_config_release(struct executor_config *c)
{
	executor_unprepare(c);
	config_release(&executor_options, c);
}

static inline void fill_params(struct arena *arena, Healbus__Step *s, const char *const *params)
{
	size_t n = 0;
	while (params[n])
		n++;
	s->params = arena_alloc(arena, (n + 1) * sizeof(*s->params));
	for (size_t i = 0; i < n; i++) {
		char *name = arena_strdup(arena, params[i]);
		char *value = strchr(name, '=');
		*value++ = 0;
		s->params[s->n_params++] = param_new_string(arena, name, value);
	}
}

/* A plan of one step on this target; params: "name=value" texts, NULL-terminated. In the arena. */
static inline Healbus__Plan *support_plan(struct arena *arena, const char *tool, const char *target,
					  const char *const *params)
{
	Healbus__Plan *p = arena_alloc(arena, sizeof(*p));
	Healbus__Step *s = arena_alloc(arena, sizeof(*s));
	healbus__plan__init(p);
	healbus__step__init(s);
	p->id = arena_strdup(arena, "plan-1");
	p->incident = arena_strdup(arena, "incident-1");
	p->steps = arena_alloc(arena, sizeof(*p->steps));
	p->steps[0] = s;
	p->n_steps = 1;
	SET(p, attempt, 1);
	SET(p, trusted, true);
	SET(p, created_at_ms, 1000000);
	SET(p, not_after_ms, INT64_C(4000000000000));
	SET(p, provenance, HEALBUS__PROVENANCE__PROVENANCE_RUNBOOK);
	s->tool = arena_strdup(arena, tool);
	s->target = arena_strdup(arena, target);
	fill_params(arena, s, params);
	return p;
}

#define PARAMS(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

#endif
