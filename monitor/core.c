#include "common/cores.h"

#include "common/mem.h"
#include "monitor/body.h"
#include "monitor/correlator.h"

int monitor_prepare_core(void *config, struct why *out_why)
{
	((struct monitor_config *)config)->without_secrets = true;
	return monitor_prepare(config, out_why);
}

const struct stage_core monitor_core = {
	.name = "monitor",
	.options = &monitor_option_table,
	.config_size = sizeof(struct monitor_config),
	.prepare = monitor_prepare_core,
	.unprepare = monitor_unprepare,
	.fold = &correlator,
};

struct core_reader {
	struct body_reader *bodies;
	struct buf packed;
};

struct core_reader *core_reader_new(void)
{
	struct core_reader *r = mem_alloc(sizeof(*r));

	r->bodies = body_reader_new();
	return r;
}

void core_reader_free(struct core_reader *r)
{
	if (!r)
		return;
	body_reader_free(r->bodies);
	buf_release(&r->packed);
	free(r);
}

int core_read(struct core_reader *r, const void *config, const struct core_message *raw,
	      void (*take)(void *ctx, const struct core_message *event), void *ctx,
	      struct why *out_why)
{
	struct topic topic;
	struct reading reading = {0};
	char subject[SUBJECT_MAX + 1];
	int rc = topic_parse(raw->subject, &topic);

	if (rc)
		return why_set(out_why, rc, "subject is not in the topic table");
	struct raw_body body = {.source = topic.token,
				.id = raw->id,
				.content_type = raw->content_type,
				.time_ms = raw->time_ms,
				.data = raw->data,
				.len = raw->len};
	rc = body_read(r->bodies, config, &body, &reading, out_why);
	for (size_t i = 0; !rc && i < reading.n; i++) {
		const Healbus__Event *e = reading.events[i];
		struct core_message m = {.id = e->id, .time_ms = raw->time_ms};

		buf_reset(&r->packed);
		wire_pack(&e->base, &r->packed);
		m.subject = subject_event(subject, partition_of(e->partition_key), e->source);
		m.data = r->packed.data;
		m.len = r->packed.len;
		take(ctx, &m);
	}
	if (!rc && reading.refused)
		rc = why_set(out_why, ERR_INVALID, "%s", reading.refused_why.text);
	body_done(r->bodies, &reading);
	return rc;
}
