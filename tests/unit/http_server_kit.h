/*
 * A server with one handler of each kind, and a raw client.
 */
#ifndef TESTS_UNIT_HTTP_SERVER_KIT_H
#define TESTS_UNIT_HTTP_SERVER_KIT_H

#include "common/http_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

/* ---- a server with one handler of each kind ---- */

static struct http_server *server;
static struct secret tokens[] = {{.data = (char *)(uintptr_t) "token-one", .len = 9},
				 {.data = (char *)(uintptr_t) "token-two", .len = 9}};
static const struct secret hmac_key = {.data = (char *)(uintptr_t) "key", .len = 3};
static pthread_mutex_t parked_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t parked_changed = PTHREAD_COND_INITIALIZER;
static struct http_request *parked;

static inline void say(void *ctx, struct http_request *req)
{
	auto_buf b = {0};
	const char *x = http_query(req, "x");

	buf_printf(&b, "%s %s %s [%s] x=%s %s", (const char *)ctx, http_method(req), http_path(req),
		   http_wildcard(req), x ? x : "(none)", http_peer(req));
	http_reply_header(req, "X-Good", "yes");
	http_reply_header(req, "X-Bad", "a\r\nSet-Cookie: b");
	http_reply(req, 200, "text/plain", b.data, b.len);
}

static inline void echo(void *ctx, struct http_request *req)
{
	size_t len;
	const char *body = http_body(req, &len);

	(void)ctx;
	http_reply(req, 202, "application/octet-stream", body, len);
}

static inline void *answer_later(void *arg)
{
	http_reply(arg, 200, "text/plain", "later", 5);
	return NULL;
}

static inline void later(void *ctx, struct http_request *req)
{
	pthread_t t;

	(void)ctx;
	assert_int_equal(pthread_create(&t, NULL, answer_later, req), 0);
	pthread_detach(t);
}

static inline void park(void *ctx, struct http_request *req)
{
	(void)ctx;
	pthread_mutex_lock(&parked_lock);
	parked = req;
	pthread_cond_signal(&parked_changed);
	pthread_mutex_unlock(&parked_lock);
}

static inline void refuse(void *ctx, struct http_request *req)
{
	struct why why = {0};

	why_set(&why, *(const int *)ctx, "because \"it\"");
	http_reply_error(req, *(const int *)ctx, &why);
}

/* The same answer for all, while the server goes and comes. */
static struct http_fixed *always;

static inline void fixed(void *ctx, struct http_request *req)
{
	if (ctx)
		http_reply_header(req, "X-Own", "yes");
	http_reply_fixed(req, always);
}

static inline void retry(void *ctx, struct http_request *req)
{
	(void)ctx;
	http_reply_retry(req, 429, 7, "slower");
}

static inline void hmac(void *ctx, struct http_request *req)
{
	bool ok = http_hmac_valid(req, "X-Hub-Signature-256", &hmac_key);

	(void)ctx;
	http_reply(req, ok ? 200 : 401, NULL, NULL, 0);
}

/* Says hello, and goes on when the test writes. */
static struct http_stream *stream;

static inline void go_on(void *ctx, struct http_request *req)
{
	(void)ctx;
	pthread_mutex_lock(&parked_lock);
	stream = http_reply_stream(req, "text/event-stream");
	http_stream_write(stream, "hello;", 6);
	pthread_cond_signal(&parked_changed);
	pthread_mutex_unlock(&parked_lock);
}

/* Who says who it is may; the route's number is what it must say. */
static inline int own(void *ctx, struct http_request *req, unsigned need, struct why *why)
{
	const char *who = http_header(req, "X-Who");

	(void)ctx;
	if (!who)
		return why_set(why, ERR_UNAUTHENTICATED, "who?");
	if ((unsigned)strtoul(who, NULL, 10) < need)
		return why_set(why, ERR_DENIED, "not you");
	http_request_set_user(req, who);
	return 0;
}

static inline void whoami(void *ctx, struct http_request *req)
{
	(void)ctx;
	http_reply(req, 200, "text/plain", http_request_user(req), strlen(http_request_user(req)));
}

static int err_conflict = ERR_CONFLICT, err_unavailable = ERR_UNAVAILABLE, err_io = ERR_IO;

static const struct http_route routes[] = {
	{"GET", "/healthz", say, (void *)(uintptr_t) "health", HTTP_AUTH_NONE},
	{"GET", "/api/x", say, (void *)(uintptr_t) "secret", HTTP_AUTH_BEARER},
	{"GET", "/api/x/*", say, (void *)(uintptr_t) "one", HTTP_AUTH_NONE},
	{"GET", "/api/x/exact", say, (void *)(uintptr_t) "exact", HTTP_AUTH_NONE},
	{"DELETE", "/api/x/*", say, (void *)(uintptr_t) "delete", HTTP_AUTH_NONE},
	{"GET", "/ui/**", say, (void *)(uintptr_t) "rest", HTTP_AUTH_NONE},
	{"POST", "/echo", echo, NULL, HTTP_AUTH_HANDLER},
	{"GET", "/later", later, NULL, HTTP_AUTH_NONE},
	{"GET", "/park", park, NULL, HTTP_AUTH_NONE},
	{"GET", "/conflict", refuse, &err_conflict, HTTP_AUTH_NONE},
	{"GET", "/unavailable", refuse, &err_unavailable, HTTP_AUTH_NONE},
	{"GET", "/io", refuse, &err_io, HTTP_AUTH_NONE},
	{"GET", "/fixed", fixed, NULL, HTTP_AUTH_NONE},
	{"GET", "/fixed/own", fixed, &always, HTTP_AUTH_NONE},
	{"GET", "/retry", retry, NULL, HTTP_AUTH_NONE},
	{"POST", "/hmac", hmac, NULL, HTTP_AUTH_HANDLER},
	{"GET", "/stream", go_on, NULL, HTTP_AUTH_NONE},
	{"GET", "/own", whoami, NULL, HTTP_AUTH_OWN + 2},
};

static inline void start(struct http_server_options o)
{
	struct why why = {0};

	if (!always)
		always = http_fixed_new(202, "text/plain", "always\n");
	o.listen = "127.0.0.1:0";
	o.routes = routes;
	o.n_routes = ARRAY_SIZE(routes);
	o.authorize = own;
	if (http_server_open(&o, &server, &why))
		fail_msg("%s", why.text);
}

static inline int with_tokens(void **state)
{
	(void)state;
	start((struct http_server_options){
		.tokens = tokens, .n_tokens = 2, .request_timeout_s = 1, .body_max_bytes = 100000});
	return 0;
}

static inline int without_tokens(void **state)
{
	(void)state;
	start((struct http_server_options){.request_timeout_s = 1});
	return 0;
}

static inline int stop(void **state)
{
	(void)state;
	http_server_close(server, 1000);
	server = NULL;
	return 0;
}

/* ---- a raw client ---- */

static inline int dial(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)http_server_port(server)),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* True when all of it went out. */
static inline bool put(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* Until the server closes, or `until` is in it, or 5 s. */
static inline void get(int fd, struct buf *out, const char *until)
{
	int64_t deadline = clock_mono_ms() + 5000;
	char chunk[4096];

	while (!until || !strstr(buf_str(out), until)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - clock_mono_ms();
		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return;
		ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
		if (n <= 0)
			return;
		buf_add(out, chunk, (size_t)n);
	}
}

static inline void ask(const char *request, struct buf *out)
{
	auto_fd int fd = dial();

	put(fd, request, strlen(request));
	get(fd, out, NULL);
}

static inline int status_of(const struct buf *answer)
{
	return str_starts(buf_str(answer), "HTTP/1.1 ") ? (int)strtol(answer->data + 9, NULL, 10)
							: 0;
}

#define HOST "Host: localhost\r\n"
#define END HOST "Connection: close\r\n\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" END
#define AUTH(value) "GET /api/x HTTP/1.1\r\nAuthorization: " value "\r\n" END
#define POST(headers, body)                                                                        \
	"POST /echo HTTP/1.1\r\n" HOST "Connection: close\r\n" headers "\r\n" body

struct exchange {
	const char *request;
	int status; /* 0: closed without an answer is right, too */
	const char *has, *has_not;
};

static inline void run_table(const struct exchange *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		auto_buf b = {0};

		ask(t[i].request, &b);
		if (status_of(&b) != t[i].status)
			fail_msg("row %zu: <%s>\nwant %d, got <%s>", i, t[i].request, t[i].status,
				 buf_str(&b));
		if (t[i].has && !strstr(buf_str(&b), t[i].has))
			fail_msg("row %zu: no <%s> in <%s>", i, t[i].has, buf_str(&b));
		if (t[i].has_not && strstr(buf_str(&b), t[i].has_not))
			fail_msg("row %zu: <%s> in <%s>", i, t[i].has_not, buf_str(&b));
	}
}

#endif
