/*
 * The simulation: whole little worlds in one process. The real folds, the real loop that feeds them
 * (stage_fold*.c) and the real protocol of the executor run as coroutines on a bus in memory; every
 * call to the outside is a place where others may run, time may pass, the call may fail, take
 * effect late, or the process may die. All of it is drawn from one seed, so a seed repeats a
 * schedule exactly.
 *
 * Death: the process is marked dead, nothing it does from then on has any effect, and each call
 * fails until its own error paths have unwound it. Then it starts again from its store.
 */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include "common/base.h"

#include "common/bus.h"
#include "common/clock.h"
#include "common/fold.h"
#include "common/mem.h"
#include "common/wire.h"

#define SIM_START_MS INT64_C(1790000000000)
#define SIM_SECOND INT64_C(1000)
#define SIM_MINUTE (60 * SIM_SECOND)
#define SIM_HOUR (60 * SIM_MINUTE)

enum sim_kind { SIM_CLAIM, SIM_FOLD, SIM_WHOLE, SIM_KINDS };
extern const char *const sim_kind_names[SIM_KINDS];

enum {
	SIM_STREAMS = 3,
	SIM_PROCS = 5,
	SIM_TASKS_PER_PROC = 2,
	SIM_TODOS = 256,
	SIM_KEYS = 96,
	SIM_PLANS = 64,
	SIM_RUNS = 256,
	SIM_OUTLETS = 64,
	SIM_ALERTS = 16,
	SIM_GROUP_WAIT_MS = 2000,
};

/* ---- chance ---- */

/* How often, in ten thousand, while faults are on. Drawn for each schedule. */
struct sim_rates {
	unsigned interleave; /* others run in the middle of a call; faults or not */
	unsigned crash;      /* at a call, before or after its effect */
	unsigned fail;       /* a call times out, without or with its effect */
	unsigned late;       /* a call times out and takes effect later */
	unsigned kill;       /* at a step of the scheduler: anybody, anywhere */
	unsigned stop;       /* SIGSTOP, perhaps past every lease */
	unsigned jump;       /* a wall clock jumps */
	unsigned cut;        /* a connection is lost */
	unsigned again;      /* a delivery comes twice */
	unsigned gap;        /* a delivery is missing */
	unsigned wipe;       /* a store is deleted with its process */
	unsigned slow;       /* time passes for everybody */
};

/* A number below `below`; the same for the same seed. */
uint64_t draw(uint64_t below);
bool chance(unsigned in_ten_thousand);
/* The same, but never once faults are over. */
bool fault(unsigned in_ten_thousand);

/* ---- processes and their tasks ---- */

struct proc;

struct task {
	struct proc *proc;
	void *(*run)(void *);
	void *arg;
	bool started, done;
	int64_t wake_ms;                /* runs again then */
	bool (*ready)(const void *arg); /* or when this holds; NULL: only then */
	const void *ready_arg;
	size_t slot;         /* its stack */
	uint64_t asked_step; /* the judge's: when its last questions to the bus were sent */
};

struct proc {
	const char *name;
	size_t index;
	bool up, dead;
	unsigned boots;
	char boot[ID_BYTES];
	int64_t stopped_until_ms, last_seen_ms, wall_offset_ms;
	uint64_t epoch; /* of its connection */
	int64_t connect_ms, connected_at_ms;
	unsigned apply_deaths;
	bool wipe; /* before it starts again */
	struct task tasks[SIM_TASKS_PER_PROC];
	size_t n_tasks;
	/* Starts tasks; frees what the dead process had. */
	void (*start)(struct proc *p);
	void (*reap)(struct proc *p);
	const char *store_dir;
	struct fold *fold; /* of a stage that is up */
	void *data;
};

void task_start(struct proc *p, void *(*run)(void *), void *arg);
struct task *task_current(void); /* NULL: the scheduler and what it calls */
/* Lets others run until then, or until ready() holds (may be NULL). */
void task_wait(int64_t until_ms, bool (*ready)(const void *), const void *arg);
bool task_runnable(const struct task *t);
void task_resume(struct task *t);
/* The present process is dead: nothing it does counts. False for the scheduler. */
bool is_dead(void);
void proc_kill(struct proc *p, const char *where);
void proc_start(struct proc *p);
/* Unwinds and frees the dead. */
void procs_reap(void);
void proc_cut(struct proc *p, int64_t ms);
bool proc_connected(const struct proc *p);
bool proc_frozen(const struct proc *p);
void clocks_set(const struct proc *p); /* NULL: true time */

/* True when the process is dead, perhaps since just now. */
bool dies(const char *when, const char *what);
/* A place outside the bus where others may run, too. */
bool point(const char *what);
/* A call to the bus. 0, or the error that its caller gets: ERR_CLOSED when the process is dead. */
int call_send(const char *what);   /* nothing has happened yet */
int call_answer(const char *what); /* it has */
/* The same; they wait for what does not come, as the caller would. */
int call_begin(const char *what);
int call_end(const char *what);
bool call_late(void); /* between the two: it will happen, but later */

/* ---- the bus ---- */

struct message {
	const char *subject, *id, *cause;
	struct topic topic;
	uint64_t id_hash;
	int64_t time_ms, stream_ns;
	uint64_t seq;
	const void *data;
	size_t len;
};

struct stream {
	const char *name;
	int64_t window_ms;
	struct message *items;
	size_t n, cap;
};

struct stream *stream_find(const char *name);
struct stream *stream_of_subject(const char *subject);
/* The last one of a subject: 0 or ERR_NOT_FOUND. */
int stream_last(const char *stream, const char *subject, struct bus_delivery *out);
/* Stores it, or finds its duplicate. Copies. */
int stream_store(const struct bus_msg *m, uint64_t *out_seq, bool *out_duplicate);

/* A copy that lasts as long as the world. */
struct bus_msg *msg_keep(const struct bus_msg *m);
/* The fold of that name has put it out. */
bool message_is_of(const struct message *m, const char *fold);

struct outlet_send {
	struct bus_msg msg;
	uint64_t token;
};
struct bus_outlet {
	struct proc *proc;
	uint64_t epoch;
	bool closed;
	struct outlet_send *sends;
	size_t n_sends, sends_cap, sent; /* sent: taken by the bus */
	struct bus_ack *acks;
	size_t n_acks, acks_cap, acked;
};
bool outlet_busy(const struct bus_outlet *o);
void outlet_deliver(struct bus_outlet *o); /* one message reaches the bus, or is lost */

struct kv_key {
	const char *bucket, *key;
	char *value;
	size_t len;
	uint64_t revision;
	int64_t at_ms;
};
/* NULL when there is none, or it has expired. */
struct kv_key *kv_find(const char *bucket, const char *key);
int kv_store(const char *bucket, const char *key, const void *value, size_t len,
	     const uint64_t *expected, uint64_t *out_revision);
int kv_delete(const char *bucket, const char *key, uint64_t revision);

/* ---- things that are to happen ---- */

struct todo {
	int64_t at_ms;
	void (*run)(void *arg);
	void *arg;
};
void todo_add(int64_t at_ms, void (*run)(void *), void *arg);

/* ---- the world ---- */

struct judge;

struct world {
	uint64_t seed, random;
	enum sim_kind kind;
	int64_t now_ms, calm_ms, end_ms;
	bool faults;
	struct sim_rates rates;
	struct arena arena;
	struct stream streams[SIM_STREAMS];
	struct kv_key keys[SIM_KEYS];
	size_t n_keys;
	uint64_t kv_revision, ids;
	struct bus_outlet *outlets[SIM_OUTLETS];
	size_t n_outlets;
	struct todo todos[SIM_TODOS];
	size_t n_todos;
	struct proc procs[SIM_PROCS];
	size_t n_procs;
	struct judge *judge;
	uint64_t steps;
	char failure[512];
};
extern struct world *W;

struct sim_settings {
	const char *dir; /* of this process's stores */
	const char *plant;
	bool verbose;
};
extern struct sim_settings sim;
bool planted(const char *name);

/* The first one counts; the schedule ends. */
void sim_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
void sim_trace(const char *fmt, ...) PRINTF_LIKE(1, 2);
#define TRACE(...)                                                                                 \
	do {                                                                                       \
		if (sim.verbose)                                                                   \
			sim_trace(__VA_ARGS__);                                                    \
	} while (0)

/* One schedule: 0, or -1 with *out_failure. */
int world_run(uint64_t seed, enum sim_kind kind, char out_failure[static 512]);

/* store.c: the environments stay open from schedule to schedule */
void sim_store_wipe(const char *dir);
const char *sim_store_dir(const char *name); /* kept for ever */

/* ---- the inhabitants ---- */

/* stages.c: the loop of a stage around a real fold */
extern const struct fold_def *const sim_correlator, *const sim_cases, *const sim_projection;
void stage_add(const char *name, const struct fold_def *def);
void stages_check(void); /* against an undisturbed run over the same streams */
/* Of the monitor: only partition 0 lives here. */
uint32_t sim_one_partition(const void *config);
void sim_reasoner_setup(const char *dir);
void sim_notifier_setup(void);
unsigned sim_max_attempts(void);

/* executors.c */
void executors_setup(const char *dir);
void executors_add(unsigned n);
void executors_watch(const struct message *m);
bool executors_idle(void);

/* people.c: who raises alerts, makes plans (SIM_CLAIM), answers questions and stops everything */
void people_setup(const char *dir);
void people_arrive(void);
void people_watch(const struct message *m); /* each message on STORY */
void people_act_done(const char *target);   /* an act has ended well: its alert may go */
bool people_signed(const char *decision_id);
const char *people_key_file(void); /* public */

/* judge.c: sees what happens outside of the processes, and knows the rules */
struct ledger_run;
void judge_new(void);
void judge_message(const struct message *m);
void judge_asks(void); /* the present task sends questions */
void judge_claim(const char *key, const char *value);
void judge_lock(const char *key, const char *value); /* NULL: let go */
/* A program begins, for a plan with this digest. */
struct ledger_run *judge_starts(const struct proc *p, const uint8_t digest[static DIGEST_BYTES],
				const char *run);
void judge_ends(struct ledger_run *r);
const char *judge_target(const struct ledger_run *r);
void judge_end(void);

#endif
