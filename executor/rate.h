/*
 * How many plans may begin to act: per target and on all targets within an hour, and a pause on a
 * target between two plans. A plan that has begun is never held in its middle, since a target half
 * repaired is worse than one action more; how many steps a plan has is bounded elsewhere. Kept in
 * the CLAIM bucket (keys rate-<target>, rate-global) by compare-and-set, so that all executors
 * share it. Deferring is all it does. A value is a list of "<start ms of its latest step> <that
 * step's id> <plan id>" lines, one for each plan.
 */
#ifndef EXECUTOR_RATE_H
#define EXECUTOR_RATE_H

#include "common/bus.h"
#include "common/id.h"

enum { RATE_WINDOW_MS = 3600000, RATE_ENTRIES_MAX = 512 };

struct rate_entry {
	int64_t at_ms;
	char step[TOKEN_MAX + 1];
	char plan[TOKEN_MAX + 1];
};

struct rate_log {
	struct rate_entry items[RATE_ENTRIES_MAX];
	size_t n;
};

struct rate_ask {
	const char *target;
	const char *step;
	const char *plan;
	int64_t now_ms;
	int64_t target_max; /* an hour; 0: no limit */
	int64_t global_max; /* an hour; 0: no limit */
	int64_t cooldown_ms;
};

/* Pure. Lines that cannot be read are dropped, and those older than the window; of several lines of
 * one plan the latest start stays. */
void rate_parse(const char *text, int64_t now_ms, struct rate_log *out);
void rate_format(const struct rate_log *log, struct buf *out);
/* 0, or ERR_BUSY with the (stable) reason and how long to wait. `max` 0: no limit. */
int rate_decide(const struct rate_log *log, const struct rate_ask *ask, int64_t max,
		int64_t cooldown_ms, int64_t *out_wait_ms, struct why *out_why);

/* Counts one start on the bus. 0; ERR_BUSY as above; or the bus's error (then nothing may start).
 */
int rate_take(struct bus *bus, const struct rate_ask *ask, int64_t *out_wait_ms,
	      struct why *out_why);

#endif
