/*
 * The same messages give the same state and the same outputs, whatever is delivered twice, and
 * whether the state was kept or made anew.
 */
#include "tests/unit/reasoner/world.h"

static const char runbook[] = "name: one\n"
			      "description: ways\n"
			      "match: ['alertname=\"Down\"']\n"
			      "attempts:\n"
			      "  - {why: 'a', steps: [{tool: a, target: web}]}\n"
			      "  - {why: 'b', steps: [{tool: b, target: web}]}\n"
			      "cooldown: 1m\n"
			      "effective_window: 20m\n"
			      "resolve_within: 5m\n";

static uint64_t seed;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

struct actor {
	char id[16];
	int key;
	int revision;
	bool open;
};

static void new_episode(struct actor *a, size_t i, int n)
{
	a->revision = 0;
	snprintf(a->id, sizeof(a->id), "i%zu-%d", i, n);
	a->key = (int)(i % 4);
}

static void speak(struct world *w, struct actor *a, const char *state)
{
	auto_free char *key = mem_printf("k%d", a->key);
	a->open = str_eq(state, "open");
	world_incident(w, a->id, key, state, ++a->revision, "");
}

static void report(struct world *w, size_t n)
{
	json_t *plan = world_output(w, KIND_PLAN, -1);
	if (!plan)
		return;
	auto_free char *id = mem_printf("s%zu", n);
	auto_free char *json = mem_printf("{\"incident\":\"%s\",\"plan_id\":\"%s\",\"step_id\":"
					  "\"%s\",\"state\":\"%s\",\"phase\":\"act\"}",
					  text_of(plan, "incident"), text_of(plan, "id"), id,
					  rnd(2) ? "started" : "waiting");
	json_decref(plan);
	world_send(w, "step", id, json);
}

/* An hour or two of incidents, outcomes, reports, humans and ticks, at random. */
static void live(struct world *w, size_t steps)
{
	static const char *const verdicts[] = {"healed",  "healed",  "healed",  "failed",
					       "unknown", "refused", "expired", "rolled_back"};
	struct actor actors[6] = {0};
	for (size_t n = 0; n < steps; n++) {
		size_t i = rnd(ARRAY_SIZE(actors));
		struct actor *a = &actors[i];
		w->now_ms += (int64_t)rnd(180000);
		auto_free char *id = mem_printf("c%zu", n);
		auto_free char *ack = mem_printf(
			"{\"id\":\"%s\",\"kind\":\"ack\",\"incident\":\"%s\"}", id, a->id);
		auto_free char *change = mem_printf(",\"changes\":[{\"id\":\"ch%zu\",\"tool\":"
						    "\"a\",\"target\":\"web\",\"undo\":"
						    "{\"tool\":\"a\",\"target\":\"web\"}}]",
						    n);
		if (!a->open && rnd(3) && a->revision && a->revision < 6)
			speak(w, a, "open");
		else if (!a->open) {
			new_episode(a, i, (int)n);
			speak(w, a, "open");
		} else if (rnd(3) == 0)
			speak(w, a, rnd(4) ? "resolved" : "suppressed");
		else if (rnd(4) == 0)
			report(w, n);
		else if (rnd(20) == 0)
			world_send(w, "control", id, ack);
		else if (rnd(8) == 0)
			world_tick(w, (int64_t)rnd(4000000));
		else if (world_outputs(w, KIND_PLAN))
			world_outcome(w, verdicts[rnd(ARRAY_SIZE(verdicts))], "r", change);
	}
}

/* Ids name the place of their cause in the stream, which duplicates before it move. */
static void assert_same_id(const char *a, const char *b)
{
	const char *place_a = strrchr(a, '@'), *place_b = strrchr(b, '@');
	assert_true(place_a && place_b);
	assert_int_equal(place_a - a, place_b - b);
	assert_memory_equal(a, b, (size_t)(place_a - a));
	assert_string_equal(strchr(place_a, ':'), strchr(place_b, ':'));
}

static void assert_same_outputs(const struct world *a, const struct world *b)
{
	assert_int_equal(a->out.n, b->out.n);
	for (size_t i = 0; i < a->out.n; i++) {
		assert_string_equal(a->out.items[i].subject, b->out.items[i].subject);
		assert_same_id(a->out.items[i].id, b->out.items[i].id);
		assert_int_equal(a->out.items[i].time_ms, b->out.items[i].time_ms);
		assert_int_equal(a->out.items[i].len, b->out.items[i].len);
		assert_memory_equal(a->out.items[i].data, b->out.items[i].data,
				    a->out.items[i].len);
	}
}

static void assert_same_state(const struct world *a, const struct world *b)
{
	uint8_t x[DIGEST_BYTES];
	uint8_t y[DIGEST_BYTES];
	assert_int_equal(fold_hash(a->f, x), 0);
	assert_int_equal(fold_hash(b->f, y), 0);
	assert_memory_equal(x, y, sizeof(x));
}

/* Plays w's input to a second reasoner; `again` repeats a random earlier message after each. */
static void play(const struct world *w, struct world *other, bool again)
{
	world_open(other, runbook);
	other->config.cases.max_open_plans = w->config.cases.max_open_plans;
	other->no_echo = true;
	for (size_t i = 0; i < w->in.n; i++) {
		world_feed(other, &w->in.items[i]);
		for (size_t k = again ? rnd(3) : 0; k > 0; k--)
			world_feed(other, &w->in.items[rnd(i + 1)]);
	}
}

static void run(bool again)
{
	for (int round = 0; round < 8; round++) {
		struct world w;
		struct world other;
		world_open(&w, runbook);
		w.config.cases.max_open_plans = 3;
		live(&w, 150);
		play(&w, &other, again);
		assert_same_state(&w, &other);
		assert_same_outputs(&w, &other);
		world_close(&other);
		world_close(&w);
	}
}

static void replay_is_identical(void **state)
{
	(void)state;
	run(false);
}

static void redelivery_changes_nothing(void **state)
{
	(void)state;
	run(true);
}

/* However it goes: no more plans than the limits allow, each incident escalated once at most. */
static void limits_hold(void **state)
{
	(void)state;
	for (int round = 0; round < 8; round++) {
		struct world w;
		world_open(&w, runbook);
		live(&w, 200);
		json_t *plans = json_object();
		json_t *told = json_object();
		json_t *message;
		for (int i = 0; (message = world_output(&w, KIND_PLAN, i)); i++) {
			const char *id = text_of(message, "incident");
			int64_t n = json_integer_value(json_object_get(plans, id)) + 1;
			json_object_set_new(plans, id, json_integer(n));
			assert_true(n <= 4); /* three, and one more for an expired one */
			assert_true(number_of(message, "attempt") <= 3);
			json_decref(message);
		}
		for (int i = 0; (message = world_output(&w, KIND_INCIDENT, i)); i++) {
			assert_null(json_object_get(told, text_of(message, "id")));
			json_object_set_new(told, text_of(message, "id"), json_true());
			json_decref(message);
		}
		json_decref(plans);
		json_decref(told);
		world_close(&w);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(replay_is_identical),
	cmocka_unit_test(redelivery_changes_nothing),
	cmocka_unit_test(limits_hold),
};

int main(void)
{
	const char *given = getenv("TEST_SEED");
	seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 2654435761U + 1;
	printf("# TEST_SEED=%" PRIu64 "\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
