/* What models and their providers say, and the schema that answers are held against. */
#include "common/buf.h"
#include "common/mem.h"
#include "reasoner/models/answer.h"
#include "reasoner/models/schema.h"
#include "reasoner/proposal/proposal.h"

#include <setjmp.h>
#include <cmocka.h>

/* ---- schema ---- */

static json_t *json_of(const char *text)
{
	json_error_t error;
	json_t *json = json_loads(text, JSON_DECODE_ANY, &error);

	if (!json)
		fail_msg("%s: %s", text, error.text);
	return json;
}

static const struct {
	const char *schema, *value, *wrong; /* NULL: good */
} schema_cases[] = {
	{"{}", "7", NULL},
	{"{'type':'integer'}", "7", NULL},
	{"{'type':'integer'}", "7.5", "type"},
	{"{'type':'number'}", "7", NULL},
	{"{'type':'boolean'}", "false", NULL},
	{"{'type':['string','null']}", "null", NULL},
	{"{'type':['string','null']}", "1", "type"},
	{"{'type':'object','required':['a']}", "{}", "a: missing"},
	{"{'properties':{'a':{'properties':{'b':{'type':'null'}}}}}", "{'a':{'b':1}}", "a.b: "},
	{"{'properties':{'a':{}},'additionalProperties':false}", "{'a':1}", NULL},
	{"{'properties':{'a':{}},'additionalProperties':false}", "{'b':1}", "b: nobody"},
	{"{'additionalProperties':false}", "{'b':1}", "b: nobody"},
	{"{'items':{'type':'string'}}", "['a',2]", "[1]: "},
	{"{'properties':{'s':{'items':{'required':['t']}}}}", "{'s':[{'t':1},{}]}",
	 "s[1].t: missing"},
	{"{'enum':['a',2,null]}", "2", NULL},
	{"{'enum':['a',2,null]}", "'b'", "none"},
	{"{'minLength':2,'maxLength':3}", "'\xe2\x82\xac\xe2\x82\xac'", NULL},
	{"{'maxLength':1}", "'\xe2\x82\xac\xe2\x82\xac'", "long"},
	{"{'minLength':1}", "''", "short"},
	{"{'minimum':0,'maximum':1}", "0.5", NULL},
	{"{'minimum':0}", "-0.1", "under"},
	{"{'maximum':1}", "2", "over"},
	{"{'maxItems':1}", "[1,2]", "many"},
	{"{'minItems':1}", "[]", "few"},
};

static char *quoted(const char *text)
{
	char *out = mem_strdup(text);

	for (char *c = out; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	return out;
}

static void schemas(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(schema_cases); i++) {
		auto_free char *s = quoted(schema_cases[i].schema);
		auto_free char *v = quoted(schema_cases[i].value);
		auto_json schema = json_of(s);
		auto_json value = json_of(v);
		struct why why = {0};

		assert_int_equal(schema_check(schema, &why), 0);
		int rc = schema_validate(schema, value, &why);
		if (rc != (schema_cases[i].wrong ? ERR_SCHEMA : 0) ||
		    (rc && !strstr(why.text, schema_cases[i].wrong)))
			fail_msg("%s against %s: %d %s", v, s, rc, why.text);
	}
}

static void schemas_that_nobody_would_hold_answers_to(void **state)
{
	static const char *const bad[] = {
		"7",
		"{'pattern':'a'}",
		"{'type':'text'}",
		"{'type':[]}",
		"{'required':'a'}",
		"{'required':[1]}",
		"{'enum':[]}",
		"{'maxLength':-1}",
		"{'additionalProperties':{}}",
		"{'properties':{'a':{'anyOf':[]}}}",
		"{'items':{'$ref':'#'}}",
		"{'items':true}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_free char *text = quoted(bad[i]);
		auto_json schema = json_of(text);
		struct why why = {0};

		if (schema_check(schema, &why) != ERR_INVALID)
			fail_msg("%s is taken", text);
	}
}

/* What the reasoner asks with is of that part, and strict. */
static void schema_of_proposals(void **state)
{
	auto_json schema = proposal_schema();
	struct why why = {0};

	(void)state;
	if (schema_check(schema, &why))
		fail_msg("%s", why.text);
	assert_true(schema_is_closed(schema));
}

static void closed_schemas(void **state)
{
	static const struct {
		const char *schema;
		bool closed;
	} cases[] = {
		{"{'type':'string'}", true},
		{"{'type':'object'}", false},
		{"{'type':['object','null']}", false},
		{"{'type':'object','properties':{'a':{}},'required':['a'],"
		 "'additionalProperties':false}",
		 true},
		{"{'type':'object','properties':{'a':{}},'additionalProperties':false}", false},
		{"{'type':'array','items':{'type':'object'}}", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text = quoted(cases[i].schema);
		auto_json schema = json_of(text);

		if (schema_is_closed(schema) != cases[i].closed)
			fail_msg("%s", text);
	}
	auto_json schema = json_of("{\"properties\":{\"a\":{\"items\":{\"maxLength\":3}}}}");
	auto_json plain = schema_without_lengths(schema);
	auto_free char *text = json_dumps(plain, JSON_COMPACT);
	assert_string_equal(text, "{\"properties\":{\"a\":{\"items\":{}}}}");
}

/* ---- answers ---- */

static const struct {
	const char *text;
	int rc;
	const char *wrong;
} answers[] = {
	{"{\"a\":1}", 0, ""},
	{" \n{\"a\":1}\r\n ", 0, ""},
	{"```json\n{\"a\":1}\n```", 0, ""},
	{"```\n{\"a\":1}\n```\n", 0, ""},
	{"```{\"a\":1}```", ERR_INVALID, "no JSON"},
	{"```json\n{\"a\":1}", ERR_INVALID, "no JSON"},
	{"```json\n```", ERR_INVALID, "empty"},
	{"Here: {\"a\":1}", ERR_INVALID, "no JSON"},
	{"{\"a\":1} I hope this helps", ERR_INVALID, "no JSON"},
	{"{\"a\":1}{\"a\":2}", ERR_INVALID, "no JSON"},
	{"{\"a\":1,\"a\":2}", ERR_INVALID, "duplicate"},
	{"{\"a\":1", ERR_INVALID, "cut short"},
	{"{\"a\":\"\\u00", ERR_INVALID, "JSON"},
	{"", ERR_INVALID, "empty"},
	{"null", ERR_SCHEMA, "type"},
	{"{\"a\":\"1\"}", ERR_SCHEMA, "a: "},
	{"{}", ERR_SCHEMA, "a: missing"},
};

static void answers_of_models(void **state)
{
	auto_json schema = json_of("{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{"
				   "\"a\":{\"type\":\"integer\"}}}");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct buf text = {0};
		json_t *json = NULL;
		struct why why = {0};

		buf_add_str(&text, answers[i].text);
		int rc = answer_json(&text, schema, &json, &why);
		if (rc != answers[i].rc || (rc == 0) != (json != NULL) ||
		    !strstr(why.text, answers[i].wrong))
			fail_msg("%s: %d %s", answers[i].text, rc, why.text);
		json_decref(json);
		buf_release(&text);
	}
}

static const struct {
	const struct model_kind *kind;
	const char *body;
	int rc;
	enum model_end end;
	const char *text;
} replies[] = {
	{&model_openai_chat, "{}", ERR_SCHEMA, 0, ""},
	{&model_openai_chat, "[1]", ERR_SCHEMA, 0, ""},
	{&model_openai_chat, "{'choices':[]}", ERR_SCHEMA, 0, ""},
	{&model_openai_chat, "{'choices':[{'message':{'content':null}}]}", ERR_SCHEMA, 0, ""},
	{&model_openai_chat, "{'choices':[{'message':{'content':[]}}]}", ERR_SCHEMA, 0, ""},
	{&model_openai_chat, "{'choices':[{'message':{'content':'a','refusal':null}}]}", 0,
	 MODEL_END_ANSWER, "a"},
	{&model_openai_chat, "{'choices':[{'finish_reason':'stop','message':{'refusal':'r'}}]}", 0,
	 MODEL_END_REFUSAL, "r"},
	{&model_openai_chat, "{'choices':[{'finish_reason':'length','message':{'content':'a'}}]}",
	 0, MODEL_END_LENGTH, "a"},
	{&model_openai_responses, "{'output':{}}", ERR_SCHEMA, 0, ""},
	{&model_openai_responses, "{'output':[]}", ERR_SCHEMA, 0, ""},
	{&model_openai_responses, "{'status':'failed','output':[]}", ERR_SCHEMA, 0, ""},
	{&model_openai_responses,
	 "{'output':[{'type':'reasoning'},{'type':'message','content':[{'text':'a'},{'text':'b'}]}]"
	 "}",
	 0, MODEL_END_ANSWER, "ab"},
	{&model_openai_responses,
	 "{'output':[{'type':'message','content':[{'text':'a'},{'refusal':'r'},{'text':'b'}]}]}", 0,
	 MODEL_END_REFUSAL, "r"},
	{&model_openai_responses, "{'status':'incomplete','output':[]}", 0, MODEL_END_LENGTH, ""},
	{&model_openai_responses, "{'output':[{'type':'web_search_call'}]}", 0, MODEL_END_TOOL, ""},
	{&model_anthropic, "{'content':'a'}", ERR_SCHEMA, 0, ""},
	{&model_anthropic, "{'content':[]}", ERR_SCHEMA, 0, ""},
	{&model_anthropic, "{'content':[{'type':'text','text':'a'}]}", 0, MODEL_END_ANSWER, "a"},
	{&model_anthropic,
	 "{'content':[{'type':'text','text':'Well.'},"
	 "{'type':'tool_use','name':'answer','input':{'a':0.8}},{'type':'text','text':'So.'}]}",
	 0, MODEL_END_ANSWER, "{\"a\":0.8}"},
	{&model_anthropic, "{'content':[{'type':'tool_use','name':'rm','input':{}}]}", 0,
	 MODEL_END_TOOL, ""},
	{&model_anthropic, "{'stop_reason':'refusal','content':[]}", 0, MODEL_END_REFUSAL, ""},
	{&model_anthropic,
	 "{'stop_reason':'max_tokens','content':[{'type':'tool_use','name':'answer','input':{}}]}",
	 0, MODEL_END_LENGTH, "{}"},
	{&model_http, "{'x':'a'}", 0, MODEL_END_ANSWER, "a"},
	{&model_http, "{'x':{'json':[1]}}", 0, MODEL_END_ANSWER, "[1]"},
	{&model_http, "{'x':{'text':'t','end':'filter'}}", 0, MODEL_END_FILTER, "t"},
	{&model_http, "{'x':{'end':'tool'}}", 0, MODEL_END_TOOL, ""},
	{&model_http, "{'x':{'end':'so'}}", ERR_SCHEMA, 0, ""},
	{&model_http, "{'x':{}}", ERR_SCHEMA, 0, ""},
	{&model_http, "{'x':7}", ERR_SCHEMA, 0, ""},
	{&model_http, "7", ERR_SCHEMA, 0, ""},
};

static void replies_of_apis(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		struct model_provider p = {.kind = replies[i].kind, .response = (char[]){".x"}};
		auto_free char *text = quoted(replies[i].body);
		auto_json body = json_of(text);
		struct model_reply r = {0};
		struct why why = {0};

		int rc = p.kind->reply(&p, body, &r, &why);
		if (rc != replies[i].rc || (rc && !why.text[0]) ||
		    (!rc &&
		     (r.end != replies[i].end || !str_eq(buf_str(&r.text), replies[i].text))))
			fail_msg("%s %s: %d %s, end %d, %s", p.kind->name, text, rc, why.text,
				 r.end, buf_str(&r.text));
		buf_release(&r.text);
	}
}

static void errors_of_providers(void **state)
{
	static const char *const bodies[][2] = {
		{"{\"error\":{\"message\":\"a\\nb\"}}", "a b"},
		{"{\"error\":\"c\"}", "c"},
		{"{\"detail\":\"d\"}", "d"},
		{"<h1>\x1b[31m</h1>", "<h1>\\x1b[31m</h1>"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		auto_buf body = {0};
		auto_buf out = {0};

		buf_add_str(&body, bodies[i][0]);
		answer_error(&body, &out);
		assert_string_equal(buf_str(&out), bodies[i][1]);
	}
	auto_buf text = {0};
	struct secret key = {.data = (char[]){"k1"}, .len = 2};
	buf_add_str(&text, "k1k1 k k1");
	answer_hide(&text, &key);
	assert_string_equal(text.data, "**** k **");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schemas),
		cmocka_unit_test(schemas_that_nobody_would_hold_answers_to),
		cmocka_unit_test(closed_schemas),
		cmocka_unit_test(schema_of_proposals),
		cmocka_unit_test(answers_of_models),
		cmocka_unit_test(replies_of_apis),
		cmocka_unit_test(errors_of_providers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
