/*
 * What was spent, on disk: per incident, per day (UTC), and per day and provider. A call's estimate
 * is reserved, committed, before the call, and set right afterwards. All functions: the caller
 * holds the store's lock; each blocks for one fsync.
 */
#ifndef REASONER_MODELS_PURSE_H
#define REASONER_MODELS_PURSE_H

#include "common/store.h"
#include "reasoner/models/models.h"

extern const struct store_table purse_spent;
extern const struct store_table purse_meters;

struct cost {
	int64_t tokens_in;
	int64_t tokens_out;
};

/* One call's place in the books. */
struct charge {
	const struct model_provider *provider;
	const char *incident;
	int64_t day; /* days since 1970-01-01 */
	struct cost reserved;
	struct cost plain; /* the estimate before the provider's meter was looked at */
};

/* micro-USD, rounded up. */
int64_t cost_micro_usd(const struct model_provider *p, const struct cost *c);

/* The most that a body of so many bytes should cost with this provider. */
struct cost cost_estimate(const struct model_provider *p, size_t body_bytes);

/*
 * Sets charge->reserved from charge->plain and books it. A provider that once counted more than
 * was estimated has its estimates raised in that proportion, for good. ERR_DENIED when a limit
 * would be passed, with its name and what is left; errors of store_commit: then nothing may be
 * asked.
 */
int purse_reserve(struct store *s, const struct models_config *config, struct charge *charge,
		  struct why *out_why);

/* In place of what was reserved, what it came to. On an error the reservation stays. */
int purse_settle(struct store *s, const struct charge *charge, const struct cost *actual);

/*
 * How much of the day's budget is booked, of tokens or money, of all or the provider's own,
 * whichever is fuller: 0-1000; 1000 too when it was refused for one of these. -1: no such budget,
 * or the books cannot be read.
 */
int purse_day_permille(struct store *s, const struct models_config *config,
		       const struct charge *charge, bool refused);

/* What was spent so far; for tests and people. Any may be NULL for "all". */
struct model_limit purse_read(struct store *s, const char *incident, int64_t day,
			      const char *provider);

#endif
