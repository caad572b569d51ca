#include "reasoner/models/kind.h"

enum { TOKENS_MAX = 1 << 24 };

static const struct model_kind *const kinds[] = {
	&model_openai_chat,
	&model_openai_responses,
	&model_anthropic,
	&model_http,
};

static const struct {
	const char *name;
	const char *text;
} ends[] = {
	[MODEL_END_ANSWER] = {"answer", "answered"},
	[MODEL_END_REFUSAL] = {"refusal", "the model refused"},
	[MODEL_END_LENGTH] = {"length", "the answer was cut at max_tokens"},
	[MODEL_END_FILTER] = {"filter", "a content filter kept the answer back"},
	[MODEL_END_TOOL] = {"tool", "the model called a tool instead of answering"},
};

const struct model_kind *model_kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (str_eq(kinds[i]->name, name))
			return kinds[i];
	}
	return NULL;
}

const char *model_kind_names(void)
{
	return "openai_chat, openai_responses, anthropic, http";
}

const char *model_end_text(enum model_end end)
{
	return ends[end].text;
}

bool model_end_parse(const char *name, enum model_end *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		if (!str_eq(ends[i].name, name))
			continue;
		*out = (enum model_end)i;
		return true;
	}
	return false;
}

const char *json_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

int64_t json_tokens(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(object, key));

	return n > 0 && n <= TOKENS_MAX ? n : 0;
}
