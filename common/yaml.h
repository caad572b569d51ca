/*
 * YAML (and so JSON) files as a tree with file:line on every node. The only user of libfyaml. Layer
 * 0. Aliases are expanded within limits; duplicate keys, tabs as indentation and documents over the
 * limits are errors.
 */
#ifndef COMMON_YAML_H
#define COMMON_YAML_H

#include "common/err.h"

enum {
	YAML_FILE_MAX_BYTES = 4 << 20,
	YAML_NODES_MAX = 200000,
	YAML_DEPTH_MAX = 32,
};

enum yaml_type { YAML_NULL, YAML_SCALAR, YAML_LIST, YAML_MAP };

/* Owned by its document. Children of a list or map are a linked list in file order. */
struct yaml_node {
	enum yaml_type type;
	const char *key;    /* in a map: its key; else NULL */
	const char *scalar; /* YAML_SCALAR: text; quoted says whether it was */
	bool quoted;
	struct yaml_node *child; /* first of LIST or MAP */
	struct yaml_node *next;
	size_t count; /* children */
	const char *file;
	int line;
};

struct yaml_doc {
	struct yaml_node
		*root; /* never NULL after a successful parse; YAML_NULL for an empty file */
	void *storage;
};

/* 0, ERR_NOT_FOUND, ERR_IO, ERR_TOO_LARGE or ERR_CONFIG with "file:line: what". Caller frees with
 * yaml_release. */
int yaml_parse_file(const char *path, struct yaml_doc *out, struct why *out_why);
int yaml_parse_text(const char *name, const char *text, size_t len, struct yaml_doc *out,
		    struct why *out_why);
void yaml_release(struct yaml_doc *doc);

/* The child with this key, or NULL. map may be NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

#define YAML_EACH(var, parent)                                                                     \
	for (const struct yaml_node *var = (parent) ? (parent)->child : NULL; var; var = var->next)

/*
 * Readers: 0, or ERR_CONFIG with "file:line: what: what is wrong". node NULL (the key is absent)
 * leaves *out as the caller set it, which is the default; only yaml_str with *out NULL says
 * "missing". A key with nothing behind it is wrong. Text lives as long as the document.
 */
int yaml_str(const struct yaml_node *node, const char *what, const char **out, struct why *out_why);
int yaml_int(const struct yaml_node *node, const char *what, int64_t min, int64_t max, int64_t *out,
	     struct why *out_why);
int yaml_double(const struct yaml_node *node, const char *what, double min, double max, double *out,
		struct why *out_why);
int yaml_bool(const struct yaml_node *node, const char *what, bool *out, struct why *out_why);
int yaml_duration_ms(const struct yaml_node *node, const char *what, int64_t min, int64_t max,
		     int64_t *out, struct why *out_why);

/* ERR_CONFIG naming the first key of map that is not in the list, with the nearest known key as a
 * hint. */
int yaml_only_keys(const struct yaml_node *map, const char *const *keys, size_t n,
		   struct why *out_why);

/* Of words, the one that `word` is most probably a misspelling of, or NULL. */
const char *yaml_nearest(const char *word, const char *const *words, size_t n);

/* ERR_CONFIG "file:line: text" at this node (no line when it is 0; neither when node is NULL). */
int yaml_error(const struct yaml_node *node, struct why *out_why, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* The node as compact JSON (scalars that look like numbers, booleans or null unquoted, unless
 * quoted in the file). */
struct buf;
void yaml_to_json(const struct yaml_node *node, struct buf *out);

/*
 * The node as YAML; parses back to the same tree. A list or map with children gives lines that
 * start with `indent` spaces; everything else is what may follow "key: ". Ends with a newline.
 */
void yaml_print(const struct yaml_node *node, int indent, struct buf *out);

/*
 * What the YAML specification forbids as input but the library lets through, our limit of bytes,
 * and more brackets open on one line than any file needs (the library reads all of a line before it
 * gives its first token). 0, ERR_TOO_LARGE or ERR_CONFIG.
 */
int yaml_check_text(const char *name, const char *text, size_t len, struct why *out_why);

/* Adds what a single-quoted scalar says; text starts behind its quote, and what follows the scalar
 * is ignored. */
void yaml_unquote(const char *text, size_t len, struct buf *out);

/*
 * Why the block scalar whose header's line ends before text[at] is one of those that the library
 * reads wrongly without a word (text gets lost), or NULL. column: of the map or list it is in;
 * -1 when the block is empty.
 */
const char *yaml_block_error(const char *text, size_t len, size_t at, int column);

/* Text as a double-quoted YAML scalar. */
void yaml_print_quoted(const char *text, struct buf *out);

#endif
