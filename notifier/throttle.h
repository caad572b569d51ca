/*
 * No more than `limit` notices per window and receiver. What is over the limit is not dropped: the
 * caller holds it back and tells it in one digest when the window ends. Pure; the state is a row.
 */
#ifndef NOTIFIER_THROTTLE_H
#define NOTIFIER_THROTTLE_H

#include "common/base.h"

struct throttle {
	int64_t window_ms; /* when the window began; 0: none yet */
	int64_t count;
};

/* May one more go out now? Counts it when so. limit 0: always. */
bool throttle_allow(struct throttle *t, int64_t limit, int64_t per_ms, int64_t now_ms);
/* When the present window ends. */
int64_t throttle_end(const struct throttle *t, int64_t per_ms);

#endif
