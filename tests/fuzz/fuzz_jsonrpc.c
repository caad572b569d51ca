/* JSON-RPC from strangers: requests to our MCP server, and what the servers of others answer. A
 * message that is taken has its parts; a conversation never calls what its pin does not name, and
 * its result is bounded. */
#include "executor/mcp/mcp_rpc.h"
#include "executor/runners/mcp_talk.h"
#include "tests/fuzz/fuzz.h"

enum { RESULT_MAX = 512 };

static void check_message(const uint8_t *data, size_t size)
{
	struct rpc_message m;
	enum rpc_code code = 0;
	struct why why = {0};
	if (rpc_parse((const char *)data, size, &m, &code, &why)) {
		MUST(why.text[0] && !m.root && (code == RPC_PARSE || code == RPC_REQUEST));
		return;
	}
	MUST((m.kind == RPC_IS_RESPONSE) == !m.method);
	MUST(m.kind == RPC_IS_NOTIFICATION || m.id);
	MUST(!m.params || json_is_object(m.params));
	json_t *answer = rpc_result(m.id, json_object());
	char *text = json_dumps(answer, JSON_COMPACT);
	MUST(text && !strchr(text, '\n'));
	free(text);
	json_decref(answer);
	rpc_release(&m);
}

/* Each line is what the server says next. */
static void check_talk(const uint8_t *data, size_t size)
{
	static const struct mcp_server server = {.name = (char *)"s"};
	struct mcp_talk t = {.server = &server, .tool = "go", .pin = "not a digest"};
	mcp_talk_start(&t);
	for (size_t at = 0; at < size && !t.done;) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t len = end ? (size_t)(end - data) - at : size - at;
		json_t *o = json_loadb((const char *)data + at, len, 0, NULL);
		if (o)
			mcp_talk_take(&t, o);
		json_decref(o);
		at += len + 1;
		for (char *text; (text = mcp_talk_next(&t));)
			free(text);
	}
	MUST(!t.called && !t.result);
	MUST(!t.rc || t.why.text[0]);
	mcp_talk_release(&t);
}

static void check_result(const uint8_t *data, size_t size)
{
	struct buf out = {0};
	json_t *o = json_loadb((const char *)data, size, 0, NULL);
	if (o)
		mcp_result_text(o, &out, RESULT_MAX);
	MUST(out.len <= RESULT_MAX);
	buf_release(&out);
	json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_message(data, size);
	check_talk(data, size);
	check_result(data, size);
	return 0;
}
