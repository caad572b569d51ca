/*
 * Why did the job fail? One pass over its log, and what is known of it besides, give the failure's
 * type, the lines that say so, how sure that is, and what else it might be. The knowledge is data:
 * reasoner/failures/, one YAML file for each family of tools; README.md says how to add a type.
 *
 * The answer is the tool whose output says why the job failed, not what else the log speaks of.
 * So a rule counts once, for its best line; a line counts by where it stands: in the output of
 * the command that failed, near its end, or elsewhere. Files: classify_parse.c (the data), words.c
 * (the sieve), classify_text.c (one line without its decoration), classify_scan.c (the pass),
 * classify.c (the judgement).
 */
#ifndef REASONER_CLASSIFY_H
#define REASONER_CLASSIFY_H

#include "common/mem.h"
#include "common/wire.h"

enum {
	CLASSIFY_LOG_MAX_BYTES = 10 << 20, /* of a longer log, so much of its end is read */
	CLASSIFY_LINE_MAX_BYTES = 2048,    /* of a longer line, so much of its beginning */
	CLASSIFY_FILES_MAX = 3000,         /* changed files that are looked at */
};

struct failures;

/* path: a file, or a directory of *.yaml. ERR_CONFIG with file:line. Free with failures_free. */
int failures_load(const char *path, struct failures **out, struct why *out_why);
void failures_free(struct failures *f);

/* What people call the type, and the kind of cause it is (rust, frontend, infra, security, git,
 * network or general); NULL for a type nobody defined. Live as long as f. */
const char *failures_title(const struct failures *f, const char *failure_type);
const char *failures_label(const struct failures *f, const char *failure_type);
size_t failures_count(const struct failures *f);
const char *failures_name(const struct failures *f, size_t i);

/* Each may be NULL or zero. Borrowed for the call. */
struct classify_input {
	const char *log; /* any bytes */
	size_t log_len;
	const char *workflow, *job, *step;
	const char *const *files; /* changed ones, as paths in the repository */
	size_t n_files;
	const char *alertname; /* of the incident */
};

/*
 * Fills failure_type, confidence, evidence and considered of *out, which the caller has
 * initialised; strings and arrays live in the arena. confidence: the probability that the type is
 * of the right kind (its label), calibrated on recorded logs. Evidence is cut, printable, and
 * without what looks like a secret; whoever knows secrets by value takes those out. Any thread;
 * about 10 ms for each MiB. 0, or ERR_TOO_LARGE when the arena is full.
 */
int classify(const struct failures *f, const struct classify_input *in, struct arena *arena,
	     Healbus__Diagnosis *out);

#endif
