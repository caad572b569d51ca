/*
 * floor: how fast an HTTP server on the same libraries is that does nothing else than it must. The
 * limits of the benchmark.
 *
 *     floor -p port -m answer|store|fold [-u nats://address] [-t threads] [-F]
 *
 * answer  reads the body, 202
 * store   stores every body in JetStream, 202 after the stream's acknowledgement; no thread waits
 * fold    reads the body in one pass; stores it when an alert in it is new by (fingerprint,
 *         startsAt, status), else 202 at once
 *
 * Publishes are sent at once, as healbus does; -F leaves them to the library's flusher, which packs
 * better under load and waits up to a millisecond when idle. Makes its stream anew at the start.
 * On SIGTERM prints req=.. stored=.. failed=..
 */
#include "tests/bench/bench.h"
#include "tests/bench/scan.h"

#include <microhttpd.h>
#include <nats/nats.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum {
	ALERTS_MAX = 256,
	SHARDS = 64, /* of the set of what was seen; power of two */
	BODY_BYTES_MIN = 4096,
	STATUS_OK = 202,
	PENDING_MAX = 4096,
};

#define STREAM "FLOOR"
#define SUBJECT "floor.in"
#define HEADER "Request"

enum request_state { READING, WAITING, STORED };

struct request {
	char *body;
	size_t len;
	size_t cap;
	struct MHD_Connection *connection;
	_Atomic enum request_state state;
};

/* What to do with a whole body: true when it must be stored. */
typedef bool wants_store(const struct request *r, bool *out_bad);

struct mode {
	const char *name;
	wants_store *wants;
};

struct shard {
	pthread_mutex_t lock;
	uint64_t *keys; /* open addressing; 0 is empty */
	size_t cap;
	size_t n;
};

static const struct mode *mode;
static struct MHD_Response *answer;
static jsCtx *js;
static struct shard shards[SHARDS];
static atomic_ullong requests, stored, failed;

/* ---- what was seen ---- */

static uint64_t hash_text(uint64_t h, struct scan_text t)
{
	for (size_t i = 0; i < t.len; i++)
		h = (h ^ (uint8_t)t.at[i]) * 1099511628211u;
	return (h ^ 0xff) * 1099511628211u;
}

static uint64_t identity(const struct scan_alert *a)
{
	uint64_t h = hash_text(14695981039346656037u, a->fingerprint);
	h = hash_text(hash_text(h, a->starts_at), a->status);
	h = (h ^ (h >> 29)) * 0x9e3779b97f4a7c15u;
	return h ? h : 1;
}

static bool insert(uint64_t *keys, size_t cap, uint64_t key)
{
	size_t i = key & (cap - 1);
	while (keys[i] && keys[i] != key)
		i = (i + 1) & (cap - 1);
	bool fresh = !keys[i];
	keys[i] = key;
	return fresh;
}

static void grow(struct shard *s)
{
	size_t cap = s->cap ? 2 * s->cap : 256;
	uint64_t *keys = must(calloc(cap, sizeof(*keys)));
	for (size_t i = 0; i < s->cap; i++)
		if (s->keys[i])
			insert(keys, cap, s->keys[i]);
	free(s->keys);
	s->keys = keys;
	s->cap = cap;
}

static bool is_new(uint64_t key)
{
	struct shard *s = &shards[key >> 58];
	pthread_mutex_lock(&s->lock);
	if (2 * s->n >= s->cap)
		grow(s);
	bool fresh = insert(s->keys, s->cap, key);
	s->n += fresh;
	pthread_mutex_unlock(&s->lock);
	return fresh;
}

/* ---- modes ---- */

static bool never(const struct request *r, bool *out_bad)
{
	(void)r;
	(void)out_bad;
	return false;
}

static bool always(const struct request *r, bool *out_bad)
{
	(void)r;
	(void)out_bad;
	return true;
}

static bool when_new(const struct request *r, bool *out_bad)
{
	struct scan_alert alerts[ALERTS_MAX];
	int n = scan_alerts(r->body, alerts, ALERTS_MAX);
	bool fresh = false;
	*out_bad = n < 0;
	for (int i = 0; i < n; i++)
		fresh |= is_new(identity(&alerts[i]));
	return fresh;
}

static const struct mode MODES[] = {{"answer", never}, {"store", always}, {"fold", when_new}};

/* ---- storing ---- */

static void on_ack(jsCtx *context, natsMsg *msg, jsPubAck *ack, jsPubAckErr *error, void *closure)
{
	const char *text = NULL;
	(void)context;
	(void)ack;
	(void)closure;
	atomic_fetch_add(error ? &failed : &stored, 1);
	if (natsMsgHeader_Get(msg, HEADER, &text) == NATS_OK) {
		struct request *r = (struct request *)(uintptr_t)strtoull(text, NULL, 16);
		atomic_store(&r->state, STORED);
		MHD_resume_connection(r->connection);
	}
	natsMsg_Destroy(msg);
}

static void store(struct request *r)
{
	natsMsg *msg = NULL;
	char text[24];
	snprintf(text, sizeof(text), "%" PRIxPTR, (uintptr_t)r);
	atomic_store(&r->state, WAITING);
	MHD_suspend_connection(r->connection);
	natsStatus s = natsMsg_Create(&msg, SUBJECT, NULL, r->body, (int)r->len);
	if (s == NATS_OK)
		s = natsMsgHeader_Set(msg, HEADER, text);
	if (s == NATS_OK)
		s = js_PublishMsgAsync(js, &msg, NULL);
	if (s != NATS_OK)
		die("publish: %s", natsStatus_GetText(s));
}

static void open_stream(const char *url, bool flusher)
{
	natsOptions *options = NULL;
	natsConnection *connection = NULL;
	jsOptions jo;
	jsStreamConfig config;
	jsErrCode code = 0;
	const char *subjects[] = {"floor.>"};
	natsOptions_Create(&options);
	natsOptions_SetURL(options, url);
	natsOptions_SetSendAsap(options, !flusher);
	natsStatus s = natsConnection_Connect(&connection, options);
	jsOptions_Init(&jo);
	jo.PublishAsync.MaxPending = PENDING_MAX;
	jo.PublishAsync.AckHandler = on_ack;
	if (s == NATS_OK)
		s = natsConnection_JetStream(&js, connection, &jo);
	jsStreamConfig_Init(&config);
	config.Name = STREAM;
	config.Subjects = subjects;
	config.SubjectsLen = 1;
	config.Storage = js_FileStorage;
	if (s == NATS_OK) {
		js_DeleteStream(js, STREAM, NULL, &code);
		s = js_AddStream(NULL, js, &config, NULL, &code);
	}
	if (s != NATS_OK)
		die("%s: %s", url, natsStatus_GetText(s));
}

/* ---- HTTP ---- */

static void keep(struct request *r, const char *data, size_t len)
{
	if (r->len + len + SCAN_SLACK > r->cap) {
		r->cap = 2 * (r->len + len + SCAN_SLACK);
		r->body = must(realloc(r->body, r->cap));
	}
	memcpy(r->body + r->len, data, len);
	r->len += len;
}

static enum MHD_Result whole(struct request *r)
{
	bool bad = false;
	atomic_fetch_add_explicit(&requests, 1, memory_order_relaxed);
	memset(r->body + r->len, 0, SCAN_SLACK);
	if (!mode->wants(r, &bad))
		return MHD_queue_response(r->connection, bad ? 400 : STATUS_OK, answer);
	store(r);
	return MHD_YES;
}

static enum MHD_Result handle(void *closure, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *data,
			      size_t *inout_len, void **context)
{
	struct request *r = *context;
	(void)closure;
	(void)url;
	(void)method;
	(void)version;
	if (!r) {
		r = must(calloc(1, sizeof(*r)));
		r->connection = connection;
		r->cap = BODY_BYTES_MIN;
		r->body = must(malloc(r->cap));
		*context = r;
		return MHD_YES;
	}
	if (*inout_len) {
		keep(r, data, *inout_len);
		*inout_len = 0;
		return MHD_YES;
	}
	switch (atomic_load(&r->state)) {
	case READING:
		return whole(r);
	case WAITING:
		return MHD_YES;
	case STORED:
		return MHD_queue_response(connection, STATUS_OK, answer);
	}
	return MHD_NO;
}

static void finished(void *closure, struct MHD_Connection *connection, void **context,
		     enum MHD_RequestTerminationCode how)
{
	struct request *r = *context;
	(void)closure;
	(void)connection;
	(void)how;
	if (r)
		free(r->body);
	free(r);
	*context = NULL;
}

static void serve(uint16_t port, unsigned threads)
{
	sigset_t stop;
	int number = 0;
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	answer = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	struct MHD_Daemon *daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, port, NULL, NULL, handle,
		NULL, MHD_OPTION_THREAD_POOL_SIZE, threads > 1 ? threads : 0,
		MHD_OPTION_CONNECTION_LIMIT, 4096u, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)32768, MHD_OPTION_NOTIFY_COMPLETED, finished, NULL, MHD_OPTION_END);
	if (!daemon)
		die("port %u cannot be listened at", port);
	sigwait(&stop, &number);
}

/* ---- the program ---- */

static const struct mode *mode_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(MODES); i++)
		if (str_eq(MODES[i].name, name))
			return &MODES[i];
	fprintf(stderr, "no mode %s\n", name);
	exit(64);
}

int main(int argc, char **argv)
{
	const char *url = "nats://127.0.0.1:4222";
	unsigned threads = 2;
	uint16_t port = 0;
	bool flusher = false;
	int letter;
	while ((letter = getopt(argc, argv, "p:m:u:t:F")) > 0) {
		if (letter == 'p')
			port = (uint16_t)option_number(optarg, 1);
		else if (letter == 'm')
			mode = mode_named(optarg);
		else if (letter == 'u')
			url = optarg;
		else if (letter == 't')
			threads = (unsigned)option_number(optarg, 1);
		else if (letter == 'F')
			flusher = true;
		else
			return 64;
	}
	if (!mode || !port)
		return 64;
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_init(&shards[i].lock, NULL);
	if (mode->wants != never)
		open_stream(url, flusher);
	serve(port, threads);
	printf("req=%llu stored=%llu failed=%llu\n", requests, stored, failed);
	fflush(stdout);
	_exit(0); /* requests may still wait for their ack */
}
