/*
 * A circuit breaker that looks at the trend of failures and latencies, not only at a count: two
 * exponentially weighted averages (fast and slow) of failure and of log latency; it opens when the
 * fast failure rate is over the limit, or when it rises steeply over the slow one, or when latency
 * grows by a factor. Open: calls are deferred, never dropped. After a cool-off (doubling to a cap,
 * with jitter from the caller) one probe at a time is let through. Pure: time comes in. One thread,
 * or the caller's lock. Layer 1.
 */
#ifndef COMMON_BREAKER_H
#define COMMON_BREAKER_H

#include "common/base.h"

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker_options {
	double failure_rate_max;   /* 0-1; default 0.5 */
	double rise_max;           /* fast minus slow failure rate; default 0.3 */
	double latency_factor_max; /* fast over slow latency; default 5 */
	uint32_t calls_min;        /* before this many calls it never opens; default 5 */
	int64_t open_ms;           /* first cool-off; default 5000 */
	int64_t open_max_ms;       /* default 300000 */
};

struct breaker {
	struct breaker_options options;
	enum breaker_state state;
	double fail_fast, fail_slow, lat_fast, lat_slow;
	uint32_t calls, opens_in_row;
	int64_t open_until_ms;
	bool probing;
};

/* Zero fields of options mean their defaults; options may be NULL. */
void breaker_init(struct breaker *b, const struct breaker_options *options);
/* May a call be made now? False: *out_wait_ms says how long to wait before asking again. */
bool breaker_allow(struct breaker *b, int64_t now_ms, int64_t *out_wait_ms);
/* After every allowed call. */
void breaker_record(struct breaker *b, int64_t now_ms, bool ok, int64_t took_ms);
const char *breaker_state_name(enum breaker_state state);

/* Decorrelated jitter (AWS architecture blog, 2015): next = min(cap, uniform(base, 3 * last)).
 * random in [0,1). */
int64_t backoff_next_ms(int64_t last_ms, int64_t base_ms, int64_t cap_ms, double random);

#endif
