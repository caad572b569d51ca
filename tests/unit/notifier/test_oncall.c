#include "notifier/escalation.h"

#include "common/clock.h"
#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

struct book {
	struct yaml_doc doc;
	struct oncalls oncalls;
	struct escalations escalations;
	struct intervals intervals;
	struct why why;
	int rc;
};

static void book_read(struct book *b, const char *yaml)
{
	*b = (struct book){0};
	if (yaml_parse_text("test", yaml, strlen(yaml), &b->doc, &b->why))
		fail_msg("%s", b->why.text);
	b->rc = intervals_parse(&b->intervals, yaml_get(b->doc.root, "time_intervals"), &b->why);
	if (!b->rc)
		b->rc = oncalls_parse(&b->oncalls, yaml_get(b->doc.root, "oncall"), &b->why);
	if (!b->rc)
		b->rc = oncalls_check(&b->oncalls, &b->intervals, &b->why);
	if (!b->rc)
		b->rc = escalations_parse(&b->escalations, yaml_get(b->doc.root, "escalations"),
					  &b->why);
}

static void book_open(struct book *b, const char *yaml)
{
	book_read(b, yaml);
	if (b->rc)
		fail_msg("%s", b->why.text);
}

static void book_close(struct book *b)
{
	oncalls_release(&b->oncalls);
	escalations_release(&b->escalations);
	intervals_release(&b->intervals);
	yaml_release(&b->doc);
}

static int64_t at(const char *text)
{
	int64_t ms = 0;
	assert_int_equal(time_parse(text, &ms), 0);
	return ms;
}

static const char rotas[] =
	"time_intervals:\n"
	"  - {name: nights, time_intervals: [{times: [{start_time: '00:00', end_time: '08:00'}],\n"
	"     location: 'CET-1CEST,M3.5.0,M10.5.0/3'}]}\n"
	"oncall:\n"
	"  - name: weekly\n"
	"    timezone: CET-1CEST,M3.5.0,M10.5.0/3\n"
	"    rotation: [ann, bob, cy]\n"
	"    start: 2026-03-23T09:00\n"
	"    overrides:\n"
	"      - {from: 2026-12-24T09:00, until: '2026-12-26T09:00:00+01:00', person: dee}\n"
	"      - {from: 2026-12-25T09:00, until: 2026-12-25T21:00, person: eve}\n"
	"  - {name: daily, timezone: 'CET-1CEST,M3.5.0,M10.5.0/3', rotation: [ann, bob],\n"
	"     shift: daily, start: 2026-10-24T02:30}\n"
	"  - {name: hours, timezone: 'CET-1CEST,M3.5.0,M10.5.0/3', rotation: [ann, bob],\n"
	"     shift: 12h, start: 2026-10-24T08:00}\n"
	"  - {name: utc, rotation: [ann, bob], shift: 1d, start: 2026-01-01T00:00}\n"
	"  - name: layered\n"
	"    timezone: CET-1CEST,M3.5.0,M10.5.0/3\n"
	"    layers:\n"
	"      - {rotation: [ann, bob], shift: weekly, start: 2026-03-23T09:00}\n"
	"      - {rotation: [nat], start: 2026-03-23T09:00, when: [nights]}\n"
	"  - {name: alone, rotation: [ann], shift: 1h, start: 2026-01-01T00:00}\n";

static void test_who(void **state UNUSED)
{
	static const struct {
		const char *name, *at, *who;
	} rows[] = {
		{"weekly", "2026-03-23T07:59:59Z", "cy"},
		{"weekly", "2026-03-23T08:00:00Z", "ann"},
		{"weekly", "2026-03-30T06:59:59Z", "ann"}, /* 09:00 is an hour earlier by now */
		{"weekly", "2026-03-30T07:00:00Z", "bob"},
		{"weekly", "2026-10-19T06:59:59Z", "cy"},
		{"weekly", "2026-10-19T07:00:00Z", "ann"},
		{"weekly", "2026-10-26T07:30:00Z", "ann"},
		{"weekly", "2026-10-26T08:00:00Z", "bob"},
		{"weekly", "2026-12-24T07:59:59Z", "ann"},
		{"weekly", "2026-12-24T08:00:00Z", "dee"},
		{"weekly", "2026-12-25T08:00:00Z", "eve"}, /* the later of two overrides */
		{"weekly", "2026-12-25T20:00:00Z", "dee"},
		{"weekly", "2026-12-26T08:00:00Z", "ann"},
		{"weekly", "2026-12-31T23:59:59Z", "bob"}, /* over the end of the year */
		{"weekly", "2027-01-01T00:00:00Z", "bob"},
		{"weekly", "2027-01-04T08:00:00Z", "cy"},
		{"weekly", "2026-03-16T08:00:00Z", "cy"},
		{"weekly", "2026-03-02T08:00:00Z", "ann"},
		/* 02:30 comes twice on this day: the first of them hands over, the second not. */
		{"daily", "2026-10-25T00:29:59Z", "ann"},
		{"daily", "2026-10-25T00:30:00Z", "bob"},
		{"daily", "2026-10-25T01:15:00Z", "bob"},
		{"daily", "2026-10-25T01:30:00Z", "bob"},
		{"daily", "2026-10-26T01:29:59Z", "bob"},
		{"daily", "2026-10-26T01:30:00Z", "ann"},
		/* And not at all on this one: the clock's change hands over. */
		{"daily", "2027-03-28T00:59:59Z", "ann"},
		{"daily", "2027-03-28T01:00:00Z", "bob"},
		{"hours", "2026-10-24T18:00:00Z", "bob"}, /* a night of thirteen hours */
		{"hours", "2026-10-25T06:59:59Z", "bob"},
		{"hours", "2026-10-25T07:00:00Z", "ann"},
		{"utc", "2026-12-31T23:59:59.999Z", "ann"},
		{"utc", "2027-01-01T00:00:00Z", "bob"},
		{"utc", "2024-02-29T12:00:00Z", "ann"},
		{"layered", "2026-03-24T23:30:00Z", "nat"},
		{"layered", "2026-03-24T06:59:59Z", "nat"},
		{"layered", "2026-03-24T07:00:00Z", "ann"},
	};
	struct book b;
	book_open(&b, rotas);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct oncall *o = oncall_find(&b.oncalls, rows[i].name);
		const char *who = oncall_who(o, &b.intervals, at(rows[i].at));
		if (!str_eq(who, rows[i].who))
			fail_msg("%s at %s: %s", rows[i].name, rows[i].at, who);
	}
	book_close(&b);
}

static bool is_in(const struct oncall *o, const char *person)
{
	for (size_t i = 0; i < o->n_layers; i++)
		if (words_have(&o->layers[i].people, person))
			return true;
	for (size_t i = 0; i < o->n_overrides; i++)
		if (str_eq(o->overrides[i].person, person))
			return true;
	return false;
}

/* Quarter by quarter over two years: one known person, until exactly the promised moment. */
static void test_always_one(void **state UNUSED)
{
	struct book b;
	book_open(&b, rotas);
	for (size_t i = 0; i < b.oncalls.n; i++) {
		const struct oncall *o = &b.oncalls.items[i];
		int64_t promised = at("2026-01-01T00:00:00Z"), ms = promised;
		const char *was = oncall_who(o, &b.intervals, ms - 1);
		for (; ms < at("2028-01-02T00:00:00Z"); ms += 15 * MINUTE) {
			const char *who = oncall_who(o, &b.intervals, ms);
			assert_true(is_in(o, who));
			assert_true(str_eq(who, was) || ms >= promised);
			if (ms >= promised) {
				promised = oncall_until_ms(o, &b.intervals, ms);
				assert_true(promised > ms);
				assert_string_equal(oncall_who(o, &b.intervals, promised - 1), who);
			}
			was = who;
		}
	}
	book_close(&b);
}

/* However the clocks go, each has the same number of shifts, give or take one. */
static void test_fair(void **state UNUSED)
{
	static const struct {
		const char *name;
		int64_t shift_ms;
	} rows[] = {{"weekly", 7 * DAY}, {"daily", DAY}, {"hours", DAY / 2}, {"utc", DAY}};
	struct book b;
	book_open(&b, rotas);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct oncall *o = oncall_find(&b.oncalls, rows[i].name);
		int64_t ms = at("2027-01-10T00:00:00Z"), end = at("2029-01-10T00:00:00Z");
		size_t shifts = 0;
		for (; ms < end; shifts++) {
			int64_t next = oncall_until_ms(o, &b.intervals, ms);
			assert_true(next - ms <= rows[i].shift_ms + HOUR);
			assert_true(!shifts || next - ms >= rows[i].shift_ms - HOUR);
			ms = next;
		}
		int64_t expected = (end - at("2027-01-10T00:00:00Z")) / rows[i].shift_ms;
		assert_true((int64_t)shifts >= expected && (int64_t)shifts <= expected + 2);
	}
	const struct oncall *alone = oncall_find(&b.oncalls, "alone");
	int64_t ms = at("2026-06-01T00:00:00Z");
	assert_int_equal(oncall_until_ms(alone, &b.intervals, ms), ms + ONCALL_LOOK_DAYS * DAY);
	book_close(&b);
}

static void test_wrong_ones_are_named(void **state UNUSED)
{
#define ROTA(rest) "oncall: [{name: x, rotation: [ann], start: 2026-01-05T09:00, " rest "}]"
#define STEPS(rest) "escalations: [{name: x, steps: [" rest "]}]"
	static const struct {
		const char *yaml, *says;
	} rows[] = {
		{"oncall: {}", "list"},
		{"oncall: [{rotation: [ann], start: 2026-01-05T09:00}]", "name"},
		{"oncall: [{name: x, start: 2026-01-05T09:00}]", "rotation"},
		{"oncall: [{name: x, rotation: [], start: 2026-01-05T09:00}]", "1 to 64"},
		{"oncall: [{name: x, rotation: ['a b'], start: 2026-01-05T09:00}]", "a b"},
		{"oncall: [{name: x, rotation: [ann]}]", "start"},
		{"oncall: [{name: x, rotation: [ann], start: monday}]", "monday"},
		{ROTA("shift: 59m"), "shift"},
		{ROTA("shift: fortnightly"), "shift"},
		{ROTA("timezone: Europe/Berlin"), "/usr/share/zoneinfo/Europe/Berlin"},
		{ROTA("timezone: nowhere"), "nowhere"},
		{ROTA("turns: 3"), "turns"},
		{ROTA("layers: [{rotation: [bob], start: 2026-01-05T09:00}]"), "not both"},
		{ROTA("overrides: [{from: 2026-01-06T09:00, until: 2026-01-05T09:00, person: "
		      "bob}]"),
		 "after from"},
		{ROTA("overrides: [{from: 2026-01-06T09:00, person: bob}]"), "until"},
		{"oncall: [{name: x, layers: [{rotation: [a], start: 2026-01-05T09:00, when: "
		 "[y]}]}]",
		 "always"},
		{"oncall: [{name: x, layers: [{rotation: [a], start: 2026-01-05T09:00},\n"
		 "  {rotation: [b], start: 2026-01-05T09:00, when: [never]}]}]",
		 "never"},
		{"oncall: [{name: x, rotation: [a], start: 2026-01-05T09:00},\n"
		 "  {name: x, rotation: [a], start: 2026-01-05T09:00}]",
		 "twice"},
		{"escalations: [{name: x}]", "steps"},
		{"escalations: [{steps: [{to: [ann]}]}]", "name"},
		{STEPS("{after: 1m}"), "to"},
		{STEPS("{to: []}"), "to"},
		{STEPS("{to: ['pager:1']}"), "pager:1"},
		{STEPS("{to: [ann], repeat: 2}"), "every"},
		{STEPS("{to: [ann], repeat: 63, every: 1m}"), "more than 64"},
		{STEPS("{to: [ann], after: 5m}, {to: [bob], after: 4m}"), "step before"},
		{STEPS("{to: [ann], until: acked}"), "until"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct book b;
		book_read(&b, rows[i].yaml);
		if (b.rc != ERR_CONFIG || !strstr(b.why.text, rows[i].says))
			fail_msg("%s: %d %s", rows[i].yaml, b.rc, b.why.text);
		book_close(&b);
	}
}

static void test_beats(void **state UNUSED)
{
	static const struct escalation_beat expected[] = {
		{0, 0, 0, false},           {5 * MINUTE, 0, 1, false},  {10 * MINUTE, 0, 2, false},
		{10 * MINUTE, 1, 0, false}, {15 * MINUTE, 0, 3, false}, {20 * MINUTE, 2, 0, false},
		{50 * MINUTE, 2, 0, true},
	};
	struct book b;
	book_open(&b, "escalations:\n"
		      "  - name: night\n"
		      "    summary_after: 30m\n"
		      "    steps:\n"
		      "      - {to: ['oncall:primary'], repeat: 3, every: 5m}\n"
		      "      - {after: 10m, to: [ann, 'channel:phone']}\n"
		      "      - {after: 20m, to: ['receiver:all']}\n");
	const struct escalation *e = escalation_find(&b.escalations, "night");
	assert_int_equal(e->n_beats, ARRAY_SIZE(expected));
	for (size_t i = 0; i < e->n_beats; i++) {
		assert_int_equal(e->beats[i].at_ms, expected[i].at_ms);
		assert_int_equal(e->beats[i].step, expected[i].step);
		assert_int_equal(e->beats[i].turn, expected[i].turn);
		assert_int_equal(e->beats[i].summary, expected[i].summary);
	}
	assert_int_equal(e->steps[0].targets[0].kind, TARGET_ONCALL);
	assert_string_equal(e->steps[0].targets[0].name, "primary");
	assert_int_equal(e->steps[1].targets[0].kind, TARGET_PERSON);
	assert_int_equal(e->steps[1].targets[1].kind, TARGET_CHANNEL);
	assert_int_equal(e->steps[2].targets[0].kind, TARGET_RECEIVER);
	book_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who),   cmocka_unit_test(test_always_one),
		cmocka_unit_test(test_fair),  cmocka_unit_test(test_wrong_ones_are_named),
		cmocka_unit_test(test_beats),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
