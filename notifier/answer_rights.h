/* What answer.c and votes.c share: who may say yes to an approval, and who has. Private to them. */
#ifndef NOTIFIER_ANSWER_RIGHTS_H
#define NOTIFIER_ANSWER_RIGHTS_H

#include "common/stage.h"
#include "notifier/config.h"
#include "notifier/tables.h"

/* An approval as its rights see it. Texts are in the arena. */
struct ballot {
	const Healbus__ApprovalRequest *request;
	struct request_facts facts;
	int64_t needed;
	char *by; /* "ann, bob": who voted and may, in the order of their names; "" */
	int64_t votes;
};

/* Where a ballot is read: all borrowed. */
struct ballot_box {
	struct store_txn *txn; /* reads */
	const struct notifier_config *config;
	const struct sign_key *key; /* of the notifiers: what it has not signed is no vote */
	struct arena *arena;
};

/* ERR_NOT_FOUND; ERR_UNAVAILABLE when rules exist and the plan is
 * not known (yet). */
int ballot_read(const struct ballot_box *box, const char *approval, struct ballot *out,
		struct why *out_why);
/* Did this person vote? */
bool ballot_voted(struct store_txn *txn, const char *approval, const char *person);

/* A thread of the stage: closes ballots whose last voter's notifier died before it could. */
void votes_run(struct stage *s);

#endif
