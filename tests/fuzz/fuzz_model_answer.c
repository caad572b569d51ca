/*
 * A provider's body, read as each kind of API; the model's text in it, unfenced and held against a
 * schema. The first byte chooses the kind, and whether the schema is the shipped one or the second
 * half of the input.
 */
#include "reasoner/models/answer.h"
#include "reasoner/models/schema.h"
#include "tests/fuzz/fuzz.h"

static const struct model_kind *const kinds[] = {&model_openai_chat, &model_openai_responses,
						 &model_anthropic, &model_http};

static const char plan[] =
	"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"analysis\",\"steps\"],"
	"\"properties\":{\"analysis\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":9},"
	"\"confidence\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},"
	"\"kind\":{\"enum\":[\"a\",null,2]},"
	"\"steps\":{\"type\":\"array\",\"maxItems\":2,\"items\":{\"type\":[\"object\",\"null\"],"
	"\"properties\":{\"tool\":{\"type\":\"string\"}},\"required\":[\"tool\"]}}}}";

static void check(const struct buf *text, const json_t *schema)
{
	auto_json json = NULL;
	struct why why = {0};
	int rc = answer_json(text, schema, &json, &why);

	MUST((rc == 0) == (json != NULL));
	MUST(rc == 0 || why.text[0]);
	MUST(rc || schema_validate(schema, json, NULL) == 0);
}

static void check_reply(const struct model_provider *p, const struct buf *body,
			const json_t *schema)
{
	auto_json json = NULL;
	struct model_reply r = {0};
	struct why why = {0};
	auto_buf words = {0};

	answer_error(body, &words);
	MUST(words.len <= ANSWER_ERROR_MAX_BYTES);
	if (answer_body(body, &json, &why) == 0 && p->kind->reply(p, json, &r, &why) == 0) {
		MUST(model_end_text(r.end)[0]);
		MUST(r.tokens_in >= 0 && r.tokens_out >= 0);
		check(&r.text, schema);
	} else {
		MUST(why.text[0]);
	}
	buf_release(&r.text);
}

/* Any JSON is a schema or not; one that is may be copied and asked. */
static json_t *schema_of(uint8_t choice, const char *text)
{
	json_t *schema = choice & 0x80 ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	if (schema && schema_check(schema, NULL) == 0) {
		auto_json plain = schema_without_lengths(schema);
		MUST(schema_check(plain, NULL) == 0);
		MUST(schema_is_closed(plain) == schema_is_closed(schema));
		return schema;
	}
	json_decref(schema);
	return json_loads(plan, 0, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t choice = fuzz_take(&data, &size);
	struct model_provider p = {
		.kind = kinds[choice % ARRAY_SIZE(kinds)],
		.response = (char[]){"{text, json, end, tokens_in, tokens_out}"},
	};
	char *text = fuzz_text(data, size);
	size_t half = strcspn(text, "\x01");
	auto_json schema = schema_of(choice, half < size ? text + half + 1 : "");
	auto_buf body = {0};

	buf_add(&body, text, MIN(half, size));
	check_reply(&p, &body, schema);
	check(&body, schema);
	free(text);
	return 0;
}
