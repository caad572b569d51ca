/*
 * Escalation policies: who is told, and when again, until somebody answers. Pure; the fold's part
 * is fold_escalation.c.
 *
 *     escalations:
 *       - name: night
 *         steps:
 *           - {after: 0s, to: ["oncall:primary"], repeat: 2, every: 5m}
 *           - {after: 15m, to: [boss, "channel:phone", "receiver:managers"]}
 *         summary_after: 15m              # after the last of these: what was tried, what to try
 *
 * Times count from the beginning, for all steps; so a step's repeats may fall behind the next
 * step's first. A policy is laid out as its beats, in order, when it is read.
 */
#ifndef NOTIFIER_ESCALATION_H
#define NOTIFIER_ESCALATION_H

#include "notifier/oncall.h"

enum {
	ESCALATIONS_MAX = 64,
	ESCALATION_STEPS_MAX = 16,
	ESCALATION_TARGETS_MAX = 8,
	ESCALATION_BEATS_MAX = 64, /* notices about one incident, the summary included */
};

enum target_kind { TARGET_PERSON, TARGET_ONCALL, TARGET_CHANNEL, TARGET_RECEIVER, TARGET_KINDS };

struct target {
	enum target_kind kind;
	char *name;
};

struct escalation_step {
	int64_t after_ms; /* since the escalation began */
	int64_t every_ms; /* between repeats */
	int64_t repeat;   /* how often again; 0: told once */
	struct target targets[ESCALATION_TARGETS_MAX];
	size_t n_targets;
};

/* One time at which somebody is told. */
struct escalation_beat {
	int64_t at_ms; /* since the escalation began */
	size_t step;   /* index; of the summary: that of the last step */
	unsigned turn; /* 0: the step's first */
	bool summary;
};

struct escalation {
	char *name;
	struct escalation_step *steps;
	size_t n_steps;
	int64_t summary_after_ms;
	struct escalation_beat beats[ESCALATION_BEATS_MAX]; /* in order; the last is the summary */
	size_t n_beats;
};

struct escalations {
	struct escalation *items;
	size_t n;
};

int escalations_parse(void *field, const struct yaml_node *node, struct why *out_why);
void escalations_release(void *field);
const struct escalation *escalation_find(const struct escalations *all, const char *name);

/* Names agree: ERR_CONFIG names the target that nobody defined. NULL: every name of the kind will
 * do. */
struct escalation_names {
	const void *ctx;
	bool (*person)(const void *ctx, const char *name);
	bool (*oncall)(const void *ctx, const char *name);
	bool (*channel)(const void *ctx, const char *name);
	bool (*receiver)(const void *ctx, const char *name);
};
int escalations_check(const struct escalations *all, const struct escalation_names *known,
		      struct why *out_why);

#endif
