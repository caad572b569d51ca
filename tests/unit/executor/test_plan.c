/* The course of a plan on a faked bus: what runs, what is asked, what waits, and what is said in
 * the end. */
#include "tests/unit/executor/plan_kit.h"

/* ---- the course of a plan ---- */

static void test_healed(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_HEALED, "all steps done");
	assert_int_equal(ran("a"), 1);
	size_t messages = world->n_messages;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	d.journal = "two";
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(world->n_messages, messages);
	assert_int_equal(ran("a"), 1);
	arena_release(&arena);
}

/* With `again` as a second step that cannot succeed. */
static Healbus__Plan *failing_plan(struct arena *arena, const char *tool)
{
	Healbus__Plan *p = support_plan(arena, "ledger", "t", PARAMS("run=a"));
	Healbus__Plan *q = support_plan(arena, tool, "t", PARAMS());
	Healbus__Step **steps = arena_alloc(arena, 2 * sizeof(*steps));
	steps[0] = p->steps[0];
	steps[1] = q->steps[0];
	p->steps = steps;
	p->n_steps = 2;
	return p;
}

static void test_failed(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = failing_plan(&arena, "no"), .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_FAILED, "step 2: it failed (1)");
	assert_int_equal(ran("undo-a"), 0);
	arena_release(&arena);
}

static void test_rolled_back(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Plan *p = failing_plan(&arena, "no");
	SET(p, rollback_on_failure, true);
	struct delivery d = {.plan = p, .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_ROLLED_BACK, "step 2");
	assert_int_equal(ran("undo-a"), 1);
	arena_release(&arena);
}

static void test_keep_going(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Plan *p = failing_plan(&arena, "no");
	SET(p->steps[1], keep_going, true);
	struct delivery d = {.plan = p, .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_HEALED, "step 2 failed, as it may");
	arena_release(&arena);
}

static void test_verify_fails(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Plan *p = support_plan(&arena, "ledger", "t", PARAMS("run=a"));
	Healbus__Check check = HEALBUS__CHECK__INIT;
	check.tool = (char *)"no";
	check.target = (char *)"t";
	SET(&check, deadline_ms, 50);
	SET(&check, interval_ms, 100);
	p->verify = &check;
	struct delivery d = {.plan = p, .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_FAILED, "the plan's check failed");
	arena_release(&arena);
}

/* ---- asking ---- */

static uint8_t any_digest[DIGEST_BYTES];

static void decide(Healbus__Decision *d, Healbus__DecisionVerdict verdict, const char *id)
{
	healbus__decision__init(d);
	d->id = (char *)id;
	d->incident = (char *)"incident-1";
	d->plan_id = (char *)"plan-1";
	d->by = (char *)"kim";
	SET(d, plan_digest, ((ProtobufCBinaryData){.data = any_digest, .len = sizeof(any_digest)}));
	SET(d, verdict, verdict);
}

static void test_asked(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Decision yes, no;
	struct delivery d = {.plan = support_plan(&arena, "ledger", "asked", PARAMS("run=a")),
			     .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(world_count(KIND_APPROVAL), 1);
	assert_int_equal(world_count(KIND_OUTCOME), 0);
	assert_int_equal(ran("a"), 0);
	decide(&yes, HEALBUS__DECISION_VERDICT__DECISION_APPROVE, "d1");
	d.decision = &yes;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_HEALED, "all steps done");
	decide(&no, HEALBUS__DECISION_VERDICT__DECISION_DENY, "d2");
	d.decision = &no;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(world_count(KIND_OUTCOME), 1);
	assert_int_equal(ran("a"), 1);
	arena_release(&arena);
}

static void test_denied(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Decision yes, no;
	struct delivery d = {.plan = support_plan(&arena, "ledger", "asked", PARAMS("run=a")),
			     .journal = "one"};
	decide(&no, HEALBUS__DECISION_VERDICT__DECISION_DENY, "d1");
	d.decision = &no;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_DENIED, "denied by kim");
	decide(&yes, HEALBUS__DECISION_VERDICT__DECISION_APPROVE, "d2");
	d.decision = &yes;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_DENIED, "denied by kim");
	assert_int_equal(ran("a"), 0);
	arena_release(&arena);
}

/* A yes is to what was shown, however well it is signed. */
static void approve_as_shown(uint8_t flip)
{
	struct arena arena = {0};
	Healbus__Decision yes;
	uint8_t shown[DIGEST_BYTES];
	struct delivery d = {.plan = support_plan(&arena, "ledger", "asked", PARAMS("run=a")),
			     .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(world_count(KIND_APPROVAL), 1);
	approval_digest((const Healbus__ApprovalRequest *)world_message(KIND_APPROVAL, 0, &arena),
			shown);
	shown[DIGEST_BYTES - 1] ^= flip;
	decide(&yes, HEALBUS__DECISION_VERDICT__DECISION_APPROVE, "d1");
	SET(&yes, shown_digest, ((ProtobufCBinaryData){.data = shown, .len = sizeof(shown)}));
	d.decision = &yes;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	arena_release(&arena);
}

static void test_approved_what_was_shown(void **state)
{
	(void)state;
	approve_as_shown(0);
	expect_outcome(HEALBUS__VERDICT__VERDICT_HEALED, "all steps done");
	assert_int_equal(ran("a"), 1);
}

static void test_approved_something_else(void **state)
{
	(void)state;
	approve_as_shown(1);
	expect_outcome(HEALBUS__VERDICT__VERDICT_REFUSED, "not what was approved");
	assert_int_equal(ran("a"), 0);
}

/* ---- not now ---- */

static void pause_all(Healbus__ControlKind kind, const char *id)
{
	auto_buf packed = {0};
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	c.id = (char *)id;
	c.by = (char *)"kim";
	SET(&c, kind, kind);
	wire_pack(&c.base, &packed);
	struct bus_msg m = {
		.subject = "heal.control.pause", .id = id, .data = packed.data, .len = packed.len};
	assert_int_equal(bus_publish(NULL, &m, 0, NULL, NULL), 0);
}

static void test_paused(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	pause_all(HEALBUS__CONTROL_KIND__CONTROL_PAUSE, "p1");
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	size_t messages = world->n_messages;
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	assert_int_equal(world->n_messages, messages); /* the reason is said once */
	assert_true(waited_for("paused by kim"));
	pause_all(HEALBUS__CONTROL_KIND__CONTROL_RESUME, "p2");
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(ran("a"), 1);
	arena_release(&arena);
}

static void test_locked(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct lock lock;
	struct why why = {0};
	struct holder *other = holder_new("other", "boot");
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	assert_int_equal(lock_acquire(NULL, other, "target-t", "somebody", &lock, &why), 0);
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	assert_true(waited_for("target-t is held by somebody"));
	lock_release_held(NULL, other, &lock);
	holder_free(other);
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	arena_release(&arena);
}

static void test_cooldown(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	d.plan = support_plan(&arena, "ledger", "t", PARAMS("run=b"));
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	assert_true(waited_for("target t is cooling down"));
	assert_int_equal(ran("b"), 0);
	d.plan = support_plan(&arena, "yes", "t", PARAMS());
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED); /* reading is never held back */
	arena_release(&arena);
}

static void test_min_healthy(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "last", PARAMS("run=a")),
			     .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	assert_true(waited_for("group g has too few healthy members"));
	assert_int_equal(ran("a"), 0);
	/* The member that is down already may be acted upon. */
	d.plan = support_plan(&arena, "ledger", "down", PARAMS("run=b"));
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(ran("b"), 1);
	arena_release(&arena);
}

static void test_expired(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Plan *p = support_plan(&arena, "ledger", "t", PARAMS("run=a"));
	SET(p, not_after_ms, clock_real_ms() - 1);
	struct delivery d = {.plan = p, .journal = "one"};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_EXPIRED, "not_after");
	assert_int_equal(ran("a"), 0);
	arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_healed),
					   T(test_failed),
					   T(test_rolled_back),
					   T(test_keep_going),
					   T(test_verify_fails),
					   T(test_asked),
					   T(test_denied),
					   T(test_approved_what_was_shown),
					   T(test_approved_something_else),
					   T(test_paused),
					   T(test_locked),
					   T(test_cooldown),
					   T(test_min_healthy),
					   T(test_expired)};
	return run_group(tests, ARRAY_SIZE(tests));
}
