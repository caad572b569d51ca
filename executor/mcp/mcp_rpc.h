/*
 * JSON-RPC 2.0 as the Model Context Protocol uses it: one message at a time, ids that are text or
 * whole numbers, parameters by name. Pure; any thread.
 */
#ifndef EXECUTOR_MCP_RPC_H
#define EXECUTOR_MCP_RPC_H

#include "common/base.h"

#include <jansson.h>

#include "common/err.h"

enum rpc_code {
	RPC_PARSE = -32700,
	RPC_REQUEST = -32600, /* not a message, or one that may not come now */
	RPC_METHOD = -32601,
	RPC_PARAMS = -32602,
	RPC_INTERNAL = -32603,
	RPC_NO_RESOURCE = -32002,
};

enum rpc_kind { RPC_IS_REQUEST, RPC_IS_NOTIFICATION, RPC_IS_RESPONSE };

struct rpc_message {
	json_t *root; /* owns the rest */
	enum rpc_kind kind;
	const char *method; /* NULL: a response */
	json_t *id;         /* NULL: a notification */
	json_t *params;     /* an object, or NULL */
};

/* 0, or ERR_INVALID with the code to answer with; *out is then empty. */
int rpc_parse(const char *text, size_t len, struct rpc_message *out, enum rpc_code *out_code,
	      struct why *out_why);
void rpc_release(struct rpc_message *m);

/* Whole messages, new references. result is taken over; id is borrowed, NULL: null. */
json_t *rpc_result(const json_t *id, json_t *result);
json_t *rpc_error(const json_t *id, enum rpc_code code, const char *text);
json_t *rpc_notification(const char *method, json_t *params);

/* The code that fits an error of ours. */
enum rpc_code rpc_code_of(int rc);

#endif
