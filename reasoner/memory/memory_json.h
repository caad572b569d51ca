/* Memory and statistics as JSON, for people who ask. New references. */
#ifndef REASONER_MEMORY_JSON_H
#define REASONER_MEMORY_JSON_H

#include "reasoner/memory/memory.h"
#include "reasoner/memory/statistics.h"

/* One memory whole: labels, signature, what was tried, what was done with all its parameters. */
int memory_json(struct store_txn *txn, const char *incident, json_t **out);
/* {"count": n, "memories": [..]}, without the steps: the latest, or what was recalled. */
int memories_json_latest(struct store_txn *txn, size_t max, json_t **out);
int memories_json_recalled(struct store_txn *txn, Healbus__Recalled *const *list, size_t n,
			   json_t **out);
/* {"statistics": [..], "misrouted": [..]} */
int statistics_json(struct store_txn *txn, const struct statistic_prior *prior, json_t **out);

#endif
