/* POST /v1/responses. */
#include "reasoner/models/kind.h"
#include "reasoner/models/schema.h"

static int request(const struct model_call *call, json_t **out, struct why *out_why)
{
	const struct model_provider *p = call->provider;

	json_t *body = json_pack("{s:s, s:s, s:I, s:b, s:b, s:{s:{s:s, s:s, s:b, s:o}}}", "model",
				 p->model, "input", call->prompt, "max_output_tokens",
				 (json_int_t)p->max_tokens, "stream", 0, "store", 0, "text",
				 "format", "type", "json_schema", "name", MODEL_SCHEMA_NAME,
				 "strict", (int)schema_is_closed(call->schema), "schema",
				 schema_without_lengths(call->schema));
	if (!body)
		return why_set(out_why, ERR_INVALID, "the question is not UTF-8");
	if (call->system)
		json_object_set_new(body, "instructions", json_string(call->system));
	if (p->temperature >= 0)
		json_object_set_new(body, "temperature", json_real(p->temperature));
	*out = body;
	return 0;
}

/* A function call is told apart from an answer; reasoning items are passed over. */
static void take_item(const json_t *item, struct model_reply *out)
{
	const char *type = json_text(item, "type");
	size_t i;
	const json_t *part;

	if (!type || str_eq(type, "reasoning"))
		return;
	if (!str_eq(type, "message")) {
		out->end = MODEL_END_TOOL;
		return;
	}
	json_array_foreach(json_object_get(item, "content"), i, part)
	{
		const char *text = json_text(part, "text");
		const char *refusal = json_text(part, "refusal");

		if (refusal) {
			out->end = MODEL_END_REFUSAL;
			buf_reset(&out->text);
		}
		if (refusal || (text && out->end != MODEL_END_REFUSAL))
			buf_add_str(&out->text, refusal ? refusal : text);
	}
}

static int reply(const struct model_provider *p, const json_t *body, struct model_reply *out,
		 struct why *out_why)
{
	const json_t *usage = json_object_get(body, "usage");
	const json_t *output = json_object_get(body, "output");
	const char *status = json_text(body, "status");
	const char *reason = json_text(json_object_get(body, "incomplete_details"), "reason");
	size_t i;
	const json_t *item;

	(void)p;
	out->tokens_in = json_tokens(usage, "input_tokens");
	out->tokens_out = json_tokens(usage, "output_tokens");
	if (!json_is_array(output))
		return why_set(out_why, ERR_SCHEMA, "no output in the answer");
	json_array_foreach(output, i, item)
	{
		take_item(item, out);
	}
	if (status && str_eq(status, "incomplete"))
		out->end = reason && str_eq(reason, "content_filter") ? MODEL_END_FILTER
								      : MODEL_END_LENGTH;
	else if (status && !str_eq(status, "completed"))
		return why_set(out_why, ERR_SCHEMA, "the answer's status is not completed");
	if (out->end == MODEL_END_ANSWER && out->text.len == 0)
		return why_set(out_why, ERR_SCHEMA, "no text in the answer's output");
	return 0;
}

const struct model_kind model_openai_responses = {
	.name = "openai_responses",
	.key_header = "Authorization",
	.temperature_max = 2,
	.request = request,
	.reply = reply,
};
