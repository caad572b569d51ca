/*
 * Key-value, claims, locks and lives against a real nats-server. Started by lease.sh.
 */
#include "common/clock.h"
#include "common/lease.h"
#include "common/mem.h"
#include "tests/toy/server.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <cmocka.h>

static void test_provision(void **state)
{
	(void)state;
	struct bus *b = server_open_bus("operator");
	struct why why = {0};
	assert_int_equal(bus_provision(b, NULL, NULL, &why), 0);
	bus_close(b);
}

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
	struct bus *b[2] = {server_open_bus("executor"), server_open_bus("executor")};
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
	struct bus *b = server_open_bus("executor");
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
	assert_int_equal(bus_kv_put(b, BUCKET_CLAIM, "no key", "x", 1, 0, NULL, NULL), ERR_INVALID);
	auto_free char *big = mem_alloc(70000);
	assert_int_equal(bus_kv_set(b, BUCKET_CLAIM, "k", big, 70000, NULL, NULL), ERR_TOO_LARGE);
	bus_close(b);
}

static void test_claims(void **state)
{
	(void)state;
	struct bus *b = server_open_bus("executor");
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
	struct bus *b = server_open_bus("executor");
	struct lock one = {0}, two = {0};
	struct why why = {0};
	bool alive = true;
	struct holder *x1 = holder_new("x1", "boot1"), *x2 = holder_new("x2", "boot2");
	assert_int_equal(lock_acquire(b, x1, "web", "x1 for step1", &one, &why), 0);
	assert_int_equal(lock_acquire(b, x2, "web", "x2", &two, &why), ERR_BUSY);
	assert_string_equal(why.text, "web is held by x1 for step1");
	assert_int_equal(lock_acquire(b, x1, "web", "again", &two, &why), ERR_BUSY);
	assert_int_equal(lock_renew(b, &one, &why), 0);
	struct lock stale = one;
	stale.revision--; /* as if the answer to the last renewal had been lost */
	assert_int_equal(lock_renew(b, &stale, &why), 0);
	lock_release_held(b, x1, &stale);
	assert_int_equal(lock_acquire(b, x2, "web", "x2", &two, &why), 0);
	assert_int_equal(lock_renew(b, &one, &why), ERR_CONFLICT);
	holder_free(x1);
	lock_release_held(b, x2, &two);
	holder_free(x2);
	assert_int_equal(live_beat(b, "boot1", "x1", &why), 0);
	assert_int_equal(live_is_alive(b, "boot1", &alive, &why), 0);
	assert_true(alive);
	/* We have only just connected: absence proves nothing yet. */
	assert_int_equal(live_is_alive(b, "boot2", &alive, &why), ERR_BUSY);
	bus_close(b);
}

/* What an earlier life of an owner held, or a call whose answer was lost, is taken over; nothing
 * else is. */
static void test_own_locks_are_taken_over(void **state)
{
	(void)state;
	struct bus *b = server_open_bus("executor");
	struct lock old = {0}, other = {0}, now = {0}, again = {0};
	struct why why = {0};
	struct holder *dead = holder_new("x1", "boot1"), *born = holder_new("x1", "boot2");
	struct holder *stranger = holder_new("x2", "boot3");
	assert_int_equal(lock_acquire(b, dead, "mine", "old", &old, &why), 0);
	assert_int_equal(lock_acquire(b, stranger, "theirs", "other", &other, &why), 0);
	assert_int_equal(lock_acquire(b, stranger, "mine", "no", &now, &why), ERR_BUSY);
	assert_int_equal(lock_acquire(b, born, "theirs", "no", &now, &why), ERR_BUSY);
	assert_int_equal(lock_acquire(b, born, "mine", "new", &now, &why), 0);
	assert_int_equal(lock_acquire(b, born, "mine", "new", &again, &why), ERR_BUSY);
	assert_int_equal(lock_renew(b, &old, &why), ERR_CONFLICT);
	assert_int_equal(lock_renew(b, &now, &why), 0);
	struct lock kept = now;
	kept.revision = 1; /* the release does not reach the bus */
	lock_release_held(b, born, &kept);
	assert_int_equal(lock_acquire(b, stranger, "mine", "no", &again, &why), ERR_BUSY);
	assert_int_equal(lock_acquire(b, born, "mine", "new", &again, &why), 0);
	assert_int_equal(
		bus_kv_set(b, BUCKET_LOCK, "odd", "plan 7 by an older version", 26, NULL, NULL), 0);
	assert_int_equal(lock_acquire(b, born, "odd", "new", &now, &why), ERR_BUSY);
	assert_int_equal(
		bus_kv_set(b, BUCKET_LOCK, "away", "1 x1 boot1 elsewhere text", 25, NULL, NULL), 0);
	why = (struct why){0};
	assert_int_equal(lock_acquire(b, born, "away", "new", &now, &why), ERR_BUSY);
	assert_string_equal(why.text, "away is held by text");
	holder_free(dead);
	holder_free(born);
	holder_free(stranger);
	bus_close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_provision),
		cmocka_unit_test(test_kv),
		cmocka_unit_test(test_kv_has_one_winner),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_locks_and_lives),
		cmocka_unit_test(test_own_locks_are_taken_over),
	};
	return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
