/*
 * Who we are at the bus, told to a peer that looks at what it is sent: a signature must be there,
 * whatever its bytes.
 */
#include "common/bus.h"
#include "common/nkey.h"
#include "tests/unit/http_peer.h"

#include <fcntl.h>

static char seed[NKEY_SEED_LEN + 1];
static char nonces[2][16]; /* of the first connection, and of those after it */
static char seed_path[64];

/* A nonce whose signature begins with a zero byte, or with none. */
static void find_nonce(char out[static 16], bool zero)
{
	uint8_t signature[NKEY_SIGNATURE_BYTES];
	unsigned n = 0;
	do {
		snprintf(out, 16, "nonce-%u", n++);
		assert_int_equal(nkey_sign(seed, out, strlen(out), signature, NULL), 0);
	} while ((signature[0] == 0) != zero);
}

static void greet(struct peer *p, int fd)
{
	char info[256];
	snprintf(info, sizeof(info),
		 "INFO {\"server_id\":\"X\",\"version\":\"2.9.10\",\"proto\":1,\"headers\":true,"
		 "\"auth_required\":true,\"max_payload\":1048576,\"nonce\":\"%s\"} \r\n",
		 nonces[p->connections > 1]);
	put(fd, info);
}

/* As nats-server does: a user without a signature is refused. */
static void serve_strictly(struct peer *p, int fd)
{
	size_t before = p->got.len;
	greet(p, fd);
	if (!take(p, fd, "PING\r\n"))
		return;
	if (!strstr(p->got.data + before, "\"sig\":\"")) {
		put(fd, "-ERR 'Authorization Violation'\r\n");
		return;
	}
	do
		put(fd, "PONG\r\n");
	while (take(p, fd, "PING\r\n"));
}

static void serve_refusing(struct peer *p, int fd)
{
	greet(p, fd);
	if (take(p, fd, "PING\r\n"))
		put(fd, "-ERR 'Authorization Violation'\r\n");
}

static int connect_to(struct peer *p, void (*serve)(struct peer *p, int fd), unsigned *out_n)
{
	struct bus *b = NULL;
	struct why why = {0};
	peer_start(p, serve);
	auto_free char *url = mem_printf("nats://127.0.0.1:%u", p->port);
	struct bus_options o = {.url = url, .name = "monitor", .nkey_file = seed_path};
	assert_int_equal(bus_open(&o, &b, &why), 0);
	int rc = bus_wait(b, 30000, &why);
	bus_close(b);
	peer_stop(p);
	*out_n = p->connections;
	buf_release(&p->got);
	return rc;
}

static void test_signs_a_nonce(void **state)
{
	(void)state;
	struct peer p;
	unsigned n = 0;
	find_nonce(nonces[0], false);
	assert_int_equal(connect_to(&p, serve_strictly, &n), 0);
	assert_int_equal(n, 1);
}

/* The library would leave it out. */
static void test_a_signature_that_begins_with_zero(void **state)
{
	(void)state;
	struct peer p;
	unsigned n = 0;
	find_nonce(nonces[0], true);
	find_nonce(nonces[1], false);
	assert_int_equal(connect_to(&p, serve_strictly, &n), 0);
	assert_int_equal(n, 2);
}

static void test_a_refusal_is_one(void **state)
{
	(void)state;
	struct peer p;
	unsigned n = 0;
	find_nonce(nonces[0], false);
	find_nonce(nonces[1], false);
	assert_int_equal(connect_to(&p, serve_refusing, &n), ERR_DENIED);
}

static int make_seed(void **state)
{
	(void)state;
	char public[NKEY_PUBLIC_LEN + 1];
	snprintf(seed_path, sizeof(seed_path), "/tmp/healbus-test-nkey-XXXXXX");
	auto_fd int fd = mkstemp(seed_path);
	return fd < 0 || nkey_new(seed, public, NULL) ||
	       write(fd, seed, strlen(seed)) != (ssize_t)strlen(seed);
}

static int remove_seed(void **state)
{
	(void)state;
	return unlink(seed_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signs_a_nonce),
		cmocka_unit_test(test_a_signature_that_begins_with_zero),
		cmocka_unit_test(test_a_refusal_is_one),
	};
	return cmocka_run_group_tests(tests, make_seed, remove_seed);
}
