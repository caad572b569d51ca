/*
 * Bodies of raw.<source> into Events, by the format and mapping of their source: the normaliser
 * without the bus. A reader belongs to one thread; no clock, no network.
 */
#ifndef MONITOR_BODY_H
#define MONITOR_BODY_H

#include "monitor/config.h"

struct body_reader;
struct body_reader *body_reader_new(void);
void body_reader_free(struct body_reader *b);

/* One raw message. Borrowed. */
struct raw_body {
	const char *source;
	const char *id;
	const char *content_type; /* NULL: JSON */
	int64_t time_ms;
	const void *data;
	size_t len;
};

/* The id under which the door stores a body; when: a word for the time, where it is part of it. */
void body_id(const struct raw_body *body, bool known, const char *when, char out[static ID_BYTES]);

/*
 * Reads it into *out, which is valid until body_done(). 0; or ERR_NOT_FOUND for a source that is
 * not configured, ERR_CONFIG for a mapping that does not compile, or what the format says. The
 * first call for a mapping compiles it (about 14 ms).
 */
int body_read(struct body_reader *b, const struct monitor_config *c, const struct raw_body *body,
	      struct reading *out, struct why *out_why);
void body_done(struct body_reader *b, struct reading *r);

#endif
