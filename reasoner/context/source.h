/* Between the gathering and its sources. A source is one file and one row in context.c's table. */
#ifndef REASONER_CONTEXT_SOURCE_H
#define REASONER_CONTEXT_SOURCE_H

#include "reasoner/context/context.h"

enum { CONTEXT_NAMED_MAX = 24 };

/* What the incident says, and the queries rendered for it. Read-only for sources. */
struct context_ask {
	const char *repository, *branch, *base, *default_branch, *sha;
	const char *workflow, *job, *step, *alertname;
	int64_t number; /* of a security alert */
	int64_t run_id, run_attempt, job_id, pr, installation_id;
	int64_t opened_at_ms, now_ms;
	struct asked_query {
		const struct context_query *query;
		enum context_service_id service;
		char *text; /* "" : the incident has nothing to fill it with */
	} queries[2 * CONTEXT_QUERIES_MAX];
	size_t n_queries;
	char *texts[CONTEXT_SERVICES][3];
};

void context_ask_read(const struct context_config *c, const Healbus__Incident *incident,
		      int64_t now_ms, struct context_ask *out);
void context_ask_release(struct context_ask *ask);

/* One source at work, in a thread of its own. */
struct gathering {
	const struct context_source *source;
	const struct context_config *config;
	const struct context_service *service;
	const struct context_ask *ask;
	struct http_client *http;
	int64_t deadline_ms; /* by clock_mono_ms */
	int64_t began_ms;    /* by clock_mono_ms */
	/* What it found; heap. */
	struct found_item {
		char *title;
		struct buf text;
	} items[CONTEXT_ITEMS_MAX];
	size_t n_items, items_bytes;
	char *files[CONTEXT_FILES_MAX];
	size_t n_files;
	struct named_file {
		char *path;
		int64_t line;       /* 0: none in particular */
	} named[CONTEXT_NAMED_MAX]; /* by a log, an annotation, an alert: worth reading */
	size_t n_named;
	char *gathered[CONTEXT_LINES_MAX], *missing[CONTEXT_LINES_MAX];
	size_t n_gathered, n_missing;
	struct buf log;
	char *job, *step, *default_branch, *base, *sha, *workflow; /* found out; NULL: not */
	int64_t pr;
	bool closed;  /* the process stops */
	size_t calls; /* made */
	int rc;       /* of each_query: why the rest was not asked */
};

struct context_source {
	const char *name;
	enum context_service_id service;
	/* Is it configured, and does this incident have anything to ask it about? */
	bool (*wanted)(const struct context_config *c, const struct context_ask *ask);
	/* 0, or why nothing more could be had; what was added before counts. */
	int (*gather)(struct gathering *g, struct why *out_why);
};

extern const struct context_source context_github, context_prometheus, context_loki, context_argocd,
	context_kubernetes, context_grafana;

/* ---- for sources: adding what was found (gathering.c) ---- */

/* Cleans, redacts and bounds. An empty text adds nothing. */
void found_item(struct gathering *g, const char *title, const char *text, size_t len);
void found_file(struct gathering *g, const char *path);
/* A file of the repository that something names; others' files and what is no path are left out. */
void found_named(struct gathering *g, const char *path, size_t len, int64_t line);
void found_line(struct gathering *g, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A part could not be had: "what: why". Keeps in mind that the process stops. */
void found_missing(struct gathering *g, const char *what, int rc, const struct why *why);
/*
 * Asks the queries of the source's service in turn, until the service is away. *count is the sum of
 * what `one` counts; returns how many were answered; g->rc is 0, or why there was an end.
 */
typedef int query_asker(struct gathering *g, const struct asked_query *asked, size_t *count,
			struct why *out_why);
size_t each_query(struct gathering *g, query_asker *one, size_t *count, struct why *out_why);
bool has_queries(const struct context_ask *ask, enum context_service_id service);
/* True when the service cannot be asked again now. */
bool is_away(int rc);

void gathering_release(struct gathering *g);

/* Milliseconds left; at least 1. */
int64_t gathering_left_ms(const struct gathering *g);

/* ---- asking a service (ask_http.c) ---- */

enum { CONTEXT_ANSWER_MAX_BYTES = 4 << 20 };

/* GET url of the service + path; the body in *out (JSON) or out_text. ERR_INVALID: no JSON. */
int service_get(struct gathering *g, const char *path, json_t **out, struct why *out_why);
int service_get_text(struct gathering *g, const char *path, struct buf *out, struct why *out_why);

/* ---- asking GitHub (github.c, github_more.c) ---- */

int github_get(struct gathering *g, const char *path, json_t **out, struct why *out_why);
/* With ERR_TOO_LARGE *out has the beginning. */
struct bytes_wanted {
	const char *path, *accept; /* accept NULL: whatever there is */
	size_t max;
};
int github_download(struct gathering *g, const struct bytes_wanted *wanted, struct buf *out,
		    struct why *out_why);
/* The files that were named, then the changed ones, as they are at this commit. */
void github_add_files(struct gathering *g, const char *sha);
/* What GitHub knows of the security alert that the incident is about, if it is. */
int github_add_alert(struct gathering *g, struct why *out_why);

/* ---- text (context_text.c) ---- */

/* Without colours and other escapes; \r\n and \r are line ends; the rest as buf_add_printable. */
void text_clean(const char *s, size_t len, struct buf *out);
/* At most max bytes of it, cut at a line or character, and a line that says what was cut. */
void text_cut(struct buf *b, size_t max);
/* The first line, cleaned and redacted, at most max bytes. Caller frees. */
char *text_line(const struct redactor *r, const char *s, size_t max);
/* "12:03:04" */
void text_add_clock(struct buf *out, int64_t ms);

/* JSON that may be anything: "" and 0 for what is not there. path: "a.b.c". */
const json_t *answer_at(const json_t *v, const char *path);
const char *answer_text(const json_t *v, const char *path);
int64_t answer_number(const json_t *v, const char *path);

/* ---- logs of jobs (job_log.c, unzip.c) ---- */

/*
 * Adds at most max bytes of a log: all of it when it fits, else its beginning, the section of the
 * step that failed and the end, with a line for each gap. step: its name, or "". Returns the bytes
 * left out.
 */
size_t job_log_keep(const char *log, size_t len, size_t max, const char *step, struct buf *out);

/* Of a run's ZIP archive the log of this job ("" : of the one that failed). ERR_NOT_FOUND. */
int zip_job_log(const void *data, size_t len, const char *job, size_t limit, struct buf *out);

/* ---- readers of answers: pure; they add text for people ---- */

void prometheus_read(const json_t *answer, struct buf *out);
/* Returns how many lines. */
size_t loki_read(const json_t *answer, size_t max, struct buf *out);
void argocd_read(const json_t *application, struct buf *out);
void kubernetes_read_pod(const json_t *pod, struct buf *out);
void kubernetes_read_events(const json_t *list, struct buf *out);
void grafana_read_annotations(const json_t *list, struct buf *out);
void grafana_read_alerts(const json_t *list, struct buf *out);

/* The job to look at: by name when given, else the first that failed. NULL: none. */
const json_t *github_failed_job(const json_t *jobs, const char *name);
const char *github_failed_step(const json_t *job);
void github_read_steps(const json_t *job, struct buf *out);
void github_read_annotations(const json_t *list, struct buf *out);
/* A list of changed files as compare, a commit or a pull request gives it: one diff. */
void github_read_diff(const json_t *files, struct buf *out);
void github_read_pull(const json_t *pull, struct buf *out);
void github_read_comments(const json_t *list, struct buf *out);
void github_read_commits(const json_t *list, struct buf *out);
void github_read_dependabot(const json_t *alert, struct buf *out);
void github_read_code_scanning(const json_t *alert, struct buf *out);
void github_read_secret_scanning(const json_t *alert, struct buf *out);
/* The files a log names, with a line: found_named for each. */
void github_read_log_paths(const char *log, size_t len, struct gathering *g);

#endif
