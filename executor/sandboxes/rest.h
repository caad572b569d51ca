/*
 * What places that are asked over HTTP have in common: calls with a bearer token from a file and
 * JSON both ways, and waiting for an end that is seen by asking again.
 */
#ifndef EXECUTOR_REST_H
#define EXECUTOR_REST_H

#include "executor/runners/runner.h"

enum {
	REST_CALL_MS = 15000,
	REST_ANSWER_BYTES = 1 << 20,
	REST_POLL_MS =
		100, /* at first; then half as long again each time, up to REST_POLL_MAX_MS */
	REST_POLL_MAX_MS = 1000,
	REST_SILENCE_MS = 60000, /* how long no answer to "how is it" is borne */
};

/* Where and as whom. All borrowed. */
struct rest {
	const char *url;                  /* paths are added to it */
	const char *token_file, *ca_file; /* NULL: none; the system's */
	struct http_client *http;
};

struct rest_ask {
	const char *method, *path;
	json_t *body;     /* taken; NULL: none */
	size_t max_bytes; /* of the answer; 0: REST_ANSWER_BYTES */
};

struct rest_answer {
	long status; /* 0: none came */
	bool sent;   /* it may have been received all the same */
	struct buf text;
	json_t *json; /* of the text, where it is a JSON object; NULL: not */
};
void rest_answer_release(struct rest_answer *a);

/* 0 for 2xx; else as http_status_err, with the peer's own words (its field `message`), or as
 * http_client_call. A 429 is waited out and asked again, up to three times, but for GET. */
int rest_call(const struct rest *r, const struct rest_ask *ask, struct rest_answer *out,
	      struct why *out_why);

/* May this URL be given a token: https, or this machine; no user in it? ERR_CONFIG names the key.
 */
int rest_check_url(const char *key, const char *url, struct why *out_why);

/* Something that goes on elsewhere. */
struct rest_watch {
	const struct run_limits *limits;
	int64_t deadline_ms; /* on the monotonic clock; look may put it off */
	/* One question. *out_ended: no more are needed. A transient error is asked again. */
	int (*look)(struct rest_watch *w, bool *out_ended, struct why *out_why);
	void *ctx;
};

/* Asks until it has ended. ERR_TIMEOUT: it did not in time. ERR_CLOSED: limits->tick said to stop,
 * or the process is to end.
 * ERR_UNAVAILABLE: nobody answers any more. What look says otherwise. */
int rest_follow(struct rest_watch *w, struct why *out_why);

#endif
