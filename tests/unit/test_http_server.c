#include "common/http_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/http_text.h"
#include "common/id.h"
#include "common/mem.h"

/* ---- a server with one handler of each kind ---- */

static struct http_server *server;
static struct secret tokens[] = {{.data = (char *)(uintptr_t) "token-one", .len = 9},
				 {.data = (char *)(uintptr_t) "token-two", .len = 9}};
static const struct secret hmac_key = {.data = (char *)(uintptr_t) "key", .len = 3};
static pthread_mutex_t parked_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t parked_changed = PTHREAD_COND_INITIALIZER;
static struct http_request *parked;

static void say(void *ctx, struct http_request *req)
{
	auto_buf b = {0};
	const char *x = http_query(req, "x");

	buf_printf(&b, "%s %s %s [%s] x=%s %s", (const char *)ctx, http_method(req), http_path(req),
		   http_wildcard(req), x ? x : "(none)", http_peer(req));
	http_reply_header(req, "X-Good", "yes");
	http_reply_header(req, "X-Bad", "a\r\nSet-Cookie: b");
	http_reply(req, 200, "text/plain", b.data, b.len);
}

static void echo(void *ctx, struct http_request *req)
{
	size_t len;
	const char *body = http_body(req, &len);

	(void)ctx;
	http_reply(req, 202, "application/octet-stream", body, len);
}

static void *answer_later(void *arg)
{
	http_reply(arg, 200, "text/plain", "later", 5);
	return NULL;
}

static void later(void *ctx, struct http_request *req)
{
	pthread_t t;

	(void)ctx;
	assert_int_equal(pthread_create(&t, NULL, answer_later, req), 0);
	pthread_detach(t);
}

static void park(void *ctx, struct http_request *req)
{
	(void)ctx;
	pthread_mutex_lock(&parked_lock);
	parked = req;
	pthread_cond_signal(&parked_changed);
	pthread_mutex_unlock(&parked_lock);
}

static void refuse(void *ctx, struct http_request *req)
{
	struct why why = {0};

	why_set(&why, *(const int *)ctx, "because \"it\"");
	http_reply_error(req, *(const int *)ctx, &why);
}

static void retry(void *ctx, struct http_request *req)
{
	(void)ctx;
	http_reply_retry(req, 429, 7, "slower");
}

static void hmac(void *ctx, struct http_request *req)
{
	bool ok = http_hmac_valid(req, "X-Hub-Signature-256", &hmac_key);

	(void)ctx;
	http_reply(req, ok ? 200 : 401, NULL, NULL, 0);
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
	{"GET", "/retry", retry, NULL, HTTP_AUTH_NONE},
	{"POST", "/hmac", hmac, NULL, HTTP_AUTH_HANDLER},
};

static void start(struct http_server_options o)
{
	struct why why = {0};

	o.listen = "127.0.0.1:0";
	o.routes = routes;
	o.n_routes = ARRAY_SIZE(routes);
	if (http_server_open(&o, &server, &why))
		fail_msg("%s", why.text);
}

static int with_tokens(void **state)
{
	(void)state;
	start((struct http_server_options){
		.tokens = tokens, .n_tokens = 2, .request_timeout_s = 1, .body_max_bytes = 100000});
	return 0;
}

static int without_tokens(void **state)
{
	(void)state;
	start((struct http_server_options){.request_timeout_s = 1});
	return 0;
}

static int stop(void **state)
{
	(void)state;
	http_server_close(server, 1000);
	server = NULL;
	return 0;
}

/* ---- a raw client ---- */

static int dial(void)
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
static bool put(int fd, const char *data, size_t len)
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
static void get(int fd, struct buf *out, const char *until)
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

static void ask(const char *request, struct buf *out)
{
	auto_fd int fd = dial();

	put(fd, request, strlen(request));
	get(fd, out, NULL);
}

static int status_of(const struct buf *answer)
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

static void run_table(const struct exchange *t, size_t n)
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

/* ---- tests ---- */

static void test_routes(void **state)
{
	static const struct exchange t[] = {
		{GET("/healthz"), 200, "health GET /healthz [] x=(none) 127.0.0.1", NULL},
		{GET("/healthz?x=a%20b+c&x=2"), 200, "x=a b c ", NULL},
		{GET("/healthz?x"), 200, "x= ", NULL},
		{GET("/%68ealthz"), 200, "health GET /healthz", NULL},
		{GET("/api/x/one%20two"), 200, "one GET /api/x/one two [one two]", NULL},
		{GET("/api/x/exact"), 200, "exact GET", NULL},
		{GET("/ui/"), 200, "rest GET /ui/ []", NULL},
		{GET("/ui/a/b"), 200, "[a/b]", NULL},
		{GET("/ui"), 404, NULL, NULL},
		{GET("/"), 404, NULL, NULL},
		{GET("/healthz/"), 404, NULL, NULL},
		{GET("/api/x/"), 404, NULL, NULL},
		{"HEAD /healthz HTTP/1.1\r\n" END, 200, "Content-Length: 4", "health"},
		{"POST /healthz HTTP/1.1\r\nContent-Length: 0\r\n" END, 405, "Allow: GET, HEAD\r\n",
		 NULL},
		{"POST /api/x/y HTTP/1.1\r\nContent-Length: 0\r\n" END, 405,
		 "Allow: GET, HEAD, DELETE\r\n", NULL},
		{"DELETE /api/x/y HTTP/1.1\r\n" END, 200, "delete DELETE /api/x/y [y]", NULL},
		{GET("/healthz"), 200, "X-Good: yes", "Set-Cookie"},
		{GET("/healthz"), 200, "nosniff", NULL},
		{GET("/conflict"), 409,
		 "{\"error\":\"conflict\",\"reason\":\"because \\\"it\\\"\"}", NULL},
		{GET("/unavailable"), 503, "Retry-After: 1\r\n", NULL},
		{GET("/io"), 500, "\"error\":\"io\"", NULL},
		{GET("/retry"), 429, "Retry-After: 7\r\n", NULL},
		{GET("/later"), 200, "\r\n\r\nlater", NULL},
	};

	(void)state;
	run_table(t, ARRAY_SIZE(t));
}

/* Every one of these once opened a door somewhere. */
static void test_auth_is_not_bypassed(void **state)
{
	static const struct exchange t[] = {
		{GET("/api/x"), 401, "WWW-Authenticate: Bearer", "secret"},
		{GET("/%61pi/x"), 401, NULL, "secret"},
		{GET("/api%2fx"), 401, NULL, "secret"},
		{GET("/api/x?/healthz"), 401, NULL, "secret"},
		{GET("/api/x/../healthz"), 400, NULL, "health GET"},
		{GET("/api/x/%2e%2e/healthz"), 400, NULL, "health GET"},
		{GET("/healthz/../api/x"), 400, NULL, "secret"},
		{GET("/healthz/%2e%2e/api/x"), 400, NULL, "secret"},
		{GET("/healthz%2f..%2fapi/x"), 400, NULL, "secret"},
		{GET("/%252e%252e/api/x"), 404, NULL, "secret"},
		{GET("/./api/x"), 400, NULL, "secret"},
		{GET("//api/x"), 400, NULL, "secret"},
		{GET("//healthz"), 400, NULL, "health GET"},
		{GET("/api//x"), 400, NULL, "secret"},
		{GET("/api/x/"), 404, NULL, "secret"},
		{GET("/api/x%00/healthz"), 400, NULL, "secret"},
		{GET("/api/x%0d%0aX:"), 400, NULL, "secret"},
		{GET("/api\\x"), 400, NULL, "secret"},
		{GET("/api/x%"), 400, NULL, "secret"},
		{GET("/api/x%zz"), 400, NULL, "secret"},
		{GET("/API/X"), 404, NULL, "secret"},
		{GET("http://localhost/api/x"), 400, NULL, "secret"},
		{GET("*"), 400, NULL, "secret"},
		{AUTH("Bearer token-one"), 200, "secret GET", NULL},
		{AUTH("bearer token-two"), 200, "secret GET", NULL},
		{AUTH("Basic dXNlcjp0b2tlbi1vbmU="), 200, "secret GET", NULL},
		{AUTH("Basic dXNlcjp0b2tlbi1vbmV4"), 401, NULL, "secret"},
		{AUTH("Basic %%%"), 401, NULL, "secret"},
		{AUTH("Bearer token-on"), 401, NULL, "secret"},
		{AUTH("Bearer token-onee"), 401, NULL, "secret"},
		{AUTH("Bearer "), 401, NULL, "secret"},
		{AUTH("token-one"), 401, NULL, "secret"},
		{AUTH("Bearer token-one\r\nAuthorization: Bearer x"), 400, NULL, "secret"},
		{AUTH("Bearer token-one\r\nOrigin: http://evil.example"), 403, NULL, "secret"},
		{AUTH("Bearer token-one\r\nOrigin: null"), 403, NULL, "secret"},
		{AUTH("Bearer token-one\r\nOrigin: http://localhost"), 200, "secret GET", NULL},
	};

	(void)state;
	run_table(t, ARRAY_SIZE(t));
}

static void test_local_without_tokens(void **state)
{
#define FROM(host, more)                                                                           \
	"GET /api/x HTTP/1.1\r\nHost: " host "\r\n" more "Connection: close\r\n\r\n"
	static const struct exchange t[] = {
		{FROM("localhost:9098", ""), 200, "secret GET", NULL},
		{FROM("127.0.0.1", ""), 200, "secret GET", NULL},
		{FROM("[::1]:80", ""), 200, "secret GET", NULL},
		/* a name of the attacker's that resolves to us */
		{FROM("evil.example:9098", ""), 403, NULL, "secret"},
		{FROM("127.0.0.1.evil.example", ""), 403, NULL, "secret"},
		{FROM("localhost", "Origin: http://evil.example\r\n"), 403, NULL, "secret"},
		{FROM("localhost", "X-Forwarded-For: 192.0.2.1\r\n"), 403, NULL, "secret"},
		{FROM("localhost", "Forwarded: for=192.0.2.1\r\n"), 403, NULL, "secret"},
	};

	(void)state;
	run_table(t, ARRAY_SIZE(t));
}

static void test_framing(void **state)
{
	static const struct exchange t[] = {
		{POST("Content-Length: 5\r\n", "hello"), 202, "\r\n\r\nhello", NULL},
		{POST("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), 202,
		 "\r\n\r\nhello!", NULL},
		{POST("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400, NULL, NULL},
		{POST("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), 400, NULL, NULL},
		{POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400,
		 NULL, "HTTP/1.1 202"},
		{POST("Transfer-Encoding: chunked\r\n", "zz\r\nhello\r\n0\r\n\r\n"), 400, NULL,
		 "HTTP/1.1 202"},
		{POST("Content-Length: 100001\r\n", "x"), 413, NULL, NULL},
		{POST("Content-Length: 99999999999999999999999999\r\n", "x"), 413, NULL, NULL},
		{"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", 400, NULL, NULL},
		{GET("/healthz HTTP/9.9"), 0, NULL, "health GET"},
	};
	auto_buf negative = {0};

	(void)state;
	run_table(t, ARRAY_SIZE(t));
	ask(POST("Content-Length: -1\r\n", "x"), &negative);
	assert_true(status_of(&negative) >= 400 || negative.len == 0);
}

static void test_body_limit_when_chunked(void **state)
{
	auto_buf b = {0};
	auto_fd int fd = dial();
	static const char head[] = POST("Transfer-Encoding: chunked\r\n", "");
	static char chunk[0x1000 + 8];

	(void)state;
	memset(chunk, 'x', sizeof(chunk));
	memcpy(chunk, "1000\r\n", 6);
	memcpy(chunk + sizeof(chunk) - 2, "\r\n", 2);
	put(fd, head, strlen(head));
	for (int i = 0; i < 40; i++)
		put(fd, chunk, sizeof(chunk));
	put(fd, "0\r\n\r\n", 5);
	get(fd, &b, NULL);
	assert_int_equal(status_of(&b), 413);
}

static void test_large_header(void **state)
{
	auto_buf request = {0}, answer = {0}, many = {0}, second = {0}, uri = {0}, third = {0};

	(void)state;
	buf_add_str(&request, "GET /healthz HTTP/1.1\r\nX-Long: ");
	for (int i = 0; i < 20000; i++)
		buf_add_char(&request, 'x');
	buf_add_str(&request, "\r\n" END);
	ask(buf_str(&request), &answer);
	assert_true(status_of(&answer) == 431 || status_of(&answer) == 413);
	buf_add_str(&many, "GET /healthz HTTP/1.1\r\n");
	for (int i = 0; i < 101; i++)
		buf_printf(&many, "X-%d: 1\r\n", i);
	buf_add_str(&many, END);
	ask(buf_str(&many), &second);
	assert_int_equal(status_of(&second), 413);
	buf_add_str(&uri, "GET /");
	for (int i = 0; i < 1100; i++)
		buf_add_char(&uri, 'x');
	buf_add_str(&uri, " HTTP/1.1\r\n" END);
	ask(buf_str(&uri), &third);
	assert_int_equal(status_of(&third), 413);
}

static void test_slow_loris_is_cut(void **state)
{
	auto_fd int fd = dial();
	auto_buf b = {0};
	int64_t began = clock_mono_ms();
	static const char drip[] =
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: xxxxxxxxxxxxxxxx";

	(void)state;
	/* One byte every 100 ms keeps any inactivity time-out away. */
	for (size_t i = 0; i < sizeof(drip) - 1; i++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (!put(fd, &drip[i], 1) || poll(&p, 1, 100) > 0)
			break;
	}
	get(fd, &b, NULL);
	assert_true(clock_mono_ms() - began < 4000);
	assert_null(strstr(buf_str(&b), "health GET"));
	buf_reset(&b);
	ask(GET("/healthz"), &b);
	assert_int_equal(status_of(&b), 200);
}

static void test_keep_alive(void **state)
{
	auto_fd int fd = dial();
	auto_buf b = {0};
	static const char twice[] = "GET /healthz?x=1 HTTP/1.1\r\n" HOST "\r\n"
				    "GET /later HTTP/1.1\r\n" HOST "\r\n"
				    "GET /healthz?x=3 HTTP/1.1\r\n" HOST "\r\n";

	(void)state;
	put(fd, twice, strlen(twice));
	get(fd, &b, "x=3");
	assert_non_null(strstr(buf_str(&b), "x=1"));
	assert_non_null(strstr(buf_str(&b), "later"));
	assert_non_null(strstr(buf_str(&b), "x=3"));
}

static void *ask_later(void *arg)
{
	for (int i = 0; i < 50; i++) {
		auto_buf b = {0};
		ask(GET("/later"), &b);
		if (status_of(&b) != 200)
			*(int *)arg += 1;
	}
	return NULL;
}

static void test_async_in_parallel(void **state)
{
	pthread_t t[8];
	int failed[8] = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_create(&t[i], NULL, ask_later, &failed[i]);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(failed[i], 0);
	}
}

static void wait_parked(void)
{
	pthread_mutex_lock(&parked_lock);
	while (!parked)
		pthread_cond_wait(&parked_changed, &parked_lock);
	pthread_mutex_unlock(&parked_lock);
}

static void test_close_answers_suspended(void **state)
{
	auto_fd int fd = dial();
	auto_buf b = {0};
	static const char request[] = GET("/park");

	parked = NULL;
	put(fd, request, strlen(request));
	wait_parked();
	assert_int_equal(http_server_in_flight(server), 1);
	int64_t began = clock_mono_ms();
	http_server_close(server, 300);
	server = NULL;
	assert_true(clock_mono_ms() - began >= 290);
	get(fd, &b, NULL);
	assert_int_equal(status_of(&b), 503);
	/* The handler's own answer comes too late and does no harm; what it borrowed still lives.
	 */
	assert_string_equal(http_header(parked, "host"), "localhost");
	http_reply(parked, 200, NULL, "x", 1);
	without_tokens(state);
}

static void *reply_parked(void *arg)
{
	struct timespec nap = {.tv_nsec = 50000000};

	(void)arg;
	nanosleep(&nap, NULL);
	http_reply(parked, 200, NULL, "drained", 7);
	return NULL;
}

static void test_close_waits_for_answers(void **state)
{
	auto_fd int fd = dial();
	auto_buf b = {0};
	pthread_t t;
	static const char request[] = GET("/park");

	parked = NULL;
	put(fd, request, strlen(request));
	wait_parked();
	pthread_create(&t, NULL, reply_parked, NULL);
	http_server_close(server, 5000);
	server = NULL;
	pthread_join(t, NULL);
	get(fd, &b, NULL);
	assert_non_null(strstr(buf_str(&b), "drained"));
	without_tokens(state);
}

static void test_hmac(void **state)
{
	uint8_t mac[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1];
	static const char format[] = "POST /hmac HTTP/1.1\r\nContent-Length: 4\r\n"
				     "X-Hub-Signature-256: %s%s\r\n" END "%s";
	const struct {
		const char *prefix, *body;
		int status;
	} t[] = {{"sha256=", "body", 200},
		 {"", "body", 200},
		 {"sha256=", "Body", 401},
		 {"sha1=", "body", 401},
		 {"sha256=0", "body", 401}};

	(void)state;
	digest_hmac("key", 3, "body", 4, mac);
	hex_encode(mac, sizeof(mac), hex);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = {0};
		auto_free char *request = mem_printf(format, t[i].prefix, hex, t[i].body);

		ask(request, &b);
		assert_int_equal(status_of(&b), t[i].status);
	}
}

/* ---- TLS, with the openssl program on both sides of it ---- */

static int run(const char *const *argv, const char *in, const char *out)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (!freopen(in, "r", stdin) || !freopen(out, "w", stdout) ||
		    !freopen("/dev/null", "w", stderr))
			_exit(126);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void tls_exchange(const char *dir, const char *cert, const char *key)
{
	auto_free char *url = NULL, *out = mem_printf("%s/out", dir);
	auto_buf answer = {0};
	struct why why = {0};
	struct http_server_options o = {.listen = "127.0.0.1:0",
					.routes = routes,
					.n_routes = ARRAY_SIZE(routes),
					.tls_cert_file = cert,
					.tls_key_file = key};

	if (http_server_open(&o, &server, &why))
		fail_msg("%s", why.text);
	url = mem_printf("https://localhost:%u/later", http_server_port(server));
	const char *curl[] = {"curl", "-sS", "--noproxy", "*", "--cacert", cert,
			      "-m",   "5",   "--ipv4",    url, NULL};
	int rc = run(curl, "/dev/null", out);
	http_server_close(server, 1000);
	server = NULL;
	if (rc == 127) {
		skip();
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(buf_read_file(&answer, out, 1000), 0);
	assert_string_equal(buf_str(&answer), "later");
	unlink(out);
}

static void test_tls(void **state)
{
	char dir[] = "/tmp/healbus-tls-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	auto_free char *cert = mem_printf("%s/cert.pem", dir), *key = mem_printf("%s/key.pem", dir);
	const char *openssl[] = {"openssl",
				 "req",
				 "-x509",
				 "-newkey",
				 "ec",
				 "-pkeyopt",
				 "ec_paramgen_curve:prime256v1",
				 "-nodes",
				 "-subj",
				 "/CN=localhost",
				 "-addext",
				 "subjectAltName=DNS:localhost",
				 "-days",
				 "1",
				 "-keyout",
				 key,
				 "-out",
				 cert,
				 NULL};
	struct why why = {0};
	struct http_server_options half = {.listen = "127.0.0.1:0", .tls_cert_file = cert};
	struct http_server_options bad = {
		.listen = "127.0.0.1:0", .tls_cert_file = "/dev/null", .tls_key_file = key};

	if (run(openssl, "/dev/null", "/dev/null") != 0)
		skip();
	chmod(key, 0600);
	assert_int_equal(http_server_open(&half, &server, &why), ERR_CONFIG);
	assert_int_equal(http_server_open(&bad, &server, &why), ERR_CONFIG);
	tls_exchange(dir, cert, key);
	unlink(cert);
	unlink(key);
	rmdir(dir);
}

static void test_listen_errors(void **state)
{
	static const char *const bad[] = {"",
					  "x",
					  "127.0.0.1",
					  "127.0.0.1:",
					  "127.0.0.1:99999",
					  "::1:80",
					  "127.0.0.1:http",
					  "[::1"};
	auto_free char *taken = mem_printf("127.0.0.1:%u", http_server_port(server));
	struct http_server_options o = {0};
	struct http_server *s = NULL;
	struct why why = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		o.listen = bad[i];
		why.text[0] = 0;
		assert_int_equal(http_server_open(&o, &s, &why), ERR_INVALID);
	}
	o.listen = taken;
	why.text[0] = 0;
	assert_int_equal(http_server_open(&o, &s, &why), ERR_UNAVAILABLE);
	assert_non_null(strstr(why.text, "in use"));
	assert_null(s);
	http_server_close(NULL, 0);
}

/* With most places taken by clients that say nothing, others still get in soon. */
static void test_pressure(void **state)
{
	int fds[20];
	auto_buf b = {0};

	(void)state;
	start((struct http_server_options){.request_timeout_s = 60, .connections_max = 20});
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = dial();
	int64_t began = clock_mono_ms();
	ask(GET("/healthz"), &b);
	assert_int_equal(status_of(&b), 200);
	assert_true(clock_mono_ms() - began < 3000);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_routes, with_tokens, stop),
		cmocka_unit_test_setup_teardown(test_auth_is_not_bypassed, with_tokens, stop),
		cmocka_unit_test_setup_teardown(test_local_without_tokens, without_tokens, stop),
		cmocka_unit_test_setup_teardown(test_framing, with_tokens, stop),
		cmocka_unit_test_setup_teardown(test_body_limit_when_chunked, with_tokens, stop),
		cmocka_unit_test_setup_teardown(test_large_header, with_tokens, stop),
		cmocka_unit_test_setup_teardown(test_slow_loris_is_cut, with_tokens, stop),
		cmocka_unit_test_setup_teardown(test_keep_alive, with_tokens, stop),
		cmocka_unit_test_setup_teardown(test_async_in_parallel, with_tokens, stop),
		cmocka_unit_test_setup_teardown(test_hmac, with_tokens, stop),
		cmocka_unit_test_teardown(test_pressure, stop),
		cmocka_unit_test_setup_teardown(test_close_answers_suspended, without_tokens, stop),
		cmocka_unit_test_setup_teardown(test_close_waits_for_answers, without_tokens, stop),
		cmocka_unit_test(test_tls),
		cmocka_unit_test_setup_teardown(test_listen_errors, without_tokens, stop),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("http_server", tests, NULL, NULL);
}
