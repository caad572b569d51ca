#include "common/zone.h"

#include "common/clock.h"
#include "common/mem.h"

#include <dirent.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <cmocka.h>

#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)

static int64_t at(const char *text)
{
	int64_t ms = 0;
	assert_int_equal(time_parse(text, &ms), 0);
	return ms;
}

static struct zone zone(const char *text)
{
	struct zone z = {0};
	if (zone_parse(text, &z))
		fail_msg("%s: not taken", text);
	return z;
}

static const char berlin[] = "CET-1CEST,M3.5.0,M10.5.0/3";

static void test_local_times(void **state UNUSED)
{
	static const struct {
		const char *zone, *utc, *local;
	} rows[] = {
		{"UTC", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"},
		{"-04:30", "2026-07-01T12:00:00Z", "2026-07-01T07:30:00Z"},
		{"<+0545>-5:45", "2026-07-01T12:00:00Z", "2026-07-01T17:45:00Z"},
		{berlin, "2026-03-29T00:59:59Z", "2026-03-29T01:59:59Z"},
		{berlin, "2026-03-29T01:00:00Z", "2026-03-29T03:00:00Z"},
		{berlin, "2026-10-25T00:59:59Z", "2026-10-25T02:59:59Z"},
		{berlin, "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		{berlin, "1969-12-31T23:59:59.999Z", "1970-01-01T00:59:59.999Z"},
		{"EST5EDT,M3.2.0,M11.1.0", "2026-11-01T05:59:59Z", "2026-11-01T01:59:59Z"},
		{"EST5EDT,M3.2.0,M11.1.0", "2026-11-01T06:00:00Z", "2026-11-01T01:00:00Z"},
		{"AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-12-31T13:30:00Z", "2027-01-01T00:30:00Z"},
		{"AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-07-01T00:00:00Z", "2026-07-01T10:00:00Z"},
		{"IST-1GMT0,M10.5.0,M3.5.0/1", "2026-01-01T12:00:00Z", "2026-01-01T12:00:00Z"},
		{"IST-1GMT0,M10.5.0,M3.5.0/1", "2026-07-01T12:00:00Z", "2026-07-01T13:00:00Z"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct zone z = zone(rows[i].zone);
		if (zone_local_ms(&z, at(rows[i].utc)) != at(rows[i].local))
			fail_msg("%s at %s", rows[i].zone, rows[i].utc);
	}
}

static void test_back_from_local_times(void **state UNUSED)
{
	static const struct {
		const char *local, *utc;
	} rows[] = {
		{"2026-07-01T09:00:00Z", "2026-07-01T07:00:00Z"},
		{"2026-12-01T09:00:00Z", "2026-12-01T08:00:00Z"},
		{"2026-03-29T02:00:00Z", "2026-03-29T01:00:00Z"}, /* left out */
		{"2026-03-29T02:59:00Z", "2026-03-29T01:00:00Z"},
		{"2026-03-29T03:00:00Z", "2026-03-29T01:00:00Z"},
		{"2026-03-29T03:00:01Z", "2026-03-29T01:00:01Z"},
		{"2026-10-25T02:30:00Z", "2026-10-25T00:30:00Z"}, /* the first of two */
		{"2026-10-25T03:00:00Z", "2026-10-25T02:00:00Z"},
	};
	struct zone z = zone(berlin);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (zone_utc_ms(&z, at(rows[i].local)) != at(rows[i].utc))
			fail_msg("%s", rows[i].local);
}

/* The first moment that shows it: nothing before shows it or later, and none is ever skipped. */
static void test_first_moment(void **state UNUSED)
{
	static const char *const zones[] = {"UTC",
					    "+14:00",
					    berlin,
					    "EST5EDT,M3.2.0,M11.1.0",
					    "IST-1GMT0,M10.5.0,M3.5.0/1",
					    "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"};
	for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
		struct zone z = zone(zones[i]);
		int64_t before = INT64_MIN;
		for (int64_t local = at("2026-01-01T00:00:00Z"); local < at("2027-01-02T00:00:00Z");
		     local += HOUR / 2) {
			int64_t utc = zone_utc_ms(&z, local);
			assert_true(utc >= before);
			assert_true(zone_local_ms(&z, utc) >= local);
			assert_true(zone_local_ms(&z, utc - 1) < local);
			before = utc;
		}
	}
}

static void test_next_change(void **state UNUSED)
{
	struct zone z = zone(berlin), utc = zone("UTC");
	assert_int_equal(zone_next_change_ms(&z, at("2026-01-01T00:00:00Z")),
			 at("2026-03-29T01:00:00Z"));
	assert_int_equal(zone_next_change_ms(&z, at("2026-03-29T01:00:00Z")),
			 at("2026-10-25T01:00:00Z"));
	assert_int_equal(zone_next_change_ms(&z, at("2026-12-31T23:59:59Z")),
			 at("2027-03-28T01:00:00Z"));
	assert_true(zone_next_change_ms(&utc, 0) == INT64_MAX);
}

static void test_wrong_ones(void **state UNUSED)
{
	static const char *const wrong[] = {
		"",
		"Europe/Berlin",
		"+2:00",
		"+02:60",
		"+15:00",
		"CET",
		"CE-1",
		"CET-1CEST",
		"CET-1CEST,M3.5.0",
		"CET-1CEST,M13.5.0,M10.5.0",
		"CET-1CEST,M3.6.0,M10.5.0",
		"CET-1CEST,M3.5.7,M10.5.0",
		"CET-1CEST,M3.5.0,M10.5.0/168",
		"CET-1CEST,J60,J300",
		"CET-1CEST,M3.5.0,M10.5.0/3,",
		"CET-25",
		"CET-1CEST,M0.5.0,M10.5.0",
		"<+02-2",
		"CET-1CEST,M99999999999.5.0,M10.5.0",
		"UTC ",
	};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct zone z = {.standard_s = 7};
		if (!zone_parse(wrong[i], &z))
			fail_msg("\"%s\" was taken", wrong[i]);
		assert_int_equal(z.standard_s, 7);
	}
}

/* ---- the C library reads the same rules ---- */

/* The last line of a file of the zone database. */
static bool rule_of(const char *path, char *out, size_t size)
{
	auto_file FILE *f = fopen(path, "re");
	char head[4] = {0};
	if (!f || fread(head, 1, sizeof(head), f) != sizeof(head) || memcmp(head, "TZif", 4) != 0 ||
	    fseek(f, -(long)(size - 1), SEEK_END))
		return false;
	size_t n = fread(out, 1, size - 1, f);
	out[n] = '\0';
	if (n < 2 || out[n - 1] != '\n')
		return false;
	out[n - 1] = '\0';
	size_t from = n - 1;
	while (from > 0 && out[from - 1] != '\n' && out[from - 1] != '\0')
		from--;
	memmove(out, out + from, n - from);
	return *out != '\0';
}

static size_t compare(const char *rule)
{
	struct zone z = {0};
	if (zone_parse(rule, &z)) {
		if (!strstr(rule, ",J"))
			fail_msg("%s: not taken", rule);
		return 0;
	}
	setenv("TZ", rule, 1);
	tzset();
	for (int64_t ms = at("2025-12-25T00:30:00Z"); ms < at("2028-01-08T00:00:00Z");
	     ms += 5 * HOUR + HOUR / 2) {
		time_t t = (time_t)(ms / 1000);
		struct tm tm = {0};
		localtime_r(&t, &tm);
		if (zone_local_ms(&z, ms) - ms != (int64_t)tm.tm_gmtoff * 1000)
			fail_msg("%s at %" PRId64 ": %" PRId64 " not %ld", rule, ms,
				 (zone_local_ms(&z, ms) - ms) / 1000, tm.tm_gmtoff);
	}
	return 1;
}

static size_t compare_dir(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		char rule[64];
		auto_free char *path = mem_printf("%s/%s", dir, e->d_name);
		if (*e->d_name != '.' && rule_of(path, rule, sizeof(rule)))
			n += compare(rule);
	}
	if (d)
		closedir(d);
	return n;
}

static void test_the_library_agrees(void **state UNUSED)
{
	static const char *const dirs[] = {"Europe", "America", "Australia", "Africa", "Pacific"};
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		auto_free char *dir = mem_printf("/usr/share/zoneinfo/%s", dirs[i]);
		n += compare_dir(dir);
	}
	unsetenv("TZ");
	tzset();
	n += compare("<-02>2<-01>,M3.5.0/-1,M10.5.0/0"); /* with no database at all */
	print_message("%zu rules compared\n", n);
	assert_true(n > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_local_times),  cmocka_unit_test(test_back_from_local_times),
		cmocka_unit_test(test_first_moment), cmocka_unit_test(test_next_change),
		cmocka_unit_test(test_wrong_ones),   cmocka_unit_test(test_the_library_agrees),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
