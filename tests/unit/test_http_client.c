#include "common/http_client.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <cmocka.h>

#include "common/address.h"
#include "common/clock.h"
#include "common/mail.h"
#include "common/mem.h"

/* ---- a peer that behaves as told: one connection after the other ---- */

struct peer {
	int listen_fd;
	unsigned port;
	void (*serve)(struct peer *p, int fd);
	pthread_t thread;
	_Atomic int stop;
	unsigned connections;
	struct buf got; /* read it after peer_stop */
};

static bool put(int fd, const char *text)
{
	return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Until `end` is the tail of what came, the client closes, or 3 s. */
static bool take(struct peer *p, int fd, const char *end)
{
	char chunk[4096];

	for (;;) {
		struct pollfd f = {.fd = fd, .events = POLLIN};
		if (poll(&f, 1, 3000) <= 0)
			return false;
		ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
		if (n <= 0)
			return false;
		buf_add(&p->got, chunk, (size_t)n);
		size_t len = strlen(end);
		if (p->got.len >= len && str_eq(p->got.data + p->got.len - len, end))
			return true;
	}
}

static void *peer_main(void *arg)
{
	struct peer *p = arg;

	while (!p->stop) {
		struct pollfd f = {.fd = p->listen_fd, .events = POLLIN};
		if (poll(&f, 1, 20) <= 0)
			continue;
		auto_fd int fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		p->connections++;
		p->serve(p, fd);
	}
	return NULL;
}

static void peer_start(struct peer *p, void (*serve)(struct peer *p, int fd))
{
	struct why why = {0};

	*p = (struct peer){.serve = serve};
	assert_int_equal(address_listen("127.0.0.1:0", &p->listen_fd, &p->port, &why), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
}

static void peer_stop(struct peer *p)
{
	p->stop = 1;
	pthread_join(p->thread, NULL);
	close(p->listen_fd);
}

/* Says nothing until the client goes or the test ends. */
static void wait_gone(struct peer *p, int fd)
{
	while (!p->stop) {
		struct pollfd f = {.fd = fd, .events = POLLIN};
		char c;

		if (poll(&f, 1, 20) > 0 && recv(fd, &c, 1, 0) <= 0)
			return;
	}
}

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

static struct http_client *client;

static int open_client(void **state)
{
	(void)state;
	return http_client_new(&client);
}

static int close_client(void **state)
{
	(void)state;
	http_client_stop_on(NULL);
	http_client_free(client);
	client = NULL;
	return 0;
}

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

/* ---- addresses ---- */

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		bool is_public, is_loopback;
	} t[] = {
		{"8.8.8.8", true, false},
		{"127.0.0.1", false, true},
		{"127.255.0.9", false, true},
		{"10.1.2.3", false, false},
		{"172.15.0.1", true, false},
		{"172.16.0.1", false, false},
		{"172.31.255.255", false, false},
		{"172.32.0.1", true, false},
		{"192.168.1.1", false, false},
		{"169.254.169.254", false, false},
		{"100.64.0.1", false, false},
		{"100.63.255.255", true, false},
		{"100.128.0.1", true, false},
		{"0.0.0.0", false, false},
		{"224.0.0.1", false, false},
		{"255.255.255.255", false, false},
		{"198.18.0.1", false, false},
		{"198.20.0.1", true, false},
		{"2606:4700::1111", true, false},
		{"::1", false, true},
		{"::", false, false},
		{"fe80::1", false, false},
		{"fd00:ec2::254", false, false},
		{"ff02::1", false, false},
		{"::ffff:127.0.0.1", false, true},
		{"::ffff:10.0.0.1", false, false},
		{"::ffff:8.8.8.8", true, false},
		{"::127.0.0.1", false, false},
		{"64:ff9b::a9fe:a9fe", false, false},
		{"64:ff9b::808:808", true, false},
		{"2002:7f00:1::", false, false},
		{"2002:808:808::", true, false},
		{"2001:db8::1", false, false},
		{"2001::1", false, false},
		{"100::1", false, false},
		{"fec0::1", false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct addrinfo *a, hints = {.ai_flags = AI_NUMERICHOST};

		assert_int_equal(getaddrinfo(t[i].text, NULL, &hints, &a), 0);
		if (address_is_public(a->ai_addr) != t[i].is_public ||
		    address_is_loopback(a->ai_addr) != t[i].is_loopback)
			fail_msg("%s", t[i].text);
		freeaddrinfo(a);
	}
}

/* ---- mail ---- */

static const char *smtp_refuse; /* the command that is answered with smtp_answer */
static const char *smtp_answer;

static void smtp_say(int fd, const char *line, const char *fallback)
{
	if (smtp_refuse && str_starts(line, smtp_refuse))
		put(fd, smtp_answer);
	else
		put(fd, fallback);
}

static void serve_auth(struct peer *p, int fd)
{
	put(fd, "334 \r\n");
	take(p, fd, "\r\n");
	put(fd, "235 welcome\r\n");
}

static void serve_smtp(struct peer *p, int fd)
{
	size_t at = p->got.len;

	put(fd, "220 test ESMTP\r\n");
	while (take(p, fd, "\r\n")) {
		const char *line = p->got.data + at;

		if (str_starts(line, "EHLO"))
			put(fd, "250-test\r\n250 AUTH PLAIN LOGIN\r\n");
		else if (str_starts(line, "QUIT"))
			break;
		else if (str_starts(line, "AUTH"))
			serve_auth(p, fd);
		else if (str_starts(line, "DATA")) {
			smtp_say(fd, line, "354 go on\r\n");
			if (!smtp_refuse && !take(p, fd, "\r\n.\r\n"))
				break;
			smtp_say(fd, line, "250 queued\r\n");
		} else
			smtp_say(fd, line, "250 ok\r\n");
		at = p->got.len;
	}
}

static int send_mail(struct peer *p, struct http_mail m, struct why *why)
{
	static const char *const to[] = {"ops@example.org", "boss@example.org", NULL};
	auto_free char *url = mem_printf("smtp://127.0.0.1:%u", p->port);

	m.url = url;
	m.from = m.from ? m.from : "healbus@example.org";
	m.to = m.to ? m.to : to;
	m.subject = m.subject ? m.subject : "nginx is down";
	m.text = "one\n.two\nthree = 3 \xc3\xa9 \n";
	m.message_id = "notice-1@healbus";
	m.timeout_ms = 3000;
	why->text[0] = 0;
	return http_client_mail(client, &m, why);
}

static void test_mail(void **state)
{
	struct peer p;
	struct why why;
	char file[] = "/tmp/healbus-pass-XXXXXX";

	(void)state;
	auto_fd int fd = mkstemp(file);
	assert_int_equal(write(fd, "pass\n", 5), 5);
	smtp_refuse = NULL;
	peer_start(&p, serve_smtp);
	int rc = send_mail(&p, (struct http_mail){.user = "me", .password_file = file}, &why);
	if (rc)
		fail_msg("%d %s", rc, why.text);
	unlink(file);
	peer_stop(&p);
	const char *got = buf_str(&p.got);
	assert_non_null(strstr(got, "MAIL FROM:<healbus@example.org>"));
	assert_non_null(strstr(got, "RCPT TO:<ops@example.org>"));
	assert_non_null(strstr(got, "RCPT TO:<boss@example.org>"));
	assert_non_null(strstr(got, "AUTH PLAIN"));
	assert_non_null(strstr(got, "Subject: nginx is down\r\n"));
	assert_non_null(strstr(got, "To: <ops@example.org>,\r\n <boss@example.org>\r\n"));
	assert_non_null(strstr(got, "Message-ID: <notice-1@healbus>\r\n"));
	assert_non_null(strstr(got, "\r\n\r\none\r\n..two\r\nthree =3D 3 =C3=A9=20\r\n.\r\n"));
	buf_release(&p.got);
}

static void test_mail_refused(void **state)
{
	static const struct {
		const char *command, *answer;
		int rc;
	} t[] = {
		{"MAIL", "550 no\r\n", ERR_REJECTED},
		{"RCPT", "550 no such user\r\n", ERR_REJECTED},
		{"RCPT", "450 greylisted\r\n", ERR_UNAVAILABLE},
		{"DATA", "452 full\r\n", ERR_UNAVAILABLE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct peer p;
		struct why why;

		smtp_refuse = t[i].command;
		smtp_answer = t[i].answer;
		peer_start(&p, serve_smtp);
		int rc = send_mail(&p, (struct http_mail){0}, &why);
		peer_stop(&p);
		if (rc != t[i].rc)
			fail_msg("row %zu: %d %s\n%s", i, rc, why.text, buf_str(&p.got));
		buf_release(&p.got);
	}
	smtp_refuse = NULL;
}

static void test_mail_needs_starttls_when_told(void **state)
{
	struct peer p;
	struct why why;

	(void)state;
	peer_start(&p, serve_smtp);
	assert_int_equal(send_mail(&p, (struct http_mail){.starttls = true}, &why),
			 ERR_UNAVAILABLE);
	peer_stop(&p);
	assert_null(strstr(buf_str(&p.got), "MAIL"));
	buf_release(&p.got);
}

static void test_mail_injection(void **state)
{
	static const char *const evil[] = {"a@b>\r\nRCPT TO:<c@d", NULL};
	static const char *const nobody[] = {NULL};
	struct peer p = {.port = 1};
	struct why why;

	(void)state;
	assert_int_equal(send_mail(&p, (struct http_mail){.to = evil}, &why), ERR_INVALID);
	assert_int_equal(send_mail(&p, (struct http_mail){.to = nobody}, &why), ERR_INVALID);
	assert_int_equal(send_mail(&p, (struct http_mail){.from = "x"}, &why), ERR_INVALID);
}

static void test_mail_compose(void **state)
{
	static const char *const to[] = {"a@b", NULL};
	static const struct {
		const char *subject, *has;
	} t[] = {
		{"plain", "Subject: plain\r\n"},
		{"a\r\nBcc: evil@x", "Subject: =?UTF-8?Q?a=0D=0ABcc=3A_evil=40x?=\r\n"},
		{"caf\xc3\xa9", "Subject: =?UTF-8?Q?caf=C3=A9?=\r\n"},
		{"=?UTF-8?Q?x?=", "Subject: =?UTF-8?Q?=3D=3FUTF=2D8=3FQ=3Fx=3F=3D?=\r\n"},
	};
	auto_buf many = {0}, b = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf m = {0};
		struct mail mail = {"c@d", to, t[i].subject, "text", "1@x", 1795251600000};

		assert_int_equal(mail_compose(&mail, &m, NULL), 0);
		if (!strstr(buf_str(&m), t[i].has))
			fail_msg("no <%s> in <%s>", t[i].has, buf_str(&m));
		assert_non_null(strstr(buf_str(&m), "Date: Sat, 21 Nov 2026 09:00:00 +0000\r\n"));
	}
	for (int i = 0; i < 200; i++)
		buf_add_str(&many, "\xe2\x82\xac=");
	struct mail mail = {"c@d", to, buf_str(&many), buf_str(&many), "1@x", 0};
	assert_int_equal(mail_compose(&mail, &b, NULL), 0);
	for (const char *line = b.data; *line; line = strstr(line, "\r\n") + 2)
		assert_in_range(strcspn(line, "\r\n"), 0, 76);
}

int main(void)
{
#define WITH_CLIENT(f) cmocka_unit_test_setup_teardown(f, open_client, close_client)
	const struct CMUnitTest tests[] = {
		WITH_CLIENT(test_get_and_keep_alive),
		WITH_CLIENT(test_post_and_retry_after),
		WITH_CLIENT(test_post_is_never_sent_twice),
		WITH_CLIENT(test_bad_peers),
		WITH_CLIENT(test_nobody_there),
		WITH_CLIENT(test_refused_before_anything),
		WITH_CLIENT(test_public_only_does_not_reuse),
		WITH_CLIENT(test_stop),
		WITH_CLIENT(test_unix_socket),
		cmocka_unit_test(test_status_err),
		cmocka_unit_test(test_addresses),
		WITH_CLIENT(test_mail),
		WITH_CLIENT(test_mail_refused),
		WITH_CLIENT(test_mail_needs_starttls_when_told),
		WITH_CLIENT(test_mail_injection),
		cmocka_unit_test(test_mail_compose),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("http_client", tests, NULL, NULL);
}
