/* What the files of expr share. Private to expr*.c. Layer 1. */
#ifndef COMMON_EXPR_IMPL_H
#define COMMON_EXPR_IMPL_H

#include "common/expr.h"

#include <jq.h>

/* ERR_CONFIG when the expression uses what it may not: outside of string literals. */
int expr_scan(const char *source, struct why *out_why);
/* Offset of the "}}" that ends the expression at the beginning of s; SIZE_MAX when there is none.
 */
size_t expr_scan_end(const char *s);

/* An expression that needs no jq: a path, `path == "text"`, or `path // path or literal // ...`. */
enum { SIMPLE_NAMES_MAX = 8, SIMPLE_TERMS_MAX = 4 };
struct simple_term {
	char *names[SIMPLE_NAMES_MAX];
	size_t n_names;
	json_t *literal; /* instead of names */
};
struct simple {
	struct simple_term terms[SIMPLE_TERMS_MAX];
	size_t n_terms;
	struct simple_term equals; /* its literal is NULL: no comparison */
};
/* False: leave it to jq; *out is then zeroed. */
bool simple_parse(const char *source, struct simple *out);
void simple_release(struct simple *s);
/* As expr_eval; a new reference, never NULL on success. */
int simple_eval(const struct simple *s, const json_t *input, json_t **out, struct why *out_why);

/*
 * libjq looks at its `halted` flag before every instruction. One thread of the process sets it for
 * evaluations that have used up their time; it sleeps while there are none. The time is the
 * evaluating thread's CPU time: a busy machine must not change what an expression gives.
 */
struct expr_guard {
	jq_state *jq;
	clockid_t cpu_clock;
	int64_t cpu_start_ms;
	int64_t look_mono_ms; /* it cannot be over before */
	bool fired;
	struct expr_guard *next;
	struct expr_guard *prev;
};
/* Between the two, guard stays where it is; after the second, fired says what happened. */
void expr_guard_start(struct expr_guard *guard, jq_state *jq);
void expr_guard_stop(struct expr_guard *guard);

/* Conversions; jv owned by the caller. from: ERR_TOO_LARGE over *budget bytes. */
jv expr_jv_from_json(const json_t *json);
int expr_json_from_jv(jv value, size_t *budget, json_t **out);

#endif
