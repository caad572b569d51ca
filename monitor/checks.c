#include "monitor/checks.h"
#include "common/clock.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/metrics.h"
#include "monitor/checks_tls.h"
#include "monitor/config.h"
#include "monitor/normaliser.h"

enum { IDLE_MS = 1000, RETRY_MS = 200, PUBLISH_WAIT_MS = 2000, STAND_BY_MS = 1000 };

static struct metric runs_total = METRIC_COUNTER("healbus_monitor_check_runs_total",
						 "Looks taken by the checks.", "check", "result");

/* A thread's share: every CHECK_THREADS-th check. Nothing is shared with the other threads. */
struct share {
	struct stage *stage;
	size_t index;
	struct check_tools tools;
	struct check_state *states;
	size_t n;
	struct arena arena;
};

static int check_publish(struct share *share, struct check_state *s, const struct check *c)
{
	char subject[SUBJECT_MAX + 1], id[BUS_ID_MAX + 1];
	auto_buf packed = {0};
	const Healbus__Event *e = check_event(s, c, &share->arena);
	struct why why = {0};
	int64_t now = clock_real_ms();
	struct bus_msg m = {
		.subject = subject_raw(subject, "check"),
		.id = id,
		.content_type = CONTENT_TYPE_PROTOBUF,
		.time_ms = now,
	};
	int rc;

	/* A repeat is a message of its own; a second try of the same one is not. */
	snprintf(id, sizeof(id), "%s-%" PRId64, e->id, s->told_ms);
	wire_pack(&e->base, &packed);
	m.data = packed.data;
	m.len = packed.len;
	rc = bus_publish(stage_bus(share->stage), &m, PUBLISH_WAIT_MS, NULL, &why);
	arena_reset(&share->arena);
	if (rc && !s->unsent)
		LOG(WARN, "check result not published, trying again", S("check", c->name),
		    S("error", why.text));
	s->unsent = rc != 0;
	return rc;
}

static void check_look(struct share *share, struct check_state *s, const struct check *c)
{
	struct check_result result = {0};
	bool was_firing = s->firing;

	s->due_ms = clock_mono_ms() + c->interval_ms;
	c->kind->run(c, &share->tools, &result);
	metric_add(&runs_total, 1, c->name, result.ok ? "ok" : "failed");
	if (!check_judge(s, c, &result, clock_real_ms(), clock_mono_ms()))
		return;
	if (was_firing != s->firing)
		LOG(INFO, s->firing ? "check fires" : "check is well again", S("check", c->name),
		    S("detail", s->detail));
	check_publish(share, s, c);
}

static struct check_state *state_of(struct share *share, const struct check *c)
{
	for (size_t i = 0; i < share->n; i++) {
		if (str_eq(share->states[i].name, c->name))
			return &share->states[i];
	}
	share->states = mem_realloc(share->states, (share->n + 1) * sizeof(*share->states));
	share->states[share->n] = (struct check_state){0};
	snprintf(share->states[share->n].name, sizeof(share->states->name), "%s", c->name);
	return &share->states[share->n++];
}

/* Runs what is due; returns when to look again. */
static int64_t share_run(struct share *share, const struct checks *checks)
{
	int64_t next = clock_mono_ms() + IDLE_MS;

	for (size_t i = share->index; i < checks->n; i += CHECK_THREADS) {
		const struct check *c = &checks->items[i];
		struct check_state *s = state_of(share, c);

		if (stage_stopping(share->stage))
			return 0;
		if (s->unsent)
			check_publish(share, s, c);
		if (clock_mono_ms() >= s->due_ms)
			check_look(share, s, c);
		next = MIN(next, s->unsent ? clock_mono_ms() + RETRY_MS : s->due_ms);
	}
	return next;
}

void checks_thread(struct stage *s)
{
	static atomic_size_t started;
	struct share share = {.stage = s, .index = atomic_fetch_add(&started, 1) % CHECK_THREADS};
	auto_free char *what = mem_printf("checks-%zu", share.index);
	auto_fd int sole = -1;

	while (!stage_stopping(s)) {
		/* Of several monitors one looks: two would tell of two beginnings. */
		if (!stage_is_sole(s, what, &sole)) {
			stage_sleep(s, STAND_BY_MS);
			continue;
		}
		const struct monitor_config *c = stage_config_get(s);
		int64_t next = share_run(&share, &c->checks);

		stage_config_put(s, c);
		stage_sleep(s, MAX(next - clock_mono_ms(), 0));
	}
	http_client_free(share.tools.http);
	check_tls_free(share.tools.tls);
	arena_release(&share.arena);
	free(share.states);
}
