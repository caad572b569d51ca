/*
 * One conversation with an MCP server of somebody else: initialize, look the tool up, compare its
 * digest with the pinned one, call it. A state machine over JSON messages that knows no transport.
 * What the server says is data: bounded, never followed.
 */
#ifndef EXECUTOR_RUNNERS_MCP_TALK_H
#define EXECUTOR_RUNNERS_MCP_TALK_H

#include "common/http_client.h"
#include "common/id.h"
#include "executor/mcp/mcp_rpc.h"
#include "executor/mcp/mcp_servers.h"
#include "executor/runners/runner.h"

enum {
	MCP_PAGES_MAX = 32,           /* of tools */
	MCP_TALK_MAX_BYTES = 4 << 20, /* all that a server says in one conversation */
	MCP_SESSION_TEXT_MAX = 256,   /* of a session's id, of an endpoint's path: 2048 */
	MCP_ENDPOINT_MAX = 2048,
	MCP_PIN_BYTES = 2 * DIGEST_BYTES + 1,
};

struct mcp_talk {
	/* in; borrowed */
	const struct mcp_server *server;
	const char *tool;        /* NULL: list them all */
	const char *pin;         /* hex digest that the tool must have */
	const json_t *arguments; /* of the call */
	/* state; zeroed */
	unsigned phase;
	json_int_t asked; /* id of the request under way */
	unsigned pages;
	json_t *outbox;  /* what is to be sent, in this order */
	json_t *history; /* what was sent: for transports that begin anew each time */
	bool done;
	bool called; /* the call itself may have reached the server */
	/* out */
	int rc; /* of the conversation; with why */
	struct why why;
	json_t *tools;  /* listing: as the server sent them */
	json_t *result; /* of the call: {content, isError, ...} */
};

void mcp_talk_start(struct mcp_talk *t);
/* One message of the server's. What is not the awaited answer is ignored. */
void mcp_talk_take(struct mcp_talk *t, const json_t *message);
/* The next message to send, as one line, or NULL; free(). */
char *mcp_talk_next(struct mcp_talk *t);
void mcp_talk_fail(struct mcp_talk *t, int rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
void mcp_talk_release(struct mcp_talk *t);

/* SHA-256 of the compact JSON, keys sorted, of the tool's name, description and inputSchema. */
void mcp_tool_pin(const json_t *tool, char out[static MCP_PIN_BYTES]);
/* The text of a call's result: its text parts, and the names of what is none. */
void mcp_result_text(const json_t *result, struct buf *out, size_t max);

/* mcp_transport.c: holds the conversation, within limits->timeout_ms. t->rc tells how it went. */
void mcp_talk_hold(struct mcp_talk *t, const struct run_limits *limits);

/* mcp.c: which server a call with this spec needs. */
const char *mcp_spec_server(const void *spec);

#endif
