#include "common/bus_private.h"

enum { DENIAL_LOOK_MS = 100 }; /* a denial comes by another way than answers */

struct bus_box {
	struct bus_box *next;
	struct bus_conn *conn; /* a reference while busy */
	natsSubscription *sub; /* <inbox>.r<number>.* */
	unsigned number;
	uint64_t token; /* of the first call under way; answers to older ones are late */
	struct bus_call *calls;
	size_t n;
};

/* ---- the counted connection ---- */

struct bus_conn *bus_conn_new(struct bus *b, natsConnection *nc, uint64_t epoch)
{
	struct bus_conn *c = mem_alloc(sizeof(*c));
	char unique[ID_BYTES];
	id_random(unique);
	snprintf(c->inbox, sizeof(c->inbox), "_INBOX_%s.%s", b->name, unique);
	c->bus = b;
	c->nc = nc;
	c->epoch = epoch;
	c->since_mono_ms = clock_mono_ms();
	atomic_init(&c->refs, 1);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void conn_destroy(struct bus_conn *c)
{
	for (struct bus_box *box = c->idle, *next; box; box = next) {
		next = box->next;
		natsSubscription_Destroy(box->sub);
		free(box);
	}
	natsConnection_Destroy(c->nc);
	natsConnection_Destroy(c->bulk);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void bus_conn_put(struct bus_conn *c)
{
	if (c && atomic_fetch_sub(&c->refs, 1) == 1)
		conn_destroy(c);
}

/* ---- messages that are done with ---- */

static void destroy_all(natsMsg *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		natsMsg_Destroy(items[i]);
}

void bus_msg_drop(struct bus *b, natsMsg *m)
{
	struct bus_trash *t = &b->trash;
	natsMsg *full[BUS_TRASH_MAX];
	size_t n = 0;
	if (!m)
		return;
	pthread_mutex_lock(&t->lock);
	t->items[t->n++] = m;
	t->bytes += (size_t)natsMsg_GetDataLength(m);
	if (t->n == BUS_TRASH_MAX || t->bytes > BUS_TRASH_BYTES) {
		n = t->n;
		memcpy(full, t->items, n * sizeof(*full));
		t->n = 0;
		t->bytes = 0;
	}
	pthread_mutex_unlock(&t->lock);
	destroy_all(full, n);
}

void bus_trash_empty(struct bus_trash *t)
{
	destroy_all(t->items, t->n);
	t->n = 0;
	t->bytes = 0;
}

/* ---- boxes ---- */

static struct bus_box *box_take_idle(struct bus_conn *c)
{
	struct bus_box *box = c->idle;
	if (box)
		c->idle = box->next;
	return box;
}

static struct bus_box *box_new(struct bus_conn *c, unsigned number)
{
	char subject[BUS_INBOX_BYTES + 24];
	struct bus_box *box = mem_alloc(sizeof(*box));
	box->number = number;
	snprintf(subject, sizeof(subject), "%s.r%u.*", c->inbox, number);
	if (natsConnection_SubscribeSync(&box->sub, c->nc, subject) != NATS_OK) {
		free(box);
		return NULL;
	}
	natsSubscription_SetPendingLimits(box->sub, -1, -1);
	return box;
}

/* Takes over the reference to c. NULL when the connection is gone. */
static struct bus_box *box_take(struct bus_conn *c, struct bus_call *calls, size_t n)
{
	pthread_mutex_lock(&c->lock);
	struct bus_box *box = box_take_idle(c);
	unsigned number = box ? 0 : c->next_box++;
	pthread_mutex_unlock(&c->lock);
	if (!box)
		box = box_new(c, number);
	if (!box) {
		bus_conn_put(c);
		return NULL;
	}
	box->conn = c;
	pthread_mutex_lock(&c->lock);
	box->calls = calls;
	box->n = n;
	box->next = c->busy;
	c->busy = box;
	for (size_t i = 0; c->denied && i < n; i++)
		calls[i].rc = why_set(&calls[i].why, ERR_DENIED,
				      "the bus user may not subscribe to its inbox %s", c->inbox);
	pthread_mutex_unlock(&c->lock);
	return box;
}

static void box_give_back(struct bus_box *box)
{
	struct bus_conn *c = box->conn;
	pthread_mutex_lock(&c->lock);
	struct bus_box **at = &c->busy;
	while (*at != box)
		at = &(*at)->next;
	*at = box->next;
	box->token += box->n;
	box->calls = NULL;
	box->n = 0;
	box->next = c->idle;
	c->idle = box;
	pthread_mutex_unlock(&c->lock);
	bus_conn_put(c);
}

void bus_conn_refuse(struct bus_conn *c, const char *text)
{
	char quoted[SUBJECT_MAX + 3];
	pthread_mutex_lock(&c->lock);
	if (strstr(text, c->inbox))
		c->denied = true;
	for (struct bus_box *box = c->busy; box; box = box->next)
		for (size_t i = 0; i < box->n; i++) {
			struct bus_call *call = &box->calls[i];
			snprintf(quoted, sizeof(quoted), "\"%s\"", call->subject);
			if (!call->rc && (c->denied || strstr(text, quoted)))
				call->rc = why_set(&call->why, ERR_DENIED, "%s", text);
		}
	pthread_mutex_unlock(&c->lock);
}

/* ---- waiting ---- */

static void fail_all(struct bus_box *box, int rc, const char *why)
{
	pthread_mutex_lock(&box->conn->lock);
	for (size_t i = 0; i < box->n; i++)
		if (!box->calls[i].answer && !box->calls[i].rc)
			box->calls[i].rc = why_set(&box->calls[i].why, rc, "bus: %s: %s",
						   box->calls[i].subject, why);
	pthread_mutex_unlock(&box->conn->lock);
}

static bool settled(struct bus_box *box)
{
	bool all = true;
	pthread_mutex_lock(&box->conn->lock);
	for (size_t i = 0; i < box->n; i++)
		all &= box->calls[i].answer || box->calls[i].rc;
	pthread_mutex_unlock(&box->conn->lock);
	return all;
}

/* An answer to a call of this box's earlier users belongs to nobody. */
static void hand_over(struct bus_box *box, natsMsg *m)
{
	const char *last = strrchr(natsMsg_GetSubject(m), '.');
	uint64_t i = (last ? strtoull(last + 1, NULL, 10) : 0) - box->token;
	if (i < box->n && !box->calls[i].answer)
		box->calls[i].answer = m;
	else
		bus_msg_drop(box->conn->bus, m);
}

static void await(struct bus_box *box)
{
	int64_t timeout_ms = 0;
	for (size_t i = 0; i < box->n; i++)
		timeout_ms = MAX(timeout_ms, box->calls[i].timeout_ms);
	timeout_ms = timeout_ms ? timeout_ms : BUS_REQUEST_TIMEOUT_MS;
	int64_t until = clock_mono_ms() + timeout_ms;
	while (!settled(box)) {
		natsMsg *m = NULL;
		int64_t left_ms = until - clock_mono_ms();
		if (left_ms <= 0) {
			fail_all(box, ERR_TIMEOUT, "no answer in time");
			return;
		}
		natsStatus s = natsSubscription_NextMsg(&m, box->sub, MIN(left_ms, DENIAL_LOOK_MS));
		if (s == NATS_OK)
			hand_over(box, m);
		else if (s != NATS_TIMEOUT)
			fail_all(box, ERR_UNAVAILABLE, "connection lost");
	}
}

static void judge(struct bus *b, struct bus_call *call)
{
	if (call->answer && !call->rc && bus_msg_status(call->answer) == 503)
		call->rc = why_set(&call->why, ERR_UNAVAILABLE,
				   "bus: nobody answers on %s (no such stream, or JetStream is "
				   "off)",
				   call->subject);
	if (!call->rc)
		return;
	bus_msg_drop(b, call->answer);
	call->answer = NULL;
}

struct bus_box *bus_requests_send(struct bus *b, struct bus_call *calls, size_t n)
{
	struct bus_conn *c = bus_conn_get(b);
	struct bus_box *box = c ? box_take(c, calls, n) : NULL;
	char reply[BUS_INBOX_BYTES + 48];
	for (size_t i = 0; i < n; i++) {
		if (!box) {
			calls[i].rc = why_set(&calls[i].why, ERR_UNAVAILABLE, "bus: not connected");
			continue;
		}
		snprintf(reply, sizeof(reply), "%s.r%u.%" PRIu64, c->inbox, box->number,
			 box->token + i);
		int rc = bus_conn_send(c, &calls[i], reply);
		if (!rc)
			continue;
		rc = rc == ERR_CLOSED ? ERR_UNAVAILABLE : rc;
		pthread_mutex_lock(&c->lock);
		calls[i].rc = why_set(&calls[i].why, rc, "bus: cannot send to %s: %s",
				      calls[i].subject, err_name(rc));
		pthread_mutex_unlock(&c->lock);
	}
	return box;
}

void bus_requests_await(struct bus_box *box)
{
	if (!box)
		return;
	await(box);
	struct bus *b = box->conn->bus;
	struct bus_call *calls = box->calls;
	size_t n = box->n;
	box_give_back(box);
	for (size_t i = 0; i < n; i++)
		judge(b, &calls[i]);
}

void bus_requests(struct bus *b, struct bus_call *calls, size_t n)
{
	bus_requests_await(bus_requests_send(b, calls, n));
}

int bus_request(struct bus *b, struct bus_call *call, natsMsg **out, struct why *out_why)
{
	bus_requests(b, call, 1);
	if (call->rc)
		return why_set(out_why, call->rc, "%s", call->why.text);
	*out = call->answer;
	return 0;
}
