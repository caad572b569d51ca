/* What route.c (who is chosen) and route_parse.c (the table) share. */
#ifndef REASONER_ROUTE_PRIVATE_H
#define REASONER_ROUTE_PRIVATE_H

#include "reasoner/route/route.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* One condition: one of its words must hold; none at all: it asks nothing. */
struct route_words {
	const char **items;
	size_t n;
};

struct route_rule {
	const char *name;
	const char *specialist;
	int64_t priority;
	size_t order; /* in the file */
	bool fixed;   /* what was learned does not overrule it */
	/* Globs. In those of files a star takes slashes too; a directory is "dir/" and a star. */
	struct route_words types, labels, workflows, jobs, files;
	bool all_files; /* each changed file must match, not only one */
	pcre2_code **log;
	size_t n_log;
};

struct specialist {
	const char *name;
	const char *about;
};

struct specialists {
	struct arena arena;
	struct specialist *items;
	size_t n;
	const char *otherwise;
	struct route_rule *rules; /* the first that holds answers */
	size_t n_rules;
	int64_t learned_trials; /* 0: nothing overrules */
	double learned_gain;
};

#endif
