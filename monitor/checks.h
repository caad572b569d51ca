/*
 * The monitor's own checks: http, tcp, command and tls, run on a schedule by a few threads. A check
 * publishes an Event to raw.check when its state changes, and every `repeat` while it fails. A kind
 * is one file with one const struct check_kind and one row in the table in checks.c.
 */
#ifndef MONITOR_CHECKS_H
#define MONITOR_CHECKS_H

#include "common/stage.h"
#include "common/wire.h"

enum {
	CHECKS_MAX = 1000,
	CHECK_THREADS = 4,
	CHECK_ARGS_MAX = 64,
	CHECK_DETAIL_BYTES = 512,
};

struct check;

/* What one look showed. */
struct check_result {
	bool ok;
	char detail[CHECK_DETAIL_BYTES]; /* for people */
};

/* Per thread, opened when first needed. */
struct check_tools {
	struct http_client *http;
	void *tls; /* SSL_CTX */
};

struct check_kind {
	const char *name;
	/* Keys of its own, NULL-terminated. */
	const char *const *keys;
	/* Takes them from the YAML; ERR_CONFIG. */
	int (*parse)(struct check *c, const struct yaml_node *node, struct why *out_why);
	/* Blocks at most c->timeout_ms. */
	void (*run)(const struct check *c, struct check_tools *tools, struct check_result *out);
};

/* One check as configured. */
struct check {
	char *name; /* token */
	const struct check_kind *kind;
	int64_t interval_ms;
	int64_t timeout_ms;
	int64_t repeat_ms;
	int64_t failures;  /* in a row, before it fires */
	int64_t successes; /* in a row, before it resolves */
	Healbus__Severity severity;
	char *summary;
	char *service;
	char *instance;
	char **label_names;
	char **label_values;
	size_t n_labels;
	/* by kind */
	char *url;                      /* http */
	int64_t status;                 /* http: 0 means any 2xx or 3xx */
	char *contains;                 /* http: text the body must hold */
	char *host;                     /* tcp, tls */
	int64_t port;                   /* tcp, tls */
	char *server_name;              /* tls */
	char *ca_file;                  /* http, tls */
	int64_t days;                   /* tls: fewer left is a failure */
	char *argv[CHECK_ARGS_MAX + 1]; /* command */
};

struct checks {
	struct check *items;
	size_t n;
};

/* For the OPT_TREE row. */
int checks_parse(void *field, const struct yaml_node *node, struct why *out_why);
void checks_release(void *field);

/* How often in a row a state was seen, and what was told. */
struct check_state {
	char name[TOKEN_MAX + 1];
	uint32_t failed, passed; /* in a row */
	bool told;               /* something was published since start */
	bool firing;
	bool unsent;
	int64_t starts_at_ms;
	int64_t told_ms; /* monotonic */
	int64_t due_ms;  /* monotonic */
	char detail[CHECK_DETAIL_BYTES];
};

/* Takes a result into the state; true when an event must be published now. */
bool check_judge(struct check_state *s, const struct check *c, const struct check_result *r,
		 int64_t real_ms, int64_t mono_ms);
/* The Event of the state, in the arena. */
Healbus__Event *check_event(const struct check_state *s, const struct check *c,
			    struct arena *arena);

/* A stage thread: runs its share of the configured checks. Four rows of the stage use it. */
void checks_thread(struct stage *s);

extern const struct check_kind check_http, check_tcp, check_command, check_tls;

/* Connects with a deadline. A descriptor, or ERR_TIMEOUT, ERR_UNAVAILABLE. For the kinds. */
int check_connect(const char *host, int64_t port, int64_t timeout_ms, struct why *out_why);

#endif
