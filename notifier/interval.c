#include "notifier/interval.h"

#include "common/mem.h"

#include <strings.h>

enum { MINUTE_MS = 60000, DAY_MIN = 1440 };

static const char *const weekday_names[] = {"sunday",   "monday", "tuesday", "wednesday",
					    "thursday", "friday", "saturday"};
static const char *const month_names[] = {"",        "january",  "february", "march",  "april",
					  "may",     "june",     "july",     "august", "september",
					  "october", "november", "december"};

struct range_kind {
	const char *key;
	const char *const *names; /* NULL: numbers only */
	size_t n_names;
	int min, max;
};

static const struct range_kind kind_weekdays = {"weekdays", weekday_names, 7, 0, 6};
static const struct range_kind kind_days = {"days_of_month", NULL, 0, -31, 31};
static const struct range_kind kind_months = {"months", month_names, 13, 1, 12};

static bool value_parse(const struct range_kind *kind, const char *text, int *out)
{
	for (size_t i = 0; i < kind->n_names; i++) {
		if (*kind->names[i] && strcasecmp(text, kind->names[i]) == 0) {
			*out = (int)i;
			return true;
		}
	}
	char *end;
	long n = strtol(text, &end, 10);
	*out = (int)n;
	return *text && !*end && n >= kind->min && n <= kind->max &&
	       !(kind == &kind_days && n == 0);
}

static int range_parse(const struct range_kind *kind, const struct yaml_node *node,
		       struct interval_range *out, struct why *out_why)
{
	const char *text;
	int rc = yaml_str(node, kind->key, &text, out_why);
	if (rc)
		return rc;
	auto_free char *from = mem_strdup(text);
	char *colon = strchr(from, ':');
	if (colon)
		*colon = '\0';
	const char *to = colon ? colon + 1 : from;
	if (!value_parse(kind, from, &out->from) || !value_parse(kind, to, &out->to))
		return yaml_error(node, out_why, "%s: \"%s\" is not a value or a from:to range",
				  kind->key, text);
	if (out->from > out->to && (out->from > 0) == (out->to > 0))
		return yaml_error(node, out_why, "%s: \"%s\" ends before it begins", kind->key,
				  text);
	return 0;
}

static int ranges_parse(const struct range_kind *kind, const struct yaml_node *spec,
			struct interval_ranges *out, struct why *out_why)
{
	YAML_EACH(node, yaml_get(spec, kind->key))
	{
		if (out->n == INTERVAL_RANGES_MAX)
			return yaml_error(node, out_why, "%s: at most %d ranges", kind->key,
					  INTERVAL_RANGES_MAX);
		int rc = range_parse(kind, node, &out->items[out->n], out_why);
		if (rc)
			return rc;
		out->n++;
	}
	return 0;
}

static bool clock_text_parse(const char *text, int *out_min)
{
	if (!text || strlen(text) != 5 || text[2] != ':')
		return false;
	for (size_t i = 0; i < 5; i++)
		if (i != 2 && (text[i] < '0' || text[i] > '9'))
			return false;
	int hours = (text[0] - '0') * 10 + text[1] - '0';
	int minutes = (text[3] - '0') * 10 + text[4] - '0';
	*out_min = hours * 60 + minutes;
	return minutes < 60 && *out_min <= DAY_MIN;
}

static int times_parse(const struct yaml_node *spec, struct interval_ranges *out,
		       struct why *out_why)
{
	static const char *const keys[] = {"start_time", "end_time"};
	YAML_EACH(node, yaml_get(spec, "times"))
	{
		int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
		if (rc)
			return rc;
		if (out->n == INTERVAL_RANGES_MAX)
			return yaml_error(node, out_why, "times: at most %d", INTERVAL_RANGES_MAX);
		struct interval_range *r = &out->items[out->n++];
		const struct yaml_node *from = yaml_get(node, "start_time");
		const struct yaml_node *to = yaml_get(node, "end_time");
		if (!from || !to || !clock_text_parse(from->scalar, &r->from) ||
		    !clock_text_parse(to->scalar, &r->to) || r->from >= r->to)
			return yaml_error(node, out_why,
					  "times: start_time and end_time must be \"HH:MM\", the "
					  "end after the start, at most 24:00");
	}
	return 0;
}

static int location_parse(const struct yaml_node *spec, int *out_min, struct why *out_why)
{
	const struct yaml_node *node = yaml_get(spec, "location");
	if (!node || !node->scalar || str_eq(node->scalar, "UTC"))
		return 0;
	const char *text = node->scalar;
	int minutes;
	if ((*text != '+' && *text != '-') || !clock_text_parse(text + 1, &minutes) ||
	    minutes > 14 * 60)
		return yaml_error(node, out_why,
				  "location: \"%s\" is neither UTC nor an offset like +02:00",
				  text);
	*out_min = *text == '-' ? -minutes : minutes;
	return 0;
}

static int spec_parse(const struct yaml_node *node, struct interval_spec *out, struct why *out_why)
{
	static const char *const keys[] = {"times", "weekdays", "days_of_month", "months",
					   "location"};
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = times_parse(node, &out->minutes, out_why);
	if (!rc)
		rc = ranges_parse(&kind_weekdays, node, &out->weekdays, out_why);
	if (!rc)
		rc = ranges_parse(&kind_days, node, &out->days, out_why);
	if (!rc)
		rc = ranges_parse(&kind_months, node, &out->months, out_why);
	if (!rc)
		rc = location_parse(node, &out->offset_min, out_why);
	return rc;
}

static int interval_parse(const struct yaml_node *node, struct interval *out, struct why *out_why)
{
	static const char *const keys[] = {"name", "time_intervals"};
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (rc)
		return rc;
	const char *name;
	rc = yaml_str(yaml_get(node, "name"), "name", &name, out_why);
	if (rc)
		return yaml_error(node, out_why, "time_intervals: an entry has no name");
	out->name = mem_strdup(name);
	YAML_EACH(spec, yaml_get(node, "time_intervals"))
	{
		if (out->n == INTERVAL_SPECS_MAX)
			return yaml_error(spec, out_why, "%s: at most %d entries", name,
					  INTERVAL_SPECS_MAX);
		rc = spec_parse(spec, &out->specs[out->n], out_why);
		if (rc)
			return rc;
		out->n++;
	}
	return 0;
}

int intervals_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct intervals *all = field;
	if (!node || node->type == YAML_NULL)
		return 0;
	all->items = mem_calloc(node->count, sizeof(*all->items));
	YAML_EACH(item, node)
	{
		int rc = interval_parse(item, &all->items[all->n++], out_why);
		if (rc)
			return rc;
	}
	return 0;
}

void intervals_release(void *field)
{
	struct intervals *all = field;
	for (size_t i = 0; i < all->n; i++)
		free(all->items[i].name);
	free(all->items);
	*all = (struct intervals){0};
}

const struct interval *interval_find(const struct intervals *all, const char *name)
{
	for (size_t i = 0; i < all->n; i++)
		if (str_eq(all->items[i].name, name))
			return &all->items[i];
	return NULL;
}

struct moment {
	int minute, weekday, day, days_in_month, month;
};

static struct moment moment_of(int64_t ms, int offset_min)
{
	time_t seconds = (time_t)(ms / 1000 + (int64_t)offset_min * 60);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
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

static bool days_contain(const struct interval_ranges *r, const struct moment *m)
{
	for (size_t i = 0; i < r->n; i++) {
		int from = r->items[i].from, to = r->items[i].to;
		from = from < 0 ? m->days_in_month + 1 + from : from;
		to = to < 0 ? m->days_in_month + 1 + to : to;
		if (m->day >= from && m->day <= to)
			return true;
	}
	return r->n == 0;
}

static bool spec_contains(const struct interval_spec *s, int64_t ms)
{
	struct moment m = moment_of(ms, s->offset_min);
	return minutes_contain(&s->minutes, m.minute) && ranges_contain(&s->weekdays, m.weekday) &&
	       days_contain(&s->days, &m) && ranges_contain(&s->months, m.month);
}

bool interval_contains(const struct interval *i, int64_t ms)
{
	for (size_t n = 0; n < i->n; n++)
		if (spec_contains(&i->specs[n], ms))
			return true;
	return false;
}

bool intervals_cover(const struct intervals *all, char *const *names, size_t n, int64_t ms)
{
	for (size_t i = 0; i < n; i++) {
		const struct interval *found = interval_find(all, names[i]);
		if (found && interval_contains(found, ms))
			return true;
	}
	return false;
}

int64_t intervals_end(const struct intervals *all, char *const *names, size_t n, int64_t ms)
{
	int64_t at = (ms + MINUTE_MS - 1) / MINUTE_MS * MINUTE_MS;
	for (int minute = 0; minute < 8 * DAY_MIN; minute++, at += MINUTE_MS)
		if (!intervals_cover(all, names, n, at))
			return at;
	return at;
}
