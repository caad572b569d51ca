/*
 * Which channels take what they are given, as this process sees it: for /metrics
 * (healbus_channel_up), for the API and for what healbus tells of itself. Any thread.
 */
#ifndef NOTIFIER_CHANNEL_STATE_H
#define NOTIFIER_CHANNEL_STATE_H

#include "common/id.h"

enum {
	CHANNEL_STATES_MAX = 64,
	CHANNEL_ERROR_MAX = 200,
};

struct channel_state {
	char name[TOKEN_MAX + 1];
	int64_t ok_ms;      /* when it last took something, by the real clock; 0: not yet */
	int64_t failing_ms; /* since when it takes nothing; 0: it does */
	uint64_t failures;  /* in a row */
	char error[CHANNEL_ERROR_MAX]; /* the last */
};

/* error NULL: it took something. */
void channel_state_put(const char *name, int64_t now_ms, const char *error);
/* Copies of those that were tried since the start, by name; how many. */
size_t channel_states(struct channel_state out[static CHANNEL_STATES_MAX]);
/* Has it been failing for so long? */
bool channel_state_dead(const struct channel_state *c, int64_t now_ms, int64_t after_ms);

#endif
