/*
 * One request with the Engine, from a judged call to what goes back: looks at the container first,
 * and acts on the id that it found then. Blocks; one client a thread.
 */
#ifndef EXECUTOR_BROKER_ENGINE_H
#define EXECUTOR_BROKER_ENGINE_H

#include "common/http_client.h"
#include "executor/broker/answer.h"
#include "executor/broker/config.h"

enum { BROKER_READY_MS = 2000 };

struct broker_engine {
	const struct broker_config *config;
	struct http_client *http;
	/* Asked once the container is known to carry the label, before an act; thread-safe. 0, or
	 * ERR_BUSY with how long to wait. */
	int (*may_act)(void *ctx, const char *id, int64_t *out_wait_ms, struct why *out_why);
	void *may_act_ctx;
};

/* What goes back. */
struct broker_reply {
	unsigned status;
	const char *type; /* of body; constant */
	struct buf body;
	bool cut;        /* a log had more */
	char api[32];    /* the Engine's version of its API, of a ping; "" otherwise */
	int64_t retry_s; /* 0: nothing to say */
	struct why why;  /* of what is no success */
	struct broker_container container; /* whose; "" where none is named or known */
};

/*
 * Status 403: no label. 429: too often. 404, 409, ...: the Engine's own. 503: the Engine cannot be
 * reached, nothing was done. 502, 504: it was asked and gave no answer, or none that is one;
 * whether an act was done, nobody knows.
 */
void broker_ask(const struct broker_engine *e, const struct broker_call *call,
		struct broker_reply *out);
void broker_reply_release(struct broker_reply *r);

/* Does the Engine answer a ping, within BROKER_READY_MS? */
int broker_engine_ready(const struct broker_engine *e, struct why *out_why);

#endif
