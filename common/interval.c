#include "common/interval.h"

#include "common/mem.h"

#include <strings.h>

enum { MINUTE_MS = 60000, DAY_MIN = 1440, END_DAYS_MAX = 8 };

/* ---- YAML ---- */

static const char *const weekday_names[] = {"sunday",   "monday", "tuesday", "wednesday",
					    "thursday", "friday", "saturday"};
static const char *const month_names[] = {"",        "january",  "february", "march",  "april",
					  "may",     "june",     "july",     "august", "september",
					  "october", "november", "december"};

struct unit {
	const char *key;
	const char *const *names; /* NULL: numbers only */
	size_t n_names;
	int min, max; /* both 0: names only */
};

static const struct unit unit_weekday = {"weekdays", weekday_names, ARRAY_SIZE(weekday_names), 0,
					 0};
static const struct unit unit_day = {"days_of_month", NULL, 0, -31, 31};
static const struct unit unit_month = {"months", month_names, ARRAY_SIZE(month_names), 1, 12};

static bool value_parse(const struct unit *u, const char *text, int *out)
{
	for (size_t i = 0; i < u->n_names; i++) {
		if (*u->names[i] && strcasecmp(text, u->names[i]) == 0) {
			*out = (int)i;
			return true;
		}
	}
	char *end;
	long n = strtol(text, &end, 10);
	*out = (int)n;
	return *text && !*end && n != 0 && n >= u->min && n <= u->max;
}

static int range_parse(const struct unit *u, const struct yaml_node *node,
		       struct interval_range *out, struct why *out_why)
{
	const char *text = NULL;
	int rc = yaml_str(node, u->key, &text, out_why);
	if (rc)
		return rc;
	auto_free char *from = mem_strdup(text);
	char *colon = strchr(from, ':');
	if (colon)
		*colon = '\0';
	const char *to = colon ? colon + 1 : from;
	if (!value_parse(u, from, &out->from) || !value_parse(u, to, &out->to))
		return yaml_error(node, out_why, "%s: \"%s\" is not a value or from:to", u->key,
				  text);
	/* From the 5th to the last but one is a range, the other way round is none. */
	bool same_sign = (out->from < 0) == (out->to < 0);
	if (same_sign ? out->to < out->from : out->from < 0)
		return yaml_error(node, out_why, "%s: \"%s\" ends before it starts", u->key, text);
	return 0;
}

static int list_check(const struct yaml_node *node, const char *what, size_t max,
		      struct why *out_why)
{
	if (node->type == YAML_LIST && node->count <= max)
		return 0;
	return yaml_error(node, out_why, "%s: a list of at most %zu", what, max);
}

static int ranges_parse(const struct unit *u, const struct yaml_node *spec,
			struct interval_ranges *out, struct why *out_why)
{
	const struct yaml_node *list = yaml_get(spec, u->key);
	int rc = list ? list_check(list, u->key, INTERVAL_RANGES_MAX, out_why) : 0;
	if (rc)
		return rc;
	YAML_EACH(item, list)
	{
		rc = range_parse(u, item, &out->items[out->n++], out_why);
		if (rc)
			return rc;
	}
	return 0;
}

/* "HH:MM", up to 24:00. */
static bool clock_parse(const char *text, int *out_min)
{
	static const char shape[] = "00:00";
	assert(text);
	for (size_t i = 0; i < sizeof(shape); i++)
		if (shape[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
			return false;
	int minutes = (text[3] - '0') * 10 + text[4] - '0';
	*out_min = ((text[0] - '0') * 10 + text[1] - '0') * 60 + minutes;
	return minutes < 60 && *out_min <= DAY_MIN;
}

static int time_parse_at(const struct yaml_node *map, const char *key, int *out,
			 struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, key);
	const char *text = NULL;
	int rc = node ? yaml_str(node, key, &text, out_why)
		      : yaml_error(map, out_why, "%s: missing", key);
	if (!rc && !clock_parse(text, out))
		rc = yaml_error(node, out_why, "%s: \"%s\" is not HH:MM", key, text);
	return rc;
}

static int times_parse(const struct yaml_node *spec, struct interval_ranges *out,
		       struct why *out_why)
{
	static const char *const keys[] = {"start_time", "end_time"};
	const struct yaml_node *list = yaml_get(spec, "times");
	int rc = list ? list_check(list, "times", INTERVAL_RANGES_MAX, out_why) : 0;
	if (rc)
		return rc;
	YAML_EACH(item, list)
	{
		struct interval_range *r = &out->items[out->n++];
		rc = yaml_only_keys(item, keys, ARRAY_SIZE(keys), out_why);
		if (!rc)
			rc = time_parse_at(item, "start_time", &r->from, out_why);
		if (!rc)
			rc = time_parse_at(item, "end_time", &r->to, out_why);
		if (rc)
			return rc;
		if (r->to <= r->from)
			return yaml_error(item, out_why,
					  "times: end_time must be after start_time (write two "
					  "ranges to cross midnight)");
	}
	return 0;
}

static int location_parse(const struct yaml_node *spec, struct zone *out, struct why *out_why)
{
	const struct yaml_node *node = yaml_get(spec, "location");
	return node ? zone_from_yaml(node, "location", out, out_why) : 0;
}

static int spec_parse(const struct yaml_node *node, struct interval_spec *out, struct why *out_why)
{
	static const char *const keys[] = {"times", "weekdays", "days_of_month", "months",
					   "location"};
	if (node->type != YAML_MAP)
		return yaml_error(node, out_why, "time_intervals: an entry is a map");
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = times_parse(node, &out->minutes, out_why);
	if (!rc)
		rc = ranges_parse(&unit_weekday, node, &out->weekdays, out_why);
	if (!rc)
		rc = ranges_parse(&unit_day, node, &out->days, out_why);
	if (!rc)
		rc = ranges_parse(&unit_month, node, &out->months, out_why);
	if (!rc)
		rc = location_parse(node, &out->zone, out_why);
	return rc;
}

int interval_parse(const struct yaml_node *list, struct interval *out, struct why *out_why)
{
	int rc = list_check(list, "time_intervals", INTERVAL_SPECS_MAX, out_why);
	if (!rc && list->count == 0)
		rc = yaml_error(list, out_why, "time_intervals: is empty");
	if (rc)
		return rc;
	out->specs = mem_calloc(list->count, sizeof(*out->specs));
	YAML_EACH(item, list)
	{
		rc = spec_parse(item, &out->specs[out->n++], out_why);
		if (rc)
			return rc;
	}
	return 0;
}

void interval_release(struct interval *in)
{
	free(in->specs);
	*in = (struct interval){0};
}

/* ---- the calendar ---- */

struct moment {
	int minute, weekday, day, days_in_month, month;
};

static int64_t minute_of(int64_t ms)
{
	return ms / MINUTE_MS - (ms % MINUTE_MS < 0);
}

static struct moment moment_of(int64_t ms, const struct zone *zone)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	time_t seconds = (time_t)minute_of(zone_local_ms(zone, ms)) * 60;
	struct tm tm = {0};
	gmtime_r(&seconds, &tm);
	int year = tm.tm_year + 1900;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return (struct moment){
		.minute = tm.tm_hour * 60 + tm.tm_min,
		.weekday = tm.tm_wday,
		.day = tm.tm_mday,
		.days_in_month = days[tm.tm_mon] + (tm.tm_mon == 1 && leap),
		.month = tm.tm_mon + 1,
	};
}

static bool ranges_contain(const struct interval_ranges *r, int value)
{
	for (size_t i = 0; i < r->n; i++)
		if (value >= r->items[i].from && value <= r->items[i].to)
			return true;
	return r->n == 0;
}

static bool minutes_contain(const struct interval_ranges *r, int minute)
{
	for (size_t i = 0; i < r->n; i++)
		if (minute >= r->items[i].from && minute < r->items[i].to)
			return true;
	return r->n == 0;
}

static int day_of(int day, int days_in_month)
{
	return day < 0 ? days_in_month + 1 + day : day;
}

static bool days_contain(const struct interval_ranges *r, const struct moment *m)
{
	for (size_t i = 0; i < r->n; i++)
		if (m->day >= day_of(r->items[i].from, m->days_in_month) &&
		    m->day <= day_of(r->items[i].to, m->days_in_month))
			return true;
	return r->n == 0;
}

bool interval_contains(const struct interval *in, int64_t ms)
{
	for (size_t i = 0; i < in->n; i++) {
		const struct interval_spec *s = &in->specs[i];
		struct moment m = moment_of(ms, &s->zone);
		if (minutes_contain(&s->minutes, m.minute) &&
		    ranges_contain(&s->weekdays, m.weekday) && days_contain(&s->days, &m) &&
		    ranges_contain(&s->months, m.month))
			return true;
	}
	return false;
}

static int minutes_until(int minute, int target)
{
	return target > minute ? target - minute : target - minute + DAY_MIN;
}

static int64_t spec_next_change_ms(const struct interval_spec *s, int64_t ms)
{
	int minute = moment_of(ms, &s->zone).minute;
	int wait = minutes_until(minute, DAY_MIN);
	for (size_t k = 0; k < s->minutes.n; k++) {
		wait = MIN(wait, minutes_until(minute, s->minutes.items[k].from));
		wait = MIN(wait, minutes_until(minute, s->minutes.items[k].to));
	}
	int64_t next = (minute_of(ms) + wait) * MINUTE_MS;
	return MIN(next, zone_next_change_ms(&s->zone, ms));
}

int64_t interval_next_change_ms(const struct interval *in, int64_t ms)
{
	int64_t next = (minute_of(ms) + DAY_MIN) * MINUTE_MS;
	for (size_t i = 0; i < in->n; i++)
		next = MIN(next, spec_next_change_ms(&in->specs[i], ms));
	return next;
}

/* ---- by name ---- */

static int named_parse(const struct yaml_node *node, struct interval_named *out,
		       struct why *out_why)
{
	static const char *const keys[] = {"name", "time_intervals"};
	const struct yaml_node *list = yaml_get(node, "time_intervals");
	const char *name = NULL;
	if (node->type != YAML_MAP)
		return yaml_error(node, out_why, "must be a map");
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (rc)
		return rc;
	if (!yaml_get(node, "name") || !list)
		return yaml_error(node, out_why, "name and time_intervals must be there");
	rc = yaml_str(yaml_get(node, "name"), "name", &name, out_why);
	if (rc)
		return rc;
	out->name = mem_strdup(name);
	return interval_parse(list, &out->when, out_why);
}

int intervals_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct intervals *all = field;
	if (!node || node->type == YAML_NULL)
		return 0;
	int rc = list_check(node, "intervals", INTERVALS_MAX, out_why);
	if (rc)
		return rc;
	all->items = mem_calloc(node->count, sizeof(*all->items));
	YAML_EACH(item, node)
	{
		rc = named_parse(item, &all->items[all->n++], out_why);
		if (rc)
			return rc;
	}
	return 0;
}

void intervals_release(void *field)
{
	struct intervals *all = field;
	for (size_t i = 0; i < all->n; i++) {
		free(all->items[i].name);
		interval_release(&all->items[i].when);
	}
	free(all->items);
	*all = (struct intervals){0};
}

const struct interval *intervals_find(const struct intervals *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (str_eq(all->items[i].name, name))
			return &all->items[i].when;
	return NULL;
}

bool intervals_cover(const struct intervals *all, char *const *names, size_t n, int64_t ms)
{
	for (size_t i = 0; i < n; i++) {
		const struct interval *found = intervals_find(all, names[i]);
		if (found && interval_contains(found, ms))
			return true;
	}
	return false;
}

static int64_t next_change(const struct intervals *all, char *const *names, size_t n, int64_t ms)
{
	int64_t next = INT64_MAX;
	for (size_t i = 0; i < n; i++) {
		const struct interval *found = intervals_find(all, names[i]);
		if (found)
			next = MIN(next, interval_next_change_ms(found, ms));
	}
	return next;
}

int64_t intervals_end(const struct intervals *all, char *const *names, size_t n, int64_t ms)
{
	int64_t at = -minute_of(-ms) * MINUTE_MS;
	int64_t stop = at + (int64_t)END_DAYS_MAX * DAY_MIN * MINUTE_MS;
	while (at < stop && intervals_cover(all, names, n, at))
		at = next_change(all, names, n, at);
	return MIN(at, stop);
}
