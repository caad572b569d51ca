/*
 * What this executor did, on its own disk: the last known state of every step it began, and the
 * audit chain. Both are committed (fsync) before the act they speak of. Any thread; writers that
 * come while another one's fsync is under way share the next one. What may be forgotten, and when:
 * executor/retain.h.
 */
#ifndef EXECUTOR_JOURNAL_H
#define EXECUTOR_JOURNAL_H

#include "common/store.h"
#include "common/wire.h"
#include "executor/audit.h"

struct journal;

/* Opens dir (ERR_BUSY: another process has it). Makes the executor's lasting id the first time. */
int journal_open(const char *dir, int64_t map_bytes, struct journal **out, struct why *out_why);
void journal_close(struct journal *j);

/* The lasting id of this executor: the owner of its claims, the same after a restart. */
const char *journal_owner(const struct journal *j);

/* In one transaction: the step's state (report may be NULL) and an audit record. ERR_FULL passes
 * when there is room; after ERR_IO every further write fails: a disk that failed one fsync may say
 * yes to the next and have lost what lay between. */
int journal_write(struct journal *j, const Healbus__StepReport *report,
		  const struct audit_entry *entry, struct why *out_why);

/* A write failed for good: the process must end, and a new one look at what is on the disk. */
bool journal_is_broken(struct journal *j);

/* The last report written for a step, in the arena. ERR_NOT_FOUND when this executor never began
 * it. */
int journal_read(struct journal *j, const char *step_id, struct arena *arena,
		 Healbus__StepReport **out, struct why *out_why);

enum { JOURNAL_PAGE = 256 }; /* steps looked at in one go */
struct journal_row {
	char step[ID_BYTES];
	char incident[TOKEN_MAX + 1];
};
/* Steps whose last report is from before `before_ms`. */
struct journal_page {
	int64_t before_ms;
	char after[ID_BYTES]; /* in: look behind this step, "" from the first on; out: where it
				 ended,
				 "" when that was the last */
	struct journal_row rows[JOURNAL_PAGE];
	size_t n;
};
int journal_old(struct journal *j, struct journal_page *page, struct why *out_why);

/* What is to be taken out of it in one transaction, and what was. */
struct journal_trim {
	const struct journal_row *steps;
	size_t n_steps;
	int64_t audit_before_ms; /* 0: no audit records */
	uint64_t audit_cut;      /* out: how many, at most AUDIT_CUT_MAX */
	bool audit_broken;       /* out: none were, for the chain is broken there */
};
int journal_trim(struct journal *j, struct journal_trim *trim, struct why *out_why);

/* Walks the whole chain; see audit_check. Read-only. */
int journal_audit_check(struct journal *j, struct audit_summary *out, struct why *out_why);
/* Calls line for each audit record, oldest first. */
int journal_audit_each(struct journal *j, void (*line)(void *ctx, const char *json), void *ctx);

#endif
