/* The inside of a running stage, for stage*.c only. */
#ifndef COMMON_STAGE_PRIVATE_H
#define COMMON_STAGE_PRIVATE_H

#include "common/stage.h"
#include "common/clock.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/secret.h"
#include "common/systemd.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

enum {
	EXIT_STOPPED = 0,
	EXIT_USAGE = 64,
	EXIT_REFUSED = 69,
	EXIT_INTERNAL = 70,
	EXIT_LOCKED = 75,
	EXIT_CONFIG = 78,
};

/*
 * Slots (stage_slot.c): which of the stage's processes this is. With `slots: true` by a lock on
 * <state_dir>/slot-<n>, held for life: whoever dies frees it, and it is taken up, with what lies in
 * it, by the process that is started in its place or by one that stood by.
 */
struct stage_slot {
	int fd;
	bool shared;
	unsigned n, of;    /* partition p is ours when p % of == n */
	unsigned replicas; /* for people */
	atomic_bool standing_by;
};

/*
 * Owners (stage_owner.c): one process reads a fold's input and puts out what comes of it, even
 * where two want to (an old and a new process in a rolling change, two volumes, one configuration
 * used twice). The claim on a fold lies in CLAIM, written by compare-and-set; that its owner lives,
 * in LIVE, which forgets after LIVE_TTL_MS. A claim is taken over when its owner gave it back, when
 * he is certainly dead (an earlier process on the same folder and host, a process number that this
 * kernel does not have), or when LIVE has forgotten him. The other stands by.
 *
 * What holds. An owner counts its last beat from before it was sent, by a clock that runs on while
 * the process is stopped; after STAGE_FENCE_MS it neither applies nor sends, and only a claim
 * renewed by compare-and-set lets it go on: a beat that came late has begun a new term, and claims
 * of an earlier term count for nothing. So two processes never both own a fold, as long as clocks
 * run at the same rate to within (LIVE_TTL_MS - STAGE_FENCE_MS) of ten seconds, the servers' (of
 * which one forgets and another may have written) included. A taker makes the consumer anew, so a
 * former owner reads nothing more.
 *
 * What is left. A process stopped between looking at the clock and the write of one output, and
 * what lay in its socket when the network was cut: that output reaches the bus late. It was made
 * from input that the new owner reads as well; from the same state and configuration comes the same
 * output, and the stream stores an id once in its duplicate window (24 h on STORY). Outputs older
 * than that are looked up on STORY before they are said again (stage_fold_bus.c). So the one way to
 * two different words about one message is a process stopped at that instruction whose
 * configuration or state (EVENTS aged out under it) was another than its successor's.
 */
struct stage_life {
	pthread_t thread;
	bool running;
	atomic_bool over;
	pthread_mutex_t lock;         /* one beat at a time */
	uint64_t revision;            /* of the last beat; guarded */
	_Atomic int64_t beat_mono_ms; /* when the last that the bus took was sent; 0: none yet */
	_Atomic uint64_t term;        /* begins anew when LIVE may have forgotten us */
};
enum { STAGE_FENCE_MS = 7000 };

struct fold_loop;
struct effect_pool;
struct stage_snapshot;
struct stage_pulse;

/* What the service manager was told; the main thread's own. */
struct stage_service {
	struct systemd systemd;
	bool ready;         /* READY=1 was taken */
	bool told;          /* the last word was taken */
	bool alive;         /* as it was told */
	int64_t at_mono_ms; /* of the last word */
};

struct stage {
	const struct stage_def *def;
	const char *config_dir;
	struct bus *bus;
	char boot[ID_BYTES];
	char instance[96];
	void *data;
	pthread_t main_thread;
	atomic_bool stopping;
	atomic_int exit_code;
	int stop_fd;          /* readable once stopping */
	pthread_mutex_t lock; /* guards the snapshot */
	sem_t applying;       /* folds in fold_apply */
	struct stage_snapshot *config;
	struct stage_slot slot;
	struct stage_life life;
	struct fold_loop **folds;
	size_t n_folds;
	struct effect_pool **effects;
	size_t n_effects;
	pthread_t *own_threads;
	size_t n_own_threads;
	struct stage_pulse *pulses;
	struct stage_service service;
	struct http_server *http;
	struct http_route *routes;
	struct secret token_text; /* what tokens point into */
	struct secret *tokens;
	size_t n_tokens;
};

/* stage.c: ends the process with this exit code, after the usual drain. */
void stage_fail(struct stage *s, int exit_code);
int stage_make_dir(const char *dir, struct why *out_why);
pthread_t stage_spawn(const char *name, void *(*run)(void *), void *arg);
/* True when the thread has ended, joined. */
bool stage_try_join(pthread_t t);
/* The calling thread is one of the background. */
void stage_background(const struct stage *s);

/* stage_cli.c: what the command line asks for; the exit code, or -1 to run. */
struct stage_cli {
	const char *config_dir;
	const char *print; /* of --print-config and --example-config: "", "bus" */
	bool check, print_config, example, healthy;
	char **rest;
	int n_rest;
};
int stage_cli_parse(const struct stage_def *def, int argc, char **argv, struct stage_cli *out);
int stage_cli_answer(const struct stage_def *def, const struct stage_cli *cli);

/* stage_hash.c: prints name, state hash and last sequence of each fold that has a state; the exit
 * code. The stage must not be running. */
int stage_hash(const struct stage_def *def, const char *config_dir);

/* stage_healthy.c: asks the stage of this configuration, running on this machine, whether it is
 * ready, and prints its answer (reasons on stderr when there is none); 0 ready, 1 not, 78
 * configuration. Blocks up to three seconds. */
int stage_healthy(const struct stage_def *def, const char *config_dir);

/* stage_config.c */
const char *stage_environment(const char *name);
int stage_config_load(const struct stage_def *def, const char *dir, struct stage_snapshot **out,
		      struct why *out_why);
void stage_snapshot_free(const struct stage_def *def, struct stage_snapshot *c);
const void *stage_snapshot_values(const struct stage_snapshot *c);
struct stage_config *stage_snapshot_own(struct stage_snapshot *c); /* not yet shared */
void stage_config_swap(struct stage *s, struct stage_snapshot *c);

/* stage_slot.c */
int stage_slot_check(const struct stage_def *def, const struct stage_config *c,
		     struct why *out_why);
/* Blocks while all are taken. ERR_CLOSED: one of the signals, which are blocked, asked us to end.
 */
int stage_slot_take(struct stage *s, const sigset_t *signals, struct why *out_why);
void stage_slot_release(struct stage *s);
/* Turns a configuration as loaded into this process's. */
void stage_slot_apply(const struct stage *s, struct stage_config *c);
uint32_t stage_slot_partitions(const struct stage *s); /* bit set */

/* stage_owner.c. Nothing where the stage has no fold. */
void stage_life_start(struct stage *s);
bool stage_life_joined(struct stage *s); /* asks it to end, too: nothing else is at work */
void stage_life_end(struct stage *s);    /* the threads have ended */

/* stage_fold.c */
int stage_folds_open(struct stage *s, struct why *out_why);
void stage_folds_start(struct stage *s);
bool stage_folds_joined(struct stage *s);
void stage_folds_close(struct stage *s);
/* Adds one reason a line for each fold that is not ready. */
void stage_folds_ready(struct stage *s, struct buf *reasons);
void stage_folds_measure(struct stage *s);
bool stage_folds_stand_by(const struct stage *s);
/* The first fold is ours, and reads. */
bool stage_folds_reading(const struct stage *s);

/* stage_effect.c */
int stage_effects_open(struct stage *s, struct why *out_why);
void stage_effects_start(struct stage *s);
bool stage_effects_joined(struct stage *s);
void stage_effects_close(struct stage *s);
void stage_effects_ready(struct stage *s, struct buf *reasons);

/*
 * stage_service.c. Each thread of the skeleton that turns without end has a pulse, which says when
 * it began its last turn. A turn waits for at most a second or two, idle or not, and also while the
 * bus is away: so who has not turned for long hangs. Handlers of effects have deadlines of
 * their own, and are not looked at while they run.
 */
enum {
	STAGE_TURN_MS = 2500,   /* two turns that only wait */
	STAGE_HUNG_MS = 120000, /* after which /healthz says so */
};
/* While the stage is opened; freed with it. */
struct stage_pulse *stage_pulse_new(struct stage *s, const char *name);
void stage_pulse(struct stage_pulse *p);
void stage_pulse_rest(struct stage_pulse *p); /* until the next stage_pulse */
void stage_pulses_free(struct stage *s);
/* Whether each turned within limit_ms; adds one reason a line. Any thread. */
bool stage_alive(struct stage *s, int64_t limit_ms, struct buf *reasons);
/* Before threads. */
void stage_service_open(struct stage *s);
/* Tells systemd READY=1 once /readyz would say so, then WATCHDOG=1 while all threads turn. Returns
 * in how many ms it wants to be called again; INT64_MAX: there is no systemd. Main thread. */
int64_t stage_service_turn(struct stage *s);
void stage_service_reloading(struct stage *s, bool begins);
void stage_service_stopping(struct stage *s);
void stage_service_close(struct stage *s);

/* stage_health.c */
/* Why the stage is not ready, one reason a line; nothing: it is. Any thread. */
void stage_reasons(struct stage *s, struct buf *reasons);
int stage_http_open(struct stage *s, struct why *out_why);
void stage_http_close(struct stage *s);

extern struct metric stage_messages, stage_batches, stage_lag, stage_outbox, stage_store_percent,
	stage_effect_seconds, stage_retries, stage_dead, stage_bus_connected, stage_resets;

#endif
