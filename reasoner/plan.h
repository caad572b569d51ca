/* Making plans from runbooks, and keeping those under way. */
#ifndef REASONER_PLAN_H
#define REASONER_PLAN_H

#include "reasoner/case.h"

/*
 * Makes and emits the next plan of an open case. ERR_NOT_FOUND with the reason for people in
 * out_why: no runbook answers, or none that does can be rendered.
 */
int plan_make(struct desk *d, struct case_file *c, struct why *out_why);
/* Everything of a plan that follows from its case; its steps, why and confidence are the caller's.
 */
void plan_frame(struct desk *d, const struct case_file *c, Healbus__Provenance provenance,
		Healbus__Plan *plan);
/* Emits a plan, keeps it as under way and sets its timer. */
void plan_send(struct desk *d, const Healbus__Plan *plan);
/* How long after its not_after_ms the outcome may still come. */
int64_t plan_patience_ms(const struct desk *d, const Healbus__Plan *plan);

/* 0, ERR_NOT_FOUND when it is not under way. */
int plan_load(struct desk *d, const char *id, Healbus__Plan **out);
void plan_close(struct desk *d, const Healbus__Plan *plan);
size_t plans_open(struct desk *d);

/* "service_restart(nginx), http_probe(nginx)": at most WIRE_LINE_MAX bytes, in the arena. */
char *plan_summary(struct desk *d, const Healbus__Plan *plan);

/* The runbook the case has used, or NULL (none yet, or gone since). */
const struct runbook *case_runbook(const struct desk *d, const struct case_file *c);

#endif
