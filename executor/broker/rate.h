/*
 * How often: requests in all within a minute, acts on one container and on all within an hour. In
 * memory, exact (not a leaking bucket): the n-th before this one must be older than the window. Not
 * thread-safe.
 */
#ifndef EXECUTOR_BROKER_RATE_H
#define EXECUTOR_BROKER_RATE_H

#include "common/err.h"

enum {
	BROKER_RATE_CONTAINERS = 256, /* that are remembered; the longest unused is forgotten */
	BROKER_MINUTE_MS = 60000,
	BROKER_HOUR_MS = 3600000,
};

struct broker_rate;

struct broker_rates {
	int64_t requests_per_minute;
	int64_t container_per_hour;
	int64_t global_per_hour;
};

struct broker_rate *broker_rate_new(const struct broker_rates *rates);
void broker_rate_free(struct broker_rate *r);

/* Counts one request. 0, or ERR_BUSY with how long to wait; then nothing is counted. now_ms:
 * monotonic. */
int broker_rate_request(struct broker_rate *r, int64_t now_ms, int64_t *out_wait_ms);
/* Counts one act on a container. The same, with which limit it was. */
int broker_rate_act(struct broker_rate *r, const char *id, int64_t now_ms, int64_t *out_wait_ms,
		    struct why *out_why);

#endif
