/* TLS, with the openssl program and curl on the other side. */
#include "tests/unit/http_server_kit.h"

#include <sys/stat.h>
#include <sys/wait.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_tls)};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("http_server_tls", tests, NULL, NULL);
}
