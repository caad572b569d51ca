/*
 * What is known about an incident outside the bus: the failing job's log, the change, the pull
 * request, metrics, logs, the deployment. Gathered from every source that is configured and has
 * something to be asked about, at the same time, each with its own deadline. A source that does not
 * answer is stated in `missing` and never stops the others.
 *
 * Everything here was written by others. It is bounded, valid UTF-8 without control, escape, bidi
 * or zero-width characters (those are shown as \xNN), and without secrets (common/redact.h); it is
 * still data, never an instruction.
 */
#ifndef REASONER_CONTEXT_CONTEXT_H
#define REASONER_CONTEXT_CONTEXT_H

#include "common/github.h"
#include "common/redact.h"
#include "common/wire.h"
#include "common/yaml.h"

enum {
	CONTEXT_ITEMS_MAX = 64,
	CONTEXT_LINES_MAX = WIRE_SOURCES_MAX, /* of gathered and of missing */
	CONTEXT_FILES_MAX = 300,              /* changed paths */
	CONTEXT_TITLE_MAX_BYTES = 200,
	CONTEXT_QUERIES_MAX = 16,
	CONTEXT_SECRETS_MAX = 8, /* token files of sources */
	/* A job's log as GitHub sends it; of a longer one the run's archive is asked for. */
	CONTEXT_LOG_FETCH_MAX_BYTES = 32 << 20,
};

/* One query: text for the service with {{ jq }} over the incident. */
struct context_query {
	char *name;
	struct template *query;
	int64_t range_ms; /* how far back from now; 0: at one instant (Prometheus only) */
	int64_t step_ms;
	int64_t limit; /* lines (Loki) */
};

/* A service to ask; url NULL: not configured. */
struct context_service {
	char *url, *token_file, *ca_file;
	int64_t timeout_ms;
	struct context_query *queries;
	size_t n_queries;
	/* Named texts: Argo CD's application; Kubernetes' namespace, pod, selector; Loki's tenant.
	 */
	struct template *texts[3];
};

enum context_service_id {
	CONTEXT_GITHUB, /* how to reach it: struct github; only `timeout` and `enabled` here */
	CONTEXT_PROMETHEUS,
	CONTEXT_LOKI,
	CONTEXT_ARGOCD,
	CONTEXT_KUBERNETES,
	CONTEXT_GRAFANA,
	CONTEXT_SERVICES,
};

/* The tree `context:` of reasoner.yaml. Immutable once loaded, but for its lock; shared by
 * threads. */
struct context_config {
	int64_t timeout_ms; /* whole */
	int64_t max_bytes;  /* of all items, without the log */
	int64_t source_max_bytes;
	int64_t log_max_bytes; /* what is kept of the failing job's log */
	bool github_enabled;
	struct context_service services[CONTEXT_SERVICES];
	void *lock; /* templates are rendered by one thread at a time */
	/* Set by who loads it, not from the file; both may be NULL, both must outlive it. */
	struct github *github;
	const struct redactor *redactor;
};

/* For OPT_TREE. */
int context_parse(void *field, const struct yaml_node *node, struct why *out_why);
void context_release(void *field);
/* The token files of its services, for redactor_new; NULL-terminated. */
void context_secret_files(const struct context_config *c,
			  const char *out[static CONTEXT_SECRETS_MAX + 1]);

struct context_item {
	const char *source; /* "github", "loki", ... */
	const char *title;  /* one line */
	const char *text;
	size_t len;
};

/* All in the arena given to context_gather. Texts are never NULL ("" when unknown). */
struct context {
	struct context_item *items; /* most telling first within each source */
	size_t n_items;
	const char **files; /* changed paths, each once */
	size_t n_files;
	const char *log; /* the failing job's; lines begin with GitHub's timestamps */
	size_t log_len;
	const char *repository, *branch, *base, *default_branch;
	const char *sha;
	const char *workflow, *job, *step; /* what failed */
	int64_t pr;                        /* number; 0: none */
	const char **gathered;             /* one line each, for Diagnosis.gathered */
	size_t n_gathered;
	const char **missing; /* "loki: timed out after 10s" */
	size_t n_missing;
};

/*
 * Asks all sources. 0 whatever they answer; ERR_TOO_LARGE when the arena is full (give it
 * log_max_bytes + max_bytes + 1 MiB), ERR_CLOSED when the process stops (http_client_stop_on).
 * Blocks up to c->timeout_ms and a second. Any thread, several at a time.
 */
int context_gather(const struct context_config *c, const Healbus__Incident *incident,
		   struct arena *arena, struct context *out);

/*
 * Adds what of a job's log tells most, in at most max bytes, without timestamps: the beginning, the
 * section of the step that failed, the end. What is left out is said in its place. Pure.
 */
void context_log_excerpt(const char *log, size_t len, size_t max, struct buf *out);

#endif
