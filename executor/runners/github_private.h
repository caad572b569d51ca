/*
 * The github runner's parts: github.c (the tool: parsing, rendering), github_pulls.c (open,
 * comment, label), github_merge.c (checks, merge, revert). Nobody else includes this.
 */
#ifndef EXECUTOR_RUNNERS_GITHUB_PRIVATE_H
#define EXECUTOR_RUNNERS_GITHUB_PRIVATE_H

#include "executor/runners/git_private.h"

enum {
	GITHUB_TEXT_MAX_BYTES = 60000, /* of a body: the API takes 65536 characters */
	GITHUB_TITLE_MAX_BYTES = 256,
	GITHUB_LABEL_MAX_BYTES = 50,
	GITHUB_POLL_MS = 10000,        /* default of `interval` */
	GITHUB_LIMIT_WAIT_MS = 120000, /* a rate limit that ends sooner is waited for */
	GITHUB_AGAIN_MS = 2000,        /* after what may pass by itself; doubled each time */
	GITHUB_AGAIN_MAX_MS = 30000,
	GITHUB_CHECKS_MAX = 500,
	GITHUB_COMMENTS_MAX = 1000,
};

enum github_do {
	GITHUB_DO_OPEN,
	GITHUB_DO_OPENED,
	GITHUB_DO_COMMENT,
	GITHUB_DO_LABEL,
	GITHUB_DO_MERGE,
	GITHUB_DO_MERGED,
	GITHUB_DO_REVERT,
	GITHUB_DO_WAIT,
};

/* What was rendered. */
struct github_job {
	enum github_do what;
	struct git_target target;
	char *head, *base, *sha;
	int64_t number;
	json_t *body; /* of the request */
	char *marker; /* by which our comment is found again; NULL: none */
	int64_t interval_ms;
};

struct github_work {
	const struct github_job *job;
	const struct run_limits *limits;
	int64_t deadline_mono_ms;
	struct run_result *result;
	int failed; /* what the last call came to: 0 or its error */
};

/*
 * One call, waiting for a rate limit that ends soon. Otherwise 0 or the run has failed (or, when a
 * writing request may have been carried out, its end is unknown). out may be NULL.
 */
int github_send(struct github_work *w, const char *method, const char *path, const json_t *body,
		struct github_answer *out);
int github_get_all(struct github_work *w, const char *path, const char *member, size_t max,
		   json_t **out);
int github_fail(struct github_work *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Sleeps at most ms, not beyond the deadline. False: the time is over. */
bool github_pause(struct github_work *w, int64_t ms);
void github_done(struct github_work *w, const json_t *with_url, const char *what);
const char *github_text(const json_t *o, const char *name);

void github_run_open(struct github_work *w);
void github_run_opened(struct github_work *w);
void github_run_comment(struct github_work *w);
void github_run_label(struct github_work *w);
void github_run_merge(struct github_work *w);
void github_run_merged(struct github_work *w);
void github_run_revert(struct github_work *w);
void github_run_wait(struct github_work *w);

#endif
