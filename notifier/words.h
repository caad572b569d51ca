/* A list of words in the configuration. */
#ifndef NOTIFIER_WORDS_H
#define NOTIFIER_WORDS_H

#include "common/err.h"
#include "common/yaml.h"

struct words {
	char **items;
	size_t n;
};

/* A YAML list of scalars; absent or empty: none. ERR_CONFIG with file:line. */
int words_parse(const struct yaml_node *node, const char *what, struct words *out,
		struct why *out_why);
void words_release(struct words *w);
void words_copy(struct words *to, const struct words *from); /* to: zeroed */
bool words_have(const struct words *w, const char *word);

#endif
