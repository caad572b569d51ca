/*
 * What the projection knows, as metrics: incidents by state, questions that wait, how well the last
 * day went. Taken by the thread of health_watch.h.
 */
#ifndef NOTIFIER_FIGURES_H
#define NOTIFIER_FIGURES_H

#include "common/stage.h"

/* Blocks as long as reading the rows of a day's incidents takes, once a minute. */
void figures_take(struct stage *s);

#endif
