#include "common/zone.h"

#include <ctype.h>

enum { HOUR_S = 3600, DAY_S = 86400, OFFSET_HOURS_MAX = 24, RULE_HOURS_MAX = 167, NAME_MIN = 3 };
enum { FIXED_MAX_S = 14 * HOUR_S };

/* ---- the text ---- */

/* Digits, at most two (three for rules), or -1. */
static int number_take(const char **io, int max)
{
	const char *s = *io;
	int n = 0;
	if (!isdigit((unsigned char)*s))
		return -1;
	while (isdigit((unsigned char)*s) && n <= max)
		n = n * 10 + (*s++ - '0');
	*io = s;
	return n <= max ? n : -1;
}

static bool char_take(const char **io, char c)
{
	if (**io != c)
		return false;
	(*io)++;
	return true;
}

/* [+-]hh[:mm[:ss]] */
static bool time_take(const char **io, int hours_max, int *out_s)
{
	bool minus = char_take(io, '-');
	if (!minus)
		char_take(io, '+');
	int hours = number_take(io, hours_max), minutes = 0, seconds = 0;
	if (hours >= 0 && char_take(io, ':'))
		minutes = number_take(io, 59);
	if (minutes > 0 && char_take(io, ':'))
		seconds = number_take(io, 59);
	int all = hours * HOUR_S + minutes * 60 + seconds;
	*out_s = minus ? -all : all;
	return hours >= 0 && minutes >= 0 && seconds >= 0;
}

static bool name_take(const char **io)
{
	const char *s = *io;
	bool quoted = char_take(&s, '<');
	size_t n = 0;
	while (isalpha((unsigned char)*s) ||
	       (quoted && (isdigit((unsigned char)*s) || *s == '+' || *s == '-'))) {
		s++;
		n++;
	}
	if (n < NAME_MIN || (quoted && !char_take(&s, '>')))
		return false;
	*io = s;
	return true;
}

static bool rule_take(const char **io, struct zone_rule *out)
{
	if (!char_take(io, ',') || !char_take(io, 'M'))
		return false;
	out->month = number_take(io, 12);
	if (out->month < 1 || !char_take(io, '.'))
		return false;
	out->week = number_take(io, 5);
	if (out->week < 1 || !char_take(io, '.'))
		return false;
	out->weekday = number_take(io, 6);
	out->seconds = 2 * HOUR_S;
	if (out->weekday < 0)
		return false;
	return !char_take(io, '/') || time_take(io, RULE_HOURS_MAX, &out->seconds);
}

static bool summer_take(const char **io, struct zone *z)
{
	z->has_summer = true;
	z->summer_s = z->standard_s + HOUR_S;
	if (!name_take(io))
		return false;
	if (**io != ',') {
		if (!time_take(io, OFFSET_HOURS_MAX, &z->summer_s))
			return false;
		z->summer_s = -z->summer_s;
	}
	return rule_take(io, &z->begin) && rule_take(io, &z->end);
}

static bool fixed_parse(const char *text, struct zone *z)
{
	const char *s = text + 1;
	bool shaped = strlen(text) == 6 && text[3] == ':' && isdigit((unsigned char)text[1]) &&
		      isdigit((unsigned char)text[2]);
	int seconds;
	if (!shaped || !time_take(&s, OFFSET_HOURS_MAX, &seconds) || *s || seconds > FIXED_MAX_S)
		return false;
	z->standard_s = *text == '-' ? -seconds : seconds;
	return true;
}

static bool posix_parse(const char *text, struct zone *z)
{
	if (!name_take(&text) || !time_take(&text, OFFSET_HOURS_MAX, &z->standard_s))
		return false;
	z->standard_s = -z->standard_s; /* POSIX counts west of UTC */
	return (!*text || summer_take(&text, z)) && !*text;
}

int zone_parse(const char *text, struct zone *out)
{
	struct zone z = {0};
	bool fixed = *text == '+' || *text == '-';
	if (!str_eq(text, "UTC") && !(fixed ? fixed_parse(text, &z) : posix_parse(text, &z)))
		return ERR_INVALID;
	*out = z;
	return 0;
}

int zone_from_yaml(const struct yaml_node *node, const char *what, struct zone *out,
		   struct why *out_why)
{
	const char *text = NULL;
	int rc = yaml_str(node, what, &text, out_why);
	if (rc || !zone_parse(text, out))
		return rc;
	if (strchr(text, '/') && !strchr(text, ','))
		return yaml_error(node, out_why,
				  "%s: \"%s\" is a name; write its rule, which is the last line of "
				  "/usr/share/zoneinfo/%s",
				  what, text, text);
	return yaml_error(node, out_why,
			  "%s: \"%s\" is neither UTC, nor a fixed offset such as \"+02:00\", nor a "
			  "rule such as CET-1CEST,M3.5.0,M10.5.0/3",
			  what, text);
}

/* ---- the calendar ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Years begin in March here, so that the day that comes every four years is the last. */
static int64_t zone_days(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = floor_div(y, 400), of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* The year of a day counted so. */
static int64_t zone_year(int64_t days)
{
	int64_t year = 1970 + floor_div(days, 366);
	while (zone_days(year + 1, 1, 1) <= days)
		year++;
	while (zone_days(year, 1, 1) > days)
		year--;
	return year;
}

/* Seconds from 1970 by the clock that holds until the change. */
static int64_t rule_local_s(const struct zone_rule *r, int64_t year)
{
	int64_t first = zone_days(year, r->month, 1);
	int64_t after =
		r->month == 12 ? zone_days(year + 1, 1, 1) : zone_days(year, r->month + 1, 1);
	int64_t weekday = (first + 4) % 7; /* 1970-01-01 was a Thursday */
	int64_t day = first + (r->weekday - weekday + 7) % 7 + (int64_t)(r->week - 1) * 7;
	while (day >= after)
		day -= 7;
	return day * DAY_S + r->seconds;
}

static int64_t begin_s(const struct zone *z, int64_t year)
{
	return rule_local_s(&z->begin, year) - z->standard_s;
}

static int64_t end_s(const struct zone *z, int64_t year)
{
	return rule_local_s(&z->end, year) - z->summer_s;
}

static int64_t year_of(const struct zone *z, int64_t s)
{
	return zone_year(floor_div(s + z->standard_s, DAY_S));
}

static int offset_s(const struct zone *z, int64_t s)
{
	if (!z->has_summer)
		return z->standard_s;
	int64_t year = year_of(z, s);
	int64_t begin = begin_s(z, year), end = end_s(z, year);
	bool summer = begin < end ? s >= begin && s < end : s < end || s >= begin;
	return summer ? z->summer_s : z->standard_s;
}

int64_t zone_local_ms(const struct zone *z, int64_t ms)
{
	return ms + (int64_t)offset_s(z, floor_div(ms, 1000)) * 1000;
}

int64_t zone_next_change_ms(const struct zone *z, int64_t ms)
{
	int64_t next = INT64_MAX;
	if (!z->has_summer)
		return next;
	int64_t year = year_of(z, floor_div(ms, 1000));
	for (int64_t y = year - 1; y <= year + 1; y++) {
		int64_t begin = begin_s(z, y) * 1000, end = end_s(z, y) * 1000;
		if (begin > ms)
			next = MIN(next, begin);
		if (end > ms)
			next = MIN(next, end);
	}
	return next;
}

int64_t zone_utc_ms(const struct zone *z, int64_t local_ms)
{
	int64_t most = z->has_summer ? MAX(z->standard_s, z->summer_s) : z->standard_s;
	int64_t least = z->has_summer ? MIN(z->standard_s, z->summer_s) : z->standard_s;
	int64_t early = local_ms - most * 1000, late = local_ms - least * 1000;
	if (zone_local_ms(z, early) >= local_ms)
		return early;
	/* Between the two the clock is put forward over it, or shows it at the later one. */
	int64_t change = zone_next_change_ms(z, early);
	return MIN(late, change);
}
