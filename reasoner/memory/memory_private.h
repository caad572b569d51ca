/* Rows of the memory's tables. Shared by memory*.c. */
#ifndef REASONER_MEMORY_PRIVATE_H
#define REASONER_MEMORY_PRIVATE_H

#include "reasoner/memory/memory.h"

/* Stored as they are; zeroed before they are filled. */
struct memory_place {
	uint64_t number;
	int64_t rank_ms;
	uint64_t healed;
};

struct memory_counter {
	uint64_t next;    /* number of the next memory; never used twice */
	uint64_t removed; /* ever */
};

int memory_counter(struct store_txn *txn, struct memory_counter *out);
/* 0, ERR_NOT_FOUND, ERR_CORRUPT. */
int memory_load(struct store_txn *txn, uint64_t number, struct arena *arena,
		Healbus__ModelExchange **out);
/* A row of table_memory_terms: did it heal, the hashes, the weights. */
int memory_terms_read(const struct store_val *val, struct terms *out, bool *out_healed);

#endif
