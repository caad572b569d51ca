/*
 * Vendors count what a message may hold, each in its own unit: characters, or units of UTF-16. Text
 * is UTF-8; borders are those of characters, so that nothing is torn. Pure.
 */
#ifndef NOTIFIER_CHANNELS_FIT_H
#define NOTIFIER_CHANNELS_FIT_H

#include "common/buf.h"

enum fit_unit { FIT_CHARACTERS, FIT_UTF16 };

/* How many units the text has; a byte that is no UTF-8 counts as one. */
size_t fit_units(const char *s, size_t len, enum fit_unit unit);

/* Bytes of the longest beginning of at most `max` units; whole characters only. */
size_t fit_prefix(const char *s, size_t len, size_t max, enum fit_unit unit);

/*
 * Appends s, or its beginning and `mark` (which says that and where the rest is) when it has more
 * than max units. True when it was cut.
 */
bool fit_add(struct buf *out, const char *s, size_t max, const char *mark);

/*
 * The next part of a text for a message of at most `max` units of UTF-16: its length in bytes, cut
 * behind a line's end where the last half has one. 0 when len is 0.
 */
size_t fit_part(const char *s, size_t len, size_t max);

#endif
