#include "notifier/channel_poll.h"

#include "common/breaker.h"
#include "common/clock.h"
#include "common/log.h"
#include "notifier/config.h"

enum { IDLE_MS = 1000, PAUSE_BASE_MS = 1000, PAUSE_CAP_MS = 60000 };

/* One channel's polling, under one configuration. */
struct polled {
	const struct channel *channel;
	void *state;
	int64_t pause_ms, next_ms; /* after a failure; by the monotonic clock */
};

struct poller {
	const struct notifier_config *config; /* held */
	struct polled *items;
	size_t n;
};

static void poller_close(struct stage *s, struct poller *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->items[i].channel->kind->poll_end && p->items[i].state)
			p->items[i].channel->kind->poll_end(p->items[i].state);
	free(p->items);
	if (p->config)
		stage_config_put(s, p->config);
	*p = (struct poller){0};
}

static void poller_open(struct poller *p, const struct notifier_config *config, size_t mine)
{
	size_t seen = 0;
	p->config = config;
	p->items = mem_calloc(config->channels.n + 1, sizeof(*p->items));
	for (size_t i = 0; i < config->channels.n; i++) {
		const struct channel *c = &config->channels.items[i];
		bool wants = c->kind->poll && (!c->kind->polls || c->kind->polls(c));
		if (wants && seen++ % CHANNEL_POLLERS == mine)
			p->items[p->n++].channel = c;
	}
}

static void poller_refresh(struct stage *s, struct poller *p, size_t mine)
{
	const struct notifier_config *now = stage_config_get(s);
	if (p->config && p->config->serial == now->serial) {
		stage_config_put(s, now);
		return;
	}
	poller_close(s, p);
	poller_open(p, now, mine);
}

static void poll_one(struct stage *s, struct polled *one)
{
	struct why why = {0};
	if (clock_mono_ms() < one->next_ms)
		return;
	int rc = one->channel->kind->poll(s, one->channel, &one->state, &why);
	one->pause_ms = rc ? backoff_next_ms(one->pause_ms, PAUSE_BASE_MS, PAUSE_CAP_MS, 0.5) : 0;
	one->next_ms = clock_mono_ms() + one->pause_ms;
	if (rc)
		LOG(WARN, "could not ask a channel", S("channel", one->channel->name),
		    S("why", why.text), I("again_in_ms", one->pause_ms));
}

static void poller_run(struct stage *s, size_t mine)
{
	struct poller p = {0};
	while (!stage_stopping(s)) {
		bool worked = false;
		poller_refresh(s, &p, mine);
		for (size_t i = 0; i < p.n && !stage_stopping(s); i++) {
			worked = worked || clock_mono_ms() >= p.items[i].next_ms;
			poll_one(s, &p.items[i]);
		}
		if (!worked)
			stage_sleep(s, IDLE_MS);
	}
	poller_close(s, &p);
}

void channel_poller_0(struct stage *s)
{
	poller_run(s, 0);
}

void channel_poller_1(struct stage *s)
{
	poller_run(s, 1);
}
