#include "tests/unit/notifier/bench.h"
#include "notifier/view.h"

#define APPROVE HEALBUS__DECISION_VERDICT__DECISION_APPROVE
#define EXPIRED HEALBUS__DECISION_VERDICT__DECISION_EXPIRED
#define HEALED HEALBUS__VERDICT__VERDICT_HEALED

static uint64_t counted(struct bench *b, int state)
{
	auto_txn txn = store_begin_read(fold_store(b->fold));
	return count_get(txn, state);
}

static Healbus__Incident *stored(struct bench *b, const char *id)
{
	auto_txn txn = store_begin_read(fold_store(b->fold));
	return row_get(txn, &table_incidents, id, Healbus__Incident, incident, &b->arena);
}

static struct plan_row planned(struct bench *b, const char *id)
{
	struct plan_row row = {0};
	auto_txn txn = store_begin_read(fold_store(b->fold));
	row_struct(txn, &table_plans, id, &row, sizeof(row));
	return row;
}

static bool pending(struct bench *b, const char *approval)
{
	struct store_val val;
	auto_txn txn = store_begin_read(fold_store(b->fold));
	return !store_get_str(txn, &table_pending, approval, &val);
}

/* ---- incidents ---- */

static void test_states_and_counts(void **state UNUSED)
{
	static const struct {
		Healbus__IncidentState next, shown;
		uint32_t revision, newest;
	} steps[] = {
		{OPEN, OPEN, 1, 1},         {ESCALATED, ESCALATED, 1, 1},
		{OPEN, ESCALATED, 2, 2}, /* the monitor's update does not take an escalation back */
		{OPEN, ESCALATED, 1, 2}, /* nor does an old revision */
		{RESOLVED, RESOLVED, 3, 3}, {ESCALATED, RESOLVED, 3, 3}, /* too late */
	};
	struct bench b;
	bench_open(&b, "{}");
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		bench_incident(&b, "inc1", steps[i].next, steps[i].revision, "db");
		assert_int_equal(stored(&b, "inc1")->state, steps[i].shown);
		assert_int_equal(counted(&b, (int)steps[i].shown), 1);
		assert_int_equal(stored(&b, "inc1")->revision, steps[i].newest);
	}
	assert_int_equal(counted(&b, (int)OPEN), 0);
	assert_int_equal(counted(&b, (int)ESCALATED), 0);
	assert_string_equal(stored(&b, "inc1")->reason, "three attempts did not help");
	bench_close(&b);
}

static void test_incident_of_another_subject_is_refused(void **state UNUSED)
{
	struct bench b;
	Healbus__Incident i = HEALBUS__INCIDENT__INIT;
	i.id = (char *)"a";
	i.key = (char *)"k";
	bench_open(&b, "{}");
	bench_send(&b, KIND_INCIDENT, "b", &i.base, NULL);
	assert_int_equal(bench_rows(&b, &table_incidents), 0);
	assert_int_equal(bench_count(&b, KIND_DEAD), 1);
	bench_close(&b);
}

static void test_retention_forgets_everything(void **state UNUSED)
{
	static const struct store_table *const tables[] = {
		&table_incidents,       &table_by_time, &table_story,       &table_refs,
		&table_plans,           &table_changes, &table_approvals,   &table_pending,
		&table_decisions,       &table_notices, &table_notice_meta, &table_items,
		&table_changes_by_time,
	};
	struct bench b;
	bench_open(&b, two_channels);
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_ask(&b, "ask1", "plan1", "inc1", b.now_ms + MINUTE);
	bench_decide(&b, "ask1", "plan1", "inc1", APPROVE, "ann");
	bench_outcome(&b, "plan1", "inc1", HEALED, "change1");
	bench_incident(&b, "inc1", RESOLVED, 2, "db");
	bench_wait(&b, MINUTE);
	assert_true(bench_rows(&b, &table_notices) > 0);
	bench_wait(&b, 91 * 24 * 60 * MINUTE);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (bench_rows(&b, tables[i]))
			fail_msg("%s has rows", tables[i]->name);
	assert_int_equal(counted(&b, (int)RESOLVED), 0);
	bench_close(&b);
}

/* ---- plans, approvals, changes ---- */

static void test_plan_states(void **state UNUSED)
{
	struct bench b;
	struct plan_row row;
	bench_open(&b, "{}");
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	row = planned(&b, "plan1");
	assert_string_equal(view_plan_state(&row), "planned");
	assert_int_equal(row.seq, 2);
	uint8_t digest[DIGEST_BYTES];
	plan_digest(b.log[1].data, b.log[1].len, digest);
	assert_memory_equal(row.digest, digest, DIGEST_BYTES);
	bench_ask(&b, "ask1", "plan1", "inc1", b.now_ms + MINUTE);
	row = planned(&b, "plan1");
	assert_string_equal(view_plan_state(&row), "pending");
	assert_true(pending(&b, "ask1"));
	bench_decide(&b, "ask1", "plan1", "inc1", APPROVE, "ann");
	row = planned(&b, "plan1");
	assert_string_equal(view_plan_state(&row), "approved");
	assert_false(pending(&b, "ask1"));
	bench_outcome(&b, "plan1", "inc1", HEALED, NULL);
	row = planned(&b, "plan1");
	assert_string_equal(view_plan_state(&row), "healed");
	bench_close(&b);
}

static void test_first_decision_wins(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, "{}");
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_ask(&b, "ask1", "plan1", "inc1", b.now_ms + MINUTE);
	bench_decide(&b, "ask1", "plan1", "inc1", APPROVE, "ann");
	bench_decide(&b, "ask1", "plan1", "inc1", HEALBUS__DECISION_VERDICT__DECISION_DENY, "bob");
	auto_txn txn = store_begin_read(fold_store(b.fold));
	const Healbus__Decision *d =
		row_get(txn, &table_decisions, "ask1", Healbus__Decision, decision, &b.arena);
	assert_string_equal(d->by, "ann");
	store_end(txn);
	txn = NULL;
	bench_wait(&b, 2 * MINUTE);
	assert_int_equal(bench_count(&b, KIND_DECISION), 2); /* and none at the deadline */
	bench_close(&b);
}

static void test_silence_means_no(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, "{}");
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_ask(&b, "ask1", "plan1", "inc1", T0 + MINUTE);
	bench_wait(&b, MINUTE - 1);
	assert_int_equal(bench_count(&b, KIND_DECISION), 0);
	bench_wait(&b, 1);
	const Healbus__Decision *d = (const Healbus__Decision *)bench_nth(&b, KIND_DECISION, 0);
	assert_non_null(d);
	assert_int_equal(d->verdict, EXPIRED);
	assert_string_equal(d->by, "deadline");
	assert_string_equal(d->approval, "ask1");
	assert_int_equal(d->at_ms, T0 + MINUTE);
	assert_false(pending(&b, "ask1"));
	struct plan_row row = planned(&b, "plan1");
	assert_string_equal(view_plan_state(&row), "expired");
	bench_wait(&b, 10 * MINUTE);
	assert_int_equal(bench_count(&b, KIND_DECISION), 1);
	bench_close(&b);
}

static void test_outcome_closes_an_approval(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, "{}");
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_ask(&b, "ask1", "plan1", "inc1", T0 + MINUTE);
	bench_outcome(&b, "plan1", "inc1", HEALBUS__VERDICT__VERDICT_EXPIRED, NULL);
	assert_false(pending(&b, "ask1"));
	bench_wait(&b, 2 * MINUTE);
	assert_int_equal(bench_count(&b, KIND_DECISION), 0);
	bench_close(&b);
}

static const char *undone_by(struct bench *b, const char *change)
{
	auto_txn txn = store_begin_read(fold_store(b->fold));
	const Healbus__Outcome *o =
		row_get(txn, &table_changes, change, Healbus__Outcome, outcome, &b->arena);
	return o ? str_or_empty(o->changes[0]->undone_by) : "?";
}

static void test_change_and_undo(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, "{}");
	bench_incident(&b, "inc1", OPEN, 1, "db");
	bench_plan(&b, "plan1", "inc1", NULL);
	bench_outcome(&b, "plan1", "inc1", HEALED, "change1");
	assert_string_equal(undone_by(&b, "change1"), "");
	bench_plan(&b, "plan2", "inc1", "change1");
	bench_outcome(&b, "plan2", "inc1", HEALBUS__VERDICT__VERDICT_FAILED, NULL);
	assert_string_equal(undone_by(&b, "change1"), "");
	bench_plan(&b, "plan3", "inc1", "change1");
	bench_outcome(&b, "plan3", "inc1", HEALED, NULL);
	assert_string_equal(undone_by(&b, "change1"), "plan3");
	bench_close(&b);
}

/* ---- controls ---- */

static void test_pause_and_silences(void **state UNUSED)
{
	struct bench b;
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	Healbus__Silence s = HEALBUS__SILENCE__INIT;
	Healbus__Matcher matcher = HEALBUS__MATCHER__INIT, *matchers[] = {&matcher};
	bench_open(&b, "{}");
	c.by = (char *)"ann";
	bench_control(&b, &c, HEALBUS__CONTROL_KIND__CONTROL_PAUSE, "pause");
	s.id = (char *)"sil1";
	matcher.name = (char *)"service";
	SET(&matcher, op, HEALBUS__MATCH_OP__MATCH_EQUAL);
	matcher.value = (char *)"db";
	s.matchers = matchers;
	s.n_matchers = 1;
	SET(&s, starts_at_ms, T0);
	SET(&s, ends_at_ms, T0 + 60 * MINUTE);
	c.silence = &s;
	bench_control(&b, &c, HEALBUS__CONTROL_KIND__CONTROL_SILENCE, "silence");
	bench_wait(&b, MINUTE);
	bench_control(&b, &c, HEALBUS__CONTROL_KIND__CONTROL_SILENCE_EXPIRE, "silence");
	auto_txn txn = store_begin_read(fold_store(b.fold));
	json_t *paused = view_paused(txn), *silences = view_silences(txn, true, b.now_ms);
	assert_true(json_is_true(json_object_get(paused, "on")));
	const json_t *one = json_array_get(json_object_get(silences, "silences"), 0);
	assert_int_equal(json_integer_value(json_object_get(one, "ends_at_ms")), T0 + MINUTE);
	json_decref(paused);
	json_decref(silences);
	store_end(txn);
	txn = NULL;
	assert_int_equal(bench_rows(&b, &table_story), 0); /* the machinery has no story */
	bench_wait(&b, 91 * 24 * 60 * MINUTE);
	assert_int_equal(bench_rows(&b, &table_silences), 0);
	bench_close(&b);
}

static void test_old_catalogues_make_room(void **state UNUSED)
{
	struct bench b;
	bench_open(&b, "{}");
	for (int i = 0; i < 20; i++) {
		char name[16];
		Healbus__Control c = HEALBUS__CONTROL__INIT;
		snprintf(name, sizeof(name), "host:%d", i);
		c.executor = name;
		b.now_ms += 1;
		bench_control(&b, &c, HEALBUS__CONTROL_KIND__CONTROL_CATALOGUE, "catalogue");
	}
	assert_int_equal(bench_rows(&b, &table_machinery), 16);
	auto_txn txn = store_begin_read(fold_store(b.fold));
	struct store_val val;
	assert_int_equal(store_get_str(txn, &table_machinery, "tools:host:3", &val), ERR_NOT_FOUND);
	assert_int_equal(store_get_str(txn, &table_machinery, "tools:host:4", &val), 0);
	store_end(txn);
	txn = NULL;
	bench_close(&b);
}

/* ---- the same stream, the same state ---- */

static uint64_t random_next(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 33;
}

static void random_story(struct bench *b, uint64_t *seed, int incident)
{
	static const char *const services[] = {"db", "web", "mail"};
	char id[24], plan[24], ask[24], change[24];
	const char *service = services[random_next(seed) % 3];
	snprintf(id, sizeof(id), "inc%d", incident);
	snprintf(plan, sizeof(plan), "plan%d", incident);
	snprintf(ask, sizeof(ask), "ask%d", incident);
	snprintf(change, sizeof(change), "change%d", incident);
	bench_incident(b, id, OPEN, 1, service);
	bench_plan(b, plan, id, NULL);
	if (random_next(seed) % 2)
		bench_ask(b, ask, plan, id, b->now_ms + 30 * SECOND);
	bench_wait(b, (int64_t)(random_next(seed) % 50) * SECOND);
	if (random_next(seed) % 2)
		bench_decide(b, ask, plan, id, APPROVE, "ann");
	if (random_next(seed) % 2)
		bench_outcome(b, plan, id, HEALED, change);
	if (random_next(seed) % 3 == 0)
		bench_incident(b, id, ESCALATED, 1, service);
	if (random_next(seed) % 2)
		bench_incident(b, id, RESOLVED, 2, service);
	size_t notices = bench_count(b, KIND_NOTICE);
	if (notices && random_next(seed) % 2)
		settle_notice(b, bench_notice(b, random_next(seed) % notices),
			      random_next(seed) % 2 ? HEALBUS__NOTICE_STATE__NOTICE_SENT
						    : HEALBUS__NOTICE_STATE__NOTICE_FAILED);
}

static void reopen_empty(struct bench *b)
{
	fold_close(b->fold);
	nftw(b->dir, bench_remove, 8, FTW_DEPTH | FTW_PHYS);
	bench_start(b);
}

static void test_rebuilt_equals_original(void **state UNUSED)
{
	uint64_t seed = (uint64_t)time(NULL);
	print_message("# seed %" PRIu64 "\n", seed);
	struct bench b;
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
	bench_open(&b, two_channels);
	for (int i = 0; i < 40; i++)
		random_story(&b, &seed, i);
	fold_hash(b.fold, before);
	reopen_empty(&b);
	for (size_t i = 0; i < b.n_log; i++)
		fold_known_outputs_add(b.fold, b.log[i].id);
	for (size_t i = 0; i < b.n_log; i++)
		bench_apply(&b, &b.log[i]);
	fold_hash(b.fold, after);
	assert_memory_equal(before, after, DIGEST_BYTES);
	assert_int_equal(fold_outbox_unacked(b.fold), 0);
	bench_close(&b);
}

/* The bus went back: a part of what was read comes again, in any order, before what is new. */
static void test_shuffled_duplicates_change_nothing(void **state UNUSED)
{
	uint64_t seed = (uint64_t)time(NULL);
	print_message("# seed %" PRIu64 "\n", seed);
	struct bench b;
	uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
	struct why why = {0};
	bench_open(&b, two_channels);
	for (int i = 0; i < 40; i++)
		random_story(&b, &seed, i);
	fold_hash(b.fold, before);
	reopen_empty(&b);
	for (size_t i = 0; i < b.n_log; i++)
		fold_known_outputs_add(b.fold, b.log[i].id);
	size_t cut = b.n_log / 2;
	for (size_t i = 0; i < cut; i++)
		bench_apply(&b, &b.log[i]);
	assert_int_equal(fold_skip_seen(b.fold, &why), 0);
	for (size_t i = 0; i < 200; i++)
		bench_apply(&b, &b.log[random_next(&seed) % cut]);
	for (size_t i = cut; i < b.n_log; i++) {
		bench_apply(&b, &b.log[i]);
		bench_apply(&b, &b.log[random_next(&seed) % cut]);
	}
	fold_hash(b.fold, after);
	assert_memory_equal(before, after, DIGEST_BYTES);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states_and_counts),
		cmocka_unit_test(test_incident_of_another_subject_is_refused),
		cmocka_unit_test(test_retention_forgets_everything),
		cmocka_unit_test(test_plan_states),
		cmocka_unit_test(test_first_decision_wins),
		cmocka_unit_test(test_silence_means_no),
		cmocka_unit_test(test_outcome_closes_an_approval),
		cmocka_unit_test(test_change_and_undo),
		cmocka_unit_test(test_pause_and_silences),
		cmocka_unit_test(test_old_catalogues_make_room),
		cmocka_unit_test(test_rebuilt_equals_original),
		cmocka_unit_test(test_shuffled_duplicates_change_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
