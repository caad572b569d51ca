/* What the journal forgets, and above all what it does not. */
#include "executor/retain.h"
#include "tests/unit/executor/fake_bus.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define NOW_MS INT64_C(1800000000000)

enum { STORY_DAYS = 90, EXTRA_DAYS = 7, MANY = 2 * JOURNAL_PAGE + 3 };

static char *dir;
static int64_t story_age_ms;
static struct executor_config config;

int bus_stream_state(struct bus *b, const char *stream, struct bus_stream_state *out,
		     struct why *out_why)
{
	(void)b;
	(void)out_why;
	assert_string_equal(stream, STREAM_STORY);
	*out = (struct bus_stream_state){.max_age_ms = story_age_ms};
	return 0;
}

static bool go_on(void *ctx, int64_t ms)
{
	(void)ctx;
	(void)ms;
	return false;
}

static int setup(void **state)
{
	(void)state;
	dir = support_dir();
	world_new();
	story_age_ms = STORY_DAYS * DAY_MS;
	config = (struct executor_config){.audit_age_ms = 400 * DAY_MS};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	clock_unfake();
	world_free();
	support_remove(dir);
	free(dir);
	return 0;
}

static struct journal *open_journal(void)
{
	struct journal *j = NULL;
	struct why why = {0};
	if (journal_open(dir, 4 << 20, &j, &why))
		fail_msg("%s", why.text);
	return j;
}

/* A step that began so long ago and ended a day later. */
static void add_step(struct journal *j, const char *id, const char *incident, int days)
{
	struct why why = {0};
	Healbus__StepReport r = HEALBUS__STEP_REPORT__INIT;
	struct audit_entry e = {.what = "end", .incident = incident, .plan = "p", .step = id};
	clock_fake(NOW_MS - days * DAY_MS, 1);
	r.incident = (char *)(uintptr_t)incident;
	r.plan_id = (char *)"p";
	r.step_id = (char *)(uintptr_t)id;
	SET(&r, state, HEALBUS__STEP_STATE__STEP_DONE);
	SET(&r, started_at_ms, NOW_MS - (days + 1) * DAY_MS);
	SET(&r, ended_at_ms, NOW_MS - days * DAY_MS);
	assert_int_equal(journal_write(j, &r, &e, &why), 0);
	clock_fake(NOW_MS, 1);
}

static bool knows(struct journal *j, const char *id)
{
	struct arena arena = {0};
	struct why why = {0};
	Healbus__StepReport *r = NULL;
	int rc = journal_read(j, id, &arena, &r, &why);
	arena_release(&arena);
	assert_true(rc == 0 || rc == ERR_NOT_FOUND);
	return rc == 0;
}

static void plan_on_story(const char *incident)
{
	struct why why = {0};
	auto_free char *subject = mem_printf("heal.plan.%s", incident);
	struct bus_msg m = {.subject = subject, .id = subject, .data = "x", .len = 1};
	assert_int_equal(bus_publish(NULL, &m, 0, NULL, &why), 0);
}

static int sweep(struct journal *j, struct retained *out)
{
	struct why why = {0};
	struct executor ex = {.journal = j, .config = &config, .sleep = go_on};
	return retain(&ex, NOW_MS, out, &why);
}

static uint64_t whole_chain(struct journal *j)
{
	struct audit_summary sum = {0};
	struct why why = {0};
	if (journal_audit_check(j, &sum, &why))
		fail_msg("%s", why.text);
	return sum.cut;
}

/* ---- steps ---- */

static void test_old_and_unplanned(void **state)
{
	(void)state;
	struct retained done;
	struct journal *j = open_journal();
	add_step(j, "young", "gone", STORY_DAYS + EXTRA_DAYS - 1);
	add_step(j, "old", "gone", STORY_DAYS + EXTRA_DAYS + 1);
	add_step(j, "planned", "there", 3 * STORY_DAYS);
	plan_on_story("there");
	assert_int_equal(sweep(j, &done), 0);
	assert_int_equal(done.looked_at, 2);
	assert_int_equal(done.forgotten, 1);
	assert_true(knows(j, "young"));
	assert_false(knows(j, "old"));
	assert_true(knows(j, "planned"));
	assert_int_equal(whole_chain(j), 0);
	journal_close(j);
}

static void test_without_a_limit(void **state)
{
	(void)state;
	struct retained done;
	struct journal *j = open_journal();
	add_step(j, "old", "gone", 3000);
	story_age_ms = 0;
	config.audit_age_ms = 0;
	assert_int_equal(sweep(j, &done), 0);
	assert_true(knows(j, "old"));
	assert_int_equal(whole_chain(j), 0);
	journal_close(j);
}

/* Who cannot be told that nobody has the plan keeps the step. */
static void test_bus_in_trouble(void **state)
{
	(void)state;
	struct retained done;
	struct journal *j = open_journal();
	add_step(j, "old", "gone", 300);
	world->trouble = FAIL_BEFORE;
	world->at = 1;
	assert_int_equal(sweep(j, &done), ERR_TIMEOUT);
	assert_true(knows(j, "old"));
	assert_int_equal(sweep(j, &done), 0);
	assert_false(knows(j, "old"));
	journal_close(j);
}

static void test_many(void **state)
{
	(void)state;
	struct retained done;
	struct journal *j = open_journal();
	for (int i = 0; i < MANY; i++) {
		auto_free char *id = mem_printf("s%d", i);
		add_step(j, id, i % 2 ? "gone" : "there", 300);
	}
	plan_on_story("there");
	assert_int_equal(sweep(j, &done), 0);
	assert_int_equal(done.looked_at, MANY);
	assert_int_equal(done.forgotten, MANY / 2);
	for (int i = 0; i < MANY; i++) {
		auto_free char *id = mem_printf("s%d", i);
		assert_int_equal(knows(j, id), i % 2 == 0);
	}
	journal_close(j);
}

/* ---- the audit chain ---- */

static void last_line(void *ctx, const char *json)
{
	json_t **last = ctx;
	json_decref(*last);
	*last = json_loads(json, 0, NULL);
	assert_non_null(*last);
}

static void test_audit_is_cut(void **state)
{
	(void)state;
	struct retained done;
	json_t *last = NULL;
	struct journal *j = open_journal();
	for (int i = 0; i < 3; i++)
		add_step(j, "a", "gone", 500 - i);
	add_step(j, "b", "gone", 300);
	assert_int_equal(sweep(j, &done), 0);
	assert_int_equal(done.cut, 3);
	assert_int_equal(whole_chain(j), 3);
	journal_audit_each(j, last_line, &last);
	assert_string_equal(json_string_value(json_object_get(last, "what")), "cut");
	assert_non_null(strstr(json_string_value(json_object_get(last, "text")), "up to 3 "));
	json_decref(last);
	assert_int_equal(sweep(j, &done), 0);
	assert_int_equal(done.cut, 0);
	journal_close(j);
	j = open_journal();
	assert_int_equal(whole_chain(j), 3);
	journal_close(j);
}

static void delete_record(uint64_t seq)
{
	static const struct store_table *const tables[] = {&audit_records, &audit_heads};
	struct store *s = NULL;
	struct why why = {0};
	struct store_key64 key = store_key64(seq);
	struct store_options o = {
		.dir = dir, .tables = tables, .n_tables = 2, .map_bytes = 4 << 20};
	assert_int_equal(store_open(&o, &s, &why), 0);
	struct store_txn *txn = store_begin_write(s);
	store_del(txn, &audit_records, &key, sizeof(key));
	assert_int_equal(store_commit(txn), 0);
	store_close(s);
}

/* The cut would hide what somebody did. And who cuts off a record without saying so is found out.
 */
static void test_broken_audit_is_kept(void **state)
{
	(void)state;
	struct retained done;
	struct audit_summary sum;
	struct why why = {0};
	struct journal *j = open_journal();
	for (int i = 0; i < 4; i++)
		add_step(j, "a", "there", 500);
	journal_close(j);
	delete_record(1);
	j = open_journal();
	assert_int_equal(sweep(j, &done), 0);
	assert_true(done.audit_broken);
	assert_int_equal(done.cut, 0);
	assert_int_equal(journal_audit_check(j, &sum, &why), ERR_CORRUPT);
	assert_false(journal_is_broken(j));
	add_step(j, "b", "gone", 1);
	assert_true(knows(j, "b"));
	journal_close(j);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(test_old_and_unplanned), T(test_without_a_limit),
					   T(test_bus_in_trouble),    T(test_many),
					   T(test_audit_is_cut),      T(test_broken_audit_is_kept)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
