/*
 * What the files of the bus share: the counted connection, requests with early refusal, JetStream's
 * JSON API. Only bus*.c include this.
 *
 * A connection is used by everyone who holds a reference; the bus's thread closes it, and the last
 * reference destroys it, so that a subscription never outlives its connection (nats.c #637).
 */
#ifndef COMMON_BUS_PRIVATE_H
#define COMMON_BUS_PRIVATE_H

#include "common/bus.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/secret.h"

#include <jansson.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
	BUS_INBOX_BYTES = TOKEN_MAX + 48,
	BUS_HEADERS_MAX = 10,
	BUS_VALUE_MAX_BYTES = 64 << 10,
	BUS_GONE_MAX = 256,
	BUS_STAGED_MAX = 1024,
	BUS_STAGED_MS = 5000,
	BUS_TRASH_MAX = 64,
	BUS_TRASH_BYTES = 256 << 10,
};

struct bus_box;

struct bus_conn {
	struct bus *bus;
	natsConnection *nc;
	_Atomic(natsConnection *) bulk; /* for what may wait; NULL until an outlet asks for it */
	char inbox[BUS_INBOX_BYTES];
	uint64_t epoch;
	int64_t since_mono_ms;
	atomic_uint refs;
	atomic_uint next_name; /* of pullers and outlets below the inbox */
	atomic_bool closed;
	pthread_mutex_t lock; /* guards what follows */
	struct bus_box *idle; /* boxes nobody waits at */
	struct bus_box *busy;
	unsigned next_box;
	bool denied; /* our inbox may not be subscribed: no answer will ever come */
};

/* A key that we deleted: the hash of its name, and the deletion's revision. */
struct bus_gone {
	uint64_t hash, revision;
};

/* An id that the server knows without having stored its message; see bus_staged.c. */
struct bus_staged {
	uint64_t hash;
	unsigned tries; /* under how many other names it went out */
	int64_t since_mono_ms;
};

/* Messages to be destroyed together. The library frees each in a thread of its own, and waking that
 * costs more than the message did. */
struct bus_trash {
	pthread_mutex_t lock;
	natsMsg *items[BUS_TRASH_MAX];
	size_t n, bytes;
};

struct bus {
	char *url;
	char *name;
	char *user;
	char *password_file;
	char *nkey_file;
	char *ca_file;
	char *cert_file;
	char *key_file;
	int64_t replicas;
	struct bus_keep keep[BUS_KEPT];
	pthread_t thread;
	struct bus_trash trash;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	struct bus_conn *conn;
	uint64_t epoch;
	unsigned open_connections; /* whose closed callback has not run */
	bool stop;
	int refused; /* ERR_DENIED: the server refuses our user */
	struct why refused_why;
	struct bus_gone gone[BUS_GONE_MAX];
	struct bus_staged staged[BUS_STAGED_MAX];
	atomic_uint staged_n; /* of them in use; read without the lock */
	uint64_t violations;
	char last_violation[WHY_TEXT_BYTES];
};

/* The server's answers to direct gets have it, and nothing that somebody says. */
#define BUS_ANSWER_HEADER "Nats-Sequence"

/* The present connection with a reference, or NULL. */
struct bus_conn *bus_conn_get(struct bus *b);
void bus_conn_put(struct bus_conn *c);
static inline void bus_conn_put_cleanup(struct bus_conn **c)
{
	bus_conn_put(*c);
}
#define auto_conn __attribute__((cleanup(bus_conn_put_cleanup))) struct bus_conn *
static inline void bus_json_cleanup(json_t **j)
{
	json_decref(*j);
}
#define auto_json __attribute__((cleanup(bus_json_cleanup))) json_t *

/* Takes over nc. */
struct bus_conn *bus_conn_new(struct bus *b, natsConnection *nc, uint64_t epoch);
/* Unsubscribes, lets what is on the way pass, destroys. NULL is fine. */
void bus_conn_retire(struct bus_conn *c, natsSubscription *sub);
/* A permission violation arrived: waiting requests that it speaks of are refused. */
void bus_conn_refuse(struct bus_conn *c, const char *text);

/* Destroys m, sooner or later. NULL is fine. */
void bus_msg_drop(struct bus *b, natsMsg *m);
void bus_trash_empty(struct bus_trash *t);

/* Sees to it that there is c->bulk; without it everything goes at once. Blocks while connecting. */
void bus_conn_open_bulk(struct bus_conn *c);
/* natsStatus as one of ours. */
int bus_status(natsStatus s);

struct bus_header {
	const char *name;
	const char *value; /* NULL: left out */
};
struct bus_call {
	const char *subject;
	const struct bus_header *headers;
	size_t n_headers;
	const void *data;
	size_t len;
	int64_t timeout_ms; /* 0: BUS_REQUEST_TIMEOUT_MS */
	bool may_wait;      /* as in bus_msg */
	/* out: an answer, which is the caller's, or why there is none */
	natsMsg *answer;
	int rc;
	struct why why;
};
/* Sends with this reply subject. ERR_INVALID for a header value that holds a control character. */
int bus_conn_send(struct bus_conn *c, const struct bus_call *call, const char *reply);
/*
 * Requests. Each waits for its answer at a box: a reply subscription that one thread at a time
 * reads, so that an answer wakes the thread that needs it and no other.
 */
/* Sends all calls in order, then waits for all answers. ERR_UNAVAILABLE when nobody listens there
 * or the connection goes away. */
void bus_requests(struct bus *b, struct bus_call *calls, size_t n);
/* The two halves of it; the calls stay where they are in between. NULL (each call says why): not
 * connected. bus_requests_await takes NULL. */
struct bus_box *bus_requests_send(struct bus *b, struct bus_call *calls, size_t n);
void bus_requests_await(struct bus_box *box);
/* Request and one answer. */
int bus_request(struct bus *b, struct bus_call *call, natsMsg **out, struct why *out_why);

/* The value of a header, "" when absent. Borrowed from m. */
const char *bus_header_get(natsMsg *m, const char *name);
/* The last value and how many there are: what the server adds comes behind what a sender wrote. */
const char *bus_header_last(natsMsg *m, const char *name, int *out_n);
/* The same for what we pass on as a header: "" also when it is longer than BUS_ID_MAX or holds a
 * control character, since no message that repeats it could be sent. */
const char *bus_header_text(natsMsg *m, const char *name);
/* What it is known by: Healbus-Id, else Nats-Msg-Id; "" when absent. */
const char *bus_msg_id(natsMsg *m);
/* Healbus-Schema; 0 when absent or no number. */
unsigned bus_header_schema(natsMsg *m);
/* What a consumer delivers, and the answer to a direct get, taken apart: the delivery borrows from
 * m, which it frees. ERR_INVALID, ERR_NOT_FOUND, ERR_UNAVAILABLE; then m is still the caller's. */
int bus_delivery_read(natsMsg *m, struct bus_delivery *out);
int bus_direct_read(natsMsg *m, struct bus_delivery *out, struct why *out_why);
/* Reading from a stream's leader, where a replica may be behind: the body of a request to
 * $JS.API.STREAM.MSG.GET.<stream>; and its answer, which is freed, as the answer to a direct get.
 */
enum { BUS_LEADER_BODY_BYTES = SUBJECT_MAX + 24 };
void bus_leader_ask_seq(char out[static BUS_LEADER_BODY_BYTES], uint64_t seq);
void bus_leader_ask_last(char out[static BUS_LEADER_BODY_BYTES], const char *subject);
int bus_leader_read(struct bus *b, natsMsg *m, natsMsg **out, struct why *out_why);
/* The number in the Status header of a message without data; 0 when it is an ordinary message. */
int bus_msg_status(natsMsg *m);

/* A request to JetStream's API; body is taken over and may be NULL. *out: the answer, a new
 * reference, or untouched. */
int bus_api(struct bus *b, const char *subject, json_t *body, json_t **out, struct why *out_why);
/* The `error` member of an answer as one of our codes; 0 when there is none. */
int bus_api_error(const json_t *answer, struct why *out_why);
/* How the topic table wants a stream. */
json_t *bus_stream_config(const struct bus *b, const struct topic_stream *t);
/* A stream's description begins so when it was laid anew; the time (ms) follows. */
#define BUS_LAID_TEXT "laid anew from a backup at "
/* Reads a publish acknowledgement. */
int bus_puback_parse(natsMsg *m, struct bus_ack *out, struct why *out_why);
/* What bus_publish and bus_outlet_send put into headers, and the texts that these borrow. */
struct bus_headers {
	struct bus_header items[BUS_HEADERS_MAX];
	size_t n;
	uint64_t id_hash; /* for bus_staged_answered */
	char time[24];
	char last[24];
	char id[BUS_ID_MAX + 16];
};
void bus_msg_headers(struct bus *b, const struct bus_msg *m, struct bus_headers *out);
/* 0 for none. */
uint64_t bus_id_hash(const char *id);
/* Under which of its names a message goes out; 0: its own. */
unsigned bus_staged_tries(struct bus *b, uint64_t hash);
/* What a publish was answered. */
void bus_staged_answered(struct bus *b, uint64_t hash, int rc, bool staged);
int64_t bus_json_int(const json_t *object, const char *name);
const char *bus_json_str(const json_t *object, const char *name);
/* "2026-11-21T09:03:52.079123456Z" -> ns; 0 when malformed or beyond the year 2261. */
int64_t bus_time_ns(const char *text);
/* Healbus-Time of m, bounded by the stream's time. */
int64_t bus_msg_time_ms(natsMsg *m, int64_t stream_ns);

#endif
