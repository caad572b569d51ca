/*
 * A human's answer to an approval request: checked against the projection, signed, published. One
 * decision wins: the bus keeps one message per approval, and who comes second is told who was
 * first. Any thread of the API; blocks for at most two bus requests.
 */
#ifndef NOTIFIER_APPROVAL_H
#define NOTIFIER_APPROVAL_H

#include "common/stage.h"
#include "common/wire.h"

struct answer {
	const char *by;     /* who; required */
	const char *reason; /* may be "" */
	const char *channel;
	bool approve;
};

/*
 * approval is a full id. 0 with the decision in the arena; ERR_NOT_FOUND; ERR_CONFLICT (decided:
 * out_why says by whom; or the plan ended), ERR_EXPIRED (deadline passed), ERR_TIMEOUT,
 * ERR_UNAVAILABLE (it may have been stored: ask again).
 */
int approval_decide(struct stage *s, const struct sign_key *key, const char *approval,
		    const struct answer *answer, struct arena *arena, Healbus__Decision **out,
		    struct why *out_why);

/* 0; ERR_CONFLICT or ERR_EXPIRED as above, as far as the projection knows. */
int approval_undecided(struct store_txn *txn, const Healbus__ApprovalRequest *a,
		       struct arena *arena, struct why *out_why);

/* Asks for a dry run of a plan. */
int plan_rehearse(struct stage *s, const struct sign_key *key, const char *plan, const char *by,
		  struct arena *arena, struct why *out_why);

/* Is it the yes of these people ("ann, bob"), whoever counted their votes first? */
bool decision_by_votes(const Healbus__Decision *d, const char *by);

/* "approved by ann at 2026-11-21T09:03:52.079Z", for people. */
void decision_describe(const Healbus__Decision *d, struct buf *out);

#endif
