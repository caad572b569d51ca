/*
 * Asking the workers what an incident without a runbook is, and making a plan of what they answer.
 * The question and the answer are messages on heal.model.<incident>, so a replay needs no worker.
 */
#ifndef REASONER_ASK_H
#define REASONER_ASK_H

#include "reasoner/case.h"

/* Is it one of those that `diagnosis.of` names? */
bool ask_wanted(const struct desk *d, const struct case_file *c);
/* Emits the question and sets its timer. */
int ask_workers(struct desk *d, struct case_file *c);
/* Healed, but it failed again on a newer commit than the one that was asked about. */
bool ask_is_outdated(const struct case_file *c);

/* Makes and emits the plan that d->answer leads to; ERR_NOT_FOUND with the reason for people in
 * out_why when it leads to none. */
int answer_plan(struct desk *d, struct case_file *c, struct why *out_why);

/* What an annotation of the incident's latest event that has it says; NULL when none has. */
const char *incident_says(const Healbus__Incident *i, const char *name);

/* What a plan's failing step printed, kept until the plan ends. */
void detail_keep(struct desk *d, const char *plan, const Healbus__StepReport *report);
/* In the arena; NULL when there is none. */
char *detail_get(struct desk *d, const char *plan);
void detail_drop(struct desk *d, const char *plan);
/* The edits of a plan, at most WIRE_EDITS_SHORT_MAX bytes, in the arena; NULL when it has none. */
char *plan_edits(struct desk *d, const Healbus__Plan *plan);

#endif
