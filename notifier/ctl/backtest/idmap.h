/* A map from strings to numbers. Strings are kept as 128-bit hashes only. A zeroed one is empty. */
#ifndef NOTIFIER_CTL_BACKTEST_IDMAP_H
#define NOTIFIER_CTL_BACKTEST_IDMAP_H

#include "common/base.h"

struct idmap_slot {
	uint64_t a, b; /* both 0: free */
	uint64_t value;
};

struct idmap {
	struct idmap_slot *slots;
	size_t n, cap;
};

/* The value of a key, for reading and writing; 0 for a new one. Valid until the next call. */
uint64_t *idmap_at(struct idmap *m, const char *key);
/* NULL when the key is not there. */
uint64_t *idmap_find(const struct idmap *m, const char *key);
void idmap_release(struct idmap *m);

#endif
