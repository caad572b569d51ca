/*
 * The effect "relay": silences arrive on heal.control.silence and are wanted by every correlator,
 * so each is published again to event.<part>.control of all partitions.
 */
#ifndef MONITOR_RELAY_H
#define MONITOR_RELAY_H

#include "common/stage.h"

extern const struct effect_def relay;

#endif
