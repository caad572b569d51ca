/* The only way out: real curl in the real sandbox, a server on this machine's loopback. */
#include "common/clock.h"
#include "executor/sandboxes/proxy.h"
#include "executor/sandboxes/sandbox.h"
#include "tests/unit/executor/support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

/* Answers each request with "hello" and, when asked for /big, with a megabyte. */
struct server {
	int listener;
	unsigned port;
	pthread_t thread;
	atomic_int served;
};

static void answer(int client)
{
	char request[4096] = "";
	static const char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
	if (recv(client, request, sizeof(request) - 1, 0) <= 0)
		return;
	send(client, head, strlen(head), MSG_NOSIGNAL);
	send(client, "hello", 5, MSG_NOSIGNAL);
	auto_free char *big = mem_alloc(1 << 20);
	if (strstr(request, " /big "))
		send(client, big, 1 << 20, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
	struct server *s = arg;
	for (int client; (client = accept(s->listener, NULL, NULL)) >= 0;) {
		atomic_fetch_add(&s->served, 1);
		answer(client);
		close(client);
	}
	return NULL;
}

static void server_start(struct server *s)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(s->listener, 8), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&at, &len), 0);
	s->port = ntohs(at.sin_port);
	atomic_store(&s->served, 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
}

struct asked {
	int exit_code;
	char *output;
	char *refused;
};

static void asked_release(struct asked *a)
{
	free(a->output);
	free(a->refused);
}

/* curl with these arguments behind a proxy with these rules. */
static struct asked ask(const struct proxy_rules *rules, const char *const *args)
{
	static char *const env[] = {(char *)"PATH=/usr/bin", NULL};
	char *argv[16] = {(char *)"/usr/bin/curl", (char *)"-sS", (char *)"--max-time",
			  (char *)"10"};
	struct proxy *proxy = NULL;
	struct why why = {0};
	struct sandbox_job job = {.argv = argv, .env = env};
	const struct run_limits limits = {.timeout_ms = 20000, .output_limit_bytes = 4 << 20};
	struct run_result r = {0};
	struct asked asked = {0};
	struct buf refused = {0};
	for (size_t i = 0; args[i]; i++)
		argv[i + 4] = (char *)args[i];
	if (proxy_open(rules, &proxy, &job.proxy, &why))
		fail_msg("%s", why.text);
	sandbox_bwrap.run(&job, &limits, &r);
	close(job.proxy);
	proxy_refused(proxy, &refused);
	proxy_close(proxy);
	if (r.state != RUN_ENDED)
		fail_msg("%s %s", r.why.text, buf_str(&r.output));
	asked.exit_code = r.exit_code;
	asked.output = mem_strdup(buf_str(&r.output));
	asked.refused = mem_strdup(buf_str(&refused));
	buf_release(&refused);
	buf_release(&r.output);
	return asked;
}

#define PROXY "http://127.0.0.1:3128"

static void test_listed(void **state)
{
	struct server s;
	(void)state;
	server_start(&s);
	auto_free char *host = mem_printf("127.0.0.1:%u", s.port);
	auto_free char *url = mem_printf("http://%s/", host);
	const struct proxy_rules rules = {
		.hosts = (const char *const[]){host}, .n_hosts = 1, .any_address = true};
	struct asked a = ask(&rules, (const char *const[]){"-p", "-x", PROXY, url, NULL});
	assert_int_equal(a.exit_code, 0);
	assert_string_equal(a.output, "hello");
	assert_string_equal(a.refused, "");
	asked_release(&a);
	server_stop(&s);
}

/* What is not listed, or not public, is not even dialled; and there is no other way. */
static void test_refused(void **state)
{
	struct server s;
	(void)state;
	server_start(&s);
	auto_free char *host = mem_printf("127.0.0.1:%u", s.port);
	auto_free char *url = mem_printf("http://%s/", host);
	const struct {
		struct proxy_rules rules;
		const char *args[8];
		const char *output, *refused;
	} t[] = {
		{{.any_address = true}, {"-p", "-x", PROXY, url}, "403", host},
		{{.hosts = (const char *const[]){"127.0.0.1:1"}, .n_hosts = 1, .any_address = true},
		 {"-p", "-x", PROXY, url},
		 "403",
		 host},
		{{.hosts = (const char *const[]){"127.0.0.1"}, .n_hosts = 1, .any_address = true},
		 {"-p", "-x", PROXY, url},
		 "403",
		 host},
		{{.hosts = (const char *const[]){host}, .n_hosts = 1},
		 {"-p", "-x", PROXY, url},
		 "502",
		 ""},
		{{.hosts = (const char *const[]){host}, .n_hosts = 1, .any_address = true},
		 {"-f", "-x", PROXY, url},
		 "405",
		 ""},
		{{.hosts = (const char *const[]){host}, .n_hosts = 1, .any_address = true},
		 {"-f", url},
		 "",
		 ""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct asked a = ask(&t[i].rules, t[i].args);
		if (a.exit_code == 0 || !strstr(a.output, t[i].output) ||
		    !str_eq(a.refused, t[i].refused))
			fail_msg("row %zu: %d %s, refused %s", i, a.exit_code, a.output, a.refused);
		asked_release(&a);
	}
	assert_int_equal(atomic_load(&s.served), 0);
	server_stop(&s);
}

static void test_bytes(void **state)
{
	struct server s;
	(void)state;
	server_start(&s);
	auto_free char *host = mem_printf("127.0.0.1:%u", s.port);
	auto_free char *url = mem_printf("http://%s/big", host);
	const struct proxy_rules rules = {.hosts = (const char *const[]){host},
					  .n_hosts = 1,
					  .any_address = true,
					  .max_bytes = 200000};
	struct asked a = ask(&rules, (const char *const[]){"-p", "-x", PROXY, "-o", "/tmp/x", "-w",
							   "%{size_download}", url, NULL});
	long got = strtol(a.output, NULL, 10);
	assert_true(got > 0 && got < 300000);
	asked_release(&a);
	server_stop(&s);
}

static void test_wrong_hosts(void **state)
{
	static const char *const wrong[] = {"", ":443", "*.x.test", "x:", "x:y", "http://x", "a b"};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		const struct proxy_rules rules = {.hosts = &wrong[i], .n_hosts = 1};
		struct proxy *p = NULL;
		struct why why = {0};
		int fd = -1;
		assert_int_equal(proxy_open(&rules, &p, &fd, &why), ERR_INVALID);
	}
}

/* A sandbox that never comes up does not hold its proxy. */
static void test_unused(void **state)
{
	const struct proxy_rules rules = {0};
	struct proxy *p = NULL;
	struct why why = {0};
	int fd = -1;
	(void)state;
	assert_int_equal(proxy_open(&rules, &p, &fd, &why), 0);
	proxy_close(p);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listed), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bytes), cmocka_unit_test(test_wrong_hosts),
		cmocka_unit_test(test_unused)};

	return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
