#include "monitor/normaliser.h"
#include "common/failpoint.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "monitor/body.h"
#include "monitor/ingress.h"

enum {
	BATCH_MAX = 256,
	UNDER_WAY_MAX = 4096, /* publishes without an ack */
	ACK_WAIT_MS = 5000,
	REST_SHARE = 9, /* of the time of a batch, before the next one */
	REST_MAX_MS = 200,
	FEW = 2, /* messages: more may wait for each other */
};

static struct metric bodies_total = METRIC_COUNTER(
	"healbus_monitor_bodies_total", "Raw bodies read, by result.", "source", "result");
static struct metric events_total =
	METRIC_COUNTER("healbus_monitor_events_total", "Events made of them.", "source", "status");

static struct metric ignored_total =
	METRIC_COUNTER("healbus_monitor_ignored_total",
		       "Good bodies that gave no event, by reason.", "source", "reason");

void normaliser_count_ignored(const char *source, const char *reason)
{
	metric_add(&ignored_total, 1, source, reason);
}

static const char *status_word(const Healbus__Event *e)
{
	if (e->status == HEALBUS__STATUS__STATUS_FIRING)
		return "firing";
	return e->status == HEALBUS__STATUS__STATUS_RESOLVED ? "resolved" : "told";
}

struct worker {
	struct bus_outlet *outlet;
	uint32_t batch; /* in the tokens: acks of an earlier batch are not taken for this one's */
	size_t under_way;
	int64_t took_ms;           /* the last batch */
	bool packs;                /* this batch: its events go together */
	size_t missing[BATCH_MAX]; /* acks a job still waits for */
	struct body_reader *bodies;
};

static int worker_open(struct stage *s, void **out_worker, struct why *out_why)
{
	struct worker *w = mem_alloc(sizeof(*w));

	(void)s, (void)out_why;
	w->bodies = body_reader_new();
	*out_worker = w;
	return 0;
}

static void worker_close(void *worker)
{
	struct worker *w = worker;

	body_reader_free(w->bodies);
	bus_outlet_close(w->outlet);
	free(w);
}

/* ---- reading ---- */

static void job_settle(struct effect_job *job, enum verdict verdict, const struct why *why)
{
	job->verdict = verdict;
	if (why)
		job->why = *why;
	metric_add(&bodies_total, 1, job->token,
		   verdict == DONE     ? "taken"
		   : verdict == REJECT ? "refused"
				       : "deferred");
}

static int job_read(struct worker *w, const struct monitor_config *c, const struct effect_job *job,
		    struct reading *r, struct why *why)
{
	const struct raw_body body = {
		.source = job->token,
		.id = job->id,
		.content_type = job->content_type,
		.time_ms = job->time_ms,
		.data = job->data,
		.len = job->len,
	};

	return body_read(w->bodies, c, &body, r, why);
}

/* ---- publishing ---- */

static void ack_take(struct worker *w, size_t n, const struct bus_ack *ack)
{
	size_t i = ack->token & 0xffff;

	if (ack->token >> 16 != w->batch || i >= n)
		return;
	w->under_way--;
	w->missing[i] -= ack->rc == 0;
}

static void outlet_drop(struct worker *w)
{
	bus_outlet_close(w->outlet);
	w->outlet = NULL;
	w->under_way = 0;
}

/* Until at most `left` are under way. */
static int acks_await(struct worker *w, size_t n, size_t left)
{
	while (w->under_way > left) {
		struct bus_ack ack;
		int rc = bus_outlet_next(w->outlet, ACK_WAIT_MS, &ack);

		if (rc) {
			outlet_drop(w);
			return rc;
		}
		ack_take(w, n, &ack);
	}
	return 0;
}

static int event_send(struct worker *w, const struct effect_job *job, size_t i,
		      const Healbus__Event *e, struct buf *packed)
{
	char subject[SUBJECT_MAX + 1];
	struct bus_msg m = {
		.subject = subject_event(subject, partition_of(e->partition_key), e->source),
		.id = e->id,
		.cause = job->id,
		.time_ms = job->time_ms,
		.may_wait = w->packs,
	};
	int rc;

	buf_reset(packed);
	wire_pack(&e->base, packed);
	m.data = packed->data;
	m.len = packed->len;
	rc = bus_outlet_send(w->outlet, &m, (uint64_t)w->batch << 16 | i);
	if (rc)
		return rc;
	w->under_way++;
	w->missing[i]++;
	metric_add(&events_total, 1, e->source, status_word(e));
	return 0;
}

static int events_send(struct worker *w, struct effect_job *jobs, size_t n, size_t i,
		       const struct reading *r)
{
	auto_buf packed = {0};
	int rc = 0;

	/* Within a batch, all go one way: the order of events is the order of bodies. */
	w->packs |= n == 1 && r->n > FEW;
	for (size_t k = 0; k < r->n && !rc; k++) {
		rc = w->outlet ? event_send(w, &jobs[i], i, r->events[k], &packed) : ERR_CLOSED;
		if (rc)
			outlet_drop(w);
		if (!rc && w->under_way >= UNDER_WAY_MAX)
			rc = acks_await(w, n, UNDER_WAY_MAX / 2);
	}
	return rc;
}

/* Some of its alerts were fine and are published; people must see that others were not. */
static void job_partly(struct effect_job *job, const struct reading *r)
{
	struct why why = {0};

	why_set(&why, 0, "%s (%zu alerts refused, %zu taken)", r->refused_why.text, r->refused,
		r->n);
	job_settle(job, REJECT, &why);
}

static void job_run(struct worker *w, const struct monitor_config *c, struct effect_job *jobs,
		    size_t n, size_t i)
{
	struct reading r = {0};
	struct why why = {0};

	if (job_read(w, c, &jobs[i], &r, &why)) {
		job_settle(&jobs[i], REJECT, &why);
	} else if (events_send(w, jobs, n, i, &r)) {
		why_set(&why, 0, "the bus went away");
		job_settle(&jobs[i], RETRY, &why);
	} else if (r.refused) {
		job_partly(&jobs[i], &r);
	} else {
		if (r.ignored)
			normaliser_count_ignored(jobs[i].token, r.ignored);
		job_settle(&jobs[i], DONE, NULL);
	}
	body_done(w->bodies, &r);
}

/* While bodies queue at the door for their acks, the bus has better to do than to hand out what it
 * has: most of the time is the door's, and what waits makes larger batches. */
static void rest(struct stage *s, const struct worker *w)
{
	if (ingress_is_busy(stage_data(s)))
		stage_sleep(s, MIN(w->took_ms * REST_SHARE, (int64_t)REST_MAX_MS));
}

static void handle(struct stage *s, void *worker, struct effect_job *jobs, size_t n)
{
	struct worker *w = worker;
	const struct monitor_config *c;
	int64_t began_ms;

	rest(s, w);
	began_ms = clock_mono_ms();
	c = stage_config_get(s);
	w->batch++;
	w->packs = n > FEW;
	memset(w->missing, 0, sizeof(w->missing));
	for (size_t i = 0; i < n; i++) {
		if (w->outlet && w->under_way == 0 && bus_outlet_dead(w->outlet))
			outlet_drop(w);
		if (!w->outlet && bus_outlet_open_packing(stage_bus(s), &w->outlet))
			w->outlet = NULL;
		job_run(w, c, jobs, n, i);
	}
	if (w->outlet && w->packs)
		bus_outlet_flush(w->outlet);
	FAILPOINT("normaliser-sent");
	if (w->outlet)
		acks_await(w, n, 0);
	for (size_t i = 0; i < n; i++) {
		if (w->missing[i]) {
			jobs[i].verdict = RETRY;
			why_set(&jobs[i].why, 0, "no acknowledgement from the stream");
		}
	}
	w->took_ms = clock_mono_ms() - began_ms;
	stage_config_put(s, c);
}

const struct effect_def normaliser = {
	.consumer = "normaliser",
	.workers_offset = offsetof(struct monitor_config, normaliser_workers),
	.batch_max = BATCH_MAX,
	.open = worker_open,
	.close = worker_close,
	.handle = handle,
};
