#include "executor/rate.h"

#include "common/mem.h"

/* Clocks of two executors may differ so much. */
enum { TRIES = 8, SKEW_MS = 60000 };

static struct rate_entry *entry_of(struct rate_log *log, const char *plan)
{
	for (size_t i = 0; i < log->n; i++)
		if (str_eq(log->items[i].plan, plan))
			return &log->items[i];
	return NULL;
}

void rate_parse(const char *text, int64_t now_ms, struct rate_log *out)
{
	out->n = 0;
	for (const char *line = text; line && *line;) {
		struct rate_entry e;
		bool read = sscanf(line, "%" SCNd64 " %64s %64s", &e.at_ms, e.step, e.plan) == 3 &&
			    e.at_ms > now_ms - RATE_WINDOW_MS;
		struct rate_entry *known = read ? entry_of(out, e.plan) : NULL;
		if (known)
			*known = e.at_ms > known->at_ms ? e : *known;
		else if (read && out->n < RATE_ENTRIES_MAX - 1)
			out->items[out->n++] = e;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
}

void rate_format(const struct rate_log *log, struct buf *out)
{
	for (size_t i = 0; i < log->n; i++)
		buf_printf(out, "%" PRId64 " %s %s\n", log->items[i].at_ms, log->items[i].step,
			   log->items[i].plan);
}

static int cooling(const struct rate_log *log, const struct rate_ask *ask, int64_t cooldown_ms,
		   int64_t *out_wait_ms, struct why *out_why)
{
	/* Without a pause a plan that another worker noted a moment after we looked holds nobody
	 * up. */
	for (size_t i = 0; cooldown_ms > 0 && i < log->n; i++) {
		const struct rate_entry *e = &log->items[i];
		int64_t left = e->at_ms + cooldown_ms - ask->now_ms;
		/* One from further in the future was written before a clock was put back. */
		if (left <= 0 || left > cooldown_ms + SKEW_MS || str_eq(e->plan, ask->plan))
			continue;
		*out_wait_ms = left;
		return why_set(out_why, ERR_BUSY, "target %s is cooling down", ask->target);
	}
	return 0;
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* When so many plans will have left the window that one more may begin. */
static int64_t free_at(const struct rate_log *log, int64_t max)
{
	int64_t at[RATE_ENTRIES_MAX] = {0};
	for (size_t i = 0; i < log->n; i++)
		at[i] = log->items[i].at_ms;
	qsort(at, log->n, sizeof(at[0]), by_time);
	return at[log->n - (size_t)max] + RATE_WINDOW_MS;
}

int rate_decide(const struct rate_log *log, const struct rate_ask *ask, int64_t max,
		int64_t cooldown_ms, int64_t *out_wait_ms, struct why *out_why)
{
	if (entry_of((struct rate_log *)log, ask->plan))
		return 0;
	int rc = cooling(log, ask, cooldown_ms, out_wait_ms, out_why);
	if (rc || max == 0 || log->n < (size_t)max)
		return rc;
	*out_wait_ms = free_at(log, max) - ask->now_ms;
	return why_set(out_why, ERR_BUSY, "the hourly rate of %" PRId64 " is reached", max);
}

/* One of the two logs, as read. */
struct shared_log {
	char key[TOKEN_MAX + 1];
	bool unused; /* nothing asks what it says */
	bool cools;  /* a pause counts from its plans' latest steps */
	struct rate_log log;
	uint64_t revision;
};

enum { OWN, ALL, LOGS };

static int read_answer(struct shared_log *s, struct bus_ask *ask, int64_t now_ms)
{
	if (ask->rc && ask->rc != ERR_NOT_FOUND)
		return ask->rc;
	rate_parse(ask->rc ? "" : ask->entry.value, now_ms, &s->log);
	s->revision = ask->rc ? 0 : ask->entry.revision;
	if (ask->rc == 0)
		free(ask->entry.value);
	return 0;
}

static int read_logs(struct bus *bus, struct shared_log *logs, int64_t now_ms, struct why *out_why)
{
	struct bus_ask asks[LOGS];
	struct shared_log *of[LOGS];
	size_t n = 0;
	int rc = 0;
	for (size_t i = 0; i < LOGS; i++) {
		if (logs[i].unused)
			continue;
		of[n] = &logs[i];
		asks[n++] = (struct bus_ask){.kind = BUS_ASK_GET,
					     .bucket = BUCKET_CLAIM,
					     .key = logs[i].key,
					     .leader = true};
	}
	if (n > 0)
		bus_ask(bus, asks, n);
	for (size_t i = 0; i < n; i++) {
		int one = read_answer(of[i], &asks[i], now_ms);
		rc = rc ? rc : one;
	}
	return rc ? why_set(out_why, rc, "rate: %s", err_name(rc)) : 0;
}

/* False: it says what it must already. */
static bool note_step(struct shared_log *s, const struct rate_ask *ask)
{
	struct rate_entry *e = s->unused ? NULL : entry_of(&s->log, ask->plan);
	/* A step that asks again changes nothing, nor does a later one where no pause counts from
	 * it. */
	if (s->unused || (e && (!s->cools || str_eq(e->step, ask->step))))
		return false;
	if (!e)
		e = &s->log.items[s->log.n++];
	*e = (struct rate_entry){.at_ms = ask->now_ms};
	snprintf(e->step, sizeof(e->step), "%s", ask->step);
	snprintf(e->plan, sizeof(e->plan), "%s", ask->plan);
	return true;
}

/* Either may be written without the other: the one that was is passed over when it is tried again.
 */
static int write_logs(struct bus *bus, struct shared_log *logs, const struct rate_ask *ask,
		      struct why *out_why)
{
	struct bus_ask asks[LOGS];
	struct buf texts[LOGS] = {0};
	size_t n = 0;
	int rc = 0;
	for (size_t i = 0; i < LOGS; i++) {
		if (!note_step(&logs[i], ask))
			continue;
		rate_format(&logs[i].log, &texts[n]);
		asks[n] = (struct bus_ask){.kind = BUS_ASK_PUT,
					   .bucket = BUCKET_CLAIM,
					   .key = logs[i].key,
					   .value = texts[n].data,
					   .len = texts[n].len,
					   .revision = logs[i].revision};
		n++;
	}
	if (n > 0)
		bus_ask(bus, asks, n);
	for (size_t i = 0; i < n; i++) {
		if (asks[i].rc && rc != ERR_CONFLICT)
			rc = why_set(out_why, asks[i].rc, "%s", asks[i].why.text);
		buf_release(&texts[i]);
	}
	return rc;
}

static int take_once(struct bus *bus, const struct rate_ask *ask, struct shared_log *logs,
		     int64_t *out_wait_ms, struct why *out_why)
{
	int rc = read_logs(bus, logs, ask->now_ms, out_why);
	if (!rc)
		rc = rate_decide(&logs[OWN].log, ask, ask->target_max, ask->cooldown_ms,
				 out_wait_ms, out_why);
	if (!rc)
		rc = rate_decide(&logs[ALL].log, ask, ask->global_max, 0, out_wait_ms, out_why);
	return rc ? rc : write_logs(bus, logs, ask, out_why);
}

int rate_take(struct bus *bus, const struct rate_ask *ask, int64_t *out_wait_ms,
	      struct why *out_why)
{
	struct shared_log *logs = mem_calloc(LOGS, sizeof(*logs));
	snprintf(logs[OWN].key, sizeof(logs[OWN].key), "rate-%.58s", ask->target);
	snprintf(logs[ALL].key, sizeof(logs[ALL].key), "rate-global");
	logs[OWN].unused = ask->target_max == 0 && ask->cooldown_ms == 0;
	logs[OWN].cools = ask->cooldown_ms > 0;
	logs[ALL].unused = ask->global_max == 0;
	int rc = ERR_CONFLICT;
	struct why why = {0};
	for (int i = 0; i < TRIES && rc == ERR_CONFLICT; i++) {
		why = (struct why){0};
		rc = take_once(bus, ask, logs, out_wait_ms, &why);
	}
	free(logs);
	return rc ? why_set(out_why, rc, "%s", why.text) : 0;
}
