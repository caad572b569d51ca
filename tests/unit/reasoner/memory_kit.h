/* A store with the memory's tables, and incidents to remember. */
#ifndef TESTS_REASONER_MEMORY_KIT_H
#define TESTS_REASONER_MEMORY_KIT_H

#include "reasoner/memory/memory.h"
#include "reasoner/memory/statistics.h"

#include <ftw.h>
#include <setjmp.h>
#include <cmocka.h>

#define KIT_START_MS INT64_C(1790000000000)
enum { KIT_LINES = 8, KIT_LABELS = 6 };

static const struct store_table *const kit_tables[] = {MEMORY_TABLES, STATISTICS_TABLES};

struct kit {
	char dir[64];
	struct store *store;
	struct arena arena;
	int64_t now_ms;
};

static UNUSED int kit_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static UNUSED void kit_open_store(struct kit *k)
{
	struct why why = {0};
	struct store_options o = {.dir = k->dir,
				  .tables = kit_tables,
				  .n_tables = ARRAY_SIZE(kit_tables),
				  .map_bytes = 64 << 20,
				  .no_sync = true};
	if (store_open(&o, &k->store, &why))
		fail_msg("%s", why.text);
}

static UNUSED void kit_open(struct kit *k)
{
	*k = (struct kit){.now_ms = KIT_START_MS, .arena.limit_bytes = 1 << 30};
	memcpy(k->dir, "/tmp/healbus-test-XXXXXX", 25);
	assert_non_null(mkdtemp(k->dir));
	kit_open_store(k);
}

static UNUSED void kit_close(struct kit *k)
{
	store_close(k->store);
	nftw(k->dir, kit_remove, 8, FTW_DEPTH | FTW_PHYS);
	arena_release(&k->arena);
}

static UNUSED void kit_hash(struct kit *k, uint8_t out[static 32])
{
	auto_txn txn = store_begin_read(k->store);
	assert_int_equal(store_hash(txn, kit_tables, ARRAY_SIZE(kit_tables), out), 0);
}

/* An incident with its diagnosis. Texts are borrowed, or in `text`. */
struct kit_case {
	Healbus__Incident incident;
	Healbus__Diagnosis diagnosis;
	Healbus__Plan plan;
	Healbus__Label labels[KIT_LABELS], *label_list[KIT_LABELS];
	Healbus__Evidence evidence[KIT_LINES], *evidence_list[KIT_LINES];
	Healbus__Step step, *step_list[1];
	Healbus__Attempt attempt, *attempt_list[1];
	char id[TOKEN_MAX];
	char text[KIT_LINES][512];
};

static inline char *kit_text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static UNUSED void kit_case(struct kit_case *c, const char *id, const char *type)
{
	memset(c, 0, sizeof(*c));
	snprintf(c->id, sizeof(c->id), "%s", id);
	healbus__incident__init(&c->incident);
	healbus__diagnosis__init(&c->diagnosis);
	healbus__plan__init(&c->plan);
	c->incident.id = c->incident.key = c->id;
	c->incident.labels = c->label_list;
	SET(&c->incident, opened_at_ms, KIT_START_MS);
	c->diagnosis.failure_type = kit_text(type);
	c->diagnosis.evidence = c->evidence_list;
}

static UNUSED void kit_label(struct kit_case *c, const char *name, const char *value)
{
	size_t n = c->incident.n_labels++;
	assert_true(n < KIT_LABELS);
	healbus__label__init(&c->labels[n]);
	c->labels[n].name = kit_text(name);
	c->labels[n].value = kit_text(value);
	c->label_list[n] = &c->labels[n];
}

static UNUSED void kit_line(struct kit_case *c, const char *text)
{
	size_t n = c->diagnosis.n_evidence++;
	assert_true(n < KIT_LINES);
	healbus__evidence__init(&c->evidence[n]);
	c->evidence[n].text = kit_text(text);
	c->evidence_list[n] = &c->evidence[n];
}

/* What healed it, or was tried. */
static UNUSED void kit_step(struct kit_case *c, const char *tool, const char *why)
{
	healbus__step__init(&c->step);
	c->step.tool = kit_text(tool);
	c->step.target = kit_text("octo_repo");
	c->step_list[0] = &c->step;
	c->plan.steps = c->step_list;
	c->plan.n_steps = 1;
	c->plan.why = kit_text(why);
	c->plan.id = c->plan.incident = c->plan.incident_key = c->id;
}

static UNUSED void kit_tried(struct kit_case *c, const char *what, const char *reason)
{
	healbus__attempt__init(&c->attempt);
	c->attempt.what = kit_text(what);
	c->attempt.reason = kit_text(reason);
	SET(&c->attempt, verdict, HEALBUS__VERDICT__VERDICT_FAILED);
	c->attempt_list[0] = &c->attempt;
	c->incident.tried = c->attempt_list;
	c->incident.n_tried = 1;
}

static UNUSED void kit_note(struct kit *k, struct kit_case *c, bool healed, size_t max)
{
	struct store_txn *txn = store_begin_write(k->store);
	struct memory_entry m = {
		.incident = &c->incident,
		.diagnosis = &c->diagnosis,
		.plan = c->plan.n_steps ? &c->plan : NULL,
		.healed = healed,
		.at_ms = k->now_ms += 60000,
		.max = max,
	};
	assert_int_equal(memory_note(txn, &m), 0);
	assert_int_equal(store_commit(txn), 0);
}

/* The best of the recall, or NULL. */
static UNUSED Healbus__Recalled *kit_first(struct kit *k, struct kit_case *c,
					   struct memory_index *index)
{
	Healbus__Recalled **found;
	size_t n;
	auto_txn txn = store_begin_read(k->store);
	struct memory_query q = {
		.incident = &c->incident, .diagnosis = &c->diagnosis, .k = 1, .index = index};
	assert_int_equal(memory_recall(txn, &q, &k->arena, &found, &n), 0);
	return n ? found[0] : NULL;
}

#endif
