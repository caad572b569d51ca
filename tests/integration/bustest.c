/*
 * The bus against a real nats-server with the rights of the topic table. Started by bus.sh.
 */
#include "common/buf.h"
#include "common/bus_private.h"
#include "common/clock.h"
#include "common/mem.h"
#include "tests/toy/server.h"

#include <setjmp.h>
#include <cmocka.h>

static void say(void *ctx, const char *line)
{
	buf_printf(ctx, "%s\n", line);
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
	struct bus *b = server_open_bus("operator");
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
	struct bus *b = server_open_bus("monitor");
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
	struct bus *b = server_open_bus("monitor");
	struct bus *admin = server_open_bus("operator");
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
	struct bus *b = server_open_bus("monitor");
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
	struct bus_msg m = {.subject = "raw.out",
			    .id = "o-x",
			    .data = "x",
			    .len = 1,
			    .expect_no_message = true};
	assert_int_equal(bus_outlet_send(o, &m, 77), 0);
	assert_int_equal(bus_outlet_next(o, 5000, &ack), 0);
	assert_int_equal(ack.token, 77);
	assert_int_equal(ack.rc, ERR_EXISTS);
	assert_int_equal(bus_outlet_next(o, 10, &ack), ERR_TIMEOUT);
	bus_outlet_close(o);
	bus_close(b);
}

/* What goes by the second connection must not overtake the subscription for its acks. */
static void test_packing_outlet_misses_no_ack(void **state)
{
	(void)state;
	struct bus *b = server_open_bus("monitor");
	for (uint64_t round = 0; round < 50; round++) {
		struct bus_outlet *o = NULL;
		struct bus_ack ack = {0};
		struct bus_msg m = {
			.subject = "raw.packing", .data = "x", .len = 1, .may_wait = true};
		assert_int_equal(bus_outlet_open_packing(b, &o), 0);
		for (uint64_t i = 0; i < 3; i++)
			assert_int_equal(bus_outlet_send(o, &m, round * 3 + i), 0);
		bus_outlet_flush(o);
		for (uint64_t i = 0; i < 3; i++) {
			assert_int_equal(bus_outlet_next(o, 5000, &ack), 0);
			assert_int_equal(ack.rc, 0);
			assert_int_equal(ack.token, round * 3 + i);
		}
		bus_outlet_close(o);
	}
	bus_close(b);
}

static void test_pull_in_order(void **state)
{
	(void)state;
	struct bus *b = server_open_bus("monitor");
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
	struct bus *b = server_open_bus("monitor");
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

/* ---- losing the server ---- */

static void test_reconnect(void **state)
{
	(void)state;
	struct bus *b = server_open_bus("monitor");
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

/* What only the leader of a stream with copies knows for sure. */
static void test_the_leader_is_asked(void **state)
{
	(void)state;
	struct bus *b = server_open_bus("operator");
	const char data[] = "\0\1\xff bytes";
	struct bus_msg m = {.subject = "raw.leader",
			    .id = "leader-1",
			    .cause = "a cause",
			    .time_ms = 1700000000000,
			    .data = data,
			    .len = sizeof(data)};
	uint64_t seq = 0;
	assert_int_equal(bus_publish(b, &m, 2000, &seq, NULL), 0);
	struct bus_ask a = {
		.kind = BUS_ASK_LAST, .bucket = STREAM_RAW, .key = "raw.leader", .leader = true};
	bus_ask(b, &a, 1);
	assert_int_equal(a.rc, 0);
	assert_int_equal(a.delivery.seq, seq);
	assert_string_equal(a.delivery.subject, "raw.leader");
	assert_string_equal(a.delivery.id, "leader-1");
	assert_string_equal(a.delivery.cause, "a cause");
	assert_int_equal(a.delivery.time_ms, 1700000000000);
	assert_int_equal(a.delivery.len, sizeof(data));
	assert_memory_equal(a.delivery.data, data, sizeof(data));
	bus_delivery_free(&a.delivery);
	a.key = "raw.nobody";
	bus_ask(b, &a, 1);
	assert_int_equal(a.rc, ERR_NOT_FOUND);
	struct bus_delivery d = {0};
	assert_int_equal(bus_get(b, STREAM_RAW, seq + 1000, &d, NULL), ERR_NOT_FOUND);
	bus_close(b);
}

static int ack_of(const char *answer, struct bus_ack *out)
{
	natsMsg *m = NULL;
	assert_int_equal(natsMsg_Create(&m, "inbox", NULL, answer, (int)strlen(answer)), NATS_OK);
	int rc = bus_puback_parse(m, out, NULL);
	natsMsg_Destroy(m);
	return rc;
}

/* nats-server 2.10 says "duplicate" of what no majority has taken, and may never take. */
static void test_an_ack_names_what_is_stored(void **state)
{
	(void)state;
	struct bus *b = server_open_bus("operator"); /* messages need the library */
	struct bus_ack ack = {0};
	assert_int_equal(ack_of("{\"stream\":\"RAW\", \"seq\":7,\"duplicate\": true}", &ack), 0);
	assert_int_equal(ack.seq, 7);
	assert_true(ack.duplicate);
	assert_int_equal(ack_of("{\"stream\":\"RAW\", \"seq\":0,\"duplicate\": true}", &ack),
			 ERR_UNAVAILABLE);
	assert_int_equal(ack_of("{\"stream\":\"RAW\"}", &ack), ERR_UNAVAILABLE);
	bus_close(b);
}

/* An id that the server knows and does not store goes out under another name, and is read by its
 * own. */
static void test_a_staged_id_is_renamed(void **state)
{
	(void)state;
	struct bus *b = server_open_bus("operator");
	struct bus_msg m = {.subject = "raw.renamed", .id = "renamed-1", .data = "x", .len = 1};
	uint64_t hash = bus_id_hash(m.id);
	bus_staged_answered(b, hash, ERR_UNAVAILABLE, true);
	assert_int_equal(bus_staged_tries(b, hash), 0);
	bus_staged_answered(b, hash, ERR_UNAVAILABLE, true);
	assert_int_equal(bus_staged_tries(b, hash),
			 0); /* not at once: the first may be under way */
	b->staged[(hash ^ hash >> 32) % BUS_STAGED_MAX].since_mono_ms -= BUS_STAGED_MS;
	bus_staged_answered(b, hash, ERR_UNAVAILABLE, true);
	assert_int_equal(bus_staged_tries(b, hash), 1);
	assert_int_equal(bus_publish(b, &m, 2000, NULL, NULL), 0);
	struct bus_ask a = {
		.kind = BUS_ASK_LAST, .bucket = STREAM_RAW, .key = "raw.renamed", .leader = true};
	bus_ask(b, &a, 1);
	assert_int_equal(a.rc, 0);
	assert_string_equal(a.delivery.id, "renamed-1");
	assert_string_equal(bus_header_get(a.delivery.private, HEADER_ID), "renamed-1~1");
	bus_delivery_free(&a.delivery);
	assert_int_equal(bus_staged_tries(b, hash), 0); /* it is stored: that is over */
	assert_int_equal(atomic_load(&b->staged_n), 0);
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
		cmocka_unit_test(test_packing_outlet_misses_no_ack),
		cmocka_unit_test(test_the_leader_is_asked),
		cmocka_unit_test(test_an_ack_names_what_is_stored),
		cmocka_unit_test(test_a_staged_id_is_renamed),
		cmocka_unit_test(test_pull_in_order),
		cmocka_unit_test(test_settling),
		cmocka_unit_test(test_reconnect),
	};
	return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
