/*
 * Any API, through two jq programs of the configuration. `request` makes the body from {model,
 * system, prompt, schema, max_tokens, temperature}; `response` makes of the answer's body either
 * the text of the answer, or {text or json, end, tokens_in, tokens_out}.
 */
#include "common/expr.h"
#include "reasoner/models/kind.h"

/* An expression belongs to one thread, and compiling takes 14 ms: less than any model. */
static int run(const char *source, const json_t *input, json_t **out, struct why *out_why)
{
	struct expr *e = NULL;
	int rc = expr_compile(source, &e, out_why);

	if (!rc)
		rc = expr_eval(e, input, out, out_why);
	expr_free(e);
	return rc;
}

static int request(const struct model_call *call, json_t **out, struct why *out_why)
{
	const struct model_provider *p = call->provider;
	json_t *body = NULL;

	auto_json input = json_pack("{s:s, s:s?, s:s, s:O, s:I}", "model", p->model, "system",
				    call->system, "prompt", call->prompt, "schema", call->schema,
				    "max_tokens", (json_int_t)p->max_tokens);
	if (!input)
		return why_set(out_why, ERR_INVALID, "the question is not UTF-8");
	json_object_set_new(input, "temperature",
			    p->temperature >= 0 ? json_real(p->temperature) : json_null());
	int rc = run(p->request, input, &body, out_why);
	if (rc)
		return why_prefix(out_why, ERR_INVALID, "request mapping");
	if (!body)
		return why_set(out_why, ERR_INVALID, "request mapping: it gave nothing");
	*out = body;
	return 0;
}

static int take_object(const json_t *mapped, struct model_reply *out, struct why *out_why)
{
	const json_t *value = json_object_get(mapped, "json");
	const char *text = json_text(mapped, "text");
	const char *end = json_text(mapped, "end");

	out->tokens_in = json_tokens(mapped, "tokens_in");
	out->tokens_out = json_tokens(mapped, "tokens_out");
	if (end && !model_end_parse(end, &out->end))
		return why_set(out_why, ERR_SCHEMA,
			       "response mapping: end is none of answer, refusal, length, filter, "
			       "tool");
	if (text) {
		buf_add_str(&out->text, text);
	} else if (value && !json_is_null(value)) {
		auto_free char *dumped =
			json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
		buf_add_str(&out->text, dumped ? dumped : "");
	} else if (out->end == MODEL_END_ANSWER) {
		return why_set(out_why, ERR_SCHEMA, "response mapping: neither text nor json");
	}
	return 0;
}

static int reply(const struct model_provider *p, const json_t *body, struct model_reply *out,
		 struct why *out_why)
{
	auto_json mapped = NULL;
	int rc = run(p->response, body, &mapped, out_why);

	if (rc)
		return why_prefix(out_why, ERR_SCHEMA, "response mapping");
	if (json_is_object(mapped))
		return take_object(mapped, out, out_why);
	if (!json_is_string(mapped))
		return why_set(out_why, ERR_SCHEMA, "response mapping: neither text nor an object");
	buf_add_str(&out->text, json_string_value(mapped));
	return 0;
}

const struct model_kind model_http = {
	.name = "http",
	.key_header = "Authorization",
	.mapped = true,
	.temperature_max = 2,
	.request = request,
	.reply = reply,
};
