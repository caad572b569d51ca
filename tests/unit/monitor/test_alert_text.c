/* Alertmanager's bodies read without a tree: the same answers as jansson gives. */
#include "monitor/alert_text.h"
#include "monitor/config.h"

#include <setjmp.h>
#include <cmocka.h>

#define NOW_MS INT64_C(1790000000000)

static struct monitor_config config;

static int load(void **state)
{
	struct why why = {0};

	(void)state;
	if (config_load(&monitor_option_table, "/nonexistent", NULL, &config, &why) ||
	    monitor_prepare(&config, &why)) {
		print_error("%s\n", why.text);
		return -1;
	}
	return 0;
}

static int unload(void **state)
{
	(void)state;
	monitor_unprepare(&config);
	config_release(&monitor_option_table, &config);
	return 0;
}

/* ---- by hand ---- */

static void keep(void *ctx, const struct alert_text *alert)
{
	buf_add(ctx, alert, sizeof(*alert));
}

static int read_text(const char *text, struct alerts_text *a, struct buf *list)
{
	*a = (struct alerts_text){.visit = keep, .ctx = list};
	return alerts_text_read(text, strlen(text), a, NULL);
}

static void test_plain(void **state)
{
	static const char text[] =
		" {\"receiver\":{\"a\":[1,{\"b\":null}]},\"alerts\" : [ {\"fingerprint\":\"00ff\","
		"\"labels\":{\"a\":\"b\"} ,\"status\":\"firing\",\"x\":[[]],\"startsAt\":\"s\"},"
		"{\"status\":\"resolved\"}],\"truncatedAlerts\":7,\"version\":\"4\"}\n";
	auto_buf list = {0};
	struct alerts_text a;
	struct alert_text got[2];

	(void)state;
	assert_int_equal(read_text(text, &a, &list), 0);
	assert_int_equal(a.n, 2);
	assert_int_equal(a.truncated, 7);
	assert_int_equal(list.len, sizeof(got));
	memcpy(got, list.data, sizeof(got));
	assert_true(json_span_is(got[0].fingerprint, "00ff"));
	assert_true(json_span_is(got[0].labels, "{\"a\":\"b\"}"));
	assert_true(json_span_is(got[0].starts_at, "s"));
	assert_null(got[0].annotations.data);
	assert_true(json_span_is(got[1].status, "resolved"));
}

static void test_not_plain(void **state)
{
	static const char *const texts[] = {
		"[]",
		"{}",
		"{\"alerts\":[]}",
		"{\"alerts\":{}}",
		"{\"alerts\":[1]}",
		"{\"alerts\":[{}]}",
		"{\"alerts\":[{\"status\":1}]}",
		"{\"alerts\":[{\"status\":\"firing\"}],\"version\":\"5\"}",
		"{\"alerts\":[{\"status\":\"firing\"}],\"version\":4}",
		"{\"alerts\":[{\"status\":\"firing\"}],\"alerts\":[{\"status\":\"firing\"}]}",
		"{\"alerts\":[{\"status\":\"firing\",\"status\":\"resolved\"}]}",
		"{\"alerts\":[{\"status\":\"firing\",\"st\\u0061rtsAt\":\"x\"}]}",
		"{\"alerts\":[{\"status\":\"firing\",\"labels\":[]}]}",
		"{\"alerts\":[{\"status\":\"firing\",\"labels\":{\"a\":\"\\u0000\"}}]}",
		"{\"alerts\":[{\"status\":\"firing\",\"value\":1e5}]}",
		"{\"alerts\":[{\"status\":\"firing\",\"value\":12345678901234567890}]}",
		"{\"alerts\":[{\"status\":\"firing\"}],\"truncatedAlerts\":-1}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		auto_buf list = {0};
		struct alerts_text a;

		if (read_text(texts[i], &a, &list) != ERR_UNSUPPORTED)
			fail_msg("not refused: %s", texts[i]);
	}
}

/* ---- random bodies ---- */

static unsigned seed;

static unsigned any(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static void random_string(struct buf *out)
{
	static const char *const pieces[] = {"a",
					     "web",
					     "\\n",
					     "\\u00e9",
					     "\\ud83d\\ude00",
					     "\\\\",
					     "\\\"",
					     "\xc3\xa9",
					     "\xe2\x82\xac",
					     " ",
					     "0123456789",
					     "\\/",
					     "\\u0041",
					     "the quick brown fox"};

	buf_add_char(out, '"');
	for (unsigned n = any(5); n > 0; n--)
		buf_add_str(out, pieces[any(ARRAY_SIZE(pieces))]);
	buf_add_char(out, '"');
}

/* odd: one in so many is something that Alertmanager never sends; 0: none is. */
static void random_pairs(struct buf *out, unsigned odd)
{
	static const char *const names[] = {"alertname",   "service",  "severity", "summary",
					    "description", "instance", "a b",      "1st"};
	unsigned first = any(ARRAY_SIZE(names)), n = any(6);

	buf_add_char(out, '{');
	for (unsigned i = 0; i < n; i++) {
		buf_printf(out, "%s\"%s\": ", i ? "," : "", names[(first + i) % ARRAY_SIZE(names)]);
		if (odd && !any(odd))
			buf_add_str(out, any(2) ? "null" : "[1,\"x\"]");
		else
			random_string(out);
	}
	if (odd && !any(odd) && n)
		buf_printf(out, ",\"%s\":\"twice\"", names[first]);
	buf_add_char(out, '}');
}

static void random_field(struct buf *out, unsigned which, unsigned odd)
{
	static const char *const times[] = {"2026-09-21T14:13:20Z", "0001-01-01T00:00:00Z", "",
					    "2026-09-21T14:13:20.123456+02:00"};
	static const char *const strange[] = {"null", "17", "\"nonsense\"", "{}", "1e3", "\"\""};
	static const char *const names[] = {"status", "labels",       "annotations", "startsAt",
					    "endsAt", "generatorURL", "fingerprint", "other"};
	const char *name = names[which];

	buf_printf(out, "\"%s\" :", name);
	if (odd && !any(odd))
		buf_add_str(out, strange[any(ARRAY_SIZE(strange))]);
	else if (which == 0)
		buf_add_str(out, any(2) ? "\"firing\"" : "\"resolved\"");
	else if (which == 1 || which == 2)
		random_pairs(out, odd);
	else if (which == 3 || which == 4)
		buf_printf(out, "\"%s\"", times[any(odd ? ARRAY_SIZE(times) : 2)]);
	else if (which == 6)
		buf_printf(out, "\"%08x%08x\"", any(RAND_MAX), any(RAND_MAX));
	else
		random_string(out);
}

static void random_alert(struct buf *out, unsigned odd)
{
	unsigned from = any(8), skip = odd && !any(odd) ? any(8) : 8;
	bool any_yet = false;

	buf_add_char(out, '{');
	for (unsigned i = 0; i < 8; i++) {
		unsigned which = (from + i) % 8;

		if (which == skip)
			continue;
		buf_add_str(out, any_yet ? ", " : "");
		random_field(out, which, odd);
		any_yet = true;
	}
	buf_add_char(out, '}');
}

/* tail: members behind all others. */
static void random_body(struct buf *out, unsigned odd, const char *tail)
{
	unsigned n = 1 + any(3);

	buf_add_str(out,
		    "{\"receiver\":\"r\",\"status\":\"firing\",\"groupLabels\":{},\"alerts\":[");
	for (unsigned i = 0; i < n; i++) {
		buf_add_str(out, i ? "," : "");
		random_alert(out, odd);
	}
	buf_printf(out, "],\"version\":\"%d\",\"truncatedAlerts\":%u%s}", odd && !any(odd) ? 9 : 4,
		   any(3), tail);
}

static void seed_take(void)
{
	const char *given = getenv("HEALBUS_SEED");

	seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	print_message("# seed %u\n", seed);
}

struct desk {
	struct reading r;
	struct arena arena;
	struct why why;
	int rc;
};

static void desk_read(struct desk *d, const struct buf *body)
{
	*d = (struct desk){0};
	d->r = (struct reading){.source = "alertmanager",
				.rules = &config.rules,
				.data = body->data,
				.len = body->len,
				.trusted = true,
				.raw_id = "raw-1",
				.time_ms = NOW_MS,
				.arena = &d->arena};
	d->rc = reading_run(&d->r, &format_alertmanager, &d->why);
}

static void desk_free(struct desk *d)
{
	reading_release(&d->r);
	arena_release(&d->arena);
}

static void same_events(const struct desk *a, const struct desk *b, const char *text)
{
	if (a->rc != b->rc || a->r.n != b->r.n || a->r.refused != b->r.refused ||
	    !str_eq(a->r.refused_why.text, b->r.refused_why.text))
		fail_msg("%s\n%zu events, %zu refused (%s) and %zu, %zu (%s)", text, a->r.n,
			 a->r.refused, a->r.refused_why.text, b->r.n, b->r.refused,
			 b->r.refused_why.text);
	for (size_t i = 0; i < a->r.n; i++) {
		auto_buf x = {0};
		auto_buf y = {0};

		wire_pack(&a->r.events[i]->base, &x);
		wire_pack(&b->r.events[i]->base, &y);
		if (x.len != y.len || memcmp(x.data, y.data, x.len) != 0)
			fail_msg("event %zu differs: %s", i, text);
	}
}

/* A number with an exponent sends the same body through the tree. */
static void test_same_events_as_the_tree(void **state)
{
	(void)state;
	seed_take();
	for (int i = 0; i < 10000; i++) {
		auto_buf plain = {0};
		auto_buf treed = {0};
		unsigned again = seed, odd = i % 2 ? 10 : 0;
		struct alerts_text a = {.visit = keep};
		auto_buf list = {0};
		struct desk x, y;

		random_body(&plain, odd, ",\"z\":100");
		seed = again;
		random_body(&treed, odd, ",\"z\":1e2");
		a.ctx = &list;
		if (!odd && alerts_text_read(plain.data, plain.len, &a, NULL))
			fail_msg("not plain: %s", plain.data);
		desk_read(&x, &plain);
		desk_read(&y, &treed);
		same_events(&x, &y, plain.data);
		desk_free(&x);
		desk_free(&y);
	}
}

/* Whole and damaged: never plain what jansson refuses, never refused what it takes. */
static void test_agrees_with_the_parser(void **state)
{
	(void)state;
	seed_take();
	for (int i = 0; i < 20000; i++) {
		auto_buf body = {0};
		auto_buf list = {0};
		struct alerts_text a = {.visit = keep, .ctx = &list};
		json_t *parsed;
		int rc;

		random_body(&body, 8, "");
		for (unsigned k = any(3); k > 0; k--)
			body.data[any((unsigned)body.len)] = " []{},:\"0e.-\\ntf1\x01u"[any(19)];
		parsed = json_loadb(body.data, body.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		rc = alerts_text_read(body.data, body.len, &a, NULL);
		if ((parsed && rc == ERR_INVALID) || (!parsed && rc == 0))
			fail_msg("%d for %s", rc, body.data);
		if (rc == 0)
			assert_int_equal(a.n, json_array_size(json_object_get(parsed, "alerts")));
		json_decref(parsed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_not_plain),
		cmocka_unit_test(test_same_events_as_the_tree),
		cmocka_unit_test(test_agrees_with_the_parser),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
