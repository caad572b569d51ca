/*
 * A correlator without a network: partition 0, fed from memory. What it emits is unpacked into
 * kit.out, oldest first.
 */
#ifndef TESTS_MONITOR_KIT_H
#define TESTS_MONITOR_KIT_H

#include "monitor/config.h"
#include "monitor/correlator.h"
#include "monitor/state.h"

#include <ftw.h>
#include <setjmp.h>
#include <cmocka.h>

#define START_MS INT64_C(1790000000000) /* Mon 2026-09-21 14:13:20 UTC */
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

#define OPEN HEALBUS__INCIDENT_STATE__INCIDENT_OPEN
#define RESOLVED HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED
#define SUPPRESSED HEALBUS__INCIDENT_STATE__INCIDENT_SUPPRESSED
#define FIRING HEALBUS__STATUS__STATUS_FIRING
#define GONE HEALBUS__STATUS__STATUS_RESOLVED

enum { KIT_OUT_MAX = 4096 };

struct kit {
	struct monitor_config config;
	char dir[64];
	struct fold *f;
	uint64_t seq, row;
	int64_t now_ms;
	struct arena arena; /* of kit.out */
	Healbus__Incident *out[KIT_OUT_MAX];
	size_t out_len[KIT_OUT_MAX];
	size_t n;
};

static inline int kit_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline void kit_open(struct kit *k)
{
	struct fold_options options = {
		.dir = k->dir, .config = &k->config, .map_bytes = 64 << 20, .no_sync = true};
	struct why why = {0};

	if (fold_open(&correlator, &options, &k->f, &why))
		fail_msg("fold_open: %s", why.text);
}

/* yaml NULL: defaults. */
static inline struct kit *kit_new(const char *yaml)
{
	struct kit *k = mem_alloc(sizeof(*k));
	auto_free char *file = NULL;
	struct why why = {0};

	snprintf(k->dir, sizeof(k->dir), "/tmp/healbus-monitor-XXXXXX");
	assert_non_null(mkdtemp(k->dir));
	file = mem_printf("%s/monitor.yaml", k->dir);
	if (yaml) {
		auto_file FILE *f = fopen(file, "w");

		assert_non_null(f);
		fputs(yaml, f);
	}
	if (config_load(&monitor_option_table, k->dir, NULL, &k->config, &why) ||
	    monitor_prepare(&k->config, &why))
		fail_msg("configuration: %s", why.text);
	k->now_ms = START_MS;
	k->arena.limit_bytes = 1 << 30;
	kit_open(k);
	return k;
}

static inline void kit_free(struct kit *k)
{
	fold_close(k->f);
	monitor_unprepare(&k->config);
	config_release(&monitor_option_table, &k->config);
	arena_release(&k->arena);
	nftw(k->dir, kit_remove, 8, FTW_DEPTH | FTW_PHYS);
	free(k);
}

static inline int kit_take(void *ctx, const struct fold_row *row)
{
	struct kit *k = ctx;
	ProtobufCMessage *msg;
	struct why why = {0};

	if (str_starts(row->msg.subject, "dead."))
		fail_msg("a message went to %s", row->msg.subject);
	if (wire_unpack(KIND_INCIDENT, row->msg.data, row->msg.len, &k->arena, &msg, &why))
		fail_msg("output: %s", why.text);
	assert_true(k->n < KIT_OUT_MAX);
	k->out_len[k->n] = row->msg.len;
	k->out[k->n++] = (Healbus__Incident *)msg;
	return 0;
}

static inline void kit_apply(struct kit *k, const char *subject, const char *id,
			     const ProtobufCMessage *msg)
{
	auto_buf packed = {0};
	struct why why = {0};
	struct fold_message m = {
		.subject = subject,
		.id = id,
		.time_ms = k->now_ms,
		.stream_ns = k->now_ms * 1000000,
		.seq = ++k->seq,
	};

	wire_pack(msg, &packed);
	m.data = packed.data;
	m.len = packed.len;
	if (fold_apply(k->f, &m, 1, &why))
		fail_msg("fold_apply: %s", why.text);
	fold_outbox_each(k->f, k->row, kit_take, k);
	k->row = fold_outbox_next(k->f);
}

/* Time passes, as a tick says. */
static inline void kit_tick(struct kit *k, int64_t ms)
{
	Healbus__Tick tick = HEALBUS__TICK__INIT;
	char id[32];

	k->now_ms += ms;
	snprintf(id, sizeof(id), "tick-%" PRIu64, k->seq);
	tick.stage = (char *)(uintptr_t) "monitor";
	SET(&tick, due_ms, k->now_ms);
	SET(&tick, at_ms, k->now_ms);
	kit_apply(k, "event.00.tick", id, &tick.base);
}

/* Ticks step by step, as stage.c does: one for each due timer. */
static inline void kit_wait(struct kit *k, int64_t ms)
{
	int64_t end = k->now_ms + ms;

	while (fold_next_due_ms(k->f) <= end)
		kit_tick(k, MAX(fold_next_due_ms(k->f), k->now_ms) - k->now_ms);
	kit_tick(k, end - k->now_ms);
}

struct say {
	const char *labels; /* "alertname=A service=web" */
	Healbus__Status status;
	int64_t starts_ms; /* 0: START_MS */
	int64_t ends_ms;
	const char *source;
	Healbus__Severity severity;
	bool untrusted;
	size_t annotation_bytes;
};

static inline void kit_labels(struct kit *k, Healbus__Event *e, const char *text)
{
	auto_free char *copy = mem_strdup(text);
	struct label_view views[WIRE_LABELS_MAX];

	e->labels = arena_alloc(&k->arena, WIRE_LABELS_MAX * sizeof(*e->labels));
	for (char *rest = copy, *word; (word = strsep(&rest, " "));) {
		char *value = strchr(word, '=');

		*value++ = '\0';
		e->labels[e->n_labels++] = label_new(&k->arena, word, value);
	}
	for (size_t i = 0; i < e->n_labels; i++)
		views[i] = (struct label_view){e->labels[i]->name, e->labels[i]->value};
	e->fingerprint = arena_alloc(&k->arena, FINGERPRINT_LEN + 1);
	fingerprint_labels(views, e->n_labels, e->fingerprint);
	e->name = arena_strdup(&k->arena, label_get(e->labels, e->n_labels, "alertname"));
	e->partition_key = (char *)(uintptr_t)label_get(e->labels, e->n_labels, "service");
}

/* One event now. Labels must be sorted by name. */
static inline void kit_say(struct kit *k, struct say say)
{
	Healbus__Event e = HEALBUS__EVENT__INIT;
	char starts[32], unique[32];

	kit_labels(k, &e, say.labels);
	snprintf(starts, sizeof(starts), "%" PRId64, say.starts_ms);
	snprintf(unique, sizeof(unique), "m-%" PRIu64, k->seq);
	e.source = arena_strdup(&k->arena, say.source ? say.source : "alertmanager");
	e.id = arena_alloc(&k->arena, ID_BYTES);
	id_make(e.id, "event", e.fingerprint, starts, say.status == FIRING ? "1" : "2");
	SET(&e, status, say.status);
	SET(&e, severity, say.severity);
	SET(&e, starts_at_ms, say.starts_ms ? say.starts_ms : START_MS);
	SET(&e, trusted, !say.untrusted);
	if (say.ends_ms)
		SET(&e, ends_at_ms, say.ends_ms);
	if (say.annotation_bytes) {
		char *text = arena_alloc(&k->arena, say.annotation_bytes + 1);

		memset(text, 'x', say.annotation_bytes);
		e.annotations = arena_alloc(&k->arena, sizeof(*e.annotations));
		e.annotations[e.n_annotations++] = label_new(&k->arena, "description", text);
	}
	kit_apply(k, "event.00.test", unique, &e.base);
}

#define fires(k, text, ...)                                                                        \
	kit_say(k, (struct say){.labels = text, .status = FIRING __VA_OPT__(, ) __VA_ARGS__})
#define resolves(k, text, ...)                                                                     \
	kit_say(k, (struct say){.labels = text, .status = GONE __VA_OPT__(, ) __VA_ARGS__})

static inline const Healbus__Incident *kit_last(const struct kit *k)
{
	assert_true(k->n > 0);
	return k->out[k->n - 1];
}

static inline void kit_silence(struct kit *k, const char *id, const char *name, const char *value,
			       int64_t starts_ms, int64_t ends_ms)
{
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	Healbus__Silence s = HEALBUS__SILENCE__INIT;
	Healbus__Matcher m = HEALBUS__MATCHER__INIT;
	Healbus__Matcher *list[] = {&m};
	char unique[32];

	snprintf(unique, sizeof(unique), "m-%" PRIu64, k->seq);
	c.id = (char *)(uintptr_t)id;
	s.id = (char *)(uintptr_t)id;
	c.silence = &s;
	SET(&c, at_ms, k->now_ms);
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_SILENCE_EXPIRE);
	if (name) {
		SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_SILENCE);
		m.name = (char *)(uintptr_t)name;
		m.value = (char *)(uintptr_t)value;
		SET(&m, op, HEALBUS__MATCH_OP__MATCH_REGEX);
		s.matchers = list;
		s.n_matchers = 1;
		SET(&s, starts_at_ms, starts_ms);
		SET(&s, ends_at_ms, ends_ms);
	}
	kit_apply(k, "event.00.control", unique, &c.base);
}

#endif
