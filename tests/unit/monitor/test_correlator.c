#include "tests/unit/monitor/kit.h"

#define WEB "alertname=Down service=web"
#define WEB1 "alertname=Down instance=1 service=web"
#define WEB2 "alertname=Down instance=2 service=web"

static void test_opens_after_group_wait(void **state)
{
	struct kit *k = kit_new(NULL);

	(void)state;
	fires(k, WEB1, .severity = HEALBUS__SEVERITY__SEVERITY_WARNING);
	assert_int_equal(k->n, 0);
	kit_wait(k, 999);
	assert_int_equal(k->n, 0);
	fires(k, WEB2, .severity = HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	kit_wait(k, 1);
	assert_int_equal(k->n, 1);
	assert_int_equal(k->out[0]->state, OPEN);
	assert_int_equal(k->out[0]->revision, 1);
	assert_int_equal(k->out[0]->firing, 2);
	assert_int_equal(k->out[0]->severity, HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	assert_int_equal(k->out[0]->n_labels, 2);
	assert_int_equal(k->out[0]->n_events, 2);
	assert_true(k->out[0]->trusted);
	assert_string_equal(k->out[0]->title, "Down on web (2 alerts)");
	assert_string_equal(k->out[0]->set_by, "monitor");
	kit_free(k);
}

static void test_without_wait_opens_at_once(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	fires(k, WEB);
	assert_int_equal(k->n, 1);
	assert_int_equal(kit_last(k)->state, OPEN);
	kit_free(k);
}

static void test_repeats_open_nothing(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	for (int i = 0; i < 50; i++) {
		fires(k, WEB);
		kit_wait(k, 10 * SECOND);
	}
	assert_int_equal(k->n, 1);
	resolves(k, WEB);
	assert_int_equal(k->n, 2);
	assert_int_equal(kit_last(k)->state, RESOLVED);
	assert_int_equal(kit_last(k)->observations, 10); /* one a minute */
	assert_int_equal(kit_last(k)->fingerprints, 1);
	assert_int_equal(kit_last(k)->firing, 0);
	assert_true(kit_last(k)->resolved_at_ms > START_MS);
	assert_string_equal(kit_last(k)->id, k->out[0]->id);
	kit_free(k);
}

static void test_resolved_within_wait_is_not_told(void **state)
{
	struct kit *k = kit_new(NULL);

	(void)state;
	fires(k, WEB);
	resolves(k, WEB);
	kit_wait(k, HOUR);
	assert_int_equal(k->n, 0);
	kit_free(k);
}

/* (fingerprint, startsAt) is an episode; what is late never opens. */
static void test_late_messages(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	resolves(k, WEB); /* before its firing */
	fires(k, WEB);
	assert_int_equal(k->n, 0);
	fires(k, WEB, .starts_ms = START_MS + 5);
	assert_int_equal(k->n, 1);
	resolves(k, WEB); /* of the older episode */
	resolves(k, WEB, .ends_ms = START_MS + 4);
	assert_int_equal(k->n, 1);
	resolves(k, WEB, .starts_ms = START_MS + 5);
	assert_int_equal(kit_last(k)->state, RESOLVED);
	fires(k, WEB, .starts_ms = START_MS + 5); /* repeat of an episode that is over */
	assert_int_equal(k->n, 2);
	resolves(k, WEB, .starts_ms = START_MS + 9); /* of an episode not seen yet */
	fires(k, WEB, .starts_ms = START_MS + 9);
	assert_int_equal(k->n, 2);
	fires(k, WEB, .starts_ms = START_MS + 10);
	assert_int_equal(k->n, 3);
	assert_int_equal(kit_last(k)->state, OPEN);
	resolves(k, WEB, .ends_ms = START_MS + 20); /* its beginning was moved back */
	assert_int_equal(kit_last(k)->state, RESOLVED);
	kit_free(k);
}

static void test_recurrence_is_a_new_incident_with_the_same_key(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	fires(k, WEB);
	resolves(k, WEB);
	kit_wait(k, MINUTE);
	fires(k, WEB, .starts_ms = k->now_ms);
	assert_int_equal(k->n, 3);
	assert_string_equal(k->out[2]->key, k->out[0]->key);
	assert_string_not_equal(k->out[2]->id, k->out[0]->id);
	assert_int_equal(k->out[2]->revision, 1);
	kit_free(k);
}

static void test_cooldown_delays_the_return(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\ncooldown: 5m\n");

	(void)state;
	fires(k, WEB);
	resolves(k, WEB);
	kit_wait(k, MINUTE);
	fires(k, WEB, .starts_ms = k->now_ms);
	kit_wait(k, 4 * MINUTE - 1);
	assert_int_equal(k->n, 2);
	kit_wait(k, 1);
	assert_int_equal(k->n, 3);
	assert_int_equal(kit_last(k)->state, OPEN);
	kit_free(k);
}

static void test_changes_are_told_once_an_interval(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\ngroup_interval: 30s\n");

	(void)state;
	fires(k, WEB1);
	kit_wait(k, SECOND);
	fires(k, WEB2);
	fires(k, "alertname=Down instance=3 service=web");
	assert_int_equal(k->n, 1);
	kit_wait(k, 29 * SECOND);
	assert_int_equal(k->n, 2);
	assert_int_equal(kit_last(k)->firing, 3);
	assert_int_equal(kit_last(k)->revision, 2);
	fires(k, "alertname=Down instance=4 service=web",
	      .severity = HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	assert_int_equal(k->n, 3); /* a higher severity at once */
	kit_wait(k, HOUR);
	assert_int_equal(k->n, 3);
	fires(k, "alertname=Down instance=4 service=web",
	      .severity = HEALBUS__SEVERITY__SEVERITY_INFO);
	assert_int_equal(k->n, 4);
	assert_int_equal(kit_last(k)->severity, HEALBUS__SEVERITY__SEVERITY_INFO);
	kit_free(k);
}

static void test_groups_by_labels(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	fires(k, WEB1);
	fires(k, "alertname=Down instance=1 service=db");
	fires(k, "alertname=Slow instance=1 service=web");
	assert_int_equal(k->n, 3);
	assert_string_not_equal(k->out[0]->key, k->out[1]->key);
	assert_string_not_equal(k->out[0]->key, k->out[2]->key);
	kit_free(k);
}

static void test_untrusted_alerts(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	fires(k, WEB1);
	assert_true(kit_last(k)->trusted);
	resolves(k, WEB1, .untrusted = true); /* nobody we know says so */
	assert_int_equal(k->n, 1);
	fires(k, WEB1, .untrusted = true); /* adds nothing */
	assert_int_equal(k->n, 1);
	fires(k, WEB2, .untrusted = true);
	assert_int_equal(k->n, 2); /* told at once */
	assert_false(kit_last(k)->trusted);
	kit_free(k);
}

static void test_resolve_timeout(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\nresolve_timeout: 10m\n"
				"sources:\n  slow: {format: event, resolve_timeout: 1h}\n");

	(void)state;
	fires(k, WEB, .source = "datadog");
	kit_wait(k, 6 * MINUTE);
	fires(k, WEB, .source = "datadog");
	kit_wait(k, 9 * MINUTE);
	assert_int_equal(k->n, 1);
	kit_wait(k, MINUTE);
	assert_int_equal(kit_last(k)->state, RESOLVED);
	assert_string_equal(kit_last(k)->reason, "no repeat within resolve_timeout");
	fires(k, "alertname=Down service=db", .source = "slow");
	fires(k, "alertname=Down service=am");
	kit_wait(k, HOUR);
	assert_int_equal(k->n, 5);
	assert_string_equal(label_get(kit_last(k)->labels, 2, "service"), "db");
	kit_wait(k, 71 * HOUR); /* and nothing fires for longer than we remember */
	assert_int_equal(k->n, 6);
	kit_free(k);
}

static void test_flapping(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\nflap_threshold: 3\nflap_quiet: 5m\n");
	int64_t starts;

	(void)state;
	for (int i = 0; i < 10; i++) {
		starts = k->now_ms;
		fires(k, WEB, .starts_ms = starts);
		kit_wait(k, 5 * SECOND);
		resolves(k, WEB, .starts_ms = starts);
		kit_wait(k, 5 * SECOND);
	}
	assert_int_equal(k->n, 7); /* three times open and resolved, then once flapping */
	assert_int_equal(kit_last(k)->state, SUPPRESSED);
	assert_string_equal(kit_last(k)->suppressed_by, "flapping");
	kit_wait(k, 5 * MINUTE);
	assert_int_equal(k->n, 8);
	assert_int_equal(kit_last(k)->state, RESOLVED);
	fires(k, WEB, .starts_ms = k->now_ms);
	assert_int_equal(kit_last(k)->state, OPEN); /* and is told again */
	kit_free(k);
}

static void test_flapping_ends_firing(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\nflap_threshold: 1\nflap_quiet: 5m\n");

	(void)state;
	fires(k, WEB);
	resolves(k, WEB);
	fires(k, WEB, .starts_ms = START_MS + 1);
	assert_int_equal(kit_last(k)->state, SUPPRESSED);
	kit_wait(k, 2 * MINUTE);
	fires(k, WEB1, .starts_ms = k->now_ms);
	kit_wait(k, 5 * MINUTE - 1);
	assert_int_equal(kit_last(k)->state, SUPPRESSED);
	kit_wait(k, 1);
	assert_int_equal(kit_last(k)->state, OPEN);
	assert_int_equal(kit_last(k)->firing, 2);
	kit_free(k);
}

/* Ten thousand alerts of one group: one incident, and messages that do not grow. */
static void test_storm_of_one_group(void **state)
{
	struct kit *k = kit_new(NULL);
	char labels[80];

	(void)state;
	for (int i = 0; i < 10000; i++) {
		snprintf(labels, sizeof(labels), "alertname=Down instance=%05d service=web", i);
		fires(k, labels, .annotation_bytes = i < 32 ? 65536 : 10);
		k->arena.limit_bytes = 1 << 30;
	}
	kit_wait(k, MINUTE);
	assert_true(k->n >= 1 && k->n <= 3);
	assert_int_equal(kit_last(k)->firing, 10000);
	assert_int_equal(kit_last(k)->fingerprints, 10000);
	assert_int_equal(kit_last(k)->n_events, 16);
	for (size_t i = 0; i < k->n; i++)
		assert_true(k->out_len[i] < WIRE_MESSAGE_MAX_BYTES);
	for (int i = 0; i < 10000; i++) {
		snprintf(labels, sizeof(labels), "alertname=Down instance=%05d service=web", i);
		resolves(k, labels);
	}
	assert_int_equal(kit_last(k)->state, RESOLVED);
	kit_free(k);
}

/* Many groups at once fold into one incident per alert name. */
static void test_storm_of_many_groups(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\nstorm_threshold: 20\n");
	char labels[80];
	struct store_txn *txn;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(labels, sizeof(labels), "alertname=Down service=s%04d", i);
		fires(k, labels);
	}
	kit_wait(k, MINUTE);
	assert_true(k->n <= 24);
	assert_int_equal(kit_last(k)->firing, 980);
	assert_int_equal(kit_last(k)->n_labels, 1);
	for (int i = 0; i < 1000; i++) {
		snprintf(labels, sizeof(labels), "alertname=Down service=s%04d", i);
		resolves(k, labels);
	}
	assert_int_equal(kit_last(k)->state, RESOLVED);
	txn = store_begin_read(fold_store(k->f));
	assert_int_equal(store_count(txn, &table_agreed), 0);
	store_end(txn);
	kit_free(k);
}

static void test_representatives_prefer_what_fires(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\ngroup_interval: 0s\n");
	char labels[80];

	(void)state;
	for (int i = 0; i < 16; i++) {
		snprintf(labels, sizeof(labels), "alertname=Down instance=%02d service=web", i);
		fires(k, labels);
	}
	resolves(k, "alertname=Down instance=03 service=web");
	fires(k, "alertname=Down instance=99 service=web");
	assert_int_equal(kit_last(k)->n_events, 16);
	for (size_t i = 0; i < 16; i++) {
		const Healbus__Event *e = kit_last(k)->events[i];

		assert_int_equal(e->status, FIRING);
		assert_string_not_equal(label_get(e->labels, e->n_labels, "instance"), "03");
	}
	/* Its slot is another's now. */
	fires(k, "alertname=Down instance=03 service=web", .starts_ms = START_MS + 1);
	assert_int_equal(kit_last(k)->n_events, 16);
	assert_int_equal(kit_last(k)->firing, 17);
	assert_int_equal(kit_last(k)->fingerprints, 17);
	kit_free(k);
}

static void test_forgets_after_retention(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\nretention: 1h\nflap_threshold: 0\n");
	char labels[80];
	struct store_txn *txn;

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(labels, sizeof(labels), "alertname=Down instance=%02d service=web", i);
		fires(k, labels);
		resolves(k, labels);
	}
	resolves(k, "alertname=Never service=web");
	kit_wait(k, HOUR);
	txn = store_begin_read(fold_store(k->f));
	for (size_t i = 0; i < monitor_tables_n; i++) {
		if (monitor_tables[i] != &table_meta)
			assert_int_equal(store_count(txn, monitor_tables[i]), 0);
	}
	store_end(txn);
	kit_free(k);
}

/* Huge labels: the incident keeps what fits. */
static void test_large_labels(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");
	auto_buf labels = {0};

	(void)state;
	buf_add_str(&labels, "alertname=Down");
	for (int i = 10; i < 60; i++) {
		buf_printf(&labels, " l%d=", i);
		for (int c = 0; c < 4000; c++)
			buf_add_char(&labels, 'y');
	}
	buf_add_str(&labels, " service=web");
	fires(k, buf_str(&labels));
	assert_int_equal(kit_last(k)->state, OPEN);
	assert_true(k->out_len[0] < 64 << 10);
	assert_string_equal(label_get(kit_last(k)->labels, kit_last(k)->n_labels, "service"),
			    "web");
	kit_free(k);
}

/* The state lives in the store: closing and opening again changes nothing. */
static void test_survives_reopening(void **state)
{
	struct kit *k = kit_new(NULL);
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];

	(void)state;
	fires(k, WEB);
	assert_int_equal(fold_hash(k->f, before), 0);
	fold_close(k->f);
	kit_open(k);
	assert_int_equal(fold_hash(k->f, after), 0);
	assert_memory_equal(before, after, sizeof(before));
	kit_wait(k, SECOND);
	assert_int_equal(k->n, 1);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens_after_group_wait),
		cmocka_unit_test(test_without_wait_opens_at_once),
		cmocka_unit_test(test_repeats_open_nothing),
		cmocka_unit_test(test_resolved_within_wait_is_not_told),
		cmocka_unit_test(test_late_messages),
		cmocka_unit_test(test_recurrence_is_a_new_incident_with_the_same_key),
		cmocka_unit_test(test_cooldown_delays_the_return),
		cmocka_unit_test(test_changes_are_told_once_an_interval),
		cmocka_unit_test(test_groups_by_labels),
		cmocka_unit_test(test_untrusted_alerts),
		cmocka_unit_test(test_resolve_timeout),
		cmocka_unit_test(test_flapping),
		cmocka_unit_test(test_flapping_ends_firing),
		cmocka_unit_test(test_storm_of_one_group),
		cmocka_unit_test(test_storm_of_many_groups),
		cmocka_unit_test(test_representatives_prefer_what_fires),
		cmocka_unit_test(test_forgets_after_retention),
		cmocka_unit_test(test_large_labels),
		cmocka_unit_test(test_survives_reopening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
