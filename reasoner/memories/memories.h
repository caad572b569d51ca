/*
 * Other memories: stores by HTTP that are told what the built-in memory learns, and asked beside
 * it. A kind is one file and one row in memories.c. What they answer is outside words: it never
 * brings steps, and its failure is a line for people, never an error.
 */
#ifndef REASONER_MEMORIES_MEMORIES_H
#define REASONER_MEMORIES_MEMORIES_H

#include "common/http_client.h"
#include "reasoner/memory/memory.h"
#include "reasoner/memory/memory_config.h"

/* The worker's. Lines are in the arena. */
struct memories {
	const struct memory_config *config;
	struct http_client *http;
	struct arena *arena;
	char *missing[WIRE_SOURCES_MAX]; /* "memory chroma: timed out"; for Diagnosis.missing */
	size_t n_missing;
};

/* Asks every store, and merges into the list (of at most q->k) what is not in it: most alike first.
 * The list is replaced; without stores nothing happens. Blocks up to the sum of their timeouts, so
 * not within a transaction. */
void memories_recall(struct memories *m, const struct memory_query *q, Healbus__Recalled ***io,
		     size_t *io_n);
/* Tells one store. Telling it again does no harm. memory: as memory.h reads it. */
int memories_put(struct memories *m, const struct memory_store *store,
		 const Healbus__ModelExchange *memory, struct why *out_why);

/* ---- for kinds ---- */

struct memory_vector {
	float *v; /* of length 1 */
	size_t n;
};

struct memory_text {
	const char *incident; /* NULL: a question */
	const char *text;     /* memory_text_of() */
	struct memory_vector vector;
	size_t k;
};

struct memory_answer {
	const char *text;
	double similarity;
};

struct memory_call {
	const struct memory_store *store;
	struct http_client *http;
	struct arena *arena;
	struct why *why;
};

struct memory_store_kind {
	const char *name;
	bool vectors; /* wants them */
	int (*put)(const struct memory_call *c, const struct memory_text *t);
	/* At most t->k; texts in the call's arena. */
	int (*ask)(const struct memory_call *c, const struct memory_text *t,
		   struct memory_answer *out, size_t *out_n);
};

extern const struct memory_store_kind memory_chroma;
extern const struct memory_store_kind memory_openmemory;

const struct memory_store_kind *memory_kind_find(const char *name);

/* POSTs JSON and reads JSON; takes the body's reference. *out is the caller's, NULL when the answer
 * is empty. */
struct memory_post {
	const char *url, *token_file, *ca_file;
	int64_t timeout_ms;
	json_t *body;
};
int memory_post(struct http_client *http, const struct memory_post *post, json_t **out,
		struct why *out_why);

/* The vector of a signature; from the API when one is configured. In the arena. */
int memory_embed(const struct memories *m, const char *signature, struct memory_vector *out,
		 struct why *out_why);

#endif
