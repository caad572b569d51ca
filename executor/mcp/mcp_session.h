/*
 * Sessions of MCP clients: who they say they are, and the stream on which they listen. A bounded
 * table; the one that was silent longest makes room. All functions: any thread.
 */
#ifndef EXECUTOR_MCP_SESSION_H
#define EXECUTOR_MCP_SESSION_H

#include "common/base.h"

#include "common/http_server.h"
#include "common/id.h"

enum {
	MCP_SESSIONS_MAX = 128,
	MCP_SESSION_BYTES = 2 * ID_LEN + 1,
	MCP_NAME_BYTES = 48,
	MCP_HEARTBEAT_MS = 4000, /* comments on silent streams: below the server's time-out */
};

struct mcp_sessions;

struct mcp_sessions *mcp_sessions_new(void);
void mcp_sessions_free(struct mcp_sessions *all);

/* who: the client's own name for itself; letters, digits, "._-" of it are kept. */
void mcp_session_open(struct mcp_sessions *all, const char *who, int64_t now_ms,
		      char out_id[static MCP_SESSION_BYTES]);
/* Renames it: the older transport opens sessions before clients say who they are. */
void mcp_session_name(struct mcp_sessions *all, const char *id, const char *who);
/* ERR_NOT_FOUND; else it has been used now, and out_who is its name. */
int mcp_session_touch(struct mcp_sessions *all, const char *id, int64_t now_ms,
		      char out_who[static MCP_NAME_BYTES]);
/* Ends it and its stream. */
int mcp_session_end(struct mcp_sessions *all, const char *id);

/* The session's stream, taken over; an earlier one is closed. ERR_NOT_FOUND: it is closed. */
int mcp_session_listen(struct mcp_sessions *all, const char *id, struct http_stream *stream);
/* One event. ERR_NOT_FOUND (no such session, or it does not listen), ERR_FULL, ERR_CLOSED. */
int mcp_session_say(struct mcp_sessions *all, const char *id, const char *event, const char *data);
/* One event to each that listens. */
void mcp_sessions_tell(struct mcp_sessions *all, const char *data);
/* Finds out who has gone. */
void mcp_sessions_beat(struct mcp_sessions *all);

/* "event: message" and the like on a stream. data: one line. */
int mcp_event(struct http_stream *stream, const char *event, const char *data);

#endif
