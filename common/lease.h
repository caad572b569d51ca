/*
 * Claims, target locks and liveness, on the three KV buckets: the only state shared between
 * executors. Layer 3. Any thread; each call blocks for at most BUS_REQUEST_TIMEOUT_MS.
 *
 * A claim says who may run a step, once: none -> claimed -> started -> done | unknown, each by
 * compare-and-set. *Started* is never run again, not even by its owner. A lock expires (30 s)
 * unless renewed; it keeps executors off one target and is not a fence: the claim is.
 *
 * Whoever crashed need not wait for its own locks to expire. A holder knows which locks its process
 * has; one on the bus that bears its owner's name and this host's, and that it does not know, is
 * held by nobody: by an earlier process of that owner, or by a call whose answer was lost. Owners
 * are one process at a time (they lock their state directory), so it is taken over, by
 * compare-and-set. Locks of others are left to expire, however dead they look: a process that is
 * only cut off goes on acting until LOCK_KILL_MS.
 *
 * What expires does so by the bus's clock: a key's time is set by the leader of its bucket, and
 * each node that has a copy drops it by its own clock. So where nodes' clocks differ by d, or a new
 * leader is ahead by d, a lock may go d early: up to LOCK_TTL_MS - LOCK_KILL_MS nobody acts on
 * beside its holder, and beyond that the claim still holds. A live executor may be taken for dead
 * from LIVE_TTL_MS - LIVE_BEAT_MS on; a step of his is then called unknown, never started again.
 * Claims know no clock. A claim is moved by the leader; what is read of one may be a replica's and
 * old, and then the move conflicts. Locks and lives are read from the leader.
 */
#ifndef COMMON_LEASE_H
#define COMMON_LEASE_H

#include "common/bus.h"
#include "common/buf.h"
#include "common/id.h"

enum claim_state { CLAIM_NONE, CLAIM_CLAIMED, CLAIM_STARTED, CLAIM_DONE, CLAIM_UNKNOWN };

enum {
	LOCK_TTL_MS = 30000, /* of the LOCK bucket, see topic.c */
	LOCK_RENEW_MS = 10000,
	LOCK_KILL_MS = 20000, /* without renewal for so long: the holder stops its action */
	LIVE_TTL_MS = 10000,
	LIVE_BEAT_MS = 3000,
	CLAIM_NOTE_MAX = 32 << 10,
};

struct claim {
	enum claim_state state;
	char owner[TOKEN_MAX + 1]; /* executor id */
	char boot[ID_BYTES];       /* that process */
	uint64_t revision;
	struct buf note; /* with CLAIM_DONE: the packed StepReport */
};

/* The time (ms, as decimal digits) at which this bus was made from a backup, as a key of the CLAIM
 * bucket; none: never. What was planned before may have been done without a trace, see recall.h. */
#define CLAIM_RESTORED "restored"

void claim_release(struct claim *c);
/* CLAIM_NONE with revision 0 when nobody ever claimed it. */
int claim_get(struct bus *b, const char *key, struct claim *out, struct why *out_why);
/* The two halves of claim_get around bus_ask. `key` is borrowed until then. */
void claim_ask(const char *key, struct bus_ask *out);
int claim_answer(struct bus_ask *ask, struct claim *out, struct why *out_why);
/* The same for a claim that nobody is expected to have: it becomes ours, as *wish says (owner and
 * boot), unless somebody ever claimed it: ERR_CONFLICT. The answer sets state and revision. `value`
 * is borrowed until then. */
enum { CLAIM_HEAD_MAX = 128 };
void claim_first_ask(const char *key, const struct claim *wish, char value[static CLAIM_HEAD_MAX],
		     struct bus_ask *out);
int claim_first_answer(const struct bus_ask *ask, struct claim *wish, struct why *out_why);
/* Moves the claim from what `c` was read as to `state`, owned by owner/boot. ERR_CONFLICT: somebody
 * was faster. On success c holds the new revision and state. */
int claim_advance(struct bus *b, const char *key, struct claim *c, enum claim_state state,
		  const char *owner, const char *boot, const void *note, size_t note_len,
		  struct why *out_why);

/* The same, with another question asked in the same round trip; NULL: none. */
int claim_advance_asking(struct bus *b, const char *key, struct claim *c, enum claim_state state,
			 const char *owner, const char *boot, struct bus_ask *other,
			 struct why *out_why);

/* Two claims, moved in one round trip. Either may succeed without the other; each that did holds
 * its new revision. 0, or the error of the first that did not. */
struct claim_pair {
	const char *first_key;
	struct claim *first;
	const char *second_key;
	struct claim *second;
};
int claim_advance_both(struct bus *b, const struct claim_pair *pair, enum claim_state state,
		       const char *owner, const char *boot, struct why *out_why);

/* Who takes locks: one a process. */
struct holder;
/* owner: its lasting id, guarded against a second process of that id; boot: this process. */
struct holder *holder_new(const char *owner, const char *boot);
void holder_free(struct holder *h);

enum { LOCK_VALUE_MAX = 320 };
struct lock {
	char key[TOKEN_MAX + 1];
	char value[LOCK_VALUE_MAX]; /* "1 <owner> <boot> <host> <text>" */
	uint64_t revision;
	int64_t renewed_mono_ms;
};
/* A call that times out may have taken the lock: the same holder may take it again.
 * ERR_BUSY with the other's text in out_why. text: what for and who, for people. */
int lock_acquire(struct bus *b, struct holder *h, const char *target, const char *text,
		 struct lock *out, struct why *out_why);
/* The two halves of it around bus_ask. Asking: ERR_BUSY when this process has it; else it must be
 * answered, and *l stays where it is until then. */
int lock_ask(struct holder *h, const char *target, const char *text, struct lock *l,
	     struct bus_ask *out, struct why *out_why);
int lock_answer(struct bus *b, struct holder *h, const struct bus_ask *ask, struct lock *l,
		struct why *out_why);
/* ERR_CONFLICT: it has expired, and somebody else may have it. */
int lock_renew(struct bus *b, struct lock *l, struct why *out_why);
/* Has this process it, or is it asking for it? */
bool lock_is_ours(struct holder *h, const char *target);
void lock_release_held(struct bus *b, struct holder *h, struct lock *l);
/* The same without a round trip, for a lock that nobody is going to take again soon. */
void lock_drop(struct bus *b, struct holder *h, struct lock *l);

/* Says that this boot lives; call every LIVE_BEAT_MS. */
int live_beat(struct bus *b, const char *boot, const char *owner, struct why *out_why);
/* 0 and *out; an error means "cannot tell", which is not "dead": also ERR_BUSY while our connection
 * is younger than LIVE_TTL_MS and the key is missing, for nobody could renew it while the bus was
 * away. */
int live_is_alive(struct bus *b, const char *boot, bool *out, struct why *out_why);

#endif
