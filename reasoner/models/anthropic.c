/* POST /v1/messages. Structured output is a forced call of one tool, whose input is the answer. */
#include "reasoner/models/kind.h"

static int request(const struct model_call *call, json_t **out, struct why *out_why)
{
	const struct model_provider *p = call->provider;

	json_t *body = json_pack(
		"{s:s, s:I, s:b, s:[{s:s, s:s}], s:[{s:s, s:s, s:O}], s:{s:s, s:s}}", "model",
		p->model, "max_tokens", (json_int_t)p->max_tokens, "stream", 0, "messages", "role",
		"user", "content", call->prompt, "tools", "name", MODEL_SCHEMA_NAME, "description",
		"Give your answer. Call this once.", "input_schema", call->schema, "tool_choice",
		"type", "tool", "name", MODEL_SCHEMA_NAME);
	if (!body)
		return why_set(out_why, ERR_INVALID, "the question is not UTF-8");
	if (call->system)
		json_object_set_new(body, "system", json_string(call->system));
	if (p->temperature >= 0)
		json_object_set_new(body, "temperature", json_real(p->temperature));
	*out = body;
	return 0;
}

static void take_input(const json_t *block, struct model_reply *out)
{
	const char *name = json_text(block, "name");

	if (!name || !str_eq(name, MODEL_SCHEMA_NAME)) {
		out->end = MODEL_END_TOOL;
		return;
	}
	auto_free char *text = json_dumps(json_object_get(block, "input"),
					  JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	buf_reset(&out->text);
	buf_add_str(&out->text, text ? text : "");
}

/* The input of our tool is the answer; a model that only talks may have put it into its words. */
static void take_content(const json_t *content, struct model_reply *out)
{
	bool called = false;
	size_t i;
	const json_t *block;

	json_array_foreach(content, i, block)
	{
		const char *type = json_text(block, "type");
		const char *text = json_text(block, "text");

		if (type && str_eq(type, "tool_use")) {
			take_input(block, out);
			called = true;
		} else if (type && str_eq(type, "text") && text && !called) {
			buf_add_str(&out->text, text);
		}
	}
}

static int reply(const struct model_provider *p, const json_t *body, struct model_reply *out,
		 struct why *out_why)
{
	static const struct {
		const char *reason;
		enum model_end end;
	} reasons[] = {
		{"max_tokens", MODEL_END_LENGTH},
		{"model_context_window_exceeded", MODEL_END_LENGTH},
		{"refusal", MODEL_END_REFUSAL},
	};
	const json_t *usage = json_object_get(body, "usage");
	const json_t *content = json_object_get(body, "content");
	const char *reason = json_text(body, "stop_reason");

	(void)p;
	out->tokens_in = json_tokens(usage, "input_tokens");
	if (out->tokens_in)
		out->tokens_in += json_tokens(usage, "cache_creation_input_tokens") +
				  json_tokens(usage, "cache_read_input_tokens");
	out->tokens_out = json_tokens(usage, "output_tokens");
	if (!json_is_array(content))
		return why_set(out_why, ERR_SCHEMA, "no content in the answer");
	take_content(content, out);
	for (size_t i = 0; reason && i < ARRAY_SIZE(reasons); i++) {
		if (str_eq(reasons[i].reason, reason))
			out->end = reasons[i].end;
	}
	if (out->end == MODEL_END_ANSWER && out->text.len == 0)
		return why_set(out_why, ERR_SCHEMA,
			       "neither a tool's input nor text in the answer");
	return 0;
}

const struct model_kind model_anthropic = {
	.name = "anthropic",
	.key_header = "x-api-key",
	.extra = "anthropic-version: 2023-06-01",
	.temperature_max = 1,
	.request = request,
	.reply = reply,
};
