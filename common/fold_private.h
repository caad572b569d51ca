/*
 * The inside of a fold, for fold*.c only.
 *
 * Tables of the engine, beside the definition's: fold_meta (one row: offset and counters),
 * fold_outbox (row number -> packed row), fold_seen (batch number -> ids applied), two for timers.
 */
#ifndef COMMON_FOLD_PRIVATE_H
#define COMMON_FOLD_PRIVATE_H

#include "common/fold.h"

/* A set of ids, kept as 128-bit hashes. */
struct id_hash {
	uint64_t a, b;
};
struct id_set {
	struct id_hash *slots; /* a zero pair is a free slot */
	size_t cap;            /* a power of two, or 0 */
	size_t n;
};
struct id_hash id_hash(const char *id);
bool id_set_has(const struct id_set *s, struct id_hash h);
void id_set_release(struct id_set *s);

/* The one row of fold_meta, as it is stored. */
struct fold_meta {
	uint64_t seq;
	int64_t stream_ns;
	int64_t time_ms;
	uint64_t next_row;
	uint64_t seen_first;
	uint64_t seen_next;
	uint64_t said_row;     /* the bus had acked every row before this one */
	int64_t back_until_ns; /* the bus went back: ids are checked until this stream time */
};

struct fold_ack {
	int64_t at_ms;
	bool acked;
	bool said; /* acked at some time, even if the bus has lost it since */
};

/* What is being applied: a message, or a timer that it made due. */
struct fold_attempt {
	uint64_t seq; /* 0: nothing */
	int64_t stream_ns;
	char timer[256]; /* "": the message itself */
};
/* A shared mapping of a small file: survives the process, which is all that poison needs. */
struct fold_tries {
	struct fold_attempt current;
	struct fold_attempt suspect; /* what an earlier process died on */
	uint64_t deaths;
};

struct fold {
	const struct fold_def *def;
	unsigned partition;
	const void *config;
	int64_t retain_ms;
	void (*output)(void *ctx, const struct fold_row *row);
	void *output_ctx;
	struct store *store;
	const struct store_table
		*tables[STORE_TABLES_MAX]; /* the engine's behind the definition's */
	size_t n_tables;
	struct fold_meta meta; /* as committed */
	struct fold_tries *tries;
	int64_t next_due_ms;
	int64_t caller_now_ms;
	struct id_set skip;
	struct id_set known;

	/* one entry per outbox row, from first_row */
	struct fold_ack *acks;
	size_t acks_n, acks_cap;
	uint64_t first_row;
	size_t unacked;

	/* the batch under way */
	struct store_txn *txn;
	struct fold_meta work;
	int64_t due_ms; /* no timer is due before this */
	struct arena arena;
	struct buf packed;
	struct buf seen;

	/* the message under way */
	char input_id[256];
	uint64_t input_seq; /* 0 in a timer */
	unsigned outputs;
	struct buf rows; /* encoded outputs, each behind its length */
	int error;       /* of emit */
	struct why error_why;
};

extern const struct store_table fold_meta_table, fold_outbox_table, fold_seen_table;
extern const struct store_timers fold_timers;

/* fold_outbox.c */
void fold_rows_add(struct fold *f, const char *subject, const void *data, size_t len);
void fold_rows_flush(struct fold *f);
int fold_outbox_load(struct fold *f);
size_t fold_outbox_old(const struct fold *f); /* rows at the front that may go */
void fold_outbox_delete(struct fold *f, size_t n);
void fold_outbox_forget(struct fold *f, size_t n);
void fold_outbox_extend(struct fold *f, size_t n);
uint64_t fold_outbox_said(const struct fold *f); /* the first row that the bus never acked */

/* fold_seen.c */
void fold_seen_note(struct fold *f, struct id_hash h);
void fold_seen_flush(struct fold *f);
/* The bus went back, and this is one of the messages that came before and comes again. */
bool fold_seen_before(const struct fold *f, const struct fold_message *m, struct id_hash h);

/* fold_tries.c */
int fold_tries_open(struct fold *f, const char *dir, struct why *out_why);
void fold_tries_close(struct fold *f);
/* True when the process died on this FOLD_POISON_TRIES times: pass it over. */
bool fold_tries_enter(struct fold *f, const struct fold_message *m, const char *timer);
void fold_tries_leave(struct fold *f);

#endif
