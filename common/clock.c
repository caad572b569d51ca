#include "common/clock.h"
#include "common/err.h"

#include <stdatomic.h>

#define MS_PER_DAY INT64_C(86400000)
/* Go's zero time, which Alertmanager and its kin send for "not yet". */
#define ZERO_TIME_MS INT64_C(-62135596800000)
#define FIRST_MS INT64_C(-62167219200000) /* 0000-01-01T00:00:00Z */
#define LAST_MS INT64_C(253402300799999)  /* 9999-12-31T23:59:59.999Z */

static atomic_bool faked;
static _Atomic int64_t fake_real_ms;
static _Atomic int64_t fake_mono_ms;

static int64_t now_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_real_ns(void)
{
	return atomic_load(&faked) ? atomic_load(&fake_real_ms) * 1000000 : now_ns(CLOCK_REALTIME);
}

int64_t clock_real_ms(void)
{
	return clock_real_ns() / 1000000;
}

int64_t clock_mono_ms(void)
{
	return atomic_load(&faked) ? atomic_load(&fake_mono_ms) : now_ns(CLOCK_MONOTONIC) / 1000000;
}

void clock_fake(int64_t real_ms, int64_t mono_ms)
{
	atomic_store(&fake_real_ms, real_ms);
	atomic_store(&fake_mono_ms, mono_ms);
	atomic_store(&faked, true);
}

void clock_unfake(void)
{
	atomic_store(&faked, false);
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar; years start in March, so that the
 * leap day is the last. */
static int64_t days_from_civil(int year, int month, int day)
{
	int64_t y = year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_from_days(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

/* Writes n digits and the byte behind them; returns what follows. */
static char *put_digits(char *p, int n, int value, char end)
{
	for (int i = n - 1; i >= 0; i--, value /= 10)
		p[i] = (char)('0' + value % 10);
	p[n] = end;
	return p + n + 1;
}

const char *time_format(int64_t ms, char out[static TIME_TEXT_BYTES])
{
	int64_t at = MIN(MAX(ms, FIRST_MS), LAST_MS);
	int64_t days = at / MS_PER_DAY - (at % MS_PER_DAY < 0);
	int rest = (int)(at - days * MS_PER_DAY);
	char *p = out;
	int year;
	int month;
	int day;

	civil_from_days(days, &year, &month, &day);
	p = put_digits(p, 4, year, '-');
	p = put_digits(p, 2, month, '-');
	p = put_digits(p, 2, day, 'T');
	p = put_digits(p, 2, rest / 3600000, ':');
	p = put_digits(p, 2, rest / 60000 % 60, ':');
	p = put_digits(p, 2, rest / 1000 % 60, '.');
	p = put_digits(p, 3, rest % 1000, 'Z');
	*p = '\0';
	return out;
}

/* Reads exactly n digits and the byte behind them, which must be in `ends`. */
static bool read_digits(const char **p, int n, const char *ends, int *out)
{
	int value = 0;

	for (int i = 0; i < n; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		value = value * 10 + (**p - '0');
	}
	if (ends && (**p == '\0' || !strchr(ends, **p)))
		return false;
	*p += ends != NULL;
	*out = value;
	return true;
}

static bool read_fraction_ms(const char **p, int *out_ms)
{
	int digits = 0;
	int ms = 0;

	if (**p != '.')
		return true;
	for ((*p)++; **p >= '0' && **p <= '9'; (*p)++, digits++)
		if (digits < 3)
			ms = ms * 10 + (**p - '0');
	for (int i = digits; i < 3; i++)
		ms *= 10;
	*out_ms = ms;
	return digits >= 1 && digits <= 9;
}

static bool read_offset_minutes(const char **p, int *out_minutes)
{
	int sign = **p == '-' ? -1 : 1;
	int hours;
	int minutes;

	if (**p == 'Z' || **p == 'z') {
		(*p)++;
		return true;
	}
	if (**p != '+' && **p != '-')
		return false;
	(*p)++;
	if (!read_digits(p, 2, ":", &hours) || !read_digits(p, 2, NULL, &minutes))
		return false;
	*out_minutes = sign * (hours * 60 + minutes);
	return hours < 24 && minutes < 60;
}

static bool date_valid(int year, int month, int day)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month >= 1 && month <= 12 && day >= 1 &&
	       day <= lengths[month - 1] + (month == 2 && leap);
}

int time_parse(const char *text, int64_t *out_ms)
{
	const char *p = text;
	int year, month, day, hour, minute, second;
	int ms = 0;
	int offset = 0;
	int64_t at;

	if (!read_digits(&p, 4, "-", &year) || !read_digits(&p, 2, "-", &month) ||
	    !read_digits(&p, 2, "Tt", &day) || !read_digits(&p, 2, ":", &hour) ||
	    !read_digits(&p, 2, ":", &minute) || !read_digits(&p, 2, NULL, &second) ||
	    !read_fraction_ms(&p, &ms) || !read_offset_minutes(&p, &offset) || *p != '\0')
		return ERR_INVALID;
	if (!date_valid(year, month, day) || hour > 23 || minute > 59 || second > 60)
		return ERR_INVALID;
	at = days_from_civil(year, month, day) * 86400 + INT64_C(3600) * hour +
	     INT64_C(60) * (minute - offset) + second;
	/* A leap second is the last of a UTC day and nothing else. */
	if (second == 60 && at % 86400 != 0)
		return ERR_INVALID;
	at = at * 1000 + ms;
	*out_ms = at == ZERO_TIME_MS ? 0 : at;
	return 0;
}

struct unit {
	const char *name;
	int64_t ms;
	bool formatted;
};

static const struct unit units[] = {
	{"y", 365 * MS_PER_DAY, false},
	{"w", 7 * MS_PER_DAY, false},
	{"d", MS_PER_DAY, true},
	{"h", 3600000, true},
	{"m", 60000, true},
	{"s", 1000, true},
	{"ms", 1, true},
};

static bool read_count(const char **p, int64_t *out)
{
	int64_t value = 0;

	if (**p < '0' || **p > '9')
		return false;
	for (; **p >= '0' && **p <= '9'; (*p)++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, **p - '0', &value))
			return false;
	*out = value;
	return true;
}

/* The unit whose whole name stands at p, from row `first` on: units only get smaller. */
static size_t unit_at(const char *p, size_t first)
{
	size_t len = strspn(p, "abcdefghijklmnopqrstuvwxyz");

	for (size_t i = first; i < ARRAY_SIZE(units); i++)
		if (strlen(units[i].name) == len && strncmp(p, units[i].name, len) == 0)
			return i;
	return ARRAY_SIZE(units);
}

int duration_parse(const char *text, int64_t *out_ms)
{
	const char *p = text;
	size_t next = 0;
	int64_t total = 0;

	if (str_eq(text, "0")) {
		*out_ms = 0;
		return 0;
	}
	do {
		int64_t count;
		size_t unit;

		if (!read_count(&p, &count))
			return ERR_INVALID;
		unit = unit_at(p, next);
		if (unit == ARRAY_SIZE(units) ||
		    __builtin_mul_overflow(count, units[unit].ms, &count) ||
		    __builtin_add_overflow(total, count, &total))
			return ERR_INVALID;
		p += strlen(units[unit].name);
		next = unit + 1;
	} while (*p);
	*out_ms = total;
	return 0;
}

const char *duration_format(int64_t ms, char out[static DURATION_TEXT_BYTES])
{
	uint64_t left = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
	size_t len = 0;

	if (ms < 0)
		out[len++] = '-';
	for (size_t i = 0; i < ARRAY_SIZE(units) && left; i++) {
		uint64_t count = left / (uint64_t)units[i].ms;

		if (!units[i].formatted || count == 0)
			continue;
		left %= (uint64_t)units[i].ms;
		len += (size_t)snprintf(out + len, DURATION_TEXT_BYTES - len, "%" PRIu64 "%s",
					count, units[i].name);
	}
	if (ms == 0)
		(void)snprintf(out, DURATION_TEXT_BYTES, "0s");
	return out;
}
