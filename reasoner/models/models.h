/*
 * Asking models: a list of providers in fallback order, each of one kind (models/kind.h), within a
 * budget that is never exceeded, with a cache of answers. What a model says is data from outside:
 * it is parsed, held against the question's schema, and nothing else is done with it here. Keys
 * are read from their file for each call, and are in no message, log or error.
 *
 * The budget is kept on disk: a call's estimate is committed before the call is made and set right
 * afterwards, so that neither threads nor a restart spend twice. What a crash leaves unsettled
 * stays spent.
 */
#ifndef REASONER_MODELS_MODELS_H
#define REASONER_MODELS_MODELS_H

#include <jansson.h>

#include "common/http_client.h"
#include "common/mem.h"
#include "common/yaml.h"
#include "proto/healbus.pb-c.h"

enum {
	MODELS_PROVIDERS_MAX = 16,
	MODELS_BODY_MAX_BYTES = 1 << 20,     /* of a provider's answer; more is refused */
	MODELS_ANSWER_MAX_BYTES = 128 << 10, /* of what the model said in it */
	MODELS_PROMPT_MAX_BYTES = 512 << 10, /* system and prompt together */
};

struct model_kind;
struct models;

struct model_limit {
	int64_t tokens;    /* 0: no limit */
	int64_t micro_usd; /* 0: no limit */
};

struct model_provider {
	char *name;
	const struct model_kind *kind;
	char *url;
	char *model;
	char *key_file;
	char *key_header; /* NULL: the kind's */
	char *ca_file;
	char *request; /* jq, kind http only */
	char *response;
	int64_t timeout_ms;
	int64_t max_tokens;
	int64_t bytes_per_token; /* for estimates */
	double temperature;      /* negative: not sent */
	int64_t price_in;        /* micro-USD per million tokens */
	int64_t price_out;
	int severity;      /* Healbus__Severity; 0: not set */
	double complexity; /* negative: not set */
	struct model_limit day;
};

/* What `models:` of reasoner.yaml says. Immutable once parsed; a zeroed one is "no models". */
struct models_config {
	struct model_provider *providers;
	size_t n_providers;
	struct model_limit incident;
	struct model_limit day;
	int64_t jitter_ms;
	int64_t cache_ttl_ms;
	int64_t cache_entries;
};

/* For OPT_TREE; field is a struct models_config. ERR_CONFIG with file:line. */
int models_parse(void *field, const struct yaml_node *node, struct why *out_why);
void models_release(void *field);

/* False: there is nobody to ask. config may be NULL. */
bool models_configured(const struct models_config *config);

/*
 * What lasts longer than a configuration: spending and cache in <state_dir>/models, and in memory
 * each provider's breaker and rate limit. One for the process; errors as store_open.
 */
int models_open(const char *state_dir, struct models **out, struct why *out_why);
void models_close(struct models *m);

/* All borrowed for the call. */
struct model_question {
	const struct models_config *config;
	const char *incident; /* id; its spending is counted under it */
	const char *ask;      /* id of the MODEL_ASKED it belongs to; NULL: none */
	uint32_t attempt;
	const char *purpose; /* plan, classify, summarise; NULL: none */
	Healbus__Severity severity;
	double complexity;  /* 0-1 */
	const char *system; /* NULL: none */
	const char *prompt; /* redacted by the caller */
	/* What the answer must be, in the subset that schema.h describes; an object at the top. */
	const json_t *schema;
	int64_t deadline_ms; /* by clock_mono_ms(); 0: only the providers' time-outs count */
	/* Each exchange, as it ends: also failed ones, cached ones, and providers passed over. The
	 * message dies with the call. NULL: nobody listens. */
	void (*say)(void *ctx, const Healbus__ModelExchange *exchange);
	/* Waits ms, or less when stopping, which it returns. NULL: no jitter, no waiting. */
	bool (*pause)(void *ctx, int64_t ms);
	void *ctx; /* of say and pause */
};

struct model_answer {
	json_t *json;                            /* the caller's reference; meets the schema */
	const char *exchange, *provider, *model; /* in the arena */
	bool cached;
};

/*
 * Asks the providers that the question deserves, in order, until one gives an answer that meets
 * the schema. Blocks up to the deadline (or the sum of the time-outs). Any thread, each with an
 * http client of its own.
 * ERR_NOT_FOUND: none configured, or none for such a question. ERR_DENIED: the budget is used up.
 * ERR_BUSY: rate limits or breakers leave nobody to ask now. ERR_TIMEOUT: the deadline passed.
 * ERR_CLOSED: stopping. ERR_INVALID: the question itself. ERR_UNAVAILABLE: all failed. out_why says
 * for each provider what was wrong with it.
 */
int models_ask(struct models *m, struct http_client *http, const struct model_question *q,
	       struct arena *arena, struct model_answer *out, struct why *out_why);

#endif
