#include "common/bus_private.h"

/* ---- deliveries ---- */

/* $JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<consumer seq>.<ns>.<pending>; newer servers put
 * domain and account before the stream and a random token behind. */
static int parse_ack_subject(const char *reply, struct bus_delivery *d)
{
	uint64_t n[5] = {0};
	size_t tokens = 1;
	if (!reply || !str_starts(reply, "$JS.ACK."))
		return ERR_INVALID;
	for (const char *p = reply; *p; p++)
		tokens += *p == '.';
	const char *p = reply;
	for (size_t skip = tokens == 9 ? 4 : 6; skip > 0; skip--) {
		p = strchr(p, '.');
		if (!p)
			return ERR_INVALID;
		p++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(n); i++) {
		char *end = NULL;
		n[i] = strtoull(p, &end, 10);
		if (end == p || (i < ARRAY_SIZE(n) - 1 && *end != '.'))
			return ERR_INVALID;
		p = end + 1;
	}
	d->delivered = n[0];
	d->seq = n[1];
	d->consumer_seq = n[2];
	d->stream_ns = (int64_t)n[3];
	d->pending = n[4];
	return 0;
}

int bus_delivery_read(natsMsg *m, struct bus_delivery *out)
{
	struct bus_delivery d = {0};
	int rc = parse_ack_subject(natsMsg_GetReply(m), &d);
	if (rc)
		return rc;
	d.subject = natsMsg_GetSubject(m);
	d.id = bus_msg_id(m);
	d.cause = bus_header_text(m, HEADER_CAUSE);
	d.content_type = bus_header_text(m, HEADER_CONTENT_TYPE);
	d.again = str_eq(bus_header_text(m, HEADER_AGAIN), "1");
	d.schema = *bus_header_get(m, BUS_ANSWER_HEADER) ? SCHEMA_ANSWER : bus_header_schema(m);
	d.time_ms = bus_msg_time_ms(m, d.stream_ns);
	d.data = natsMsg_GetData(m);
	d.len = (size_t)natsMsg_GetDataLength(m);
	d.reply = natsMsg_GetReply(m);
	d.private = m;
	*out = d;
	return 0;
}

void bus_delivery_free(struct bus_delivery *d)
{
	natsMsg_Destroy(d->private);
	*d = (struct bus_delivery){0};
}

/* ---- the puller ---- */

struct bus_puller {
	struct bus *bus;
	struct bus_conn *conn;
	natsSubscription *sub;
	char inbox[BUS_INBOX_BYTES + 16];
	char next[SUBJECT_MAX + 1]; /* where requests go */
	int64_t window;
	int64_t asked; /* and not yet delivered, nor known to have expired */
	int64_t last_request_mono_ms;
	int64_t last_heard_mono_ms;
	int64_t hold_until_mono_ms; /* the server has had enough of our requests */
};

int bus_puller_open(struct bus *b, const char *stream, const char *consumer, unsigned window,
		    struct bus_puller **out)
{
	assert(window >= 1);
	struct bus_conn *c = bus_conn_get(b);
	if (!c)
		return ERR_CLOSED;
	struct bus_puller *p = mem_alloc(sizeof(*p));
	p->bus = b;
	p->conn = c;
	p->window = window;
	snprintf(p->inbox, sizeof(p->inbox), "%s.p%u", c->inbox,
		 atomic_fetch_add(&c->next_name, 1));
	snprintf(p->next, sizeof(p->next), "$JS.API.CONSUMER.MSG.NEXT.%s.%s", stream, consumer);
	natsStatus s = natsConnection_SubscribeSync(&p->sub, c->nc, p->inbox);
	if (s != NATS_OK) {
		bus_puller_close(p);
		return ERR_CLOSED;
	}
	natsSubscription_SetPendingLimits(p->sub, -1, -1);
	p->last_heard_mono_ms = clock_mono_ms();
	*out = p;
	return 0;
}

void bus_conn_retire(struct bus_conn *c, natsSubscription *sub)
{
	if (!sub)
		return;
	/* After the flush the reader thread has nothing left for it (nats.c #637). */
	if (!atomic_load(&c->closed) && natsSubscription_Unsubscribe(sub) == NATS_OK)
		natsConnection_FlushTimeout(c->nc, 500);
	natsSubscription_Destroy(sub);
}

void bus_puller_close(struct bus_puller *p)
{
	if (!p)
		return;
	bus_conn_retire(p->conn, p->sub);
	bus_conn_put(p->conn);
	free(p);
}

static int request_more(struct bus_puller *p, int64_t now)
{
	/* The server tells when a request expires. Where nobody answers there is no consumer: it
	 * was deleted while we asked for nothing, and a request to none gets no reply
	 * (nats-server 2.9). */
	int64_t over = MAX(p->last_request_mono_ms, p->last_heard_mono_ms) + BUS_PULL_EXPIRES_MS;
	if (p->asked > 0 && now > over + 1000)
		return ERR_NOT_FOUND;
	if (p->asked > p->window / 2 || now < p->hold_until_mono_ms)
		return 0;
	char body[80];
	snprintf(body, sizeof(body), "{\"batch\":%" PRId64 ",\"expires\":%" PRId64 "}",
		 p->window - p->asked, (int64_t)BUS_PULL_EXPIRES_MS * 1000000);
	natsStatus s = natsConnection_PublishRequestString(p->conn->nc, p->next, p->inbox, body);
	if (s != NATS_OK)
		return ERR_CLOSED;
	p->asked = p->window;
	p->last_request_mono_ms = now;
	return 0;
}

/* A message of the server's own: 0 to go on waiting, or what bus_puller_next returns. */
static int read_status(struct bus_puller *p, natsMsg *m)
{
	int code = bus_msg_status(m);
	const char *what = bus_header_get(m, "Description");
	int64_t undelivered = strtoll(bus_header_get(m, "Nats-Pending-Messages"), NULL, 10);
	if (code == 100)
		return 0;
	if (code == 503 || (code == 409 && strcasestr(what, "consumer deleted")))
		return ERR_NOT_FOUND;
	if (code == 409)
		p->hold_until_mono_ms = clock_mono_ms() + 250;
	/* Without a count, all of them: asking for too much does no harm. */
	p->asked = undelivered > 0 ? MAX(0, p->asked - undelivered) : 0;
	return 0;
}

/* 0 with *out set or, when the message was not for the caller, empty. */
static int take(struct bus_puller *p, int64_t wait_ms, struct bus_delivery *out)
{
	natsMsg *m = NULL;
	int rc = bus_status(natsSubscription_NextMsg(&m, p->sub, wait_ms));
	if (rc)
		return rc == ERR_TIMEOUT ? rc : ERR_CLOSED;
	p->last_heard_mono_ms = clock_mono_ms();
	if (str_eq(natsMsg_GetSubject(m), p->inbox)) {
		rc = read_status(p, m);
		natsMsg_Destroy(m);
		return rc;
	}
	if (p->asked > 0)
		p->asked--;
	if (bus_delivery_read(m, out))
		natsMsg_Destroy(m);
	return 0;
}

int bus_puller_next(struct bus_puller *p, int64_t timeout_ms, struct bus_delivery *out)
{
	int64_t now = clock_mono_ms();
	int64_t until = now + timeout_ms;
	struct bus_delivery d = {0};
	for (;;) {
		if (atomic_load(&p->conn->closed))
			return ERR_CLOSED;
		int rc = request_more(p, now);
		if (rc)
			return rc;
		int64_t wait_ms = MAX(0, until - now);
		if (p->hold_until_mono_ms > now)
			wait_ms = MIN(wait_ms, p->hold_until_mono_ms - now);
		rc = take(p, wait_ms, &d);
		if (rc && rc != ERR_TIMEOUT)
			return rc;
		if (d.private) {
			*out = d;
			return 0;
		}
		now = clock_mono_ms();
		if (rc == ERR_TIMEOUT && now >= until)
			return ERR_TIMEOUT;
	}
}

void bus_puller_return(struct bus_puller *p)
{
	struct bus_delivery d = {0};
	p->hold_until_mono_ms = INT64_MAX; /* ask for no more */
	/* What the server has sent by now is in the queue after this. */
	natsConnection_FlushTimeout(p->conn->nc, 500);
	while (take(p, 0, &d) == 0) {
		if (!d.private)
			continue;
		bus_nak(p, &d, 0);
		bus_delivery_free(&d);
	}
}

int bus_retake(struct bus *b, const char *stream, const char *reply, struct bus_delivery *out,
	       struct why *out_why)
{
	struct bus_delivery was = {0}, now = {0};
	if (parse_ack_subject(reply, &was))
		return why_set(out_why, ERR_NOT_FOUND, "bus: not what a delivery is answered to");
	int rc = bus_get(b, stream, was.seq, &now, out_why);
	if (rc)
		return rc;
	if (now.stream_ns != was.stream_ns) {
		bus_delivery_free(&now);
		return why_set(out_why, ERR_NOT_FOUND, "bus: message %" PRIu64 " is another now",
			       was.seq);
	}
	now.delivered = was.delivered + 1;
	now.consumer_seq = was.consumer_seq;
	now.pending = was.pending;
	now.reply = reply;
	*out = now;
	return 0;
}

/* ---- settling ---- */

/* An acknowledgement's subject outlives the connection it came by. */
static int settle(struct bus *b, const struct bus_delivery *d, const char *what)
{
	auto_conn c = bus_conn_get(b);
	if (!c)
		return ERR_CLOSED;
	return bus_status(natsConnection_PublishString(c->nc, d->reply, what));
}

int bus_ack(struct bus_puller *p, const struct bus_delivery *d)
{
	return settle(p->bus, d, "+ACK");
}

int bus_ack_many(struct bus_puller *p, const struct bus_delivery *d)
{
	natsConnection *bulk = atomic_load(&p->conn->bulk);
	if (bulk &&
	    natsConnection_PublishString(bulk, natsMsg_GetReply(d->private), "+ACK") == NATS_OK)
		return 0;
	return bus_ack(p, d);
}

int bus_ack_sync(struct bus_puller *p, const struct bus_delivery *d, int64_t timeout_ms)
{
	struct bus_call call = {
		.subject = d->reply, .data = "+ACK", .len = 4, .timeout_ms = timeout_ms};
	natsMsg *answer = NULL;
	int rc = bus_request(p->bus, &call, &answer, NULL);
	bus_msg_drop(p->bus, answer);
	return rc;
}

int bus_nak(struct bus_puller *p, const struct bus_delivery *d, int64_t delay_ms)
{
	char text[64] = "-NAK";
	if (delay_ms > 0)
		snprintf(text, sizeof(text), "-NAK {\"delay\":%" PRId64 "}", delay_ms * 1000000);
	return settle(p->bus, d, text);
}

int bus_term(struct bus_puller *p, const struct bus_delivery *d)
{
	return settle(p->bus, d, "+TERM");
}

int bus_in_progress(struct bus *b, const struct bus_delivery *d)
{
	return settle(b, d, "+WPI");
}
