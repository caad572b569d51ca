/* An agent's call of one tool, as a plan of its own: policy, people and audit see it like any. */
#ifndef REASONER_CALL_H
#define REASONER_CALL_H

#include "reasoner/case.h"

/*
 * Control CALL: emits a plan of that one step, with id_make("plan", incident, "call", control id),
 * so that the executor that asked knows its id. Where the incident has a case, its labels and
 * severity come from there, and it is trusted only if both are. The case itself goes on: nobody has
 * taken it. ERR_INVALID goes to dead.* with the reason.
 */
int call_request(struct desk *d, const Healbus__Control *control);

#endif
