#include "monitor/checks_tls.h"
#include "common/clock.h"
#include "monitor/checks.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

static const char *const keys[] = {"host", "port", "server_name", "ca_file", "days", NULL};

static int parse(struct check *c, const struct yaml_node *node, struct why *out_why)
{
	if (!c->host || !*c->host)
		return yaml_error(node, out_why, "host is needed");
	if (!c->port)
		c->port = 443;
	return 0;
}

void check_tls_free(void *context)
{
	SSL_CTX_free(context);
}

/* The certificate is looked at, whatever it is; whether it is trusted is asked afterwards. */
static SSL *session_new(const struct check *c, struct check_tools *tools, int fd)
{
	const char *name = c->server_name ? c->server_name : c->host;
	SSL *ssl;

	if (!tools->tls)
		tools->tls = SSL_CTX_new(TLS_client_method());
	if (!tools->tls)
		return NULL;
	SSL_CTX_set_default_verify_paths(tools->tls);
	if (c->ca_file)
		SSL_CTX_load_verify_locations(tools->tls, c->ca_file, NULL);
	SSL_CTX_set_verify(tools->tls, SSL_VERIFY_NONE, NULL);
	ssl = SSL_new(tools->tls);
	if (!ssl)
		return NULL;
	SSL_set_fd(ssl, fd);
	SSL_set_tlsext_host_name(ssl, name);
	SSL_set1_host(ssl, name);
	return ssl;
}

static bool handshake(SSL *ssl, int fd, int64_t deadline_ms)
{
	for (;;) {
		int rc = SSL_connect(ssl);
		int want = rc == 1 ? 0 : SSL_get_error(ssl, rc);
		struct pollfd p = {.fd = fd};
		int64_t left = deadline_ms - clock_mono_ms();

		if (rc == 1)
			return true;
		if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE)
			return false;
		p.events = want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return false;
	}
}

static void certificate_judge(const struct check *c, SSL *ssl, struct check_result *out)
{
	X509 *certificate = SSL_get1_peer_certificate(ssl);
	long trust = SSL_get_verify_result(ssl);
	int days = 0, seconds = 0;

	if (!certificate) {
		snprintf(out->detail, sizeof(out->detail), "%s: no certificate", c->host);
		return;
	}
	ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate));
	X509_free(certificate);
	out->ok = days >= c->days && seconds >= 0 && trust == X509_V_OK;
	if (trust != X509_V_OK && trust != X509_V_ERR_CERT_HAS_EXPIRED)
		snprintf(out->detail, sizeof(out->detail), "%s:%d: %s", c->host, (int)c->port,
			 X509_verify_cert_error_string(trust));
	else if (days < 0 || seconds < 0)
		snprintf(out->detail, sizeof(out->detail),
			 "certificate of %s:%d expired %d days ago", c->host, (int)c->port, -days);
	else
		snprintf(out->detail, sizeof(out->detail),
			 "certificate of %s:%d is valid for %d days", c->host, (int)c->port, days);
}

static void run(const struct check *c, struct check_tools *tools, struct check_result *out)
{
	int64_t deadline = clock_mono_ms() + c->timeout_ms;
	struct why why = {0};
	auto_fd int fd = check_connect(c->host, c->port, c->timeout_ms, &why);
	SSL *ssl;

	if (fd < 0) {
		snprintf(out->detail, sizeof(out->detail), "%.500s", why.text);
		return;
	}
	ssl = session_new(c, tools, fd);
	if (ssl && handshake(ssl, fd, deadline))
		certificate_judge(c, ssl, out);
	else
		snprintf(out->detail, sizeof(out->detail), "%s:%d: TLS handshake failed", c->host,
			 (int)c->port);
	SSL_free(ssl);
}

const struct check_kind check_tls = {.name = "tls", .keys = keys, .parse = parse, .run = run};
