#include "monitor/relay.h"

enum { PUBLISH_WAIT_MS = 3000 };

static void job_relay(struct stage *s, struct effect_job *job)
{
	for (unsigned part = 0; part < PARTITIONS; part++) {
		char subject[SUBJECT_MAX + 1], id[BUS_ID_MAX + 1];
		struct bus_msg m = {
			.subject = subject_event(subject, part, "control"),
			.id = id,
			.cause = job->id,
			.time_ms = job->time_ms,
			.data = job->data,
			.len = job->len,
		};
		int rc;

		snprintf(id, sizeof(id), "%s:%02u", job->id, part);
		rc = bus_publish(stage_bus(s), &m, PUBLISH_WAIT_MS, NULL, &job->why);
		if (rc) {
			job->verdict = RETRY;
			return;
		}
	}
}

static void handle(struct stage *s, void *worker, struct effect_job *jobs, size_t n)
{
	(void)worker;
	for (size_t i = 0; i < n; i++) {
		const Healbus__Control *c = (const Healbus__Control *)jobs[i].msg;

		if (c && (c->kind == HEALBUS__CONTROL_KIND__CONTROL_SILENCE ||
			  c->kind == HEALBUS__CONTROL_KIND__CONTROL_SILENCE_EXPIRE))
			job_relay(s, &jobs[i]);
	}
}

const struct effect_def relay = {
	.consumer = "relay",
	.workers_offset = SIZE_MAX,
	.handle = handle,
};
