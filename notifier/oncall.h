/*
 * Who is on call: rotations. Pure; time is the caller's. A rotation's times are those of its own
 * time zone (zone.h): a handover at 09:00 is at 09:00 in summer and in winter, so a shift over a
 * change of the clock is an hour shorter or longer. At any time exactly one person is on call for
 * each.
 *
 *     oncall:
 *       - name: primary
 *         timezone: CET-1CEST,M3.5.0,M10.5.0/3
 *         rotation: [ann, bob, cy]        # one layer; or layers: [{rotation, shift, start, when}]
 *         shift: 7d                       # or daily, weekly, 12h
 *         start: 2026-01-05T09:00         # ann's first; before it the rotation runs backwards
 *         overrides:
 *           - {from: 2026-12-24T09:00, until: 2026-12-27T09:00, person: cy}
 */
#ifndef NOTIFIER_ONCALL_H
#define NOTIFIER_ONCALL_H

#include "common/interval.h"
#include "notifier/words.h"

enum {
	ONCALL_MAX = 64,
	ONCALL_LAYERS_MAX = 8,
	ONCALL_PEOPLE_MAX = 64,
	ONCALL_OVERRIDES_MAX = 256,
};

/* Of several layers, the last whose `when` holds is in force; the first holds always. */
struct oncall_layer {
	struct words people;
	int64_t shift_ms;  /* by the clock on the wall */
	int64_t start_ms;  /* likewise: zone_local_ms */
	struct words when; /* names of time intervals; empty: always */
};

struct oncall_override {
	int64_t from_ms, until_ms; /* UTC; until is excluded */
	char *person;
};

struct oncall {
	char *name;
	struct zone zone;
	struct oncall_layer *layers;
	size_t n_layers;
	struct oncall_override *overrides; /* of those that overlap the last holds */
	size_t n_overrides;
};

struct oncalls {
	struct oncall *items;
	size_t n;
};

/* OPT_TREE hooks; field is a struct oncalls. */
int oncalls_parse(void *field, const struct yaml_node *node, struct why *out_why);
void oncalls_release(void *field);
/* Names agree: ERR_CONFIG names the interval that nobody defined. */
int oncalls_check(const struct oncalls *all, const struct intervals *intervals,
		  struct why *out_why);
/* The first person in any of them whom `known` does not know; NULL: it knows all. */
const char *oncalls_stranger(const struct oncalls *all,
			     bool (*known)(const void *ctx, const char *name), const void *ctx);
/* NULL when unknown. */
const struct oncall *oncall_find(const struct oncalls *all, const char *name);

/* The name of the person; never NULL. The intervals are those that `when` names. */
const char *oncall_who(const struct oncall *o, const struct intervals *intervals, int64_t ms);
/* The first moment after ms at which it is another person; at most ONCALL_LOOK_DAYS on, where it
 * gives up and returns that. */
enum { ONCALL_LOOK_DAYS = 400 };
int64_t oncall_until_ms(const struct oncall *o, const struct intervals *intervals, int64_t ms);

#endif
