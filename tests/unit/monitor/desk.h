/*
 * A desk at which bodies are read, with the very formats and mappings that are shipped.
 */
#ifndef TESTS_UNIT_MONITOR_DESK_H
#define TESTS_UNIT_MONITOR_DESK_H

#include "monitor/config.h"

#include <setjmp.h>
#include <cmocka.h>

#define NOW_MS INT64_C(1790000000000)

struct desk {
	struct monitor_config config;
	struct reading r;
	struct arena arena;
	struct expr *map;
	struct why why;
	int rc;
};

static struct monitor_config config;

static inline int desk_load(void **state)
{
	struct why why = {0};
	static char dir[] = "monitor/sources";

	(void)state;
	setenv("HEALBUS_MONITOR_SOURCES_DIR", dir, 1);
	if (config_load(&monitor_option_table, "/nonexistent",
			(const char *(*)(const char *))getenv, &config, &why) ||
	    monitor_prepare(&config, &why)) {
		print_error("%s\n", why.text);
		return -1;
	}
	return 0;
}

static inline int desk_unload(void **state)
{
	(void)state;
	monitor_unprepare(&config);
	config_release(&monitor_option_table, &config);
	return 0;
}

/* What the next body is called by its sender. */
static const char *desk_kind;

static inline void desk_read(struct desk *d, const char *source, const void *data, size_t len,
			     bool protobuf)
{
	const struct source *s = source_find(&config, source);

	assert_non_null(s);
	*d = (struct desk){0};
	if (s->map && expr_compile(s->map, &d->map, &d->why))
		fail_msg("%s: %s", source, d->why.text);
	d->r = (struct reading){.source = source,
				.rules = &config.rules,
				.map = d->map,
				.data = data,
				.len = len,
				.is_protobuf = protobuf,
				.trusted = true,
				.kind = desk_kind,
				.raw_id = "raw-1",
				.time_ms = NOW_MS,
				.arena = &d->arena};
	d->rc = reading_run(&d->r, s->format, &d->why);
}

static inline void desk_text(struct desk *d, const char *source, const char *body)
{
	desk_read(d, source, body, strlen(body), false);
}

static inline void desk_free(struct desk *d)
{
	reading_release(&d->r);
	arena_release(&d->arena);
	expr_free(d->map);
}

/* The first event, and why there is none. */
static inline const Healbus__Event *first(const struct desk *d)
{
	if (d->rc || !d->r.n)
		fail_msg("refused: %s%s", d->why.text, d->r.refused_why.text);
	return d->r.events[0];
}

#endif
