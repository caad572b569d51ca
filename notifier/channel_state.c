#include "notifier/channel_state.h"

#include "common/metrics.h"

#include <pthread.h>

static struct metric up =
	METRIC_GAUGE("healbus_channel_up",
		     "1: the channel took what it was last given; 0: it did not.", "channel");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct channel_state states[CHANNEL_STATES_MAX];
static size_t n_states;

/* In the order of names. NULL: too many. */
static struct channel_state *state_of(const char *name)
{
	size_t i = 0;
	while (i < n_states && strcmp(states[i].name, name) < 0)
		i++;
	if (i < n_states && str_eq(states[i].name, name))
		return &states[i];
	if (n_states == CHANNEL_STATES_MAX)
		return NULL;
	memmove(&states[i + 1], &states[i], (n_states - i) * sizeof(*states));
	n_states++;
	states[i] = (struct channel_state){0};
	snprintf(states[i].name, sizeof(states[i].name), "%s", name);
	return &states[i];
}

void channel_state_put(const char *name, int64_t now_ms, const char *error)
{
	pthread_mutex_lock(&lock);
	struct channel_state *c = state_of(name);
	if (c && error) {
		c->failing_ms = c->failing_ms ? c->failing_ms : now_ms;
		c->failures++;
		snprintf(c->error, sizeof(c->error), "%s", error);
	} else if (c) {
		c->ok_ms = now_ms;
		c->failing_ms = 0;
		c->failures = 0;
		*c->error = '\0';
	}
	pthread_mutex_unlock(&lock);
	metric_set(&up, error == NULL, name);
}

size_t channel_states(struct channel_state out[static CHANNEL_STATES_MAX])
{
	pthread_mutex_lock(&lock);
	size_t n = n_states;
	memcpy(out, states, n * sizeof(*states));
	pthread_mutex_unlock(&lock);
	return n;
}

bool channel_state_dead(const struct channel_state *c, int64_t now_ms, int64_t after_ms)
{
	return c->failing_ms && now_ms - c->failing_ms >= after_ms;
}
