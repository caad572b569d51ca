/* What proposal.c (the answer), proposal_steps.c and proposal_edits.c share. */
#ifndef REASONER_PROPOSAL_PRIVATE_H
#define REASONER_PROPOSAL_PRIVATE_H

#include "reasoner/proposal/proposal.h"

struct proposal_reader {
	const struct proposal_rules *rules;
	struct arena *arena;
	struct why *why;
	struct proposal out;
};

/* Checks and copies the edits into the arena, with \r\n made \n. */
int edits_read(struct proposal_reader *r, const char *text);

/* Builds the steps from JSON (a list) and checks them. */
int steps_read(struct proposal_reader *r, const json_t *list);

/* No other keys than these. ERR_UNKNOWN_KEY. */
int only_fields(const json_t *object, const char *const *names, size_t n, struct why *out_why);

#endif
