/* What placeholder.c (table, names, restoring), placeholder_words.c, placeholder_log.c and
 * placeholder_code.c share. */
#ifndef REASONER_PLACEHOLDER_PRIVATE_H
#define REASONER_PLACEHOLDER_PRIVATE_H

#include "reasoner/prompt/placeholder.h"

enum ph_type {
	PH_MSG,
	PH_TEXT,
	PH_WORD,
	PH_NAME,
	PH_PATH,
	PH_HOST,
	PH_URL,
	PH_USER,
	PH_B64,
	PH_TAG,
	PH_TYPES
};

struct span {
	const char *s;
	size_t n;
};

/* Sets of words: the vocabulary is one, what the repository's code holds another. */
enum word_mark {
	WORD_DIAGNOSTIC = 1,
	WORD_KEYWORD = 2,
	WORD_TRIGGER = 4,
	WORD_CODE = 8,
	WORD_COMMAND = 16,
	WORD_DETERMINER = 32,
	WORD_WRONG = 64,
	WORD_JOIN = 128
};

struct vocabulary;
struct vocabulary *vocabulary_new(void); /* with the vocabulary, the keywords and the triggers */
void vocabulary_free(struct vocabulary *w);
void vocabulary_mark(struct vocabulary *w, struct span word, unsigned mark);
/* Marks of the word, whatever its case; 0 when unknown. */
unsigned vocabulary_get(const struct vocabulary *w, struct span word);

/* Few words, and hardly one that commands: at most `most` in each part between slashes. */
bool words_are_plain(const struct vocabulary *w, struct span name, size_t most);
/* The same, of characters that names have. */
bool name_is_plain(const struct vocabulary *w, struct span name, size_t most);
/* Looks like base64 or hexadecimal digits of something. */
bool looks_encoded(struct span token);
/* Has characters that lie, or shows them as escapes. */
bool has_hidden(struct span text);
/* Has characters outside ASCII that are letters, or lie. Arrows, boxes and quotes are fine. */
bool has_foreign(struct span text);
/* Natural language, or something that hides: for a comment or string in code. */
bool text_speaks(const struct vocabulary *w, struct span text);

struct placeholders {
	char nonce[33];
	struct vocabulary *words;
	struct ph_entry **buckets;
	size_t n_buckets, n_entries;
	struct ph_entry **by_type[PH_TYPES];
	size_t n_by_type[PH_TYPES], cap_by_type[PH_TYPES];
	bool in_code; /* what is added now stands in the repository's code */
	char quote;   /* code: inside a text of several lines that ends with three of these */
	bool block;   /* code: inside a comment of several lines */
	bool prose;   /* code: the file of the diff is prose */
	bool spoke;   /* code: prose stood on this line, so what follows is prose sooner */
};

/* Appends the placeholder of the value. */
void ph_add(struct placeholders *p, enum ph_type type, struct span value, struct buf *out);

void abstract_log(struct placeholders *p, struct span text, struct buf *out);
void abstract_code(struct placeholders *p, struct span text, struct buf *out);
/* One line of code, without its end. */
void abstract_code_line(struct placeholders *p, struct span line, struct buf *out);

#endif
