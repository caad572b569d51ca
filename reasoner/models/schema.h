/*
 * JSON Schema, the part that we ask models with: type (a name or a list of names), properties,
 * required, additionalProperties (true or false), items, enum, minLength, maxLength (in
 * characters), minimum, maximum, minItems, maxItems; title and description say nothing here. Pure;
 * any thread.
 */
#ifndef REASONER_MODELS_SCHEMA_H
#define REASONER_MODELS_SCHEMA_H

#include <jansson.h>

#include "common/err.h"

enum { SCHEMA_DEPTH_MAX = 16 };

/* 0, or ERR_INVALID when a schema is not of that part, with the path. An unknown keyword is an
 * error, since nothing would hold answers to it. */
int schema_check(const json_t *schema, struct why *out_why);

/* 0, or ERR_SCHEMA with the path of the first thing that is wrong, e.g. "steps[2].tool: missing".
 * A keyword that is not well formed holds no value to anything: check the schema first. */
int schema_validate(const json_t *schema, const json_t *value, struct why *out_why);

/* Every object in it forbids further properties and requires all that it has: what OpenAI's strict
 * mode wants. */
bool schema_is_closed(const json_t *schema);

/* A new copy without minLength and maxLength, which strict mode refuses. */
json_t *schema_without_lengths(const json_t *schema);

#endif
