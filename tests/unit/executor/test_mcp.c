#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/mem.h"
#include "executor/mcp/mcp_rpc.h"
#include "executor/mcp/mcp_schema.h"
#include "executor/mcp/mcp_session.h"
#include "executor/runners/mcp_talk.h"

/* ---- JSON-RPC ---- */

static void test_messages(void **state)
{
	static const struct {
		const char *text;
		int code; /* 0: good */
		enum rpc_kind kind;
	} t[] = {
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", 0, RPC_IS_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"ping\",\"params\":{}}", 0,
		 RPC_IS_REQUEST},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"x\"}", 0, RPC_IS_NOTIFICATION},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", 0, RPC_IS_RESPONSE},
		{"", RPC_PARSE, 0},
		{"{", RPC_PARSE, 0},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"}", RPC_PARSE, 0},
		{"[]", RPC_REQUEST, 0},
		{"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", RPC_REQUEST, 0},
		{"{\"id\":1,\"method\":\"ping\"}", RPC_REQUEST, 0},
		{"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"ping\"}", RPC_REQUEST, 0},
		{"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", RPC_REQUEST, 0},
		{"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}", RPC_REQUEST, 0},
		{"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}", RPC_REQUEST, 0},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", RPC_REQUEST, 0},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[]}", RPC_REQUEST,
		 0},
		{"{\"jsonrpc\":\"2.0\",\"result\":{}}", RPC_REQUEST, 0},
		{"{\"jsonrpc\":\"2.0\",\"id\":1}", RPC_REQUEST, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct rpc_message m;
		enum rpc_code code = 0;
		struct why why = {0};
		int rc = rpc_parse(t[i].text, strlen(t[i].text), &m, &code, &why);
		if ((rc != 0) != (t[i].code != 0) || (int)code != t[i].code)
			fail_msg("%s: %d, code %d", t[i].text, rc, (int)code);
		if (!rc)
			assert_int_equal(m.kind, t[i].kind);
		else
			assert_true(why.text[0] && !m.root);
		rpc_release(&m);
	}
}

static void assert_json(json_t *o, const char *want)
{
	auto_free char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, want);
	json_decref(o);
}

static void test_answers(void **state)
{
	(void)state;
	json_t *id = json_string("x\ny");
	assert_json(rpc_result(id, json_object()),
		    "{\"id\":\"x\\ny\",\"jsonrpc\":\"2.0\",\"result\":{}}");
	assert_json(rpc_error(NULL, RPC_PARSE, "why"),
		    "{\"error\":{\"code\":-32700,\"message\":\"why\"},\"id\":null,\"jsonrpc\":"
		    "\"2.0\"}");
	json_decref(id);
	assert_int_equal(rpc_code_of(ERR_INVALID), RPC_PARAMS);
	assert_int_equal(rpc_code_of(ERR_NOT_FOUND), RPC_NO_RESOURCE);
	assert_int_equal(rpc_code_of(ERR_TIMEOUT), RPC_INTERNAL);
}

/* ---- tools as agents see them ---- */

static char *tools[] = {(char *)"t*", NULL};

static struct target targets[] = {{.id = (char *)"one", .tools = tools, .n_tools = 1},
				  {.id = (char *)"two", .tools = tools, .n_tools = 1}};

static struct param_def params[] = {
	{.name = (char *)"run", .type = PARAM_STRING, .required = true, .help = (char *)"which"},
	{.name = (char *)"port", .type = PARAM_INT, .min = 1, .max = 65535},
	{.name = (char *)"text", .type = PARAM_TEXT},
};

static struct tool tool = {.name = (char *)"tool",
			   .summary = (char *)"Does it",
			   .level = HEALBUS__LEVEL__LEVEL_HARD,
			   .params = {.items = params, .n = ARRAY_SIZE(params)}};

static struct executor_config config = {.inventory = {.targets = targets, .n = 2}};

static void test_schema(void **state)
{
	(void)state;
	json_t *o = mcp_tool_json(&config, &tool);
	json_t *schema = json_incref(json_object_get(o, "inputSchema"));
	assert_json(json_incref(json_object_get(o, "annotations")),
		    "{\"destructiveHint\":true,\"idempotentHint\":false,\"openWorldHint\":false,"
		    "\"readOnlyHint\":false}");
	assert_json(json_incref(json_object_get(schema, "required")), "[\"run\",\"target\"]");
	json_t *properties = json_object_get(schema, "properties");
	assert_json(json_incref(json_object_get(properties, "run")),
		    "{\"description\":\"which\",\"pattern\":\"^(?:[a-zA-Z0-9][a-zA-Z0-9._-]{0,62})$"
		    "\",\"type\":\"string\"}");
	assert_json(json_incref(json_object_get(properties, "port")),
		    "{\"maximum\":65535,\"minimum\":1,\"type\":\"integer\"}");
	assert_json(json_incref(json_object_get(properties, "text")),
		    "{\"maxLength\":131072,\"type\":\"string\"}");
	json_decref(schema);
	json_decref(o);
}

static void test_offered(void **state)
{
	(void)state;
	struct tool t = tool;
	assert_true(mcp_tool_offered(&config, &t));
	assert_null(mcp_only_target(&config, &t));
	t.level = HEALBUS__LEVEL__LEVEL_FORBIDDEN;
	assert_false(mcp_tool_offered(&config, &t));
	t = tool;
	t.name = (char *)"other";
	assert_false(mcp_tool_offered(&config, &t));
	struct param_def own[] = {{.name = (char *)"target", .type = PARAM_STRING}};
	t = tool;
	t.params = (struct params_def){own, 1};
	assert_false(mcp_tool_offered(&config, &t));
}

static void test_arguments(void **state)
{
	static const struct {
		const char *json;
		const char *why; /* NULL: good */
	} t[] = {
		{"{\"target\":\"one\",\"run\":\"x\",\"port\":7,\"text\":\"a\\nb\"}", NULL},
		{"{\"target\":\"one\",\"run\":null,\"other\":true}", NULL},
		{"{\"run\":\"x\"}", "target: missing; several allow tool"},
		{"{\"target\":7}", "target: must be an id"},
		{"{\"target\":\"../x\"}", "target: must be an id"},
		{"{\"target\":\"one\",\"incident\":\"a b\"}", "incident: must be an id"},
		{"{\"target\":\"one\",\"run\":{}}", "run: must be text, a number, true or false"},
		{"{\"target\":\"one\",\"run\":[\"x\"]}",
		 "run: must be text, a number, true or false"},
		{"{\"target\":\"one\",\"run\":\"a\\u0000b\"}", "run: holds a NUL"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct arena arena = {0};
		struct why why = {0};
		json_t *o = json_loads(t[i].json, JSON_ALLOW_NUL, NULL);
		struct mcp_ask ask = {
			.config = &config, .tool = &tool, .arguments = o, .arena = &arena};
		int rc = mcp_step(&ask, &why);
		assert_string_equal(why.text, t[i].why ? t[i].why : "");
		assert_int_equal(rc, t[i].why ? ERR_INVALID : 0);
		if (i == 0) {
			assert_int_equal(ask.step->n_params, 3);
			assert_string_equal(ask.step->params[2]->text_value, "a\nb");
			assert_int_equal(ask.step->params[1]->int_value, 7);
		}
		arena_release(&arena);
		json_decref(o);
	}
}

/* ---- sessions ---- */

static void test_sessions(void **state)
{
	(void)state;
	struct mcp_sessions *all = mcp_sessions_new();
	char first[MCP_SESSION_BYTES], id[MCP_SESSION_BYTES], who[MCP_NAME_BYTES];
	mcp_session_open(all, "a <b>\n\"c\"", 1, first);
	assert_int_equal(mcp_session_touch(all, first, 1, who), 0);
	assert_string_equal(who, "abc");
	mcp_session_name(all, first, "***");
	mcp_session_touch(all, first, 1, who);
	assert_string_equal(who, "unnamed");
	assert_int_equal(mcp_session_touch(all, "", 1, who), ERR_NOT_FOUND);
	assert_int_equal(mcp_session_touch(all, NULL, 1, who), ERR_NOT_FOUND);
	/* The one that was silent longest makes room. */
	for (int i = 0; i < MCP_SESSIONS_MAX; i++)
		mcp_session_open(all, "x", 2 + i, id);
	assert_int_equal(mcp_session_touch(all, first, 9, who), ERR_NOT_FOUND);
	assert_int_equal(mcp_session_touch(all, id, 9, who), 0);
	assert_int_equal(mcp_session_end(all, id), 0);
	assert_int_equal(mcp_session_end(all, id), ERR_NOT_FOUND);
	assert_int_equal(mcp_session_say(all, id, "message", "{}"), ERR_NOT_FOUND);
	mcp_sessions_free(all);
}

/* ---- conversations with servers of others ---- */

static void test_pin(void **state)
{
	static const char *const same[] = {
		"{\"name\":\"a\",\"description\":\"b\",\"inputSchema\":{\"x\":1,\"y\":2}}",
		"{\"inputSchema\":{\"y\":2,\"x\":1},\"title\":\"new\",\"description\":\"b\","
		"\"name\""
		":\"a\"}",
	};
	static const char *const other[] = {
		"{\"name\":\"a\",\"description\":\"B\",\"inputSchema\":{\"x\":1,\"y\":2}}",
		"{\"name\":\"a\",\"description\":\"b\",\"inputSchema\":{\"x\":1,\"y\":3}}",
		"{\"name\":\"a\",\"description\":\"b\"}",
		"{\"name\":\"c\",\"description\":\"b\",\"inputSchema\":{\"x\":1,\"y\":2}}",
	};
	char want[MCP_PIN_BYTES], pin[MCP_PIN_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(same) + ARRAY_SIZE(other); i++) {
		bool is_same = i < ARRAY_SIZE(same);
		json_t *o = json_loads(is_same ? same[i] : other[i - ARRAY_SIZE(same)], 0, NULL);
		mcp_tool_pin(o, i ? pin : want);
		if (i)
			assert_int_equal(str_eq(pin, want), is_same);
		json_decref(o);
	}
}

static const struct mcp_server server = {.name = (char *)"s"};

static void hear(struct mcp_talk *t, const char *text)
{
	json_t *o = json_loads(text, 0, NULL);
	assert_non_null(o);
	mcp_talk_take(t, o);
	json_decref(o);
}

static void must_say(struct mcp_talk *t, const char *part)
{
	auto_free char *text = mcp_talk_next(t);
	if (!text || !strstr(text, part))
		fail_msg("said %s, not %s", text ? text : "nothing", part);
}

#define HELLO "{\"id\":1,\"result\":{\"protocolVersion\":\"2025-06-18\"}}"

static void test_talk(void **state)
{
	(void)state;
	char pin[MCP_PIN_BYTES];
	json_t *remote = json_pack("{s:s, s:{}}", "name", "go", "inputSchema");
	json_t *arguments = json_pack("{s:i}", "n", 1);
	mcp_tool_pin(remote, pin);
	struct mcp_talk t = {.server = &server, .tool = "go", .pin = pin, .arguments = arguments};
	mcp_talk_start(&t);
	must_say(&t, "\"initialize\"");
	assert_null(mcp_talk_next(&t));
	/* What is not the answer that is awaited is not heard. */
	hear(&t, "{\"id\":9,\"result\":{\"protocolVersion\":\"x\"}}");
	hear(&t, "{\"id\":1,\"method\":\"sampling/createMessage\",\"params\":{}}");
	hear(&t, "[]");
	assert_null(mcp_talk_next(&t));
	hear(&t, HELLO);
	must_say(&t, "notifications/initialized");
	must_say(&t, "tools/list");
	hear(&t, "{\"id\":2,\"result\":{\"tools\":[{\"name\":7},3],\"nextCursor\":\"c\"}}");
	must_say(&t, "\"cursor\":\"c\"");
	assert_false(t.called);
	hear(&t, "{\"id\":3,\"result\":{\"tools\":[{\"name\":\"go\",\"inputSchema\":{}}]}}");
	must_say(&t, "\"arguments\":{\"n\":1}");
	assert_true(t.called);
	hear(&t, "{\"id\":4,\"result\":{\"content\":[]}}");
	assert_true(t.done && t.result && !t.rc);
	mcp_talk_release(&t);
	json_decref(arguments);
	json_decref(remote);
}

static void test_talk_ends(void **state)
{
	static const struct {
		const char *said[2];
		int rc;
	} t[] = {
		{{"{\"id\":1,\"result\":{\"protocolVersion\":\"1999\"}}"}, ERR_UNSUPPORTED},
		{{"{\"id\":1,\"result\":{}}"}, ERR_UNSUPPORTED},
		{{"{\"id\":1,\"error\":{\"code\":1,\"message\":\"\\u001b[2J\"}}"}, ERR_REJECTED},
		{{"{\"id\":1,\"error\":7}"}, ERR_REJECTED},
		{{HELLO, "{\"id\":2,\"result\":{\"tools\":{}}}"}, ERR_NOT_FOUND},
		{{HELLO, "{\"id\":2,\"result\":{\"tools\":[{\"name\":\"go\"}]}}"}, ERR_DENIED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct mcp_talk talk = {.server = &server, .tool = "go", .pin = "none"};
		mcp_talk_start(&talk);
		for (size_t k = 0; k < 2 && t[i].said[k]; k++)
			hear(&talk, t[i].said[k]);
		assert_int_equal(talk.rc, t[i].rc);
		assert_true(talk.done && !talk.called && !strchr(talk.why.text, '\x1b'));
		mcp_talk_release(&talk);
	}
}

static void test_result_text(void **state)
{
	(void)state;
	auto_buf out = {0};
	json_t *o = json_loads("{\"content\":[{\"type\":\"text\",\"text\":\"abc\"},{\"type\":"
			       "\"image\",\"data\":\"AAAA\"},{\"type\":\"text\",\"text\":7},5]}",
			       0, NULL);
	mcp_result_text(o, &out, 1000);
	assert_string_equal(buf_str(&out), "abc\n[image, not shown]\n[text, not shown]\n"
					   "[something, not shown]\n");
	buf_reset(&out);
	mcp_result_text(o, &out, 6);
	assert_string_equal(buf_str(&out), "abc\n[i");
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_messages),  cmocka_unit_test(test_answers),
		cmocka_unit_test(test_schema),    cmocka_unit_test(test_offered),
		cmocka_unit_test(test_arguments), cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_pin),       cmocka_unit_test(test_talk),
		cmocka_unit_test(test_talk_ends), cmocka_unit_test(test_result_text),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
