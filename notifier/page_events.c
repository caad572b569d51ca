#include "notifier/page.h"

#include "common/clock.h"
#include "common/metrics.h"

#include <pthread.h>
#include <sys/eventfd.h>

enum {
	CLIENTS_MAX = 64,
	KEPT = 1024, /* a client that is further behind loads the page's data anew */
	LOOK_MS = 100,
	GONE_LOOK_MS = 1000,
	HEARTBEAT_MS = 15000,
	LIFE_MS = 300000, /* then it comes again, and is asked again who it is */
	CHANGE_BYTES = 256,
};

static struct metric clients_open =
	METRIC_GAUGE("healbus_page_clients", "Pages that are told of every change as it happens.");

struct client {
	struct http_stream *stream;
	uint64_t next; /* on STORY */
	int64_t began_ms, wrote_ms, looked_ms;
};

/* One message of STORY, as clients are told; text is empty for what concerns nobody. */
struct change {
	uint64_t seq;
	char text[CHANGE_BYTES];
};

struct events {
	pthread_mutex_t lock; /* clients, n; changes: the events thread's own */
	struct client clients[CLIENTS_MAX];
	size_t n;
	int bell;                    /* rung by the first to come */
	struct change changes[KEPT]; /* at seq % KEPT */
};

struct events *events_new(void)
{
	struct events *e = mem_alloc(sizeof(*e));
	pthread_mutex_init(&e->lock, NULL);
	e->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->bell < 0)
		abort();
	return e;
}

void events_free(struct events *e)
{
	for (size_t i = 0; e && i < e->n; i++)
		http_stream_close(e->clients[i].stream);
	if (e) {
		pthread_mutex_destroy(&e->lock);
		close(e->bell);
	}
	free(e);
}

/* ---- coming ---- */

static uint64_t number(const char *text)
{
	char *end;
	if (!text || *text < '0' || *text > '9')
		return UINT64_MAX;
	unsigned long long n = strtoull(text, &end, 10);
	return *end ? UINT64_MAX : (uint64_t)n;
}

/* The first message that it has not heard of: behind the last one it had, else behind what the rest
 * of the API answers by now. */
static uint64_t wanted(struct stage *s, const struct http_request *req)
{
	uint64_t last = number(http_header(req, "Last-Event-ID"));
	if (last == UINT64_MAX)
		last = number(http_query(req, "after"));
	uint64_t applied = stage_fold_state(s, 0, 0).applied_seq;
	return MIN(last, applied) + 1;
}

static void greet(struct client *c, uint64_t seq)
{
	char text[CHANGE_BYTES];
	int n = snprintf(text, sizeof(text),
			 "retry: 2000\nid: %" PRIu64 "\nevent: hello\ndata: {\"seq\":%" PRIu64
			 "}\n\n",
			 seq, seq);
	(void)http_stream_write(c->stream, text, (size_t)n);
}

void page_events(void *ctx, struct http_request *req)
{
	struct events *e = page_events_of(page_of(ctx));
	uint64_t next = wanted(ctx, req);
	int64_t now_ms = clock_mono_ms();
	pthread_mutex_lock(&e->lock);
	bool full = e->n == CLIENTS_MAX || stage_stopping(ctx);
	if (!full) {
		struct client *c = &e->clients[e->n++];
		*c = (struct client){
			.stream = http_reply_stream(req, "text/event-stream"),
			.next = next,
			.began_ms = now_ms,
			.wrote_ms = now_ms,
			.looked_ms = now_ms,
		};
		greet(c, next - 1);
		(void)eventfd_write(e->bell, 1);
	}
	metric_set(&clients_open, (double)e->n);
	pthread_mutex_unlock(&e->lock);
	if (full)
		http_reply_retry(req, 503, 5, "too many pages are open");
}

/* ---- telling ---- */

/* Controls of the machinery are of no incident: they are named by what they are about. */
static void change_write(struct change *c, uint64_t seq, const struct topic *topic, bool known)
{
	c->seq = seq;
	snprintf(c->text, sizeof(c->text),
		 "id: %" PRIu64 "\ndata: {\"seq\":%" PRIu64
		 ",\"kind\":\"%s\",\"incident\":\"%s\",\"about\":\"%s\"}\n\n",
		 seq, seq, kind_name(topic->kind), known ? topic->token : "",
		 known ? "" : topic->token);
	if (topic->kind == KIND_CONTROL && str_eq(topic->token, "tick"))
		c->text[0] = '\0';
}

static bool is_incident(struct stage *s, const char *token)
{
	struct store_val val;
	auto_txn txn = store_begin_read(fold_store(stage_fold(s, 0, 0)));
	return !store_get_str(txn, &table_incidents, token, &val);
}

/* False: the bus is away, later. A message that is gone concerns nobody. */
static bool change_get(struct stage *s, struct events *e, uint64_t seq)
{
	struct change *c = &e->changes[seq % KEPT];
	struct bus_delivery d = {0};
	struct topic topic;
	struct why why = {0};
	if (c->seq == seq)
		return true;
	int rc = bus_get(stage_bus(s), STREAM_STORY, seq, &d, &why);
	if (rc && rc != ERR_NOT_FOUND)
		return false;
	*c = (struct change){.seq = seq};
	if (!rc && !topic_parse(d.subject, &topic))
		change_write(c, seq, &topic, is_incident(s, topic.token));
	bus_delivery_free(&d);
	return true;
}

/* Looks at what some client has yet to hear, without the lock: it asks the bus. Returns up to where
 * it has come. */
static uint64_t changes_get(struct stage *s, struct events *e)
{
	uint64_t applied = stage_fold_state(s, 0, 0).applied_seq, next = applied + 1;
	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < e->n; i++)
		next = MIN(next, e->clients[i].next);
	pthread_mutex_unlock(&e->lock);
	if (next + KEPT <= applied)
		next = applied + 1 - KEPT;
	while (next <= applied && change_get(s, e, next))
		next++;
	return next - 1;
}

static int say(struct client *c, const char *text, int64_t now_ms)
{
	int rc = http_stream_write(c->stream, text, strlen(text));
	if (!rc)
		c->wrote_ms = now_ms;
	return rc;
}

/* The page forgets what it knows and asks for all of it. */
static int say_reset(struct client *c, uint64_t applied, int64_t now_ms)
{
	char text[CHANGE_BYTES];
	snprintf(text, sizeof(text),
		 "id: %" PRIu64 "\nevent: reset\ndata: {\"seq\":%" PRIu64 "}\n\n", applied,
		 applied);
	int rc = say(c, text, now_ms);
	if (!rc)
		c->next = applied + 1;
	return rc;
}

/* ERR_CLOSED: let go of it. */
static int client_tell(const struct events *e, struct client *c, uint64_t applied)
{
	int64_t now_ms = clock_mono_ms();
	int rc = 0;
	if (now_ms - c->began_ms > LIFE_MS)
		return ERR_CLOSED;
	if (now_ms - c->looked_ms >= GONE_LOOK_MS) {
		c->looked_ms = now_ms;
		if (http_stream_gone(c->stream))
			return ERR_CLOSED;
	}
	if (c->next + KEPT <= applied)
		rc = say_reset(c, applied, now_ms);
	while (!rc && c->next <= applied) {
		const struct change *change = &e->changes[c->next % KEPT];
		if (change->seq != c->next)
			break; /* it came meanwhile: next time */
		rc = *change->text ? say(c, change->text, now_ms) : 0;
		if (!rc)
			c->next++;
	}
	if (!rc && now_ms - c->wrote_ms >= HEARTBEAT_MS)
		rc = say(c, ": still here\n\n", now_ms);
	return rc == ERR_FULL ? 0 : rc; /* it has its time to read what it has got */
}

/* Returns how many are there to be told more. */
static size_t all_tell(struct stage *s, struct events *e)
{
	uint64_t applied = changes_get(s, e);
	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < e->n;) {
		if (!client_tell(e, &e->clients[i], applied)) {
			i++;
			continue;
		}
		http_stream_close(e->clients[i].stream);
		e->clients[i] = e->clients[--e->n];
	}
	size_t left = e->n;
	metric_set(&clients_open, (double)left);
	pthread_mutex_unlock(&e->lock);
	return left;
}

void page_events_run(struct stage *s)
{
	struct events *e = page_events_of(page_of(s));
	size_t n = 0;
	while (!(n ? stage_sleep(s, LOOK_MS) : stage_await(s, e->bell, -1))) {
		eventfd_t rung;
		(void)eventfd_read(e->bell, &rung);
		n = all_tell(s, e);
	}
	pthread_mutex_lock(&e->lock);
	for (; e->n; e->n--)
		http_stream_close(e->clients[e->n - 1].stream);
	pthread_mutex_unlock(&e->lock);
}
