/* A growing list of short texts for people: reasons, rendered steps. */
#ifndef EXECUTOR_LINES_H
#define EXECUTOR_LINES_H

#include "common/base.h"

struct lines {
	char **items;
	size_t n;
};

#define auto_lines __attribute__((cleanup(lines_release))) struct lines

void lines_release(struct lines *l);
/* printf; each line is cut at WIRE_REASON_MAX bytes. */
void lines_add(struct lines *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Appends unless an equal line is there already. */
void lines_add_once(struct lines *l, const char *text);
/* "a; b; c" cut at max bytes; caller frees. */
char *lines_join(const struct lines *l, size_t max) WARN_UNUSED;

#endif
