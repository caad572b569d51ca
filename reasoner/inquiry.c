#include "reasoner/inquiry.h"

#include "common/clock.h"
#include "common/metrics.h"
#include "reasoner/case.h"
#include "reasoner/config.h"
#include "reasoner/consult.h"
#include "reasoner/shared.h"

enum {
	RECORD_TIMEOUT_MS = 5000,
	ARENA_MARGIN_BYTES = 8 << 20,
};

static struct metric answered = METRIC_COUNTER(
	"healbus_diagnoses_total", "Incidents looked into, by what came of it.", "result");
static struct metric took = METRIC_HISTOGRAM("healbus_diagnosis_seconds",
					     "How long looking into an incident took.", NULL);

struct worker {
	struct stage *stage;
	struct http_client *http;
	struct memory_worker memory;
};

static void worker_close(void *worker)
{
	struct worker *w = worker;
	memory_index_release(&w->memory.index);
	http_client_free(w->http);
	free(w);
}

static int worker_open(struct stage *s, void **out_worker, struct why *out_why UNUSED)
{
	struct worker *w = mem_alloc(sizeof(*w));
	int rc = http_client_new(&w->http);
	if (rc) {
		free(w);
		return rc;
	}
	w->stage = s;
	*out_worker = w;
	return 0;
}

/* Does the fold still wait for this answer? A redelivery of a settled question costs nothing. */
static bool is_open_question(struct stage *s, const Healbus__ModelExchange *ask)
{
	auto_txn txn = store_begin_read(fold_store(stage_fold(s, 0, 0)));
	struct store_val val;
	struct case_row row;
	if (store_get_str(txn, &table_cases, ask->incident, &val) || val.len != sizeof(row))
		return false;
	memcpy(&row, val.data, sizeof(row));
	return str_eq(row.ask, ask->id);
}

static void say(void *ctx, const Healbus__ModelExchange *exchange)
{
	const struct consultation *c = ctx;
	struct worker *w = c->worker;
	stage_publish(w->stage, KIND_MODEL, exchange->incident, &exchange->base, exchange->id,
		      c->ask->id, clock_real_ms(), RECORD_TIMEOUT_MS, NULL, NULL);
}

static bool wait_ms(void *ctx, int64_t ms)
{
	const struct consultation *c = ctx;
	struct worker *w = c->worker;
	return stage_sleep(w->stage, ms);
}

static void answer(struct worker *w, struct effect_job *job, const struct consultation *c)
{
	char msg_id[TOKEN_MAX + 16];
	char id[ID_BYTES];
	Healbus__ModelExchange out = HEALBUS__MODEL_EXCHANGE__INIT;
	id_make(id, "answer", c->ask->id);
	out.id = id;
	out.incident = c->ask->incident;
	out.purpose = c->ask->purpose;
	out.ask = c->ask->id;
	out.diagnosis = c->diagnosis;
	SET(&out, state, HEALBUS__MODEL_STATE__MODEL_ANSWERED);
	SET(&out, attempt, c->ask->attempt);
	SET(&out, started_at_ms, job->time_ms);
	SET(&out, took_ms, MAX(0, clock_real_ms() - job->time_ms));
	snprintf(msg_id, sizeof(msg_id), "%s:answered", c->ask->id);
	int rc = stage_publish(w->stage, KIND_MODEL, job->token, &out.base, msg_id, job->id,
			       clock_real_ms(), RECORD_TIMEOUT_MS, NULL, &job->why);
	if (rc)
		job->verdict = RETRY;
	metric_add(&answered, 1, c->diagnosis->proposal ? "proposed" : "described");
	metric_observe(&took, (double)out.took_ms / 1000);
}

static void inquire(struct worker *w, struct effect_job *job, const Healbus__ModelExchange *ask)
{
	const struct reasoner_config *config = stage_config_get(w->stage);
	Healbus__Diagnosis diagnosis = HEALBUS__DIAGNOSIS__INIT;
	struct arena arena = {.limit_bytes = (size_t)config->context.log_max_bytes +
					     (size_t)config->context.max_bytes +
					     ARENA_MARGIN_BYTES};
	w->memory.store = fold_store(stage_fold(w->stage, 0, 0));
	w->memory.config = &config->cases.memory;
	w->memory.http = w->http;
	struct consultation c = {
		.config = config,
		.models = ((const struct shared *)stage_data(w->stage))->models,
		.http = w->http,
		.memory = &w->memory,
		.ask = ask,
		.arena = &arena,
		.diagnosis = &diagnosis,
		.say = say,
		.pause = wait_ms,
		.worker = w,
	};
	int rc = consult(&c, &job->why);
	if (rc) {
		job->verdict = RETRY;
		why_prefix(&job->why, rc, "looking into %s", ask->incident);
	} else {
		answer(w, job, &c);
	}
	arena_release(&arena);
	stage_config_put(w->stage, config);
}

static void handle(struct stage *s, void *worker, struct effect_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const Healbus__ModelExchange *m = (const Healbus__ModelExchange *)jobs[i].msg;
		bool asked = m->state == HEALBUS__MODEL_STATE__MODEL_ASKED && m->subject;
		if (asked && is_open_question(s, m))
			inquire(worker, &jobs[i], m);
	}
}

const struct effect_def inquiry_effect = {
	.consumer = "diagnoses",
	.after_fold = true,
	.workers_offset = offsetof(struct reasoner_config, diagnosis_workers),
	.open = worker_open,
	.close = worker_close,
	.handle = handle,
};
