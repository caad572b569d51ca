/*
 * What a diagnosis needs beside the incident: failure types, specialists, prompts, the way to
 * GitHub, and what must not leave. Loaded with the stage's configuration, read-only afterwards.
 */
#ifndef REASONER_KNOWLEDGE_H
#define REASONER_KNOWLEDGE_H

#include "common/err.h"

struct reasoner_config;

struct knowledge {
	struct failures *failures; /* NULL: nothing is diagnosed */
	struct specialists *specialists;
	struct prompts *prompts; /* NULL without models and agent */
	struct github *github;
	struct redactor *redactor;
};

/* Fills c->knowledge and what of c->context follows from it. ERR_CONFIG with file:line. Reads
 * files; nothing when `diagnosis.of` is off. */
int knowledge_load(struct reasoner_config *c, struct why *out_why);
void knowledge_release(struct reasoner_config *c);

#endif
