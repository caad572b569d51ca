/*
 * The correlator's tables, inside this folder only. One row per alert (fingerprint), one per group
 * (incident key), both small and fixed; labels and representative events lie beside them, so that
 * a repeat touches small rows only. Everything here runs in the fold's transaction.
 *
 *     alerts    fingerprint            -> struct alert, then its labels (struct labels)
 *     firing    fingerprint            -> nothing: the alerts that fire now
 *     groups    key                    -> struct group
 *     agreed    key                    -> labels on which all alerts of the episode agree: there is
 *                                         a row for each group that is not at rest
 *     slots     key, slot              -> a representative Event
 *     silences  id                     -> the packed Control
 *     inhibit   role, rule, values, fp -> nothing
 *     meta      "meta"                 -> struct meta
 *     bodies    source, body           -> nothing: what came, where it counts only once
 *     links     kind, repository, name -> text: what later events of a repository do not say
 *     commands  key                    -> the latest Command of the episode
 */
#ifndef MONITOR_STATE_H
#define MONITOR_STATE_H

#include "common/fold.h"
#include "monitor/rules.h"

enum {
	GROUP_SLOTS = 16,
	SLOT_NONE = 255,
	SLOT_BYTES = 14000,   /* of one representative: 16 of them stay under the message limit */
	AGREED_BYTES = 20000, /* of an incident's labels */
};

extern const struct store_table *const monitor_tables[];
extern const size_t monitor_tables_n;
extern const struct store_table table_alerts, table_firing, table_groups, table_agreed, table_slots,
	table_silences, table_inhibit, table_meta, table_bodies, table_links, table_commands;
enum { MONITOR_TABLES = 11 };

/* Label pairs as "name\0value\0...", sorted by name. */
struct labels {
	const char *data;
	size_t len;
};
/* A matcher_lookup over a struct labels. */
const char *labels_lookup(const void *labels, const char *name);
void labels_pack(struct buf *out, Healbus__Label *const *labels, size_t n);
/* The pairs that are in both, in out; true when that is fewer than in a. */
bool labels_intersect(struct labels a, struct labels b, struct buf *out);
/* All pairs of a, and those of b whose names are not in a. */
void labels_unite(struct labels a, struct labels b, struct buf *out);
/* Drops the longest pairs until they fit. */
void labels_fit(struct buf *labels, size_t limit);

struct alert {
	uint8_t firing;
	uint8_t severity;
	uint8_t trusted;
	uint8_t muted;
	uint8_t slot;
	uint8_t noted;           /* status that was told without counting it */
	uint8_t unused[6];       /* rows are hashed: no padding */
	char key[ID_BYTES];      /* of its group */
	char incident[ID_BYTES]; /* episode in which it was counted */
	char muted_by[TOKEN_MAX + 1];
	char source[TOKEN_MAX + 1];
	int64_t starts_at_ms; /* of its last episode */
	int64_t seen_ms;
};

/* 0 or ERR_NOT_FOUND, or an error of the store. */
int alert_get(struct fold *f, const char *fp, struct alert *out);
/* The same with its labels, copied into text. */
int alert_get_labels(struct fold *f, const char *fp, struct alert *out, struct buf *text);
void alert_put(struct fold *f, const char *fp, const struct alert *a, struct labels labels);
void alert_forget(struct fold *f, const char *fp);
void alert_set_firing(struct fold *f, const char *fp, bool firing);
/* Fingerprints that fire now, FINGERPRINT_LEN bytes each, appended. */
void alerts_firing(struct fold *f, struct buf *out);

enum group_state {
	GROUP_REST = 0, /* no episode; remembered for its flaps and its cool-down */
	GROUP_PENDING,  /* group_wait or cool-down is running; nothing told yet */
	GROUP_OPEN,
	GROUP_SUPPRESSED,
	GROUP_STATES,
};

enum group_dirty {
	DIRTY_CHANGED = 1, /* something to tell */
	DIRTY_TIMER = 2,   /* and the timer for it is set */
	DIRTY_URGENT = 4,  /* after group_wait, not group_interval */
};

struct group {
	uint8_t state;
	uint8_t flapping;
	uint8_t dirty; /* enum group_dirty */
	uint8_t trusted;
	uint8_t trust_told;
	uint8_t severity;      /* highest of the firing; the last one when none fires */
	uint8_t severity_told; /* highest told in this episode */
	uint8_t storm;
	uint16_t slots_used; /* bit sets */
	uint16_t slots_firing;
	uint32_t revision;
	uint32_t firing;
	uint32_t muted; /* of the firing */
	uint32_t fingerprints;
	uint32_t by_severity[5]; /* of the firing */
	uint32_t n_opens;
	uint32_t unused; /* rows are hashed: no padding */
	uint64_t observations;
	int64_t opened_ms;
	int64_t updated_ms;
	int64_t resolved_ms; /* of the last episode */
	int64_t told_ms;     /* pending: when it opens */
	int64_t changed_ms;
	int64_t opens_ms[FLAP_OPENS_MAX]; /* newest first */
	char incident[ID_BYTES];
	char suppressed_by[TOKEN_MAX + 1];
	char name[WIRE_TITLE_MAX + 2];
};

int group_get(struct fold *f, const char *key, struct group *out);
/* The same for readers on other threads. */
int group_read(struct store_txn *txn, const char *key, struct group *out);
void group_put(struct fold *f, const char *key, const struct group *g);

struct meta {
	uint64_t inhibit_digest; /* of the rules the index was built for */
	int64_t mute_due_ms;
	int64_t storm_window_ms; /* start of the present window */
	uint32_t storm_opens;
	uint32_t unused;
};
static_assert(sizeof(struct alert) == 200 && sizeof(struct group) == 576 &&
		      sizeof(struct meta) == 32,
	      "rows have no padding, since equal states must have equal bytes");

struct meta meta_get(struct fold *f);
void meta_put(struct fold *f, const struct meta *m);

/* ---- incident.c: episodes of a group ---- */

/* What an event says, once its labels are packed. */
struct sighting {
	const Healbus__Event *event;
	const char *event_id;
	struct labels labels;
};

/* The alert a now fires: counts it, starts an episode when there is none. Updates a. */
int group_fire(struct fold *f, const struct sighting *s, const char *key, struct alert *a);
void group_repeat(struct fold *f, const struct alert *a);
/* The alert fires on, of another commit or run: its representative is replaced, and told soon. */
int group_advance(struct fold *f, const Healbus__Event *e, struct alert *a);
/* The same failure again, told by another kind of event: its representative learns what it did not
 * say. Told soon when that is anything. */
int group_learn(struct fold *f, const Healbus__Event *e, struct alert *a);
/* Something to know that neither fires nor resolves: a representative that is not counted. */
int group_note(struct fold *f, const char *key, const Healbus__Event *e, struct alert *a);
/* A person's command: the latest one is in every message of the episode. Told soon. */
int group_command(struct fold *f, const char *key, const Healbus__Command *c);
/* An episode goes on, and *out_g is its group. */
bool group_goes_on(struct fold *f, const char *key, struct group *out_g);
/* e may be NULL (expired). */
int group_resolve_alert(struct fold *f, struct alert *a, const Healbus__Event *e);
int group_change_severity(struct fold *f, struct alert *a, Healbus__Severity severity);
int group_set_muted(struct fold *f, struct alert *a, bool muted);
/* Tells what must be told now, or sets the timer for later. why: of a resolution; may be NULL. */
int group_settle(struct fold *f, const char *key, const char *why);
/* The group's only timer is due. */
int group_timer(struct fold *f, const char *key);

/* ---- grouping.c ---- */

/* The key of the group an event belongs to; a storm folds by alert name. */
void group_key(struct fold *f, const Healbus__Event *e, struct labels labels,
	       char out[static ID_BYTES]);
/* The same while no storm rages; pure. */
void grouping_key(const struct rules *r, const Healbus__Event *e, struct labels labels,
		  char out[static ID_BYTES]);
/* An episode began. */
void storm_count(struct fold *f);

/* ---- incident_emit.c ---- */

int group_emit(struct fold *f, const char *key, struct group *g, Healbus__IncidentState state,
	       const char *reason);
/* A representative for the group: a free slot, or the one of a resolved alert. */
void slot_take(struct fold *f, const char *key, struct group *g, const Healbus__Event *e,
	       uint8_t *inout_slot);
void slot_resolve(struct fold *f, const char *key, struct group *g, uint8_t slot, int64_t ends_ms);
void slots_clear(struct fold *f, const char *key, const struct group *g);
/* Adds labels and annotations that the representative lacks; true when there are any. */
bool slot_learn(struct fold *f, const char *key, uint8_t slot, const Healbus__Event *e);
/* How an event differs from the representative of the alert fp, by their annotations. */
enum slot_change {
	SLOT_SAME,
	SLOT_OTHER_RUN,
	SLOT_OTHER_COMMIT,
};
/* Only what both say is compared; SLOT_SAME when there is no representative. */
enum slot_change slot_compare(struct fold *f, const char *fp, const struct alert *a,
			      const Healbus__Event *e);

/* ---- correlator.c ---- */

/* An event on its way. */
struct sight {
	const struct fold_input *in;
	const Healbus__Event *e;
	struct alert alert;
	bool known; /* alert is one that was here before */
	struct labels labels;
};
int alert_fire(struct fold *f, struct sight *s);
/* Ends it in state and group, which is not settled. e may be NULL (expired). */
int alert_end(struct fold *f, const char *fp, struct alert *a, struct labels labels,
	      const Healbus__Event *e);
void alert_timer_set(struct fold *f, const char *fp, int64_t due_ms);

/* ---- links.c ---- */

/* Has this very body been here? Remembers it. */
bool body_again(struct fold *f, const Healbus__Event *e);
int body_timer(struct fold *f, const char *id);
/* A name in a repository, for which something is remembered a month. */
struct link {
	const char *kind, *repository, *name;
};
void link_put(struct fold *f, struct link link, const char *value);
/* Appended. */
bool link_get(struct fold *f, struct link link, struct buf *out);
int link_timer(struct fold *f, const char *id);

/* ---- build.c: events of repositories ---- */

/* An episode began with it: later events may name it. */
void build_began(struct fold *f, const struct sighting *s, const char *key, const char *incident);
/* What goes before their meaning: true when nothing is left of it. */
int build_before(struct fold *f, struct sight *s, bool *out_done);
/* A success that covers more than its own alert ends them all. */
int build_covers(struct fold *f, const struct sight *s);

/* ---- muting.c: silences, inhibition, mute times ---- */

/* Looks at one firing alert again, and settles its group. */
int muting_review(struct fold *f, const char *fp);
int muting_review_all(struct fold *f);
/* Before each message: the rules changed since the index was built. */
int muting_refresh(struct fold *f);
/* An alert began or ceased to fire: the index, and the alerts it mutes. */
int inhibit_update(struct fold *f, const char *fp, struct labels labels, bool firing);
bool inhibit_by(struct fold *f, const char *fp, struct labels labels,
		char out[static TOKEN_MAX + 1]);
int inhibit_rebuild(struct fold *f);
int silence_apply(struct fold *f, const struct fold_input *in, struct why *out_why);
int silence_timer(struct fold *f, const char *id);
bool silence_by(struct fold *f, struct labels labels, char out[static TOKEN_MAX + 1]);
/* Sees to it that the next start or end of a mute interval is noticed while anything fires. */
void mute_arm(struct fold *f);
int mute_timer(struct fold *f);

#endif
