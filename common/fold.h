/*
 * A fold: (state, message) -> (state, messages). State is in a store, time is the message's own,
 * and nothing here knows a network, a clock or randomness: the same messages always give the same
 * state and outputs. A stage's fold includes this file and neither bus.h, http_*.h nor clock.h.
 * Layer 3.
 *
 * One transaction holds what a batch did: state, timers, outbox, offset. stage.c feeds the engine
 * from the bus and publishes the outbox; tests and backtests feed it from memory.
 */
#ifndef COMMON_FOLD_H
#define COMMON_FOLD_H

#include "common/store.h"
#include "common/wire.h"

enum {
	FOLD_BATCH_MAX = 256,
	FOLD_POISON_TRIES = 3,       /* crashes on one message before it goes to dead.* */
	FOLD_ARENA_BYTES = 32 << 20, /* for one message and the timers before it */
	FOLD_TIMERS_MAX = 1 << 20,   /* fired by one message: more is a loop, and stops the stage */
	FOLD_SEEN_MS = 600000,       /* ids of applied messages are kept this much longer than
					retain_ms, and at least FOLD_SEEN_BATCHES batches of them */
	FOLD_SEEN_BATCHES = 4096,
	FOLD_BACK_MARGIN_MS = 60000, /* clocks of senders are ahead of the bus by less than this */
};

struct fold;

/* A message as a fold sees it: unpacked and checked. Borrowed for the call. Ticks move time and are
 * not shown to apply. */
struct fold_input {
	enum kind kind;
	const char *subject;
	const char *token; /* the subject's last token: source, incident, ... */
	unsigned partition;
	const char *id;
	int64_t time_ms;    /* fold time: never earlier than that of any message before */
	int64_t message_ms; /* the message's own time */
	uint64_t seq;
	const ProtobufCMessage *msg;
	const void *data; /* the packed bytes, for digests */
	size_t len;
};

struct fold_def {
	const char *name; /* a token; "monitor": part of output ids and of the consumer's name */
	const char *stream;
	bool partitioned;   /* one fold per owned partition, filter event.<part>.> */
	const char *filter; /* when not partitioned */
	const struct store_table *const *tables;
	size_t n_tables;
	/* 0, or an error: input class -> dead.* and the message is passed over, its outputs dropped
	 * (what it wrote to the store stays: check before writing); anything else stops the stage.
	 */
	int (*apply)(struct fold *f, const struct fold_input *in, struct why *out_why);
	/* A timer set by fold_timer_set is due; fold_now_ms() is its due time. It is already
	 * removed. NULL: no timers. */
	int (*timer)(struct fold *f, const char *key, struct why *out_why);
};

/* For apply and timer. */
struct store_txn *fold_txn(struct fold *f);
int64_t fold_now_ms(const struct fold *f);
unsigned fold_partition(const struct fold *f);
const void *fold_config(const struct fold *f);
struct arena *fold_arena(struct fold *f); /* reset after each message */
/*
 * Checks, packs and puts a message into the outbox: subject heal.<kind>.<token>. Its id is
 * <input id>@<input's sequence>:<fold>:<n> (a hash in place of an input id that is too long), its
 * time fold_now_ms(), its cause the input's id. Outputs of timers count as the outputs of the
 * message that moved time. A message that fails wire_check stops the stage: that is a bug.
 */
void emit(struct fold *f, enum kind kind, const char *token, const ProtobufCMessage *msg);
void fold_timer_set(struct fold *f, const char *key, int64_t due_ms);
void fold_timer_cancel(struct fold *f, const char *key);

/* ---- the engine's side: stage.c, tests, backtest ---- */

struct fold_row;

struct fold_options {
	const char *dir;
	unsigned partition;
	const void *config; /* what fold_config() returns; borrowed until replaced */
	int64_t map_bytes;
	bool no_sync;
	int64_t retain_ms; /* acked outbox rows are kept so long, for a bus that may lose its tail
			    */
	/* Without a bus: outputs go here, once the message that made them was applied, and there is
	 * no outbox; nor are ids of applied messages kept. The row is borrowed. NULL: outbox. */
	void (*output)(void *ctx, const struct fold_row *row);
	void *output_ctx;
};

int fold_open(const struct fold_def *def, const struct fold_options *options, struct fold **out,
	      struct why *out_why);
void fold_close(struct fold *f);
void fold_set_config(struct fold *f, const void *config); /* between batches */
struct store *fold_store(struct fold *f);
const struct fold_def *fold_definition(const struct fold *f);

/* A message as it comes from the bus or a recording. One without id gets one from seq and
 * stream_ns. */
struct fold_message {
	const char *subject;
	const char *id;
	int64_t time_ms;
	int64_t stream_ns;
	uint64_t seq;
	unsigned schema; /* 0: not said */
	const void *data;
	size_t len;
};

/*
 * Applies up to FOLD_BATCH_MAX messages in one transaction: due timers before each message, in
 * order of due time; state; outbox; offset. Messages whose id is in `skip` (fold_skip_ids) are
 * passed over. Unreadable ones become a Dead row in the outbox, and so does one on which the
 * process died FOLD_POISON_TRIES times (a file beside the store notes what is being applied). On
 * any error nothing happened.
 */
int fold_apply(struct fold *f, const struct fold_message *msgs, size_t n, struct why *out_why);

/* The same for messages that come one at a time, until next() gives NULL; for folds without a bus,
 * whose outputs may decide what comes next. Each message is borrowed until the next call. */
int fold_apply_each(struct fold *f, const struct fold_message *(*next)(void *ctx), void *ctx,
		    struct why *out_why);

/* When the earliest timer is due; INT64_MAX when none. No lock needed by the fold's thread. */
int64_t fold_next_due_ms(struct fold *f);

/* The last message applied; seq 0 when none ever. */
struct fold_offset {
	uint64_t seq;
	int64_t stream_ns;
	int64_t time_ms;
};
struct fold_offset fold_offset(struct fold *f);

/* The outbox, in order. Rows stay until acked (and retain_ms after). */
struct fold_row {
	uint64_t row;
	struct fold_message msg; /* seq and stream_ns unused */
	const char *cause;
	bool acked;
	bool again; /* was acked before, on an earlier connection or in an earlier process */
};
/* Calls visit for rows >= from; the row is borrowed for the call. */
int fold_outbox_each(struct fold *f, uint64_t from,
		     int (*visit)(void *ctx, const struct fold_row *row), void *ctx);
/* First row number that the next output will get. */
uint64_t fold_outbox_next(struct fold *f);
/* A new connection: every row must be sent and acked again, since the bus may have lost its tail.
 */
void fold_outbox_unack(struct fold *f);
/* Marks the row; it is deleted (after retain_ms) with a later batch or fold_trim. now_ms: the
 * caller's clock. */
void fold_outbox_acked(struct fold *f, uint64_t row, int64_t now_ms);
/* Deletes acked rows that are old enough, in a transaction of its own when there are any. */
int fold_trim(struct fold *f, int64_t now_ms, struct why *out_why);
size_t fold_outbox_unacked(struct fold *f);
/* The first row that is not acked; fold_outbox_next() when all are. */
uint64_t fold_outbox_oldest(struct fold *f);

/* Rebuild: outputs whose ids are in this set are already on the bus and are not put into the
 * outbox. Copies. */
void fold_known_outputs_add(struct fold *f, const char *id);
void fold_known_outputs_clear(struct fold *f);
/* Marks the rows of the outbox that are in the set as acked. */
void fold_outbox_settle_known(struct fold *f, int64_t now_ms);

/* The bus went back behind our offset: load the ids of applied messages, so that redelivered ones
 * are passed over (on EVENTS, where a repeat keeps its id, those that are not newer than all that
 * was read). Remembered in the store with the next batch: for a day of the stream's time every
 * fold_open loads them again. */
int fold_skip_seen(struct fold *f, struct why *out_why);

/* SHA-256 over the definition's tables and the timers: equal states, equal hashes. */
int fold_hash(struct fold *f, uint8_t out[static DIGEST_BYTES]);

#endif
