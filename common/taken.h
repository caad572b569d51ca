/*
 * Which deliveries a process has in hand, in a file that outlives it. The server gives a dead
 * worker's deliveries to others only when ack_wait has passed; a process that is started again
 * takes up its own at once, which also is where its journal knows how they went. Layer 1.
 *
 * The file is a hint: never synced, and each row is checked when it is read. Without it, or with a
 * wrong one, everything is right and slower; handlers cope with seeing a message twice. Any thread.
 */
#ifndef COMMON_TAKEN_H
#define COMMON_TAKEN_H

#include "common/err.h"

enum {
	TAKEN_REPLY_MAX = 176,
	TAKEN_ROWS_MAX = 1 << 16,
	TAKEN_TRIES = 3, /* lives that take a row up; should it be what kills them, it must wait */
};
#define TAKEN_NONE SIZE_MAX

struct taken;

/* Opens or makes dir/taken-<consumer> with room for so many deliveries at once. ERR_BUSY: another
 * process has it; ERR_UNAVAILABLE: the disk will not. */
int taken_open(const char *dir, const char *consumer, size_t rows, struct taken **out,
	       struct why *out_why);
void taken_close(struct taken *t);

/* Notes a delivery by what its acknowledgement goes to; the row to drop once it is settled, or
 * TAKEN_NONE when there is no room, or t is NULL. */
size_t taken_put(struct taken *t, const char *reply);
void taken_drop(struct taken *t, size_t row); /* TAKEN_NONE is fine */

/* One that an earlier process left, each once; its row stays until it is dropped. False: no more,
 * or t is NULL. */
bool taken_next(struct taken *t, char out_reply[static TAKEN_REPLY_MAX], size_t *out_row);
/* How many of them there were. */
size_t taken_left(const struct taken *t);

#endif
