/*
 * Looks at the bus for what the fold cannot see, messages on DEAD and consumers that are behind,
 * and says so on it (Control HEALTH) when it changed; fold_health.c tells people.
 */
#ifndef NOTIFIER_HEALTH_WATCH_H
#define NOTIFIER_HEALTH_WATCH_H

#include "common/stage.h"

/* A thread of the stage. */
void health_watch_run(struct stage *s);

#endif
