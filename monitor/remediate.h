/*
 * POST /api/remediate/ci-failure: a failed run, told by something that is no GitHub webhook: {
 * "workflow_run": {id, name, conclusion, html_url, head_branch, head_sha, head_commit: {message}},
 * "repository": {full_name}}. It goes the way of a delivery (and counts once, like one); then the
 * request waits up to `remediate_wait` for what comes of it:
 *
 *     {"status": "diagnosed" | "accepted" | "skipped", "incident": id, "specialist": name,
 *      "failure_type": name, "dedup_status": "new" | "existing" | "skipped", "reason": why skipped}
 *
 * with null for what is not known yet. 400 with the field's path for a body that is none; 503 while
 * the bus is away or REMEDIES_MAX wait.
 */
#ifndef MONITOR_REMEDIATE_H
#define MONITOR_REMEDIATE_H

#include "common/stage.h"

enum { REMEDIES_MAX = 64 };

/* Route handler; ctx is the struct stage, whose data is the struct ingress. */
void remediate_ci_failure(void *ctx, struct http_request *req);
/* Stage thread: publishes, waits, answers. */
void remediate_thread(struct stage *s);

#endif
