/* What runbook.c (the set) and runbook_parse.c (one file) share. */
#ifndef REASONER_RUNBOOK_PRIVATE_H
#define REASONER_RUNBOOK_PRIVATE_H

#include "reasoner/runbook/runbook.h"

/* Expressions are shared by source text: compiling takes milliseconds, and most are the same. */
struct compiled {
	const char *source;
	struct template *text;
	struct expr *jq;
	struct compiled *next;
};

struct runbooks {
	struct arena arena; /* every string and array of the set */
	struct compiled *compiled;
	struct runbook **items; /* all, by name of file; then enabled ones, sorted */
	size_t n;
};

/* ERR_CONFIG with file:line. */
int runbook_parse(struct runbooks *set, const char *path, struct runbook *out, struct why *out_why);

#endif
