/* Alertmanager, CloudEvents and our own events: what becomes of bodies. */
#include "tests/unit/monitor/desk.h"

static const char am[] =
	"{\"version\":\"4\",\"truncatedAlerts\":3,\"alerts\":["
	"{\"status\":\"firing\",\"labels\":{\"alertname\":\"Down\",\"instance\":\"db1:9100\","
	"\"severity\":\"critical\"},\"annotations\":{\"summary\":\"it is down\"},"
	"\"startsAt\":\"2026-11-21T09:03:52.079567Z\",\"endsAt\":\"0001-01-01T00:00:00Z\","
	"\"generatorURL\":\"http://p/g\",\"fingerprint\":\"639395ebb6538f6a\"},"
	"{\"status\":\"resolved\",\"labels\":{\"alertname\":\"Down\",\"service\":\"web\"},"
	"\"startsAt\":\"2026-11-21T09:00:00Z\",\"endsAt\":\"2026-11-21T09:01:00Z\"},"
	"{\"status\":\"odd\",\"labels\":{}},"
	"{\"status\":\"firing\",\"labels\":{\"x\":\"y\"},\"startsAt\":\"2026-11-21T09:00:00Z\"}]}";

static void test_alertmanager(void **state)
{
	struct desk d;
	const Healbus__Event *e;

	(void)state;
	desk_text(&d, "alertmanager", am);
	e = first(&d);
	assert_int_equal(d.r.n, 2);
	assert_int_equal(d.r.refused, 2);
	assert_string_equal(d.r.refused_why.text, "alerts[2].status: neither firing nor resolved");
	assert_string_equal(e->fingerprint, "639395ebb6538f6a");
	assert_string_equal(e->partition_key, "db1");
	assert_string_equal(e->name, "Down");
	assert_string_equal(e->summary, "it is down");
	assert_int_equal(e->severity, HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	assert_int_equal(e->starts_at_ms, INT64_C(1795251832079));
	assert_int_equal(e->truncated, 3);
	assert_true(e->trusted);
	e = d.r.events[1];
	assert_string_equal(e->partition_key, "web");
	assert_int_equal(e->status, HEALBUS__STATUS__STATUS_RESOLVED);
	assert_int_equal(e->ends_at_ms - e->starts_at_ms, 60000);
	desk_free(&d);
}

static void test_a_large_integer_costs_nothing(void **state)
{
	struct desk d;

	(void)state;
	desk_text(
		&d, "alertmanager",
		"{\"version\":\"4\",\"id\":18446744073709551615,\"alerts\":[{\"status\":\"firing\","
		"\"labels\":{\"alertname\":\"Down\"},\"startsAt\":\"2026-11-21T09:00:00Z\"}]}");
	assert_string_equal(first(&d)->name, "Down");
	desk_free(&d);
}

/* The label fingerprint is Prometheus': this value was computed by Alertmanager. */
static void test_fingerprint(void **state)
{
	static const char body[] =
		"{\"status\":\"firing\",\"labels\":{\"alertname\":\"InstanceDown\",\"batch\":"
		"\"g1\","
		"\"instance\":\"node1:9100\",\"job\":\"node\",\"severity\":\"critical\"}}";
	struct desk d;

	(void)state;
	desk_text(&d, "event", body);
	assert_string_equal(first(&d)->fingerprint, "639395ebb6538f6a");
	assert_int_equal(first(&d)->starts_at_ms, NOW_MS); /* not said: when it came */
	desk_free(&d);
}

static void test_ids_follow_the_episode(void **state)
{
	static const char *const bodies[] = {
		"{\"status\":\"firing\",\"name\":\"a\",\"starts_at\":1}",
		"{\"status\":\"firing\",\"name\":\"a\",\"starts_at\":1,\"summary\":\"x\"}",
		"{\"status\":\"firing\",\"name\":\"a\",\"starts_at\":2}",
		"{\"status\":\"resolved\",\"name\":\"a\",\"starts_at\":1}",
	};
	char ids[4][ID_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct desk d;

		desk_text(&d, "event", bodies[i]);
		memcpy(ids[i], first(&d)->id, ID_BYTES);
		desk_free(&d);
	}
	assert_string_equal(ids[0], ids[1]);
	assert_string_not_equal(ids[0], ids[2]);
	assert_string_not_equal(ids[0], ids[3]);
}

static void test_refusals_say_why(void **state)
{
	static const struct {
		const char *source, *body, *says;
	} cases[] = {
		{"alertmanager", "{", "not JSON"},
		{"alertmanager", "{\"version\":\"9\",\"alerts\":[]}", "version"},
		{"alertmanager", "{\"alerts\":[]}", "alerts"},
		{"alertmanager", "{\"alerts\":[1]}", "alerts[0].not an object"},
		{"alertmanager", "{\"alerts\":[{\"status\":\"firing\",\"labels\":[]}]}",
		 "alerts[0].labels"},
		{"alertmanager",
		 "{\"alerts\":[{\"status\":\"firing\",\"labels\":{\"alertname\":\"x\"},"
		 "\"startsAt\":\"soon\"}]}",
		 "alerts[0].startsAt"},
		{"event", "{\"status\":\"firing\"}", "name: missing"},
		{"event", "{\"name\":\"x\"}", "status: missing"},
		{"event", "{\"name\":\"x\",\"status\":\"firing\",\"color\":1}", "color: unknown"},
		{"event", "{\"name\":\"x\",\"status\":\"firing\",\"starts_at\":-5}", "starts_at"},
		{"event", "{\"name\":\"x\",\"status\":\"firing\",\"truncated\":-1}", "truncated"},
		{"event", "{\"name\":7,\"status\":\"firing\"}", "name: not text"},
		{"event", "[3]", "[0].not an object"},
		{"cloudevents", "{\"specversion\":\"0.3\"}", "specversion"},
		{"cloudevents", "{\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"t\"}", "source"},
		{"cloudevents",
		 "{\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"t\",\"source\":\"s\",\"x\":{}}",
		 "x: not a CloudEvents type"},
		{"cloudwatch", "{\"Type\":\"SubscriptionConfirmation\"}", "SubscribeURL"},
		{"datadog", "{}", "no title"},
		{"pingdom", "[]", "no check_id"},
		{"sentry", "{}", "no event"},
		{"grafana", "{}", "neither alerts nor ruleName"},
		{"pagerduty", "{}", "neither event"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct desk d;

		desk_text(&d, cases[i].source, cases[i].body);
		assert_int_equal(d.r.n, 0);
		assert_true(d.rc || d.r.refused);
		if (!strstr(d.rc ? d.why.text : d.r.refused_why.text, cases[i].says))
			fail_msg("case %zu: %s%s", i, d.why.text, d.r.refused_why.text);
		desk_free(&d);
	}
}

static void test_hostile_labels(void **state)
{
	static const char body[] =
		"{\"name\":\"x\",\"status\":\"firing\",\"labels\":{\"info.host-id\":\"1\",\"1st\":"
		"\"2\",\"a "
		"b\":\"3\",\"\xc3\xa9t\xc3\xa9\":\"4\",\"empty\":\"\",\"esc\":\"\\u001b[2J\","
		"\"n\":5,\"o\":{\"p\":1},\"zz\":\"{{ x }}; rm -rf /\"}}";
	struct desk d;
	const Healbus__Event *e;

	(void)state;
	desk_text(&d, "event", body);
	e = first(&d);
	assert_int_equal(e->n_labels, 8);
	assert_string_equal(label_get(e->labels, e->n_labels, "_1st"), "2");
	assert_string_equal(label_get(e->labels, e->n_labels, "a_b"), "3");
	assert_string_equal(label_get(e->labels, e->n_labels, "o"), "{\"p\":1}");
	assert_string_equal(label_get(e->labels, e->n_labels, "zz"), "{{ x }}; rm -rf /");
	assert_null(strchr(label_get(e->labels, e->n_labels, "esc"), '\x1b'));
	desk_free(&d);
}

static void test_too_many_and_too_long(void **state)
{
	struct desk d;
	auto_buf body = {0};

	(void)state;
	buf_add_str(&body, "{\"name\":\"x\",\"status\":\"firing\",\"labels\":{\"long\":\"");
	for (int i = 0; i < 5000; i++)
		buf_add_char(&body, 'v');
	buf_add_str(&body, "\"}}");
	desk_text(&d, "event", buf_str(&body));
	assert_non_null(strstr(d.r.refused_why.text, "labels.long: over 4096 bytes"));
	desk_free(&d);
	buf_reset(&body);
	buf_add_str(&body, "{\"name\":\"x\",\"status\":\"firing\",\"annotations\":{");
	for (int i = 0; i < 100; i++) {
		buf_printf(&body, "%s\"a%d\":\"", i ? "," : "", i);
		for (int c = 0; c < 70000 / (i ? 10 : 1); c++)
			buf_add_char(&body, 'w');
		buf_add_char(&body, '"');
	}
	buf_add_str(&body, "}}");
	desk_text(&d, "event", buf_str(&body));
	assert_int_equal(first(&d)->n_annotations, 64);
	desk_free(&d);
}

static void test_cloudevents(void **state)
{
	struct desk d;
	const Healbus__Event *e;

	(void)state;
	desk_text(&d, "cloudevents",
		  "[{\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"disk.full\",\"source\":\"/d\","
		  "\"severity\":\"critical\",\"traceparent\":\"00-1\",\"service\":\"db\",\"data\":"
		  "{\"a\":1},\"time\":\"2026-07-01T00:00:00Z\"},"
		  "{\"specversion\":\"1.0\",\"id\":\"2\",\"type\":\"disk.full\",\"source\":\"/d\","
		  "\"severity\":\"critical\",\"service\":\"db\",\"status\":\"resolved\",\"time\":"
		  "\"2026-07-01T01:00:00Z\"}]");
	e = first(&d);
	assert_int_equal(d.r.n, 2);
	assert_string_equal(e->partition_key, "db");
	assert_int_equal(e->severity, HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	assert_string_equal(label_get(e->annotations, e->n_annotations, "data"), "{\"a\":1}");
	assert_string_equal(e->fingerprint, d.r.events[1]->fingerprint);
	assert_int_equal(d.r.events[1]->starts_at_ms, 0);
	desk_free(&d);
}

static void test_protobuf(void **state)
{
	Healbus__Event e = HEALBUS__EVENT__INIT;
	struct arena arena = {0};
	Healbus__Label *labels[] = {label_new(&arena, "alertname", "x")};
	char id[] = "id", source[] = "mine", fp[] = "0123456789abcdef";
	auto_buf packed = {0};
	struct desk d;

	(void)state;
	e.id = id;
	e.source = source;
	e.fingerprint = fp;
	e.labels = labels;
	e.n_labels = 1;
	SET(&e, status, HEALBUS__STATUS__STATUS_FIRING);
	SET(&e, trusted, false);
	wire_pack(&e.base, &packed);
	desk_read(&d, "event", packed.data, packed.len, true);
	assert_string_equal(first(&d)->source, "event");
	assert_string_equal(first(&d)->fingerprint, fp);
	assert_true(first(&d)->trusted); /* the publisher does not decide that */
	desk_free(&d);
	desk_read(&d, "event", "garbage!", 8, true);
	assert_int_not_equal(d.rc, 0);
	desk_free(&d);
	desk_read(&d, "datadog", packed.data, packed.len, true);
	assert_int_equal(d.rc, ERR_UNSUPPORTED);
	desk_free(&d);
	arena_release(&arena);
}

/* The id of an alert's first event, in a body of that severity, from whom, at this time. */
static char *id_of(const char *severity, const char *ends, bool trusted, int64_t time_ms)
{
	auto_free char *body =
		mem_printf("{\"alerts\":[{\"status\":\"%s\",\"fingerprint\":\"00000000000000ff\","
			   "\"labels\":{\"alertname\":\"A\",\"severity\":\"%s\"},\"endsAt\":\"%s\","
			   "\"startsAt\":\"2026-09-21T14:13:20Z\"}]}",
			   *ends ? "resolved" : "firing", severity, ends);
	struct desk d = {0};
	char *id;

	d.r = (struct reading){.source = "alertmanager",
			       .rules = &config.rules,
			       .data = body,
			       .len = strlen(body),
			       .trusted = trusted,
			       .raw_id = "raw-1",
			       .time_ms = time_ms,
			       .arena = &d.arena};
	assert_int_equal(reading_run(&d.r, &format_alertmanager, &d.why), 0);
	id = mem_strdup(first(&d)->id);
	desk_free(&d);
	return id;
}

/* The stream drops a second event of one id: only what changes nothing may share it. */
static void test_ids(void **state)
{
	static const char end[] = "2026-09-21T15:13:20Z", later[] = "2026-09-21T16:13:20Z";
	auto_free char *base = id_of("warning", "", true, NOW_MS);
	auto_free char *again = id_of("warning", "", true, NOW_MS + 60000);
	auto_free char *resolved = id_of("warning", end, true, NOW_MS);
	char *others[] = {id_of("critical", "", true, NOW_MS), id_of("warning", "", false, NOW_MS),
			  id_of("warning", later, true, NOW_MS), mem_strdup(resolved)};
	int64_t retention_ms = config.rules.retention_ms;

	(void)state;
	assert_string_equal(again, base);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_string_not_equal(others[i], base);
	assert_string_not_equal(others[2], resolved);
	/* Who waits for repeats only so long must see them. */
	config.rules.retention_ms = 60000;
	free(again);
	free(base);
	base = id_of("warning", "", true, NOW_MS);
	again = id_of("warning", "", true, NOW_MS + 15000);
	assert_string_not_equal(again, base);
	config.rules.retention_ms = retention_ms;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		free(others[i]);
}

static void test_partitions(void **state)
{
	static const struct {
		const char *text;
		uint32_t set; /* 0: refused */
	} rows[] = {
		{"0-15", 0xffff}, {"0", 1},        {"15", 0x8000},
		{"0-3,8", 0x10f}, {"4,4-5", 0x30}, {"", 0},
		{"16", 0},        {"3-1", 0},      {"1-", 0},
		{"1,", 0},        {",1", 0},       {"-1", 0},
		{"0 - 3", 0},     {"1;2", 0},      {"99999999999999999999", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t set = 0;
		struct why why = {0};
		int rc = partitions_parse(rows[i].text, &set, &why);
		if (rc != (rows[i].set ? 0 : ERR_CONFIG) || set != rows[i].set)
			fail_msg("%s: %d, %x", rows[i].text, rc, set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alertmanager),
		cmocka_unit_test(test_a_large_integer_costs_nothing),
		cmocka_unit_test(test_fingerprint),
		cmocka_unit_test(test_ids_follow_the_episode),
		cmocka_unit_test(test_refusals_say_why),
		cmocka_unit_test(test_hostile_labels),
		cmocka_unit_test(test_too_many_and_too_long),
		cmocka_unit_test(test_cloudevents),
		cmocka_unit_test(test_protobuf),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_partitions),
	};

	return cmocka_run_group_tests(tests, desk_load, desk_unload);
}
