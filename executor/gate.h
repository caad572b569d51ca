/* What must hold before an act may start: no pause, the locks, enough healthy members, the rates.
 */
#ifndef EXECUTOR_GATE_H
#define EXECUTOR_GATE_H

#include "common/base.h"

#include <pthread.h>

#include "executor/executor.h"

enum { HELD_MAX = 2 };

/* Locks held while one action is under way. */
struct held {
	const struct executor *ex;
	struct lock *plan; /* renewed along with the others */
	struct lock locks[HELD_MAX];
	size_t n;
	char value[128];
};

/* 0, ERR_BUSY when paused (by whom is in out_why), or an error: cannot tell, so nothing starts. */
int gate_pause(const struct executor *ex, struct why *out_why);
/* The two halves of it around bus_ask. */
void gate_ask_pause(struct bus_ask *out);
int gate_answer_pause(struct bus_ask *ask, struct why *out_why);

/* All gates of a changing action. ERR_BUSY: not now, *out_wait_ms says when to ask again. On
 * success the caller lets go with gate_leave. */
int gate_enter(struct plan_run *run, const struct slot *slot, struct held *out,
	       int64_t *out_wait_ms, struct why *out_why);
void gate_leave(struct held *held);
/* Lets go of the locks that an earlier life of this executor still has for this act, so that nobody
 * waits until they expire. What others hold stays theirs. */
void gate_clear(const struct plan_run *run, const struct slot *slot);

/* Monotonic time since when all locks are held for certain; INT64_MAX: there are none. */
int64_t gate_held_since(const struct held *held);
/* Was every lock renewed within LOCK_KILL_MS? Asks nobody: the very last look before an act. */
bool gate_holds(const struct held *held);
/* For struct run_limits: renews in time; false once a lock could not be renewed for LOCK_KILL_MS.
 */
bool gate_tick(void *held);
/* Calls gate_tick from a thread of its own until gate_keep_stop, for acts that cannot. */
struct keeper {
	struct held *held;
	pthread_t thread;
	int wake; /* eventfd */
};
int gate_keep(struct keeper *k, struct held *held);
void gate_keep_stop(struct keeper *k);

/* Renews now. 0, or the bus's error. */
int gate_renew(struct held *held, struct why *out_why);

/* Would acting on this target leave too few healthy members of its group? 0, ERR_BUSY. Runs the
 * members' checks, so it may block for several seconds. */
int health_check(const struct executor *ex, const struct target *target, struct why *out_why);

#endif
