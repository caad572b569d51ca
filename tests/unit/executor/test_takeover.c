/* Whatever call fails, whoever dies, whoever takes over: an act runs at most once and the outcome
 * does not lie. */
#include "tests/unit/executor/plan_kit.h"

/* ---- others ---- */

/* Stopped past its leases after the last look at them, a process must not begin when it wakes up:
 * others have gone on without it. */
static void test_stalled(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	world->stall_ms = LOCK_KILL_MS;
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	assert_true(waited_for("its locks ran out before it began"));
	assert_int_equal(ran("a"), 0);
	world->stall_ms = 0;
	world_expire();
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_HEALED, "all steps done");
	assert_int_equal(ran("a"), 1);
	arena_release(&arena);
}

/* Who claimed a step, did not begin it and lives on does not keep others from it: they hold the
 * plan's lock, and he may be waiting for a step that they have claimed. */
static void test_claimed_by_somebody_alive(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	struct slot slot;
	struct claim claim = {0};
	struct why why = {0};
	struct plan_run run = {0};
	auto_buf packed = {0};
	uint8_t digest[DIGEST_BYTES];
	wire_pack(&d.plan->base, &packed);
	plan_digest(packed.data, packed.len, digest);
	hex_encode(digest, sizeof(digest), run.digest_hex);
	slot_init(&slot, &run, HEALBUS__PHASE__PHASE_ACT, 0, NULL);
	assert_int_equal(claim_advance(NULL, slot.id, &claim, CLAIM_CLAIMED, "other", "otherboot",
				       NULL, 0, &why),
			 0);
	assert_int_equal(live_beat(NULL, "otherboot", "other", &why), 0);
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_HEALED, "all steps done");
	assert_int_equal(ran("a"), 1);
	claim_release(&claim);
	arena_release(&arena);
}

/* The bus lost the plan and the claims, and got the plan again: who has no record of it cannot know
 * whether another one ran it. Who has one goes by it. */
static void test_bus_forgot(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one",
			     .again = true};
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_UNKNOWN, "nobody knows");
	assert_int_equal(ran("a"), 0);
	d.again = false;
	d.plan = support_plan(&arena, "ledger", "t", PARAMS("run=b"));
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(ran("b"), 1);
	world_free();
	world_new();
	d.again = true;
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_HEALED, "all steps done");
	assert_int_equal(ran("b"), 1);
	arena_release(&arena);
}

/* ---- trouble at every call ---- */

static void forget_all(void)
{
	auto_free char *ledger = mem_printf("%s/ledger", dir);
	auto_free char *one = mem_printf("%s/one", dir);
	auto_free char *two = mem_printf("%s/two", dir);
	memset(world, 0, sizeof(*world));
	support_remove(ledger);
	support_remove(one);
	support_remove(two);
	assert_int_equal(mkdir(ledger, 0777), 0);
}

static void check_world(unsigned at, const char *what)
{
	struct arena arena = {0};
	const Healbus__Outcome *o =
		(const Healbus__Outcome *)world_message(KIND_OUTCOME, 0, &arena);
	size_t n = ran("a");
	if (!o || world_count(KIND_OUTCOME) != 1 || n > 1)
		fail_msg("%s at call %u: %zu outcomes, %zu runs", what, at,
			 world_count(KIND_OUTCOME), n);
	bool healed = o->verdict == HEALBUS__VERDICT__VERDICT_HEALED;
	bool unknown = o->verdict == HEALBUS__VERDICT__VERDICT_UNKNOWN;
	if ((!healed && !unknown) || (healed && n != 1))
		fail_msg("%s at call %u: %s after %zu runs", what, at,
			 wire_enum_name(&healbus__verdict__descriptor, (int)o->verdict), n);
	arena_release(&arena);
}

/* False when the plan was over before that call. */
static bool trouble_at(enum trouble trouble, unsigned at, const char *successor)
{
	struct arena arena = {0};
	forget_all();
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	world->trouble = trouble;
	world->at = at;
	int first = deliver_forked(&d);
	bool reached = world->calls >= at;
	world->trouble = TROUBLE_NONE;
	d.journal = successor;
	int end = first;
	for (int tries = 0; end != PLAN_SETTLED && tries < 5; tries++) {
		world_expire();
		end = deliver_forked(&d);
	}
	assert_int_equal(end, PLAN_SETTLED);
	check_world(at, successor);
	arena_release(&arena);
	return reached;
}

static void trouble_everywhere(enum trouble trouble, const char *successor)
{
	unsigned at = 1;
	while (trouble_at(trouble, at, successor))
		at++;
	printf("# %u calls, each in trouble once\n", at - 1);
	assert_true(at > 15);
}

static void test_dies(void **state)
{
	(void)state;
	trouble_everywhere(DIE_BEFORE, "one");
	trouble_everywhere(DIE_AFTER, "one");
}

static void test_dies_for_good(void **state)
{
	(void)state;
	trouble_everywhere(DIE_BEFORE, "two");
	trouble_everywhere(DIE_AFTER, "two");
}

static void test_bus_fails(void **state)
{
	(void)state;
	trouble_everywhere(FAIL_BEFORE, "one");
	trouble_everywhere(FAIL_AFTER, "one");
}

/* ---- what comes late ---- */

/* The first act of a plan of one step, and as much of the run as names it. */
static void act_slot(const struct delivery *d, struct plan_run *run, struct slot *out)
{
	auto_buf packed = {0};
	uint8_t digest[DIGEST_BYTES];
	wire_pack(&d->plan->base, &packed);
	plan_digest(packed.data, packed.len, digest);
	hex_encode(digest, sizeof(digest), run->digest_hex);
	id_make(run->outcome_id, "outcome", run->digest_hex);
	slot_init(out, run, HEALBUS__PHASE__PHASE_ACT, 0, NULL);
}

static bool is_started(const struct slot *slot)
{
	const struct world_key *k = key_find(BUCKET_CLAIM, slot->id);
	return k->revision && str_starts(k->data, "1 started");
}

/* The start of a step was done although its answer was lost, and was withdrawn: as soon as that is
 * seen, the claim says so, or others would wait for as long as we live. */
static void test_withdrawn_start(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct lock lock;
	struct why why = {0};
	struct slot slot;
	struct plan_run run = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	act_slot(&d, &run, &slot);
	for (unsigned at = 1; !is_started(&slot); at++) {
		forget_all();
		world->trouble = FAIL_AFTER;
		world->at = at;
		(void)deliver_forked(&d);
		assert_true(at < 40);
	}
	world->trouble = TROUBLE_NONE;
	world_expire();
	struct holder *other = holder_new("other", "boot");
	assert_int_equal(lock_acquire(NULL, other, "target-t", "somebody", &lock, &why), 0);
	assert_int_equal(deliver_forked(&d), PLAN_WAIT);
	assert_false(is_started(&slot));
	assert_int_equal(ran("a"), 0);
	lock_release_held(NULL, other, &lock);
	holder_free(other);
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	assert_int_equal(ran("a"), 1);
	arena_release(&arena);
}

/* Somebody has seen that nothing had begun, and was stopped before he said how the plan ended; or
 * his words are still on their way. Once a step has been started they are refused. */
static void test_late_outcome(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	struct plan_run run = {0};
	struct slot slot;
	act_slot(&d, &run, &slot);
	for (unsigned at = 1; !is_started(&slot); at++) {
		forget_all();
		world->trouble = DIE_AFTER;
		world->at = at;
		(void)deliver_forked(&d); /* a call that only reads does not die of it */
		assert_true(at < 40);
	}
	world->trouble = TROUBLE_NONE;
	auto_free char *key = mem_printf("plan-%s", run.outcome_id);
	static const char done[] = "1 done somebody boot\n";
	assert_int_equal(bus_kv_put(NULL, BUCKET_CLAIM, key, done, strlen(done), 0, NULL, NULL),
			 ERR_CONFLICT);
	arena_release(&arena);
}

/* ---- a bus that was restored from a backup ---- */

static void say_incident(const char *token, int64_t opened_ms)
{
	Healbus__Incident i = HEALBUS__INCIDENT__INIT;
	char subject[SUBJECT_MAX + 1];
	auto_buf packed = {0};
	i.id = i.key = (char *)(uintptr_t)token;
	i.set_by = (char *)"monitor";
	SET(&i, opened_at_ms, opened_ms);
	wire_pack(&i.base, &packed);
	const struct bus_msg m = {.subject = subject_story(subject, KIND_INCIDENT, token),
				  .data = packed.data,
				  .len = packed.len};
	assert_int_equal(bus_publish(NULL, &m, 0, NULL, NULL), 0);
}

static void restored_at(const char *ms)
{
	assert_int_equal(bus_kv_set(NULL, BUCKET_CLAIM, CLAIM_RESTORED, ms, strlen(ms), NULL, NULL),
			 0);
}

/* When the bus was restored, when the plan was made and its incident opened; who asked for it. */
static const struct {
	const char *restored;
	int64_t created_ms, opened_ms;
	Healbus__Provenance provenance;
	int runs;
} restores[] = {
	{"2000", 1000, 1000, HEALBUS__PROVENANCE__PROVENANCE_RUNBOOK, 0},
	{"2000", 1999, 0, HEALBUS__PROVENANCE__PROVENANCE_AGENT, 0},
	{"2000", 3000, 1000, HEALBUS__PROVENANCE__PROVENANCE_MODEL, 0},
	{"2000", 3000, 2500, HEALBUS__PROVENANCE__PROVENANCE_MODEL, 1},
	{"2000", 3000, 1000, HEALBUS__PROVENANCE__PROVENANCE_UNDO, 1},
	{"2000", 3000, 1000, HEALBUS__PROVENANCE__PROVENANCE_AGENT, 1},
	{"nonsense", 3000, 2500, HEALBUS__PROVENANCE__PROVENANCE_RUNBOOK, 0},
};

static void test_bus_restored(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(restores); i++) {
		struct arena arena = {0};
		char run[16];
		snprintf(run, sizeof(run), "a%zu", i);
		auto_free char *param = mem_printf("run=%s", run);
		Healbus__Plan *plan = support_plan(&arena, "ledger", "t", PARAMS(param));
		struct delivery d = {.plan = plan, .journal = "one"};
		world_free();
		world_new();
		plan->created_at_ms = restores[i].created_ms;
		plan->provenance = restores[i].provenance;
		restored_at(restores[i].restored);
		say_incident("incident-1", restores[i].opened_ms);
		assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
		expect_outcome(restores[i].runs ? HEALBUS__VERDICT__VERDICT_HEALED
						: HEALBUS__VERDICT__VERDICT_UNKNOWN,
			       restores[i].runs ? "all steps done" : "nobody knows");
		assert_int_equal(ran(run), restores[i].runs);
		arena_release(&arena);
	}
}

/* What was claimed, and not begun, when the backup was made may have been begun after it. */
static void test_bus_restored_with_a_claim(void **state)
{
	(void)state;
	static const char claimed[] = "1 claimed somebody boot\n";
	struct arena arena = {0};
	struct slot slot;
	struct plan_run run = {0};
	struct delivery d = {.plan = support_plan(&arena, "ledger", "t", PARAMS("run=a")),
			     .journal = "one"};
	act_slot(&d, &run, &slot);
	assert_int_equal(
		bus_kv_put(NULL, BUCKET_CLAIM, slot.id, claimed, strlen(claimed), 0, NULL, NULL),
		0);
	restored_at("2000000");
	assert_int_equal(deliver_forked(&d), PLAN_SETTLED);
	expect_outcome(HEALBUS__VERDICT__VERDICT_UNKNOWN, "nobody knows");
	assert_int_equal(ran("a"), 0);
	arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_bus_forgot),
					   T(test_stalled),
					   T(test_claimed_by_somebody_alive),
					   T(test_dies),
					   T(test_dies_for_good),
					   T(test_bus_fails),
					   T(test_late_outcome),
					   T(test_withdrawn_start),
					   T(test_bus_restored),
					   T(test_bus_restored_with_a_claim)};
	return run_group(tests, ARRAY_SIZE(tests));
}
