/*
 * The audit chain: one record for every decision, denial and act, each holding the SHA-256 of the
 * one before. A changed, missing or added record breaks every later link; a cut tail is seen from
 * the head, which is kept apart. A record is one line of JSON. Old records are cut off at the front
 * by audit_cut alone: the chain then goes on from the digest of the last of them, which is kept
 * beside the head and said in a record of its own.
 */
#ifndef EXECUTOR_AUDIT_H
#define EXECUTOR_AUDIT_H

#include "common/id.h"
#include "common/store.h"

struct audit_entry {
	const char *what; /* intent, end, refused, asked, decision, withdrawn, unknown, outcome */
	const char *incident;
	const char *plan;
	const char *step; /* NULL: none */
	const char *who;  /* NULL: the executor itself */
	const char *text;
};

struct audit_summary {
	uint64_t records;                /* ever made */
	uint64_t cut;                    /* of those, cut off since */
	char head[2 * DIGEST_BYTES + 1]; /* digest of the last record; "" for none */
};

extern const struct store_table audit_records;
extern const struct store_table audit_heads;

/* Appends inside the caller's write transaction. 0 or ERR_CORRUPT (the head is unreadable). */
int audit_append(struct store_txn *txn, const struct audit_entry *entry, int64_t now_ms);

enum { AUDIT_CUT_MAX = 1000 }; /* records that one call cuts off at most */
/*
 * Cuts off records of before `before_ms`, the oldest first, and appends one that says so. A chain
 * that is broken there is left as it is: what somebody did to it is to be found out. 0 or
 * ERR_CORRUPT (nothing was written). *out_n: how many.
 */
int audit_cut(struct store_txn *txn, int64_t before_ms, int64_t now_ms, uint64_t *out_n);

/* Walks the chain: 0, or ERR_CORRUPT naming the first record that does not fit. */
int audit_check(struct store_txn *txn, struct audit_summary *out, struct why *out_why);

#endif
