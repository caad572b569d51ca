#include "tests/unit/reasoner/memory_kit.h"

#include <math.h>

static void near(double have, double want)
{
	if (fabs(have - want) > 1e-6)
		fail_msg("%.9f, not %.9f", have, want);
}

/* Closed forms, and values of R's qbeta(). */
static void test_quantiles(void **state)
{
	(void)state;
	near(beta_quantile(1, 1, 0.05), 0.05);
	near(beta_quantile(2, 1, 0.25), 0.5);
	near(beta_quantile(1, 2, 0.75), 0.5);
	near(beta_quantile(11, 1, 0.05), pow(0.05, 1.0 / 11));
	near(beta_quantile(3, 3, 0.5), 0.5);
	near(beta_quantile(1, 1001, 0.05), 1 - pow(0.95, 1.0 / 1001));
	near(beta_quantile(500, 500, 0.5), 0.5);
}

static void note(struct kit *k, const char *type, const char *who, const char *tool, bool success)
{
	struct store_txn *txn = store_begin_write(k->store);
	struct statistic_key key = {type, who, tool};
	assert_int_equal(statistics_note(txn, &key, success), 0);
	assert_int_equal(store_commit(txn), 0);
}

static struct statistic get(struct kit *k, const char *type, const char *who, const char *tool)
{
	struct statistic s;
	struct statistic_key key = {type, who, tool};
	auto_txn txn = store_begin_read(k->store);
	assert_int_equal(statistics_get(txn, &key, NULL, &s), 0);
	return s;
}

static void test_posterior(void **state)
{
	(void)state;
	struct kit k;
	kit_open(&k);
	struct statistic s = get(&k, "t", "rex", "");
	assert_int_equal(s.successes, 0);
	near(s.mean, 0.5);
	near(s.lower, 0.05);
	for (int i = 0; i < 10; i++)
		note(&k, "t", "rex", NULL, true);
	s = get(&k, "t", "rex", "");
	assert_int_equal(s.successes, 10);
	near(s.mean, 11.0 / 12);
	near(s.lower, pow(0.05, 1.0 / 11));
	note(&k, "t", "rex", NULL, false);
	assert_true(get(&k, "t", "rex", "").lower < s.lower);
	struct statistic_prior strict = {1, 9, 0.5};
	struct statistic_key nobody = {"t", "nobody", ""};
	auto_txn txn = store_begin_read(k.store);
	assert_int_equal(statistics_get(txn, &nobody, &strict, &s), 0);
	near(s.mean, 0.1);
	store_end(txn);
	txn = NULL;
	kit_close(&k);
}

/* A fix that did not last is a failure; a success that is not there is not taken back twice. */
static void test_correction(void **state)
{
	(void)state;
	struct kit k;
	kit_open(&k);
	note(&k, "t", "rex", "", true);
	for (int i = 0; i < 2; i++) {
		struct store_txn *txn = store_begin_write(k.store);
		assert_int_equal(statistics_correct(txn, &(struct statistic_key){"t", "rex", ""}),
				 0);
		assert_int_equal(store_commit(txn), 0);
	}
	assert_int_equal(get(&k, "t", "rex", "").successes, 0);
	assert_int_equal(get(&k, "t", "rex", "").failures, 2);
	kit_close(&k);
}

struct outcome {
	Healbus__Plan plan;
	Healbus__Outcome outcome;
	Healbus__StepReport steps[3], *list[3];
};

static void outcome(struct outcome *o, Healbus__Verdict verdict)
{
	static const Healbus__StepState states[] = {HEALBUS__STEP_STATE__STEP_DONE,
						    HEALBUS__STEP_STATE__STEP_FAILED,
						    HEALBUS__STEP_STATE__STEP_SKIPPED};
	memset(o, 0, sizeof(*o));
	healbus__plan__init(&o->plan);
	healbus__outcome__init(&o->outcome);
	o->plan.failure_type = kit_text("rust-test");
	o->plan.specialist = kit_text("rex");
	SET(&o->outcome, verdict, verdict);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		healbus__step_report__init(&o->steps[i]);
		o->steps[i].tool = kit_text(i ? "code_push" : "code_fix");
		SET(&o->steps[i], phase, HEALBUS__PHASE__PHASE_ACT);
		SET(&o->steps[i], state, states[i]);
		o->list[i] = &o->steps[i];
	}
	o->outcome.steps = o->list;
	o->outcome.n_steps = ARRAY_SIZE(states);
}

static const struct {
	Healbus__Verdict verdict;
	uint64_t successes, failures, pushed, push_failed;
} verdicts[] = {
	{HEALBUS__VERDICT__VERDICT_HEALED, 1, 0, 0, 1},
	{HEALBUS__VERDICT__VERDICT_FAILED, 0, 1, 0, 1},
	{HEALBUS__VERDICT__VERDICT_ROLLED_BACK, 0, 1, 0, 1},
	{HEALBUS__VERDICT__VERDICT_REFUSED, 0, 0, 0, 0},
	{HEALBUS__VERDICT__VERDICT_DENIED, 0, 0, 0, 0},
	{HEALBUS__VERDICT__VERDICT_REHEARSED, 0, 0, 0, 0},
};

static void test_outcomes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
		struct kit k;
		struct outcome o;
		kit_open(&k);
		outcome(&o, verdicts[i].verdict);
		struct store_txn *txn = store_begin_write(k.store);
		assert_int_equal(statistics_outcome(txn, &o.plan, &o.outcome), 0);
		assert_int_equal(store_commit(txn), 0);
		struct statistic all = get(&k, "rust-test", "rex", "");
		struct statistic push = get(&k, "rust-test", "rex", "code_push");
		assert_int_equal(all.successes, verdicts[i].successes);
		assert_int_equal(all.failures, verdicts[i].failures);
		assert_int_equal(push.successes, verdicts[i].pushed);
		assert_int_equal(push.failures, verdicts[i].push_failed);
		kit_close(&k);
	}
}

static void test_lists(void **state)
{
	(void)state;
	struct kit k;
	struct statistic_record *r;
	struct misrouted *m;
	size_t n;
	kit_open(&k);
	note(&k, "rust-test", "rex", "", true);
	note(&k, "rust-test", "atlas", "", false);
	note(&k, "rust-test", "rex", "code_fix", true);
	note(&k, "rust-test-flaky", "rex", "", true);
	struct store_txn *w = store_begin_write(k.store);
	for (int i = 0; i < 2; i++)
		assert_int_equal(statistics_misrouted(w, "rust-test", "atlas", "rex"), 0);
	assert_int_equal(statistics_misrouted(w, "rust-test", "rex", "rex"), 0);
	assert_int_equal(statistics_misrouted(w, "no token!", "rex", "atlas"), ERR_INVALID);
	assert_int_equal(store_commit(w), 0);
	struct store_txn *txn = store_begin_read(k.store);
	assert_int_equal(statistics_for_type(txn, "rust-test", NULL, &k.arena, &r, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(r[0].specialist, "atlas");
	assert_int_equal(r[0].s.failures, 1);
	assert_string_equal(r[1].specialist, "rex");
	assert_int_equal(r[1].s.successes, 1);
	assert_int_equal(statistics_for_type(txn, NULL, NULL, &k.arena, &r, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(statistics_all(txn, NULL, &k.arena, &r, &n), 0);
	assert_int_equal(n, 4);
	assert_int_equal(statistics_misroutes(txn, &k.arena, &m, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(m[0].times, 2);
	assert_string_equal(m[0].healed_by, "rex");
	store_end(txn);
	kit_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quantiles),  cmocka_unit_test(test_posterior),
		cmocka_unit_test(test_correction), cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
