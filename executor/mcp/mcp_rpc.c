#include "executor/mcp/mcp_rpc.h"

enum { METHOD_MAX = 128, ID_MAX = 256 };

static int refuse(enum rpc_code *out_code, enum rpc_code code, struct why *out_why,
		  const char *what)
{
	*out_code = code;
	return why_set(out_why, ERR_INVALID, "%s", what);
}

static bool id_valid(const json_t *id)
{
	if (json_is_string(id))
		return json_string_length(id) <= ID_MAX;
	return json_is_integer(id);
}

/* What is wrong with it; NULL: nothing. */
static const char *shape(struct rpc_message *m)
{
	const json_t *version = json_object_get(m->root, "jsonrpc");
	const json_t *method = json_object_get(m->root, "method");
	bool answers = json_object_get(m->root, "result") || json_object_get(m->root, "error");
	if (!json_is_object(m->root))
		return "one message at a time: an object";
	if (!version || !json_is_string(version) || !str_eq(json_string_value(version), "2.0"))
		return "jsonrpc: must be \"2.0\"";
	m->id = json_object_get(m->root, "id");
	if (m->id && !id_valid(m->id))
		return "id: must be text or a whole number";
	m->params = json_object_get(m->root, "params");
	if (m->params && !json_is_object(m->params))
		return "params: must be an object";
	if (method && (!json_is_string(method) || json_string_length(method) > METHOD_MAX))
		return "method: must be a short text";
	if (!method && (!answers || !m->id))
		return "method: missing";
	m->method = json_string_value(method);
	m->kind = !method ? RPC_IS_RESPONSE : m->id ? RPC_IS_REQUEST : RPC_IS_NOTIFICATION;
	return NULL;
}

int rpc_parse(const char *text, size_t len, struct rpc_message *out, enum rpc_code *out_code,
	      struct why *out_why)
{
	json_error_t error;
	*out = (struct rpc_message){.root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error)};
	if (!out->root)
		return refuse(out_code, RPC_PARSE, out_why, "not JSON");
	const char *wrong = shape(out);
	if (!wrong)
		return 0;
	rpc_release(out);
	return refuse(out_code, RPC_REQUEST, out_why, wrong);
}

void rpc_release(struct rpc_message *m)
{
	json_decref(m->root);
	*m = (struct rpc_message){0};
}

static json_t *envelope(const json_t *id)
{
	json_t *o = json_pack("{s:s}", "jsonrpc", "2.0");
	json_object_set_new(o, "id", id ? json_deep_copy(id) : json_null());
	return o;
}

json_t *rpc_result(const json_t *id, json_t *result)
{
	json_t *o = envelope(id);
	json_object_set_new(o, "result", result);
	return o;
}

json_t *rpc_error(const json_t *id, enum rpc_code code, const char *text)
{
	json_t *o = envelope(id);
	json_object_set_new(o, "error",
			    json_pack("{s:i, s:s}", "code", (int)code, "message", text));
	return o;
}

json_t *rpc_notification(const char *method, json_t *params)
{
	return json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params", params);
}

enum rpc_code rpc_code_of(int rc)
{
	if (rc == ERR_UNSUPPORTED)
		return RPC_METHOD;
	if (rc == ERR_NOT_FOUND)
		return RPC_NO_RESOURCE;
	return err_class(rc) == ERR_CLASS_INPUT ? RPC_PARAMS : RPC_INTERNAL;
}
