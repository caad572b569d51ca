#include "common/stage_fold_private.h"

/* What time it is for timers; INT64_MIN: nobody here knows. */
static int64_t tick_now(const struct fold_loop *l)
{
	const struct stage_config *c = l->config;
	struct fold_offset last = fold_offset(l->fold);
	/* A clock that was put back does not hold time up: it goes on from the last message. */
	if (c->ticks == TICKS_CLOCK)
		return MAX(clock_real_ms(), last.time_ms + clock_mono_ms() - l->read_mono_ms);
	if (c->ticks == TICKS_OFF || last.seq == 0)
		return INT64_MIN;
	return clock_real_ms() - MAX(0, last.stream_ns / 1000000 - last.time_ms);
}

static void send_tick(struct fold_loop *l, int64_t due, int64_t now)
{
	Healbus__Tick tick = HEALBUS__TICK__INIT;
	Healbus__Control control = HEALBUS__CONTROL__INIT;
	char subject[SUBJECT_MAX + 1], id[BUS_ID_MAX];
	snprintf(id, sizeof(id), "tick:%s:%" PRId64, l->name, due);
	if (l->ticks > 0)
		snprintf(id, sizeof(id), "tick:%s:%" PRId64 ":%u", l->name, due, l->ticks);
	tick.stage = (char *)(uintptr_t)l->def->name;
	SET(&tick, due_ms, due);
	SET(&tick, at_ms, now);
	char control_id[ID_BYTES];
	id_make(control_id, "tick", id);
	control.id = control_id;
	SET(&control, kind, HEALBUS__CONTROL_KIND__CONTROL_TICK);
	control.by = tick.stage;
	SET(&control, at_ms, now);
	control.tick = &tick;
	auto_buf packed = {0};
	if (l->def->partitioned)
		subject_event(subject, l->partition, "tick");
	else
		subject_story(subject, KIND_CONTROL, "tick");
	wire_pack(l->def->partitioned ? &tick.base : &control.base, &packed);
	struct bus_msg m = {.subject = subject,
			    .id = id,
			    .time_ms = now,
			    .data = packed.data,
			    .len = packed.len};
	bus_outlet_send(l->outlet, &m, FOLD_LOOP_TICK_TOKEN);
}

/* Nothing is left to read and a timer is due: somebody must say that time has passed. */
void fold_loop_tick(struct fold_loop *l)
{
	if (!fold_owner_is(l))
		return;
	int64_t due = fold_next_due_ms(l->fold);
	int64_t now = clock_mono_ms();
	int64_t time = tick_now(l);
	if (due > time)
		return;
	if (due == l->tick_due_ms && now < l->tick_at_mono_ms + FOLD_LOOP_TICK_MS)
		return;
	l->ticks = due == l->tick_due_ms ? l->ticks + 1 : 0;
	l->tick_due_ms = due;
	l->tick_at_mono_ms = now;
	send_tick(l, due, time);
}

int64_t fold_loop_wait_ms(const struct fold_loop *l)
{
	int64_t wait = FOLD_LOOP_SLICE_MS;
	int64_t due = fold_next_due_ms(l->fold);
	int64_t now = tick_now(l);
	if (fold_outbox_unacked(l->fold) > 0)
		wait = MIN(wait, 50);
	if (now == INT64_MIN)
		return wait;
	if (due > now)
		return MIN(wait, due - now);
	if (due == l->tick_due_ms)
		return MIN(wait, MAX(1, l->tick_at_mono_ms + FOLD_LOOP_TICK_MS - clock_mono_ms()));
	return MIN(wait, 50);
}
