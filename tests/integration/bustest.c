/*
 * The bus and the leases against a real nats-server with the rights of the topic table. Started by
 * bus.sh; starts and kills servers of its own on free ports, in a directory of its own.
 */
#include "common/bus.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/lease.h"
#include "common/mem.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

static struct server {
	char dir[64];
	char url[64];
	unsigned port;
	pid_t pid;
} server;

/* ---- the server ---- */

static unsigned free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

static void write_file(const char *name, const char *text)
{
	auto_free char *path = mem_printf("%s/%s", server.dir, name);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void server_start(void)
{
	extern char **environ;
	auto_free char *config = mem_printf("%s/nats.conf", server.dir);
	auto_free char *log = mem_printf("%s/nats.log", server.dir);
	char *argv[] = {(char *)(uintptr_t) "nats-server",
			(char *)(uintptr_t) "-c",
			config,
			(char *)(uintptr_t) "-l",
			log,
			NULL};
	assert_int_equal(posix_spawnp(&server.pid, "nats-server", NULL, NULL, argv, environ), 0);
}

static void server_kill(void)
{
	kill(server.pid, SIGKILL);
	waitpid(server.pid, NULL, 0);
	server.pid = 0;
}

static void kill_at_exit(void)
{
	if (server.pid > 0)
		server_kill();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static struct bus *open_as(const char *user)
{
	struct bus *b = NULL;
	struct why why = {0};
	auto_free char *password = mem_printf("%s/password", server.dir);
	struct bus_options o = {
		.url = server.url, .name = user, .user = user, .password_file = password};
	assert_int_equal(bus_open(&o, &b, &why), 0);
	int rc = bus_wait(b, 10000, &why);
	if (rc)
		print_message("%s: %s\n", user, why.text);
	assert_int_equal(rc, 0);
	return b;
}

static void say(void *ctx, const char *line)
{
	buf_printf(ctx, "%s\n", line);
}

static int setup(void **state)
{
	(void)state;
	static const char *const users[] = {"MONITOR", "REASONER", "EXECUTOR", "NOTIFIER",
					    "ADMIN",   "HEALCTL",  "EXTERNAL"};
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		auto_free char *name = mem_printf("HEALBUS_%s_PASSWORD", users[i]);
		setenv(name, "right", 1);
	}
	snprintf(server.dir, sizeof(server.dir), "/tmp/bustest.XXXXXX");
	assert_non_null(mkdtemp(server.dir));
	server.port = free_port();
	snprintf(server.url, sizeof(server.url), "nats://127.0.0.1:%u", server.port);
	auto_buf config = {0};
	buf_printf(&config, "listen: \"127.0.0.1:%u\"\njetstream { store_dir: \"%s/js\" }\n",
		   server.port, server.dir);
	topic_print_nats_users(&config);
	write_file("nats.conf", config.data);
	write_file("password", "right\n");
	write_file("wrong", "wrong\n");
	atexit(kill_at_exit);
	server_start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	server_kill();
	return nftw(server.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void publish_n(struct bus *b, const char *subject, const char *prefix, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char id[32];
		snprintf(id, sizeof(id), "%s%u", prefix, i);
		struct bus_msg m = {.subject = subject, .id = id, .data = id, .len = strlen(id)};
		struct why why = {0};
		int rc = bus_publish(b, &m, 2000, NULL, &why);
		if (rc)
			print_message("%s\n", why.text);
		assert_int_equal(rc, 0);
	}
}

/* ---- tests ---- */

static void test_provision(void **state)
{
	(void)state;
	struct bus *b = open_as("admin");
	auto_buf first = {0};
	auto_buf second = {0};
	struct why why = {0};
	assert_int_equal(bus_check_streams(b, say, &first, &why), ERR_CONFIG);
	assert_non_null(strstr(first.data, "STORY: missing\n"));
	buf_reset(&first);
	int rc = bus_provision(b, say, &first, &why);
	if (rc)
		print_message("%s\n%s", why.text, first.data);
	assert_int_equal(rc, 0);
	assert_non_null(strstr(first.data, "STORY: created\n"));
	assert_non_null(strstr(first.data, "KV_CLAIM: created\n"));
	assert_int_equal(bus_provision(b, say, &second, &why), 0);
	assert_string_equal(buf_str(&second), "");
	assert_int_equal(bus_check_streams(b, say, &second, &why), 0);
	assert_string_equal(buf_str(&second), "");
	char version[32];
	bus_server_version(b, version);
	assert_true(str_starts(version, "2."));
	bus_close(b);
}

static void test_wrong_password_is_denied(void **state)
{
	(void)state;
	struct bus *b = NULL;
	struct why why = {0};
	auto_free char *password = mem_printf("%s/wrong", server.dir);
	struct bus_options o = {
		.url = server.url, .name = "monitor", .user = "monitor", .password_file = password};
	assert_int_equal(bus_open(&o, &b, &why), 0);
	assert_int_equal(bus_wait(b, 10000, &why), ERR_DENIED);
	assert_non_null(strstr(why.text, "uthorization"));
	bus_close(b);
	why = (struct why){0};
	o.password_file = "/nonexistent";
	assert_int_equal(bus_open(&o, &b, &why), ERR_CONFIG);
}

static void test_publish(void **state)
{
	(void)state;
	struct bus *b = open_as("monitor");
	uint64_t one = 0, two = 0;
	struct why why = {0};
	struct bus_msg m = {.subject = "raw.pub",
			    .id = "p1",
			    .cause = "c1",
			    .content_type = "text/x",
			    .time_ms = 1234567890123,
			    .data = "hello",
			    .len = 5};
	assert_int_equal(bus_publish(b, &m, 2000, &one, &why), 0);
	assert_int_equal(bus_publish(b, &m, 2000, &two, &why), 0);
	assert_int_equal(one, two);
	struct bus_delivery d = {0};
	assert_int_equal(bus_get(b, STREAM_RAW, one, &d, &why), 0);
	assert_string_equal(d.subject, "raw.pub");
	assert_string_equal(d.id, "p1");
	assert_string_equal(d.cause, "c1");
	assert_string_equal(d.content_type, "text/x");
	assert_int_equal(d.time_ms, 1234567890123);
	assert_int_equal(d.seq, one);
	assert_memory_equal(d.data, "hello", 5);
	assert_true(llabs(d.stream_ns / 1000000 - clock_real_ms()) < 60000);
	bus_delivery_free(&d);
	m.id = "p2";
	m.time_ms = clock_real_ms() + 3600000; /* nobody may speak from the future */
	assert_int_equal(bus_publish(b, &m, 2000, &two, &why), 0);
	assert_int_equal(bus_get_last(b, STREAM_RAW, "raw.pub", &d, &why), 0);
	assert_int_equal(d.seq, two);
	assert_int_equal(d.time_ms, d.stream_ns / 1000000);
	bus_delivery_free(&d);
	assert_int_equal(bus_get(b, STREAM_RAW, 999999, &d, NULL), ERR_NOT_FOUND);
	assert_int_equal(bus_get_last(b, STREAM_RAW, "raw.nothing", &d, NULL), ERR_NOT_FOUND);
	m.id = "p3";
	m.expect_no_message = true;
	assert_int_equal(bus_publish(b, &m, 2000, NULL, NULL), ERR_EXISTS);
	m.subject = "raw.pub2";
	assert_int_equal(bus_publish(b, &m, 2000, NULL, NULL), 0);
	bus_close(b);
}

static void test_publish_refuses(void **state)
{
	(void)state;
	struct bus *b = open_as("monitor");
	struct bus *admin = open_as("admin");
	char last[WHY_TEXT_BYTES];
	struct why why = {0};
	struct bus_msg m = {.subject = "raw.a", .id = "x", .content_type = "a\r\nNats-Msg-Id: y"};
	assert_int_equal(bus_publish(b, &m, 2000, NULL, NULL), ERR_INVALID);
	m.content_type = NULL;
	assert_int_equal(bus_violations(b, last), 0);
	int64_t began = clock_mono_ms();
	m.subject = "heal.plan.i1"; /* not the monitor's to say */
	assert_int_equal(bus_publish(b, &m, 5000, NULL, &why), ERR_DENIED);
	assert_true(clock_mono_ms() - began < 2500);
	assert_non_null(strstr(why.text, "heal.plan.i1"));
	assert_int_equal(bus_violations(b, last), 1);
	assert_non_null(strstr(last, "heal.plan.i1"));
	auto_free char *big = mem_alloc(3 << 20);
	m = (struct bus_msg){.subject = "raw.a", .id = "big", .data = big, .len = 3 << 20};
	assert_int_equal(bus_publish(b, &m, 2000, NULL, NULL), ERR_TOO_LARGE);
	m.len = 10;
	assert_int_equal(bus_publish(b, &m, 2000, NULL, NULL), 0); /* the connection lives */
	bus_close(admin);
	bus_close(b);
}

static void test_outlet_acks_every_message(void **state)
{
	(void)state;
	struct bus *b = open_as("monitor");
	struct bus_outlet *o = NULL;
	struct bus_ack ack;
	enum { N = 2000 };
	assert_int_equal(bus_outlet_open(b, &o), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < N; i++) {
			char id[24];
			snprintf(id, sizeof(id), "o%u", i);
			struct bus_msg m = {.subject = "raw.out", .id = id, .data = "x", .len = 1};
			assert_int_equal(bus_outlet_send(o, &m, i), 0);
		}
		for (unsigned i = 0; i < N; i++) {
			assert_int_equal(bus_outlet_next(o, 5000, &ack), 0);
			assert_int_equal(ack.rc, 0);
			assert_int_equal(ack.token, i);
			assert_int_equal(ack.duplicate, round == 1);
		}
	}
	struct bus_msg m = {
		.subject = "raw.out", .id = "o-x", .data = "x", .len = 1, .expect_no_message = true};
	assert_int_equal(bus_outlet_send(o, &m, 77), 0);
	assert_int_equal(bus_outlet_next(o, 5000, &ack), 0);
	assert_int_equal(ack.token, 77);
	assert_int_equal(ack.rc, ERR_EXISTS);
	assert_int_equal(bus_outlet_next(o, 10, &ack), ERR_TIMEOUT);
	bus_outlet_close(o);
	bus_close(b);
}

static void test_pull_in_order(void **state)
{
	(void)state;
	struct bus *b = open_as("monitor");
	struct bus_puller *p = NULL;
	struct bus_delivery d = {0};
	struct why why = {0};
	enum { N = 1000 };
	publish_n(b, "event.05.toy", "pull", N);
	int rc = bus_fold_consumer(b, STREAM_EVENTS, "monitor-05", "event.05.>", 0, 0, &why);
	if (rc)
		print_message("%s\n", why.text);
	assert_int_equal(rc, 0);
	assert_int_equal(bus_puller_open(b, STREAM_EVENTS, "monitor-05", 64, &p), 0);
	uint64_t middle = 0;
	for (unsigned i = 0; i < N; i++) {
		char id[24];
		snprintf(id, sizeof(id), "pull%u", i);
		assert_int_equal(bus_puller_next(p, 5000, &d), 0);
		assert_string_equal(d.id, id);
		assert_int_equal(d.consumer_seq, i + 1);
		assert_int_equal(d.delivered, 1);
		assert_int_equal(d.pending, N - 1 - i);
		if (i == N / 2)
			middle = d.seq;
		if (i % 100 == 99)
			assert_int_equal(bus_ack(p, &d), 0);
		bus_delivery_free(&d);
	}
	assert_int_equal(bus_puller_next(p, 50, &d), ERR_TIMEOUT);
	/* Somebody makes the consumer anew: the old reader is told at once. */
	assert_int_equal(
		bus_fold_consumer(b, STREAM_EVENTS, "monitor-05", "event.05.>", middle, 0, &why),
		0);
	assert_int_equal(bus_puller_next(p, 5000, &d), ERR_NOT_FOUND);
	bus_puller_close(p);
	assert_int_equal(bus_puller_open(b, STREAM_EVENTS, "monitor-05", 2, &p), 0);
	assert_int_equal(bus_puller_next(p, 5000, &d), 0);
	assert_int_equal(d.seq, middle);
	assert_int_equal(d.consumer_seq, 1);
	bus_delivery_free(&d);
	bus_puller_close(p);
	bus_close(b);
}

static const struct topic_consumer test_consumer = {.name = "normaliser",
						    .stream = STREAM_RAW,
						    .filter = "raw.settle",
						    .ack_wait_ms = 1500,
						    .max_ack_pending = 100};

static void test_settling(void **state)
{
	(void)state;
	struct bus *b = open_as("monitor");
	struct bus_puller *p = NULL;
	struct bus_delivery d = {0};
	struct bus_consumer_state cs;
	struct why why = {0};
	publish_n(b, "raw.settle", "s", 6);
	assert_int_equal(bus_shared_consumer(b, &test_consumer, &why), 0);
	assert_int_equal(bus_shared_consumer(b, &test_consumer, &why), 0);
	struct topic_consumer other = test_consumer;
	other.filter = "raw.>";
	assert_int_equal(bus_shared_consumer(b, &other, &why), ERR_CONFIG);
	assert_int_equal(bus_puller_open(b, STREAM_RAW, "normaliser", 1, &p), 0);
	assert_int_equal(bus_puller_next(p, 5000, &d), 0); /* s0: kept alive beyond ack_wait */
	int64_t until = clock_mono_ms() + 2500;
	while (clock_mono_ms() < until) {
		assert_int_equal(bus_in_progress(b, &d), 0);
		struct timespec pause = {.tv_nsec = 300 * 1000000};
		nanosleep(&pause, NULL);
	}
	assert_int_equal(bus_ack_sync(p, &d, 2000), 0);
	bus_delivery_free(&d);
	assert_int_equal(bus_puller_next(p, 5000, &d), 0);
	assert_string_equal(d.id, "s1");
	assert_int_equal(bus_nak(p, &d, 400), 0);
	int64_t naked = clock_mono_ms();
	bus_delivery_free(&d);
	assert_int_equal(bus_puller_next(p, 5000, &d), 0);
	assert_string_equal(d.id, "s2");
	assert_int_equal(bus_term(p, &d), 0);
	bus_delivery_free(&d);
	while (bus_puller_next(p, 5000, &d) == 0 && !str_eq(d.id, "s1")) {
		assert_int_equal(bus_ack_sync(p, &d, 2000), 0);
		bus_delivery_free(&d);
	}
	assert_int_equal(d.delivered, 2);
	assert_true(clock_mono_ms() - naked >= 350);
	assert_int_equal(bus_ack_sync(p, &d, 2000), 0);
	bus_delivery_free(&d);
	assert_int_equal(bus_consumer_state(b, STREAM_RAW, "normaliser", &cs, &why), 0);
	assert_int_equal(cs.pending, 0);
	assert_int_equal(cs.unacked, 0);
	bus_puller_close(p);
	/* What was delivered ahead and not taken comes again at once. */
	publish_n(b, "raw.settle", "t", 8);
	assert_int_equal(bus_puller_open(b, STREAM_RAW, "normaliser", 8, &p), 0);
	assert_int_equal(bus_puller_next(p, 5000, &d), 0);
	bus_ack(p, &d);
	bus_delivery_free(&d);
	bus_puller_return(p);
	bus_puller_close(p);
	assert_int_equal(bus_puller_open(b, STREAM_RAW, "normaliser", 8, &p), 0);
	for (int i = 0; i < 7; i++) {
		assert_int_equal(bus_puller_next(p, 1000, &d), 0);
		bus_delivery_free(&d);
	}
	bus_puller_close(p);
	bus_close(b);
}

/* ---- compare-and-set ---- */

struct racer {
	struct bus *bus;
	atomic_uint *wins;
	unsigned number;
};

enum { RACERS = 6, RACES = 200 };

static void *race(void *arg)
{
	struct racer *r = arg;
	for (unsigned i = 0; i < RACES; i++) {
		char key[24];
		uint64_t revision = 0;
		snprintf(key, sizeof(key), "race%u", i);
		if (bus_kv_put(r->bus, BUCKET_CLAIM, key, &r->number, sizeof(r->number), 0,
			       &revision, NULL) == 0)
			atomic_fetch_add(&r->wins[i], 1);
	}
	bus_thread_done();
	return NULL;
}

static void test_kv_has_one_winner(void **state)
{
	(void)state;
	static atomic_uint wins[RACES];
	struct racer racers[RACERS];
	pthread_t threads[RACERS];
	struct bus *b[2] = {open_as("executor"), open_as("executor")};
	for (unsigned i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){b[i % 2], wins, i};
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (unsigned i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < RACES; i++)
		assert_int_equal(atomic_load(&wins[i]), 1);
	bus_close(b[0]);
	bus_close(b[1]);
}

static void test_kv(void **state)
{
	(void)state;
	struct bus *b = open_as("executor");
	struct bus_kv_entry e = {0};
	uint64_t r1 = 0, r2 = 0;
	assert_int_equal(bus_kv_get(b, BUCKET_CLAIM, "k", &e, NULL), ERR_NOT_FOUND);
	assert_int_equal(bus_kv_put(b, BUCKET_CLAIM, "k", "one", 3, 0, &r1, NULL), 0);
	assert_int_equal(bus_kv_put(b, BUCKET_CLAIM, "k", "two", 3, 0, &r2, NULL), ERR_CONFLICT);
	assert_int_equal(bus_kv_put(b, BUCKET_CLAIM, "k", "two", 3, r1, &r2, NULL), 0);
	assert_int_equal(bus_kv_put(b, BUCKET_CLAIM, "k", "zwei", 4, r1, &r2, NULL), ERR_CONFLICT);
	assert_int_equal(bus_kv_get(b, BUCKET_CLAIM, "k", &e, NULL), 0);
	assert_string_equal(e.value, "two");
	assert_int_equal(e.revision, r2);
	assert_true(llabs(e.at_ms - clock_real_ms()) < 60000);
	free(e.value);
	assert_int_equal(bus_kv_del(b, BUCKET_CLAIM, "k", r1, NULL), ERR_CONFLICT);
	assert_int_equal(bus_kv_del(b, BUCKET_CLAIM, "k", r2, NULL), 0);
	assert_int_equal(bus_kv_get(b, BUCKET_CLAIM, "k", &e, NULL), ERR_NOT_FOUND);
	assert_int_equal(bus_kv_put(b, BUCKET_CLAIM, "k", "new", 3, 0, &r1, NULL), 0);
	assert_int_equal(bus_kv_set(b, BUCKET_CLAIM, "k", "any", 3, NULL, NULL), 0);
	assert_int_equal(bus_kv_put(b, BUCKET_CLAIM, "no.token", "x", 1, 0, NULL, NULL),
			 ERR_INVALID);
	auto_free char *big = mem_alloc(70000);
	assert_int_equal(bus_kv_set(b, BUCKET_CLAIM, "k", big, 70000, NULL, NULL), ERR_TOO_LARGE);
	bus_close(b);
}

static void test_claims(void **state)
{
	(void)state;
	struct bus *b = open_as("executor");
	struct claim a = {0}, c = {0}, d = {0};
	struct why why = {0};
	char note[] = "line\nwith\0zero";
	assert_int_equal(claim_get(b, "step1", &a, &why), 0);
	assert_int_equal(a.state, CLAIM_NONE);
	assert_int_equal(claim_get(b, "step1", &c, &why), 0);
	assert_int_equal(claim_advance(b, "step1", &a, CLAIM_CLAIMED, "x1", "boot1", NULL, 0, &why),
			 0);
	assert_int_equal(claim_advance(b, "step1", &c, CLAIM_CLAIMED, "x2", "boot2", NULL, 0, &why),
			 ERR_CONFLICT);
	/* A take-over of the dead owner's claim; the old owner's next move then fails. */
	assert_int_equal(claim_get(b, "step1", &c, &why), 0);
	assert_string_equal(c.owner, "x1");
	assert_string_equal(c.boot, "boot1");
	assert_int_equal(claim_advance(b, "step1", &c, CLAIM_STARTED, "x2", "boot2", NULL, 0, &why),
			 0);
	assert_int_equal(claim_advance(b, "step1", &a, CLAIM_STARTED, "x1", "boot1", NULL, 0, &why),
			 ERR_CONFLICT);
	assert_int_equal(claim_advance(b, "step1", &c, CLAIM_DONE, c.owner, c.boot, note,
				       sizeof(note), &why),
			 0);
	assert_int_equal(claim_get(b, "step1", &d, &why), 0);
	assert_int_equal(d.state, CLAIM_DONE);
	assert_string_equal(d.owner, "x2");
	assert_int_equal(d.note.len, sizeof(note));
	assert_memory_equal(d.note.data, note, sizeof(note));
	claim_release(&a);
	claim_release(&c);
	claim_release(&d);
	bus_close(b);
}

static void test_locks_and_lives(void **state)
{
	(void)state;
	struct bus *b = open_as("executor");
	struct lock one = {0}, two = {0};
	struct why why = {0};
	bool alive = true;
	assert_int_equal(lock_acquire(b, "web", "x1 for step1", &one, &why), 0);
	assert_int_equal(lock_acquire(b, "web", "x2", &two, &why), ERR_BUSY);
	assert_non_null(strstr(why.text, "x1 for step1"));
	assert_int_equal(lock_renew(b, &one, "x1 still", &why), 0);
	struct lock stale = one;
	stale.revision--;
	assert_int_equal(lock_renew(b, &stale, "x", &why), ERR_CONFLICT);
	lock_release_held(b, &one);
	assert_int_equal(lock_acquire(b, "web", "x2", &two, &why), 0);
	lock_release_held(b, &two);
	assert_int_equal(live_beat(b, "boot1", "x1", &why), 0);
	assert_int_equal(live_is_alive(b, "boot1", &alive, &why), 0);
	assert_true(alive);
	/* We have only just connected: absence proves nothing yet. */
	assert_int_equal(live_is_alive(b, "boot2", &alive, &why), ERR_BUSY);
	bus_close(b);
}

/* ---- losing the server ---- */

static void test_reconnect(void **state)
{
	(void)state;
	struct bus *b = open_as("monitor");
	struct bus_puller *p = NULL;
	struct bus_outlet *o = NULL;
	struct bus_delivery d = {0};
	struct bus_ack ack;
	struct why why = {0};
	uint64_t epoch = bus_epoch(b);
	assert_true(epoch > 0);
	publish_n(b, "event.06.toy", "before", 10);
	assert_int_equal(
		bus_fold_consumer(b, STREAM_EVENTS, "monitor-06", "event.06.>", 0, 0, &why), 0);
	assert_int_equal(bus_puller_open(b, STREAM_EVENTS, "monitor-06", 4, &p), 0);
	assert_int_equal(bus_outlet_open(b, &o), 0);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(bus_puller_next(p, 5000, &d), 0);
		bus_delivery_free(&d);
	}
	server_kill();
	int64_t began = clock_mono_ms();
	assert_int_equal(bus_puller_next(p, 10000, &d), ERR_CLOSED);
	assert_int_equal(bus_outlet_next(o, 10000, &ack), ERR_CLOSED);
	struct bus_msg m = {.subject = "event.06.toy", .id = "lost", .data = "x", .len = 1};
	assert_int_equal(bus_outlet_send(o, &m, 1), ERR_CLOSED);
	assert_true(clock_mono_ms() - began < 3000);
	assert_int_equal(bus_publish(b, &m, 2000, NULL, &why), ERR_UNAVAILABLE);
	assert_int_equal(bus_epoch(b), 0);
	assert_int_equal(bus_wait(b, 50, &why), ERR_TIMEOUT);
	struct bus_outlet *none = NULL;
	assert_int_equal(bus_outlet_open(b, &none), ERR_UNAVAILABLE);
	server_start();
	assert_int_equal(bus_wait(b, 10000, &why), 0);
	assert_true(bus_epoch(b) > epoch);
	assert_int_equal(bus_puller_next(p, 100, &d), ERR_CLOSED); /* the old one stays closed */
	bus_puller_close(p);
	bus_outlet_close(o);
	publish_n(b, "event.06.toy", "after", 1);
	struct bus_stream_state st;
	assert_int_equal(bus_stream_state(b, STREAM_EVENTS, &st, &why), 0);
	assert_int_equal(bus_get(b, STREAM_EVENTS, st.last_seq, &d, &why), 0);
	assert_string_equal(d.id, "after0");
	bus_delivery_free(&d);
	bus_close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_provision),
		cmocka_unit_test(test_wrong_password_is_denied),
		cmocka_unit_test(test_publish),
		cmocka_unit_test(test_publish_refuses),
		cmocka_unit_test(test_outlet_acks_every_message),
		cmocka_unit_test(test_pull_in_order),
		cmocka_unit_test(test_settling),
		cmocka_unit_test(test_kv),
		cmocka_unit_test(test_kv_has_one_winner),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_locks_and_lives),
		cmocka_unit_test(test_reconnect),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
