#include "common/stage_effect_private.h"

enum {
	EFFECT_SLICE_MS = 500, /* how long a stop may go unnoticed */
	EFFECT_BATCH_BYTES = 2 << 20,
	EFFECT_BEAT_MS = 500,
	EFFECT_FEW = 2,
	EFFECT_FOLD_LOOK_MS = 50,
	EFFECT_FOLD_STEP_MS = 2,
	EFFECT_FOLD_WAIT_MS = 10000, /* for the fold to have read what a handler builds on */
};

/* ---- the consumer ---- */

static int check_consumer(struct effect_pool *p, struct why *out_why)
{
	struct bus *b = p->stage->bus;
	uint64_t epoch = bus_epoch(b);
	int rc = 0;
	pthread_mutex_lock(&p->lock);
	if (epoch == 0)
		rc = ERR_CLOSED;
	else if (p->checked_epoch != epoch)
		rc = bus_shared_consumer(b, p->consumer, out_why);
	if (rc == 0)
		p->checked_epoch = epoch;
	pthread_mutex_unlock(&p->lock);
	return rc;
}

static void note_error(struct effect_pool *p, int rc, const struct why *why)
{
	if (atomic_exchange(&p->last_error, rc) != rc && rc)
		LOG(ERROR, "effect waits", S("worker", p->def->consumer), S("error", err_name(rc)),
		    S("why", why->text));
}

static bool must_wait(const struct effect_worker *w)
{
	return w->pool->def->after_fold && !stage_folds_reading(w->pool->stage);
}

static int connect_worker(struct effect_worker *w)
{
	struct effect_pool *p = w->pool;
	struct why why = {0};
	if (must_wait(w)) {
		stage_sleep(p->stage, EFFECT_FOLD_LOOK_MS);
		return 0;
	}
	int rc = bus_wait(p->stage->bus, EFFECT_SLICE_MS, &why);
	if (rc == ERR_TIMEOUT)
		return 0;
	if (rc == 0)
		rc = check_consumer(p, &why);
	if (rc == 0)
		rc = bus_puller_open(p->stage->bus, p->consumer->stream, p->consumer->name,
				     p->batch_max, &w->puller);
	note_error(p, rc == ERR_CLOSED ? 0 : rc, &why);
	return rc;
}

static void disconnect_worker(struct effect_worker *w, int rc)
{
	bus_puller_close(w->puller);
	w->puller = NULL;
	if (rc != ERR_NOT_FOUND)
		return;
	pthread_mutex_lock(&w->pool->lock);
	w->pool->checked_epoch = 0;
	pthread_mutex_unlock(&w->pool->lock);
}

/* ---- taking ---- */

static int unpack(struct effect_worker *w, struct effect_job *job, char *token)
{
	struct topic topic;
	ProtobufCMessage *msg = NULL;
	if (topic_parse(job->subject, &topic))
		return why_set(&job->why, ERR_INVALID, "subject is not in the topic table");
	int rc = wire_check_schema(job->delivery.schema, &job->why);
	if (rc)
		return rc;
	memcpy(token, topic.token, sizeof(topic.token));
	job->kind = topic.kind;
	job->token = token;
	if (topic.kind == KIND_RAW)
		return 0;
	rc = wire_unpack(topic.kind, job->data, job->len, &w->arena, &msg, &job->why);
	job->msg = msg;
	return rc;
}

static void add_job(struct effect_worker *w, const struct bus_delivery *d, size_t row)
{
	struct effect_job *job = &w->jobs[w->n];
	*job = (struct effect_job){.subject = d->subject,
				   .id = d->id,
				   .content_type = d->content_type,
				   .again = d->again,
				   .time_ms = d->time_ms,
				   .seq = d->seq,
				   .delivered = d->delivered,
				   .data = d->data,
				   .len = d->len,
				   .arena = &w->arena,
				   .delivery = *d,
				   .row = row};
	char *token = arena_alloc(&w->arena, sizeof(((struct topic *)NULL)->token));
	if (!token || unpack(w, job, token)) {
		job->token = "";
		effect_reject(w, job);
		effect_let_go(w, job);
		return;
	}
	pthread_mutex_lock(&w->lock);
	w->n++;
	w->beat_at_mono_ms = clock_mono_ms() + w->pool->consumer->ack_wait_ms / 3;
	pthread_mutex_unlock(&w->lock);
}

/* What an earlier process of ours had in hand when it died. ERR_NOT_FOUND: nothing more. */
static int retake(struct effect_worker *w, struct bus_delivery *out, size_t *out_row)
{
	struct effect_pool *p = w->pool;
	struct why why = {0};
	char text[TAKEN_REPLY_MAX];
	while (taken_next(p->taken, text, out_row)) {
		char *reply = arena_strdup(&w->arena, text);
		int rc = bus_retake(p->stage->bus, p->consumer->stream, reply, out, &why);
		if (rc == 0)
			return 0;
		/* Gone from the stream, or the bus is: in that case ack_wait brings it back. */
		taken_drop(p->taken, *out_row);
	}
	return ERR_NOT_FOUND;
}

static int next(struct effect_worker *w, int64_t wait_ms, struct bus_delivery *out, size_t *out_row)
{
	int rc = retake(w, out, out_row);
	if (rc == ERR_NOT_FOUND) {
		rc = bus_puller_next(w->puller, wait_ms, out);
		*out_row = rc ? TAKEN_NONE : taken_put(w->pool->taken, out->reply);
	}
	return rc;
}

static int collect(struct effect_worker *w)
{
	struct bus_delivery d = {0};
	size_t bytes = 0, row = TAKEN_NONE;
	int rc = next(w, EFFECT_SLICE_MS, &d, &row);
	while (rc == 0) {
		bytes += d.len;
		add_job(w, &d, row);
		if (w->n >= w->pool->batch_max || bytes > EFFECT_BATCH_BYTES)
			break;
		rc = next(w, 0, &d, &row);
	}
	return rc == ERR_TIMEOUT ? 0 : rc;
}

/* How far the fold must be for what was taken. */
static uint64_t fold_goal(const struct effect_worker *w)
{
	struct bus_stream_state state = {0};
	uint64_t goal = 0;
	bool again = false;
	for (size_t i = 0; i < w->n; i++) {
		goal = MAX(goal, w->jobs[i].seq);
		again |= w->jobs[i].again || w->jobs[i].delivered > 1;
	}
	if (again &&
	    !bus_stream_state(w->pool->stage->bus, w->pool->consumer->stream, &state, NULL))
		goal = MAX(goal, state.last_seq);
	return goal;
}

static bool fold_is_there(struct effect_worker *w)
{
	struct stage *s = w->pool->stage;
	if (!w->pool->def->after_fold)
		return true;
	uint64_t goal = fold_goal(w);
	int64_t until = clock_mono_ms() + EFFECT_FOLD_WAIT_MS;
	while (stage_fold_state(s, 0, 0).applied_seq < goal)
		if (stage_sleep(s, EFFECT_FOLD_STEP_MS) || clock_mono_ms() > until)
			return false;
	return true;
}

static void handle_jobs(struct effect_worker *w)
{
	struct effect_pool *p = w->pool;
	if (fold_is_there(w)) {
		p->def->handle(p->stage, w->state, w->jobs, w->n);
		return;
	}
	for (size_t i = 0; i < w->n; i++) {
		w->jobs[i].verdict = RETRY;
		why_set(&w->jobs[i].why, ERR_UNAVAILABLE, "the fold is not there yet");
	}
}

static void handle(struct effect_worker *w)
{
	struct effect_pool *p = w->pool;
	int64_t began = clock_mono_ms();
	metric_add(&stage_messages, (double)w->n, p->def->consumer);
	FAILPOINT("before-handle");
	stage_pulse_rest(w->pulse);
	handle_jobs(w);
	stage_pulse(w->pulse);
	metric_observe(&stage_effect_seconds, (double)(clock_mono_ms() - began) / 1000,
		       p->def->consumer);
	pthread_mutex_lock(&w->lock);
	size_t n = w->n;
	w->n = 0;
	pthread_mutex_unlock(&w->lock);
	w->many = n > EFFECT_FEW;
	for (size_t i = 0; i < n; i++)
		effect_settle(w, &w->jobs[i]);
}

static void work(struct effect_worker *w)
{
	if (w->puller && must_wait(w)) {
		bus_puller_return(w->puller);
		disconnect_worker(w, 0);
	}
	int rc = w->puller ? collect(w) : connect_worker(w);
	if (w->n > 0)
		handle(w);
	arena_reset(&w->arena);
	if (!rc)
		return;
	disconnect_worker(w, rc);
	stage_sleep(w->pool->stage, rc == ERR_CLOSED ? 20 : 500);
}

static void *run(void *arg)
{
	struct effect_worker *w = arg;
	stage_background(w->pool->stage);
	while (!stage_stopping(w->pool->stage)) {
		stage_pulse(w->pulse);
		work(w);
	}
	if (w->puller)
		bus_puller_return(w->puller);
	disconnect_worker(w, 0);
	stage_pulse_rest(w->pulse);
	bus_thread_done();
	return NULL;
}

/* ---- keeping deliveries alive while handlers run ---- */

static void beat_worker(struct effect_worker *w, int64_t now)
{
	struct effect_pool *p = w->pool;
	pthread_mutex_lock(&w->lock);
	if (w->n > 0 && now >= w->beat_at_mono_ms) {
		for (size_t i = 0; i < w->n; i++)
			bus_in_progress(p->stage->bus, &w->jobs[i].delivery);
		w->beat_at_mono_ms = now + p->consumer->ack_wait_ms / 3;
	}
	pthread_mutex_unlock(&w->lock);
}

static bool any_running(struct stage *s)
{
	bool any = false;
	for (size_t i = 0; i < s->n_effects; i++)
		for (size_t k = 0; k < s->effects[i]->n_workers; k++) {
			pthread_mutex_lock(&s->effects[i]->workers[k].lock);
			any |= s->effects[i]->workers[k].n > 0;
			pthread_mutex_unlock(&s->effects[i]->workers[k].lock);
		}
	return any;
}

/* Outlasts the stop while a handler is at work. */
static void *beat(void *arg)
{
	struct stage *s = arg;
	while (!stage_stopping(s) || any_running(s)) {
		stage_pulse(s->effects[0]->pulse);
		struct timespec pause = {.tv_nsec = 100000000};
		if (stage_sleep(s, EFFECT_BEAT_MS))
			nanosleep(&pause, NULL);
		int64_t now = clock_mono_ms();
		for (size_t i = 0; i < s->n_effects; i++)
			for (size_t k = 0; k < s->effects[i]->n_workers; k++)
				beat_worker(&s->effects[i]->workers[k], now);
	}
	stage_pulse_rest(s->effects[0]->pulse);
	bus_thread_done();
	return NULL;
}

/* ---- all of them ---- */

static size_t count_workers(struct stage *s, const struct effect_def *def)
{
	int64_t n = 1;
	const char *config = stage_snapshot_values(s->config);
	if (def->workers_offset != SIZE_MAX)
		memcpy(&n, config + def->workers_offset, sizeof(n));
	return (size_t)MAX(1, n);
}

static int open_worker(struct effect_pool *p, struct effect_worker *w, struct why *out_why)
{
	w->pool = p;
	w->pulse = stage_pulse_new(p->stage, p->def->consumer);
	w->arena.limit_bytes = FOLD_ARENA_BYTES;
	w->jobs = mem_calloc(p->batch_max, sizeof(*w->jobs));
	pthread_mutex_init(&w->lock, NULL);
	return p->def->open ? p->def->open(p->stage, &w->state, out_why) : 0;
}

/* Work goes on without. */
static void open_taken(struct effect_pool *p, size_t n_workers)
{
	const struct stage_config *c = stage_snapshot_values(p->stage->config);
	struct why why = {0};
	if (taken_open(c->state_dir, p->def->consumer, 2 * n_workers * p->batch_max, &p->taken,
		       &why))
		LOG(WARN, "what is in hand is not noted", S("worker", p->def->consumer),
		    S("why", why.text));
	else if (taken_left(p->taken))
		LOG(INFO, "taking up what was in hand", S("worker", p->def->consumer),
		    I("messages", taken_left(p->taken)));
}

static int open_pool(struct stage *s, const struct effect_def *def, struct why *out_why)
{
	struct effect_pool *p = mem_alloc(sizeof(*p));
	s->effects[s->n_effects++] = p;
	p->stage = s;
	p->def = def;
	p->batch_max = def->batch_max ? def->batch_max : 1;
	p->consumer = topic_consumer_find(def->consumer);
	p->pulse = s->n_effects == 1 ? stage_pulse_new(s, "beat") : NULL;
	pthread_mutex_init(&p->lock, NULL);
	if (!p->consumer)
		return why_set(out_why, ERR_INTERNAL, "no consumer %s in the topic table",
			       def->consumer);
	size_t n = count_workers(s, def);
	open_taken(p, n);
	p->workers = mem_calloc(n, sizeof(*p->workers));
	while (p->n_workers < n) {
		int rc = open_worker(p, &p->workers[p->n_workers++], out_why);
		if (rc)
			return rc;
	}
	return 0;
}

int stage_effects_open(struct stage *s, struct why *out_why)
{
	s->effects = mem_calloc(s->def->n_effects, sizeof(struct effect_pool *));
	for (size_t i = 0; i < s->def->n_effects; i++) {
		int rc = open_pool(s, s->def->effects[i], out_why);
		if (rc)
			return rc;
	}
	return 0;
}

void stage_effects_start(struct stage *s)
{
	for (size_t i = 0; i < s->n_effects; i++)
		for (size_t k = 0; k < s->effects[i]->n_workers; k++) {
			struct effect_worker *w = &s->effects[i]->workers[k];
			w->thread = stage_spawn(s->effects[i]->def->consumer, run, w);
			w->running = true;
		}
	if (s->n_effects == 0)
		return;
	s->effects[0]->beat = stage_spawn("beat", beat, s);
	s->effects[0]->beating = true;
}

bool stage_effects_joined(struct stage *s)
{
	bool all = true;
	for (size_t i = 0; i < s->n_effects; i++) {
		struct effect_pool *p = s->effects[i];
		for (size_t k = 0; k < p->n_workers; k++) {
			struct effect_worker *w = &p->workers[k];
			if (w->running && stage_try_join(w->thread))
				w->running = false;
			all &= !w->running;
		}
		if (p->beating && stage_try_join(p->beat))
			p->beating = false;
		all &= !p->beating;
	}
	return all;
}

static void close_pool(struct effect_pool *p)
{
	for (size_t k = 0; k < p->n_workers; k++) {
		struct effect_worker *w = &p->workers[k];
		if (p->def->close && w->state)
			p->def->close(w->state);
		arena_release(&w->arena);
		free(w->jobs);
		pthread_mutex_destroy(&w->lock);
	}
	free(p->workers);
	taken_close(p->taken);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void stage_effects_close(struct stage *s)
{
	for (size_t i = 0; i < s->n_effects; i++)
		close_pool(s->effects[i]);
	free(s->effects);
	s->effects = NULL;
	s->n_effects = 0;
}

void stage_effects_ready(struct stage *s, struct buf *reasons)
{
	for (size_t i = 0; i < s->n_effects; i++) {
		int rc = atomic_load(&s->effects[i]->last_error);
		if (rc)
			buf_printf(reasons, "%s: %s: %s\n", s->effects[i]->def->consumer,
				   err_name(rc), err_recovery(err_class(rc)));
	}
}
