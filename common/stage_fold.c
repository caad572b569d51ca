#include "common/stage_fold_private.h"

#include <signal.h>

/* ---- one batch ---- */

static void free_batch(struct fold_loop *l)
{
	for (size_t i = 0; i < l->n; i++)
		bus_delivery_free(&l->batch[i]);
	l->n = 0;
	l->batch_bytes = 0;
}

/* Takes the next delivery when it is the one that must follow; a gap or a redelivery means that the
 * consumer is no longer ours alone. */
static int take_one(struct fold_loop *l, int64_t wait_ms)
{
	struct bus_delivery d = {0};
	int rc = bus_puller_next(l->puller, wait_ms, &d);
	if (rc)
		return rc;
	if (d.consumer_seq != l->expected || d.delivered != 1) {
		LOG(WARN, "gap in the deliveries, starting again from the offset",
		    S("worker", l->name), I("expected", l->expected), I("got", d.consumer_seq));
		bus_delivery_free(&d);
		return ERR_CONFLICT;
	}
	l->expected++;
	l->batch[l->n++] = d;
	l->batch_bytes += d.len;
	return 0;
}

static int take_what_is_there(struct fold_loop *l)
{
	int rc = 0;
	while (rc == 0 && l->n < FOLD_BATCH_MAX && l->batch_bytes < FOLD_LOOP_BATCH_BYTES)
		rc = take_one(l, 0);
	return rc == ERR_TIMEOUT ? 0 : rc;
}

static void to_message(const struct bus_delivery *d, struct fold_message *out)
{
	*out = (struct fold_message){.subject = d->subject,
				     .id = d->id,
				     .time_ms = d->time_ms,
				     .stream_ns = d->stream_ns,
				     .seq = d->seq,
				     .schema = d->schema,
				     .data = d->data,
				     .len = d->len};
}

static void refresh_config(struct fold_loop *l)
{
	const void *now = stage_config_get(l->stage);
	fold_set_config(l->fold, now);
	if (l->config)
		stage_config_put(l->stage, l->config);
	l->config = now;
}

static int apply_messages(struct fold_loop *l, struct why *out_why)
{
	for (size_t i = 0; i < l->n; i++)
		to_message(&l->batch[i], &l->msgs[i]);
	refresh_config(l);
	return fold_apply(l->fold, l->msgs, l->n, out_why);
}

/* The first message is there. Each batch under way holds pages of its map: few at a time keep the
 * process small, and who has waited for its turn finds more to apply in one transaction. */
static int apply_batch(struct fold_loop *l)
{
	struct why why = {0};
	sem_wait(&l->stage->applying);
	int taken = take_what_is_there(l);
	bool ours = fold_owner_is(l);
	int rc = ours ? apply_messages(l, &why) : 0;
	sem_post(&l->stage->applying);
	if (!ours)
		return ERR_BUSY;
	if (rc) {
		fold_loop_error(l, rc, &why);
		return rc;
	}
	const struct bus_delivery *last = &l->batch[l->n - 1];
	metric_add(&stage_messages, (double)l->n, l->name);
	metric_add(&stage_batches, 1, l->name);
	atomic_store(&l->lag, last->pending);
	l->read_mono_ms = clock_mono_ms();
	atomic_store(&l->moved_mono_ms, clock_mono_ms());
	rc = fold_loop_send_new(l);
	atomic_store(&l->applied_seq, last->seq); /* its outputs count as unacked by now */
	bus_ack(l->puller, last);
	if (l->rebuild_head && fold_offset(l->fold).seq >= l->rebuild_head) {
		fold_known_outputs_clear(l->fold);
		l->rebuild_head = 0;
		LOG(INFO, "rebuilt the state from the bus", S("worker", l->name),
		    I("took_ms", clock_mono_ms() - l->rebuild_mono_ms));
	}
	return rc ? rc : taken;
}

/* A slow bus is no sign that everything is read: not while it said that more is to come, nor before
 * its first word. Only when it stays silent. */
static bool more_expected(const struct fold_loop *l, int64_t now)
{
	bool at_end = l->expected > 1 && atomic_load(&l->lag) == 0;
	return !at_end && now < l->read_mono_ms + FOLD_LOOP_SILENCE_MS;
}

static int idle(struct fold_loop *l)
{
	int64_t now = clock_mono_ms();
	struct why why = {0};
	atomic_store(&l->moved_mono_ms, now);
	if (more_expected(l, now))
		return 0;
	atomic_store(&l->lag, 0);
	fold_loop_tick(l);
	if (now < l->trimmed_mono_ms + FOLD_LOOP_TRIM_MS)
		return 0;
	l->trimmed_mono_ms = now;
	int rc = fold_trim(l->fold, now, &why);
	if (rc)
		fold_loop_error(l, rc, &why);
	return rc;
}

/* ---- the loop ---- */

static int turn(struct fold_loop *l)
{
	if (!fold_owner_is(l))
		return ERR_BUSY;
	int rc = fold_loop_acks(l, 0);
	if (rc == 0)
		rc = fold_loop_resend_late(l);
	if (rc)
		return rc;
	if (l->paused || fold_outbox_unacked(l->fold) > FOLD_LOOP_UNACKED_MAX)
		return fold_loop_acks(l, 50);
	rc = take_one(l, fold_loop_wait_ms(l));
	if (rc == ERR_TIMEOUT)
		return idle(l);
	if (rc)
		return rc;
	rc = apply_batch(l);
	free_batch(l);
	return rc;
}

/* What a turn's error asks for: which parts to open anew, and how long to wait before. */
static const struct remedy {
	int rc;
	bool reconnect;
	int64_t pause_ms;
} remedies[] = {
	{ERR_TIMEOUT, true, 200},   {ERR_CLOSED, true, 10},      {ERR_UNAVAILABLE, true, 200},
	{ERR_CONFLICT, false, 20},  {ERR_NOT_FOUND, false, 250}, {ERR_DENIED, true, 2000},
	{ERR_FULL, false, 1000},    {ERR_BUSY, true, 500},       {ERR_EXISTS, false, 250},
	{ERR_REJECTED, true, 1000},
};

static void recover(struct fold_loop *l, int rc)
{
	const struct remedy *r = NULL;
	free_batch(l);
	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		if (remedies[i].rc == rc)
			r = &remedies[i];
	if (!r) {
		stage_fail(l->stage, EXIT_INTERNAL);
		stage_sleep(l->stage, 60000);
		return;
	}
	fold_loop_disconnect(l, r->reconnect);
	stage_sleep(l->stage, r->pause_ms);
}

/* What was committed is still to be stored by the bus; the rest waits for the next start. */
static void flush(struct fold_loop *l)
{
	const struct stage_config *c = l->config ? l->config : NULL;
	int64_t until = clock_mono_ms() + (c ? c->drain_timeout_ms : 0);
	while (l->outlet && fold_outbox_unacked(l->fold) > 0 && clock_mono_ms() < until) {
		stage_pulse(l->pulse);
		if (fold_loop_acks(l, 50) || fold_loop_resend_late(l))
			break;
	}
}

/* ---- the store ---- */

static int open_store(struct fold_loop *l, struct why *out_why)
{
	const struct stage_config *c = stage_snapshot_values(l->stage->config);
	struct fold_options o = {.dir = l->dir,
				 .partition = l->partition,
				 .config = c,
				 .map_bytes = c->map_bytes,
				 .retain_ms = c->outbox_retain_ms};
	struct fold *f = NULL;
	struct why why = {0};
	int rc = fold_open(l->def, &o, &f, &why);
	if (rc == ERR_UNSUPPORTED)
		return why_set(out_why, rc, "%s. Or move %s away: it is rebuilt from the bus",
			       why.text, l->dir);
	if (rc == ERR_CORRUPT || rc == ERR_SCHEMA) {
		LOG(ERROR, "state set aside, rebuilding it from the bus", S("worker", l->name),
		    S("why", why.text));
		rc = store_set_aside(l->dir, &why);
		if (rc == 0)
			rc = fold_open(l->def, &o, &f, &why);
	}
	atomic_store(&l->fold, f);
	return rc ? why_set(out_why, rc, "%s", why.text) : 0;
}

/* Where slots share a folder, the process that had this partition before may not have ended yet. */
static bool store_is_open(struct fold_loop *l)
{
	while (!atomic_load(&l->fold) && !stage_sleep(l->stage, FOLD_LOOP_STORE_MS)) {
		struct why why = {0};
		stage_pulse(l->pulse);
		int rc = open_store(l, &why);
		if (rc && rc != ERR_BUSY) {
			fold_loop_error(l, rc, &why);
			stage_fail(l->stage, EXIT_INTERNAL);
			return false;
		}
		atomic_store(&l->standing_by, rc == ERR_BUSY);
	}
	return atomic_load(&l->fold) != NULL;
}

static void *run(void *arg)
{
	struct fold_loop *l = arg;
	stage_background(l->stage);
	if (!store_is_open(l)) {
		stage_pulse_rest(l->pulse);
		return NULL;
	}
	refresh_config(l);
	while (!stage_stopping(l->stage)) {
		stage_pulse(l->pulse);
		int rc = l->puller ? turn(l) : fold_loop_connect(l);
		if (rc)
			recover(l, rc);
	}
	flush(l);
	fold_owner_release(l);
	fold_loop_disconnect(l, true);
	stage_config_put(l->stage, l->config);
	stage_pulse_rest(l->pulse);
	bus_thread_done();
	return NULL;
}

/* ---- all of them ---- */

static int64_t replica_of(const struct stage *s)
{
	const struct stage_config *c = stage_snapshot_values(s->config);
	if (c->slots || c->replicas > 1)
		return s->slot.n + 1;
	return s->def->replica ? s->def->replica(c) : 1;
}

static int open_loop(struct stage *s, const struct fold_def *def, unsigned partition,
		     struct why *out_why)
{
	struct fold_loop *l = mem_alloc(sizeof(*l));
	s->folds[s->n_folds++] = l;
	l->stage = s;
	l->def = def;
	l->partition = partition;
	l->batch = mem_calloc(FOLD_BATCH_MAX, sizeof(*l->batch));
	l->msgs = mem_calloc(FOLD_BATCH_MAX, sizeof(*l->msgs));
	atomic_store(&l->moved_mono_ms, clock_mono_ms());
	/* While one batch is applied the next one comes; not for 16 folds at once. */
	l->window = def->partitioned ? FOLD_BATCH_MAX : 2 * FOLD_BATCH_MAX;
	if (def->partitioned) {
		snprintf(l->name, sizeof(l->name), "%s-%02u", def->name, partition);
		snprintf(l->filter, sizeof(l->filter), "event.%02u.>", partition);
	} else {
		snprintf(l->name, sizeof(l->name), "%s", def->name);
		snprintf(l->filter, sizeof(l->filter), "%s", def->filter);
	}
	l->pulse = stage_pulse_new(s, l->name);
	int64_t replica = replica_of(s);
	if (replica > 1 && !def->partitioned)
		snprintf(l->consumer, sizeof(l->consumer), "%s-%" PRId64, l->name, replica);
	else
		snprintf(l->consumer, sizeof(l->consumer), "%s", l->name);
	/* A partition lies where whoever owns it next finds it. */
	const struct stage_config *c = stage_snapshot_values(s->config);
	bool moves = def->partitioned && c->slots;
	l->dir = mem_printf("%s/%s", moves ? c->shared_dir : c->state_dir, l->name);
	int rc = open_store(l, out_why);
	if (rc != ERR_BUSY || !moves)
		return rc;
	LOG(WARN, "another process has the store, waiting for it", S("worker", l->name));
	atomic_store(&l->standing_by, true);
	return 0;
}

int stage_folds_open(struct stage *s, struct why *out_why)
{
	const void *config = stage_snapshot_values(s->config);
	uint32_t owned = s->def->partitions ? s->def->partitions(config) : UINT32_MAX;
	owned &= stage_slot_partitions(s);
	s->folds = mem_calloc(s->def->n_folds * PARTITIONS, sizeof(struct fold_loop *));
	for (size_t i = 0; i < s->def->n_folds; i++) {
		const struct fold_def *def = s->def->folds[i];
		for (unsigned p = 0; p < (def->partitioned ? PARTITIONS : 1); p++) {
			if (def->partitioned && !(owned & (1U << p)))
				continue;
			int rc = open_loop(s, def, p, out_why);
			if (rc)
				return rc;
		}
	}
	return 0;
}

void stage_folds_start(struct stage *s)
{
	sem_init(&s->applying, 0, FOLD_LOOP_APPLYING_MAX);
	for (size_t i = 0; i < s->n_folds; i++) {
		s->folds[i]->thread = stage_spawn(s->folds[i]->name, run, s->folds[i]);
		s->folds[i]->running = true;
	}
}

bool stage_folds_joined(struct stage *s)
{
	bool all = true;
	for (size_t i = 0; i < s->n_folds; i++) {
		struct fold_loop *l = s->folds[i];
		if (l->running && stage_try_join(l->thread))
			l->running = false;
		all &= !l->running;
	}
	return all;
}

void stage_folds_close(struct stage *s)
{
	for (size_t i = 0; i < s->n_folds; i++) {
		struct fold_loop *l = s->folds[i];
		fold_close(l->fold);
		free(l->dir);
		free(l->batch);
		free(l->msgs);
		free(l);
	}
	free(s->folds);
	s->folds = NULL;
	s->n_folds = 0;
}

static struct fold_loop *loop_of(struct stage *s, size_t i, unsigned partition)
{
	for (size_t k = 0; k < s->n_folds; k++)
		if (s->folds[k]->def == s->def->folds[i] &&
		    (!s->folds[k]->def->partitioned || s->folds[k]->partition == partition))
			return s->folds[k];
	return NULL;
}

struct fold *stage_fold(struct stage *s, size_t i, unsigned partition)
{
	struct fold_loop *l = loop_of(s, i, partition);
	return l ? l->fold : NULL;
}

struct stage_fold_state stage_fold_state(struct stage *s, size_t i, unsigned partition)
{
	struct fold_loop *l = loop_of(s, i, partition);
	if (!l)
		return (struct stage_fold_state){0};
	return (struct stage_fold_state){
		.applied_seq = atomic_load(&l->applied_seq),
		.unacked = atomic_load(&l->unacked),
	};
}

/* ---- what others may see of them ---- */

void stage_folds_ready(struct stage *s, struct buf *reasons)
{
	for (size_t i = 0; i < s->n_folds; i++) {
		struct fold_loop *l = s->folds[i];
		int64_t still_ms = clock_mono_ms() - atomic_load(&l->moved_mono_ms);
		if (atomic_load(&l->standing_by)) {
			buf_printf(reasons, "%s: another process owns it, standing by\n", l->name);
			continue;
		}
		if (!atomic_load(&l->reading))
			buf_printf(reasons, "%s: not reading yet\n", l->name);
		else if (still_ms > FOLD_LOOP_STUCK_MS)
			buf_printf(reasons, "%s: has not moved for %" PRId64 " s\n", l->name,
				   still_ms / 1000);
		int rc = atomic_load(&l->last_error);
		if (rc)
			buf_printf(reasons, "%s: %s: %s\n", l->name, err_name(rc),
				   err_recovery(err_class(rc)));
		struct fold *f = atomic_load(&l->fold);
		if (f && store_is_full(fold_store(f)))
			buf_printf(reasons, "%s: its store is full\n", l->name);
	}
}

void stage_folds_measure(struct stage *s)
{
	for (size_t i = 0; i < s->n_folds; i++) {
		struct fold_loop *l = s->folds[i];
		metric_set(&stage_lag, (double)atomic_load(&l->lag), l->name);
		metric_set(&stage_outbox, (double)atomic_load(&l->unacked), l->name);
		if (atomic_load(&l->fold))
			metric_set(&stage_store_percent, store_used_percent(fold_store(l->fold)),
				   l->name);
	}
}

bool stage_folds_reading(const struct stage *s)
{
	return s->n_folds > 0 && atomic_load(&s->folds[0]->reading);
}

bool stage_folds_stand_by(const struct stage *s)
{
	for (size_t i = 0; i < s->n_folds; i++)
		if (atomic_load(&s->folds[i]->standing_by))
			return true;
	return false;
}
