/*
 * The least that reading a webhook body can cost: one pass over the JSON text, nothing copied, only
 * the members looked at by which a repeat is known. Not a checker of JSON: no UTF-8, no numbers.
 */
#ifndef TESTS_BENCH_SCAN_H
#define TESTS_BENCH_SCAN_H

#include "common/base.h"

enum { SCAN_SLACK = 8 }; /* readable bytes that must follow the text, the first of them 0 */

/* Into the text; len 0 when missing. */
struct scan_text {
	const char *at;
	size_t len;
};

struct scan_alert {
	struct scan_text status;
	struct scan_text fingerprint;
	struct scan_text starts_at;
};

/* The members of alerts[]: how many, or -1 for what is no such body, or over max. */
int scan_alerts(const char *body, struct scan_alert *out, int max);

#endif
