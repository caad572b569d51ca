/*
 * The catalogue: every tool the executor can run, one YAML file each (executor/README.md shows the
 * keys). Checked as a whole when loaded: unknown keys, programs that are interpreters with free
 * arguments, templates that do not compile, references to tools that do not exist are errors with
 * file:line. Read-only afterwards. Templates and expressions keep state inside libjq, so they are
 * used through the functions here, which take the catalogue's lock. Any thread.
 */
#ifndef EXECUTOR_CATALOGUE_H
#define EXECUTOR_CATALOGUE_H

#include "common/base.h"

#include "common/expr.h"
#include "common/wire.h"
#include "common/yaml.h"
#include "executor/params.h"

enum {
	TOOLS_MAX = 1000,
	TOOL_TIMEOUT_MS = 30000, /* default of `timeout:` */
	TOOL_TIMEOUT_MAX_MS = 900000,
	TOOL_OUTPUT_BYTES = 64 << 10, /* default and ceiling of `output_limit:` */
	EXIT_CODES_MAX = 8,
};

struct catalogue;
struct runner;

/* One way to run a tool; the first whose `when` holds is used. */
struct call {
	struct expr *when; /* NULL: always */
	const struct runner *runner;
	void *spec; /* the runner's own part */
	int64_t timeout_ms;
	int64_t output_limit_bytes;
	int exit_codes[EXIT_CODES_MAX];
	size_t n_exit_codes;
	struct expr *success; /* instead of exit codes */
};

struct tool_arg {
	char *name;
	struct template *value;
};

/* A tool's own verification or rollback. */
struct tool_ref {
	char *tool; /* NULL: none */
	struct tool_arg *args;
	size_t n_args;
	int64_t deadline_ms;
	int64_t interval_ms;
};

struct tool {
	char *name;
	char *summary;
	Healbus__Level level;
	struct params_def params;
	struct call *calls;
	size_t n_calls;
	struct tool_ref verify;
	struct tool_ref rollback;
	bool idempotent;
	bool retry_safe;
};

/* Loads every *.yaml of the directory, in order of name. ERR_CONFIG with file:line. */
int catalogue_load(const char *dir, struct catalogue **out, struct why *out_why);
void catalogue_free(struct catalogue *cat);

/* NULL when unknown. */
const struct tool *tool_find(const struct catalogue *cat, const char *name);
size_t catalogue_size(const struct catalogue *cat);
const struct tool *catalogue_tool(const struct catalogue *cat, size_t i);

/* For runners while parsing: the compiled form, shared by equal sources, owned by the catalogue. */
int catalogue_template(struct catalogue *cat, const struct yaml_node *node, const char *what,
		       struct template **out, struct why *out_why);

/* Under the lock: template_render and expr_test. */
int catalogue_render(const struct catalogue *cat, struct template *t, const json_t *input,
		     struct buf *out, struct why *out_why);
int catalogue_test(const struct catalogue *cat, struct expr *e, const json_t *input, bool *out,
		   struct why *out_why);

/* The call for this input {"params": ..., "target": ...}. ERR_UNSUPPORTED when no variant fits the
 * target. */
int tool_choose(const struct catalogue *cat, const struct tool *tool, const json_t *input,
		const struct call **out, struct why *out_why);

/* A Control{CATALOGUE} without id, by and at; in the arena. */
Healbus__Control *catalogue_control(const struct catalogue *cat, struct arena *arena);

#endif
