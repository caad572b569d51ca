/*
 * Configuration by option table. One table a program yields parsing, --help, --check,
 * --print-config, the commented example file and the man page's section. A program reads a
 * directory: `bus.yaml` (shared by all) and `<stage>.yaml`. Every scalar key can be overridden by
 * the environment: key `http.listen` of the monitor is HEALBUS_MONITOR_HTTP_LISTEN, key `url` of
 * bus.yaml is HEALBUS_BUS_URL. Unknown keys, wrong types and values out of range are errors with
 * file:line. An empty variable counts as not set, an empty key as absent. Paths come out absolute.
 * Layer 1.
 *
 * A program's values live in one struct of its own; a row says at which offset:
 *
 *     struct monitor_config { int64_t group_wait_ms; char *listen; ... };
 *     static const struct option options[] = {
 *         OPT_DURATION(struct monitor_config, group_wait_ms, "group_wait", "30s", 0, 3600000, "help
 * text"), OPT_STRING(struct monitor_config, listen, "http.listen", "127.0.0.1:9095", "help text"),
 *         OPT_TREE(struct monitor_config, sources, "sources", parse_sources, release_sources, "help
 * text"),
 *     };
 */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include "common/yaml.h"
#include "common/buf.h"

enum option_type {
	OPTION_STRING, /* char *; NULL only when there is no default */
	OPTION_PATH,  /* char *; a relative path is relative to the directory of the file that names
			 it */
	OPTION_INT,   /* int64_t */
	OPTION_BYTES, /* int64_t; "64MiB", "1GiB", "4096" */
	OPTION_DURATION, /* int64_t ms */
	OPTION_DOUBLE,   /* double */
	OPTION_BOOL,     /* bool */
	OPTION_ENUM,     /* int64_t; index in `names` */
	OPTION_TREE,     /* whatever `parse` makes of the YAML below the key */
};

struct option {
	const char *name; /* dotted path in the file */
	enum option_type type;
	size_t offset;
	const char *fallback;     /* default as text; NULL: none (the value stays zero) */
	double min, max;          /* in the unit of the stored value */
	const char *const *names; /* OPTION_ENUM: NULL-terminated */
	/* OPTION_TREE; node is NULL when the key is absent or empty, and dies with the call. */
	int (*parse)(void *field, const struct yaml_node *node, struct why *out_why);
	/* OPTION_TREE; also called for a zeroed field and after a parse that failed; leaves zeroes.
	 */
	void (*release)(void *field);
	const char *help; /* one or two sentences; what it is, when to change it */
};

#define OPT_STRING(T, f, n, def, h)                                                                \
	{                                                                                          \
		.name = n, .type = OPTION_STRING, .offset = offsetof(T, f), .fallback = def,       \
		.help = h                                                                          \
	}
#define OPT_PATH(T, f, n, def, h)                                                                  \
	{                                                                                          \
		.name = n, .type = OPTION_PATH, .offset = offsetof(T, f), .fallback = def,         \
		.help = h                                                                          \
	}
#define OPT_INT(T, f, n, def, lo, hi, h)                                                           \
	{                                                                                          \
		.name = n, .type = OPTION_INT, .offset = offsetof(T, f), .fallback = def,          \
		.min = lo, .max = hi, .help = h                                                    \
	}
#define OPT_BYTES(T, f, n, def, lo, hi, h)                                                         \
	{                                                                                          \
		.name = n, .type = OPTION_BYTES, .offset = offsetof(T, f), .fallback = def,        \
		.min = lo, .max = hi, .help = h                                                    \
	}
#define OPT_DURATION(T, f, n, def, lo, hi, h)                                                      \
	{                                                                                          \
		.name = n, .type = OPTION_DURATION, .offset = offsetof(T, f), .fallback = def,     \
		.min = lo, .max = hi, .help = h                                                    \
	}
#define OPT_DOUBLE(T, f, n, def, lo, hi, h)                                                        \
	{                                                                                          \
		.name = n, .type = OPTION_DOUBLE, .offset = offsetof(T, f), .fallback = def,       \
		.min = lo, .max = hi, .help = h                                                    \
	}
#define OPT_BOOL(T, f, n, def, h)                                                                  \
	{                                                                                          \
		.name = n, .type = OPTION_BOOL, .offset = offsetof(T, f), .fallback = def,         \
		.help = h                                                                          \
	}
#define OPT_ENUM(T, f, n, def, list, h)                                                            \
	{                                                                                          \
		.name = n, .type = OPTION_ENUM, .offset = offsetof(T, f), .fallback = def,         \
		.names = list, .help = h                                                           \
	}
#define OPT_TREE(T, f, n, parse_fn, release_fn, h)                                                 \
	{                                                                                          \
		.name = n, .type = OPTION_TREE, .offset = offsetof(T, f), .parse = parse_fn,       \
		.release = release_fn, .help = h                                                   \
	}

struct option_table {
	const char *file;       /* "monitor.yaml" */
	const char *env_prefix; /* "HEALBUS_MONITOR_" */
	const struct option *rows;
	size_t n;
};

/*
 * Fills *values (a zeroed struct of the program) from dir/file, then from the environment. A
 * missing file means all defaults. `lookup` is getenv, or a test's. 0 or ERR_CONFIG with file:line
 * in out_why (or the variable's name); on failure *values is released and zeroed. Main thread.
 */
int config_load(const struct option_table *table, const char *dir,
		const char *(*lookup)(const char *name), void *values, struct why *out_why);

/* Frees what config_load put there; values are zeroed. */
void config_release(const struct option_table *table, void *values);

/* Adds the effective configuration as YAML that config_load reads back to the same values. */
void config_print(const struct option_table *table, const char *dir, const void *values,
		  struct buf *out);

/* Adds the commented example file: every key with its help, unit, range and default, defaults
 * commented out. */
void config_example(const struct option_table *table, struct buf *out);

/* Adds the section of --help: name, default, range and help a row, wrapped at 100 columns. */
void config_help(const struct option_table *table, struct buf *out);

/* Adds the name of the environment variable of a row. */
void config_env_name(const struct option_table *table, const struct option *row, struct buf *out);

/* The node at a dotted name below root, or NULL when it is absent or empty. root may be NULL. */
const struct yaml_node *config_node(const struct yaml_node *root, const char *name);

/* `path` where it exists (NULL: never), else what is shipped as `name` beside the program:
 * installed under ../share/healbus, or built and not installed, in the stage's folder of the
 * sources. Where neither is, path. The caller frees. */
char *shipped_path(const char *path, const char *stage, const char *name);

/* "64MiB" -> bytes; KiB MiB GiB TiB, kB MB GB TB. 0 or ERR_INVALID. */
int bytes_parse(const char *text, int64_t *out_bytes);

#endif
