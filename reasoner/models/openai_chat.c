/* POST /v1/chat/completions, which many other servers speak as well. */
#include "reasoner/models/kind.h"
#include "reasoner/models/schema.h"

static json_t *messages(const struct model_call *call)
{
	json_t *list = json_array();

	if (call->system)
		json_array_append_new(
			list, json_pack("{s:s, s:s}", "role", "system", "content", call->system));
	json_array_append_new(list,
			      json_pack("{s:s, s:s}", "role", "user", "content", call->prompt));
	return list;
}

static int request(const struct model_call *call, json_t **out, struct why *out_why)
{
	const struct model_provider *p = call->provider;

	json_t *body = json_pack("{s:s, s:o, s:I, s:b, s:{s:s, s:{s:s, s:b, s:o}}}", "model",
				 p->model, "messages", messages(call), "max_completion_tokens",
				 (json_int_t)p->max_tokens, "stream", 0, "response_format", "type",
				 "json_schema", "json_schema", "name", MODEL_SCHEMA_NAME, "strict",
				 (int)schema_is_closed(call->schema), "schema",
				 schema_without_lengths(call->schema));
	if (!body)
		return why_set(out_why, ERR_INVALID, "the question is not UTF-8");
	if (p->temperature >= 0)
		json_object_set_new(body, "temperature", json_real(p->temperature));
	*out = body;
	return 0;
}

static int reply(const struct model_provider *p, const json_t *body, struct model_reply *out,
		 struct why *out_why)
{
	static const struct {
		const char *reason;
		enum model_end end;
	} reasons[] = {
		{"stop", MODEL_END_ANSWER},        {"length", MODEL_END_LENGTH},
		{"tool_calls", MODEL_END_TOOL},    {"content_filter", MODEL_END_FILTER},
		{"function_call", MODEL_END_TOOL},
	};
	const json_t *usage = json_object_get(body, "usage");
	const json_t *choice = json_array_get(json_object_get(body, "choices"), 0);
	const json_t *message = json_object_get(choice, "message");
	const char *refusal = json_text(message, "refusal");
	const char *content = json_text(message, "content");
	const char *reason = json_text(choice, "finish_reason");

	(void)p;
	out->tokens_in = json_tokens(usage, "prompt_tokens");
	out->tokens_out = json_tokens(usage, "completion_tokens");
	if (!json_is_object(message))
		return why_set(out_why, ERR_SCHEMA, "no choices[0].message in the answer");
	for (size_t i = 0; reason && i < ARRAY_SIZE(reasons); i++) {
		if (str_eq(reasons[i].reason, reason))
			out->end = reasons[i].end;
	}
	if (refusal && *refusal)
		out->end = MODEL_END_REFUSAL;
	if (out->end == MODEL_END_ANSWER && !content)
		return why_set(out_why, ERR_SCHEMA, "no choices[0].message.content in the answer");
	buf_add_str(&out->text, out->end == MODEL_END_REFUSAL ? refusal : content ? content : "");
	return 0;
}

const struct model_kind model_openai_chat = {
	.name = "openai_chat",
	.key_header = "Authorization",
	.temperature_max = 2,
	.request = request,
	.reply = reply,
};
