/*
 * What worked: successes and failures by failure type, specialist and tool, with Beta posteriors.
 * Written by the fold; pure. Whole plans are counted with tool "", so a specialist's record for a
 * type does not depend on how many steps his plans have.
 */
#ifndef REASONER_STATISTICS_H
#define REASONER_STATISTICS_H

#include "common/store.h"
#include "common/wire.h"

extern const struct store_table table_statistics; /* type, specialist, tool -> counts */
extern const struct store_table table_misrouted;  /* type, routed, healed by -> count */
#define STATISTICS_TABLES &table_statistics, &table_misrouted

/* NULL counts as "". Names are tokens. */
struct statistic_key {
	const char *failure_type;
	const char *specialist;
	const char *tool; /* "": the whole plan */
};

/* What is believed before anything is known; zeroes: 1, 1 and 0.05. */
struct statistic_prior {
	double successes;
	double failures;
	double doubt; /* the lower bound's: the rate is below it with this probability */
};

struct statistic {
	uint64_t successes, failures;
	double alpha, beta; /* of the posterior */
	double mean, lower;
};

/* One result more. */
int statistics_note(struct store_txn *txn, const struct statistic_key *key, bool success);
/* A success that did not last, or that a person took back: it is a failure now. */
int statistics_correct(struct store_txn *txn, const struct statistic_key *key);
/* It failed for want of a sandbox, or of the repository: nothing is known of the plan. */
bool outcome_untried(const Healbus__Outcome *o);
/* All that an outcome says about a plan: the whole, and each step that was run. Outcomes in which
 * nothing was run (refused, denied, expired, observed, rehearsed, untried) say nothing. */
int statistics_outcome(struct store_txn *txn, const Healbus__Plan *plan,
		       const Healbus__Outcome *outcome);
/* `by` healed what was routed to `routed`; equal names are no news. */
int statistics_misrouted(struct store_txn *txn, const char *failure_type, const char *routed,
			 const char *by);

/* Zero counts for what is not known. prior NULL: the defaults. */
int statistics_get(struct store_txn *txn, const struct statistic_key *key,
		   const struct statistic_prior *prior, struct statistic *out);

struct statistic_record {
	char *failure_type;
	char *specialist;
	char *tool;
	struct statistic s;
};
/* Whole plans of one failure type (NULL: of all), sorted by name; in the arena. */
int statistics_for_type(struct store_txn *txn, const char *failure_type,
			const struct statistic_prior *prior, struct arena *arena,
			struct statistic_record **out, size_t *out_n);
/* Everything, tools included. */
int statistics_all(struct store_txn *txn, const struct statistic_prior *prior, struct arena *arena,
		   struct statistic_record **out, size_t *out_n);

struct misrouted {
	char *failure_type;
	char *routed;
	char *healed_by;
	uint64_t times;
};
int statistics_misroutes(struct store_txn *txn, struct arena *arena, struct misrouted **out,
			 size_t *out_n);

/* The x below which a Beta(alpha, beta) lies with probability p. alpha, beta > 0. */
double beta_quantile(double alpha, double beta, double p);

#endif
