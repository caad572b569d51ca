#include "tests/unit/http_server_kit.h"

#include "common/http_text.h"
#include "common/id.h"

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
		{GET("/fixed"), 202, "\r\n\r\nalways\n", "X-Own"},
		{GET("/fixed"), 202, "Content-Type: text/plain\r\n", NULL},
		{GET("/fixed"), 202, "nosniff", NULL},
		{"HEAD /fixed HTTP/1.1\r\n" END, 202, "Content-Length: 7", "always"},
		{GET("/fixed/own"), 202, "X-Own: yes", NULL},
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
		/* another reader would see chunks */
		{POST("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400, NULL, "HTTP/1.1 202"},
		{POST("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400, NULL,
		 "HTTP/1.1 202"},
		{POST("X: y\r\n Content-Length: 5\r\n", "hello"), 400, NULL, "HTTP/1.1 202"},
		{POST("X@Y: z\r\n", ""), 400, NULL, NULL},
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

static void test_bodies_on_one_connection(void **state)
{
	static const struct {
		size_t len;
		char fill;
	} t[] = {{5000, 'a'}, {3, 'b'}, {0, 0}, {50000, 'c'}, {7, 'd'}, {6000, 'e'}, {1, 'f'}};
	auto_fd int fd = dial();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf request = {0}, answer = {0}, body = {0}, want = {0};

		for (size_t k = 0; k < t[i].len; k++)
			buf_add_char(&body, t[i].fill);
		buf_printf(&request, "POST /echo HTTP/1.1\r\nContent-Length: %zu\r\n" HOST "\r\n%s",
			   body.len, buf_str(&body));
		buf_printf(&want, "\r\n\r\n%s", buf_str(&body));
		put(fd, request.data, request.len);
		get(fd, &answer, want.data);
		assert_int_equal(status_of(&answer), 202);
		assert_string_equal(strstr(answer.data, "\r\n\r\n"), want.data);
	}
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
		cmocka_unit_test_setup_teardown(test_bodies_on_one_connection, with_tokens, stop),
		cmocka_unit_test_setup_teardown(test_async_in_parallel, with_tokens, stop),
		cmocka_unit_test_setup_teardown(test_hmac, with_tokens, stop),
		cmocka_unit_test_teardown(test_pressure, stop),
		cmocka_unit_test_setup_teardown(test_listen_errors, without_tokens, stop),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("http_server", tests, NULL, NULL);
}
