#include "common/stage_effect_private.h"

enum {
	EFFECT_RETRY_BASE_MS = 1000,
	EFFECT_RETRY_CAP_MS = 60000,
	EFFECT_DEAD_RETRY_MS = 5000,
};

static int64_t retry_delay_ms(const struct effect_job *job)
{
	if (job->retry_ms > 0)
		return job->retry_ms;
	uint64_t tries = MIN(job->delivered > 0 ? job->delivered - 1 : 0, 6);
	return MIN((int64_t)EFFECT_RETRY_BASE_MS << tries, (int64_t)EFFECT_RETRY_CAP_MS);
}

static int publish_dead(struct effect_worker *w, struct effect_job *job, struct why *out_why)
{
	const char *stage = w->pool->stage->def->name;
	Healbus__Dead dead = HEALBUS__DEAD__INIT;
	char id[ID_BYTES], seq[24], ns[24];
	struct arena *a = &w->arena;
	snprintf(seq, sizeof(seq), "%" PRIu64, job->seq);
	snprintf(ns, sizeof(ns), "%" PRId64, job->delivery.stream_ns);
	id_make(id, "dead", w->pool->def->consumer, seq, ns);
	dead.id = id;
	dead.stage = (char *)(uintptr_t)stage;
	dead.subject = wire_text(a, job->subject, strlen(job->subject), SUBJECT_MAX);
	dead.message_id = wire_text(a, job->id, strlen(job->id), BUS_ID_MAX);
	if (job->content_type)
		dead.content_type =
			wire_text(a, job->content_type, strlen(job->content_type), SUBJECT_MAX);
	dead.error = wire_text(a, job->why.text, strlen(job->why.text), WIRE_REASON_MAX);
	SET(&dead, seq, job->seq);
	SET(&dead, at_ms, clock_real_ms());
	dead.has_data = 1;
	dead.data.data = (uint8_t *)(uintptr_t)job->data;
	dead.data.len = MIN(job->len, (size_t)WIRE_MESSAGE_MAX_BYTES - 8192);
	return stage_publish(w->pool->stage, KIND_DEAD, stage, &dead.base, id, job->id,
			     clock_real_ms(), 0, NULL, out_why);
}

/* The letter is stored before the message goes; without that it stays. */
void effect_reject(struct effect_worker *w, struct effect_job *job)
{
	const char *name = w->pool->def->consumer;
	struct why why = {0};
	int rc = publish_dead(w, job, &why);
	if (rc) {
		LOG(ERROR, "cannot store a dead letter", S("worker", name), S("why", why.text));
		bus_nak(w->puller, &job->delivery, EFFECT_DEAD_RETRY_MS);
		return;
	}
	LOG(WARN, "message rejected", S("worker", name), S("id", job->id),
	    S("subject", job->subject), S("why", job->why.text));
	metric_add(&stage_dead, 1, name);
	bus_term(w->puller, &job->delivery);
}

static void settle_done(struct effect_worker *w, struct effect_job *job)
{
	if (w->many)
		bus_ack_many(w->puller, &job->delivery);
	else
		bus_ack(w->puller, &job->delivery);
}

static void settle_retry(struct effect_worker *w, struct effect_job *job)
{
	metric_add(&stage_retries, 1, w->pool->def->consumer);
	bus_nak(w->puller, &job->delivery, retry_delay_ms(job));
}

void effect_let_go(struct effect_worker *w, struct effect_job *job)
{
	taken_drop(w->pool->taken, job->row);
	bus_delivery_free(&job->delivery);
}

void effect_settle(struct effect_worker *w, struct effect_job *job)
{
	static void (*const by_verdict[])(struct effect_worker *, struct effect_job *) = {
		[DONE] = settle_done, [RETRY] = settle_retry, [REJECT] = effect_reject};
	FAILPOINT("before-settle");
	by_verdict[job->verdict](w, job);
	effect_let_go(w, job);
}
