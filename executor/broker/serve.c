#include "executor/broker/serve.h"

#include <pthread.h>

#include "common/address.h"
#include "common/clock.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "executor/broker/engine.h"

enum {
	HEADERS_MAX = 100,
	SERVER_THREADS = 1,
	CONNECTIONS_MAX = 128,
	/* Of a body that is read to be refused, with a reason. */
	BODY_MAX_BYTES = 64 << 10,
	QUEUE_RETRY_S = 1,
	FORBIDDEN = 403,
	TOO_MANY = 429,
	UNAVAILABLE = 503,
	METRICS_CONNECTIONS_MAX = 16,
	TARGET_IN_LOG = 200,
	ID_IN_LOG = 12,
};

static struct metric requests = METRIC_COUNTER(
	"healbus_broker_requests_total",
	"Requests, by what was asked (refused: nothing that is allowed) and the answer's status.",
	"action", "status");
static struct metric seconds = METRIC_HISTOGRAM(
	"healbus_broker_engine_seconds", "How long the Engine took, by what was asked.", "action");

struct job {
	struct http_request *request;
	struct broker_call call;
	int64_t uid;
	bool ready; /* only: does the Engine answer? */
};

struct worker {
	struct broker *broker;
	struct http_client *http;
	pthread_t thread;
};

/* A configuration that a reload brought; requests may read it until the end. */
struct reloaded {
	struct reloaded *before;
	struct broker_config config;
};

struct broker {
	const struct broker_config *_Atomic config;
	struct reloaded *reloaded; /* the last one */
	struct http_server *unix_server, *tcp_server;

	pthread_mutex_t lock; /* rate, queue, stop */
	pthread_cond_t wake;
	struct broker_rate *rate;
	struct job queue[BROKER_QUEUE_MAX];
	size_t first, n;
	bool stop;

	struct worker *workers;
	size_t max_workers, n_workers; /* those whose thread runs */
};

/* ---- answers ---- */

static void count(const char *action, unsigned status)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", status);
	metric_add(&requests, 1, action, text);
}

/* In the shape that Docker's clients show to people. */
static void reply_message(struct http_request *req, unsigned status, int64_t retry_s,
			  const char *reason)
{
	auto_buf text = {0}, body = {0};
	char wait[24];

	if (retry_s > 0) {
		snprintf(wait, sizeof(wait), "%" PRId64, retry_s);
		http_reply_header(req, "Retry-After", wait);
	}
	buf_printf(&text, "healbus-docker-broker: %s", reason);
	buf_add_str(&body, "{\"message\":");
	buf_add_json(&body, text.data, text.len);
	buf_add_str(&body, "}\n");
	http_reply(req, status, "application/json", body.data, body.len);
}

static void refuse(struct http_request *req, unsigned status, int64_t retry_s, const char *reason)
{
	char target[TARGET_IN_LOG + 1];

	snprintf(target, sizeof(target), "%s", http_raw_target(req));
	LOG(WARN, "refused", I("uid", http_peer_uid(req)), S("method", http_method(req)),
	    S("target", target), I("status", status), S("why", reason));
	count("refused", status);
	reply_message(req, status, retry_s, reason);
}

static void reply(struct http_request *req, const struct broker_reply *r)
{
	if (r->why.text[0]) {
		reply_message(req, r->status, r->retry_s, r->why.text);
		return;
	}
	if (r->cut)
		http_reply_header(req, "X-Healbus-Truncated", "true");
	if (r->api[0])
		http_reply_header(req, "Api-Version", r->api);
	http_reply(req, r->status, r->type, r->body.data, r->body.len);
}

/* ---- workers ---- */

static int may_act(void *ctx, const char *id, int64_t *out_wait_ms, struct why *out_why)
{
	struct broker *b = ctx;

	pthread_mutex_lock(&b->lock);
	int rc = broker_rate_act(b->rate, id, clock_mono_ms(), out_wait_ms, out_why);
	pthread_mutex_unlock(&b->lock);
	return rc;
}

static void log_reply(const struct job *job, const struct broker_reply *r, int64_t took_ms)
{
	char id[ID_IN_LOG + 1];
	const char *name = r->container.id[0] ? r->container.name : job->call.container;
	enum log_level level = r->why.text[0]                    ? LOG_WARN
			       : job->call.action == BROKER_PING ? LOG_DEBUG
								 : LOG_INFO;

	snprintf(id, sizeof(id), "%.*s", ID_IN_LOG, r->container.id);
	log_write(level, "asked",
		  (const struct log_field[]){
			  I("uid", job->uid),
			  S("action", broker_action_name(job->call.action)),
			  S("container", name),
			  S("id", id),
			  I("status", r->status),
			  I("took_ms", took_ms),
			  S("why", r->why.text),
			  {0},
		  });
}

static void forward(const struct broker_engine *e, const struct job *job)
{
	struct broker_reply r;
	const char *action = broker_action_name(job->call.action);
	int64_t began = clock_mono_ms();

	broker_ask(e, &job->call, &r);
	int64_t took_ms = clock_mono_ms() - began;
	count(action, r.status);
	metric_observe(&seconds, (double)took_ms / 1000, action);
	log_reply(job, &r, took_ms);
	reply(job->request, &r);
	broker_reply_release(&r);
}

static void tell_ready(const struct broker_engine *e, const struct job *job)
{
	static const char good[] = "{\"ready\":true}\n";
	struct why why = {0};

	if (broker_engine_ready(e, &why) == 0)
		http_reply(job->request, 200, "application/json", good, sizeof(good) - 1);
	else
		reply_message(job->request, UNAVAILABLE, QUEUE_RETRY_S, why.text);
}

static bool take_job(struct broker *b, struct job *out)
{
	pthread_mutex_lock(&b->lock);
	while (b->n == 0 && !b->stop)
		pthread_cond_wait(&b->wake, &b->lock);
	bool got = b->n > 0;
	if (got) {
		*out = b->queue[b->first];
		b->first = (b->first + 1) % BROKER_QUEUE_MAX;
		b->n--;
	}
	pthread_mutex_unlock(&b->lock);
	return got;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct broker_engine e = {.http = w->http, .may_act = may_act, .may_act_ctx = w->broker};

	for (struct job job; take_job(w->broker, &job);) {
		e.config = w->broker->config;
		(job.ready ? tell_ready : forward)(&e, &job);
	}
	return NULL;
}

/* ---- the door ---- */

static void enqueue(struct broker *b, const struct job *job)
{
	pthread_mutex_lock(&b->lock);
	bool room = b->n < BROKER_QUEUE_MAX;
	if (room) {
		b->queue[(b->first + b->n) % BROKER_QUEUE_MAX] = *job;
		b->n++;
		pthread_cond_signal(&b->wake);
	}
	pthread_mutex_unlock(&b->lock);
	if (!room)
		refuse(job->request, UNAVAILABLE, QUEUE_RETRY_S,
		       "too many requests are waiting for the Engine; nothing was done");
}

static bool user_allowed(const struct broker_config *c, int64_t uid)
{
	for (size_t i = 0; i < c->n_users; i++) {
		if (c->users[i] == uid)
			return true;
	}
	return c->n_users == 0;
}

struct headers {
	struct broker_header items[HEADERS_MAX];
	size_t n;
};

static bool take_header(void *ctx, const char *name, const char *value)
{
	struct headers *h = ctx;

	h->items[h->n++] = (struct broker_header){name, value};
	return h->n < HEADERS_MAX;
}

static int judge(const struct broker *b, struct http_request *req, struct broker_call *out,
		 struct why *out_why)
{
	struct headers headers = {.n = 0};
	struct broker_ask ask = {.method = http_method(req), .target = http_raw_target(req)};
	const struct broker_config *c = b->config;

	if (!user_allowed(c, http_peer_uid(req)))
		return why_set(out_why, ERR_DENIED, "user %" PRId64 " is not one of allow_users",
			       http_peer_uid(req));
	http_body(req, &ask.body_len);
	http_headers_each(req, take_header, &headers);
	ask.headers = headers.items;
	ask.n_headers = headers.n;
	return broker_judge(&c->bounds, &ask, out, out_why);
}

static int count_request(struct broker *b, int64_t *out_wait_ms)
{
	pthread_mutex_lock(&b->lock);
	int rc = broker_rate_request(b->rate, clock_mono_ms(), out_wait_ms);
	pthread_mutex_unlock(&b->lock);
	return rc;
}

/* The metric alone tells of those that are too many: a log that they could fill would hide the
 * rest. */
static void on_request(void *ctx, struct http_request *req)
{
	struct broker *b = ctx;
	struct job job = {.request = req, .uid = http_peer_uid(req)};
	struct why why = {0};
	int64_t wait_ms = 0;

	if (count_request(b, &wait_ms)) {
		count("refused", TOO_MANY);
		reply_message(req, TOO_MANY, wait_ms / 1000 + 1,
			      "rate.requests_per_minute is reached; nothing was done");
	} else if (judge(b, req, &job.call, &why)) {
		refuse(req, FORBIDDEN, 0, why.text);
	} else {
		enqueue(b, &job);
	}
}

static void on_metrics(void *ctx, struct http_request *req)
{
	auto_buf out = {0};

	(void)ctx;
	metrics_render(&out);
	http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
}

static void on_health(void *ctx, struct http_request *req)
{
	static const char good[] = "{\"healthy\":true}\n";

	(void)ctx;
	http_reply(req, 200, "application/json", good, sizeof(good) - 1);
}

static void on_ready(void *ctx, struct http_request *req)
{
	struct job job = {.request = req, .ready = true};

	enqueue(ctx, &job);
}

/* ---- life and death ---- */

static const struct http_route routes[] = {
	{"GET", "/healthz", on_health, NULL, HTTP_AUTH_NONE},
	{"GET", "/readyz", on_ready, NULL, HTTP_AUTH_NONE},
	{"GET", "/metrics", on_metrics, NULL, HTTP_AUTH_NONE},
	{NULL, "/**", on_request, NULL, HTTP_AUTH_NONE}, /* judge decides */
};
enum { PUBLIC_ROUTES = ARRAY_SIZE(routes) - 1 };

/* The routes with their context; kept by the server's owner. */
static struct http_route *routes_for(struct broker *b, size_t n)
{
	struct http_route *own = mem_dup(routes, n * sizeof(*routes));

	for (size_t i = 0; i < n; i++)
		own[i].ctx = b;
	return own;
}

static int open_servers(struct broker *b, struct why *out_why)
{
	const struct broker_config *c = b->config;
	static struct http_route *own; /* for as long as the process lives */
	struct address_unix where = {.path = c->listen, .gid = c->gid};

	if (!own)
		own = routes_for(b, ARRAY_SIZE(routes));
	struct http_server_options tcp = {.listen = c->http_listen,
					  .routes = own,
					  .n_routes = PUBLIC_ROUTES,
					  .threads = SERVER_THREADS,
					  .body_max_bytes = BODY_MAX_BYTES,
					  .connections_max = METRICS_CONNECTIONS_MAX};
	struct http_server_options door = tcp;
	int rc = 0;

	door.listen = NULL;
	door.unix_socket = &where;
	door.n_routes = ARRAY_SIZE(routes);
	door.connections_max = CONNECTIONS_MAX;
	/* The door last: whoever is let in finds all of it open. */
	if (c->http_listen && *c->http_listen)
		rc = http_server_open(&tcp, &b->tcp_server, out_why);
	return rc ? rc : http_server_open(&door, &b->unix_server, out_why);
}

static void start_workers(struct broker *b)
{
	for (; b->n_workers < b->max_workers; b->n_workers++) {
		struct worker *w = &b->workers[b->n_workers];

		if (pthread_create(&w->thread, NULL, work, w))
			abort();
	}
}

int broker_open(const struct broker_config *config, struct broker **out, struct why *out_why)
{
	struct broker *b = mem_alloc(sizeof(*b));
	int rc = 0;

	b->config = config;
	b->rate = broker_rate_new(&config->rates);
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->wake, NULL);
	b->max_workers = (size_t)config->workers;
	b->workers = mem_calloc(b->max_workers, sizeof(*b->workers));
	for (size_t i = 0; !rc && i < b->max_workers; i++) {
		b->workers[i].broker = b;
		rc = http_client_new(&b->workers[i].http);
	}
	if (!rc)
		rc = open_servers(b, out_why);
	if (rc) {
		broker_close(b);
		return rc;
	}
	start_workers(b);
	*out = b;
	return 0;
}

/* ---- reload ---- */

static bool texts_differ(const char *a, const char *b)
{
	return !str_eq(a ? a : "", b ? b : "");
}

static void say_fixed(const struct broker_config *was, const struct broker_config *now)
{
	const struct {
		const char *key;
		bool differs;
	} fixed[] = {
		{"listen", texts_differ(was->listen, now->listen)},
		{"group", texts_differ(was->group, now->group)},
		{"allow_root", was->allow_root != now->allow_root},
		{"http.listen", texts_differ(was->http_listen, now->http_listen)},
		{"workers", was->workers != now->workers},
	};

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		if (fixed[i].differs)
			LOG(WARN, "a change that needs a restart", S("key", fixed[i].key));
	}
}

void broker_reload(struct broker *b, struct broker_config *config)
{
	struct reloaded *r = mem_alloc(sizeof(*r));
	const struct broker_config *was = b->config;
	struct broker_rate *old_rate = NULL;

	*r = (struct reloaded){.before = b->reloaded, .config = *config};
	*config = (struct broker_config){0};
	say_fixed(was, &r->config);
	pthread_mutex_lock(&b->lock);
	if (memcmp(&was->rates, &r->config.rates, sizeof(was->rates)) != 0) {
		old_rate = b->rate;
		b->rate = broker_rate_new(&r->config.rates);
	}
	pthread_mutex_unlock(&b->lock);
	broker_rate_free(old_rate);
	b->reloaded = r;
	b->config = &r->config;
}

static void free_reloaded(struct broker *b)
{
	while (b->reloaded) {
		struct reloaded *r = b->reloaded;

		b->reloaded = r->before;
		config_release(&broker_options, &r->config);
		free(r);
	}
}

void broker_close(struct broker *b)
{
	if (!b)
		return;
	const struct broker_config *c = b->config;
	http_server_close(b->unix_server, c->stop_max_ms + c->engine_timeout_ms);
	http_server_close(b->tcp_server, 0);
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_broadcast(&b->wake);
	pthread_mutex_unlock(&b->lock);
	for (size_t i = 0; i < b->n_workers; i++)
		pthread_join(b->workers[i].thread, NULL);
	for (size_t i = 0; i < b->max_workers; i++)
		http_client_free(b->workers[i].http);
	free(b->workers);
	free_reloaded(b);
	broker_rate_free(b->rate);
	pthread_cond_destroy(&b->wake);
	pthread_mutex_destroy(&b->lock);
	free(b);
}
