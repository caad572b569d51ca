/*
 * THE CONTRACT: every stream, bucket, subject and durable consumer, and who may publish and read
 * it. Printed by `healctl topics`; the bus's permissions are generated from it; the streams are
 * created from it. Layer 1.
 */
#ifndef COMMON_TOPIC_H
#define COMMON_TOPIC_H

#include "common/buf.h"
#include "common/err.h"

enum { SUBJECT_MAX = 255 };

#define STREAM_RAW "RAW"
#define STREAM_EVENTS "EVENTS"
#define STREAM_STORY "STORY"
#define STREAM_DEAD "DEAD"
#define BUCKET_CLAIM "CLAIM"
#define BUCKET_LOCK "LOCK"
#define BUCKET_LIVE "LIVE"

/* Headers of every message we publish. */
#define HEADER_ID "Nats-Msg-Id"
#define HEADER_TRUE_ID                                                                             \
	"Healbus-Id" /* goes before Nats-Msg-Id, where the server would not take a message under   \
		      * its id                                                                     \
		      */
#define HEADER_TIME                                                                                \
	"Healbus-Time" /* ms; the message's own time; never later than the stream's time for it */
#define HEADER_CAUSE "Healbus-Cause"   /* id of the message that caused this one */
#define HEADER_SCHEMA "Healbus-Schema" /* "1" */
#define HEADER_AGAIN                                                                               \
	"Healbus-Again" /* "1": the bus had it before and lost it; what came of it may be lost too \
			 */
#define SCHEMA_VERSION "1"
enum { SCHEMA_NUMBER = 1 }; /* the same; messages of a higher one are not read */
/*
 * Nobody's message: an answer of the server, stored because whoever asked named a subject of a
 * stream for the answer. The server does not ask whether they may say that; so nobody reads it. (An
 * answer in JSON, to anything but a direct get, is no message of ours either way.)
 */
#define SCHEMA_ANSWER UINT_MAX
#define SCHEMA_ANSWER_TEXT                                                                         \
	"an answer of the bus that somebody had it put here: whose key is used by another?"
#define HEADER_CONTENT_TYPE                                                                        \
	"Content-Type" /* raw.*: application/json (default) or application/x-protobuf (an Event)   \
			*/

/* What a message is; the wire type follows from the subject. */
enum kind {
	KIND_NONE = 0,
	KIND_RAW,      /* raw.<source>: bytes */
	KIND_EVENT,    /* event.<part>.<source> */
	KIND_TICK,     /* event.<part>.tick */
	KIND_INCIDENT, /* heal.incident.<incident> ... */
	KIND_PLAN,
	KIND_APPROVAL,
	KIND_DECISION,
	KIND_STEP,
	KIND_OUTCOME,
	KIND_MODEL,
	KIND_NOTICE,
	KIND_CONTROL, /* heal.control.<incident or pause|silence|catalogue|call|tick>,
			 event.<part>.control */
	KIND_DEAD,    /* dead.<stage> */
	KINDS,
};

/* "plan"; NULL for KIND_NONE. */
const char *kind_name(enum kind kind);

/* A subject taken apart; token points into a buffer of its own. */
struct topic {
	enum kind kind;
	unsigned partition; /* KIND_EVENT, KIND_TICK, KIND_CONTROL on event.* */
	char token[65];     /* source, incident or stage */
};

/* 0; ERR_INVALID for a subject that is not in the table; ERR_NOT_FOUND for a kind of message on
 * heal.* that this release does not know: a newer one's, to be passed over. */
int topic_parse(const char *subject, struct topic *out);

/* Write the subject into out, return out. Tokens must be valid (asserted). */
const char *subject_raw(char out[static SUBJECT_MAX + 1], const char *source);
const char *subject_event(char out[static SUBJECT_MAX + 1], unsigned partition, const char *source);
const char *subject_story(char out[static SUBJECT_MAX + 1], enum kind kind, const char *incident);
const char *subject_dead(char out[static SUBJECT_MAX + 1], const char *stage);
/* The filter of one partition's fold: "event.07.>". Partitions are always two digits. */
const char *subject_partition(char out[static SUBJECT_MAX + 1], unsigned partition);

/* Whether each subject that fits `narrow` fits `wide`; both may have wildcards. */
bool subject_covers(const char *wide, const char *narrow);

/* Reserved source tokens on event.<part>.*: "tick", "control". */
bool source_reserved(const char *source);

/* A stream or bucket as it must be on the server. */
struct topic_stream {
	const char *name;
	const char *subjects[2]; /* NULL for a bucket */
	int64_t max_age_ms;      /* 0: for ever */
	int64_t max_bytes;       /* discard new when full */
	int64_t duplicate_window_ms;
	bool bucket;
	int64_t bucket_ttl_ms; /* 0: no expiry */
	const char *help;
};
extern const struct topic_stream topic_streams[];
extern const size_t topic_streams_n;
/* A claim guards a plan for as long as that can be read: it outlives STORY by so much. */
#define TOPIC_CLAIM_EXTRA_MS (INT64_C(7) * 86400 * 1000)

/* A durable consumer shared by the workers of a stage. */
struct topic_consumer {
	const char *name;
	const char *stream;
	const char *filter;
	const char *stage;
	int64_t ack_wait_ms;
	int max_ack_pending;
	const char *help;
};
extern const struct topic_consumer topic_consumers[];
extern const size_t topic_consumers_n;
const struct topic_consumer *topic_consumer_find(const char *name); /* NULL when unknown */

/*
 * Who may publish and read what, per user of the bus: the four stages; "operator" (healctl and
 * its like: set-up, publish, record, replay, doctor); and "source", which stands for one user
 * "source-<source>" an external alerter: it publishes raw.<source>, hears whether that was stored,
 * and nothing else. An allow-list; nobody may delete a stream or read past their own; only the
 * operator may create one, and purge it while it is laid anew (bus_lay.h). Consumers by name: folds
 * "monitor-00" to "monitor-15", "reasoner", "notifier"; a fold that rebuilds reads its own outputs
 * on STORY through
 * "<fold>-rebuild"; `healbus-monitor record` reads each stream through "healctl".
 */
enum { TOPIC_REPLICAS = 4 }; /* of an unpartitioned fold: "notifier", "notifier-2", ... */
struct topic_right {
	const char *stage;     /* "monitor", ..., "operator", "source" */
	const char *publish;   /* subject pattern; NULL */
	const char *subscribe; /* subject pattern; NULL */
	const char *help;
};
extern const struct topic_right topic_rights[];
extern const size_t topic_rights_n;

/* The whole contract as text for people: streams, buckets, subjects, consumers, rights. */
void topic_print(struct buf *out);
/* The users that every bus has, in order. */
extern const char *const topic_users[];
extern const size_t topic_users_n;

/*
 * The `accounts { ... }` block of a nats-server configuration, which is to be the only one with
 * users in it (CVE-2023-47090): begin, each of topic_users, sources, each "source-<token>", end.
 * login says in the server's words how it is known: `nkey: U...`.
 *
 * The streams are in the account HEAL, and each user in an account of its own (sources: in one
 * together), which imports what the user may publish. For the server asks nobody whether they may
 * say what they name as the subject of an answer (of JetStream's API, an acknowledgement, a
 * delivery): in one account with the streams, an answer of one's choice sent to
 * "$JS.API.STREAM.DELETE.STORY" deletes it, and any call can be made that way. In an account of
 * one's own it comes to nothing but what one may say anyway.
 */
void topic_print_nats_begin(struct buf *out);
void topic_print_nats_user(struct buf *out, const char *user, const char *login);
void topic_print_nats_sources(struct buf *out);
void topic_print_nats_end(struct buf *out);
/* All of topic_users with passwords, which the server takes from its environment:
 * HEALBUS_MONITOR_PASSWORD, ... (quote them there if they look like numbers). */
void topic_print_nats_users(struct buf *out);

#endif
