#include "monitor/rules.h"

enum { MINUTE_MS = 60000, DAY_MINUTES = 1440 };

struct civil {
	int month; /* 1-12 */
	int day;   /* 1-31 */
	int days_in_month;
	int weekday; /* 0 = Sunday */
	int minute;  /* of the day */
};

static int month_days(int64_t year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* Days since 1970-01-01 to year, month, day: Howard Hinnant's civil_from_days. */
static struct civil civil_from_ms(int64_t ms, int offset_minutes)
{
	int64_t minutes = (ms >= 0 ? ms : ms - (MINUTE_MS - 1)) / MINUTE_MS + offset_minutes;
	int64_t days = (minutes >= 0 ? minutes : minutes - (DAY_MINUTES - 1)) / DAY_MINUTES;
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	struct civil c = {
		.month = (int)(mp < 10 ? mp + 3 : mp - 9),
		.day = (int)(doy - (153 * mp + 2) / 5 + 1),
		.weekday = (int)(((days % 7) + 11) % 7),
		.minute = (int)(minutes - days * DAY_MINUTES),
	};

	c.days_in_month = month_days(yoe + era * 400 + (c.month <= 2), c.month);
	return c;
}

static bool range_holds(const struct mute_ranges *ranges, int value)
{
	for (size_t i = 0; i < ranges->n; i++) {
		if (value >= ranges->items[i].from && value <= ranges->items[i].to)
			return true;
	}
	return ranges->n == 0;
}

static bool time_holds(const struct mute_ranges *ranges, int minute)
{
	for (size_t i = 0; i < ranges->n; i++) {
		if (minute >= ranges->items[i].from && minute < ranges->items[i].to)
			return true;
	}
	return ranges->n == 0;
}

static int day_of(int day, int days_in_month)
{
	return day < 0 ? days_in_month + 1 + day : day;
}

static bool day_holds(const struct mute_ranges *ranges, const struct civil *c)
{
	for (size_t i = 0; i < ranges->n; i++) {
		if (c->day >= day_of(ranges->items[i].from, c->days_in_month) &&
		    c->day <= day_of(ranges->items[i].to, c->days_in_month))
			return true;
	}
	return ranges->n == 0;
}

bool mute_active(const struct mute *m, int64_t now_ms)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct mute_interval *in = &m->intervals[i];
		struct civil c = civil_from_ms(now_ms, in->offset_minutes);

		if (time_holds(&in->times, c.minute) && range_holds(&in->weekdays, c.weekday) &&
		    range_holds(&in->months, c.month) && day_holds(&in->days_of_month, &c))
			return true;
	}
	return false;
}

static int minutes_until(int minute, int target)
{
	int wait = target - minute;

	return wait > 0 ? wait : wait + DAY_MINUTES;
}

static int interval_wait(const struct mute_interval *in, int64_t now_ms)
{
	int minute = civil_from_ms(now_ms, in->offset_minutes).minute;
	int wait = minutes_until(minute, DAY_MINUTES);

	for (size_t i = 0; i < in->times.n; i++) {
		wait = MIN(wait, minutes_until(minute, in->times.items[i].from));
		wait = MIN(wait, minutes_until(minute, in->times.items[i].to));
	}
	return wait;
}

int64_t mutes_next_change_ms(const struct mutes *m, int64_t now_ms)
{
	int wait = DAY_MINUTES;

	for (size_t i = 0; i < m->n; i++) {
		for (size_t k = 0; k < m->items[i].n; k++)
			wait = MIN(wait, interval_wait(&m->items[i].intervals[k], now_ms));
	}
	return (now_ms / MINUTE_MS + wait) * MINUTE_MS;
}

/* ---- YAML ---- */

static const char *const weekday_names[] = {"sunday",   "monday", "tuesday", "wednesday",
					    "thursday", "friday", "saturday"};
static const char *const month_names[] = {"",        "january",  "february", "march",  "april",
					  "may",     "june",     "july",     "august", "september",
					  "october", "november", "december"};

struct unit {
	const char *what;
	const char *const *names;
	size_t n_names;
	int min, max;
};

static const struct unit unit_weekday = {"weekdays", weekday_names, ARRAY_SIZE(weekday_names), 0,
					 6};
static const struct unit unit_month = {"months", month_names, ARRAY_SIZE(month_names), 1, 12};
static const struct unit unit_day = {"days_of_month", NULL, 0, -31, 31};

static bool unit_value(const struct unit *u, const char *text, int *out)
{
	char *end;
	long value;

	for (size_t i = 0; i < u->n_names; i++) {
		if (*u->names[i] && strcasecmp(text, u->names[i]) == 0) {
			*out = (int)i;
			return true;
		}
	}
	value = strtol(text, &end, 10);
	if (end == text || *end || value < u->min || value > u->max)
		return false;
	*out = (int)value;
	return u->names != weekday_names && value != 0;
}

static int range_parse(const struct unit *u, const struct yaml_node *node, struct mute_range *out,
		       struct why *out_why)
{
	char text[64];
	const char *whole;
	char *colon;
	int rc = yaml_str(node, u->what, &whole, out_why);

	if (rc)
		return rc;
	snprintf(text, sizeof(text), "%s", whole);
	colon = strchr(text, ':');
	if (colon)
		*colon++ = '\0';
	if (!unit_value(u, text, &out->from) || !unit_value(u, colon ? colon : text, &out->to))
		return yaml_error(node, out_why, "%s: \"%s\" is not a value or from:to", u->what,
				  whole);
	if (out->to < out->from && (out->to < 0) == (out->from < 0))
		return yaml_error(node, out_why, "%s: \"%s\" ends before it starts", u->what,
				  whole);
	return 0;
}

static int ranges_parse(const struct unit *u, const struct yaml_node *node, struct mute_ranges *out,
			struct why *out_why)
{
	if (!node)
		return 0;
	if (node->type != YAML_LIST || node->count > MUTE_RANGES_MAX)
		return yaml_error(node, out_why, "%s: a list of at most %d", u->what,
				  MUTE_RANGES_MAX);
	YAML_EACH(item, node)
	{
		int rc = range_parse(u, item, &out->items[out->n++], out_why);

		if (rc)
			return rc;
	}
	return 0;
}

/* "HH:MM" up to 24:00, "+HH:MM" without its sign. */
static bool clock_value(const char *text, int *out_minutes)
{
	int hour, minute, used = 0;

	if (sscanf(text, "%2d:%2d%n", &hour, &minute, &used) != 2 || text[used])
		return false;
	if (hour < 0 || minute < 0 || minute > 59 || hour * 60 + minute > DAY_MINUTES)
		return false;
	*out_minutes = hour * 60 + minute;
	return true;
}

static int clock_parse(const struct yaml_node *node, const char *what, int *out,
		       struct why *out_why)
{
	const char *text;
	int rc = yaml_str(node, what, &text, out_why);

	if (rc)
		return rc;
	if (!clock_value(text, out))
		return yaml_error(node, out_why, "%s: \"%s\" is not HH:MM", what, text);
	return 0;
}

static int times_parse(const struct yaml_node *node, struct mute_ranges *out, struct why *out_why)
{
	static const char *const keys[] = {"start_time", "end_time"};

	if (!node)
		return 0;
	if (node->type != YAML_LIST || node->count > MUTE_RANGES_MAX)
		return yaml_error(node, out_why, "times: a list of at most %d", MUTE_RANGES_MAX);
	YAML_EACH(item, node)
	{
		struct mute_range *range = &out->items[out->n++];
		int rc = yaml_only_keys(item, keys, ARRAY_SIZE(keys), out_why);

		if (!rc)
			rc = clock_parse(yaml_get(item, keys[0]), keys[0], &range->from, out_why);
		if (!rc)
			rc = clock_parse(yaml_get(item, keys[1]), keys[1], &range->to, out_why);
		if (rc)
			return rc;
		if (range->to <= range->from)
			return yaml_error(item, out_why,
					  "end_time must be after start_time (write "
					  "two ranges to cross midnight)");
	}
	return 0;
}

static int location_parse(const struct yaml_node *node, int *out, struct why *out_why)
{
	const char *text;
	int minutes;

	if (!node)
		return 0;
	if (yaml_str(node, "location", &text, out_why))
		return ERR_CONFIG;
	if (str_eq(text, "UTC"))
		return 0;
	if ((*text != '+' && *text != '-') || !clock_value(text + 1, &minutes) || minutes > 14 * 60)
		return yaml_error(node, out_why,
				  "location: \"UTC\" or a fixed offset such as \"+02:00\"");
	*out = *text == '-' ? -minutes : minutes;
	return 0;
}

static int interval_parse(struct mute_interval *in, const struct yaml_node *node,
			  struct why *out_why)
{
	static const char *const keys[] = {"times", "weekdays", "days_of_month", "months",
					   "location"};
	int rc;

	if (node->type != YAML_MAP)
		return yaml_error(node, out_why, "an interval is a map");
	rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = times_parse(yaml_get(node, "times"), &in->times, out_why);
	if (!rc)
		rc = ranges_parse(&unit_weekday, yaml_get(node, "weekdays"), &in->weekdays,
				  out_why);
	if (!rc)
		rc = ranges_parse(&unit_day, yaml_get(node, "days_of_month"), &in->days_of_month,
				  out_why);
	if (!rc)
		rc = ranges_parse(&unit_month, yaml_get(node, "months"), &in->months, out_why);
	if (!rc)
		rc = location_parse(yaml_get(node, "location"), &in->offset_minutes, out_why);
	return rc;
}

static int mute_parse(struct mute *m, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"name", "matchers", "time_intervals"};
	const struct yaml_node *list = yaml_get(node, "time_intervals");
	const char *name;
	int rc = node->type == YAML_MAP ? yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why)
					: yaml_error(node, out_why, "must be a map");

	if (!rc)
		rc = yaml_str(yaml_get(node, "name"), "name", &name, out_why);
	if (rc)
		return rc;
	m->name = mem_strdup(name);
	rc = matchers_from_yaml(yaml_get(node, "matchers"), &m->matchers, out_why);
	if (rc)
		return rc;
	if (!list || list->type != YAML_LIST || !list->count)
		return yaml_error(node, out_why, "time_intervals: a list of intervals");
	m->intervals = mem_calloc(list->count, sizeof(*m->intervals));
	YAML_EACH(item, list)
	{
		rc = interval_parse(&m->intervals[m->n++], item, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

int mutes_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct mutes *mutes = field;

	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_LIST || node->count > RULES_MAX)
		return yaml_error(node, out_why, "must be a list of at most %d", RULES_MAX);
	mutes->items = mem_calloc(node->count + 1, sizeof(*mutes->items));
	YAML_EACH(item, node)
	{
		int rc = mute_parse(&mutes->items[mutes->n++], item, out_why);

		if (rc)
			return rc;
	}
	return 0;
}

void mutes_release(void *field)
{
	struct mutes *mutes = field;

	for (size_t i = 0; i < mutes->n; i++) {
		free(mutes->items[i].name);
		matchers_release(&mutes->items[i].matchers);
		free(mutes->items[i].intervals);
	}
	free(mutes->items);
	*mutes = (struct mutes){0};
}
