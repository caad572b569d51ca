/*
 * Times that come again, as Alertmanager writes them: a list of specs, each with times, weekdays,
 * days_of_month and months; what a spec leaves out matches always. `location` is a rule as in
 * zone.h: named zones change with the machine's tzdata, and a fold may not. Pure. Layer 1.
 */
#ifndef COMMON_INTERVAL_H
#define COMMON_INTERVAL_H

#include "common/yaml.h"
#include "common/zone.h"

enum { INTERVAL_SPECS_MAX = 64, INTERVAL_RANGES_MAX = 16, INTERVALS_MAX = 256 };

struct interval_range {
	int from, to; /* both included, except minutes: to is excluded */
};

struct interval_ranges {
	struct interval_range items[INTERVAL_RANGES_MAX];
	size_t n; /* 0: always */
};

struct interval_spec {
	struct interval_ranges minutes;  /* of the day, 0-1440 */
	struct interval_ranges weekdays; /* 0 Sunday - 6 */
	struct interval_ranges days;     /* 1-31; negative counts from the month's end */
	struct interval_ranges months;   /* 1-12 */
	struct zone zone;
};

/* Holds when any of its specs does. */
struct interval {
	struct interval_spec *specs;
	size_t n;
};

/* The list under `time_intervals`. *out must be zeroed; release it in any case. ERR_CONFIG with
 * file:line. */
int interval_parse(const struct yaml_node *list, struct interval *out, struct why *out_why);
void interval_release(struct interval *in);

bool interval_contains(const struct interval *in, int64_t ms);

/* A full minute after ms before which interval_contains() does not change; at most a day away. */
int64_t interval_next_change_ms(const struct interval *in, int64_t ms);

struct interval_named {
	char *name;
	struct interval when;
};

/* A list of {name, time_intervals}. */
struct intervals {
	struct interval_named *items;
	size_t n;
};

/* OPT_TREE hooks; field is a struct intervals. */
int intervals_parse(void *field, const struct yaml_node *node, struct why *out_why);
void intervals_release(void *field);

/* NULL when unknown. */
const struct interval *intervals_find(const struct intervals *all, const char *name);

/* Is ms inside one of the named intervals? Unknown names are passed over. */
bool intervals_cover(const struct intervals *all, char *const *names, size_t n, int64_t ms);

/* The first full minute at or after ms outside all the named intervals; at most eight days on. */
int64_t intervals_end(const struct intervals *all, char *const *names, size_t n, int64_t ms);

#endif
