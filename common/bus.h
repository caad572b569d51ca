/*
 * The bus: NATS JetStream over libnats. The only user of nats.h. Layer 2.
 *
 * The library's own reconnect is off, since it lets newer messages overtake older ones; a thread of
 * ours keeps the connection and counts epochs. Whoever holds a puller or an outlet notices the new
 * epoch (ERR_CLOSED), opens it anew and resends what was not acknowledged, in order. Pulls are
 * plain requests: natsSubscription_Fetch of libnats 3.4.1 corrupts the heap (nats.c #749).
 * Everything is sent at once (SetSendAsap). A permission violation is a configuration error and is
 * reported as ERR_DENIED, not as a time-out.
 */
#ifndef COMMON_BUS_H
#define COMMON_BUS_H

#include "common/err.h"
#include "common/topic.h"

enum {
	BUS_CONNECT_TIMEOUT_MS = 2000,
	BUS_REQUEST_TIMEOUT_MS = 2000,
	BUS_PING_INTERVAL_MS = 5000,
	BUS_RECONNECT_BASE_MS = 20,
	BUS_RECONNECT_CAP_MS = 1000,
	BUS_PULL_EXPIRES_MS = 20000,
	BUS_ID_MAX = 200,
};

struct bus;

/* How long and how much is kept, where that is not what the topic table says; 0: as there. */
enum bus_kept { BUS_RAW, BUS_EVENTS, BUS_STORY, BUS_DEAD, BUS_CLAIM, BUS_KEPT };
struct bus_keep {
	int64_t age_ms; /* of claims: it follows from STORY's */
	int64_t bytes;
};

struct bus_options {
	const char *url;  /* "nats://127.0.0.1:4222", comma-separated for several */
	const char *name; /* shown by the server, and the inbox prefix: _INBOX_<name> */
	const char *user; /* NULL: none */
	const char *password_file;
	const char *nkey_file; /* seed of the user's nkey, in place of user and password_file */
	const char *ca_file;   /* with tls:// */
	const char *cert_file;
	const char *key_file;
	int64_t replicas; /* copies of each stream that are made and checked for; 0: 1 */
	struct bus_keep keep[BUS_KEPT]; /* the same */
};

/* Starts connecting and returns at once; ERR_CONFIG for options that can never work. */
int bus_open(const struct bus_options *options, struct bus **out, struct why *out_why);
/* Flushes, closes, joins. Every puller and outlet must be closed before. */
void bus_close(struct bus *b);
/* Number of the present connection, counting from 1; 0 while there is none. */
uint64_t bus_epoch(struct bus *b);
/* Blocks until connected: 0, ERR_TIMEOUT, or ERR_DENIED when the server refuses the user. */
int bus_wait(struct bus *b, int64_t timeout_ms, struct why *out_why);
/* Server version "2.9.10", asked for with a connection of its own (libnats does not tell); "" when
 * that fails. Blocks up to 2 s. out holds 32. */
void bus_server_version(struct bus *b, char out[static 32]);
/* For how long the present connection has lasted, at least 1; 0 while there is none. */
int64_t bus_connected_ms(struct bus *b);
/* Permission violations since start, and the last one's text; for /readyz and doctor. */
uint64_t bus_violations(struct bus *b, char out_last[static WHY_TEXT_BYTES]);

/* Frees what the library keeps for this thread; at the end of each thread of ours that used the
 * bus.
 */
void bus_thread_done(void);

struct bus_msg {
	const char *subject;
	const char *id;           /* Nats-Msg-Id; NULL: none */
	const char *cause;        /* NULL: none */
	const char *content_type; /* NULL: none */
	int64_t time_ms;          /* Healbus-Time; 0: none, the stream's time counts */
	const void *data;
	size_t len;
	bool again;             /* the bus had acknowledged it before */
	bool expect_no_message; /* refuse when the subject holds one: ERR_EXISTS */
	uint64_t expect_last; /* refuse when the stream's last message is another; 0: whatever it is
			       */
	/* In an outlet that packs: may be sent up to a few ms later, together with others. Order is
	 * kept among those that may, and among those that may not. */
	bool may_wait;
};

/* Publishes and waits for the stream's ack. ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_FULL (stream full),
 * ERR_EXISTS, ERR_DENIED. A duplicate id is 0. Any thread. */
int bus_publish(struct bus *b, const struct bus_msg *m, int64_t timeout_ms, uint64_t *out_seq,
		struct why *out_why);

/* The two halves of it: something else can be done while the ack is on its way. What m points to
 * may go in between. Every begin needs its end, which frees; the timeout counts from there. */
struct bus_pending;
struct bus_pending *bus_publish_begin(struct bus *b, const struct bus_msg *m);
int bus_publish_end(struct bus_pending *p, int64_t timeout_ms, struct why *out_why);

/* Many publishes under way, their acks read by one thread. */
struct bus_outlet;
struct bus_ack {
	uint64_t token;
	int rc; /* 0, or as bus_publish */
	uint64_t seq;
	bool duplicate;
	bool staged; /* the server knows the id, but no majority has taken the message: not stored
		      */
};
int bus_outlet_open(struct bus *b,
		    struct bus_outlet **out); /* ERR_UNAVAILABLE while not connected */
/* The same, with a second connection for what may wait. May block while connecting. */
int bus_outlet_open_packing(struct bus *b, struct bus_outlet **out);
void bus_outlet_close(struct bus_outlet *o);
/* Its connection was lost: open another. */
bool bus_outlet_dead(const struct bus_outlet *o);
/* Any thread; never blocks. ERR_CLOSED after the connection was lost. */
int bus_outlet_send(struct bus_outlet *o, const struct bus_msg *m, uint64_t token);
/* Pushes out what waits. One round trip, at most 1 s. */
void bus_outlet_flush(struct bus_outlet *o);
/* One thread. 0 with an ack; ERR_TIMEOUT; ERR_CLOSED after the connection was lost: acks not seen
 * by then never come. */
int bus_outlet_next(struct bus_outlet *o, int64_t timeout_ms, struct bus_ack *out);

/* A message as delivered. Borrowed until bus_delivery_free. */
struct bus_delivery {
	const char *subject;
	const char *id;           /* "" when absent */
	const char *cause;        /* "" when absent */
	const char *content_type; /* "" when absent */
	bool again;               /* said again by a sender that knew the bus to have had it */
	unsigned schema;          /* 0 when absent */
	int64_t time_ms;          /* min(Healbus-Time, stream time); stream time when absent */
	int64_t stream_ns;        /* the stream's time stamp */
	uint64_t seq;             /* stream sequence */
	uint64_t consumer_seq;
	uint64_t delivered; /* 1 on the first delivery */
	uint64_t pending;   /* messages behind this one */
	const char *reply;  /* what its acknowledgement goes to; NULL: not by a consumer */
	const void *data;
	size_t len;
	void *private;
};
void bus_delivery_free(struct bus_delivery *d);

/* A pull consumer's reader. One thread. */
struct bus_puller;
/* window: messages asked for and not yet delivered, at most; >= 1. The consumer exists. */
int bus_puller_open(struct bus *b, const char *stream, const char *consumer, unsigned window,
		    struct bus_puller **out);
void bus_puller_close(struct bus_puller *p);
/* 0, ERR_TIMEOUT, ERR_CLOSED (connection lost), ERR_NOT_FOUND (consumer deleted or replaced). */
int bus_puller_next(struct bus_puller *p, int64_t timeout_ms, struct bus_delivery *out);
/* Gives back (nak) what was delivered ahead and not taken; nothing is asked for any more. Before
 * closing a shared consumer's puller while draining. */
void bus_puller_return(struct bus_puller *p);
/* The message of a delivery that an earlier process took and did not settle: to be handled and
 * settled as if it had come by a puller. reply: of that delivery, borrowed until
 * bus_delivery_free. ERR_NOT_FOUND: the stream does not hold that very message. */
int bus_retake(struct bus *b, const char *stream, const char *reply, struct bus_delivery *out,
	       struct why *out_why);
/* Settling works on any connection, also after the delivery's own was lost. */
int bus_ack(struct bus_puller *p, const struct bus_delivery *d);
/* One of several: may be sent a little later, together with others. */
int bus_ack_many(struct bus_puller *p, const struct bus_delivery *d);
int bus_ack_sync(struct bus_puller *p, const struct bus_delivery *d, int64_t timeout_ms);
int bus_nak(struct bus_puller *p, const struct bus_delivery *d, int64_t delay_ms);
int bus_term(struct bus_puller *p, const struct bus_delivery *d);
/* Resets the server's ack_wait for this delivery. Any thread. */
int bus_in_progress(struct bus *b, const struct bus_delivery *d);

/* Deletes and creates the consumer of an ordered fold: ack-all, from start_seq, or from start_ms
 * when start_seq is 0 (both 0: from the first). */
int bus_fold_consumer(struct bus *b, const char *stream, const char *name, const char *filter,
		      uint64_t start_seq, int64_t start_ms, struct why *out_why);
/* Creates the shared durable when missing; ERR_CONFIG when it exists with another filter or policy.
 */
int bus_shared_consumer(struct bus *b, const struct topic_consumer *c, struct why *out_why);

/* A new shared durable that begins at this message, when its stream was laid anew. */
int bus_shared_consumer_from(struct bus *b, const struct topic_consumer *c, uint64_t start_seq,
			     struct why *out_why);

/* Missing is fine. */
int bus_consumer_delete(struct bus *b, const char *stream, const char *name, struct why *out_why);
struct bus_consumer_state {
	uint64_t pending;     /* not yet delivered */
	uint64_t unacked;     /* delivered and not settled */
	uint64_t redelivered; /* of those, more than once */
	uint64_t waiting;     /* pull requests */
	uint64_t settled_seq; /* up to this message of the stream, all are acknowledged */
	uint64_t seq;         /* last message of the stream that was delivered */
};
int bus_consumer_state(struct bus *b, const char *stream, const char *name,
		       struct bus_consumer_state *out, struct why *out_why);

struct bus_stream_state {
	uint64_t first_seq, last_seq, messages, bytes;
	int64_t max_bytes;  /* -1: no limit */
	int64_t max_age_ms; /* 0: no limit */
	int64_t laid_ms;    /* when it was laid anew from a backup; 0: never */
	int64_t created_ns;
	unsigned copies; /* that the server knows of; current: have all of it, the leader among them
			  */
	unsigned current;
	bool led; /* has a leader; without one nothing can be stored */
	bool cluster;
};
int bus_stream_state(struct bus *b, const char *stream, struct bus_stream_state *out,
		     struct why *out_why);
/* Creates what is missing of the topic table's streams and buckets, changes for how long and how
 * much they keep, and says so through `said`; needs the operator. ERR_CONFIG: they differ in what
 * cannot be changed. */
int bus_provision(struct bus *b, void (*said)(void *ctx, const char *line), void *ctx,
		  struct why *out_why);
/* The same for one of them, by its name in the table. */
int bus_provision_one(struct bus *b, const char *name, struct why *out_why);
/* Compares the server's streams and buckets with the topic table; one line per difference; 0 when
 * none, ERR_CONFIG. */
int bus_check_streams(struct bus *b, void (*said)(void *ctx, const char *line), void *ctx,
		      struct why *out_why);

/* One message by sequence, or the last one of a subject. Free with bus_delivery_free. ERR_NOT_FOUND
 * only when the stream's leader says so: another replica may be behind. What bus_get_last finds may
 * be old. */
int bus_get(struct bus *b, const char *stream, uint64_t seq, struct bus_delivery *out,
	    struct why *out_why);
int bus_get_last(struct bus *b, const char *stream, const char *subject, struct bus_delivery *out,
		 struct why *out_why);
/* The first message from seq on that the filter takes, as one of the stream's replicas knows. */
int bus_get_next(struct bus *b, const struct topic_consumer *of, uint64_t seq,
		 struct bus_delivery *out, struct why *out_why);

/* Calls of which several are made at once: all are sent, in this order, before the first answer is
 * awaited. The server may carry them out in any order. */
enum bus_ask_kind {
	BUS_ASK_LAST, /* as bus_get_last; not found may be wrong, unless the leader is asked */
	BUS_ASK_GET,  /* as bus_kv_get, but what a replica says may be old */
	BUS_ASK_PUT,  /* as bus_kv_put */
	BUS_ASK_SET,
	BUS_ASK_DEL,
};

/* Key-value with compare-and-set. Keys are tokens joined by dots. Values at most 64 KiB. revision 0
 * in bus_kv_put: the key must not exist. */
struct bus_kv_entry {
	char *value; /* NUL-terminated; free() */
	size_t len;
	uint64_t revision;
	int64_t at_ms; /* the server's time of the last write */
};
struct bus_ask {
	enum bus_ask_kind kind;
	const char *bucket; /* BUS_ASK_LAST: the stream */
	const char *key;    /* BUS_ASK_LAST: the subject */
	const void *value;
	size_t len;
	uint64_t revision; /* expected; the new one after a write */
	bool leader;       /* LAST, GET: of the stream's leader, who knows best; dearer */
	/* out */
	int rc;
	struct bus_kv_entry entry;    /* BUS_ASK_GET; free(entry.value) */
	struct bus_delivery delivery; /* BUS_ASK_LAST; bus_delivery_free */
	struct why why;
};
/* Blocks until every ask has its rc, at most BUS_REQUEST_TIMEOUT_MS (a put of a key that must not
 * exist but was deleted by others: three times that). */
void bus_ask(struct bus *b, struct bus_ask *asks, size_t n);
/* What the bucket's leader knows. ERR_NOT_FOUND (also after deletion or expiry). */
int bus_kv_get(struct bus *b, const char *bucket, const char *key, struct bus_kv_entry *out,
	       struct why *out_why);
/* ERR_CONFLICT when the revision is not the last one. */
int bus_kv_put(struct bus *b, const char *bucket, const char *key, const void *value, size_t len,
	       uint64_t revision, uint64_t *out_revision, struct why *out_why);
/* Unconditional. */
int bus_kv_set(struct bus *b, const char *bucket, const char *key, const void *value, size_t len,
	       uint64_t *out_revision, struct why *out_why);
/* ERR_CONFLICT when the revision is not the last one. */
int bus_kv_del(struct bus *b, const char *bucket, const char *key, uint64_t revision,
	       struct why *out_why);
/* The same, without waiting to hear whether it came about. */
void bus_kv_drop(struct bus *b, const char *bucket, const char *key, uint64_t revision);
/* Calls visit for each key of the bucket; some may be deleted. */
int bus_kv_keys(struct bus *b, const char *bucket, void (*visit)(void *ctx, const char *key),
		void *ctx, struct why *out_why);

#endif
