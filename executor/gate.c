#include "executor/gate.h"

#include <poll.h>
#include <sys/eventfd.h>

#include "common/clock.h"
#include "executor/rate.h"
#include "executor/recall.h"

enum {
	BUSY_WAIT_MS = 2000,
	PAUSE_WAIT_MS = 5000,
	HEALTH_WAIT_MS = 10000,
	KEEP_MS = 1000,
	OWN_WAIT_MS = 200, /* for another worker of ours; the others have less to do meanwhile */
	OWN_LOOK_MS = 2,
};

#define PAUSE_SUBJECT "heal.control.pause"

void gate_ask_pause(struct bus_ask *out)
{
	/* Who pauses must not be overlooked because a replica has not heard of it yet. */
	*out = (struct bus_ask){
		.kind = BUS_ASK_LAST, .bucket = STREAM_STORY, .key = PAUSE_SUBJECT, .leader = true};
}

int gate_answer_pause(struct bus_ask *ask, struct why *out_why)
{
	struct arena arena = {0};
	ProtobufCMessage *msg = NULL;
	struct why why = {0};
	if (ask->rc == ERR_NOT_FOUND)
		return 0;
	if (ask->rc)
		return why_set(out_why, ask->rc, "whether all is paused cannot be told: %s",
			       ask->why.text);
	int rc = wire_unpack(KIND_CONTROL, ask->delivery.data, ask->delivery.len, &arena, &msg,
			     &why);
	const Healbus__Control *c = (const Healbus__Control *)msg;
	if (rc)
		rc = why_set(out_why, ERR_BUSY, "the pause message is unreadable: %s", why.text);
	else if (c->kind != HEALBUS__CONTROL_KIND__CONTROL_RESUME)
		rc = why_set(out_why, ERR_BUSY, "paused by %s", c->by ? c->by : "somebody");
	bus_delivery_free(&ask->delivery);
	arena_release(&arena);
	return rc;
}

int gate_pause(const struct executor *ex, struct why *out_why)
{
	struct bus_ask ask;
	gate_ask_pause(&ask);
	bus_ask(ex->bus, &ask, 1);
	return gate_answer_pause(&ask, out_why);
}

/* ---- locks ---- */

/* Many acts are short: whoever waits for another worker's here goes on at once, and need not come
 * back from the bus in seconds. */
static void await_our_own(const struct executor *ex, const char *key)
{
	int64_t until = clock_mono_ms() + OWN_WAIT_MS;
	while (lock_is_ours(ex->holder, key) && clock_mono_ms() < until)
		if (ex->sleep(ex->sleep_ctx, OWN_LOOK_MS))
			return;
}

static int take_lock(struct held *held, const char *key, struct why *out_why)
{
	struct why why = {0};
	await_our_own(held->ex, key);
	int rc = lock_acquire(held->ex->bus, held->ex->holder, key, held->value,
			      &held->locks[held->n], &why);
	if (rc == 0)
		held->n++;
	if (rc == ERR_BUSY)
		return why_set(out_why, rc, "%s", why.text);
	return rc ? why_set(out_why, rc, "lock %s: %s", key, why.text) : 0;
}

static int take_locks(struct held *held, const struct target *target, struct why *out_why)
{
	char key[TOKEN_MAX + 1];
	const struct target_group *group = group_find(&held->ex->config->inventory, target->group);
	snprintf(key, sizeof(key), "target-%.56s", target->id);
	int rc = take_lock(held, key, out_why);
	if (rc || !group || group->min_healthy == 0)
		return rc;
	/* Members are counted one at a time: two at once would each see the other healthy. */
	snprintf(key, sizeof(key), "group-%.56s", group->id);
	return take_lock(held, key, out_why);
}

void gate_leave(struct held *held)
{
	for (size_t i = held->n; i > 0; i--)
		lock_release_held(held->ex->bus, held->ex->holder, &held->locks[i - 1]);
	held->n = 0;
}

void gate_clear(const struct plan_run *run, const struct slot *slot)
{
	struct held held = {.ex = run->ex};
	struct why why = {0};
	if (slot->action->level <= HEALBUS__LEVEL__LEVEL_NONE)
		return;
	snprintf(held.value, sizeof(held.value), "plan %.20s, which died", run->plan->id);
	take_locks(&held, slot->action->target, &why);
	gate_leave(&held);
}

int gate_renew(struct held *held, struct why *out_why)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < held->n; i++)
		rc = lock_renew(held->ex->bus, &held->locks[i], out_why);
	if (!rc && held->plan && held->plan->revision)
		rc = lock_renew(held->ex->bus, held->plan, out_why);
	return rc;
}

int64_t gate_held_since(const struct held *held)
{
	int64_t oldest =
		held->plan && held->plan->revision ? held->plan->renewed_mono_ms : INT64_MAX;
	for (size_t i = 0; i < held->n; i++)
		oldest = MIN(oldest, held->locks[i].renewed_mono_ms);
	return oldest;
}

bool gate_holds(const struct held *held)
{
	int64_t oldest = gate_held_since(held);
	return oldest == INT64_MAX || clock_mono_ms() - oldest < LOCK_KILL_MS;
}

bool gate_tick(void *ctx)
{
	struct held *held = ctx;
	int64_t oldest = gate_held_since(held);
	if (oldest == INT64_MAX)
		return true;
	if (clock_mono_ms() - oldest >= LOCK_RENEW_MS)
		gate_renew(held, NULL);
	return gate_holds(held);
}

static void *keep(void *ctx)
{
	struct keeper *k = ctx;
	struct pollfd p = {.fd = k->wake, .events = POLLIN};
	while (poll(&p, 1, KEEP_MS) <= 0)
		gate_tick(k->held);
	return NULL;
}

int gate_keep(struct keeper *k, struct held *held)
{
	*k = (struct keeper){.held = held, .wake = eventfd(0, EFD_CLOEXEC)};
	if (k->wake >= 0 && pthread_create(&k->thread, NULL, keep, k) == 0)
		return 0;
	if (k->wake >= 0)
		close(k->wake);
	return ERR_UNAVAILABLE;
}

void gate_keep_stop(struct keeper *k)
{
	if (eventfd_write(k->wake, 1))
		abort();
	pthread_join(k->thread, NULL);
	close(k->wake);
}

/* ---- all of them ---- */

static int take_rate(struct plan_run *run, const struct slot *slot, int64_t *out_wait_ms,
		     struct why *out_why)
{
	const struct executor_config *config = run->ex->config;
	struct rate_ask ask = {.target = slot->action->target->id,
			       .step = slot->id,
			       .plan = run->outcome_id,
			       .now_ms = clock_real_ms(),
			       .target_max = config->target_rate,
			       .global_max = config->global_rate,
			       .cooldown_ms = config->cooldown_ms};
	return rate_take(run->ex->bus, &ask, out_wait_ms, out_why);
}

static int enter(struct plan_run *run, const struct slot *slot, struct held *held,
		 int64_t *out_wait_ms, struct why *out_why)
{
	*out_wait_ms = PAUSE_WAIT_MS;
	int rc = recall_pause(run, out_why);
	if (rc || slot->action->level <= HEALBUS__LEVEL__LEVEL_NONE)
		return rc;
	*out_wait_ms = BUSY_WAIT_MS;
	rc = take_locks(held, slot->action->target, out_why);
	/* What undoes a change is never held back for being the second act in a while. */
	if (rc || slot->phase == HEALBUS__PHASE__PHASE_ROLLBACK)
		return rc;
	*out_wait_ms = HEALTH_WAIT_MS;
	rc = health_check(run->ex, slot->action->target, out_why);
	*out_wait_ms = BUSY_WAIT_MS;
	return rc ? rc : take_rate(run, slot, out_wait_ms, out_why);
}

int gate_enter(struct plan_run *run, const struct slot *slot, struct held *out,
	       int64_t *out_wait_ms, struct why *out_why)
{
	*out = (struct held){.ex = run->ex, .plan = &run->lock};
	snprintf(out->value, sizeof(out->value), "plan %.20s by %.60s", run->plan->id,
		 run->ex->instance);
	int rc = enter(run, slot, out, out_wait_ms, out_why);
	if (rc)
		gate_leave(out);
	return rc;
}
