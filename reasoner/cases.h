/*
 * The reasoner's fold over STORY: incidents, outcomes, step reports and controls in; plans and
 * escalations out. Time is the messages' own.
 */
#ifndef REASONER_CASES_H
#define REASONER_CASES_H

#include "common/fold.h"

/* Its configuration is a struct reasoner_config. */
extern const struct fold_def cases_fold;

#endif
