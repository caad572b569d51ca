/* What providers and models said, made fit to use and to show. Pure; any thread. */
#ifndef REASONER_MODELS_ANSWER_H
#define REASONER_MODELS_ANSWER_H

#include "common/secret.h"
#include "reasoner/models/kind.h"

enum { ANSWER_ERROR_MAX_BYTES = 300 };

/* A provider's body as JSON, or ERR_SCHEMA with what it is instead (cut short, no JSON, a page). */
int answer_body(const struct buf *body, json_t **out, struct why *out_why);

/*
 * The model's text as JSON that meets the schema. Around the JSON there may be white space and one
 * Markdown fence, nothing else. ERR_INVALID: no JSON, or cut short, or a key twice; ERR_SCHEMA: it
 * does not meet the schema; ERR_TOO_LARGE.
 */
int answer_json(const struct buf *text, const json_t *schema, json_t **out, struct why *out_why);

/* Adds what a provider says went wrong, on one line, printable and at most ANSWER_ERROR_MAX_BYTES.
 */
void answer_error(const struct buf *body, struct buf *out);

/* Wherever the key stands in what came from outside, asterisks take its place. */
void answer_hide(struct buf *text, const struct secret *key);

#endif
