/* What github.c (calls) and github_auth.c (credentials) share. Nobody else includes this. */
#ifndef COMMON_GITHUB_PRIVATE_H
#define COMMON_GITHUB_PRIVATE_H

#include <pthread.h>

#include "common/github.h"

/* What is known of one credential: a token file, or an installation's token for one repository. */
struct github_account {
	char *key;
	struct secret token; /* of an installation */
	int64_t token_until_ms;
	int64_t blocked_until_ms; /* by clock_real_ms: nothing is sent before */
};

struct github {
	struct github_config config;
	pthread_mutex_t lock; /* of accounts */
	struct github_account **accounts;
	size_t n_accounts;
};

/* Which account a request goes by: found or made, under the lock. */
struct github_account *github_account(struct github *g, const struct github_request *req);

/* One exchange with the API under a given credential (NULL or empty: none); knows no limits but
 * says them. */
int github_exchange(struct github *g, const struct github_request *req, const struct secret *bearer,
		    struct github_answer *out, struct why *out_why);

#endif
