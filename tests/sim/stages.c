/* A stage around its fold: the real loop of stage_fold*.c, with what stage.c gives it. */
#include "common/stage_fold_private.h"
#include "tests/sim/sim.h"

struct metric stage_messages = METRIC_COUNTER("sim_messages", "", "worker");
struct metric stage_batches = METRIC_COUNTER("sim_batches", "", "worker");
struct metric stage_lag = METRIC_GAUGE("sim_lag", "", "worker");
struct metric stage_outbox = METRIC_GAUGE("sim_outbox", "", "worker");
struct metric stage_store_percent = METRIC_GAUGE("sim_store", "", "worker");
struct metric stage_resets = METRIC_COUNTER("sim_resets", "", "worker");
const char *const stage_log_levels[] = {"debug", "info", "warn", "error", NULL};
const char *const stage_ticks_names[] = {"clock", NULL};

struct stage_snapshot {
	struct stage_config config;
};

struct simulated {
	struct stage stage;
	struct stage_def def;
	const struct fold_def *folds[1];
	struct stage_snapshot snapshot;
};

/* ---- what the loop calls ---- */

pthread_t stage_spawn(const char *name UNUSED, void *(*run)(void *), void *arg)
{
	struct proc *p = NULL;
	for (size_t i = 0; i < W->n_procs; i++) {
		const struct simulated *s = W->procs[i].fold ? W->procs[i].data : NULL;
		if (s && (void *)s->stage.folds[0] == arg)
			p = &W->procs[i];
	}
	assert(p);
	task_start(p, run, arg);
	return 0;
}

bool stage_try_join(pthread_t t UNUSED)
{
	return true;
}

bool stage_stopping(const struct stage *s UNUSED)
{
	return is_dead();
}

bool stage_sleep(struct stage *s UNUSED, int64_t ms)
{
	task_wait(W->now_ms + ms, NULL, NULL);
	return is_dead();
}

void stage_fail(struct stage *s, int exit_code)
{
	if (!is_dead())
		sim_fail("%s ends itself with exit code %d", s->def->name, exit_code);
}

void stage_background(const struct stage *s UNUSED)
{
}

struct bus *stage_bus(struct stage *s)
{
	return s->bus;
}

const void *stage_config_get(struct stage *s)
{
	return stage_snapshot_values(s->config);
}

void stage_config_put(struct stage *s UNUSED, const void *config UNUSED)
{
}

const void *stage_snapshot_values(const struct stage_snapshot *c)
{
	return &c->config;
}

/* Here one process has a fold: the judge sees what several would do to each other in the tests of
 * the real programs. */
int fold_owner_take(struct fold_loop *l UNUSED, struct why *out_why UNUSED)
{
	return 0;
}

bool fold_owner_is(const struct fold_loop *l UNUSED)
{
	return true;
}

void fold_owner_release(struct fold_loop *l UNUSED)
{
}

/* Machines do not crash here: processes do. */
bool fold_machine_restarted(const struct fold_loop *l UNUSED)
{
	return false;
}

void fold_machine_note(const struct fold_loop *l UNUSED)
{
}

uint32_t stage_slot_partitions(const struct stage *s UNUSED)
{
	return UINT32_MAX;
}

/* Nobody watches over hangs. */
struct stage_pulse *stage_pulse_new(struct stage *s UNUSED, const char *name UNUSED)
{
	return NULL;
}

void stage_pulse(struct stage_pulse *p UNUSED)
{
}

void stage_pulse_rest(struct stage_pulse *p UNUSED)
{
}

/* ---- lives ---- */

static void start(struct proc *p)
{
	struct simulated *s = p->data;
	struct why why = {0};
	s->stage = (struct stage){.def = &s->def, .config = &s->snapshot};
	if (stage_folds_open(&s->stage, &why)) {
		sim_fail("%s does not start: %s", p->name, why.text);
		return;
	}
	p->fold = stage_fold(&s->stage, 0, 0);
	stage_folds_start(&s->stage);
}

static void reap(struct proc *p)
{
	struct simulated *s = p->data;
	p->fold = NULL;
	stage_folds_close(&s->stage);
}

void stage_add(const char *name, const struct fold_def *def)
{
	struct proc *p = &W->procs[W->n_procs];
	struct simulated *s = arena_alloc(&W->arena, sizeof(*s));
	auto_free char *dir = mem_printf("%s-state", name);
	const char *state = sim_store_dir(dir);
	auto_free char *fold_dir = mem_printf("%s/%s%s", dir, name, def->partitioned ? "-00" : "");
	s->folds[0] = def;
	s->def = (struct stage_def){.name = name, .folds = s->folds, .n_folds = 1};
	s->def.partitions = def->partitioned ? sim_one_partition : NULL;
	s->snapshot.config = (struct stage_config){.state_dir = (char *)(uintptr_t)state,
						   .outbox_retain_ms = 130000};
	*p = (struct proc){.name = name,
			   .index = W->n_procs++,
			   .start = start,
			   .reap = reap,
			   .store_dir = sim_store_dir(fold_dir),
			   .data = s};
	sim_store_wipe(p->store_dir);
	proc_start(p);
}

/* ---- against an undisturbed run ---- */

/* Applies the whole stream to a new fold. */
static struct fold *undisturbed(const struct fold_def *def)
{
	struct why why = {0};
	struct fold *f = NULL;
	struct fold_message batch[FOLD_BATCH_MAX];
	const struct stream *s = stream_find(def->stream);
	auto_free char *name = mem_printf("%s-again", def->name);
	struct fold_options o = {.dir = sim_store_dir(name)};
	sim_store_wipe(o.dir);
	if (fold_open(def, &o, &f, &why))
		sim_fail("%s: a second fold: %s", def->name, why.text);
	for (size_t at = 0; f && at < s->n;) {
		size_t n = 0;
		for (; n < FOLD_BATCH_MAX && at < s->n; n++, at++) {
			const struct message *m = &s->items[at];
			batch[n] = (struct fold_message){.subject = m->subject,
							 .id = m->id,
							 .time_ms = m->time_ms,
							 .stream_ns = m->stream_ns,
							 .seq = m->seq,
							 .data = m->data,
							 .len = m->len};
		}
		if (fold_apply(f, batch, n, &why))
			sim_fail("%s: undisturbed: %s", def->name, why.text);
	}
	return f;
}

struct outputs {
	const char *fold;
	size_t n;
};

/* Every output of the undisturbed run is on the bus, byte for byte. */
static int check_output(void *ctx, const struct fold_row *row)
{
	struct outputs *o = ctx;
	const struct stream *s = stream_of_subject(row->msg.subject);
	o->n++;
	for (size_t i = 0; i < s->n; i++) {
		const struct message *m = &s->items[i];
		if (!str_eq(m->id, row->msg.id))
			continue;
		if (m->len != row->msg.len || memcmp(m->data, row->msg.data, m->len) != 0 ||
		    !str_eq(m->subject, row->msg.subject))
			sim_fail("%s: output %s differs from the undisturbed run", o->fold,
				 row->msg.id);
		return 0;
	}
	sim_fail("%s: output %s (%s) is not on the bus", o->fold, row->msg.id, row->msg.subject);
	return 0;
}

/* And there is nothing else of it. */
static void check_count(const struct outputs *o)
{
	size_t n = 0;
	for (size_t k = 0; k < SIM_STREAMS; k++)
		for (size_t i = 0; i < W->streams[k].n; i++)
			n += message_is_of(&W->streams[k].items[i], o->fold);
	if (n != o->n)
		sim_fail("%s: %zu outputs on the bus, %zu of the undisturbed run", o->fold, n,
			 o->n);
}

static void check(struct proc *p, const struct fold_def *def)
{
	uint8_t mine[DIGEST_BYTES], other[DIGEST_BYTES];
	struct outputs outputs = {.fold = def->name};
	struct fold_offset offset = fold_offset(p->fold);
	struct fold *f = undisturbed(def);
	if (!f)
		return;
	if (offset.seq != stream_find(def->stream)->n || fold_outbox_unacked(p->fold))
		sim_fail("%s rests at %" PRIu64 " with %zu outputs not acknowledged", p->name,
			 offset.seq, fold_outbox_unacked(p->fold));
	if (fold_hash(p->fold, mine) || fold_hash(f, other) ||
	    memcmp(mine, other, sizeof(mine)) != 0)
		sim_fail("%s: its state differs from that of an undisturbed run", p->name);
	if (fold_outbox_each(f, 0, check_output, &outputs))
		sim_fail("%s: outbox", p->name);
	check_count(&outputs);
	fold_close(f);
}

void stages_check(void)
{
	for (size_t i = 0; i < W->n_procs && !*W->failure; i++) {
		struct proc *p = &W->procs[i];
		if (p->fold)
			check(p, ((struct simulated *)p->data)->folds[0]);
	}
}
