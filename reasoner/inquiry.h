/*
 * The worker that finds out about an incident that no runbook answers: gathers context, classifies,
 * chooses who should fix it, recalls what helped before, asks models. It answers a MODEL_ASKED on
 * the bus with one MODEL_ANSWERED; what becomes of that is the fold's business.
 */
#ifndef REASONER_INQUIRY_H
#define REASONER_INQUIRY_H

#include "common/stage.h"

extern const struct effect_def inquiry_effect;

#endif
