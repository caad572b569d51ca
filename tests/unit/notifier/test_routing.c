#include "tests/unit/notifier/bench.h"
#include "notifier/throttle.h"

static const char tree[] =
	"receivers: [{name: all}, {name: db}, {name: night}, {name: log}]\n"
	"time_intervals:\n"
	"  - {name: weekend, time_intervals: [{weekdays: ['saturday', 'sunday']}]}\n"
	"route:\n"
	"  receiver: all\n"
	"  group_by: [service, zone]\n"
	"  group_wait: 7s\n"
	"  severity: warning\n"
	"  routes:\n"
	"    - {matchers: ['env=\"test\"'], receiver: log, continue: true}\n"
	"    - matchers: ['service=~\"db|cache\"']\n"
	"      receiver: db\n"
	"      group_by: ['...']\n"
	"      routes:\n"
	"        - {matchers: ['severity=\"critical\"'], receiver: night,\n"
	"           mute_time_intervals: [weekend], repeat_interval: 30m}\n"
	"    - {matchers: ['service=\"db\"'], receiver: log}\n";

struct pair {
	const char *name, *value;
};

static const char *pairs_lookup(const void *labels, const char *name)
{
	for (const struct pair *p = labels; p->name; p++)
		if (str_eq(p->name, name))
			return p->value;
	return NULL;
}

static void test_tree(void **state UNUSED)
{
	static const struct {
		struct pair labels[4];
		const char *receivers[3];
	} cases[] = {
		{{{"service", "web"}}, {"all"}},
		{{{"service", "db"}}, {"db"}},
		{{{"service", "db"}, {"severity", "critical"}}, {"night"}},
		{{{"service", "db"}, {"env", "test"}}, {"log", "db"}},
		{{{"env", "test"}}, {"log"}},
		{{{"service", "dbx"}}, {"all"}}, /* anchored */
		{{{NULL, NULL}}, {"all"}},
	};
	struct bench b = {0};
	bench_rules(&b, tree);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct route *out[ROUTES_MATCHED_MAX];
		size_t n = route_match(&b.config.rules.route, pairs_lookup, cases[i].labels, out);
		for (size_t k = 0; k < n; k++)
			assert_string_equal(out[k]->receiver, cases[i].receivers[k]);
		assert_true(n < 3 && !cases[i].receivers[n]);
	}
	const struct route *db = &b.config.rules.route.children[1];
	const struct route *night = &db->children[0];
	assert_int_equal(night->group_wait_ms, 7000);
	assert_int_equal(night->severity, 2);
	assert_int_equal(night->repeat_interval_ms, 30 * MINUTE);
	assert_int_equal(db->repeat_interval_ms, 240 * MINUTE);
	assert_true(night->group_by_incident);
	assert_ptr_equal(route_find(&b.config.rules.route, night->id), night);
	assert_null(route_find(&b.config.rules.route, "gone"));
	b.fold = NULL;
	route_release(&b.config.rules.route);
	receivers_release(&b.config.rules.receivers);
	intervals_release(&b.config.rules.intervals);
}

static void test_groups(void **state UNUSED)
{
	static const struct pair a1[] = {{"service", "a"}, {"x", "1"}, {NULL, NULL}};
	static const struct pair a2[] = {{"service", "a"}, {"x", "2"}, {NULL, NULL}};
	static const struct pair moved[] = {{"zone", "a"}, {NULL, NULL}};
	char first[ID_BYTES], second[ID_BYTES];
	struct bench b = {0};
	bench_rules(&b, tree);
	const struct route *root = &b.config.rules.route, *db = &root->children[1];
	route_group(root, pairs_lookup, a1, "i1", first);
	route_group(root, pairs_lookup, a2, "i2", second);
	assert_string_equal(first, second);
	route_group(root, pairs_lookup, moved, "i1", second);
	assert_string_not_equal(first, second);
	route_group(db, pairs_lookup, a1, "i1", first);
	route_group(db, pairs_lookup, a1, "i2", second);
	assert_string_not_equal(first, second);
	route_release(&b.config.rules.route);
	receivers_release(&b.config.rules.receivers);
	intervals_release(&b.config.rules.intervals);
}

static int refusal(const char *yaml, struct why *why)
{
	struct yaml_doc doc = {0};
	struct notifier_config c = {0};
	assert_int_equal(yaml_parse_text("test", yaml, strlen(yaml), &doc, why), 0);
	int rc = channels_parse(&c.channels, yaml_get(doc.root, "channels"), why);
	if (!rc)
		rc = receivers_parse(&c.rules.receivers, yaml_get(doc.root, "receivers"), why);
	if (!rc)
		rc = intervals_parse(&c.rules.intervals, yaml_get(doc.root, "time_intervals"), why);
	if (!rc)
		rc = route_parse(&c.rules.route, yaml_get(doc.root, "route"), why);
	if (!rc)
		rc = notifier_prepare(&c, why);
	channels_release(&c.channels);
	receivers_release(&c.rules.receivers);
	intervals_release(&c.rules.intervals);
	route_release(&c.rules.route);
	yaml_release(&doc);
	return rc;
}

static void test_refused(void **state UNUSED)
{
	static const struct {
		const char *yaml, *error;
	} cases[] = {
		{"route: {receiver: nobody}\nreceivers: [{name: ops}]",
		 "\"nobody\" is not defined"},
		{"receivers: [{name: ops}]", "the root names no receiver"},
		{"route: {receiver: ops, matchers: ['a=\"b\"']}\nreceivers: [{name: ops}]",
		 "test:1: route: the root must match everything"},
#define FOUR "{continue: true}, {continue: true}, {continue: true}, {continue: true}"
		{"route: {receiver: ops, routes: [" FOUR ", " FOUR ", " FOUR ", " FOUR
		 ", {}]}\nreceivers: [{name: ops}]",
		 "test:1: route: one incident could take more than 16"},
#undef FOUR
		{"route: {receiver: ops, mute_time_intervals: [x]}\nreceivers: [{name: ops}]",
		 "interval \"x\" is not defined"},
		{"receivers: [{name: 'a b'}]", "test:1: receivers: name"},
		{"receivers: [{name: ops, channels: [x]}]\nroute: {receiver: ops}",
		 "ops: channel \"x\" is not defined"},
		{"receivers: [{name: ops, throttle: {limit: -1}}]", "limit"},
		{"route: {severity: loud}", "severity: \"loud\""},
		{"route: {grup_by: [x]}", "grup_by"},
		{"channels: [{name: a, type: pigeon}]", "type must be"},
		{"channels: [{name: a, type: slack}]", "either url or url_file"},
		{"channels: [{name: a, type: slack, url: 'http://x', url_file: y}]", "either url"},
		{"channels: [{name: a, type: slack, token_file: t}]", "id of a Slack channel"},
		{"channels: [{name: a, type: slack, token_file: t, channel: C1, url: 'http://x'}]",
		 "either token_file or a url"},
		{"channels: [{name: a, type: slack, url: 'http://x', signing_secret_file: s}]",
		 "signing_secret_file needs token_file"},
		{"channels: [{name: a, type: discord, token_file: t, channel: ops}]",
		 "id of a Discord channel"},
		{"channels: [{name: a, type: discord, token_file: t, channel: '1', public_key: "
		 "ab}]",
		 "public_key: 64 hex digits"},
		{"channels: [{name: a, type: discord, url: 'http://x', public_key: ab}]",
		 "public_key needs token_file"},
		{"channels: [{name: a, type: discord, url: 'http://x', color: red}]", "color"},
		{"channels: [{name: a, type: email, url: 'smtp://x', from: 'a@b', to: ['x y']}]",
		 "plain addresses"},
		{"channels: [{name: a, type: webhook, url: 'http://x', body: '{'}]", "body: "},
		{"channels: [{name: a, type: terminal}]", "needs a path"},
		{"time_intervals: [{name: a, time_intervals: [{times: [{start_time: '10:00', "
		 "end_time: '09:00'}]}]}]",
		 "times"},
		{"time_intervals: [{name: a, time_intervals: [{weekdays: ['funday']}]}]", "funday"},
		{"time_intervals: [{name: a, time_intervals: [{location: Mars}]}]", "Mars"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct why why = {0};
		assert_int_equal(refusal(cases[i].yaml, &why), ERR_CONFIG);
		if (!strstr(why.text, cases[i].error))
			fail_msg("case %zu: \"%s\" lacks \"%s\"", i, why.text, cases[i].error);
	}
}

static void test_fallback_order(void **state UNUSED)
{
	char *list[] = {(char *)"b", (char *)"c"};
	struct receiver r = {.fallback = {list, 2}}, none = {0};
	assert_string_equal(receiver_fallback(&r, "a"), "b");
	assert_string_equal(receiver_fallback(&r, "b"), "c");
	assert_null(receiver_fallback(&r, "c"));
	assert_null(receiver_fallback(&none, "a"));
}

/* Against a naive model: never more than the limit in a window, and never less than it could. */
static void test_throttle(void **state UNUSED)
{
	struct throttle t = {0};
	assert_true(throttle_allow(&t, 0, 1000, 5));
	size_t sent = 0;
	for (int64_t now = 1000; now < 11000; now += 10)
		sent += throttle_allow(&t, 3, 1000, now);
	assert_int_equal(sent, 30);
	t = (struct throttle){0};
	for (int i = 0; i < 3; i++)
		assert_true(throttle_allow(&t, 3, 1000, 50));
	assert_false(throttle_allow(&t, 3, 1000, 1049));
	assert_int_equal(throttle_end(&t, 1000), 1050);
	assert_true(throttle_allow(&t, 3, 1000, 1050));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),     cmocka_unit_test(test_groups),
		cmocka_unit_test(test_refused),  cmocka_unit_test(test_fallback_order),
		cmocka_unit_test(test_throttle),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
