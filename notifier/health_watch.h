/*
 * Looks for what the fold cannot see, messages on DEAD, consumers that are behind and channels that
 * take nothing, and says so on the bus (Control HEALTH) when it changed; fold_health.c tells
 * people.
 */
#ifndef NOTIFIER_HEALTH_WATCH_H
#define NOTIFIER_HEALTH_WATCH_H

#include "common/stage.h"

/* A thread of the stage. */
void health_watch_run(struct stage *s);

#endif
