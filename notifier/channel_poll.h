/* Threads that ask those channels which do not call us (long polling). */
#ifndef NOTIFIER_CHANNEL_POLL_H
#define NOTIFIER_CHANNEL_POLL_H

#include "common/stage.h"

enum {
	CHANNEL_POLLERS = 2,  /* threads; channels that poll share them in turn */
	POLL_ROUND_MS = 5000, /* a round may block so long: stopping waits for it */
};

void channel_poller_0(struct stage *s);
void channel_poller_1(struct stage *s);

#endif
