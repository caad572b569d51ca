#include "common/interval.h"

#include "common/clock.h"
#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>

#define MINUTE INT64_C(60000)
#define DAY (1440 * MINUTE)
/* Tuesday */
#define T0 INT64_C(1700000000000)

struct timetable {
	struct yaml_doc doc;
	struct intervals all;
	struct why why;
	int rc;
};

static void timetable_read(struct timetable *t, const char *yaml)
{
	*t = (struct timetable){0};
	if (yaml_parse_text("test", yaml, strlen(yaml), &t->doc, &t->why))
		fail_msg("%s", t->why.text);
	t->rc = intervals_parse(&t->all, t->doc.root, &t->why);
}

static void timetable_release(struct timetable *t)
{
	intervals_release(&t->all);
	yaml_release(&t->doc);
}

static const struct {
	const char *specs;
	const char *at;
	bool in;
} moments[] = {
	{"{}", "2023-11-14T22:13:20Z", true},
	{"{times: [{start_time: '22:00', end_time: '22:14'}]}", "2023-11-14T22:13:20Z", true},
	{"{times: [{start_time: '22:00', end_time: '22:13'}]}", "2023-11-14T22:13:20Z", false},
	{"{times: [{start_time: '23:00', end_time: '24:00'}], location: '+01:00'}",
	 "2023-11-14T22:13:20Z", true},
	{"{times: [{start_time: '20:00', end_time: '21:00'}], location: '-02:00'}",
	 "2023-11-14T22:13:20Z", true},
	{"{weekdays: ['monday:wednesday']}", "2023-11-14T22:13:20Z", true},
	{"{weekdays: ['wednesday:friday', 'Sunday']}", "2023-11-14T22:13:20Z", false},
	{"{weekdays: ['wednesday:friday', 'Sunday']}", "2023-11-19T00:00:00Z", true},
	{"{days_of_month: ['14']}", "2023-11-14T22:13:20Z", true},
	{"{days_of_month: ['-1']}", "2023-11-14T22:13:20Z", false},
	{"{days_of_month: ['-17:-1']}", "2023-11-14T22:13:20Z", true},
	{"{days_of_month: ['14:-1']}", "2023-11-30T22:13:20Z", true},
	{"{months: ['november']}", "2023-11-14T22:13:20Z", true},
	{"{months: ['1:10']}", "2023-11-14T22:13:20Z", false},
	{"{months: ['february'], days_of_month: ['-1']}", "2024-02-29T00:00:00Z", true},
	{"{weekdays: [saturday, sunday]}", "2026-11-21T00:00:00Z", true},
	{"{weekdays: [saturday, sunday]}", "2026-11-22T23:59:59Z", true},
	{"{weekdays: [saturday, sunday]}", "2026-11-23T00:00:00Z", false},
	{"{weekdays: [saturday, sunday]}", "2026-11-20T23:59:59Z", false},
	{"{days_of_month: ['-1']}", "2024-02-29T10:00:00Z", true},
	{"{days_of_month: ['-1']}", "2024-02-28T10:00:00Z", false},
	{"{days_of_month: ['-1']}", "2023-02-28T10:00:00Z", true},
	{"{days_of_month: ['-1']}", "2026-12-31T10:00:00Z", true},
	{"{days_of_month: ['-1']}", "2026-12-01T10:00:00Z", false},
	{"{days_of_month: ['-1']}", "1900-02-28T10:00:00Z", true},
#define NIGHT                                                                                      \
	"{times: [{start_time: '22:00', end_time: '23:00'}], months: ['may:june'], location: "     \
	"'-04:30'}"
	{NIGHT, "2026-06-01T03:29:59Z", true},
	{NIGHT, "2026-06-01T03:30:00Z", false},
	{NIGHT, "2026-06-01T02:30:00Z", true},
	{NIGHT, "2026-06-01T02:29:59Z", false},
	{NIGHT, "2026-07-01T02:30:00Z", true},
	{NIGHT, "2026-07-02T02:30:00Z", false},
/* 02:30 comes twice on the last Sunday of October and not at all on that of March. */
#define CHANGE                                                                                     \
	"{times: [{start_time: '02:30', end_time: '03:30'}], location: "                           \
	"'CET-1CEST,M3.5.0,M10.5.0/3'}"
	{CHANGE, "2026-10-25T00:29:59Z", false},
	{CHANGE, "2026-10-25T00:30:00Z", true},
	{CHANGE, "2026-10-25T01:00:00Z", false},
	{CHANGE, "2026-10-25T01:30:00Z", true},
	{CHANGE, "2026-10-25T02:29:59Z", true},
	{CHANGE, "2026-10-25T02:30:00Z", false},
	{CHANGE, "2026-03-29T00:59:59Z", false},
	{CHANGE, "2026-03-29T01:00:00Z", true},
	{CHANGE, "2026-03-29T01:30:00Z", false},
	{CHANGE, "2026-07-01T00:45:00Z", true},
	{CHANGE, "2026-12-01T00:45:00Z", false},
	{"{months: [december]}", "1969-12-31T23:59:59.999Z", true},
	{"{months: [january]}, {weekdays: [tuesday]}", "2023-11-14T22:13:20Z", true},
};

static void test_moments(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
		auto_free char *yaml =
			mem_printf("[{name: it, time_intervals: [%s]}]", moments[i].specs);
		struct timetable t;
		int64_t ms = 0;
		timetable_read(&t, yaml);
		assert_int_equal(t.rc, 0);
		assert_int_equal(time_parse(moments[i].at, &ms), 0);
		if (interval_contains(intervals_find(&t.all, "it"), ms) != moments[i].in)
			fail_msg("%s at %s: %d", moments[i].specs, moments[i].at, !moments[i].in);
		timetable_release(&t);
	}
}

/* Minute by minute over three days: nothing changes before the time that was promised. */
static void test_next_change(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
		auto_free char *yaml =
			mem_printf("[{name: it, time_intervals: [%s]}]", moments[i].specs);
		struct timetable t;
		int64_t start = 0, promised;
		timetable_read(&t, yaml);
		const struct interval *in = intervals_find(&t.all, "it");
		assert_int_equal(time_parse(moments[i].at, &start), 0);
		bool was = interval_contains(in, start);
		promised = start;
		for (int64_t ms = start; ms < start + 3 * DAY; ms += MINUTE) {
			bool is = interval_contains(in, ms);
			assert_true(is == was || ms >= promised);
			if (is != was || ms >= promised) {
				promised = interval_next_change_ms(in, ms);
				assert_true(promised > ms && promised <= ms + DAY);
			}
			was = is;
		}
		timetable_release(&t);
	}
}

static void test_wrong_ones_are_named(void **state)
{
	static const struct {
		const char *yaml;
		const char *says;
	} cases[] = {
		{"[{name: x}]", "time_intervals"},
		{"[{time_intervals: [{}]}]", "name"},
		{"[{name: x, time_intervals: []}]", "empty"},
		{"[{name: x, time_intervals: {}}]", "list"},
		{"[{name: x, time_intervals: [1]}]", "map"},
		{"[x]", "map"},
		{"[{name: x, time_intervals: [{weekdays: [funday]}]}]", "funday"},
		{"[{name: x, time_intervals: [{weekdays: ['1']}]}]", "weekdays"},
		{"[{name: x, time_intervals: [{weekdays: monday}]}]", "list"},
		{"[{name: x, time_intervals: [{weekdays: ['friday:monday']}]}]",
		 "before it starts"},
		{"[{name: x, time_intervals: [{days_of_month: ['-3:2']}]}]", "before it starts"},
		{"[{name: x, time_intervals: [{days_of_month: ['0']}]}]", "days_of_month"},
		{"[{name: x, time_intervals: [{days_of_month: ['']}]}]", "days_of_month"},
		{"[{name: x, time_intervals: [{days_of_month: ['32']}]}]", "days_of_month"},
		{"[{name: x, time_intervals: [{months: ['13']}]}]", "months"},
		{"[{name: x, time_intervals: [{times: [{start_time: '25:00', end_time: "
		 "'26:00'}]}]}]",
		 "25:00"},
		{"[{name: x, time_intervals: [{times: [{start_time: '9:00', end_time: "
		 "'10:00'}]}]}]",
		 "9:00"},
		{"[{name: x, time_intervals: [{times: [{start_time: '12:00', end_time: "
		 "'11:00'}]}]}]",
		 "end_time"},
		{"[{name: x, time_intervals: [{times: [{start_time: '12:00'}]}]}]", "end_time"},
		{"[{name: x, time_intervals: [{times: [{}]}]}]", "start_time"},
		{"[{name: x, time_intervals: [{location: Europe/Rome}]}]", "zoneinfo/Europe/Rome"},
		{"[{name: x, time_intervals: [{location: '+15:00'}]}]", "fixed offset"},
		{"[{name: x, time_intervals: [{hours: [1]}]}]", "hours"},
		{"nonsense", "list"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct timetable t;
		timetable_read(&t, cases[i].yaml);
		assert_int_equal(t.rc, ERR_CONFIG);
		if (!strstr(t.why.text, cases[i].says) || !str_starts(t.why.text, "test:1: "))
			fail_msg("%s: %s", cases[i].yaml, t.why.text);
		timetable_release(&t);
	}
}

static void test_end(void **state)
{
	static const char yaml[] =
		"[{name: a, time_intervals: [{times: [{start_time: '22:00', end_time: '24:00'}]}]},"
		" {name: b, time_intervals: [{times: [{start_time: '00:00', end_time: '06:30'}]}]},"
		" {name: always, time_intervals: [{}]}]";
	char *names[] = {(char *)"a", (char *)"b", (char *)"unknown"},
	     *always[] = {(char *)"always"};
	int64_t midnight = T0 - T0 % DAY + DAY;
	struct timetable t;
	(void)state;
	timetable_read(&t, yaml);
	assert_int_equal(intervals_end(&t.all, names, 1, T0), midnight);
	assert_int_equal(intervals_end(&t.all, names, 3, T0), midnight + 390 * MINUTE);
	assert_int_equal(intervals_end(&t.all, names, 2, midnight - DAY / 2 + 1),
			 midnight - DAY / 2 + MINUTE);
	assert_int_equal(intervals_end(&t.all, names, 2, midnight - DAY / 2), midnight - DAY / 2);
	assert_int_equal(intervals_end(&t.all, always, 1, midnight), midnight + 8 * DAY);
	assert_false(intervals_cover(&t.all, names, 0, T0));
	assert_null(intervals_find(&t.all, "unknown"));
	timetable_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moments),
		cmocka_unit_test(test_next_change),
		cmocka_unit_test(test_wrong_ones_are_named),
		cmocka_unit_test(test_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
