/* Mappings of jq sources. A mapping as somebody may write it, an empty line, and a body; a first
 * line that names a shipped one (monitor/sources/NAME.yaml) takes that. What comes out must be
 * Events that may go on the bus. */
#include "monitor/config.h"
#include "tests/fuzz/fuzz.h"

static struct monitor_config config;

static const char *environment(const char *name)
{
	return str_eq(name, "HEALBUS_MONITOR_SOURCES_DIR") ? "monitor/sources" : NULL;
}

static void prepare(void)
{
	struct why why = {0};
	int rc = config_load(&monitor_option_table, "/nonexistent", environment, &config, &why);
	rc = rc ? rc : monitor_prepare(&config, &why);
	if (rc)
		fprintf(stderr, "%s\n", why.text);
	MUST(rc == 0);
}

/* Compiled once each: that takes longer than a thousand bodies. */
static struct expr *shipped(const char *name)
{
	static struct expr *maps[64];
	struct why why = {0};
	const struct source *s = source_find(&config, name);
	if (!s || !s->map)
		return NULL;
	size_t i = (size_t)(s - config.sources.items);
	MUST(i < ARRAY_SIZE(maps));
	if (!maps[i])
		MUST(expr_compile(s->map, &maps[i], &why) == 0);
	return maps[i];
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

static void read_body(struct expr *map, const char *body)
{
	struct arena arena = {0};
	struct why why = {0};
	struct reading r = {.source = "mapped",
			    .rules = &config.rules,
			    .map = map,
			    .data = body,
			    .len = strlen(body),
			    .raw_id = "raw-1",
			    .time_ms = INT64_C(1790000000000),
			    .arena = &arena};
	if (reading_run(&r, &format_jq, &why))
		MUST(why.text[0]);
	else
		check(&r);
	reading_release(&r);
	arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = fuzz_text(data, size);
	char *body = strstr(text, "\n\n");
	struct expr *own = NULL;
	struct why why = {0};
	if (!config.sources.n)
		prepare();
	if (!body)
		return 0;
	*body = '\0';
	struct expr *map = shipped(text);
	if (!map && expr_compile(text, &own, &why)) {
		MUST(why.text[0]);
		return 0;
	}
	read_body(map ? map : own, body + 2);
	expr_free(own);
	return 0;
}
