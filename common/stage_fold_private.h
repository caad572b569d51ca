/*
 * One fold's thread: stage_fold.c turns, stage_fold_tick.c says that time has passed,
 * stage_fold_bus.c keeps its place on the bus, stage_owner.c sees that it is the only one. Only
 * these include this.
 */
#ifndef COMMON_STAGE_FOLD_PRIVATE_H
#define COMMON_STAGE_FOLD_PRIVATE_H

#include "common/stage_private.h"

enum {
	FOLD_LOOP_BATCH_BYTES = 4 << 20,
	FOLD_LOOP_APPLYING_MAX = 3, /* folds of a process that apply a batch at the same time */
	FOLD_LOOP_SLICE_MS = 1000,  /* how long a stop may go unnoticed */
	FOLD_LOOP_SILENCE_MS = 500, /* after which nothing more is expected of the bus */
	FOLD_LOOP_TICK_MS = 1000,   /* before the same tick is said again */
	FOLD_LOOP_TRIM_MS = 5000,
	FOLD_LOOP_LATE_MS = 2000, /* an output unacknowledged for so long is sent again */
	FOLD_LOOP_RETRY_MS = 500, /* between tries of an output that the bus refused */
	FOLD_LOOP_UNACKED_MAX = 16 * FOLD_BATCH_MAX,
	FOLD_LOOP_STUCK_MS = 30000,
	FOLD_LOOP_MARGIN_MS = 60000,       /* resuming by time starts this much earlier */
	FOLD_LOOP_KNOWN_MS = 12 * 3600000, /* STORY knows an id twice as long: see topic.c */
	FOLD_LOOP_STORE_MS = 300, /* between looks whether another process left the store */
};
#define FOLD_LOOP_TICK_TOKEN UINT64_MAX

struct fold_loop {
	struct stage *stage;
	const struct fold_def *def;
	unsigned partition;
	char name[TOKEN_MAX + 8];      /* of directory, metrics and ticks: "monitor-03" */
	char consumer[TOKEN_MAX + 32]; /* the same, or "notifier-2" for the second of several */
	char filter[SUBJECT_MAX + 1];
	char *dir;                 /* of the store */
	unsigned window;           /* messages asked for ahead */
	struct fold *_Atomic fold; /* NULL: another process has the store */
	pthread_t thread;
	bool running;
	struct stage_pulse *pulse;

	/* the thread's own */
	const void *config;
	struct bus_outlet *outlet;
	struct bus_puller *puller;
	uint64_t term;        /* in which the fold was claimed */
	uint64_t claim;       /* revision */
	bool foreign;         /* somebody with another store owned it before us */
	uint64_t expected;    /* consumer sequence */
	int64_t read_mono_ms; /* when the consumer was made or the last message came */
	struct bus_delivery *batch;
	struct fold_message *msgs;
	size_t n, batch_bytes;
	uint64_t sent_to; /* rows before this one were sent on this connection */
	uint64_t oldest; /* unacknowledged row, and since when it is the oldest or was sent again */
	int64_t oldest_mono_ms;
	bool paused; /* the bus refused a row: nothing overtakes it */
	uint64_t probe;
	int64_t probe_mono_ms;
	bool rebuild_checked;
	uint64_t rebuild_head;   /* known outputs are of use until this input */
	int64_t rebuild_mono_ms; /* when that began */
	int64_t trimmed_mono_ms;
	int64_t tick_due_ms, tick_at_mono_ms;
	unsigned ticks;
	int logged_error;

	/* for everybody */
	atomic_bool reading;
	atomic_bool standing_by; /* another process owns it */
	atomic_int last_error;
	_Atomic uint64_t lag;
	_Atomic uint64_t unacked;
	_Atomic uint64_t applied_seq;
	_Atomic int64_t moved_mono_ms;
};

/* stage_fold_tick.c. When nothing is left to read and a timer is due; how long until then, at most
 * a slice. */
void fold_loop_tick(struct fold_loop *l);
int64_t fold_loop_wait_ms(const struct fold_loop *l);

/* stage_owner.c. Take: ERR_BUSY while another process owns it; blocks for a few round trips. */
int fold_owner_take(struct fold_loop *l, struct why *out_why);
/* Before each thing that only the owner may do; cheap. */
bool fold_owner_is(const struct fold_loop *l);
void fold_owner_release(struct fold_loop *l);

/* Has the kernel started anew since fold_machine_note? Then the store may lack its last commit
 * (store.h), whose outputs may be on the bus. True when nobody knows. */
bool fold_machine_restarted(const struct fold_loop *l);
void fold_machine_note(const struct fold_loop *l);

/* Owner, outlet, rebuild, resend, position, puller: whatever is missing. */
int fold_loop_connect(struct fold_loop *l);
void fold_loop_disconnect(struct fold_loop *l, bool outlet_too);
int fold_loop_send_new(struct fold_loop *l);
/* Reads acknowledgements: waits for the first, takes all that are there. */
int fold_loop_acks(struct fold_loop *l, int64_t wait_ms);
int fold_loop_resend_late(struct fold_loop *l);
/* Remembers it for /readyz; one line in the log until something else happens. */
void fold_loop_error(struct fold_loop *l, int rc, const struct why *why);

#endif
