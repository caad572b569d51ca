/*
 * What people tell the machinery: pause, resume, silence. The one place that says it on the bus,
 * for the API and for commands from a chat. Any thread but the fold's; each blocks for one bus
 * request.
 */
#ifndef NOTIFIER_CONTROL_H
#define NOTIFIER_CONTROL_H

#include "common/matcher.h"
#include "common/stage.h"

enum { SILENCE_MAX_DAYS = 366 };

/* Fills id and at_ms for the call and publishes to heal.control.<token>. */
int control_publish(struct stage *s, Healbus__Control *c, const char *token, struct why *out_why);

/* Who says it, why, and at which channel; texts of at most WIRE_REASON_MAX bytes that wire_text
 * would not change. */
struct control_by {
	const char *by, *reason, *channel; /* channel NULL: not said */
};
int control_pause(struct stage *s, bool on, const struct control_by *who, int64_t *out_at_ms,
		  struct why *out_why);

/* From now to ends_at_ms. ERR_INVALID: no matcher or too many, an end in the past or more than
 * SILENCE_MAX_DAYS away. */
int control_silence(struct stage *s, const struct matchers *m, int64_t ends_at_ms,
		    const struct control_by *who, char out_id[static ID_BYTES],
		    struct why *out_why);

#endif
