#include "common/expr_impl.h"

#include <pthread.h>
#include <signal.h>

/* The only state here: who is being watched; as many as threads evaluate at once. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_once_t once;
	struct expr_guard *first;
	bool asleep; /* waits for the first evaluation, not for a time */
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static void unlink_guard(struct expr_guard *g)
{
	*(g->prev ? &g->prev->next : &watch.first) = g->next;
	if (g->next)
		g->next->prev = g->prev;
}

/* Not clock.h: a test that stands the clock still must not stop this. */
static int64_t clock_ms(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The guard to look at next. */
static struct expr_guard *next_guard(void)
{
	struct expr_guard *next = watch.first;
	for (struct expr_guard *g = watch.first; g; g = g->next)
		if (g->look_mono_ms < next->look_mono_ms)
			next = g;
	return next;
}

static void look_at(struct expr_guard *g, int64_t now_ms)
{
	int64_t left_ms = EXPR_TIME_MAX_MS - (clock_ms(g->cpu_clock) - g->cpu_start_ms);
	if (left_ms > 0) {
		g->look_mono_ms = now_ms + left_ms;
		return;
	}
	g->fired = true;
	unlink_guard(g);
	jq_halt(g->jq, jv_invalid(), jv_invalid());
}

static void wait_until(int64_t mono_ms)
{
	struct timespec t = {.tv_sec = mono_ms / 1000, .tv_nsec = mono_ms % 1000 * 1000000};
	pthread_cond_timedwait(&watch.wake, &watch.lock, &t);
}

static void *watch_run(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&watch.lock);
	for (;;) {
		struct expr_guard *g = next_guard();
		int64_t now_ms = clock_ms(CLOCK_MONOTONIC);
		if (!g) {
			watch.asleep = true;
			pthread_cond_wait(&watch.wake, &watch.lock);
			watch.asleep = false;
		} else if (g->look_mono_ms > now_ms) {
			wait_until(g->look_mono_ms);
		} else {
			look_at(g, now_ms);
		}
	}
	return NULL;
}

static void watch_start(void)
{
	pthread_condattr_t clock;
	pthread_t thread;
	sigset_t all, before;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&watch.wake, &clock);
	pthread_condattr_destroy(&clock);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, watch_run, NULL))
		abort();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_detach(thread);
}

void expr_guard_start(struct expr_guard *guard, jq_state *jq)
{
	pthread_once(&watch.once, watch_start);
	*guard = (struct expr_guard){.jq = jq,
				     .look_mono_ms = clock_ms(CLOCK_MONOTONIC) + EXPR_TIME_MAX_MS};
	if (pthread_getcpuclockid(pthread_self(), &guard->cpu_clock))
		abort();
	guard->cpu_start_ms = clock_ms(guard->cpu_clock);
	pthread_mutex_lock(&watch.lock);
	guard->next = watch.first;
	if (watch.first)
		watch.first->prev = guard;
	watch.first = guard;
	if (watch.asleep)
		pthread_cond_signal(&watch.wake);
	pthread_mutex_unlock(&watch.lock);
}

void expr_guard_stop(struct expr_guard *guard)
{
	pthread_mutex_lock(&watch.lock);
	if (!guard->fired)
		unlink_guard(guard);
	pthread_mutex_unlock(&watch.lock);
}
