/*
 * Named time intervals, as Alertmanager writes them: a list of specs, each with times, weekdays,
 * days_of_month and months; an empty part matches always. `location` is UTC or an offset such as
 * "+02:00": named zones change with the machine's tzdata, and a fold may not.
 */
#ifndef NOTIFIER_INTERVAL_H
#define NOTIFIER_INTERVAL_H

#include "common/yaml.h"

enum { INTERVAL_SPECS_MAX = 16, INTERVAL_RANGES_MAX = 8 };

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
	int offset_min;
};

struct interval {
	char *name;
	struct interval_spec specs[INTERVAL_SPECS_MAX];
	size_t n;
};

struct intervals {
	struct interval *items;
	size_t n;
};

/* OPT_TREE hooks; field is a struct intervals. */
int intervals_parse(void *field, const struct yaml_node *node, struct why *out_why);
void intervals_release(void *field);

const struct interval *interval_find(const struct intervals *all, const char *name);
bool interval_contains(const struct interval *i, int64_t ms);

/* The first full minute at or after ms outside all the named intervals; at most eight days on. */
int64_t intervals_end(const struct intervals *all, char *const *names, size_t n, int64_t ms);
/* Is ms inside one of the named intervals? */
bool intervals_cover(const struct intervals *all, char *const *names, size_t n, int64_t ms);

#endif
