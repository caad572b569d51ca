/*
 * Memory: what became of every incident that was worked on, and what it looked like. Written by the
 * fold, from messages alone, so that a deleted store comes back the same; read by workers, HTTP and
 * people. At most `max` are kept: the oldest go first, where one that healed counts as younger, and
 * one that was done again with success younger still.
 *
 * A memory is stored as a ModelExchange: `answer` its signature, `subject` the incident in short
 * with what was tried, `diagnosis.recalled[0]` what a recall gives back.
 */
#ifndef REASONER_MEMORY_H
#define REASONER_MEMORY_H

#include "common/store.h"
#include "common/wire.h"
#include "reasoner/memory/vector.h"

enum {
	MEMORY_MAX_DEFAULT = 100000,
	MEMORY_STEPS_MAX_BYTES = 32 << 10, /* of steps that are kept for doing them again */
	MEMORY_RECALLED_MAX_BYTES = 64
				    << 10, /* of all steps in one answer: it fits into a message */
	MEMORY_CANDIDATES = 64,            /* that are compared term by term */
};

extern const struct store_table table_memories;      /* number -> packed ModelExchange */
extern const struct store_table table_memory_terms;  /* number -> terms */
extern const struct store_table table_memory_places; /* incident -> struct memory_place */
extern const struct store_table table_memory_ranks; /* rank, number: the first is forgotten first */
extern const struct store_table table_memory_counter; /* "memories" -> struct memory_counter */

/* For the fold's list of tables. */
#define MEMORY_TABLES                                                                              \
	&table_memories, &table_memory_terms, &table_memory_places, &table_memory_ranks,           \
		&table_memory_counter

/* Everything is borrowed for the call. */
struct memory_entry {
	const Healbus__Incident *incident;   /* with `tried` */
	const Healbus__Diagnosis *diagnosis; /* the latest; NULL when there was none */
	const Healbus__Plan *plan;           /* the latest; NULL when it is not known any more */
	bool healed;                         /* by this plan */
	int64_t at_ms;                       /* fold time */
	size_t max;                          /* 0: MEMORY_MAX_DEFAULT */
};

/* Remembers an incident, in place of what was remembered of it before, and forgets what is too
 * much. 0, ERR_INVALID (the entry would not pass wire_check; nothing was written) or what the store
 * says. */
int memory_note(struct store_txn *txn, const struct memory_entry *m);

/* What this incident's memory advised was done again, and did it help? Unknown ones are fine. */
int memory_used(struct store_txn *txn, const char *incident, bool helped);

size_t memory_count(struct store_txn *txn);

/* ---- recall ---- */

/* Rows of all memories, for comparing: some 530 bytes each. One thread's; it follows the store when
 * it is used. Zeroed is valid; release frees. */
struct memory_index {
	struct frequencies frequencies;
	int8_t *rows;
	float *inverse_norms;
	uint64_t *numbers; /* rising */
	size_t n, cap;
	size_t weighed;   /* documents when the frequencies were last taken */
	uint64_t next;    /* first number not seen */
	uint64_t removed; /* of the counter, when it was built */
};
void memory_index_release(struct memory_index *index);

struct memory_query {
	const Healbus__Incident
		*incident; /* looked for; its own memory is not found. Or NULL, and: */
	const char *text;  /* what a person typed */
	const Healbus__Diagnosis *diagnosis; /* of the incident; may be NULL */
	size_t k;                            /* at most WIRE_RECALLED_MAX; 0: that many */
	double least;                        /* similarity below which nothing is given */
	struct memory_index *index;          /* the thread's; NULL: one is made for this call */
};

/*
 * The k most alike, best first (of equals: the healed, then the later), in the arena. All rows are
 * compared by cosine; the best MEMORY_CANDIDATES once more by their own terms with the frequencies
 * of the index. Steps of the least alike are left out when all together are over
 * MEMORY_RECALLED_MAX_BYTES. 0, ERR_TOO_LARGE (arena full) or what the store says.
 */
int memory_recall(struct store_txn *txn, const struct memory_query *q, struct arena *arena,
		  Healbus__Recalled ***out, size_t *out_n);

/* The latest, newest first, at most max, as they are stored. */
int memory_latest(struct store_txn *txn, size_t max, struct arena *arena,
		  Healbus__ModelExchange **out, size_t *out_n);
/* The first with a number of at least `from`; numbers rise with time and have gaps. 0 or
 * ERR_NOT_FOUND. */
int memory_next(struct store_txn *txn, uint64_t from, uint64_t *out_number, struct arena *arena,
		Healbus__ModelExchange **out);
/* The incident whose id starts so; ERR_NOT_FOUND also when there are several. */
int memory_find(struct store_txn *txn, const char *prefix, char out[static TOKEN_MAX + 1]);
/* Of one incident. 0 or ERR_NOT_FOUND. */
int memory_of(struct store_txn *txn, const char *incident, struct arena *arena,
	      Healbus__ModelExchange **out);

#endif
