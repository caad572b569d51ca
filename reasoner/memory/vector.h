/*
 * Signatures as vectors. A signature becomes a short list of weighted terms (words, pairs of words
 * and letter groups, each a hash): that is what is stored, since it never grows old. How much a
 * term says (its inverse document frequency) is looked up when vectors are made for comparing: into
 * VECTOR_DIM small integers by signed hashing, so that a hundred thousand of them are compared in
 * one pass over 50 MB. Pure. Any thread.
 *
 * Terms are integers computed with integers: the same on every machine.
 */
#ifndef REASONER_VECTOR_H
#define REASONER_VECTOR_H

#include "common/base.h"

enum {
	VECTOR_DIM = 512,
	TERMS_MAX = 384,             /* of one signature: words first, then pairs, then letters */
	FREQUENCY_BUCKETS = 1 << 17, /* terms that share one count as one: 512 KiB of counts */
};

/* Sorted by hash, each once. Weight: how often and where it stands, in sixteenths. */
struct terms {
	size_t n;
	uint32_t hash[TERMS_MAX];
	uint8_t weight[TERMS_MAX];
};

/* Of a signature (signature.h). */
void terms_of(const char *signature, struct terms *out);

/* How many signatures have a term. Zeroed is valid and empty; release frees. */
struct frequencies {
	uint32_t *count; /* FREQUENCY_BUCKETS, NULL while empty */
	float *idf;      /* of frequencies_weigh */
	size_t documents;
};
void frequencies_add(struct frequencies *f, const struct terms *t);
/* Takes the present counts for what follows. */
void frequencies_weigh(struct frequencies *f);
void frequencies_release(struct frequencies *f);

/* One row: integers of -127..127, and what makes its length 1. */
struct vector {
	int8_t v[VECTOR_DIM];
	float inverse_norm;
};
void vector_of(const struct terms *t, const struct frequencies *f, struct vector *out);

/* Exact cosine of the weighted terms themselves, 0-1: what the rows approximate. */
double terms_cosine(const struct terms *a, const struct terms *b, const struct frequencies *f);

struct hit {
	uint32_t row;
	float cosine;
};
/* The best of n rows by cosine, best first, of equals the later row; returns how many, at most max.
 * Rows with inverse_norms of 0 are passed over. */
struct vector_rows {
	const int8_t *rows; /* n * VECTOR_DIM */
	const float *inverse_norms;
	size_t n;
};
size_t vector_best(const struct vector_rows *rows, const struct vector *query, struct hit *out,
		   size_t max);

#endif
