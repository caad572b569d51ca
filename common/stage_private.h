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
#include <stdatomic.h>

enum {
	EXIT_STOPPED = 0,
	EXIT_USAGE = 64,
	EXIT_REFUSED = 69,
	EXIT_INTERNAL = 70,
	EXIT_LOCKED = 75,
	EXIT_CONFIG = 78,
};

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
	pthread_mutex_t lock; /* guards the snapshot and the wake-up */
	sem_t applying;       /* folds in fold_apply */
	pthread_cond_t wake;
	struct stage_snapshot *config;
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
void stage_config_swap(struct stage *s, struct stage_snapshot *c);

/* stage_fold.c */
int stage_folds_open(struct stage *s, struct why *out_why);
void stage_folds_start(struct stage *s);
bool stage_folds_joined(struct stage *s);
void stage_folds_close(struct stage *s);
/* Adds one reason a line for each fold that is not ready. */
void stage_folds_ready(struct stage *s, struct buf *reasons);
void stage_folds_measure(struct stage *s);

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
