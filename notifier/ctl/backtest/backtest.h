/*
 * The backtest: a recording through the real cores of monitor and reasoner, without a bus and
 * without effects, as fast as the machine goes. Deterministic: the same recording, configuration
 * and runbooks give the same report, byte for byte.
 *
 *     recording ─▶ events ─▶ correlators (16) ─▶ incidents ─┐
 *          └────▶ decisions, steps, outcomes, people ───────┴─▶ cases, once per set of runbooks
 *
 * Messages go in the recording's order, which is that of its bus. What the correlators say takes
 * the place at which the recording has it; what it does not have follows what caused it. Files:
 * backtest.c (the run), backtest_events.c (the monitor's half), backtest_story.c (one order),
 * backtest_cases.c (the reasoner's half), backtest_index.c (what the recording holds),
 * backtest_report.c (who said what).
 */
#ifndef NOTIFIER_CTL_BACKTEST_BACKTEST_H
#define NOTIFIER_CTL_BACKTEST_BACKTEST_H

#include "common/cores.h"
#include "common/recording.h"
#include "notifier/ctl/backtest/idmap.h"

enum {
	BT_SIDES_MAX = 2,
	BT_WINDOW_ITEMS = 1 << 17,
	BT_WINDOW_BYTES = 128 << 20,
	BT_GRACE_MS = 2000, /* a running stage says that time has passed within this */
};

/* Sparse, never grown: a batch cannot be tried again. */
#define BT_MAP_BYTES (INT64_C(16) << 30)

/* ---- what was said (backtest_report.c) ---- */

enum bt_saying_kind { BT_PLAN, BT_ESCALATION };

/* What the reasoner said about an incident. */
struct bt_saying {
	enum bt_saying_kind kind;
	int64_t at_ms;
	uint8_t same[DIGEST_BYTES]; /* equal when nothing that matters differs */
	char digest[2 * DIGEST_BYTES + 1];
	char id[TOKEN_MAX + 1];
	const char *runbook; /* or the specialist, of a plan without one */
	const char *what;    /* the steps in one line */
	const char *reason;  /* of a plan: its why */
	uint32_t attempt;
	bool recorded;      /* the recording has the same plan: its outcome counts */
	const char *result; /* "healed", ...; NULL: none in the recording */
};

struct bt_sayings {
	struct bt_saying *items;
	size_t n, cap;
};

struct bt_incident {
	const char *id;
	const char *title;
	Healbus__Severity severity;
	Healbus__IncidentState state;
	uint32_t revision;
	int64_t opened_ms;
	struct bt_sayings said[BT_SIDES_MAX];
};

struct bt_report {
	struct arena arena; /* every string */
	struct idmap by_id; /* incident -> index */
	struct bt_incident *items;
	size_t n, cap;
	size_t n_sides;
	uint64_t events; /* given to the correlators */
	uint64_t bodies_refused;
	uint64_t buried;    /* messages that a fold could not use */
	uint64_t unmatched; /* reports of plans that were not made here, first side */
	bool torn;
	struct why torn_why;
};

void bt_report_release(struct bt_report *r);
void bt_report_monitor(struct bt_report *r, const Healbus__Incident *said);
void bt_report_plan(struct bt_report *r, size_t side, const Healbus__Plan *plan, const void *packed,
		    size_t len);
/* The plan last said about it is in the recording too. */
void bt_report_recorded(struct bt_report *r, size_t side, const char *incident);
void bt_report_escalation(struct bt_report *r, size_t side, const Healbus__Incident *said);
void bt_report_result(struct bt_report *r, size_t side, const char *incident, const char *plan,
		      const char *result);
/* Sorts by opening time, then id. After this no row is added. */
void bt_report_finish(struct bt_report *r);
/* Did both sides say the same about it? */
bool bt_same(const struct bt_incident *i);

/* ---- what the recording holds (backtest_index.c) ---- */

struct bt_index {
	uint64_t streams[RECORDING_STREAMS];
	struct idmap said;  /* revision of an incident by the monitor -> enum bt_place */
	struct idmap plans; /* plan id -> what it would do */
};
enum bt_place { BT_COMES = 1, BT_PASSED };

/* One pass over the file. A torn tail is noted in the report; the rest counts. */
int bt_index_read(struct bt_index *x, struct recording *file, struct bt_report *report,
		  struct why *out_why);
void bt_index_release(struct bt_index *x);
/* The key of one message of the monitor. */
const char *bt_revision_key(char out[static TOKEN_MAX + 16], const Healbus__Incident *i);
/* A hash of what an executor would do with a plan: its steps, verification and rollback. */
uint64_t bt_plan_deeds(const Healbus__Plan *plan);

/* ---- one window of the recording ---- */

struct bt_item {
	struct fold_message m;
	const char *content_type;
	unsigned stream;
	int64_t top_ms; /* the latest time of all so far */
};

/* What a correlator said, and where it belongs. */
struct bt_extra {
	struct fold_message m;
	uint32_t position; /* of an item */
	uint32_t n;        /* in the order of saying */
	bool after;        /* behind that item, not before it */
	unsigned partition;
};

/* What the cases see. */
struct bt_input {
	struct fold_message m;
	const char *plan; /* a report on this plan: for those only who made it. NULL: for all */
	const char *incident;
	const char *result; /* of an outcome */
};

struct bt_window {
	struct arena arena;
	struct bt_item *items;
	size_t n, cap;
	struct bt_extra *extras;
	size_t n_extras, cap_extras;
	struct bt_input *inputs;
	size_t n_inputs, cap_inputs;
	int64_t top_ms;
	int64_t until_ms; /* timers that are due by then have fired when it is over */
};
/* Copies the item. */
void bt_window_add(struct bt_window *w, const struct bt_item *item);

/* ---- the monitor's half (backtest_events.c) ---- */

struct bt_events;
struct backtest;
int bt_events_open(struct backtest *b, const char *dir, struct why *out_why);
void bt_events_close(struct bt_events *e);
/* Raw bodies of the window become events in it. */
void bt_events_take(struct backtest *b, const struct bt_item *item);
/* The correlators see the window; what they say becomes extras, or waits for its place. */
int bt_events_run(struct backtest *b, struct why *out_why);
/* What waits for the recorded message of this key: true and *out. */
bool bt_events_held(struct backtest *b, const char *key, struct fold_message *out);

/* ---- the story (backtest_story.c) ---- */

/* The window's inputs: what the recording has, and what the correlators said, in one order. */
void bt_story_merge(struct backtest *b);

/* ---- the reasoner's half (backtest_cases.c) ---- */

struct bt_cases;
int bt_cases_open(struct backtest *b, size_t side, const char *dir, struct why *out_why);
void bt_cases_close(struct bt_cases *c);
int bt_cases_run(struct bt_cases *c, struct why *out_why);

/* ---- the run ---- */

struct backtest_options {
	const char *file;
	const char *config_dir;
	bool from_raw;                      /* bodies again, although the recording has events */
	const char *runbooks[BT_SIDES_MAX]; /* "DIR" or "DIR,DIR"; NULL: as configured */
	size_t n_sides;
	int64_t settle_ms; /* time goes on so long after the last message */
	const char *write; /* what monitor and first reasoner say, as a recording; NULL: nowhere */
};

struct backtest {
	const struct backtest_options *options;
	struct bt_report *report;
	struct recording *file;
	struct recording_writer *writer;
	uint64_t written;
	struct bt_index index;
	struct bt_window window;
	void *monitor_config;
	struct bt_events *events; /* NULL: the recording has a story only */
	struct bt_cases *cases[BT_SIDES_MAX];
	bool raw_to_events;
};

int backtest_run(const struct backtest_options *options, struct bt_report *report,
		 struct why *out_why);
/* Adds what was said to the recording that --write asks for. Strings of m are borrowed. */
void backtest_write(struct backtest *b, const struct fold_message *m, const char *cause);
/* A copy that lives as long as the arena. */
struct fold_message bt_message_copy(struct arena *arena, const struct fold_message *m);
/* A stage's configuration. ERR_CONFIG. Free with bt_config_free. */
int bt_config_load(const struct stage_core *core, const char *dir, void **out, struct why *out_why);
void bt_config_free(const struct stage_core *core, void *config);

#endif
