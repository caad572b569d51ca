/*
 * The worker that sends queued notices by their channels and says on the bus what became of them.
 * A dead channel is asked again with growing pauses until give_up_after; then the notice is FAILED
 * and the fold turns to the next channel.
 */
#ifndef NOTIFIER_NOTICES_H
#define NOTIFIER_NOTICES_H

#include "common/stage.h"

extern const struct effect_def notices_effect;

#endif
