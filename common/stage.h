/*
 * The skeleton of the four processes: command line, configuration, connecting, fold loops, effect
 * workers, settling, health, metrics, reload, drain. A program's main() is one call. Layer 3.
 *
 *     healbus-<stage> [-c DIR] [--check] [--healthy] [--print-config[=bus]]
 *                     [--example-config[=bus]] [--help] [--version] [COMMAND ...]
 *
 * Every stage with a fold has the command `hash`: the state hash of each fold, for comparing.
 *
 * SIGTERM and SIGINT drain (stop pulling, finish what is under way within drain_timeout, publish,
 * close); a second one stops at once. SIGHUP reloads; a configuration that does not load keeps the
 * old one. Exit codes: 0 stopped, 64 usage, 78 configuration, 69 bus refused us, 70 internal, 75
 * state locked by another process (sysexits.h).
 */
#ifndef COMMON_STAGE_H
#define COMMON_STAGE_H

#include "common/bus.h"
#include "common/config.h"
#include "common/fold.h"
#include "common/http_server.h"

enum { STAGE_SLOTS_MAX = 64 };

struct stage;

/* What every stage can be told. The first member of each stage's configuration struct. */
struct stage_config {
	char *state_dir;  /* of this process: with slots, its slot's */
	char *shared_dir; /* as configured: what all slots share */
	bool slots;
	int64_t replicas; /* 0: as many as there may be; of a partitioned stage, 1 */
	int64_t slot;     /* -1: the first that is free; in a running stage, the one it has */
	char *http_listen;
	char *http_token_file; /* one token a line */
	char *http_tls_cert_file;
	char *http_tls_key_file;
	int64_t log_level;
	int64_t drain_timeout_ms;
	int64_t map_bytes;
	int64_t outbox_retain_ms;
	int64_t ticks; /* enum stage_ticks */
};

/* Where the time of timers comes from when no message moves it on. */
enum stage_ticks {
	TICKS_CLOCK,  /* this machine's clock */
	TICKS_FOLLOW, /* the same, as far behind as the last message was when it arrived */
	TICKS_OFF,    /* nowhere: messages only */
};

/* Rows for the stage's option table. listen: "127.0.0.1:9095". */
#define STAGE_OPTIONS(T, stage_name, listen)                                                       \
	OPT_PATH(T, stage.state_dir, "state_dir", "/var/lib/healbus/" stage_name,                  \
		 "Directory of this stage's LMDB files. One process each, unless slots."),         \
		OPT_BOOL(T, stage.slots, "slots", "false",                                         \
			 "Several processes share state_dir, on one file system: each takes the "  \
			 "first free slot-<n> below it and keeps it for life; one more than "      \
			 "replicas stands by until a slot is free."),                              \
		OPT_INT(T, stage.replicas, "replicas", "0", 0, STAGE_SLOTS_MAX,                    \
			"How many processes of this stage run on the bus. Monitors share the 16 "  \
			"partitions by it (p % replicas = slot): the same number for all. 0: one " \
			"monitor; of the others, as many as start. Read at start."),               \
		OPT_INT(T, stage.slot, "slot", "-1", -1, STAGE_SLOTS_MAX - 1,                      \
			"This process's slot, from 0, where something else numbers them (the "     \
			"ordinal of a StatefulSet's pod); without slots, each has a state_dir of " \
			"its own. -1: the first that is free. Read at start."),                    \
		OPT_STRING(T, stage.http_listen, "http.listen", listen,                            \
			   "Address of the HTTP server: health, metrics, and what this stage "     \
			   "offers. Port 0 picks one."),                                           \
		OPT_PATH(T, stage.http_token_file, "http.token_file", NULL,                        \
			 "Bearer tokens, one a line. Without it, only loopback peers may use "     \
			 "what needs a token."),                                                   \
		OPT_PATH(T, stage.http_tls_cert_file, "http.tls_cert_file", NULL,                  \
			 "PEM certificate chain; turns TLS on."),                                  \
		OPT_PATH(T, stage.http_tls_key_file, "http.tls_key_file", NULL,                    \
			 "PEM private key."),                                                      \
		OPT_ENUM(T, stage.log_level, "log_level", "info", stage_log_levels,                \
			 "debug, info, warn or error."),                                           \
		OPT_DURATION(T, stage.drain_timeout_ms, "drain_timeout", "10s", 0, 3600000,        \
			     "After SIGTERM, how long work under way may take to finish."),        \
		OPT_BYTES(T, stage.map_bytes, "map_size", "256MiB", 1 << 20, 1e12,                 \
			  "First size of each LMDB map; it grows by doubling, to 64 times this."), \
		OPT_DURATION(T, stage.outbox_retain_ms, "outbox_retain", "130s", 0, 86400000,      \
			     "Outputs are kept so long after the bus took them, to be sent again " \
			     "should it lose its tail. "                                           \
			     "Longer than the server's sync interval; 0 when the server syncs "    \
			     "always."),                                                           \
		OPT_ENUM(T, stage.ticks, "ticks", "clock", stage_ticks_names,                      \
			 "clock: when no message does, this stage says that time has passed. For " \
			 "buses into which a recording is replayed: follow (time goes on from "    \
			 "the last message's own), off (time is what the messages say, as when "   \
			 "their ticks were recorded with them).")
extern const char *const stage_log_levels[];
extern const char *const stage_ticks_names[];

/* bus.yaml. `{stage}` in user, password_file and nkey_file stands for the program's name. */
struct bus_config {
	char *url;
	char *user;
	char *password_file;
	char *nkey_file;
	char *ca_file;
	char *cert_file;
	char *key_file;
	int64_t replicas;
	struct bus_keep keep[BUS_KEPT];
};
extern const struct option_table bus_option_table;
/* Reads config_dir/bus.yaml and opens the bus as `name` ("monitor", "operator"); for commands and
 * healctl. Does not wait for the connection. */
int stage_bus_open(const char *config_dir, const char *name, struct bus **out, struct why *out_why);

/* ---- effects: workers at the edge that act on one message at a time ---- */

enum verdict {
	DONE,   /* ack */
	RETRY,  /* nak with back-off (1 s doubling to 60 s), or after job->retry_ms */
	REJECT, /* to dead.<stage> with the reason, then term */
};

struct effect_job {
	enum kind kind;
	const char *subject;
	const char *token;
	const char *id;
	const char *content_type;
	int64_t time_ms;
	uint64_t seq;
	uint64_t delivered;
	bool again;                  /* the bus had this message before and lost it */
	const ProtobufCMessage *msg; /* NULL for KIND_RAW */
	const void *data;
	size_t len;
	struct arena *arena; /* reset after the batch */
	/* out */
	enum verdict verdict; /* DONE to begin with */
	int64_t retry_ms;     /* with RETRY; 0: back-off by delivery count */
	struct why why;       /* with RETRY, REJECT */
	/* private */
	struct bus_delivery delivery;
	size_t row; /* in what is noted as taken */
};

struct effect_def {
	const char *consumer;  /* a row of topic_consumers */
	size_t workers_offset; /* of an int64_t in the stage's configuration; SIZE_MAX: 1 worker */
	unsigned batch_max;    /* 0: 1 */
	/* Its handler looks into the first fold's store: nothing is taken while another process
	 * owns that fold, and handled only once the fold has read the message itself; when it may
	 * have been handled before, all that the stream then held. */
	bool after_fold;
	/* Per worker; the result is `worker` below. NULL: none. */
	int (*open)(struct stage *s, void **out_worker, struct why *out_why);
	void (*close)(void *worker);
	/* Sets each job's verdict. Payloads that do not unpack never come here: they are rejected.
	 * stage.c keeps the deliveries alive (in-progress) while this
	 * runs. */
	void (*handle)(struct stage *s, void *worker, struct effect_job *jobs, size_t n);
};

/* A thread of the stage's own; returns soon after stage_stopping() turns true. */
struct stage_thread {
	const char *name;
	void (*run)(struct stage *s);
};

struct stage_command {
	const char *name; /* "record" */
	const char *help;
	int (*run)(int argc, char **argv, const char *config_dir); /* exit code */
};

struct stage_def {
	const char *name;    /* "monitor" */
	const char *summary; /* one line for --help */
	const struct option_table *options;
	size_t config_size;
	/* First of all, before the configuration is read: little memory, no threads. Not for
	 * commands. NULL: nothing. */
	void (*early)(void);
	/* What rows cannot say (files it names exist, tables agree). May fill derived fields. NULL:
	 * nothing. */
	int (*prepare)(void *config, struct why *out_why);
	void (*unprepare)(void *config);
	const struct fold_def *const *folds;
	size_t n_folds;
	uint32_t (*partitions)(const void *config); /* bit set of owned partitions; NULL: all */
	/* Which of the processes that run this stage's unpartitioned folds at the same time this
	 * one is, from 1 to TOPIC_REPLICAS: each reads through a consumer of its own, and what all
	 * put out is stored once, for equal outputs have equal ids. With slots it is the slot.
	 * NULL: only those. */
	int64_t (*replica)(const void *config);
	const struct effect_def *const *effects;
	size_t n_effects;
	/* Nice value of the threads of folds and effects: with too little CPU for all, what comes
	 * in is stored first, and worked on behind. 0: all alike. */
	int background_nice;
	const struct stage_thread *threads;
	size_t n_threads;
	const struct http_route *routes; /* ctx is replaced by the struct stage */
	size_t n_routes;
	/* For routes with HTTP_AUTH_OWN: http_server.h. NULL: nobody may use them. */
	int (*authorize)(struct stage *s, struct http_request *req, unsigned need,
			 struct why *out_why);
	/* After the bus is open and before threads start; state of the stage's own goes into
	 * stage_set_data. */
	int (*start)(struct stage *s, struct why *out_why);
	void (*stop)(struct stage *s); /* after all threads ended */
	/* After SIGHUP put a new configuration in place. Main thread. NULL: nothing. */
	void (*reloaded)(struct stage *s);
	const struct stage_command *commands;
	size_t n_commands;
};

/* The whole of main(). */
int stage_main(const struct stage_def *def, int argc, char **argv);

/* For handlers and threads. */
struct bus *stage_bus(struct stage *s);
const char *stage_name(const struct stage *s);
const char *stage_boot(const struct stage *s);     /* random id of this process */
const char *stage_instance(const struct stage *s); /* host name and pid: who this is, for people */
bool stage_stopping(const struct stage *s);
/* What the stage relies on has failed and will not come back in this process: it drains and ends
 * with 70. Any thread. */
void stage_give_up(struct stage *s);
/* Sleeps at most ms; returns early (true) when stopping. */
bool stage_sleep(struct stage *s, int64_t ms);
/* Sleeps until there is something to read from fd, at most ms (-1: however long); returns early
 * (true) when stopping. A thread that waits so costs nothing while nothing happens. */
bool stage_await(struct stage *s, int fd, int64_t ms);
void stage_set_data(struct stage *s, void *data);
void *stage_data(struct stage *s);
/* The configuration of this moment; stays valid until stage_config_put. */
const void *stage_config_get(struct stage *s);
void stage_config_put(struct stage *s, const void *config);
/* The store of fold i (partition p); for readers on other threads. */
struct fold *stage_fold(struct stage *s, size_t i, unsigned partition);
/* For what no bus keeps apart, such as asking a peer that wants to be asked by one only: is this
 * the one of the stage's processes that does it? With slots the first that asked and still lives,
 * else slot 0. *io_fd is -1 to begin with; closing it gives it up. Any thread. */
bool stage_is_sole(struct stage *s, const char *what, int *io_fd);
/* How far it is; fold_offset() and the outbox are for the fold's own thread. Any thread. */
struct stage_fold_state {
	uint64_t applied_seq; /* last message applied */
	uint64_t unacked;     /* outputs the bus has not taken yet */
};
struct stage_fold_state stage_fold_state(struct stage *s, size_t i, unsigned partition);

/* Checks, packs, publishes and waits for the ack. subject from (kind, token), for kinds on STORY
 * and DEAD; id as given. */
int stage_publish(struct stage *s, enum kind kind, const char *token, const ProtobufCMessage *msg,
		  const char *id, const char *cause, int64_t time_ms, int64_t timeout_ms,
		  uint64_t *out_seq, struct why *out_why);

#endif
