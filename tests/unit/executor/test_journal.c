/* The journal remembers steps; the audit chain shows any tampering. */
#include "executor/journal.h"
#include "tests/unit/executor/support.h"

#include <pthread.h>

static char *dir;

static int setup(void **state)
{
	(void)state;
	dir = support_dir();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	support_remove(dir);
	free(dir);
	return 0;
}

static struct journal *open_journal(void)
{
	struct journal *j = NULL;
	struct why why = {0};
	if (journal_open(dir, 1 << 20, &j, &why))
		fail_msg("%s", why.text);
	return j;
}

static void write_step(struct journal *j, const char *id, Healbus__StepState step_state)
{
	struct why why = {0};
	Healbus__StepReport r = HEALBUS__STEP_REPORT__INIT;
	struct audit_entry e = {
		.what = "intent", .incident = "i", .plan = "p", .step = id, .text = "say \"hi\"\n"};
	r.incident = (char *)"i";
	r.plan_id = (char *)"p";
	r.step_id = (char *)id;
	SET(&r, state, step_state);
	assert_int_equal(journal_write(j, &r, &e, &why), 0);
}

static void test_steps(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct why why = {0};
	Healbus__StepReport *r = NULL;
	struct journal *j = open_journal();
	auto_free char *owner = mem_strdup(journal_owner(j));
	assert_true(token_valid(owner));
	assert_int_equal(journal_read(j, "s1", &arena, &r, &why), ERR_NOT_FOUND);
	write_step(j, "s1", HEALBUS__STEP_STATE__STEP_STARTED);
	write_step(j, "s1", HEALBUS__STEP_STATE__STEP_DONE);
	journal_close(j);
	j = open_journal();
	assert_string_equal(journal_owner(j), owner);
	assert_int_equal(journal_read(j, "s1", &arena, &r, &why), 0);
	assert_int_equal(r->state, HEALBUS__STEP_STATE__STEP_DONE);
	journal_close(j);
	arena_release(&arena);
}

static void fill(unsigned n)
{
	struct journal *j = open_journal();
	for (unsigned i = 0; i < n; i++)
		write_step(j, "s", HEALBUS__STEP_STATE__STEP_STARTED);
	journal_close(j);
}

static struct store *open_store(void)
{
	static const struct store_table meta = {.name = "meta", .version = 1};
	static const struct store_table steps = {.name = "steps", .version = 1};
	static const struct store_table *const tables[] = {&meta, &steps, &audit_records,
							   &audit_heads};
	struct store *s = NULL;
	struct why why = {0};
	struct store_options o = {
		.dir = dir, .tables = tables, .n_tables = 4, .map_bytes = 1 << 20};
	assert_int_equal(store_open(&o, &s, &why), 0);
	return s;
}

static void expect_broken(const char *what)
{
	struct audit_summary sum;
	struct why why = {0};
	struct journal *j = open_journal();
	assert_int_equal(journal_audit_check(j, &sum, &why), ERR_CORRUPT);
	journal_close(j);
	if (!strstr(why.text, what))
		fail_msg("\"%s\" lacks \"%s\"", why.text, what);
}

static void count_line(void *ctx, const char *json)
{
	unsigned *n = ctx;
	json_t *o = json_loads(json, 0, NULL);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "text")), "say \"hi\"\n");
	json_decref(o);
	++*n;
}

static void test_whole_chain(void **state)
{
	(void)state;
	struct audit_summary sum;
	struct why why = {0};
	unsigned n = 0;
	fill(5);
	struct journal *j = open_journal();
	assert_int_equal(journal_audit_check(j, &sum, &why), 0);
	assert_int_equal(sum.records, 5);
	assert_int_equal(strlen(sum.head), 64);
	assert_int_equal(journal_audit_each(j, count_line, &n), 0);
	assert_int_equal(n, 5);
	journal_close(j);
}

static void put_record(uint64_t seq, const char *change_from, const char *change_to)
{
	struct store *s = open_store();
	struct store_key64 key = store_key64(seq);
	struct store_val val;
	struct store_txn *txn = store_begin_write(s);
	assert_int_equal(store_get(txn, &audit_records, &key, sizeof(key), &val), 0);
	auto_free char *text = mem_dup(val.data, val.len);
	char *at = strstr(text, change_from);
	assert_non_null(at);
	memcpy(at, change_to, strlen(change_to));
	size_t len = val.len;
	store_put(txn, &audit_records, &key, sizeof(key), text, len);
	assert_int_equal(store_commit(txn), 0);
	store_close(s);
}

static void delete_record(uint64_t seq)
{
	struct store *s = open_store();
	struct store_key64 key = store_key64(seq);
	struct store_txn *txn = store_begin_write(s);
	store_del(txn, &audit_records, &key, sizeof(key));
	assert_int_equal(store_commit(txn), 0);
	store_close(s);
}

static void test_changed_record(void **state)
{
	(void)state;
	fill(5);
	put_record(2, "intent", "INTENT");
	expect_broken("audit record 3: does not follow");
}

static void test_changed_last_record(void **state)
{
	(void)state;
	fill(5);
	put_record(5, "intent", "INTENT");
	expect_broken("the head names record 5");
}

static void test_missing_record(void **state)
{
	(void)state;
	fill(5);
	delete_record(3);
	expect_broken("audit record 3: missing");
}

static void test_cut_tail(void **state)
{
	(void)state;
	fill(5);
	delete_record(5);
	expect_broken("ends at record 4");
}

static void test_second_process(void **state)
{
	(void)state;
	struct journal *j = open_journal(), *other = NULL;
	struct why why = {0};
	assert_int_equal(journal_open(dir, 1 << 20, &other, &why), ERR_BUSY);
	journal_close(j);
}

enum { WRITERS = 8, WRITES = 50 };

struct writer {
	pthread_t thread;
	struct journal *j;
	int number;
};

static void *write_many(void *arg)
{
	const struct writer *w = arg;
	for (int i = 0; i < WRITES; i++) {
		auto_free char *id = mem_printf("w%d-%d", w->number, i);
		write_step(w->j, id, HEALBUS__STEP_STATE__STEP_STARTED);
	}
	return NULL;
}

/* Who shares a commit with others loses nothing by it, and the chain is one. */
static void test_many_writers(void **state)
{
	(void)state;
	struct writer writers[WRITERS];
	struct audit_summary sum = {0};
	struct why why = {0};
	struct arena arena = {0};
	struct journal *j = open_journal();
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.j = j, .number = i};
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_many, &writers[i]),
				 0);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	journal_close(j);
	j = open_journal();
	assert_int_equal(journal_audit_check(j, &sum, &why), 0);
	assert_int_equal(sum.records, WRITERS * WRITES);
	for (int i = 0; i < WRITERS * WRITES; i++) {
		Healbus__StepReport *r = NULL;
		auto_free char *id = mem_printf("w%d-%d", i / WRITES, i % WRITES);
		assert_int_equal(journal_read(j, id, &arena, &r, &why), 0);
	}
	journal_close(j);
	arena_release(&arena);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(test_steps),          T(test_whole_chain),
					   T(test_changed_record), T(test_changed_last_record),
					   T(test_missing_record), T(test_cut_tail),
					   T(test_second_process), T(test_many_writers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
