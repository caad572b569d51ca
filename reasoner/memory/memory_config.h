/* What reasoner.yaml says about memory. Plain data, so that the fold may know it. */
#ifndef REASONER_MEMORY_CONFIG_H
#define REASONER_MEMORY_CONFIG_H

#include "common/config.h"
#include "reasoner/memory/statistics.h"

struct memory_store_kind;

/* One of `memory.stores`. */
struct memory_store {
	char *name; /* a token */
	const struct memory_store_kind *kind;
	char *url;
	char *tenant, *database, *collection; /* chroma; tokens */
	char *user;                           /* openmemory; a token */
	char *token_file, *ca_file;           /* may be NULL */
	int64_t timeout_ms;
};

struct memory_stores {
	struct memory_store *items;
	size_t n;
};

/* OpenAI-compatible. url NULL: the built-in vectors, which need nobody. */
struct memory_embeddings {
	char *url;
	char *model;
	char *key_file, *ca_file;
	int64_t timeout_ms;
};

struct memory_config {
	int64_t max;
	int64_t recall;
	double least;
	struct statistic_prior prior;
	struct memory_embeddings embeddings;
	struct memory_stores stores;
};

/* For OPT_TREE; ERR_CONFIG with file:line. */
int memory_stores_parse(void *field, const struct yaml_node *node, struct why *out_why);
void memory_stores_release(void *field);

/* Rows of the option table; f: where the struct memory_config is in T. */
#define MEMORY_OPTIONS(T, f)                                                                       \
	OPT_INT(T, f.max, "memory.max", "100000", 100, 1000000,                                    \
		"Incidents that are remembered. Of more, the oldest are forgotten; those that "    \
		"were healed stay 90 days longer, and each time their fix helped again, 30 days "  \
		"more."),                                                                          \
		OPT_INT(T, f.recall, "memory.recall", "5", 0, 10,                                  \
			"So many of the most alike are told to whoever diagnoses."),               \
		OPT_DOUBLE(T, f.least, "memory.min_similarity", "0.2", 0, 1,                       \
			   "Less alike than this is not recalled."),                               \
		OPT_DOUBLE(T, f.prior.successes, "memory.prior.successes", "1", 0.01, 1000,        \
			   "Success rates start as if so many successes had been seen."),          \
		OPT_DOUBLE(T, f.prior.failures, "memory.prior.failures", "1", 0.01, 1000,          \
			   "And so many failures."),                                               \
		OPT_DOUBLE(T, f.prior.doubt, "memory.prior.doubt", "0.05", 0.0001, 0.5,            \
			   "A rate's lower bound: it is lower with this probability."),            \
		OPT_STRING(T, f.embeddings.url, "memory.embeddings.url", NULL,                     \
			   "Base URL of an OpenAI-compatible API whose /embeddings makes the "     \
			   "vectors of stores that need some (https://api.openai.com/v1). "        \
			   "Without it they are built in, and nothing is sent."),                  \
		OPT_STRING(T, f.embeddings.model, "memory.embeddings.model",                       \
			   "text-embedding-3-small", "Model of the embeddings."),                  \
		OPT_PATH(T, f.embeddings.key_file, "memory.embeddings.key_file", NULL,             \
			 "File with its key."),                                                    \
		OPT_PATH(T, f.embeddings.ca_file, "memory.embeddings.ca_file", NULL,               \
			 "CA certificates, in place of the system's."),                            \
		OPT_DURATION(T, f.embeddings.timeout_ms, "memory.embeddings.timeout", "10s", 100,  \
			     60000, "How long a call may take."),                                  \
		OPT_TREE(                                                                          \
			T, f.stores, "memory.stores", memory_stores_parse, memory_stores_release,  \
			"Other memories that are told, and asked beside the built-in one: a list " \
			"of {name, kind: chroma or openmemory, url, token_file, ca_file, "         \
			"timeout; "                                                                \
			"chroma: tenant, database, collection; openmemory: user}.")

#endif
