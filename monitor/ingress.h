/*
 * The door: POST /webhook/<source> -> raw.<source>. Answers 202 {"id":...} once the stream has the
 * body, and never before; 503 with Retry-After when the bus is away, slow or too much is under
 * way; 429 above the source's rate; 400, 401, 404, 413 with a reason. No thread waits for an ack:
 * requests sit in slots, one thread reads the acks and answers.
 *
 * A body that only repeats what the stream acknowledged within `repeat_window` (repeats.h) is
 * answered 202 {"repeat":true} without being stored; one that repeats what is under way waits for
 * that ack, and gets 503 if it does not come.
 */
#ifndef MONITOR_INGRESS_H
#define MONITOR_INGRESS_H

#include "common/stage.h"

struct ingress;
struct ingress *ingress_new(size_t slots);
/* After its thread and the HTTP server have ended. */
void ingress_free(struct ingress *in);

/* Route handler; ctx is the struct stage, whose data is the struct ingress. */
void ingress_webhook(void *ctx, struct http_request *req);
/* More bodies than a few wait for their acks. Any thread. */
bool ingress_is_busy(const struct ingress *in);
/* Stage thread: opens the outlet, reads acks, answers. */
void ingress_thread(struct stage *s);

/* May one more body of this source pass now? GCRA: rate a second, burst at once. Lock-free. */
bool rate_allow(_Atomic int64_t *next_ns, int64_t rate, int64_t burst, int64_t now_ns);

/* A binary-mode CloudEvents request as a structured one. False when the request is none. */
bool cloudevent_structured(const struct http_request *req, struct buf *out);

#endif
