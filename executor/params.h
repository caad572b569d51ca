/*
 * Typed parameters of tools: the schema as the tool's YAML declares it, and the check of a plan's
 * values against it. What passes here may become part of an argv element or of a URL; nothing else
 * may. Patterns are PCRE2, anchored at both ends, with match and depth limits. Any thread.
 */
#ifndef EXECUTOR_PARAMS_H
#define EXECUTOR_PARAMS_H

#include "common/base.h"

#include <jansson.h>

#include "common/wire.h"
#include "common/yaml.h"
#include "executor/inventory.h"

enum param_type {
	PARAM_STRING, /* pattern, else PARAM_DEFAULT_PATTERN */
	PARAM_INT,    /* min, max */
	PARAM_BOOL,
	PARAM_ENUM,     /* one of values */
	PARAM_DURATION, /* "90s"; becomes milliseconds; min and max are milliseconds */
	PARAM_PATH,     /* absolute, no "." or "..", inside the target's paths */
	PARAM_HOST,     /* name or address in the target's hosts */
	PARAM_NAME,     /* host or file name: letters, digits, "._-" */
	PARAM_URL,      /* http or https, its host in the target's hosts */
	PARAM_TEXT,     /* any UTF-8 up to PARAM_TEXT_MAX: only for runners that take texts, never
			   an argument or a part of a URL */
};

enum { PARAM_TEXT_MAX = 128 << 10 };

#define PARAM_DEFAULT_PATTERN "[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}"

struct param_def {
	char *name;
	enum param_type type;
	char *pattern;
	void *regex; /* pcre2_code */
	int64_t min, max;
	char **values; /* PARAM_ENUM; NULL-terminated */
	bool required;
	bool dash; /* a value may begin with '-' */
	json_t *fallback;
	char *help;
};

struct params_def {
	struct param_def *items;
	size_t n;
};

bool params_have_text(const struct params_def *defs);
const char *param_type_name(enum param_type type);

/* The map below `params:`; node may be NULL (no parameters). ERR_CONFIG with file:line. */
int params_parse(const struct yaml_node *node, struct params_def *out, struct why *out_why);
void params_release(struct params_def *defs);

/*
 * Checks values against the schema and the target; *out is a new object with every declared
 * parameter (defaults filled in, optional ones without default are null). ERR_INVALID,
 * ERR_UNKNOWN_KEY or ERR_DENIED (outside the target's allow-list) naming the parameter.
 */
struct params_place {
	const struct target *target;
	bool reads; /* the tool changes nothing, so read_paths count too */
};
int params_validate(const struct params_def *defs, const struct params_place *place,
		    Healbus__Param *const *params, size_t n, json_t **out, struct why *out_why);

/* True when `path` is absolute and has no empty, "." or ".." component (a final "/" is refused
 * except in "/"). */
bool path_is_plain(const char *path);

#endif
