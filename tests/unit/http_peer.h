/*
 * A peer on loopback that behaves as a test tells it, one connection after the other.
 */
#ifndef TESTS_UNIT_HTTP_PEER_H
#define TESTS_UNIT_HTTP_PEER_H

#include "common/http_client.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "common/address.h"
#include "common/mem.h"

struct peer {
	int listen_fd;
	unsigned port;
	void (*serve)(struct peer *p, int fd);
	pthread_t thread;
	_Atomic int stop;
	unsigned connections;
	struct buf got; /* read it after peer_stop */
};

static inline bool put(int fd, const char *text)
{
	return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Until `end` is the tail of what came, the client closes, or 3 s. */
static inline bool take(struct peer *p, int fd, const char *end)
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

static inline void *peer_main(void *arg)
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

static inline void peer_start(struct peer *p, void (*serve)(struct peer *p, int fd))
{
	struct why why = {0};

	*p = (struct peer){.serve = serve};
	assert_int_equal(address_listen("127.0.0.1:0", &p->listen_fd, &p->port, &why), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
}

static inline void peer_stop(struct peer *p)
{
	p->stop = 1;
	pthread_join(p->thread, NULL);
	close(p->listen_fd);
}

/* Says nothing until the client goes or the test ends. */
static inline void wait_gone(struct peer *p, int fd)
{
	while (!p->stop) {
		struct pollfd f = {.fd = fd, .events = POLLIN};
		char c;

		if (poll(&f, 1, 20) > 0 && recv(fd, &c, 1, 0) <= 0)
			return;
	}
}

/* For tests that call: cmocka_unit_test_setup_teardown(f, client_open, client_close). */
static struct http_client *client;

static inline int client_open(void **state)
{
	(void)state;
	return http_client_new(&client);
}

static inline int client_close(void **state)
{
	(void)state;
	http_client_stop_on(NULL);
	http_client_free(client);
	client = NULL;
	return 0;
}

#endif
