/*
 * The executor as an MCP server (Model Context Protocol 2025-06-18, 2025-03-26; the older SSE
 * transport of 2024-11-05): agents see the catalogue as tools, and incidents and stories as
 * resources. A tool call changes nothing here: it becomes Control{CALL} on the bus, of which the
 * reasoner makes a plan, so that policy, approvals, rates, locks, journal and audit hold for agents
 * as for anybody. The call is answered with the plan's outcome, or with what it waits for; the tool
 * healbus_outcome tells later how it went on.
 *
 * Handlers run on the HTTP server's threads and do not block; what asks the bus is done by the one
 * thread in mcp_run. Off unless mcp.enabled.
 */
#ifndef EXECUTOR_MCP_H
#define EXECUTOR_MCP_H

#include "common/stage.h"
#include "executor/journal.h"

struct mcp;

struct mcp *mcp_new(struct stage *s, struct journal *journal);
/* After mcp_run returned and the HTTP server is closed. NULL is fine. */
void mcp_free(struct mcp *m);
/* Until the stage stops. */
void mcp_run(struct mcp *m);

void mcp_on_post(struct mcp *m, struct http_request *req);    /* POST /mcp */
void mcp_on_get(struct mcp *m, struct http_request *req);     /* GET /mcp */
void mcp_on_delete(struct mcp *m, struct http_request *req);  /* DELETE /mcp */
void mcp_on_sse(struct mcp *m, struct http_request *req);     /* GET /sse */
void mcp_on_message(struct mcp *m, struct http_request *req); /* POST /messages */

#endif
