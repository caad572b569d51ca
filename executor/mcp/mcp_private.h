/* What the files of the MCP server share. */
#ifndef EXECUTOR_MCP_PRIVATE_H
#define EXECUTOR_MCP_PRIVATE_H

#include <pthread.h>

#include "executor/config.h"
#include "executor/mcp/mcp.h"
#include "executor/mcp/mcp_rpc.h"
#include "executor/mcp/mcp_session.h"

enum {
	MCP_QUEUE_MAX = 256, /* requests that wait for the thread */
	MCP_CALLS_MAX = 64,  /* tool calls that wait for their outcome */
	MCP_POLL_MS = 100,
	MCP_IDLE_MS = 500,
};

/* Of a tool call that was asked for. */
struct mcp_call {
	char incident[TOKEN_MAX + 1];
	char plan[ID_BYTES];
	int64_t deadline_ms; /* monotonic: then the answer is how far it is */
	json_t *token;       /* the client wants to hear of progress; borrowed; NULL: not */
	unsigned said;       /* how often it was told */
	char last[256];      /* what */
};

/* One request under way; owned by whoever has it. */
struct mcp_job {
	struct mcp_job *next;
	struct http_request *req;   /* to be answered; NULL: by stream or session */
	struct http_stream *stream; /* NULL: none of its own */
	char session[MCP_SESSION_BYTES];
	char who[MCP_NAME_BYTES];
	struct rpc_message message;
	const struct mcp_method *method;
	struct mcp_call call;
};

struct mcp {
	struct stage *stage;
	struct journal *journal;
	struct mcp_sessions *sessions;
	pthread_mutex_t lock; /* queue, n_queue, stopped */
	pthread_cond_t wake;
	struct mcp_job *queue;
	size_t n_queue;
	bool stopped;
	struct mcp_job *calls; /* mcp_run's own */
	size_t n_calls;
	_Atomic uint64_t serial;
};

/*
 * Answers one method. 0 with *out_result (new reference), or with NULL there: it is answered later,
 * by mcp_call_poll. Errors are answered with rpc_code_of.
 */
struct mcp_method {
	const char *name;
	int (*answer)(struct mcp *m, struct mcp_job *job, json_t **out_result, struct why *out_why);
	bool asks; /* the bus: runs on mcp_run's thread */
};

/* mcp_method.c; NULL: unknown. */
const struct mcp_method *mcp_method_find(const char *name);
/* Is this a version of the protocol that we speak? */
bool mcp_version_known(const char *version);

/* mcp_call.c */
int mcp_tools_call(struct mcp *m, struct mcp_job *job, json_t **out_result, struct why *out_why);
/* The result, when it is there or the call's time is over; NULL: go on waiting. */
json_t *mcp_call_poll(struct mcp *m, struct mcp_job *job);

/* mcp_result.c */
extern const char mcp_outcome_tool[];
json_t *mcp_outcome_tool_json(void);
/* How far a plan is, as the result of a tool. *out_final: nothing will come of waiting: it has
 * ended, or a person must decide. out_now: one line. Asks the bus. */
json_t *mcp_look(struct bus *bus, const struct mcp_call *call, bool *out_final,
		 char out_now[static 256]);
/* {content: [text], isError}; new reference. */
json_t *mcp_text_result(const char *text, bool is_error);

/* mcp_story.c */
int mcp_resources_read(struct mcp *m, struct mcp_job *job, json_t **out_result,
		       struct why *out_why);
json_t *mcp_tools_json(const struct executor_config *config, size_t first, size_t max,
		       size_t *out_next);

/* mcp.c: a message on the job's stream, if it has one. Takes message. */
void mcp_job_tell(struct mcp *m, struct mcp_job *job, json_t *message);

#endif
