#include "tests/unit/http_server_kit.h"

#include "common/http_text.h"

/* Answers that go on, and routes whose rights the stage decides. */

static const char request_stream[] = "GET /stream HTTP/1.1\r\n" HOST "\r\n";

/* The stream that the client at the other end of fd has opened. */
static struct http_stream *stream_open(int fd)
{
	pthread_mutex_lock(&parked_lock);
	stream = NULL;
	put(fd, request_stream, strlen(request_stream));
	while (!stream)
		pthread_cond_wait(&parked_changed, &parked_lock);
	struct http_stream *out = stream;
	pthread_mutex_unlock(&parked_lock);
	return out;
}

static void pause_ms(int ms)
{
	assert_int_equal(poll(NULL, 0, ms), 0);
}

/* Writes until it fails in another way than by being full, or for 5 s. */
static int write_until_closed(struct http_stream *st)
{
	int64_t deadline = clock_mono_ms() + 5000;
	int rc = 0;

	while (rc != ERR_CLOSED && clock_mono_ms() < deadline) {
		rc = http_stream_write(st, "more;", 5);
		pause_ms(5);
	}
	return rc;
}

static void test_goes_on(void **state)
{
	auto_fd int fd = dial();
	auto_buf b = {0};
	struct http_stream *st = stream_open(fd);

	(void)state;
	get(fd, &b, "hello;");
	assert_int_equal(status_of(&b), 200);
	assert_non_null(strstr(buf_str(&b), "Content-Type: text/event-stream\r\n"));
	assert_non_null(strstr(buf_str(&b), "Cache-Control: no-store\r\n"));
	/* Silence for longer than a request may take ends nothing. */
	struct pollfd p = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 1600), 0);
	assert_int_equal(http_stream_write(st, "more;", 5), 0);
	get(fd, &b, "more;");
	assert_non_null(strstr(buf_str(&b), "more;"));
	assert_int_equal(http_stream_write(st, "last;", 5), 0);
	http_stream_close(st);
	get(fd, &b, "0\r\n\r\n");
	assert_non_null(strstr(buf_str(&b), "last;"));
	assert_non_null(strstr(buf_str(&b), "\r\n0\r\n\r\n"));
}

static void test_client_goes(void **state)
{
	int fd = dial();
	auto_buf b = {0};
	struct http_stream *st = stream_open(fd);

	(void)state;
	get(fd, &b, "hello;");
	assert_false(http_stream_gone(st));
	close(fd);
	int64_t until = clock_mono_ms() + 5000;
	while (!http_stream_gone(st) && clock_mono_ms() < until)
		pause_ms(1);
	assert_true(http_stream_gone(st));
	assert_int_equal(write_until_closed(st), ERR_CLOSED);
	http_stream_close(st);
	int64_t deadline = clock_mono_ms() + 5000;
	while (http_server_in_flight(server) && clock_mono_ms() < deadline)
		pause_ms(1);
	assert_int_equal(http_server_in_flight(server), 0);
}

static void test_client_does_not_read(void **state)
{
	static char chunk[HTTP_STREAM_MAX_BYTES];
	auto_fd int fd = dial();
	struct http_stream *st = stream_open(fd);
	int64_t deadline = clock_mono_ms() + 5000;
	int rc = 0;
	bool was_full = false;

	(void)state;
	assert_int_equal(http_stream_write(st, chunk, sizeof(chunk) + 1), ERR_FULL);
	while (rc != ERR_CLOSED && clock_mono_ms() < deadline) {
		rc = http_stream_write(st, chunk, sizeof(chunk) / 2);
		was_full |= rc == ERR_FULL;
		pause_ms(1);
	}
	assert_true(was_full);
	assert_int_equal(rc, ERR_CLOSED);
	http_stream_close(st);
}

static void test_many_take_no_thread(void **state)
{
	enum { N = 60 };
	int fds[N];
	struct http_stream *all[N];
	auto_buf b = {0};

	(void)state;
	for (size_t i = 0; i < N; i++) {
		fds[i] = dial();
		all[i] = stream_open(fds[i]);
	}
	ask(GET("/healthz"), &b);
	assert_int_equal(status_of(&b), 200);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(http_stream_write(all[i], "more;", 5), 0);
	for (size_t i = 0; i < N; i++) {
		buf_reset(&b);
		get(fds[i], &b, "more;");
		assert_non_null(strstr(buf_str(&b), "more;"));
		http_stream_close(all[i]);
		close(fds[i]);
	}
}

static void test_server_closes(void **state)
{
	auto_fd int fd = dial();
	auto_buf b = {0};
	struct http_stream *st = stream_open(fd);

	get(fd, &b, "hello;");
	int64_t began = clock_mono_ms();
	http_server_close(server, 3000);
	assert_true(clock_mono_ms() - began < 2500);
	assert_int_equal(http_stream_write(st, "more;", 5), ERR_CLOSED);
	http_stream_close(st);
	get(fd, &b, NULL);
	assert_null(strstr(buf_str(&b), "more;"));
	without_tokens(state);
}

static void test_own_rights(void **state)
{
	static const struct exchange t[] = {
		{GET("/own"), 401, "who?", NULL},
		{"GET /own HTTP/1.1\r\nX-Who: 17\r\n" END, 403, "not you", NULL},
		{"GET /own HTTP/1.1\r\nX-Who: 18\r\n" END, 200, "\r\n\r\n18", NULL},
		{"HEAD /own HTTP/1.1\r\n" END, 401, NULL, "who?"},
		{"GET /own HTTP/1.1\r\nX-Who: 18\r\nCookie: a=1\r\nCookie: a=2\r\n" END, 400, NULL,
		 NULL},
		{"GET /own HTTP/1.1\r\nX-Who: 18\r\nOrigin: null\r\nOrigin: x\r\n" END, 400, NULL,
		 NULL},
		{GET("/own"), 401, "Content-Security-Policy: default-src 'none'", NULL},
		{GET("/own"), 401, "Referrer-Policy: no-referrer", NULL},
		{GET("/own"), 401, "Cross-Origin-Resource-Policy: same-origin", NULL},
	};

	(void)state;
	run_table(t, ARRAY_SIZE(t));
}

static void test_cookie(void **state)
{
	static const struct {
		const char *header, *value;
	} t[] = {
		{"sid=abc", "abc"},
		{"a=1; sid=abc; b=2", "abc"},
		{"a=1;sid=abc", "abc"},
		{"sid=", ""},
		{"sid=a=b", "a=b"},
		{NULL, NULL},
		{"", NULL},
		{"xsid=abc", NULL},
		{"sid", NULL},
		{"sidx=abc", NULL},
		{"SID=abc", NULL},
		{"a=1, sid=abc", NULL},
		{"sid=a; sid=b", NULL},
		{"sid=a; sid=a", NULL},
		{";;; ; ", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = {0};
		assert_int_equal(http_cookie(t[i].header, "sid", &b), t[i].value != NULL);
		if (t[i].value)
			assert_string_equal(buf_str(&b), t[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_goes_on, without_tokens, stop),
		cmocka_unit_test_setup_teardown(test_client_goes, without_tokens, stop),
		cmocka_unit_test_setup_teardown(test_client_does_not_read, without_tokens, stop),
		cmocka_unit_test_setup_teardown(test_many_take_no_thread, without_tokens, stop),
		cmocka_unit_test_setup_teardown(test_server_closes, without_tokens, stop),
		cmocka_unit_test_setup_teardown(test_own_rights, with_tokens, stop),
		cmocka_unit_test(test_cookie),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("http_stream", tests, NULL, NULL);
}
