/*
 * jq expressions and {{ jq }} templates: the one language for predicates, mappings and messages.
 * The only user of jq.h. Compiled once (about 14 ms), run often (microseconds). Input is data:
 * nothing from outside is ever compiled. No file, environment or module access ($ENV, env, input,
 * import are refused at compile time). Layer 1.
 *
 * Bounds: a thread of the process (started with the first evaluation) halts libjq when an
 * evaluation has used EXPR_TIME_MAX_MS of CPU time; single built-ins are bounded by the size of the
 * input only. Outputs are counted and measured. Refused at compile time: what reads anything but
 * the input or depends on time or machine (now, localtime; dates from the input are fine), what
 * acts on the process (halt, debug), and while, until, repeat, recurse with a function. A field or
 * key of such a name is fine, but {env} must be written {env: .env}. Numbers are doubles: exact up
 * to 2^53.
 */
#ifndef COMMON_EXPR_H
#define COMMON_EXPR_H

#include "common/buf.h"
#include "common/err.h"

#include <jansson.h>

enum {
	EXPR_SOURCE_MAX_BYTES = 16384,
	EXPR_OUTPUTS_MAX = 10000,
	EXPR_OUTPUT_MAX_BYTES = 1 << 20,
	EXPR_TIME_MAX_MS = 200,
};

struct expr;

/* ERR_CONFIG with jq's message. An expression is used by one thread at a time (libjq keeps state in
 * it). */
int expr_compile(const char *source, struct expr **out, struct why *out_why);
void expr_free(struct expr *e);
const char *expr_source(const struct expr *e);

/*
 * First output for this input, as a new reference; *out is NULL when there was none.
 * ERR_INVALID with jq's runtime message, ERR_TIMEOUT, ERR_TOO_LARGE.
 */
int expr_eval(struct expr *e, const json_t *input, json_t **out, struct why *out_why);

/* All outputs as a JSON array. */
int expr_eval_all(struct expr *e, const json_t *input, json_t **out_array, struct why *out_why);

/* jq truth of the first output: neither false nor null. A runtime error is false with the error
 * code returned. */
int expr_test(struct expr *e, const json_t *input, bool *out, struct why *out_why);

struct template;

/* Text with {{ jq }} parts; "{{{{" is a literal "{{". ERR_CONFIG. */
int template_compile(const char *source, struct template **out, struct why *out_why);
void template_free(struct template *t);
bool template_is_constant(const struct template *t);
/* The expression of a template that is one {{ jq }} and nothing else; NULL: it is text. Borrowed.
 */
struct expr *template_expr(const struct template *t);

/*
 * Appends the rendered text: strings as they are, other values as compact JSON, null and "no
 * output" as "". What a value contains is never looked at again: a label with {{ in it stays text.
 */
int template_render(struct template *t, const json_t *input, struct buf *out, struct why *out_why);

#endif
