/*
 * A fold for tests. It counts events by name, writes down the order in which it saw them, sets one
 * timer per name 10 s ahead, and says an Incident for each event and each timer. An event named
 * "refuse" writes, speaks and is then refused; "bug" says a message that is not valid; "kill" ends
 * the process when HEALBUS_TOY_KILL is set.
 */
#ifndef TESTS_TOY_TOY_H
#define TESTS_TOY_TOY_H

#include "common/fold.h"

enum { TOY_TIMER_MS = 10000 };

/* Partitioned: on EVENTS. */
extern const struct fold_def toy_fold;

/* An event's bytes as they are on the bus. */
void toy_event(struct buf *out, const char *name, unsigned number);

/* How often this name was seen. */
uint64_t toy_count(struct fold *f, const char *name);

#endif
