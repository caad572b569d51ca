/*
 * What the correlator goes by: grouping, timing, inhibition, mute times. Parsed from monitor.yaml,
 * constant while the fold runs. Nothing here knows a network or a clock.
 */
#ifndef MONITOR_RULES_H
#define MONITOR_RULES_H

#include "common/interval.h"
#include "common/matcher.h"
#include "common/wire.h"

enum {
	FLAP_OPENS_MAX = 16,
	RULES_MAX = 256,
};

struct names {
	char **items;
	size_t n;
};

/* A firing alert that matches `source` mutes those that match `target` and agree with it on every
 * label of `equal` (a missing label counts as ""). */
struct inhibit_rule {
	struct matchers source;
	struct matchers target;
	struct names equal;
	uint64_t digest; /* of its text: the same rule has the same index rows after a restart */
};

struct inhibit_rules {
	struct inhibit_rule *items;
	size_t n;
};

struct mute {
	char *name;
	struct matchers matchers;
	struct interval when;
};

struct mutes {
	struct mute *items;
	size_t n;
};

/* A source whose alerts resolve by themselves, or that has a time-out of its own. */
struct source_timeout {
	const char *source;
	int64_t ms;
};

/* A source that is not like the others. */
struct source_grouping {
	const char *source;
	const char *const *by; /* label names, NULL-terminated, in place of group_by */
	int64_t once_ms;       /* a body counts once within this; 0: no memory of bodies */
	int64_t reopen_ms;     /* what returns so soon after its end is the same incident */
};

/* What of GitHub's deliveries is listened to: `github:` in monitor.yaml. */
struct github_rules {
	struct names repositories; /* globs over owner/name; none: every one that signs */
	struct names allow_bots;   /* logins */
	struct names commanders;   /* logins that may command without write access */
	struct names failures;     /* conclusions that open an incident */
	char *own_login;           /* NULL: unknown */
	char *skip_marker;
	char *fix_prefix; /* of branches that we make */
};

struct rules {
	struct names group_by;
	struct names partition_by;
	int64_t group_wait_ms;
	int64_t group_interval_ms;
	int64_t resolve_timeout_ms; /* for sources not in `timeouts` */
	int64_t retention_ms;
	int64_t cooldown_ms;
	int64_t flap_threshold; /* 0: never */
	int64_t flap_window_ms;
	int64_t flap_quiet_ms;
	int64_t storm_threshold; /* 0: never */
	int64_t storm_window_ms;
	struct inhibit_rules inhibit;
	struct mutes mutes;
	struct source_timeout *timeouts;
	size_t n_timeouts;
	struct source_grouping *groupings;
	size_t n_groupings;
	struct github_rules github;
};

/* The rules inside the stage's configuration (what fold_config returns). */
const struct rules *monitor_rules(const void *config);

/* NULL for a source like the others. */
const struct source_grouping *rules_grouping(const struct rules *r, const char *source);
/* The same; sources that resolve by themselves may still lose one, so nothing fires for longer than
 * we remember. */
int64_t rules_alert_timeout_ms(const struct rules *r, const char *source);
/* Streams drop what has the id of something stored less than two minutes ago; for an alert that
 * waits for repeats less than eight minutes, ids therefore change this often. 0: never. */
int64_t rules_grain_ms(const struct rules *r, const char *source);

/* For OPT_TREE rows: label names, inhibit_rules, mute_time_intervals. ERR_CONFIG with file:line. */
int names_parse(void *field, const struct yaml_node *node, struct why *out_why);
void names_release(void *field);
bool names_has(const struct names *names, const char *name);
int inhibit_parse(void *field, const struct yaml_node *node, struct why *out_why);
void inhibit_release(void *field);
int mutes_parse(void *field, const struct yaml_node *node, struct why *out_why);
void mutes_release(void *field);

/* Every rule's `equal` must hold the first partition_by label, since a correlator sees one
 * partition only. */
int inhibit_check(const struct inhibit_rules *rules, const struct names *partition_by,
		  struct why *out_why);

/* Is this moment inside one of the intervals? */
bool mute_active(const struct mute *m, int64_t now_ms);
/* A moment after now_ms before which no mute_active() changes. At most a day away if there is any.
 */
int64_t mutes_next_change_ms(const struct mutes *m, int64_t now_ms);

/* Changes whenever the rules that live in the fold's index tables change. */
uint64_t inhibit_digest(const struct inhibit_rules *rules);

#endif
