/*
 * The HTTP API that healctl and the page use: JSON in and out, documented in README.md. The
 * server's threads only queue a request; a few threads of the stage's own answer it, for some
 * answers need the bus.
 */
#ifndef NOTIFIER_API_H
#define NOTIFIER_API_H

#include "common/stage.h"
#include "notifier/tables.h"

#include <jansson.h>

/* A request on an API thread. */
struct api_call {
	struct stage *stage;
	struct http_request *req;
	const struct sign_key *key;
	struct arena arena; /* reset after the call */
	json_t *body;       /* of a POST, an object; borrowed */
};

typedef void api_func(struct api_call *call);
api_func api_status, api_incidents, api_incident, api_approvals, api_tools, api_silences,
	api_changes, api_story, api_plan, api_dead, api_dead_one, api_decide, api_rehearse,
	api_silence_add, api_silence_expire, api_pause, api_resume, api_ack, api_undo,
	api_dead_requeue, api_shadow, api_search, api_models, api_channel, api_feedback, api_people,
	api_info, api_kpis, api_oncall, api_undelivered, api_oncall_set, api_oncall_clear;

extern const struct http_route api_routes[];
extern const size_t api_routes_n;
/* A thread of the stage that answers; any number of them. */
void api_run(struct stage *s);

/* struct stage_def's hooks: the signing key and the queue. */
int api_start(struct stage *s, struct why *out_why);
void api_stop(struct stage *s);
/* The stage's own keys; valid from start to stop. Any thread. */
const struct sign_key *api_sign_key(struct stage *s);
const struct token_key *api_token_key(struct stage *s);

/* ---- for the routes' files ---- */

/* Each answers the request; the reference to out is taken. */
void api_reply(struct api_call *call, unsigned status, json_t *out);
void api_fail(struct api_call *call, int rc, const struct why *why);

struct store_txn *api_read(struct api_call *call);
/* A member of the body; "" when absent or not a string. */
const char *api_str(const struct api_call *call, const char *name);
/* A query parameter as a number; fallback when absent, clamped to max. */
size_t api_limit(struct api_call *call, const char *name, size_t fallback, size_t max);
/* Resolves an id or unique prefix; answers 404 or 409 itself and returns non-zero. */
int api_find(struct api_call *call, struct store_txn *txn, const struct store_table *table,
	     const char *prefix, char out[static TOKEN_MAX + 1]);
/* The name under which a change is made: who asks, as they logged in; nobody by name: what they
 * give as "by", which must be printable, short, and no name of people:. Answers 400 or 403 itself.
 */
const char *api_by(struct api_call *call, const char *given);

#endif
