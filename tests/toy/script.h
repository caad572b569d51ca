/*
 * Messages for the toy fold, and what it made of them. For cmocka programs.
 */
#ifndef TESTS_TOY_SCRIPT_H
#define TESTS_TOY_SCRIPT_H

#include "common/fold.h"

enum { START_MS = 1700000000, RETAIN_MS = 130000 };

/* Setup and teardown: a directory for the folds of one test. */
int script_make_dir(void **state);
int script_drop_dir(void **state);
/* A toy fold (partition 3) in a directory of that name below it. */
struct fold *open_in(const char *name);

struct script {
	struct fold_message *msgs;
	size_t n;
};

/* Message m<n> with sequence n, on event.03.toy, at START_MS + at_ms. */
void script_add(struct script *s, const char *name, int64_t at_ms);
void script_release(struct script *s);
/* One batch: messages from..to-1. */
void apply_range(struct fold *f, const struct script *s, size_t from, size_t to);

/* The outbox as text: "<id> <cause> @<ms after START_MS> <title or error>" a line; free(). */
char *outbox(struct fold *f);

#endif
