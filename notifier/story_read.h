/* What the index of a story says, and the messages it points to, read back from the bus. */
#ifndef NOTIFIER_STORY_READ_H
#define NOTIFIER_STORY_READ_H

#include "notifier/api.h"

enum { STORY_MAX = 2000 };

/* One message of a story. */
struct entry {
	uint64_t seq;
	struct story_row row;
};

struct entries {
	struct entry *items;
	size_t n, cap;
	uint64_t after; /* only what comes after this sequence */
};

void entries_add(struct entries *all, const struct entry *e);
void entries_release(struct entries *all);
/* Adds those of an incident, in stream order, up to STORY_MAX in all. */
void story_entries(struct store_txn *txn, const char *incident, struct entries *all);
/* The message at seq as JSON; NULL when the stream no longer has that very message. Blocks for a
 * bus request; resets the call's arena. id_hash NULL: whichever message is there. */
json_t *story_message(struct api_call *call, uint64_t seq, const uint64_t *id_hash,
		      struct why *out_why);

#endif
