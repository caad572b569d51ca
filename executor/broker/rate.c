#include "executor/broker/rate.h"

#include "common/mem.h"
#include "executor/broker/answer.h"

/* The last `max` times, in a ring: `next` is the oldest. 0: never. */
struct window {
	int64_t *at;
	size_t max, next;
	int64_t span_ms;
};

struct row {
	char id[BROKER_ID_LEN + 1];
	int64_t used_ms;
	struct window window;
};

struct broker_rate {
	struct broker_rates rates;
	struct window requests, acts;
	struct row rows[BROKER_RATE_CONTAINERS];
};

static void window_init(struct window *w, int64_t max, int64_t span_ms)
{
	*w = (struct window){.max = (size_t)max, .span_ms = span_ms};
	w->at = mem_calloc(w->max, sizeof(*w->at));
}

/* 0, or how long until there is room. */
static int64_t window_wait(const struct window *w, int64_t now_ms)
{
	int64_t oldest = w->at[w->next];

	return oldest && now_ms - oldest < w->span_ms ? w->span_ms - (now_ms - oldest) : 0;
}

static void window_add(struct window *w, int64_t now_ms)
{
	w->at[w->next] = now_ms ? now_ms : 1;
	w->next = (w->next + 1) % w->max;
}

struct broker_rate *broker_rate_new(const struct broker_rates *rates)
{
	struct broker_rate *r = mem_alloc(sizeof(*r));

	r->rates = *rates;
	window_init(&r->requests, rates->requests_per_minute, BROKER_MINUTE_MS);
	window_init(&r->acts, rates->global_per_hour, BROKER_HOUR_MS);
	return r;
}

void broker_rate_free(struct broker_rate *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < BROKER_RATE_CONTAINERS; i++)
		free(r->rows[i].window.at);
	free(r->requests.at);
	free(r->acts.at);
	free(r);
}

int broker_rate_request(struct broker_rate *r, int64_t now_ms, int64_t *out_wait_ms)
{
	*out_wait_ms = window_wait(&r->requests, now_ms);
	if (*out_wait_ms)
		return ERR_BUSY;
	window_add(&r->requests, now_ms);
	return 0;
}

static struct row *find_row(struct broker_rate *r, const char *id)
{
	struct row *oldest = &r->rows[0];

	for (size_t i = 0; i < BROKER_RATE_CONTAINERS; i++) {
		if (str_eq(r->rows[i].id, id))
			return &r->rows[i];
		if (r->rows[i].used_ms < oldest->used_ms)
			oldest = &r->rows[i];
	}
	free(oldest->window.at);
	*oldest = (struct row){0};
	window_init(&oldest->window, r->rates.container_per_hour, BROKER_HOUR_MS);
	snprintf(oldest->id, sizeof(oldest->id), "%s", id);
	return oldest;
}

int broker_rate_act(struct broker_rate *r, const char *id, int64_t now_ms, int64_t *out_wait_ms,
		    struct why *out_why)
{
	struct row *row = find_row(r, id);
	int64_t own = window_wait(&row->window, now_ms), all = window_wait(&r->acts, now_ms);

	*out_wait_ms = MAX(own, all);
	if (all > 0)
		return why_set(out_why, ERR_BUSY,
			       "rate.global_per_hour: %" PRId64 " acts within the last hour",
			       r->rates.global_per_hour);
	if (own > 0)
		return why_set(out_why, ERR_BUSY,
			       "rate.container_per_hour: %" PRId64
			       " acts on this container within the last hour",
			       r->rates.container_per_hour);
	row->used_ms = now_ms;
	window_add(&row->window, now_ms);
	window_add(&r->acts, now_ms);
	return 0;
}
