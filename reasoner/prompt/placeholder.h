/*
 * Abstracts words of outsiders before a model sees them, as logs are templated: structure that
 * tools print stays, free text becomes a typed placeholder (<MSG_3>, <PATH_1>, <HOST_1>, <URL_1>,
 * <USER_1>, <B64_1>, <NAME_1>, <WORD_1>, <TEXT_1>, <TAG_1>). One table for each question: the same
 * value has the same placeholder everywhere in it, and only people (and edits, for what stands in
 * the repository itself) see the value again.
 *
 * The rule is a closed vocabulary, not a list of attacks: a clause survives when each of its words
 * is one that compilers and test programs use in diagnostics (the list has no verb that commands),
 * or has the shape of an identifier, path, number or code. So a sentence in any language, by
 * whatever trick of writing, becomes a placeholder. In code only comments, strings and bare prose
 * are abstracted; what is left of it is quoted as data (reasoner/prompt/prompt.h).
 *
 * Linear in the text; deterministic. One thread.
 */
#ifndef REASONER_PLACEHOLDER_H
#define REASONER_PLACEHOLDER_H

#include "common/buf.h"
#include "common/err.h"

enum text_kind {
	TEXT_LOG,   /* logs, stack traces, what tools print: by clause */
	TEXT_CODE,  /* source, diffs: comments, strings and bare prose only */
	TEXT_PROSE, /* messages, titles, comments, descriptions: one placeholder for the whole */
	TEXT_NAME,  /* branch, file, container, label's value: kept when it is a plain name */
	TEXT_KINDS,
};

enum restore {
	RESTORE_PEOPLE, /* everything; what is no placeholder of ours stays */
	RESTORE_EDITS,  /* only what stands in the repository's code, and names; others are refused
			 */
	RESTORE_PARAM,  /* the text is one whole placeholder of a name, or has none */
};

struct placeholders;

/* nonce: at most 32 characters [A-Za-z0-9], unpredictable for outsiders; names the fences of quoted
 * data. NULL or "": "0". */
struct placeholders *placeholders_new(const char *nonce);
void placeholders_free(struct placeholders *p);
const char *placeholders_nonce(const struct placeholders *p);
size_t placeholders_count(const struct placeholders *p);

/* Words of this code are identifiers: alone among words of a diagnostic they stay. Call it before
 * the logs are abstracted. */
void placeholders_know(struct placeholders *p, const char *code, size_t len);

/* Appends the abstracted text. Bytes that are no UTF-8 end in a placeholder, too. */
void placeholders_abstract(struct placeholders *p, enum text_kind kind, const char *text,
			   size_t len, struct buf *out);

/* Appends text with values for placeholders. RESTORE_PEOPLE never fails. ERR_DENIED: a placeholder
 * that may not be restored there, or that nobody gave. */
int placeholders_restore(const struct placeholders *p, const char *text, enum restore where,
			 struct buf *out, struct why *out_why);

#endif
