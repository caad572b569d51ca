#include "common/http_server_private.h"

#include "common/clock.h"
#include "common/mem.h"

/* Its writer and its connection each hold a reference. All fields but refs: under reply_lock. */
struct http_stream {
	struct http_server *server;
	struct http_stream *prev, *next; /* in http_server.streams while the connection lives */
	struct MHD_Connection *mhd;      /* NULL: the connection has ended */
	struct http_connection *connection;
	struct buf data;
	bool suspended; /* nothing to send: the connection waits for us */
	bool ended;
	_Atomic unsigned refs;
};

static void stream_unref(struct http_stream *st)
{
	if (atomic_fetch_sub(&st->refs, 1) != 1)
		return;
	http_server_unref(st->server);
	buf_release(&st->data);
	free(st);
}

/* With reply_lock held. */
static void stream_wake(struct http_stream *st)
{
	if (!st->suspended || !st->mhd)
		return;
	st->suspended = false;
	st->connection->waiting_since_ms = clock_mono_ms();
	MHD_resume_connection(st->mhd);
}

/* On the connection's thread, when the client can take more. With reply_lock held. */
static ssize_t stream_take(struct http_stream *st, char *out, size_t max)
{
	if (st->data.len) {
		size_t n = MIN(max, st->data.len);
		memcpy(out, st->data.data, n);
		st->data.len -= n;
		memmove(st->data.data, st->data.data + n, st->data.len);
		st->connection->waiting_since_ms = clock_mono_ms();
		return (ssize_t)n;
	}
	if (st->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	st->suspended = true;
	st->connection->waiting_since_ms = 0;
	MHD_suspend_connection(st->mhd);
	return 0;
}

static ssize_t on_read(void *ctx, uint64_t pos UNUSED, char *out, size_t max)
{
	struct http_stream *st = ctx;
	pthread_mutex_t *lock = &st->server->reply_lock;

	pthread_mutex_lock(lock);
	ssize_t n = st->mhd ? stream_take(st, out, max) : MHD_CONTENT_READER_END_WITH_ERROR;
	pthread_mutex_unlock(lock);
	return n;
}

/* The response is destroyed: by the library with its connection, or unused. */
static void on_free(void *ctx)
{
	stream_unref(ctx);
}

void http_stream_detach(struct http_request *r)
{
	struct http_stream *st = r->stream;

	if (!st)
		return;
	r->stream = NULL;
	pthread_mutex_lock(&r->server->reply_lock);
	st->mhd = NULL;
	if (st->prev)
		st->prev->next = st->next;
	else
		st->server->streams = st->next;
	if (st->next)
		st->next->prev = st->prev;
	pthread_mutex_unlock(&r->server->reply_lock);
	stream_unref(st);
}

/* With reply_lock held: the connection, the response and the writer each have it from now on. */
static void stream_attach(struct http_stream *st, struct http_request *r)
{
	st->mhd = r->mhd;
	st->connection = r->connection;
	st->next = st->server->streams;
	if (st->next)
		st->next->prev = st;
	st->server->streams = st;
	atomic_fetch_add(&st->refs, 1);
	r->stream = st;
}

struct http_stream *http_reply_stream(struct http_request *req, const char *content_type)
{
	struct http_server *s = req->server;
	struct http_stream *st = mem_alloc(sizeof(*st));

	st->server = s;
	http_server_ref(s);
	st->refs = 2;
	struct MHD_Response *response = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, HTTP_STREAM_CHUNK_BYTES, on_read, st, on_free);
	if (!response)
		abort();
	http_reply_decorate(req, response, content_type);
	pthread_mutex_lock(&s->reply_lock);
	st->ended = s->draining;
	if (req->state != REQUEST_ABORTED)
		stream_attach(st, req);
	pthread_mutex_unlock(&s->reply_lock);
	http_reply_response(req, MHD_HTTP_OK, response);
	return st;
}

int http_stream_write(struct http_stream *st, const void *data, size_t len)
{
	int rc = 0;

	pthread_mutex_lock(&st->server->reply_lock);
	if (!st->mhd || st->ended)
		rc = ERR_CLOSED;
	else if (st->data.len + len > HTTP_STREAM_MAX_BYTES)
		rc = ERR_FULL;
	else
		buf_add(&st->data, data, len);
	if (!rc)
		stream_wake(st);
	pthread_mutex_unlock(&st->server->reply_lock);
	return rc;
}

bool http_stream_gone(struct http_stream *st)
{
	char byte;
	bool gone = true;

	pthread_mutex_lock(&st->server->reply_lock);
	/* The socket is its own for as long as the request is the connection's. */
	if (st->mhd && !st->ended) {
		ssize_t n = recv(st->connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
		gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	}
	pthread_mutex_unlock(&st->server->reply_lock);
	return gone;
}

void http_stream_close(struct http_stream *st)
{
	if (!st)
		return;
	pthread_mutex_lock(&st->server->reply_lock);
	st->ended = true;
	stream_wake(st);
	pthread_mutex_unlock(&st->server->reply_lock);
	stream_unref(st);
}

void http_streams_end(struct http_server *s)
{
	pthread_mutex_lock(&s->reply_lock);
	for (struct http_stream *st = s->streams; st; st = st->next) {
		st->ended = true;
		stream_wake(st);
	}
	pthread_mutex_unlock(&s->reply_lock);
}
