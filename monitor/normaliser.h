/*
 * The effect "normaliser": raw.<source> -> event.<part>.<source>. Stateless; every event of a body
 * is acknowledged by the stream before the body is. A body that cannot be used goes to dead.*
 * with the field that is wrong; so does one of which only some alerts could be used, after those
 * were published.
 */
#ifndef MONITOR_NORMALISER_H
#define MONITOR_NORMALISER_H

#include "common/stage.h"

extern const struct effect_def normaliser;

/* A good body that gives no event; reason: a word. */
void normaliser_count_ignored(const char *source, const char *reason);

/* Content-Type parameter with which the door marks what came from nobody it knows. */
#define UNTRUSTED_PARAMETER "trust=none"
/* Content-Type parameter with what the sender calls the event, where the body does not say it. */
#define EVENT_PARAMETER "event"
#define CONTENT_TYPE_JSON "application/json"
#define CONTENT_TYPE_PROTOBUF "application/x-protobuf"

#endif
