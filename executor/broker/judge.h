/*
 * What of the Docker Engine's API may be asked, and in which words: default deny. A pure function
 * of the request's head; nothing of a request reaches the Engine but what this has taken apart and
 * broker_path writes anew.
 */
#ifndef EXECUTOR_BROKER_JUDGE_H
#define EXECUTOR_BROKER_JUDGE_H

#include "common/buf.h"
#include "common/err.h"

enum {
	BROKER_TARGET_MAX = 512,    /* bytes of a request target */
	BROKER_CONTAINER_MAX = 128, /* bytes of a container's name or id */
	BROKER_VERSION_MAX = 8,     /* "/v1.41" */
};

enum broker_action {
	BROKER_PING,
	BROKER_VERSION,
	BROKER_LIST,
	BROKER_INSPECT,
	BROKER_LOGS,
	BROKER_RESTART,
	BROKER_START,
	BROKER_STOP,
	BROKER_ACTIONS
};

/* Parameters of a query, the only ones. */
enum broker_param {
	BROKER_T,      /* seconds until it is killed */
	BROKER_ALL,    /* stopped ones too */
	BROKER_LIMIT,  /* how many containers */
	BROKER_STDOUT, /* 0 or 1, as the next two */
	BROKER_STDERR,
	BROKER_TIMESTAMPS,
	BROKER_TAIL,  /* lines */
	BROKER_SINCE, /* seconds since 1970 */
	BROKER_UNTIL,
	BROKER_PARAMS
};

struct broker_header {
	const char *name, *value;
};

/* A request as it came. */
struct broker_ask {
	const char *method;
	const char *target; /* undecoded, with its query */
	const struct broker_header *headers;
	size_t n_headers;
	size_t body_len;
};

struct broker_bounds {
	int64_t stop_max_s;     /* of t */
	int64_t stop_default_s; /* where t is not given */
	int64_t tail_max;       /* lines of a log */
	int64_t tail_default;
};

/* A request that may be forwarded, as far as its head tells. */
struct broker_call {
	enum broker_action action;
	bool head;                                /* asked with HEAD */
	char version[BROKER_VERSION_MAX];         /* "/v1.41", or "" */
	char container[BROKER_CONTAINER_MAX + 1]; /* "" where none is named */
	int64_t params[BROKER_PARAMS];            /* within bounds; -1: not given, and no default */
};

/* 0, or ERR_DENIED with a reason that says what would be allowed instead. */
int broker_judge(const struct broker_bounds *bounds, const struct broker_ask *ask,
		 struct broker_call *out, struct why *out_why);

/* "restart", "inspect"; never NULL. */
const char *broker_action_name(enum broker_action action);
/* Does it change something? */
bool broker_acts(enum broker_action action);
/* Does it name a container? */
bool broker_names_container(enum broker_action action);
/* How many seconds the Engine may take by what was asked, without its own work. */
int64_t broker_patience_s(const struct broker_call *call);

/* Adds the target that is sent to the Engine. `container` stands in the container's place (its id,
 * once it is known); `label`, "name=value", is the only filter that a list is given. */
void broker_path(const struct broker_call *call, const char *container, const char *label,
		 struct buf *out);

#endif
