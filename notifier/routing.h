/*
 * Who is told: Alertmanager's routing tree and receivers. Pure; used by the fold, the effect
 * workers and the configuration.
 *
 * A route matches when all its matchers do. Its children are tried in order; the first that matches
 * takes the incident, unless it says `continue`; when none does, the route itself takes it. The
 * root matches everything. What a route does not set, it inherits, except mute_time_intervals. The
 * older spellings `match` and `match_re` (maps) add to `matchers`.
 */
#ifndef NOTIFIER_ROUTING_H
#define NOTIFIER_ROUTING_H

#include "common/id.h"
#include "common/matcher.h"
#include "common/interval.h"
#include "notifier/escalation.h"

enum {
	ROUTES_DEPTH_MAX = 8,
	ROUTES_MATCHED_MAX = 16, /* routes one incident may take */
};

struct route {
	char id[ID_BYTES]; /* hash of the path of matchers from the root: survives reordering */
	struct matchers matchers;
	bool go_on; /* continue */
	char *receiver;
	struct words group_by;
	bool group_by_incident; /* group_by: ['...']: every incident alone */
	int64_t group_wait_ms;
	int64_t group_interval_ms;
	int64_t repeat_interval_ms; /* 0: never */
	int64_t severity;           /* floor, as enum Severity in the proto; 0: none */
	struct words mute;          /* names of time intervals */
	char *escalation;           /* NULL or "": nobody is called */
	bool escalate_opened;       /* as soon as an incident opens, not only when it escalates */
	struct route *children;
	size_t n_children;
};

struct receiver {
	char *name;
	struct words channels; /* every one is told */
	struct words fallback; /* in order, when a channel gave up */
	bool send_resolved;
	int64_t throttle_limit; /* notices per window, default 30 an hour; 0: no limit */
	int64_t throttle_per_ms;
};

struct receivers {
	struct receiver *items;
	size_t n;
};

/* What the fold is configured with. */
struct rules {
	struct route route;
	struct receivers receivers;
	struct intervals intervals;
	struct oncalls oncalls;
	struct escalations escalations;
	int64_t retain_ms;
	int64_t feedback_after_ms; /* 0: nobody is asked whether a repair held */
};

/* The rules inside the stage's configuration (fold_config()). Defined in config.c, so that a fold
 * need not know the rest. */
const struct rules *rules_of(const void *config);
/* Does the channel of this name hear of commands? Likewise. */
bool channel_answers(const void *config, const char *channel);

/* OPT_TREE hooks; fields are a struct route and a struct receivers. */
int route_parse(void *field, const struct yaml_node *node, struct why *out_why);
void route_release(void *field);
int receivers_parse(void *field, const struct yaml_node *node, struct why *out_why);
void receivers_release(void *field);

/* Names agree: ERR_CONFIG names the receiver or interval that nobody defined. */
int rules_check(const struct rules *rules, struct why *out_why);

const struct receiver *receiver_find(const struct receivers *all, const char *name);
const struct route *route_find(const struct route *root, const char *id);
/* The name behind `name` in the receiver's fallback list; the first for a channel that is not in
 * it; NULL at the end. */
const char *receiver_fallback(const struct receiver *r, const char *name);

/* Fills out with the routes that take these labels, in order; returns how many. */
size_t route_match(const struct route *root, matcher_lookup *lookup, const void *labels,
		   const struct route *out[static ROUTES_MATCHED_MAX]);

/* The id of the group of an incident under a route. */
void route_group(const struct route *r, matcher_lookup *lookup, const void *labels,
		 const char *incident, char out[static ID_BYTES]);

#endif
