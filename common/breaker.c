#include "common/breaker.h"

#include <math.h>

/* Weights of the newest call: about the last 7 and the last 200 calls count. Three failures in a
 * row after a long good time are a rise over the default limit, two are not. */
static const double FAST = 0.15;
static const double SLOW = 0.005;
/* Under this, latencies are all the same to us: 1 ms against 6 ms is no trend. */
static const double LATENCY_FLOOR_MS = 10;

static double or_default(double value, double fallback)
{
	return value > 0 ? value : fallback;
}

void breaker_init(struct breaker *b, const struct breaker_options *options)
{
	struct breaker_options o = options ? *options : (struct breaker_options){0};

	o.failure_rate_max = or_default(o.failure_rate_max, 0.5);
	o.rise_max = or_default(o.rise_max, 0.3);
	o.latency_factor_max = or_default(o.latency_factor_max, 5);
	o.calls_min = o.calls_min ? o.calls_min : 5;
	o.open_ms = o.open_ms > 0 ? o.open_ms : 5000;
	o.open_max_ms = o.open_max_ms > 0 ? o.open_max_ms : 300000;
	*b = (struct breaker){.options = o};
}

static int64_t cool_off_ms(const struct breaker *b)
{
	int64_t ms = b->options.open_ms;

	for (uint32_t i = 1; i < b->opens_in_row && ms < b->options.open_max_ms; i++)
		ms *= 2;
	return MIN(ms, b->options.open_max_ms);
}

static void trip(struct breaker *b, int64_t now_ms)
{
	b->state = BREAKER_OPEN;
	b->probing = false;
	if (b->opens_in_row < 64)
		b->opens_in_row++;
	b->open_until_ms = now_ms + cool_off_ms(b);
}

bool breaker_allow(struct breaker *b, int64_t now_ms, int64_t *out_wait_ms)
{
	if (b->state == BREAKER_CLOSED)
		return true;
	if (b->state == BREAKER_OPEN && now_ms < b->open_until_ms) {
		*out_wait_ms = b->open_until_ms - now_ms;
		return false;
	}
	if (b->probing) {
		*out_wait_ms = b->options.open_ms;
		return false;
	}
	b->state = BREAKER_HALF_OPEN;
	b->probing = true;
	return true;
}

/* The plain mean while there are few calls, so that the first ones do not weigh too little. */
static void average(double *mean, double weight, uint32_t calls, double value)
{
	double w = MAX(weight, 1.0 / calls);

	*mean += w * (value - *mean);
}

static bool is_bad(const struct breaker *b)
{
	const struct breaker_options *o = &b->options;

	if (b->calls < o->calls_min)
		return false;
	return b->fail_fast > o->failure_rate_max || b->fail_fast - b->fail_slow > o->rise_max ||
	       b->lat_fast - b->lat_slow > log(o->latency_factor_max);
}

static void record_probe(struct breaker *b, int64_t now_ms, bool ok)
{
	if (!ok) {
		trip(b, now_ms);
		return;
	}
	/* What is normal is learnt anew; the row of openings ends only after calls that went well.
	 */
	b->state = BREAKER_CLOSED;
	b->probing = false;
	b->calls = 0;
}

void breaker_record(struct breaker *b, int64_t now_ms, bool ok, int64_t took_ms)
{
	if (b->state == BREAKER_HALF_OPEN) {
		record_probe(b, now_ms, ok);
		return;
	}
	if (b->state == BREAKER_OPEN)
		return; /* begun before it opened */
	if (b->calls < UINT32_MAX)
		b->calls++;
	double failed = ok ? 0 : 1;
	double latency = log((double)MAX(took_ms, 0) + LATENCY_FLOOR_MS);
	average(&b->fail_fast, FAST, b->calls, failed);
	average(&b->fail_slow, SLOW, b->calls, failed);
	average(&b->lat_fast, FAST, b->calls, latency);
	average(&b->lat_slow, SLOW, b->calls, latency);
	if (is_bad(b))
		trip(b, now_ms);
	else if (b->calls >= 2 * (uint64_t)b->options.calls_min)
		b->opens_in_row = 0;
}

const char *breaker_state_name(enum breaker_state state)
{
	static const char *const names[] = {"closed", "open", "half-open"};

	return (unsigned)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

int64_t backoff_next_ms(int64_t last_ms, int64_t base_ms, int64_t cap_ms, double random)
{
	int64_t last = MAX(last_ms, base_ms);
	double high = MIN((double)last * 3, (double)cap_ms);
	double low = MIN((double)base_ms, high);

	return (int64_t)(low + (high - low) * random);
}
