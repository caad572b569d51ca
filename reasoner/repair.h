/* From a diagnosis to a plan: what a model proposes, or what helped an earlier incident. Pure. */
#ifndef REASONER_REPAIR_H
#define REASONER_REPAIR_H

#include "reasoner/case.h"
#include "reasoner/proposal/proposal.h"

struct repair {
	struct desk *desk;
	struct case_file *file;
	const Healbus__Diagnosis *diagnosis;
	const struct proposal_rules *rules;
};

/* Both fill an initialised plan, in the desk's arena; negative with the reason for people when
 * there is nothing to be done. */
int repair_proposed(const struct repair *r, Healbus__Plan *plan, struct why *out_why);
/* The task to an agent; then, with what it left, the same plan as for a model's edits. */
int repair_by_agent(const struct repair *r, Healbus__Plan *plan, struct why *out_why);
int repair_patched(const struct repair *r, const char *patch, Healbus__Plan *plan,
		   struct why *out_why);
int repair_recalled(const struct repair *r, const Healbus__Recalled *memory, Healbus__Plan *plan,
		    struct why *out_why);

/* Such a plan changes nothing: it only says in a pull request of a fork what was found, and what
 * might help. Its success heals nothing. */
bool plan_only_says(const Healbus__Plan *plan);

#endif
