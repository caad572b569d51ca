/*
 * Metrics in Prometheus text format 0.0.4: counters, gauges and histograms, with up to three
 * labels. Registered once at start by static definition; updates are atomic and never allocate
 * after a label set's first use. Layer 1. Any thread.
 *
 *     static struct metric incidents = METRIC_COUNTER("healbus_incidents_total", "Incidents
 * opened.", "severity"); metric_add(&incidents, 1, "critical");
 */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include "common/buf.h"

enum {
	METRIC_LABELS_MAX = 3,
	METRIC_SERIES_MAX =
		256, /* per metric; more label sets fold into one with the label value "other" */
	METRIC_BUCKETS_MAX = 20,
};

enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM };

struct metric_series;

struct metric {
	const char *name;
	const char *help;
	enum metric_type type;
	const char *labels[METRIC_LABELS_MAX + 1];
	const double *buckets; /* ascending, histogram only; NULL: metric_seconds_buckets */
	size_t n_buckets;
	struct metric_series *series; /* private */
	struct metric *next;          /* private */
	bool registered;              /* private */
};

#define METRIC_COUNTER(n, h, ...)                                                                  \
	{                                                                                          \
		.name = n, .help = h, .type = METRIC_TYPE_COUNTER, .labels = { __VA_ARGS__ }       \
	}
#define METRIC_GAUGE(n, h, ...)                                                                    \
	{                                                                                          \
		.name = n, .help = h, .type = METRIC_TYPE_GAUGE, .labels = { __VA_ARGS__ }         \
	}
#define METRIC_HISTOGRAM(n, h, ...)                                                                \
	{                                                                                          \
		.name = n, .help = h, .type = METRIC_TYPE_HISTOGRAM, .labels = { __VA_ARGS__ }     \
	}

/* Label values in the order of the definition, exactly as many. */
#define metric_add(m, v, ...)                                                                      \
	metric_add_values(m, v, (const char *const[METRIC_LABELS_MAX + 1]){__VA_ARGS__})
#define metric_set(m, v, ...)                                                                      \
	metric_set_values(m, v, (const char *const[METRIC_LABELS_MAX + 1]){__VA_ARGS__})
#define metric_observe(m, v, ...)                                                                  \
	metric_observe_values(m, v, (const char *const[METRIC_LABELS_MAX + 1]){__VA_ARGS__})

void metric_add_values(struct metric *m, double v, const char *const *values);
void metric_set_values(struct metric *m, double v, const char *const *values);
void metric_observe_values(struct metric *m, double v, const char *const *values);

/* Sum of a counter's or gauge's series; for tests. */
double metric_total(struct metric *m);

/* Adds process_* metrics (resident memory, cpu, open fds, start time) and every metric used so far,
 * sorted by name. */
void metrics_render(struct buf *out);

/* Forgets all series; for tests. */
void metrics_reset(void);

#endif
