/* Telling a human, once an incident. */
#ifndef REASONER_ESCALATE_H
#define REASONER_ESCALATE_H

#include "reasoner/case.h"

/* Emits the incident as escalated, with the reason, the runbook's advice and what was tried; ends
 * the case. Nothing when it was escalated before. */
void case_escalate(struct desk *d, struct case_file *c, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The storm guard's own incident: opened once when incidents begin to wait, resolved when none
 * waits any more. */
int storm_begin(struct desk *d, const struct case_file *first);
int storm_end(struct desk *d);

#endif
