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

/* Makes and emits the plan that d->answer leads to; ERR_NOT_FOUND when it leads to none: then
 * *out_reason, in the arena, tells people why and what was found. */
int answer_plan(struct desk *d, struct case_file *c, const char **out_reason);

/* What an annotation of the incident's latest event that has it says; NULL when none has. */
const char *incident_says(const Healbus__Incident *i, const char *name);

/* The n-th line of a log (not a workflow's or command's name) that shows the cause; NULL after the
 * last. */
const char *evidence_line(const Healbus__Diagnosis *g, size_t n);

/* What a plan's failing step printed, kept until the plan ends. */
void detail_keep(struct desk *d, const char *plan, const Healbus__StepReport *report);
/* In the arena; NULL when there is none. */
char *detail_get(struct desk *d, const char *plan);
void detail_drop(struct desk *d, const char *plan);
/* What an agent leaves, kept until its plan ends. */
void patch_keep(struct desk *d, const Healbus__Plan *plan, const Healbus__StepReport *report);
/* The patch that a plan's agent left, and the answer that led to the plan, in the arena.
 * ERR_NOT_FOUND. */
int patch_get(struct desk *d, const Healbus__Plan *plan, const char **out,
	      const Healbus__ModelExchange **out_answer);

/* The edits of a plan, at most WIRE_EDITS_SHORT_MAX bytes, in the arena; NULL when it has none. */
char *plan_edits(struct desk *d, const Healbus__Plan *plan);

#endif
