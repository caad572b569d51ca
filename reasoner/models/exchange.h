/* One try of one provider: made, judged, and told. Any thread. */
#ifndef REASONER_MODELS_EXCHANGE_H
#define REASONER_MODELS_EXCHANGE_H

#include "common/id.h"
#include "reasoner/models/kind.h"
#include "reasoner/models/purse.h"

struct exchange {
	const struct model_provider *provider;
	const struct model_call *call; /* what it is asked; borrowed */
	bool asked;                    /* or taken from the cache; else it was passed over */
	json_t *json;                  /* the answer, when it is good; released with the rest */
	char id[ID_BYTES];
	int64_t started_at_ms;
	int64_t took_ms;
	struct buf answer;   /* what the model said */
	struct why error;    /* empty: the answer is good */
	struct cost counted; /* by the provider; zero: it did not say */
	struct cost charged;
	bool cached;
	/* What comes of it. */
	bool up;      /* the provider works, whatever it said */
	bool limited; /* it wants to be left alone for wait_ms */
	int64_t wait_ms;
	bool unbilled; /* nothing was sent, or it answered with an error */
	/* What the message says besides. */
	int budget_permille; /* of the day's, used; negative: none */
	bool left_alone;     /* the breaker is open */
};

/* Begins the n-th of a question; its id is a hash of both, the provider and the moment. */
void exchange_init(struct exchange *e, const struct model_question *q,
		   const struct model_call *call, size_t n);
void exchange_release(struct exchange *e);

/*
 * Sends the body and judges the answer: 0 and e->json, which meets the schema. ERR_SCHEMA: an
 * answer that does not meet the schema, so that asking again may help. ERR_CLOSED: stopping. Any
 * other: ask another provider. e->error says why. Blocks up to timeout_ms.
 */
int exchange_make(struct exchange *e, struct http_client *http, const char *body,
		  int64_t timeout_ms);

/* To q->say, cut to the limits of the wire. */
void exchange_say(const struct exchange *e, const struct model_question *q);

#endif
