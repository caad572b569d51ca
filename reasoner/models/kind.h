/*
 * A kind of model API: how a question becomes a request body, and what an answer's body says. Pure:
 * no network, no clock. A new kind is one file with one const struct, and its row in table.c.
 */
#ifndef REASONER_MODELS_KIND_H
#define REASONER_MODELS_KIND_H

#include "reasoner/models/models.h"

/* How a model's turn ended. */
enum model_end {
	MODEL_END_ANSWER,
	MODEL_END_REFUSAL, /* it would not */
	MODEL_END_LENGTH,  /* max_tokens reached: what it said is cut */
	MODEL_END_FILTER,  /* the provider kept the answer back */
	MODEL_END_TOOL,    /* it called a tool that nobody offered */
};

struct model_call {
	const struct model_provider *provider;
	const char *system; /* NULL: none */
	const char *prompt;
	const json_t *schema;
};

struct model_reply {
	enum model_end end;
	struct buf text;    /* the answer, or the words of a refusal */
	int64_t tokens_in;  /* as the provider counts; 0: it did not say */
	int64_t tokens_out; /* likewise */
};

struct model_kind {
	const char *name;
	const char *key_header; /* "Authorization" */
	const char *extra;      /* one more header, or NULL */
	bool mapped;            /* wants request and response in the configuration */
	double temperature_max;
	/* *out: a new reference. ERR_INVALID when the question cannot be put (a mapping failed). */
	int (*request)(const struct model_call *call, json_t **out, struct why *out_why);
	/* The body of a 2xx answer. ERR_SCHEMA: it is not what this API answers. */
	int (*reply)(const struct model_provider *p, const json_t *body, struct model_reply *out,
		     struct why *out_why);
};

extern const struct model_kind model_openai_chat;
extern const struct model_kind model_openai_responses;
extern const struct model_kind model_anthropic;
extern const struct model_kind model_http;

/* NULL when there is none of that name. */
const struct model_kind *model_kind_find(const char *name);
/* "openai_chat, openai_responses, ...", for messages. */
const char *model_kind_names(void);
/* "refused to answer", ... for MODEL_END_REFUSAL and on. */
const char *model_end_text(enum model_end end);
/* The reverse of answer, refusal, length, filter, tool; false when it is none of them. */
bool model_end_parse(const char *name, enum model_end *out);

/* What several kinds need. */
static inline void json_release(json_t **json)
{
	json_decref(*json);
}
#define auto_json __attribute__((cleanup(json_release))) json_t *

/* The name under which the schema is sent. */
#define MODEL_SCHEMA_NAME "answer"

/* The text at key, or NULL when there is none or it is no text. Any may be NULL. */
const char *json_text(const json_t *object, const char *key);
/* A count of tokens at key: 0 when it is absent or out of range. */
int64_t json_tokens(const json_t *object, const char *key);

#endif
