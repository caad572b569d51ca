/*
 * A time zone as its rule, not as a name: "UTC", a fixed offset such as "+02:00", or what POSIX
 * puts into TZ, such as "CET-1CEST,M3.5.0,M10.5.0/3" (the last line of /usr/share/zoneinfo/NAME).
 * Named zones change with the machine's tzdata, and a fold may not; a rule in the configuration is
 * the same on every machine and on every replay. It holds for all years alike: whoever's law
 * changes, changes the rule. Pure. Layer 1.
 */
#ifndef COMMON_ZONE_H
#define COMMON_ZONE_H

#include "common/yaml.h"

/* When the clock is changed, each year: POSIX' Mm.w.d/time. */
struct zone_rule {
	int month;   /* 1-12 */
	int week;    /* 1-5; 5 is the last */
	int weekday; /* 0 Sunday - 6 */
	int seconds; /* after midnight by the clock until then; -167 to 167 hours */
};

/* Zeroed: UTC. */
struct zone {
	int standard_s; /* east of UTC */
	int summer_s;   /* likewise, where has_summer */
	bool has_summer;
	struct zone_rule begin, end; /* of summer time */
};

/* 0 or ERR_INVALID. POSIX' day-of-year rules (Jn) are not taken: no zone uses them today. */
int zone_parse(const char *text, struct zone *out);
/* ERR_CONFIG with file:line; for a name it says where that zone's rule is found. */
int zone_from_yaml(const struct yaml_node *node, const char *what, struct zone *out,
		   struct why *out_why);

/* What the clock on the wall shows at ms, as if that were UTC. */
int64_t zone_local_ms(const struct zone *z, int64_t ms);

/* The first moment at which that clock shows local_ms or later: of an hour that comes twice the
 * first, of one that is left out its end. */
int64_t zone_utc_ms(const struct zone *z, int64_t local_ms);

/* The first moment after ms at which the clock is changed; INT64_MAX: never. */
int64_t zone_next_change_ms(const struct zone *z, int64_t ms);

#endif
