/*
 * Time: int64_t milliseconds everywhere. Folds never include this file; their time is the
 * message's. Tests may replace both clocks. Layer 0. All functions: any thread.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include "common/base.h"

int64_t clock_real_ms(void); /* since 1970-01-01 UTC */
int64_t clock_real_ns(void);
int64_t clock_mono_ms(void); /* never goes back; for deadlines and leases */

/* For tests: both clocks return these until clock_unfake(). */
void clock_fake(int64_t real_ms, int64_t mono_ms);
void clock_unfake(void);

enum { TIME_TEXT_BYTES = 32, DURATION_TEXT_BYTES = 32 };

/* "2026-11-21T09:03:52.079Z" (RFC 3339, UTC). Writes into out, returns out. */
const char *time_format(int64_t ms, char out[static TIME_TEXT_BYTES]);

/* RFC 3339 with any offset and up to 9 fraction digits. 0 or ERR_INVALID. "0001-01-01T00:00:00Z"
 * gives 0. */
int time_parse(const char *text, int64_t *out_ms);

/* "90ms", "30s", "5m", "2h", "1d", "1h30m" as Prometheus writes them; a bare 0 is 0. 0 or
 * ERR_INVALID. */
int duration_parse(const char *text, int64_t *out_ms);

/* The shortest such text: 90000 -> "1m30s". */
const char *duration_format(int64_t ms, char out[static DURATION_TEXT_BYTES]);

#endif
