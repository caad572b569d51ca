#include "tests/unit/http_peer.h"

#include "common/mail.h"

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
#define WITH_CLIENT(f) cmocka_unit_test_setup_teardown(f, client_open, client_close)
	const struct CMUnitTest tests[] = {
		WITH_CLIENT(test_mail),
		WITH_CLIENT(test_mail_refused),
		WITH_CLIENT(test_mail_needs_starttls_when_told),
		WITH_CLIENT(test_mail_injection),
		cmocka_unit_test(test_mail_compose),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("mail", tests, NULL, NULL);
}
