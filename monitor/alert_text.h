/*
 * The bodies that Alertmanager sends (webhook version 4, and what calls itself 3 or 1), read in one
 * pass without a tree: who only has to know which alerts are in a body, or wants their texts where
 * they lie. Takes plain bodies only; whatever is unusual is left to the reader that knows it all
 * (sources/alertmanager.c with jansson). Pure; any thread.
 */
#ifndef MONITOR_ALERT_TEXT_H
#define MONITOR_ALERT_TEXT_H

#include "monitor/json_text.h"

/* One alert. Strings and objects may be absent (data NULL). */
struct alert_text {
	struct json_span status;
	struct json_span fingerprint;
	struct json_span starts_at;
	struct json_span ends_at;
	struct json_span generator_url;
	struct json_span labels; /* whole objects of any values, at most 256 members each */
	struct json_span annotations;
};

/* Called for each alert in turn; the spans point into the body. */
typedef void alert_text_visit(void *ctx, const struct alert_text *alert);

struct alerts_text {
	alert_text_visit *visit;
	void *ctx;
	/* out */
	size_t n;
	int64_t truncated; /* truncatedAlerts */
};

/*
 * 0 for a plain body: an object with one list `alerts` of at least one object, a version that is
 * known if it is said, no member of ours given twice or of another type. ERR_INVALID with the place
 * when it is not JSON. ERR_UNSUPPORTED when it is JSON but not plain; what visit was told by then
 * does not count.
 */
int alerts_text_read(const char *data, size_t len, struct alerts_text *a, struct why *out_why);

#endif
