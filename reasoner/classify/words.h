/*
 * Many literal words sought in one pass over a text, whatever the letters' case: an Aho-Corasick
 * automaton, as one table of transitions. It is the sieve before regular expressions: a line in
 * which no word of a rule occurs is never shown to the rule. Immutable after words_build, so any
 * number of threads may search at once.
 */
#ifndef REASONER_WORDS_H
#define REASONER_WORDS_H

#include "common/err.h"

enum {
	WORD_MIN_BYTES = 2,
	WORD_MAX_BYTES = 64,
	WORDS_STATES_MAX = 1 << 16, /* of the automaton: at most one for each byte of all words */
};

struct words;

struct words *words_new(void);
void words_free(struct words *w);
/* Whoever finds `text` finds `id`. ERR_INVALID: not WORD_MIN_BYTES to WORD_MAX_BYTES long;
 * ERR_TOO_LARGE: over WORDS_STATES_MAX. */
int words_add(struct words *w, const char *text, uint16_t id);
/* After the last word, once. */
void words_build(struct words *w);

/* Calls found() for every occurrence of every word in text, from left to right. */
void words_find(const struct words *w, const char *text, size_t len,
		void (*found)(void *ctx, uint16_t id), void *ctx);

#endif
