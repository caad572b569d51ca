#include "executor/runners/mcp_talk.h"

#include <stdarg.h>

#include "common/mem.h"

enum { PHASE_HELLO, PHASE_LIST, PHASE_CALL };

#define OUR_VERSION "2025-06-18"

void mcp_talk_fail(struct mcp_talk *t, int rc, const char *fmt, ...)
{
	va_list args;
	char text[WHY_TEXT_BYTES];
	if (t->done)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	t->rc = why_set(&t->why, rc, "mcp server %s: %s", t->server->name, text);
	t->done = true;
}

void mcp_talk_release(struct mcp_talk *t)
{
	json_decref(t->outbox);
	json_decref(t->history);
	json_decref(t->tools);
	json_decref(t->result);
	t->outbox = t->history = t->tools = t->result = NULL;
}

/* ---- what we say ---- */

static void ask(struct mcp_talk *t, const char *method, json_t *params)
{
	json_array_append_new(t->outbox, json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id",
						   ++t->asked, "method", method, "params", params));
}

void mcp_talk_start(struct mcp_talk *t)
{
	t->outbox = json_array();
	t->history = json_array();
	t->tools = json_array();
	ask(t, "initialize",
	    json_pack("{s:s, s:{}, s:{s:s, s:s}}", "protocolVersion", OUR_VERSION, "capabilities",
		      "clientInfo", "name", "healbus-executor", "version", HEALBUS_VERSION));
}

static void ask_list(struct mcp_talk *t, const json_t *cursor)
{
	json_t *params = json_object();
	if (cursor)
		json_object_set_new(params, "cursor", json_deep_copy(cursor));
	t->phase = PHASE_LIST;
	ask(t, "tools/list", params);
}

static void ask_call(struct mcp_talk *t)
{
	t->phase = PHASE_CALL;
	ask(t, "tools/call",
	    json_pack("{s:s, s:o}", "name", t->tool, "arguments", json_deep_copy(t->arguments)));
}

char *mcp_talk_next(struct mcp_talk *t)
{
	json_t *message = json_array_get(t->outbox, 0);
	if (!message)
		return NULL;
	char *text = json_dumps(message, JSON_COMPACT);
	json_array_append(t->history, message);
	json_array_remove(t->outbox, 0);
	t->called |= t->phase == PHASE_CALL;
	return text;
}

/* ---- what we hear ---- */

static void hear_hello(struct mcp_talk *t, const json_t *result)
{
	static const char *const known[] = {"2025-06-18", "2025-03-26", "2024-11-05"};
	const char *version = json_string_value(json_object_get(result, "protocolVersion"));
	for (size_t i = 0; version && i < ARRAY_SIZE(known); i++) {
		if (!str_eq(known[i], version))
			continue;
		json_array_append_new(t->outbox,
				      rpc_notification("notifications/initialized", json_object()));
		ask_list(t, NULL);
		return;
	}
	mcp_talk_fail(t, ERR_UNSUPPORTED, "speaks no version of the protocol that we do");
}

static void check_pin(struct mcp_talk *t, const json_t *tool)
{
	char pin[MCP_PIN_BYTES];
	mcp_tool_pin(tool, pin);
	if (str_eq(pin, t->pin))
		ask_call(t);
	else
		mcp_talk_fail(
			t, ERR_DENIED,
			"tool %s is not the one that was pinned (it is now sha256:%s): look at "
			"what changed, then healbus-executor mcp pin %s",
			t->tool, pin, t->server->name);
}

static void hear_list(struct mcp_talk *t, const json_t *result)
{
	size_t i;
	json_t *tool;
	const json_t *cursor = json_object_get(result, "nextCursor");
	json_array_foreach(json_object_get(result, "tools"), i, tool)
	{
		const char *name = json_string_value(json_object_get(tool, "name"));
		if (t->tool && name && str_eq(name, t->tool)) {
			check_pin(t, tool);
			return;
		}
		json_array_append(t->tools, tool);
	}
	if (json_is_string(cursor) && ++t->pages < MCP_PAGES_MAX)
		ask_list(t, cursor);
	else if (t->tool)
		mcp_talk_fail(t, ERR_NOT_FOUND, "has no tool %s", t->tool);
	else
		t->done = true;
}

static void hear_result(struct mcp_talk *t, const json_t *result)
{
	t->result = json_deep_copy(result);
	t->done = true;
}

static void (*const hear[])(struct mcp_talk *t, const json_t *result) = {
	[PHASE_HELLO] = hear_hello,
	[PHASE_LIST] = hear_list,
	[PHASE_CALL] = hear_result,
};

void mcp_talk_take(struct mcp_talk *t, const json_t *message)
{
	const json_t *id = json_object_get(message, "id");
	const json_t *result = json_object_get(message, "result");
	const json_t *error = json_object_get(message, "error");
	if (t->done || json_object_get(message, "method") || !json_is_integer(id) ||
	    json_integer_value(id) != t->asked)
		return;
	if (json_is_object(result)) {
		hear[t->phase](t, result);
		return;
	}
	const char *text = json_string_value(json_object_get(error, "message"));
	auto_buf shown = {0};
	buf_add_printable(&shown, text ? text : "no reason", text ? strlen(text) : 9);
	mcp_talk_fail(t, ERR_REJECTED, "%.200s", buf_str(&shown));
}

/* ---- digests and texts ---- */

void mcp_tool_pin(const json_t *tool, char out[static MCP_PIN_BYTES])
{
	static const char *const keys[] = {"name", "description", "inputSchema"};
	uint8_t digest[DIGEST_BYTES];
	json_t *o = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_object_get(tool, keys[i]))
			json_object_set(o, keys[i], json_object_get(tool, keys[i]));
	auto_free char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	digest_sha256(text, strlen(text), digest);
	hex_encode(digest, sizeof(digest), out);
}

static void add_part(const json_t *part, struct buf *out)
{
	const char *type = json_string_value(json_object_get(part, "type"));
	const json_t *text = json_object_get(part, "text");
	if (type && str_eq(type, "text") && json_is_string(text)) {
		buf_add(out, json_string_value(text), json_string_length(text));
		buf_add_char(out, '\n');
	} else {
		buf_printf(out, "[%.32s, not shown]\n", type ? type : "something");
	}
}

void mcp_result_text(const json_t *result, struct buf *out, size_t max)
{
	size_t i;
	json_t *part;
	json_array_foreach(json_object_get(result, "content"), i, part)
	{
		if (out->len >= max)
			break;
		add_part(part, out);
	}
	if (out->len > max) {
		out->len = max;
		out->data[max] = 0;
	}
}
