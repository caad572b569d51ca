/*
 * Laying a stream anew from a backup: every message gets the sequence number that it had. For
 * `healctl restore`, by a user with the admin's rights. Layer 2. One thread.
 *
 * The stream must not be there. It is made so that its first message gets the number that it had
 * (an empty stream that is purged up to a number goes on from there: nats-server 2.9 and 2.10
 * alike), with the smallest duplicate window, since one that was filled in days and is filled again
 * in seconds holds the same id several times (a repeated alert keeps its id). Numbers that were
 * missing are filled and purged again. At the end it gets the configuration of the topic table,
 * which forbids purging for ever, and a description that tells when this was: a fold that has read
 * the stream that was lost refuses to go on with its state (stage_fold_bus.c).
 *
 * Each message is stored only if the one before it is the last one in the stream: whoever else
 * writes meanwhile makes this fail with ERR_CONFLICT, rather than shift what follows.
 *
 * What does not come back: the stream's own time stamps (messages are as old as the restore, for
 * retention; their own time is in their header, and that is the one that stages go by), and headers
 * that healbus does not know.
 */
#ifndef COMMON_BUS_LAY_H
#define COMMON_BUS_LAY_H

#include "common/bus.h"

enum {
	BUS_LAY_WINDOW_MS = 100, /* the smallest duplicate window that servers take */
	BUS_LAY_GAP_MAX = 1000000,
};

struct bus_lay;

/* name: of a stream in the topic table. first_seq: of the next message, whether it comes or not; at
 * least 1. ERR_EXISTS: the stream is there. */
int bus_lay_begin(struct bus *b, const char *name, uint64_t first_seq, struct bus_lay **out,
		  struct why *out_why);
/* Sequence numbers rise. Copies m; blocks while too many are under way. */
int bus_lay_add(struct bus_lay *l, uint64_t seq, const struct bus_msg *m, struct why *out_why);
/* Waits until all is stored, and makes it a stream like any other, whose next message gets the
 * number next_seq (0: the one behind the last). l is gone whatever it returns; NULL is fine. */
int bus_lay_end(struct bus_lay *l, uint64_t next_seq, struct why *out_why);
void bus_lay_drop(struct bus_lay *l);

#endif
