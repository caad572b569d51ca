/*
 * May a notice that is to be sent have come through before? Known to this process alone, by id; any
 * thread. What it does not know, because another one had the notice, may have.
 */
#ifndef NOTIFIER_SENT_BEFORE_H
#define NOTIFIER_SENT_BEFORE_H

#include "common/stage.h"

/* It was given back: not sent, or known to be refused. */
void sent_before_no(const char *notice);
/* It was given back after an attempt whose end nobody knows, or that got half through. */
void sent_before_maybe(const char *notice);
/* May it have been? For a job that was just delivered. */
bool sent_before(const struct effect_job *job, const char *notice);

#endif
