/*
 * One consultation: from an incident to a diagnosis. Everything outside is asked through what is
 * given here, so a test needs no stage.
 */
#ifndef REASONER_CONSULT_H
#define REASONER_CONSULT_H

#include "reasoner/config.h"
#include "reasoner/memory/memory_worker.h"

/* All borrowed for the call. */
struct consultation {
	const struct reasoner_config *config;
	struct models *models; /* NULL: nobody is asked */
	struct http_client *http;
	struct memory_worker *memory; /* its store is the fold's */
	const Healbus__ModelExchange *ask;
	struct arena *arena;
	Healbus__Diagnosis *diagnosis; /* initialised; filled */
	void (*say)(void *consultation, const Healbus__ModelExchange *exchange);
	bool (*pause)(void *consultation, int64_t ms);
	void *worker; /* for say and pause */
};

/*
 * Blocks for as long as context and models take: `context.timeout` and the models' time-outs, at
 * most `diagnosis.timeout`. 0 also when little was found: the diagnosis says why. ERR_CLOSED when
 * the process stops, ERR_TOO_LARGE, or what the store says.
 */
int consult(struct consultation *c, struct why *out_why);

#endif
