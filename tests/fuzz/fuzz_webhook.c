/* Bodies of monitoring systems, through the formats and mappings that are shipped; the first byte
 * chooses the source. What is read must be Events that may go on the bus. */
#include "monitor/config.h"
#include "tests/fuzz/fuzz.h"

static const char *const names[] = {"alertmanager", "cloudevents", "event",      "event",
				    "datadog",      "pagerduty",   "cloudwatch", "grafana",
				    "sentry",       "wazuh",       "graylog",    "prometheus"};
enum { PROTOBUF_ROW = 3 };

static struct monitor_config config;
static struct expr *maps[ARRAY_SIZE(names)];

static const char *environment(const char *name)
{
	return str_eq(name, "HEALBUS_MONITOR_SOURCES_DIR") ? "monitor/sources" : NULL;
}

/* Once: compiling takes longer than a thousand bodies. */
static void prepare(void)
{
	struct why why = {0};
	int rc = config_load(&monitor_option_table, "/nonexistent", environment, &config, &why);
	rc = rc ? rc : monitor_prepare(&config, &why);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(names); i++) {
		const struct source *s = source_find(&config, names[i]);
		MUST(s);
		rc = s->map ? expr_compile(s->map, &maps[i], &why) : 0;
	}
	if (rc)
		fprintf(stderr, "%s\n", why.text);
	MUST(rc == 0);
}

static void check(const struct reading *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct why why = {0};
		if (wire_check(KIND_EVENT, &r->events[i]->base, &why)) {
			fprintf(stderr, "event %zu: %s\n", i, why.text);
			abort();
		}
	}
	MUST(!r->refused || r->refused_why.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t row = fuzz_take(&data, &size) % ARRAY_SIZE(names);
	struct arena arena = {0};
	struct why why = {0};
	if (!config.sources.n)
		prepare();
	struct reading r = {.source = names[row],
			    .rules = &config.rules,
			    .map = maps[row],
			    .data = data,
			    .len = size,
			    .is_protobuf = row == PROTOBUF_ROW,
			    .raw_id = "raw-1",
			    .time_ms = INT64_C(1790000000000),
			    .arena = &arena};
	if (reading_run(&r, source_find(&config, names[row])->format, &why))
		MUST(why.text[0]);
	else
		check(&r);
	reading_release(&r);
	arena_release(&arena);
	return 0;
}
