/* What the door remembers, against a model that forgets nothing. */
#include "monitor/repeats.h"
#include "common/id.h"
#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>

#define SPAN(text) ((struct json_span){text, sizeof(text) - 1, false})

static const struct identity_frame frame = {.source = "am", .trusted = true, .generation = 1};
static const struct alert_text alert = {
	.status = SPAN("firing"),
	.fingerprint = SPAN("00000000000000ff"),
	.starts_at = SPAN("2026-09-21T14:13:20Z"),
	.ends_at = SPAN("0001-01-01T00:00:00Z"),
	.labels = SPAN("{\"alertname\":\"A\"}"),
	.annotations = SPAN("{\"summary\":\"s\"}"),
};

static struct identity identity_of(const struct repeats *r, const struct identity_frame *f,
				   struct alert_text a)
{
	struct identity id = {0};

	assert_true(identity_make(r, f, &a, &id));
	return id;
}

/* Whatever decides what an alert means is in its identity; what only describes it is not. */
static void test_identity(void **state)
{
	struct repeats *r = repeats_new();
	struct identity id = identity_of(r, &frame, alert), other;
	struct alert_text changed[] = {alert, alert, alert, alert, alert};
	const struct identity_frame frames[] = {
		{"am2", true, 1}, {"am", false, 1}, {"am", true, 2}};

	(void)state;
	assert_int_equal(id.key, 255);
	changed[0].status = SPAN("resolved");
	changed[1].starts_at = SPAN("2026-09-21T14:13:21Z");
	changed[2].ends_at = SPAN("2026-09-21T15:13:20Z");
	changed[3].labels = SPAN("{\"alertname\":\"B\"}");
	changed[4].starts_at = (struct json_span){0};
	for (size_t i = 0; i < ARRAY_SIZE(changed); i++)
		assert_int_not_equal(identity_of(r, &frame, changed[i]).state, id.state);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		assert_int_not_equal(identity_of(r, &frames[i], alert).state, id.state);
	changed[0] = alert;
	changed[0].annotations = SPAN("{\"summary\":\"t\"}");
	other = identity_of(r, &frame, changed[0]);
	assert_memory_equal(&other, &id, sizeof(id));
	repeats_forget(r);
	assert_int_not_equal(identity_of(r, &frame, alert).state, id.state);
	repeats_free(r);
}

/* Bytes that move from one part to the next make another state. */
static void test_identity_borders(void **state)
{
	struct repeats *r = repeats_new();
	struct alert_text a = alert, b = alert;

	(void)state;
	a.starts_at = SPAN("12345678");
	a.ends_at = SPAN("9");
	b.starts_at = SPAN("1234567");
	b.ends_at = SPAN("89");
	assert_int_not_equal(identity_of(r, &frame, a).state, identity_of(r, &frame, b).state);
	repeats_free(r);
}

static void test_no_identity(void **state)
{
	static const struct json_span prints[] = {
		{0}, SPAN(""), SPAN("00ff"), SPAN("00000000000000FF"), SPAN("00000000000000fg")};
	struct repeats *r = repeats_new();
	struct identity id;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(prints); i++) {
		struct alert_text a = alert;

		a.fingerprint = prints[i];
		assert_false(identity_make(r, &frame, &a, &id));
	}
	repeats_free(r);
}

static void count(void *ctx)
{
	++*(int *)ctx;
}

static void test_life(void **state)
{
	struct repeats *r = repeats_new();
	struct identity id = {7, 1}, other = {7, 2};
	uint64_t token = 0;
	int joined = 0;

	(void)state;
	assert_int_equal(repeats_look(r, id, 0, &token), REPEAT_NEW);
	repeats_begin(r, &id, 1, 42, 1000);
	assert_int_equal(repeats_look(r, id, 0, &token), REPEAT_PENDING);
	assert_int_equal(token, 42);
	assert_true(repeats_join(r, id, 42, count, &joined));
	assert_false(repeats_join(r, id, 43, count, &joined));
	assert_false(repeats_join(r, other, 42, count, &joined));
	repeats_end(r, &id, 1, 41, true);
	assert_int_equal(repeats_look(r, id, 0, &token), REPEAT_PENDING);
	repeats_end(r, &id, 1, 42, true);
	assert_false(repeats_join(r, id, 42, count, &joined));
	assert_int_equal(joined, 1);
	assert_int_equal(repeats_look(r, id, 0, &token), REPEAT_STORED);
	assert_int_equal(repeats_look(r, id, 999, &token), REPEAT_STORED);
	assert_int_equal(repeats_look(r, id, 1000, &token), REPEAT_NEW);
	/* Another state of the alert: the first is no longer the last. */
	repeats_begin(r, &other, 1, 50, 2000);
	assert_int_equal(repeats_look(r, id, 0, &token), REPEAT_NEW);
	repeats_end(r, &other, 1, 50, false);
	assert_int_equal(repeats_look(r, other, 0, &token), REPEAT_NEW);
	assert_int_equal(repeats_look(r, id, 0, &token), REPEAT_NEW);
	repeats_free(r);
}

/* ---- against a model ---- */

enum { ALERTS = 300, STATES = 3, ROUNDS = 200000 };

struct model {
	uint64_t state; /* last begun */
	uint64_t token; /* 0: ended */
	int64_t since_ms;
};

static enum repeat model_look(const struct model *m, uint64_t state, int64_t since_ms)
{
	if (m->state != state || m->since_ms <= since_ms)
		return REPEAT_NEW;
	return m->token ? REPEAT_PENDING : REPEAT_STORED;
}

/* Few enough that none is pushed out: the same answers. */
static void test_model(void **state)
{
	const char *given = getenv("HEALBUS_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	struct repeats *r = repeats_new();
	struct model models[ALERTS] = {0};

	(void)state;
	print_message("# seed %u\n", seed);
	for (int64_t now = 1; now < ROUNDS; now++) {
		size_t i = (size_t)rand_r(&seed) % ALERTS;
		struct identity id = {i * 0x10001, 1 + (uint64_t)rand_r(&seed) % STATES};
		struct model *m = &models[i];
		int64_t since = now - rand_r(&seed) % 1000;
		uint64_t token = 0;
		bool stored = rand_r(&seed) % 8;

		if (rand_r(&seed) % 3 == 0) {
			repeats_begin(r, &id, 1, (uint64_t)now, now);
			*m = (struct model){id.state, (uint64_t)now, now};
		} else if (m->token && rand_r(&seed) % 2) {
			id.state = m->state;
			repeats_end(r, &id, 1, m->token, stored);
			*m = stored ? (struct model){m->state, 0, m->since_ms} : (struct model){0};
		}
		assert_int_equal(repeats_look(r, id, since, &token),
				 model_look(m, id.state, since));
		if (model_look(m, id.state, since) == REPEAT_PENDING)
			assert_int_equal(token, m->token);
	}
	repeats_free(r);
}

/* Ten times more alerts than fit: forgets, and never remembers what was not. */
static void test_too_many(void **state)
{
	struct repeats *r = repeats_new();
	uint64_t token;
	size_t kept = 0;

	(void)state;
	for (uint64_t i = 0; i < 655360; i++) {
		struct identity id = {i, i * 3 + 1};

		repeats_begin(r, &id, 1, i, (int64_t)i + 1);
		repeats_end(r, &id, 1, i, true);
	}
	for (uint64_t i = 0; i < 655360; i++) {
		kept += repeats_look(r, (struct identity){i, i * 3 + 1}, 0, &token) ==
			REPEAT_STORED;
		assert_int_equal(repeats_look(r, (struct identity){i, i * 3 + 2}, 0, &token),
				 REPEAT_NEW);
	}
	/* The newest are among them. */
	for (uint64_t i = 655360 - 1000; i < 655360; i++)
		assert_int_equal(repeats_look(r, (struct identity){i, i * 3 + 1}, 0, &token),
				 REPEAT_STORED);
	assert_in_range(kept, 60000, 65536);
	repeats_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),    cmocka_unit_test(test_identity_borders),
		cmocka_unit_test(test_no_identity), cmocka_unit_test(test_life),
		cmocka_unit_test(test_model),       cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
