/*
 * The pure halves of stages, for a process that holds several of them without a bus: a backtest.
 * Each is defined by its stage (monitor/core.c, reasoner/core.c); whoever links the stage's archive
 * has it, and needs no header of the stage. Nothing here opens a connection or starts a thread.
 */
#ifndef COMMON_CORES_H
#define COMMON_CORES_H

#include "common/config.h"
#include "common/fold.h"
#include "common/wire.h"

struct stage_core {
	const char *name;
	/* Its configuration, as the stage itself loads it, but without secrets. */
	const struct option_table *options;
	size_t config_size;
	int (*prepare)(void *config, struct why *out_why);
	void (*unprepare)(void *config);
	const struct fold_def *fold; /* its configuration is a prepared one */
};

extern const struct stage_core monitor_core, reasoner_core;

/* ---- the monitor's normaliser ---- */

struct core_reader;
struct core_reader *core_reader_new(void);
void core_reader_free(struct core_reader *r);

/* A message of raw.<source>; then a message of event.<part>.<source>. */
struct core_message {
	const char *subject;
	const char *id;
	const char *content_type; /* raw only */
	int64_t time_ms;
	const void *data;
	size_t len;
};
/*
 * Gives the Events of a raw message to take(), in order; each is borrowed for the call. config: the
 * monitor's. 0, or why (some of) it cannot be used; what could be used was given.
 */
int core_read(struct core_reader *r, const void *config, const struct core_message *raw,
	      void (*take)(void *ctx, const struct core_message *event), void *ctx,
	      struct why *out_why);

/* ---- the reasoner's classifier ---- */

/* Why a job failed, and who should fix it. */
struct core_classifier;
/* Where its data is; NULL: where reasoner.yaml in config_dir says, or as installed, or beside the
 * program in a build directory. */
struct core_classifier_paths {
	const char *config_dir;
	const char *failures;
	const char *specialists;
};
/* ERR_CONFIG with file:line. Close with core_classifier_close. */
int core_classifier_open(const struct core_classifier_paths *paths, struct core_classifier **out,
			 struct why *out_why);
void core_classifier_close(struct core_classifier *c);

/* What is known of a failed job. Each may be NULL or zero. Borrowed for the call. */
struct core_job {
	const char *log;
	size_t log_len;
	const char *workflow, *job, *step;
	const char *const *files; /* changed ones */
	size_t n_files;
};
/* Fills *out, which is initialised, from the arena. 0, or ERR_TOO_LARGE: the arena is full. */
int core_classify(const struct core_classifier *c, const struct core_job *job, struct arena *arena,
		  Healbus__Diagnosis *out);
/* Of a failure type: what people call it, and the kind of cause it is; NULL: nobody knows it. */
const char *core_failure_title(const struct core_classifier *c, const char *failure_type);
const char *core_failure_label(const struct core_classifier *c, const char *failure_type);

#endif
