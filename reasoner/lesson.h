/* What an incident taught, for the next one like it: kept while it is open, remembered when it
 * closes. */
#ifndef REASONER_LESSON_H
#define REASONER_LESSON_H

#include "reasoner/case.h"

/* The workers' diagnosis, for the memory that this incident becomes. */
void lesson_diagnosis(struct desk *d, const Healbus__ModelExchange *answer);
/* A plan ended like this: counts for its specialist and tools, and for what it was recalled from.
 */
int lesson_outcome(struct desk *d, const Healbus__Plan *plan, const Healbus__Outcome *outcome);
/* What healed did not last. */
void lesson_did_not_last(struct desk *d, const Healbus__Attempt *attempt);
/* The incident is over: if plans were made, it is remembered. */
int lesson_learn(struct desk *d, const struct case_file *c);
/* The case is forgotten. */
void lesson_drop(struct desk *d, const char *incident);

#endif
