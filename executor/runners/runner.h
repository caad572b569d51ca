/*
 * A runner: one way for a tool to act. One file and one row in runners.c each. A runner parses its
 * part of a tool's YAML into a spec, renders a spec for one target and set of parameters without
 * touching anything, and runs what was rendered.
 */
#ifndef EXECUTOR_RUNNER_H
#define EXECUTOR_RUNNER_H

#include "common/base.h"

#include "common/buf.h"
#include "common/http_client.h"
#include "executor/catalogue.h"
#include "executor/lines.h"

struct executor_config;

struct render_input {
	const struct catalogue *cat;
	const struct target *target;
	const json_t *json; /* {"params": ..., "target": ...} */
};

/* What a run may use and for how long. */
struct run_limits {
	int64_t timeout_ms;
	size_t output_limit_bytes;
	bool keep_end; /* of longer output the end is kept, not the beginning */
	const struct target *target;
	struct http_client *http;
	bool allow_unsandboxed;
	/* Called about five times a second while a command runs; false: kill it now. May be NULL.
	 */
	bool (*tick)(void *ctx);
	void *tick_ctx;
	const struct executor_config *config;
	const char *plan; /* id; the steps of one plan share a workspace by it; NULL: none */
};

enum run_state {
	RUN_ENDED,   /* exit_code and output tell how; whether that is success is the tool's rule */
	RUN_FAILED,  /* it did not start, or was stopped; why says so */
	RUN_UNKNOWN, /* it was asked, and nobody answered */
};

struct run_result {
	enum run_state state;
	int exit_code; /* command: exit status or 128 + signal; http: status */
	struct buf output;
	bool truncated;
	struct why why;
	char *patch; /* a unified diff that it made; NULL: none; the caller frees it */
	char *url;   /* what it made, for people; NULL: none; the caller frees it */
	/* Not ended, and nothing is known of what was to run: its sandbox failed, or what it needs
	 * could not be fetched. why says so. */
	bool not_tried;
};

struct runner {
	const char *name;
	const char *const *keys; /* YAML keys of its own */
	size_t n_keys;
	bool takes_texts; /* parameters of type text may be given: none becomes an argument */
	bool confined;    /* it runs programs: refused where there is no sandbox */
	bool ticks;       /* it calls limits->tick by itself */
	void *(*spec_new)(void);
	void (*spec_free)(void *spec);
	/* Takes what is there, over what an earlier call took. ERR_CONFIG with file:line. */
	int (*parse)(void *spec, struct catalogue *cat, const struct yaml_node *node,
		     struct why *out_why);
	/* Is the spec complete and harmless? */
	int (*check)(const void *spec, struct why *out_why);
	/* Pure. *out_text is what people approve: the exact argv or request. */
	int (*render)(const void *spec, const struct render_input *in, void **out,
		      struct buf *out_text, struct why *out_why);
	void (*rendered_free)(void *rendered);
	/*
	 * What it would do, looked at before the plan is weighed; pure. LEVEL_NONE: nothing to say.
	 * LEVEL_HARD: a person must agree, whatever the rules say; LEVEL_FORBIDDEN: refused. out:
	 * why. NULL: never anything.
	 */
	Healbus__Level (*inspect)(const void *rendered, struct lines *out);
	/* It would run without a sandbox. NULL: never. */
	bool (*unconfined)(const void *rendered);
	/* Blocks up to the time-out. result is zeroed by the caller, who releases its output. */
	void (*run)(const void *rendered, const struct run_limits *limits,
		    struct run_result *result);
};

extern const struct runner runner_command;
extern const struct runner runner_http;
extern const struct runner runner_tcp;
extern const struct runner runner_git;
extern const struct runner runner_agent;
extern const struct runner runner_github;
extern const struct runner runner_mcp;

/* NULL when unknown. */
const struct runner *runner_find(const char *name);

#endif
