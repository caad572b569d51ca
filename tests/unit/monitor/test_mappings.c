/* Bodies of many systems through the mappings that are shipped. */
#include "tests/unit/monitor/desk.h"

static void test_every_shipped_mapping_compiles(void **state)
{
	(void)state;
	for (size_t i = 0; i < config.sources.n; i++) {
		struct expr *e = NULL;
		struct why why = {0};

		if (config.sources.items[i].map &&
		    expr_compile(config.sources.items[i].map, &e, &why))
			fail_msg("%s: %s", config.sources.items[i].name, why.text);
		expr_free(e);
	}
	assert_true(config.sources.n >= 20);
}

static void test_mappings(void **state)
{
	static const struct {
		const char *source, *body, *name;
		Healbus__Status status;
	} cases[] = {
		{"pagerduty",
		 "{\"event\":{\"event_type\":\"incident.triggered\",\"data\":{\"type\":"
		 "\"incident\","
		 "\"id\":\"P1\",\"title\":\"db\",\"status\":\"triggered\",\"service\":{\"summary\":"
		 "\"api\"},\"created_at\":\"2026-01-01T00:00:00Z\"}}}",
		 "db", HEALBUS__STATUS__STATUS_FIRING},
		{"pagerduty",
		 "{\"event\":{\"event_type\":\"incident.resolved\",\"data\":{\"type\":\"incident\","
		 "\"id\":\"P1\",\"title\":\"db\",\"status\":\"resolved\"}}}",
		 "db", HEALBUS__STATUS__STATUS_RESOLVED},
		{"pagerduty",
		 "{\"event_action\":\"trigger\",\"dedup_key\":\"k\",\"payload\":{\"summary\":\"s\","
		 "\"severity\":\"error\",\"source\":\"h\"}}",
		 "s", HEALBUS__STATUS__STATUS_FIRING},
		{"datadog",
		 "{\"title\":\"[Recovered] cpu\",\"alert_transition\":\"Recovered\",\"tags\":"
		 "\"service:web, env:prod\",\"date\":\"1700000000000\"}",
		 "[Recovered] cpu", HEALBUS__STATUS__STATUS_RESOLVED},
		{"pingdom", "{\"check_id\":1,\"check_name\":\"c\",\"current_state\":\"UP\"}", "c",
		 HEALBUS__STATUS__STATUS_RESOLVED},
		{"grafana", "{\"ruleName\":\"r\",\"state\":\"ok\"}", "r",
		 HEALBUS__STATUS__STATUS_RESOLVED},
		{"prometheus",
		 "[{\"labels\":{\"alertname\":\"A\"},\"startsAt\":\"2026-01-01T00:00:00Z\","
		 "\"endsAt\":\"2026-01-02T00:00:00Z\"}]",
		 "A", HEALBUS__STATUS__STATUS_RESOLVED},
		{"riemann", "{\"service\":\"s\",\"state\":\"critical\"}", "s",
		 HEALBUS__STATUS__STATUS_FIRING},
		{"sentry",
		 "{\"action\":\"resolved\",\"data\":{\"issue\":{\"id\":\"1\",\"title\":\"boom\","
		 "\"level\":\"error\",\"project\":{\"slug\":\"web\"}}}}",
		 "boom", HEALBUS__STATUS__STATUS_RESOLVED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct desk d;

		desk_text(&d, cases[i].source, cases[i].body);
		if (d.rc || !d.r.n)
			fail_msg("%s: %s%s", cases[i].source, d.why.text, d.r.refused_why.text);
		assert_string_equal(first(&d)->name, cases[i].name);
		assert_int_equal(first(&d)->status, cases[i].status);
		desk_free(&d);
	}
}

/* HEALBUS_CORPORA: every body is taken or refused with a reason. */
static void test_vendor_corpus(void **state)
{
	static const struct {
		const char *file, *source;
	} bodies[] = {
		{"alerta-cloudwatch_notification", "cloudwatch"},
		{"alerta-grafana_alert_alerting", "grafana"},
		{"alerta-grafana_example", "grafana"},
		{"alerta-graylog_notification", "graylog"},
		{"alerta-pingdom_down", "pingdom"},
		{"alerta-pingdom_up", "pingdom"},
		{"alerta-prometheus_v3_alert", "alertmanager"},
		{"alerta-riemann_alert", "riemann"},
		{"alerta-stackdriver_closed", "stackdriver"},
		{"alerta-stackdriver_open", "stackdriver"},
		{"keep-axiom-alert", "axiom"},
		{"keep-checkly-alert", "checkly"},
		{"keep-dash0-alert", "dash0"},
		{"keep-datadog-high_cpu_usage", "datadog"},
		{"keep-datadog-mq_consumer_struggling", "datadog"},
		{"keep-gcpmonitoring-5XX_errors_production", "gcp"},
		{"keep-gcpmonitoring-database_latency", "gcp"},
		{"keep-gcpmonitoring-high_memory_usage", "gcp"},
		{"keep-graylog-alert", "graylog"},
		{"keep-netbox-alert", "netbox"},
		{"keep-prometheus-DiskSpaceLow", "prometheus"},
		{"keep-prometheus-MQFull_Message_queue_is_full_", "prometheus"},
		{"keep-sentry-browser_timeout", "sentry"},
		{"keep-sentry-database_timeout", "sentry"},
		{"keep-sentry-server_overload", "sentry"},
		{"keep-signalfx-simulate", "signalfx"},
		{"keep-thousandeyes-0", "thousandeyes"},
		{"keep-thousandeyes-1", "thousandeyes"},
		{"keep-wazuh-alert", "wazuh"},
	};
	const char *corpora = getenv("HEALBUS_CORPORA");
	size_t read = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		auto_free char *path =
			mem_printf("%s/vendor-webhooks/%s.json",
				   corpora ? corpora : "../shared/corpora", bodies[i].file);
		json_t *file = json_load_file(path, 0, NULL);
		auto_free char *body = json_dumps(json_object_get(file, "payload"), 0);
		struct desk d;

		json_decref(file);
		if (!body)
			continue;
		read++;
		desk_text(&d, bodies[i].source, body);
		if (d.rc || d.r.refused || !d.r.n)
			fail_msg("%s: %s%s", bodies[i].file, d.why.text, d.r.refused_why.text);
		desk_free(&d);
	}
	if (!read)
		print_message("# skipped: no corpus\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_shipped_mapping_compiles),
		cmocka_unit_test(test_mappings),
		cmocka_unit_test(test_vendor_corpus),
	};

	return cmocka_run_group_tests(tests, desk_load, desk_unload);
}
