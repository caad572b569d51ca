/* How often: exact windows, per container and over all. */
#include "executor/broker/rate.h"

#include <setjmp.h>
#include <cmocka.h>

static const struct broker_rates rates = {
	.requests_per_minute = 3, .container_per_hour = 2, .global_per_hour = 5};

static void test_requests(void **state)
{
	struct broker_rate *r = broker_rate_new(&rates);
	int64_t wait = -1;

	(void)state;
	for (int64_t at = 1; at <= 3; at++)
		assert_int_equal(broker_rate_request(r, at * 1000, &wait), 0);
	assert_int_equal(broker_rate_request(r, 10000, &wait), ERR_BUSY);
	assert_true(wait == 51000);
	/* A refusal does not count: the window moves on by itself. */
	assert_int_equal(broker_rate_request(r, 61000, &wait), 0);
	assert_int_equal(broker_rate_request(r, 61001, &wait), ERR_BUSY);
	assert_int_equal(broker_rate_request(r, 62000, &wait), 0);
	broker_rate_free(r);
}

static void test_acts(void **state)
{
	struct broker_rate *r = broker_rate_new(&rates);
	struct why why = {0};
	int64_t wait = 0;

	(void)state;
	assert_int_equal(broker_rate_act(r, "a", 1000, &wait, &why), 0);
	assert_int_equal(broker_rate_act(r, "a", 2000, &wait, &why), 0);
	assert_int_equal(broker_rate_act(r, "a", 3000, &wait, &why), ERR_BUSY);
	assert_int_equal(wait, 1000 + BROKER_HOUR_MS - 3000);
	assert_non_null(strstr(why.text, "rate.container_per_hour"));
	assert_int_equal(broker_rate_act(r, "b", 3000, &wait, &why), 0);
	assert_int_equal(broker_rate_act(r, "b", 3000, &wait, &why), 0);
	assert_int_equal(broker_rate_act(r, "c", 3000, &wait, &why), 0);
	why = (struct why){0};
	assert_int_equal(broker_rate_act(r, "c", 3000, &wait, &why), ERR_BUSY);
	assert_non_null(strstr(why.text, "rate.global_per_hour"));
	assert_int_equal(broker_rate_act(r, "a", 1000 + BROKER_HOUR_MS, &wait, &why), 0);
	broker_rate_free(r);
}

/* With more containers than it remembers, it forgets the one that was used longest ago. */
static void test_forgetting(void **state)
{
	const struct broker_rates many = {
		.requests_per_minute = 1, .container_per_hour = 1, .global_per_hour = 10000};
	struct broker_rate *r = broker_rate_new(&many);
	struct why why = {0};
	int64_t wait = 0;
	char id[16];

	(void)state;
	for (int i = 0; i <= BROKER_RATE_CONTAINERS; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		assert_int_equal(broker_rate_act(r, id, 1000 + i, &wait, &why), 0);
	}
	assert_int_equal(broker_rate_act(r, "c2", 5000, &wait, &why), ERR_BUSY);
	assert_int_equal(broker_rate_act(r, "c0", 5000, &wait, &why), 0);
	broker_rate_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_acts),
		cmocka_unit_test(test_forgetting),
	};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
