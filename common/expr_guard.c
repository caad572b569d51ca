#include "common/expr_impl.h"

#include <pthread.h>
#include <signal.h>

/* The only state here: who is being watched. All deadlines are equally far away, so the list is in
 * their order. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_once_t once;
	struct expr_guard *first;
	struct expr_guard *last;
	bool asleep; /* waits for the first evaluation, not for a deadline */
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static void unlink_guard(struct expr_guard *g)
{
	*(g->prev ? &g->prev->next : &watch.first) = g->next;
	*(g->next ? &g->next->prev : &watch.last) = g->prev;
}

static int64_t now_ms(void)
{
	/* Not clock.h: a test that stands the clock still must not stop this. */
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
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
		struct expr_guard *g = watch.first;
		if (!g) {
			watch.asleep = true;
			pthread_cond_wait(&watch.wake, &watch.lock);
			watch.asleep = false;
		} else if (g->deadline_mono_ms > now_ms()) {
			wait_until(g->deadline_mono_ms);
		} else {
			g->fired = true;
			unlink_guard(g);
			jq_halt(g->jq, jv_invalid(), jv_invalid());
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
	*guard = (struct expr_guard){.jq = jq, .deadline_mono_ms = now_ms() + EXPR_TIME_MAX_MS};
	pthread_mutex_lock(&watch.lock);
	guard->prev = watch.last;
	*(watch.last ? &watch.last->next : &watch.first) = guard;
	watch.last = guard;
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
