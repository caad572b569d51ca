#include "common/bus_private.h"

enum { OUTLET_FLUSH_MS = 1000 };

struct bus_outlet {
	struct bus_conn *conn;
	natsSubscription *acks;
	char inbox[BUS_INBOX_BYTES + 16];
};

int bus_outlet_open(struct bus *b, struct bus_outlet **out)
{
	struct bus_conn *c = bus_conn_get(b);
	if (!c)
		return ERR_UNAVAILABLE;
	struct bus_outlet *o = mem_alloc(sizeof(*o));
	o->conn = c;
	snprintf(o->inbox, sizeof(o->inbox), "%s.o%u", c->inbox,
		 atomic_fetch_add(&c->next_name, 1));
	char subject[sizeof(o->inbox) + 2];
	snprintf(subject, sizeof(subject), "%s.>", o->inbox);
	natsStatus s = natsConnection_SubscribeSync(&o->acks, c->nc, subject);
	if (s != NATS_OK) {
		bus_outlet_close(o);
		return ERR_UNAVAILABLE;
	}
	natsSubscription_SetPendingLimits(o->acks, -1, -1);
	*out = o;
	return 0;
}

/* The server reads each connection on its own: what comes by the second one must not overtake the
 * subscription for its acks, or they go nowhere. */
int bus_outlet_open_packing(struct bus *b, struct bus_outlet **out)
{
	struct bus_outlet *o = NULL;
	int rc = bus_outlet_open(b, &o);
	if (rc)
		return rc;
	if (natsConnection_FlushTimeout(o->conn->nc, OUTLET_FLUSH_MS) != NATS_OK) {
		bus_outlet_close(o);
		return ERR_UNAVAILABLE;
	}
	bus_conn_open_bulk(o->conn);
	*out = o;
	return 0;
}

void bus_outlet_flush(struct bus_outlet *o)
{
	natsConnection *bulk = atomic_load(&o->conn->bulk);
	if (bulk)
		natsConnection_FlushTimeout(bulk, OUTLET_FLUSH_MS);
}

void bus_outlet_close(struct bus_outlet *o)
{
	if (!o)
		return;
	bus_conn_retire(o->conn, o->acks);
	bus_conn_put(o->conn);
	free(o);
}

bool bus_outlet_dead(const struct bus_outlet *o)
{
	return atomic_load(&o->conn->closed);
}

int bus_outlet_send(struct bus_outlet *o, const struct bus_msg *m, uint64_t token)
{
	struct bus_headers headers;
	char reply[sizeof(o->inbox) + 48];
	if (m->id && strlen(m->id) > BUS_ID_MAX)
		return ERR_INVALID;
	bus_msg_headers(o->conn->bus, m, &headers);
	struct bus_call call = {.subject = m->subject,
				.headers = headers.items,
				.n_headers = headers.n,
				.data = m->data,
				.len = m->len,
				.may_wait = m->may_wait};
	snprintf(reply, sizeof(reply), "%s.%" PRIx64 ".%" PRIu64, o->inbox, headers.id_hash, token);
	int rc = bus_conn_send(o->conn, &call, reply);
	return rc == ERR_UNAVAILABLE ? ERR_CLOSED : rc;
}

int bus_outlet_next(struct bus_outlet *o, int64_t timeout_ms, struct bus_ack *out)
{
	natsMsg *m = NULL;
	int rc = bus_status(natsSubscription_NextMsg(&m, o->acks, timeout_ms));
	if (rc)
		return rc == ERR_TIMEOUT ? rc : ERR_CLOSED;
	struct bus_ack ack = {0};
	const char *reply = natsMsg_GetSubject(m);
	const char *last = strrchr(reply, '.');
	ack.rc = bus_puback_parse(m, &ack, NULL);
	/* <inbox>.<hash of the id>.<token> */
	bus_staged_answered(o->conn->bus, strtoull(reply + strlen(o->inbox) + 1, NULL, 16), ack.rc,
			    ack.staged);
	if (ack.rc == ERR_CONFLICT)
		ack.rc = ERR_EXISTS;
	ack.token = strtoull(last + 1, NULL, 10);
	bus_msg_drop(o->conn->bus, m);
	*out = ack;
	return 0;
}
