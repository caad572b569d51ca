/*
 * Who should fix it: a table of routes, specialists.yaml. A route holds when each of its conditions
 * does; of a condition's words one is enough; the first route that holds names the specialist,
 * highest priority first, and where none does, the default. What was learned may overrule it, and
 * then says so.
 */
#ifndef REASONER_ROUTE_H
#define REASONER_ROUTE_H

#include "reasoner/classify/classify.h"

enum {
	SPECIALISTS_MAX = 32,
	ROUTES_MAX = 256,
	ROUTE_WORDS_MAX = 64,       /* of one condition */
	ROUTE_LOG_BYTES = 64 << 10, /* of the log's end, that a route's patterns see */
};

struct specialists;

/* ERR_CONFIG with file:line. Free with specialists_free. */
int specialists_load(const char *path, struct specialists **out, struct why *out_why);
void specialists_free(struct specialists *s);
/* What a specialist is for, in a few words; NULL for one nobody defined. Lives as long as s. */
const char *specialist_about(const struct specialists *s, const char *name);
size_t specialists_count(const struct specialists *s);
const char *specialists_name(const struct specialists *s, size_t i);

/* How often a specialist's fixes for a type held. */
struct route_record {
	const char *specialist;
	const char *failure_type;
	uint32_t successes, failures;
};

struct route_input {
	const struct failures *failures; /* knows the types' labels */
	const struct classify_input *seen;
	const struct route_record *learned; /* NULL: nothing yet */
	size_t n_learned;
};

/*
 * Who should fix what classify found: io->failure_type. Fills specialist and route of *io, and the
 * specialist of each that was considered, as if that were the type. The result lives as long as s
 * and is never NULL. What was learned overrules by the means of Beta posteriors with a uniform
 * prior: when another specialist has enough trials of this type and does better by enough
 * (specialists.yaml: learned), and the route is not fixed. Any thread.
 */
const char *route(const struct specialists *s, const struct route_input *in, struct arena *arena,
		  Healbus__Diagnosis *io);

#endif
