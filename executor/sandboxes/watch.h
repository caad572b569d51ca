/*
 * Ends a run whose files outgrow its room, where no file system of its own holds them back: about
 * twice a second it counts what is below the directory. A program can be over the limit by what it
 * writes in between, and is then killed.
 */
#ifndef EXECUTOR_WATCH_H
#define EXECUTOR_WATCH_H

#include "executor/sandboxes/sandbox.h"

struct watch {
	const struct run_limits *limits; /* whose tick is asked, too */
	const struct sandbox_room *room;
	int dir_fd;
	unsigned ticks;
	bool full;
};

/* For struct run_limits.tick, with the watch as its context. */
bool watch_tick(void *watch);
/* Afterwards: says in the result why it was ended, when it was this. */
void watch_tell(const struct watch *w, struct run_result *result);

#endif
