#include "tests/unit/notifier/bench.h"

#include "common/clock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* ---- a peer that answers as told and keeps what it got ---- */

struct peer {
	int fd;
	unsigned port;
	bool smtp;
	const char *const *answers; /* one a connection or, for SMTP, to DATA; the last for ever */
	pthread_t thread;
	atomic_bool stop;
	struct buf got;
	unsigned calls;
};

static const char *peer_answer(struct peer *p)
{
	unsigned n = p->calls++;
	while (n > 0 && !p->answers[n])
		n--;
	return p->answers[n];
}

static void put(int fd, const char *text)
{
	assert_true(send(fd, text, strlen(text), MSG_NOSIGNAL) >= 0);
}

/* Appends what comes until the text from `start` on has `end` in it. */
static bool take(struct peer *p, int fd, size_t start, const char *end)
{
	char chunk[4096];
	while (!strstr(buf_str(&p->got) + start, end)) {
		struct pollfd f = {.fd = fd, .events = POLLIN};
		ssize_t n = poll(&f, 1, 3000) > 0 ? recv(fd, chunk, sizeof(chunk), 0) : 0;
		if (n <= 0)
			return false;
		buf_add(&p->got, chunk, (size_t)n);
	}
	return true;
}

static void serve_http(struct peer *p, int fd)
{
	size_t start = p->got.len;
	if (!take(p, fd, start, "\r\n\r\n"))
		return;
	const char *head = buf_str(&p->got) + start;
	const char *length = strcasestr(head, "content-length:");
	size_t body = length ? strtoul(length + 15, NULL, 10) : 0;
	size_t want = (size_t)(strstr(head, "\r\n\r\n") - head) + 4 + body;
	while (p->got.len - start < want) {
		char chunk[4096];
		ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
		if (n <= 0)
			return;
		buf_add(&p->got, chunk, (size_t)n);
	}
	put(fd, peer_answer(p));
}

static void serve_smtp(struct peer *p, int fd)
{
	static const char *const rounds[][2] = {
		{"EHLO", "250 ok\r\n"},
		{"MAIL FROM", "250 ok\r\n"},
		{"RCPT TO", "250 ok\r\n"},
		{"DATA", "354 go on\r\n"},
	};
	put(fd, "220 test\r\n");
	for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
		size_t start = p->got.len;
		if (!take(p, fd, start, "\r\n"))
			return;
		put(fd, rounds[i][1]);
	}
	if (take(p, fd, p->got.len, "\r\n.\r\n"))
		put(fd, peer_answer(p));
	if (take(p, fd, p->got.len, "QUIT"))
		put(fd, "221 bye\r\n");
}

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	while (!p->stop) {
		struct pollfd f = {.fd = p->fd, .events = POLLIN};
		if (poll(&f, 1, 50) <= 0)
			continue;
		auto_fd int fd = accept(p->fd, NULL, NULL);
		if (fd >= 0)
			(p->smtp ? serve_smtp : serve_http)(p, fd);
	}
	return NULL;
}

static void peer_start(struct peer *p, bool smtp, const char *const *answers)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	*p = (struct peer){.smtp = smtp, .answers = answers};
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(p->fd, 8), 0);
	assert_int_equal(getsockname(p->fd, (struct sockaddr *)&a, &len), 0);
	p->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
}

static void peer_stop(struct peer *p)
{
	p->stop = true;
	pthread_join(p->thread, NULL);
	close(p->fd);
}

/* ---- a channel from its configuration ---- */

struct wired {
	struct channels all;
	struct http_client *http;
	void *session;
};

static void wire(struct wired *w, const char *fmt, unsigned port)
{
	struct yaml_doc doc = {0};
	struct why why = {0};
	char yaml[512];
	const char *at = strchr(fmt, '@');
	*w = (struct wired){0};
	snprintf(yaml, sizeof(yaml), "%.*s%u%s", (int)(at ? at - fmt : (long)strlen(fmt)), fmt,
		 port, at ? at + 1 : "");
	assert_int_equal(yaml_parse_text("t", yaml, strlen(yaml), &doc, &why), 0);
	int rc = channels_parse(&w->all, doc.root, &why);
	if (rc)
		fail_msg("%s", why.text);
	yaml_release(&doc);
	const struct channel *c = &w->all.items[0];
	if (c->kind->open)
		assert_int_equal(c->kind->open(c, &w->session, &why), 0);
	assert_int_equal(http_client_new(&w->http), 0);
}

static void unwire(struct wired *w)
{
	if (w->session)
		w->all.items[0].kind->close(w->session);
	http_client_free(w->http);
	channels_release(&w->all);
}

static int send_one(struct wired *w, int64_t *out_retry_ms, struct why *out_why)
{
	Healbus__Notice n = HEALBUS__NOTICE__INIT;
	n.id = (char *)"notice1";
	n.incident = (char *)"inc1";
	n.kind = (char *)"opened";
	n.channel = (char *)"c";
	n.subject = (char *)"<!channel> & \"quote\" \x1b[31m h\xc3\xa9";
	n.text = (char *)"first <b>\nsecond\n";
	SET(&n, at_ms, T0);
	const struct channel *c = &w->all.items[0];
	struct channel_result result = {0};
	const struct channel_job job = {
		.channel = c, .session = w->session, .http = w->http, .notice = &n};
	int rc = c->kind->send(&job, &result, out_why);
	*out_retry_ms = result.retry_ms;
	return rc;
}

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

static void test_http_answers(void **state UNUSED)
{
	static const struct {
		const char *answer;
		int rc;
		int64_t retry_ms;
	} cases[] = {
		{OK_ANSWER, 0, 0},
		{"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: "
		 "close\r\n\r\n",
		 ERR_BUSY, 7000},
		{"HTTP/1.1 503 Away\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", ERR_BUSY,
		 0},
		{"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		 ERR_UNAVAILABLE, 0},
		{"HTTP/1.1 400 No\r\nContent-Length: 9\r\nConnection: close\r\n\r\nbad\x1b"
		 "[2Jtx",
		 ERR_REJECTED, 0},
		{"HTTP/1.1 401 Who\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		 ERR_UNAUTHENTICATED, 0},
		{"HTTP/1.1 302 Away\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: "
		 "0\r\nConnection: close\r\n\r\n",
		 ERR_REJECTED, 0},
	};
	static const char *const channels[] = {
		"[{name: c, type: webhook, url: 'http://127.0.0.1:@/h'}]",
		"[{name: c, type: slack, url: 'http://127.0.0.1:@/h'}]",
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		const char *answers[] = {cases[i / 2].answer, NULL};
		struct peer p;
		struct wired w;
		struct why why = {0};
		int64_t retry_ms = 0;
		peer_start(&p, false, answers);
		wire(&w, channels[i % 2], p.port);
		int rc = send_one(&w, &retry_ms, &why);
		if (rc != cases[i / 2].rc)
			fail_msg("case %zu: %d %s", i, rc, why.text);
		assert_int_equal(retry_ms, cases[i / 2].retry_ms);
		assert_null(strchr(why.text, '\x1b'));
		assert_int_equal(p.calls, 1);
		unwire(&w);
		peer_stop(&p);
		buf_release(&p.got);
	}
}

static void test_nobody_listens(void **state UNUSED)
{
	struct peer p;
	struct wired w;
	struct why why = {0};
	int64_t retry_ms = 0;
	peer_start(&p, false, NULL);
	peer_stop(&p);
	wire(&w, "[{name: c, type: slack, url: 'http://127.0.0.1:@/'}]", p.port);
	assert_int_equal(send_one(&w, &retry_ms, &why), ERR_UNAVAILABLE);
	unwire(&w);
}

static void test_webhook_body(void **state UNUSED)
{
	static const char *const answers[] = {OK_ANSWER, NULL};
	struct peer p;
	struct wired w;
	struct why why = {0};
	int64_t retry_ms = 0;
	peer_start(&p, false, answers);
	wire(&w,
	     "[{name: c, type: webhook, url: 'http://127.0.0.1:@/h', headers: {X-Team: ops},\n"
	     "  body: '{s: .subject, k: (.kind | ascii_upcase)}'}]",
	     p.port);
	assert_int_equal(send_one(&w, &retry_ms, &why), 0);
	unwire(&w);
	peer_stop(&p);
	assert_non_null(strstr(p.got.data, "POST /h HTTP/1.1"));
	assert_non_null(strstr(p.got.data, "Idempotency-Key: notice1"));
	assert_non_null(strstr(p.got.data, "X-Team: ops"));
	json_t *body = json_loads(strstr(p.got.data, "\r\n\r\n") + 4, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(body, "k")), "OPENED");
	assert_true(str_starts(json_string_value(json_object_get(body, "s")), "<!channel> & \"q"));
	json_decref(body);
	buf_release(&p.got);
}

static void test_slack_escapes(void **state UNUSED)
{
	static const char *const answers[] = {OK_ANSWER, NULL};
	struct peer p;
	struct wired w;
	struct why why = {0};
	int64_t retry_ms = 0;
	peer_start(&p, false, answers);
	wire(&w, "[{name: c, type: slack, url: 'http://127.0.0.1:@/'}]", p.port);
	assert_int_equal(send_one(&w, &retry_ms, &why), 0);
	unwire(&w);
	peer_stop(&p);
	json_t *body = json_loads(strstr(p.got.data, "\r\n\r\n") + 4, 0, NULL);
	const char *text = json_string_value(json_object_get(body, "text"));
	assert_non_null(text);
	assert_true(str_starts(text, "&lt;!channel&gt; &amp; \"quote\""));
	assert_null(strpbrk(text, "<>\x1b"));
	assert_non_null(strstr(text, "\nfirst &lt;b&gt;\nsecond\n"));
	json_decref(body);
	buf_release(&p.got);
}

/* The address of a Slack webhook is a secret: never in what is said when it fails. */
static void test_url_file(void **state UNUSED)
{
	static const char *const answers[] = {OK_ANSWER, NULL};
	char path[] = "/tmp/healbus-test-XXXXXX", yaml[128];
	struct peer p;
	struct wired w;
	struct why why = {0};
	int64_t retry_ms = 0;
	peer_start(&p, false, answers);
	auto_fd int fd = mkstemp(path);
	assert_true(dprintf(fd, "http://127.0.0.1:%u/secret\n", p.port) > 0);
	snprintf(yaml, sizeof(yaml), "[{name: c, timeout: 2s, type: slack, url_file: %s}] # ",
		 path);
	wire(&w, yaml, 0);
	assert_int_equal(send_one(&w, &retry_ms, &why), 0);
	assert_non_null(strstr(p.got.data, "POST /secret"));
	peer_stop(&p);
	assert_int_equal(send_one(&w, &retry_ms, &why), ERR_UNAVAILABLE);
	assert_null(strstr(why.text, "secret"));
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_int_equal(send_one(&w, &retry_ms, &why), ERR_CONFIG);
	unlink(path);
	unwire(&w);
	buf_release(&p.got);
}

static void test_mail(void **state UNUSED)
{
	static const struct {
		const char *answer;
		bool ok, transient;
	} cases[] = {
		{"250 queued\r\n", true, false},
		{"451 later\r\n", false, true},
		{"554 never\r\n", false, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *answers[] = {cases[i].answer, NULL};
		struct peer p;
		struct wired w;
		struct why why = {0};
		int64_t retry_ms = 0;
		peer_start(&p, true, answers);
		wire(&w,
		     "[{name: c, type: email, url: 'smtp://127.0.0.1:@', from: 'heal@example.org',"
		     " to: ['ops@example.org']}]",
		     p.port);
		int rc = send_one(&w, &retry_ms, &why);
		unwire(&w);
		peer_stop(&p);
		if (!rc != cases[i].ok ||
		    (rc && (err_class(rc) == ERR_CLASS_TRANSIENT) != cases[i].transient))
			fail_msg("case %zu: %s %s", i, err_name(rc), why.text);
		assert_non_null(strstr(p.got.data, "Message-ID: <notice1@example.org>"));
		assert_non_null(strstr(p.got.data, "=?"));
		assert_null(strchr(p.got.data, '\x1b'));
		buf_release(&p.got);
	}
}

static void test_terminal(void **state UNUSED)
{
	char dir[] = "/tmp/healbus-test-XXXXXX", yaml[128];
	auto_buf text = {0};
	struct wired w;
	struct why why = {0};
	int64_t retry_ms = 0;
	assert_non_null(mkdtemp(dir));
	snprintf(yaml, sizeof(yaml), "[{name: c, type: terminal, path: %s/out}] # ", dir);
	wire(&w, yaml, 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(send_one(&w, &retry_ms, &why), 0);
	unwire(&w);
	snprintf(yaml, sizeof(yaml), "%s/out", dir);
	assert_int_equal(buf_read_file(&text, yaml, 4096), 0);
	static const char one[] =
		"2023-11-14T22:13:20Z <!channel> & \"quote\" \\x1b[31m h\xc3\xa9\n"
		"    first <b>\n    second\n";
	assert_true(str_starts(text.data, one));
	assert_string_equal(text.data + strlen(one), one);
	nftw(dir, bench_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_terminal_that_is_gone(void **state UNUSED)
{
	struct wired w;
	struct why why = {0};
	int64_t retry_ms = 0;
	wire(&w, "[{name: c, type: terminal, path: /nonexistent/out}] # ", 0);
	assert_int_equal(send_one(&w, &retry_ms, &why), ERR_UNAVAILABLE);
	assert_non_null(strstr(why.text, "/nonexistent/out"));
	unwire(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_answers), cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_webhook_body), cmocka_unit_test(test_slack_escapes),
		cmocka_unit_test(test_url_file),     cmocka_unit_test(test_mail),
		cmocka_unit_test(test_terminal),     cmocka_unit_test(test_terminal_that_is_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
