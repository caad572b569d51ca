#include "tests/unit/reasoner/memory_kit.h"

#include "reasoner/memory/signature.h"

/* A failure that is told from others by one word. */
static void failure(struct kit_case *c, const char *id, const char *word)
{
	kit_case(c, id, "docker-build");
	snprintf(c->text[0], sizeof(c->text[0]), "ERROR: failed to solve: %s not found", word);
	snprintf(c->text[1], sizeof(c->text[1]), "step 4/9: RUN apt-get install -y %s", word);
	kit_label(c, "repository", "octo/repo");
	kit_line(c, c->text[0]);
	kit_line(c, c->text[1]);
}

static void remember(struct kit *k, const char *id, const char *word, bool healed, size_t max)
{
	struct kit_case c;
	failure(&c, id, word);
	kit_step(&c, "code_fix", "Take another image.\nAnd more.");
	kit_tried(&c, "code_push(octo_repo)", "checks failed");
	kit_note(k, &c, healed, max);
}

static char *first_id(struct kit *k, const char *word, struct memory_index *index)
{
	struct kit_case c;
	failure(&c, "asked", word);
	Healbus__Recalled *r = kit_first(k, &c, index);
	return r ? r->incident : kit_text("");
}

static size_t count(struct kit *k)
{
	auto_txn txn = store_begin_read(k->store);
	return memory_count(txn);
}

static void test_recall(void **state)
{
	(void)state;
	struct kit k;
	struct kit_case c;
	kit_open(&k);
	failure(&c, "asked", "libfoo");
	assert_null(kit_first(&k, &c, NULL));
	remember(&k, "i1", "libfoo", true, 0);
	remember(&k, "i2", "libbar", false, 0);
	Healbus__Recalled *r = kit_first(&k, &c, NULL);
	assert_string_equal(r->incident, "i1");
	assert_true(r->similarity > 0.99 && r->similarity <= 1);
	assert_string_equal(r->failure_type, "docker-build");
	assert_true(r->healed);
	assert_int_equal(r->took_ms, 60000);
	assert_int_equal(r->n_steps, 1);
	assert_string_equal(r->steps[0]->tool, "code_fix");
	assert_string_equal(r->what, "code_fix(octo_repo): Take another image.; did not help: "
				     "code_push(octo_repo): checks failed");
	assert_string_equal(first_id(&k, "libbar", NULL), "i2");
	failure(&c, "i1", "libfoo");
	assert_string_equal(kit_first(&k, &c, NULL)->incident, "i2");
	kit_close(&k);
}

/* What did not heal is remembered without steps to repeat. */
static void test_unhealed(void **state)
{
	(void)state;
	struct kit k;
	struct kit_case c;
	kit_open(&k);
	remember(&k, "i2", "libbar", false, 0);
	failure(&c, "asked", "libbar");
	Healbus__Recalled *r = kit_first(&k, &c, NULL);
	assert_false(r->healed);
	assert_int_equal(r->n_steps, 0);
	assert_string_equal(r->what, "did not help: code_push(octo_repo): checks failed");
	Healbus__ModelExchange *row;
	auto_txn txn = store_begin_read(k.store);
	assert_int_equal(memory_of(txn, "i2", &k.arena, &row), 0);
	assert_int_equal(row->subject->n_tried, 1);
	assert_int_equal(memory_of(txn, "i3", &k.arena, &row), ERR_NOT_FOUND);
	store_end(txn);
	txn = NULL;
	kit_close(&k);
}

/* Escalated first, resolved later: one memory, the latest. */
static void test_noted_again(void **state)
{
	(void)state;
	struct kit k;
	struct kit_case c;
	struct memory_index index = {0};
	kit_open(&k);
	remember(&k, "i1", "libfoo", false, 0);
	failure(&c, "asked", "libfoo");
	assert_false(kit_first(&k, &c, &index)->healed);
	remember(&k, "i1", "libfoo", true, 0);
	assert_int_equal(count(&k), 1);
	assert_true(kit_first(&k, &c, &index)->healed);
	memory_index_release(&index);
	kit_close(&k);
}

/* A case with edits of so many bytes in its step. */
static void edits(struct kit_case *c, Healbus__Param *p, Healbus__Param **list, char *text)
{
	kit_step(c, "code_fix", "why");
	healbus__param__init(p);
	p->name = kit_text("edits");
	p->text_value = text;
	list[0] = p;
	c->step.params = list;
	c->step.n_params = 1;
}

/* All steps of an answer fit into a message: the least alike are told without theirs. */
static void test_steps_of_many(void **state)
{
	(void)state;
	enum { EACH = 30000, FIT = MEMORY_RECALLED_MAX_BYTES / EACH };
	struct kit k;
	struct kit_case c;
	Healbus__Param p, *list[1];
	Healbus__Recalled **found;
	size_t n;
	auto_free char *text = mem_alloc(EACH + 1);
	memset(text, 'x', EACH);
	kit_open(&k);
	for (int i = 0; i < FIT + 2; i++) {
		char id[16];
		snprintf(id, sizeof(id), "i%d", i);
		failure(&c, id, "libfoo");
		edits(&c, &p, list, text);
		kit_note(&k, &c, true, 0);
	}
	failure(&c, "asked", "libfoo");
	auto_txn txn = store_begin_read(k.store);
	struct memory_query q = {.incident = &c.incident, .diagnosis = &c.diagnosis};
	assert_int_equal(memory_recall(txn, &q, &k.arena, &found, &n), 0);
	assert_int_equal(n, FIT + 2);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(found[i]->n_steps, i < FIT);
	store_end(txn);
	txn = NULL;
	kit_close(&k);
}

/* Too big to keep: the memory stays, its steps do not. */
static void test_big_steps(void **state)
{
	(void)state;
	struct kit k;
	struct kit_case c;
	Healbus__Param p, *list[1];
	auto_free char *text = mem_alloc(MEMORY_STEPS_MAX_BYTES + 1);
	memset(text, 'x', MEMORY_STEPS_MAX_BYTES);
	kit_open(&k);
	failure(&c, "i1", "libfoo");
	edits(&c, &p, list, text);
	kit_note(&k, &c, true, 0);
	failure(&c, "asked", "libfoo");
	assert_int_equal(kit_first(&k, &c, NULL)->n_steps, 0);
	kit_close(&k);
}

/* The oldest go first; what healed stays longer, what helped again longer still. */
static void test_forgetting(void **state)
{
	(void)state;
	struct kit k;
	kit_open(&k);
	remember(&k, "old-healed", "w1", true, 4);
	remember(&k, "old", "w2", false, 4);
	remember(&k, "helped", "w3", false, 4);
	remember(&k, "new", "w4", false, 4);
	struct store_txn *txn = store_begin_write(k.store);
	assert_int_equal(memory_used(txn, "helped", true), 0);
	assert_int_equal(memory_used(txn, "nobody", true), 0);
	assert_int_equal(store_commit(txn), 0);
	assert_int_equal(count(&k), 4);
	static const char *const order[] = {"old", "new", "a", "b"};
	Healbus__ModelExchange *row;
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		char id[8];
		snprintf(id, sizeof(id), "%c", (char)('a' + i));
		remember(&k, id, "w5", false, 4);
		assert_int_equal(count(&k), 4);
		txn = store_begin_read(k.store);
		assert_int_equal(memory_of(txn, order[i], &k.arena, &row), ERR_NOT_FOUND);
		assert_int_equal(memory_of(txn, "old-healed", &k.arena, &row), 0);
		assert_int_equal(memory_of(txn, "helped", &k.arena, &row), 0);
		store_end(txn);
	}
	kit_close(&k);
}

enum { MANY = 300, FEW = 120 };

static const char *name_of(char out[static 16], int i)
{
	snprintf(out, 16, "lib%c%c%c", 'a' + i % 26, 'a' + i / 26 % 26, 'a' + i / 7 % 26);
	return out;
}

static void live(struct kit *k)
{
	char id[16], word[16];
	for (int i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "i%d", i % (MANY - 20));
		remember(k, id, name_of(word, i), i % 3 == 0, FEW);
	}
}

/* The same messages, the same bytes: so a deleted store comes back as it was. */
static void test_the_same_again(void **state)
{
	(void)state;
	uint8_t a[32], b[32];
	struct kit k;
	kit_open(&k);
	live(&k);
	assert_int_equal(count(&k), FEW);
	kit_hash(&k, a);
	store_close(k.store);
	kit_open_store(&k);
	kit_hash(&k, b);
	assert_memory_equal(a, b, sizeof(a));
	kit_close(&k);
	kit_open(&k);
	live(&k);
	kit_hash(&k, b);
	assert_memory_equal(a, b, sizeof(a));
	kit_close(&k);
}

/* An index that grew with the store finds what a new one finds, forgotten rows included. */
static void test_index_follows(void **state)
{
	(void)state;
	struct kit k;
	struct memory_index index = {0};
	kit_open(&k);
	char id[16], word[16];
	for (int i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "i%d", i);
		remember(&k, id, name_of(word, i), true, FEW);
		assert_string_equal(first_id(&k, word, &index), id);
		if (i >= FEW) {
			name_of(word, i - FEW + 1);
			assert_string_equal(first_id(&k, word, &index), first_id(&k, word, NULL));
		}
	}
	assert_true(index.n >= FEW && index.n <= FEW * 2);
	memory_index_release(&index);
	kit_close(&k);
}

/* What was forgotten since the index was made keeps no living memory out. */
static void test_forgotten_rows(void **state)
{
	(void)state;
	enum { CROWD = 2 * MEMORY_CANDIDATES, ALL = 10 * CROWD };
	struct kit k;
	struct memory_index index = {0};
	char id[16], word[16];
	kit_open(&k);
	for (int i = 0; i < ALL; i++) {
		snprintf(id, sizeof(id), "i%d", i);
		remember(&k, id, i < CROWD ? "libfoo" : name_of(word, i), false, ALL);
	}
	assert_string_equal(first_id(&k, "libfoo", &index), "i127");
	for (int i = 0; i < CROWD; i++) {
		snprintf(id, sizeof(id), "n%d", i);
		remember(&k, id, i ? name_of(word, i) : "libfoo libbar", false, ALL);
	}
	assert_int_equal(count(&k), ALL);
	assert_string_equal(first_id(&k, "libfoo", &index), "n0");
	assert_true(index.n > ALL); /* it was not made anew */
	memory_index_release(&index);
	kit_close(&k);
}

/* Of equals, the one that healed; then the later. */
static void test_equals(void **state)
{
	(void)state;
	struct kit k;
	kit_open(&k);
	remember(&k, "a", "libfoo", true, 0);
	remember(&k, "b", "libfoo", true, 0);
	remember(&k, "c", "libfoo", false, 0);
	assert_string_equal(first_id(&k, "libfoo", NULL), "b");
	kit_close(&k);
}

static int find(struct kit *k, const char *prefix, char out[static TOKEN_MAX + 1])
{
	auto_txn txn = store_begin_read(k->store);
	return memory_find(txn, prefix, out);
}

/* By the beginning of its id, when that is one's only. */
static void test_find(void **state)
{
	(void)state;
	struct kit k;
	char id[TOKEN_MAX + 1];
	kit_open(&k);
	remember(&k, "abc", "w", true, 0);
	remember(&k, "abcd", "w", true, 0);
	remember(&k, "xyz", "w", true, 0);
	assert_int_equal(find(&k, "x", id), 0);
	assert_string_equal(id, "xyz");
	assert_int_equal(find(&k, "abc", id), 0);
	assert_string_equal(id, "abc");
	assert_int_equal(find(&k, "ab", id), ERR_NOT_FOUND);
	assert_int_equal(find(&k, "q", id), ERR_NOT_FOUND);
	kit_close(&k);
}

static void test_text_and_limits(void **state)
{
	(void)state;
	struct kit k;
	Healbus__Recalled **found;
	Healbus__ModelExchange *rows[8];
	size_t n;
	char id[16];
	kit_open(&k);
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "i%d", i);
		remember(&k, id, "libfoo", true, 0);
	}
	struct store_txn *txn = store_begin_read(k.store);
	struct memory_query q = {.text = "failed to solve: libfoo not found"};
	assert_int_equal(memory_recall(txn, &q, &k.arena, &found, &n), 0);
	assert_int_equal(n, WIRE_RECALLED_MAX);
	assert_string_equal(found[0]->incident, "i19");
	q.least = 0.999;
	assert_int_equal(memory_recall(txn, &q, &k.arena, &found, &n), 0);
	assert_int_equal(n, 0);
	q = (struct memory_query){.text = "???"};
	assert_int_equal(memory_recall(txn, &q, &k.arena, &found, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(memory_latest(txn, ARRAY_SIZE(rows), &k.arena, rows, &n), 0);
	assert_int_equal(n, ARRAY_SIZE(rows));
	assert_string_equal(rows[0]->incident, "i19");
	store_end(txn);
	kit_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recall),         cmocka_unit_test(test_unhealed),
		cmocka_unit_test(test_noted_again),    cmocka_unit_test(test_big_steps),
		cmocka_unit_test(test_forgetting),     cmocka_unit_test(test_the_same_again),
		cmocka_unit_test(test_index_follows),  cmocka_unit_test(test_equals),
		cmocka_unit_test(test_find),           cmocka_unit_test(test_steps_of_many),
		cmocka_unit_test(test_forgotten_rows), cmocka_unit_test(test_text_and_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
