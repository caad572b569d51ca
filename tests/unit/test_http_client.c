#include "tests/unit/http_peer.h"

#include <arpa/inet.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/clock.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

static void serve_ok(struct peer *p, int fd)
{
	while (take(p, fd, "\r\n\r\n"))
		put(fd, OK_HEAD "Content-Length: 5\r\n\r\nhello");
}

static void serve_post(struct peer *p, int fd)
{
	while (take(p, fd, "the body"))
		put(fd,
		    "HTTP/1.1 429 Slow\r\nRetry-After: 1000000000\r\nContent-Length: 0\r\n\r\n");
}

static void serve_hang(struct peer *p, int fd)
{
	take(p, fd, "\r\n\r\n");
	wait_gone(p, fd);
}

static void serve_drip(struct peer *p, int fd)
{
	take(p, fd, "\r\n\r\n");
	put(fd, OK_HEAD "Content-Length: 1000\r\n\r\n");
	while (!p->stop && put(fd, "x"))
		poll(NULL, 0, 20);
}

static void serve_endless(struct peer *p, int fd)
{
	char chunk[1024];

	take(p, fd, "\r\n\r\n");
	put(fd, OK_HEAD "\r\n");
	memset(chunk, 'x', sizeof(chunk));
	chunk[sizeof(chunk) - 1] = 0;
	while (!p->stop && put(fd, chunk))
		;
}

static void serve_headers(struct peer *p, int fd)
{
	take(p, fd, "\r\n\r\n");
	put(fd, OK_HEAD);
	while (!p->stop &&
	       put(fd, "X-Filler: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"))
		;
}

static void serve_garbage(struct peer *p, int fd)
{
	take(p, fd, "\r\n\r\n");
	put(fd, "\x01\x02\x03 what is this\r\n\r\n");
}

static void serve_cut(struct peer *p, int fd)
{
	take(p, fd, "\r\n\r\n");
	put(fd, OK_HEAD "Content-Length: 100\r\n\r\nhalf");
}

static void serve_redirect(struct peer *p, int fd)
{
	while (take(p, fd, "\r\n\r\n"))
		put(fd, "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n"
			"Content-Length: 0\r\n\r\n");
}

/* Answers the first request of a connection and closes on the second: a kept connection that died.
 */
static void serve_once(struct peer *p, int fd)
{
	if (!take(p, fd, "\r\n\r\n"))
		return;
	put(fd, OK_HEAD "Content-Length: 0\r\n\r\n");
	take(p, fd, "the body");
}

/* ---- calls ---- */

static int call(struct peer *p, struct http_call c, struct http_answer *a, struct why *why)
{
	auto_free char *url = mem_printf("http://127.0.0.1:%u/path?q=1", p->port);

	why->text[0] = 0;
	if (!c.url)
		c.url = url;
	return http_client_call(client, &c, a, why);
}

static void test_get_and_keep_alive(void **state)
{
	struct peer p;
	struct why why;
	static const char *const headers[] = {"X-One: 1", "X-Two: 2", NULL};

	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	peer_start(&p, serve_ok);
	for (int i = 0; i < 3; i++) {
		struct http_answer a;

		assert_int_equal(call(&p, (struct http_call){.headers = headers}, &a, &why), 0);
		assert_int_equal(a.status, 200);
		assert_string_equal(buf_str(&a.body), "hello");
		assert_int_equal(a.retry_after_ms, 0);
		assert_true(a.sent);
		http_answer_release(&a);
	}
	http_client_free(client);
	client = NULL;
	peer_stop(&p);
	assert_int_equal(p.connections, 1);
	assert_non_null(strstr(buf_str(&p.got), "GET /path?q=1 HTTP/1.1\r\n"));
	assert_non_null(strstr(buf_str(&p.got), "X-One: 1\r\nX-Two: 2\r\n"));
	assert_null(strstr(buf_str(&p.got), "Accept-Encoding"));
	buf_release(&p.got);
	unsetenv("http_proxy");
}

static void test_post_and_retry_after(void **state)
{
	struct peer p;
	struct why why;
	struct http_answer a;
	char token_file[] = "/tmp/healbus-token-XXXXXX";

	(void)state;
	auto_fd int fd = mkstemp(token_file);
	assert_int_equal(write(fd, "s3cret\n", 7), 7);
	peer_start(&p, serve_post);
	struct http_call c = {.body = "the body", .body_len = 8, .bearer_file = token_file};
	assert_int_equal(call(&p, c, &a, &why), 0);
	assert_int_equal(a.status, 429);
	assert_int_equal(a.retry_after_ms, 3600000);
	http_answer_release(&a);
	chmod(token_file, 0644);
	assert_int_equal(call(&p, c, &a, &why), ERR_CONFIG);
	unlink(token_file);
	peer_stop(&p);
	assert_non_null(strstr(buf_str(&p.got), "POST /path"));
	assert_non_null(strstr(buf_str(&p.got), "Authorization: Bearer s3cret\r\n"));
	assert_null(strstr(buf_str(&p.got), "Expect"));
	buf_release(&p.got);
}

static void test_post_is_never_sent_twice(void **state)
{
	struct peer p;
	struct why why;
	struct http_answer a;

	(void)state;
	peer_start(&p, serve_once);
	assert_int_equal(call(&p, (struct http_call){0}, &a, &why), 0);
	http_answer_release(&a);
	/* The peer closes without an answer: unknown, and only once on the wire. */
	struct http_call c = {.body = "the body", .body_len = 8, .timeout_ms = 2000};
	assert_int_not_equal(call(&p, c, &a, &why), 0);
	assert_true(a.sent);
	http_answer_release(&a);
	peer_stop(&p);
	const char *first = strstr(buf_str(&p.got), "the body");
	assert_true(!first || !strstr(first + 1, "the body"));
	buf_release(&p.got);
}

static const struct bad_peer {
	const char *name;
	void (*serve)(struct peer *p, int fd);
	int rc;
	int64_t timeout_ms, took_max_ms;
	bool sent;
} bad_peers[] = {
	{"hang", serve_hang, ERR_TIMEOUT, 300, 1500, true},
	{"drip", serve_drip, ERR_TIMEOUT, 300, 1500, true},
	{"endless body", serve_endless, ERR_TOO_LARGE, 5000, 5000, true},
	{"endless header", serve_headers, ERR_TOO_LARGE, 5000, 5000, true},
	{"garbage", serve_garbage, ERR_UNAVAILABLE, 5000, 5000, true},
	{"cut off", serve_cut, ERR_UNAVAILABLE, 5000, 5000, true},
	{"redirect", serve_redirect, 0, 5000, 5000, true},
};

static void test_bad_peers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_peers); i++) {
		const struct bad_peer *b = &bad_peers[i];
		struct peer p;
		struct why why;
		struct http_answer a;

		peer_start(&p, b->serve);
		struct http_call c = {.timeout_ms = b->timeout_ms, .body_max_bytes = 100000};
		int rc = call(&p, c, &a, &why);
		if (rc != b->rc || a.took_ms > b->took_max_ms || a.sent != b->sent)
			fail_msg("%s: %d (%s) after %d ms", b->name, rc, why.text, (int)a.took_ms);
		assert_true(a.body.len <= 100000);
		assert_int_equal(rc != 0, why.text[0] != 0);
		if (b->serve == serve_redirect)
			assert_int_equal(a.status, 302);
		http_answer_release(&a);
		peer_stop(&p);
		buf_release(&p.got);
	}
}

static bool take_drop(void *ctx, const char *data, size_t len)
{
	size_t *bytes = ctx;
	(void)data;
	*bytes += len;
	return *bytes < 3;
}

static void test_sink_of_an_endless_body(void **state)
{
	struct peer p;
	struct why why = {0};
	struct http_answer a;
	size_t bytes = 0;

	(void)state;
	peer_start(&p, serve_drip);
	struct http_call c = {.timeout_ms = 5000, .sink = take_drop, .sink_ctx = &bytes};
	assert_int_equal(call(&p, c, &a, &why), 0);
	assert_true(bytes >= 3 && a.status == 200 && a.body.len == 0);
	http_answer_release(&a);
	peer_stop(&p);
	buf_release(&p.got);
}

static void test_nobody_there(void **state)
{
	struct peer p;
	struct why why;
	struct http_answer a;

	(void)state;
	peer_start(&p, serve_ok);
	peer_stop(&p);
	assert_int_equal(call(&p, (struct http_call){0}, &a, &why), ERR_UNAVAILABLE);
	assert_false(a.sent);
	http_answer_release(&a);
}

static void test_refused_before_anything(void **state)
{
	static const char *const no_colon[] = {"X-One", NULL};
	static const char *const crlf[] = {"X: 1\r\nY: 2", NULL};
	static const struct {
		struct http_call c;
		int rc;
	} t[] = {
		{{.url = ""}, ERR_INVALID},
		{{.url = "ftp://127.0.0.1/"}, ERR_INVALID},
		{{.url = "file:///etc/passwd"}, ERR_INVALID},
		{{.url = "gopher://127.0.0.1/"}, ERR_INVALID},
		{{.url = "http://127.0.0.1/\r\nX: y"}, ERR_INVALID},
		{{.url = "http://127.0.0.1/", .headers = no_colon}, ERR_INVALID},
		{{.url = "http://127.0.0.1/", .headers = crlf}, ERR_INVALID},
		{{.url = "http://127.0.0.1/", .method = "GET /x"}, ERR_INVALID},
		{{.url = "http://127.0.0.1/", .method = "get"}, ERR_INVALID},
		{{.url = "http://127.0.0.1:1/", .public_only = true}, ERR_DENIED},
		{{.url = "http://localhost:1/", .public_only = true}, ERR_DENIED},
		{{.url = "http://127.1:1/", .public_only = true}, ERR_DENIED},
		{{.url = "http://2130706433:1/", .public_only = true}, ERR_DENIED},
		{{.url = "http://169.254.169.254/latest/", .public_only = true}, ERR_DENIED},
		{{.url = "http://[::1]:1/", .public_only = true}, ERR_DENIED},
		{{.url = "http://[::ffff:10.0.0.1]/", .public_only = true}, ERR_DENIED},
		{{.url = "http://x/", .unix_socket = "/x", .public_only = true}, ERR_DENIED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct why why = {0};
		struct http_answer a;
		int rc = http_client_call(client, &t[i].c, &a, &why);

		if (rc != t[i].rc)
			fail_msg("row %zu (%s): %d %s", i, t[i].c.url, rc, why.text);
		assert_false(a.sent);
		assert_true(why.text[0]);
		http_answer_release(&a);
	}
}

/* A connection opened freely is not lent to a call that may only go to public addresses. */
static void test_public_only_does_not_reuse(void **state)
{
	struct peer p;
	struct why why;
	struct http_answer a;

	(void)state;
	peer_start(&p, serve_ok);
	assert_int_equal(call(&p, (struct http_call){0}, &a, &why), 0);
	http_answer_release(&a);
	assert_int_equal(call(&p, (struct http_call){.public_only = true}, &a, &why), ERR_DENIED);
	http_answer_release(&a);
	http_client_free(client);
	client = NULL;
	peer_stop(&p);
	buf_release(&p.got);
}

static volatile int stop_flag;

static void *raise_stop(void *arg)
{
	poll(NULL, 0, 100);
	__atomic_store_n((int *)(uintptr_t)arg, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void test_stop(void **state)
{
	struct peer p;
	struct why why;
	struct http_answer a;
	pthread_t t;

	(void)state;
	peer_start(&p, serve_hang);
	http_client_stop_on(&stop_flag);
	pthread_create(&t, NULL, raise_stop, (void *)(uintptr_t)&stop_flag);
	assert_int_equal(call(&p, (struct http_call){0}, &a, &why), ERR_CLOSED);
	assert_true(a.took_ms < 1000);
	pthread_join(t, NULL);
	http_answer_release(&a);
	peer_stop(&p);
	buf_release(&p.got);
}

static void test_unix_socket(void **state)
{
	struct peer p = {.serve = serve_ok};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct why why = {0};
	struct http_answer answer;
	char dir[] = "/tmp/healbus-sock-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", dir);
	p.listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(p.listen_fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(p.listen_fd, 5), 0);
	pthread_create(&p.thread, NULL, peer_main, &p);
	struct http_call c = {.url = "http://docker/v1/info", .unix_socket = a.sun_path};
	assert_int_equal(http_client_call(client, &c, &answer, &why), 0);
	assert_string_equal(buf_str(&answer.body), "hello");
	http_answer_release(&answer);
	http_client_free(client);
	client = NULL;
	peer_stop(&p);
	unlink(a.sun_path);
	rmdir(dir);
	buf_release(&p.got);
}

static void test_status_err(void **state)
{
	static const struct {
		long status;
		int rc;
	} t[] = {
		{200, 0},
		{204, 0},
		{302, ERR_REJECTED},
		{400, ERR_REJECTED},
		{401, ERR_UNAUTHENTICATED},
		{403, ERR_DENIED},
		{404, ERR_NOT_FOUND},
		{408, ERR_UNAVAILABLE},
		{409, ERR_CONFLICT},
		{429, ERR_BUSY},
		{500, ERR_UNAVAILABLE},
		{503, ERR_BUSY},
		{0, ERR_REJECTED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(http_status_err(t[i].status), t[i].rc);
}

int main(void)
{
#define WITH_CLIENT(f) cmocka_unit_test_setup_teardown(f, client_open, client_close)
	const struct CMUnitTest tests[] = {
		WITH_CLIENT(test_get_and_keep_alive),
		WITH_CLIENT(test_post_and_retry_after),
		WITH_CLIENT(test_post_is_never_sent_twice),
		WITH_CLIENT(test_bad_peers),
		WITH_CLIENT(test_sink_of_an_endless_body),
		WITH_CLIENT(test_nobody_there),
		WITH_CLIENT(test_refused_before_anything),
		WITH_CLIENT(test_public_only_does_not_reuse),
		WITH_CLIENT(test_stop),
		WITH_CLIENT(test_unix_socket),
		cmocka_unit_test(test_status_err),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("http_client", tests, NULL, NULL);
}
