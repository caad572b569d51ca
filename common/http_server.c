#include "common/http_server_private.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

enum {
	REAP_PAUSE_MS = 250, /* at least, between two looks */
	/* With three quarters of the connections taken, a client gets only so long. */
	PRESSED_TIMEOUT_MS = 1000,
	/* For the 503s of requests that the handlers did not answer in time. */
	ABORT_GRACE_MS = 200,
	/* With no descriptor left, the pause before the library tries to accept again. */
	ACCEPT_PAUSE_MS = 50,
	CERTIFICATE_MAX_BYTES = 256 << 10,
	/* The header and the answer's header share it. */
	CONNECTION_MEMORY_BYTES = HTTP_HEADER_MAX_BYTES + 8192,
};

static const char tls_priorities[] = "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

/* ---- life and death ---- */

void http_server_ref(struct http_server *s)
{
	atomic_fetch_add(&s->refs, 1);
}

void http_server_unref(struct http_server *s)
{
	if (atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->reply_lock);
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->idle);
	free(s->unix_path);
	free(s);
}

static void cond_init_mono(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

static struct timespec mono_after(int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

static struct http_server *server_new(const struct http_server_options *o)
{
	struct http_server *s = mem_alloc(sizeof(*s));

	s->routes = o->routes;
	s->n_routes = o->n_routes;
	s->tokens = o->tokens;
	s->n_tokens = o->n_tokens;
	s->authorize = o->authorize;
	s->authorize_ctx = o->authorize_ctx;
	s->tls = o->tls_cert_file != NULL;
	s->body_max_bytes = o->body_max_bytes ? o->body_max_bytes : HTTP_BODY_MAX_BYTES;
	s->request_timeout_ms = 1000 * (int64_t)(o->request_timeout_s ? o->request_timeout_s
								      : HTTP_REQUEST_TIMEOUT_S);
	s->connections_max = o->connections_max ? o->connections_max : HTTP_CONNECTIONS_MAX;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->reply_lock, NULL);
	cond_init_mono(&s->wake);
	cond_init_mono(&s->idle);
	s->refs = 1;
	return s;
}

/* ---- connections ---- */

static int64_t peer_uid(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) ? -1 : (int64_t)who.uid;
}

static unsigned pressed_from(const struct http_server *s)
{
	return s->connections_max / 4 * 3 + 1;
}

static void connection_open(struct http_server *s, struct MHD_Connection *mhd, void **context)
{
	struct http_connection *c = mem_alloc(sizeof(*c));
	const union MHD_ConnectionInfo *info;

	c->server = s;
	c->fd = -1;
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info)
		c->fd = info->connect_fd;
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	c->uid = s->unix_path ? peer_uid(c->fd) : -1;
	if (s->unix_path) {
		snprintf(c->peer, sizeof(c->peer), "unix");
		c->loopback = true;
	} else if (info && info->client_addr) {
		address_text(info->client_addr, c->peer);
		c->loopback = address_is_loopback(info->client_addr);
	}
	c->waiting_since_ms = clock_mono_ms();
	*context = c;
	pthread_mutex_lock(&s->lock);
	c->next = s->connections;
	if (c->next)
		c->next->prev = c;
	s->connections = c;
	s->n_connections++;
	if (s->n_connections == 1 || s->n_connections == pressed_from(s))
		pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

static void connection_close(struct http_server *s, struct http_connection *c)
{
	http_request_drop(c);
	pthread_mutex_lock(&s->lock);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->connections = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->n_connections--;
	pthread_mutex_unlock(&s->lock);
	buf_release(&c->spare);
	free(c);
}

static void on_connection(void *server, struct MHD_Connection *mhd, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		connection_open(server, mhd, context);
	else if (*context)
		connection_close(server, *context);
}

/*
 * The library's time-out counts from the last byte, so a client that sends one byte a second keeps
 * its place for ever. Ours counts from the turn's beginning. The library closes the socket only
 * after on_connection, so the descriptor is that connection's while it is in the list.
 * Returns how long none of them can be late: a turn that begins later ends later.
 */
static int64_t reap(struct http_server *s)
{
	int64_t now = clock_mono_ms();
	bool pressed = s->n_connections >= pressed_from(s);
	int64_t limit = pressed ? MIN(s->request_timeout_ms, (int64_t)PRESSED_TIMEOUT_MS)
				: s->request_timeout_ms;
	int64_t pause = limit;

	for (struct http_connection *c = s->connections; c; c = c->next) {
		int64_t since = c->waiting_since_ms;

		if (since == 0)
			continue;
		if (now - since < limit) {
			pause = MIN(pause, since + limit - now);
			continue;
		}
		shutdown(c->fd, SHUT_RDWR);
		c->waiting_since_ms = now;
	}
	return pause;
}

static void *reaper_main(void *arg)
{
	struct http_server *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		struct timespec until = mono_after(MAX(reap(s), (int64_t)REAP_PAUSE_MS));

		if (s->n_connections)
			pthread_cond_timedwait(&s->wake, &s->lock, &until);
		else
			pthread_cond_wait(&s->wake, &s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- opening ---- */

struct tls_files {
	struct buf certificate;
	struct secret key;
};

static void tls_files_release(struct tls_files *t)
{
	buf_release(&t->certificate);
	secret_release(&t->key);
}

static int tls_files_read(struct tls_files *t, const struct http_server_options *o,
			  struct why *out_why)
{
	if (!o->tls_cert_file != !o->tls_key_file)
		return why_set(out_why, ERR_CONFIG,
			       "TLS needs both a certificate and a key file, or neither");
	if (!o->tls_cert_file)
		return 0;
	int rc = buf_read_file(&t->certificate, o->tls_cert_file, CERTIFICATE_MAX_BYTES);
	if (rc)
		return why_set(out_why, ERR_CONFIG, "%s: %s", o->tls_cert_file, err_name(rc));
	return secret_read(&t->key, o->tls_key_file, out_why);
}

/*
 * While starting, what the library says is the reason; later nobody asks. But without descriptors
 * and connections it tries to accept again and again, and calls this in between: the only place
 * where it can be made to rest (libmicrohttpd 0.9.75, MHD_accept_connection).
 */
static void __attribute__((format(printf, 2, 0)))
on_log(void *server, const char *fmt, va_list args)
{
	struct http_server *s = server;

	if (s->started && strstr(fmt, "busy waiting")) {
		struct timespec pause = {.tv_nsec = ACCEPT_PAUSE_MS * 1000000L};
		nanosleep(&pause, NULL);
	}
	if (s->started || s->start_why.text[0])
		return;
	vsnprintf(s->start_why.text, sizeof(s->start_why.text), fmt, args);
	s->start_why.text[strcspn(s->start_why.text, "\n")] = 0;
}

static int daemon_start(struct http_server *s, int listen_fd, unsigned threads,
			const struct tls_files *tls, struct why *out_why)
{
	bool secure = tls->key.len > 0;
	/* Not epoll: with it, closing while requests come ends the process now and then (0.9.75:
	 * two threads take the listening socket out of the set), and a request costs more. */
	unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
			 MHD_USE_ERROR_LOG | (secure ? (unsigned)MHD_USE_TLS : 0);
	struct MHD_OptionItem tls_options[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, tls->certificate.data},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, tls->key.data},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)tls_priorities},
		{MHD_OPTION_END, 0, NULL},
	};

	s->daemon = MHD_start_daemon(
		flags, 0, NULL, NULL, http_request_access, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, s,
		MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_THREAD_POOL_SIZE, threads,
		MHD_OPTION_CONNECTION_LIMIT, s->connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)(s->request_timeout_ms / 1000), MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_URI_LOG_CALLBACK, http_request_line, s, MHD_OPTION_NOTIFY_COMPLETED,
		http_request_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
		secure ? MHD_OPTION_ARRAY : MHD_OPTION_END, tls_options, MHD_OPTION_END);
	if (!s->daemon)
		return why_set(out_why, secure ? ERR_CONFIG : ERR_INTERNAL,
			       "cannot start the HTTP server: %s", s->start_why.text);
	s->started = true;
	return 0;
}

static int start_listening(struct http_server *s, const struct http_server_options *o, int *out_fd,
			   struct why *out_why)
{
	if (!o->unix_socket)
		return address_listen(o->listen, out_fd, &s->port, out_why);
	int rc = address_listen_unix(o->unix_socket, out_fd, out_why);
	if (!rc)
		s->unix_path = mem_strdup(o->unix_socket->path);
	return rc;
}

static void remove_path(const struct http_server *s)
{
	if (s->unix_path)
		unlink(s->unix_path);
}

int http_server_open(const struct http_server_options *options, struct http_server **out,
		     struct why *out_why)
{
	__attribute__((cleanup(tls_files_release))) struct tls_files tls = {0};
	int fd;

	int rc = tls_files_read(&tls, options, out_why);
	if (rc)
		return rc;
	struct http_server *s = server_new(options);
	rc = start_listening(s, options, &fd, out_why);
	if (rc) {
		http_server_unref(s);
		return rc;
	}
	rc = daemon_start(s, fd, options->threads ? options->threads : 2, &tls, out_why);
	if (rc) {
		close(fd);
		remove_path(s);
		http_server_unref(s);
		return rc;
	}
	if (pthread_create(&s->reaper, NULL, reaper_main, s))
		abort();
	*out = s;
	return 0;
}

/* ---- closing ---- */

static void wait_idle(struct http_server *s, int64_t grace_ms)
{
	struct timespec until = mono_after(grace_ms);

	pthread_mutex_lock(&s->reply_lock);
	while (s->in_flight > 0 && pthread_cond_timedwait(&s->idle, &s->reply_lock, &until) == 0)
		;
	pthread_mutex_unlock(&s->reply_lock);
}

void http_server_close(struct http_server *s, int64_t grace_ms)
{
	if (!s)
		return;
	s->draining = true;
	/* First, for once nobody listens another process may take the path. */
	remove_path(s);
	int fd = MHD_quiesce_daemon(s->daemon);
	/* Its threads may still look at the descriptor, so it is closed only after them. */
	if (fd != MHD_INVALID_SOCKET)
		shutdown(fd, SHUT_RDWR);
	http_streams_end(s);
	wait_idle(s, grace_ms);
	http_requests_abort(s);
	wait_idle(s, ABORT_GRACE_MS);
	http_streams_end(s);
	MHD_stop_daemon(s->daemon);
	if (fd != MHD_INVALID_SOCKET)
		close(fd);
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->reaper, NULL);
	http_server_unref(s);
}

unsigned http_server_port(const struct http_server *s)
{
	return s->port;
}

unsigned http_server_in_flight(const struct http_server *s)
{
	struct http_server *mutable = (struct http_server *)(uintptr_t)s;

	pthread_mutex_lock(&mutable->reply_lock);
	unsigned n = s->in_flight;
	pthread_mutex_unlock(&mutable->reply_lock);
	return n;
}
