#include "common/http_client_private.h"

#include "common/clock.h"
#include "common/mail.h"
#include "common/mem.h"
#include "common/secret.h"

static size_t on_upload(char *out, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = MIN(size * n, t->upload_left);

	memcpy(out, t->upload, len);
	t->upload += len;
	t->upload_left -= len;
	return len;
}

static void set_mail(struct transfer *t, const struct http_mail *mail,
		     const struct secret *password)
{
	CURL *e = t->easy;

	transfer_set_common(t, mail->url, "smtp,smtps", mail->ca_file);
	curl_easy_setopt(e, CURLOPT_USE_SSL,
			 (long)(mail->starttls ? CURLUSESSL_ALL : CURLUSESSL_NONE));
	if (mail->user) {
		curl_easy_setopt(e, CURLOPT_USERNAME, mail->user);
		curl_easy_setopt(e, CURLOPT_PASSWORD, password->data ? password->data : "");
	}
	auto_free char *from = mem_printf("<%s>", mail->from);
	curl_easy_setopt(e, CURLOPT_MAIL_FROM, from);
	for (size_t i = 0; mail->to[i]; i++) {
		auto_free char *to = mem_printf("<%s>", mail->to[i]);

		transfer_append(&t->recipients, to);
	}
	curl_easy_setopt(e, CURLOPT_MAIL_RCPT, t->recipients);
	curl_easy_setopt(e, CURLOPT_READFUNCTION, on_upload);
	curl_easy_setopt(e, CURLOPT_READDATA, t);
	curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
	/* A mail is not to be sent twice because a kept connection was dead. */
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
}

/* The server's own last word decides: 4xx may work later, 5xx will not. */
static int mail_err(struct transfer *t, int rc)
{
	long status = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (rc != ERR_UNAVAILABLE || status < 500 || status > 599)
		return rc;
	return ERR_REJECTED;
}

int http_client_mail(struct http_client *c, const struct http_mail *mail, struct why *out_why)
{
	int64_t timeout_ms = mail->timeout_ms > 0 ? mail->timeout_ms : HTTP_CLIENT_TIMEOUT_MS;
	auto_transfer t = {
		.easy = c->easy, .multi = c->anywhere, .deadline_ms = clock_mono_ms() + timeout_ms};
	struct mail parts = {mail->from, mail->to,         mail->subject,
			     mail->text, mail->message_id, clock_real_ms()};
	struct secret password = {0};
	auto_buf text = {0};

	int rc = transfer_check_url(mail->url, out_why);
	if (!rc)
		rc = mail_compose(&parts, &text, out_why);
	if (!rc)
		rc = secret_read(&password, mail->password_file, out_why);
	if (rc)
		return rc;
	t.upload = text.data;
	t.upload_left = text.len;
	set_mail(&t, mail, &password);
	rc = mail_err(&t, transfer_run(&t, out_why));
	transfer_end(&t);
	secret_release(&password);
	return rc;
}
