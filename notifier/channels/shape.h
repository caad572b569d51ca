/*
 * What a configuration says a request is made of: text with {{ jq }} parts, or a tree of them. A
 * string that is one {{ jq }} and nothing else becomes the value itself, of whatever type; others
 * become text. Input is data: nothing in it is compiled. A shape is used by one thread at a time.
 */
#ifndef NOTIFIER_CHANNELS_SHAPE_H
#define NOTIFIER_CHANNELS_SHAPE_H

#include "common/buf.h"
#include "common/err.h"

#include <jansson.h>

enum { SHAPE_LEAVES_MAX = 200, SHAPE_DEPTH_MAX = 16 };

struct shape;

/* From any JSON value; strings in it are templates, keys and everything else stay. ERR_CONFIG. */
int shape_compile(const json_t *source, struct shape **out, struct why *out_why);
void shape_free(struct shape *s);
/* A new reference. Errors as expr_eval has them. */
int shape_make(struct shape *s, const json_t *input, json_t **out, struct why *out_why);

/*
 * Appends the path that `source` (text with {{ jq }} parts, compiled as t) makes: what comes from
 * the input must not add to its structure. ERR_REJECTED: it has more or fewer of / ? # & = than the
 * source, or "." or ".." as a segment; `@uri` in the expression keeps it within its place.
 */
struct template;
int shape_path(const char *source, struct template *t, const json_t *input, struct buf *out,
	       struct why *out_why);

#endif
