#include "tests/unit/monitor/kit.h"
#include "common/clock.h"

#define WEB "alertname=Down service=web"
#define WEB1 "alertname=Down instance=1 service=web"
#define WEB2 "alertname=Down instance=2 service=web"
#define SLOW "alertname=Slow service=web"

static const char inhibit_yaml[] = "group_wait: 0s\n"
				   "inhibit_rules:\n"
				   "  - source_matchers: ['alertname=\"Down\"']\n"
				   "    target_matchers: ['alertname=~\"Slow|Errors\"']\n"
				   "    equal: [service]\n";

static void test_silenced_from_the_start(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	kit_silence(k, "s1", "service", "web", START_MS, START_MS + HOUR);
	fires(k, WEB);
	fires(k, "alertname=Down service=db");
	assert_int_equal(k->n, 2);
	assert_int_equal(k->out[0]->state, SUPPRESSED);
	assert_string_equal(k->out[0]->suppressed_by, "s1");
	assert_int_equal(k->out[1]->state, OPEN);
	kit_wait(k, HOUR);
	assert_int_equal(k->n, 3);
	assert_int_equal(kit_last(k)->state, OPEN);
	assert_string_equal(kit_last(k)->id, k->out[0]->id);
	kit_free(k);
}

static void test_silence_of_an_open_incident(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	fires(k, WEB);
	kit_silence(k, "s1", "alertname", "Do.*", START_MS + MINUTE, START_MS + HOUR);
	assert_int_equal(k->n, 1);
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 2);
	assert_int_equal(kit_last(k)->state, SUPPRESSED);
	kit_silence(k, "s1", NULL, NULL, 0, 0);
	assert_int_equal(k->n, 3);
	assert_int_equal(kit_last(k)->state, OPEN);
	assert_int_equal(kit_last(k)->revision, 3);
	kit_free(k);
}

/* What mutes at a moment is known before anything is told at that moment. */
static void test_silence_that_begins_or_ends_when_the_group_opens(void **state)
{
	struct kit *k = kit_new("group_wait: 2s\n");

	(void)state;
	kit_silence(k, "s1", "service", "web", START_MS, START_MS + 2000);
	kit_silence(k, "s2", "service", "db", START_MS + 2000, START_MS + HOUR);
	fires(k, WEB);
	fires(k, "alertname=Down service=db");
	kit_wait(k, 2000);
	assert_int_equal(k->n, 2);
	for (size_t i = 0; i < k->n; i++) {
		bool db =
			str_eq(label_get(k->out[i]->labels, k->out[i]->n_labels, "service"), "db");

		assert_int_equal(k->out[i]->state, db ? SUPPRESSED : OPEN);
	}
	kit_free(k);
}

static void test_only_when_all_its_alerts_are_muted(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\ngroup_interval: 1h\n");

	(void)state;
	kit_silence(k, "s1", "instance", "1", START_MS, START_MS + HOUR);
	fires(k, WEB1);
	assert_int_equal(kit_last(k)->state, SUPPRESSED);
	fires(k, WEB2);
	assert_int_equal(kit_last(k)->state, OPEN);
	resolves(k, WEB2);
	assert_int_equal(kit_last(k)->state, SUPPRESSED);
	resolves(k, WEB1);
	assert_int_equal(kit_last(k)->state, RESOLVED);
	kit_free(k);
}

static void test_silence_that_is_over_or_changed(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n");

	(void)state;
	kit_silence(k, "s1", "service", "web", START_MS - HOUR, START_MS - 1);
	fires(k, WEB);
	assert_int_equal(kit_last(k)->state, OPEN);
	kit_silence(k, "s1", "service", "web", START_MS, START_MS + HOUR);
	assert_int_equal(kit_last(k)->state, SUPPRESSED);
	kit_silence(k, "s1", "service", "other", START_MS, START_MS + HOUR);
	assert_int_equal(kit_last(k)->state, OPEN);
	kit_silence(k, "s1", "service", "web", START_MS, START_MS + 1);
	kit_wait(k, 1);
	assert_int_equal(kit_last(k)->state, OPEN);
	kit_free(k);
}

static void test_inhibition(void **state)
{
	struct kit *k = kit_new(inhibit_yaml);

	(void)state;
	fires(k, SLOW);
	assert_int_equal(kit_last(k)->state, OPEN);
	fires(k, "alertname=Down service=db"); /* another service */
	assert_int_equal(k->n, 2);
	fires(k, WEB);
	assert_int_equal(k->n, 4);
	assert_int_equal(k->out[2]->state, SUPPRESSED);
	assert_int_equal(k->out[3]->state, OPEN);
	assert_string_equal(k->out[2]->suppressed_by, k->out[3]->id);
	resolves(k, WEB);
	assert_int_equal(k->n, 6);
	assert_int_equal(k->out[4]->state, OPEN); /* Slow again */
	assert_int_equal(k->out[5]->state, RESOLVED);
	kit_free(k);
}

static void test_inhibition_survives_reopening_and_new_rules(void **state)
{
	struct kit *k = kit_new(inhibit_yaml);
	struct inhibit_rules saved;

	(void)state;
	fires(k, WEB);
	fold_close(k->f);
	kit_open(k);
	fires(k, SLOW);
	assert_int_equal(k->n, 2);
	assert_int_equal(kit_last(k)->state, SUPPRESSED);
	saved = k->config.rules.inhibit;
	k->config.rules.inhibit = (struct inhibit_rules){0};
	kit_tick(k, 1);
	assert_int_equal(k->n, 2); /* a tick is no message to the fold */
	fires(k, WEB);
	assert_int_equal(kit_last(k)->state, OPEN);
	k->config.rules.inhibit = saved;
	fires(k, WEB);
	assert_int_equal(kit_last(k)->state, SUPPRESSED);
	kit_free(k);
}

/* What is on both sides of a rule does not mute its like, or itself. */
static void test_inhibition_of_both_sides(void **state)
{
	struct kit *k = kit_new("group_wait: 0s\n"
				"inhibit_rules:\n"
				"  - source_matchers: ['alertname=~\".+\"']\n"
				"    target_matchers: ['alertname=~\".+\"']\n"
				"    equal: [service]\n");

	(void)state;
	fires(k, WEB);
	fires(k, SLOW);
	assert_int_equal(k->out[0]->state, OPEN);
	assert_int_equal(k->out[1]->state, OPEN);
	assert_int_equal(k->n, 2);
	kit_free(k);
}

static void test_mute_times(void **state)
{
	/* START_MS is 14:13:20 UTC, 16:13:20 at +02:00, on a Monday. */
	struct kit *k = kit_new("group_wait: 0s\n"
				"mute_time_intervals:\n"
				"  - name: backup\n"
				"    matchers: ['service=\"web\"']\n"
				"    time_intervals:\n"
				"      - times: [{start_time: '16:15', end_time: '16:30'}]\n"
				"        weekdays: ['monday:friday']\n"
				"        location: '+02:00'\n");

	(void)state;
	fires(k, WEB);
	fires(k, "alertname=Down service=db");
	assert_int_equal(k->n, 2);
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 2);
	kit_wait(k, MINUTE);
	assert_int_equal(k->n, 3);
	assert_int_equal(kit_last(k)->state, SUPPRESSED);
	assert_string_equal(kit_last(k)->suppressed_by, "mute");
	kit_wait(k, 15 * MINUTE);
	assert_int_equal(k->n, 4);
	assert_int_equal(kit_last(k)->state, OPEN);
	resolves(k, WEB);
	resolves(k, "alertname=Down service=db");
	kit_wait(k, 48 * HOUR);
	assert_true(k->seq < 40); /* no ticks while nothing fires */
	kit_free(k);
}

static void test_wrong_rules_are_named(void **state)
{
	static const struct {
		const char *yaml;
		const char *says;
	} cases[] = {
		{"[{name: x}]", "time_intervals"},
		{"[{name: x, time_intervals: [{weekdays: [funday]}]}]", "funday"},
		{"[{name: x, matchers: [a], time_intervals: [{}]}]", "a"},
		{"[{name: x, hours: [1]}]", "hours"},
		{"nonsense", "list"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct yaml_doc doc = {0};
		struct mutes mutes = {0};
		struct why why = {0};

		assert_int_equal(
			yaml_parse_text("test", cases[i].yaml, strlen(cases[i].yaml), &doc, &why),
			0);
		assert_int_equal(mutes_parse(&mutes, doc.root, &why), ERR_CONFIG);
		if (!strstr(why.text, cases[i].says))
			fail_msg("case %zu: %s", i, why.text);
		mutes_release(&mutes);
		yaml_release(&doc);
	}
}

static void test_inhibition_needs_the_partition_label(void **state)
{
	static const char yaml[] = "[{source_matchers: ['a=\"1\"'], target_matchers: ['a=\"2\"'], "
				   "equal: [cluster]}]";
	char *by[] = {(char *)(uintptr_t) "service"};
	struct names partition_by = {by, 1};
	struct yaml_doc doc = {0};
	struct inhibit_rules rules = {0};
	struct why why = {0};

	(void)state;
	assert_int_equal(yaml_parse_text("test", yaml, strlen(yaml), &doc, &why), 0);
	assert_int_equal(inhibit_parse(&rules, doc.root, &why), 0);
	assert_int_equal(inhibit_check(&rules, &partition_by, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "\"service\""));
	inhibit_release(&rules);
	yaml_release(&doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silenced_from_the_start),
		cmocka_unit_test(test_silence_of_an_open_incident),
		cmocka_unit_test(test_silence_that_begins_or_ends_when_the_group_opens),
		cmocka_unit_test(test_only_when_all_its_alerts_are_muted),
		cmocka_unit_test(test_silence_that_is_over_or_changed),
		cmocka_unit_test(test_inhibition),
		cmocka_unit_test(test_inhibition_survives_reopening_and_new_rules),
		cmocka_unit_test(test_inhibition_of_both_sides),
		cmocka_unit_test(test_mute_times),
		cmocka_unit_test(test_wrong_rules_are_named),
		cmocka_unit_test(test_inhibition_needs_the_partition_label),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
