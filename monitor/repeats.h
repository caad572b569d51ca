/*
 * What the door remembers of alerts that the stream has: the last state stored of each, by its
 * fingerprint, so that the same state again within the window need not be stored again. A state is
 * a keyed hash of all that decides what an alert means (source, trust, status, beginning, end,
 * labels); annotations do not: downstream only the first ones of an episode are looked at.
 *
 * Of two bodies about one alert that come at the same instant, or at the doors of two monitors,
 * this may hold the other one as the last: then the source is heard again when the window is over.
 *
 * An alert of a body under way is pending under the body's token; a repeat of it joins that body
 * and shares its fate. Fixed size (2 MiB): in a bucket the longest unseen goes first, and what is
 * not remembered is stored. Any thread; each call holds one of 64 locks for well under 1 us.
 */
#ifndef MONITOR_REPEATS_H
#define MONITOR_REPEATS_H

#include "monitor/alert_text.h"

struct repeats;
struct repeats *repeats_new(void);
void repeats_free(struct repeats *r);

struct identity {
	uint64_t key;   /* the alert: its fingerprint */
	uint64_t state; /* what is said of it */
};

/* What a body's alerts have in common. */
struct identity_frame {
	const char *source;
	bool trusted;
	uint64_t generation; /* of the configuration: after a reload everything is new */
};

/* False for an alert without a fingerprint of 16 lower-case hex digits: it has no identity. */
bool identity_make(const struct repeats *r, const struct identity_frame *frame,
		   const struct alert_text *alert, struct identity *out);

enum repeat {
	REPEAT_NEW,     /* unknown, another state, or too long ago */
	REPEAT_PENDING, /* under way with *out_token */
	REPEAT_STORED,
};
/* since_ms: what was stored before does not count. */
enum repeat repeats_look(struct repeats *r, struct identity id, int64_t since_ms,
			 uint64_t *out_token);
/* This body is being stored: its alerts are pending under token, and each one's last state is
 * replaced. now_ms is when it arrived. */
void repeats_begin(struct repeats *r, const struct identity *ids, size_t n, uint64_t token,
		   int64_t now_ms);
/* Its fate. Alerts that are no longer pending under token are left alone. After this returns nobody
 * can join the token any more. */
void repeats_end(struct repeats *r, const struct identity *ids, size_t n, uint64_t token,
		 bool stored);
/* Calls join(ctx) if the alert is still pending under token, and says whether it did. */
bool repeats_join(struct repeats *r, struct identity id, uint64_t token, void (*join)(void *ctx),
		  void *ctx);
/* The stream may have lost what it had, or has got alerts that we could not read: nothing that is
 * remembered or under way counts any more. */
void repeats_forget(struct repeats *r);

#endif
