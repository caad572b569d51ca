/*
 * GET /api/status: the incidents that go on, as this process's correlators know them: {"incidents":
 * [{incident, name, repository, branch, state, age_ms, firing}], "counts": {open, pending,
 * suppressed}}. repository and branch are null for what has none. At most STATUS_MAX are listed;
 * all are counted.
 */
#ifndef MONITOR_STATUS_H
#define MONITOR_STATUS_H

#include "common/stage.h"

enum { STATUS_MAX = 1000 };

/* Route handler; ctx is the struct stage. */
void status_answer(void *ctx, struct http_request *req);

#endif
