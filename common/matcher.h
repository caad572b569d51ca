/*
 * Label matchers as Alertmanager writes them: service="db", severity=~"critical|page", team!="x",
 * env!~"dev.*". Regular expressions are PCRE2, anchored at both ends, with match and depth limits,
 * so that no label can make one slow; a value that reaches a limit matches neither =~ nor !~. A
 * missing label counts as "". Layer 1.
 */
#ifndef COMMON_MATCHER_H
#define COMMON_MATCHER_H

#include "common/err.h"
#include "common/yaml.h"

enum matcher_op {
	MATCHER_EQUAL = 1,
	MATCHER_NOT_EQUAL,
	MATCHER_REGEX,
	MATCHER_NOT_REGEX
}; /* numbers as in the proto */

struct matcher {
	char *name;
	char *value;
	enum matcher_op op;
	void *regex; /* pcre2_code */
};

struct matchers {
	struct matcher *items;
	size_t n;
};

/* Looks a label up; NULL when absent. */
typedef const char *matcher_lookup(const void *labels, const char *name);

/* One or more, comma-separated, with or without braces. ERR_INVALID says where. *out must be zeroed
 * or hold earlier ones (appended). */
int matchers_parse(const char *text, struct matchers *out, struct why *out_why);
int matchers_add(struct matchers *m, const char *name, enum matcher_op op, const char *value,
		 struct why *out_why);
/* A YAML list of such strings, or a map name: value (equality). NULL node: no matchers. */
int matchers_from_yaml(const struct yaml_node *node, struct matchers *out, struct why *out_why);
void matchers_release(struct matchers *m);

/* All must match; none at all matches everything. Any thread. */
bool matchers_match(const struct matchers *m, matcher_lookup *lookup, const void *labels);

/* Text that parses back. */
struct buf;
void matchers_print(const struct matchers *m, struct buf *out);

#endif
