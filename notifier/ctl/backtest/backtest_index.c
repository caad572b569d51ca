#include "notifier/ctl/backtest/backtest.h"

#include "common/mem.h"

const char *bt_revision_key(char out[static TOKEN_MAX + 16], const Healbus__Incident *i)
{
	snprintf(out, TOKEN_MAX + 16, "%.64s:%u", i->id, i->revision);
	return out;
}

uint64_t bt_plan_deeds(const Healbus__Plan *plan)
{
	Healbus__Plan deeds = HEALBUS__PLAN__INIT;
	auto_buf packed = {0};

	deeds.steps = plan->steps;
	deeds.n_steps = plan->n_steps;
	deeds.verify = plan->verify;
	deeds.has_rollback_on_failure = plan->has_rollback_on_failure;
	deeds.rollback_on_failure = plan->rollback_on_failure;
	wire_pack(&deeds.base, &packed);
	return fnv1a(FNV_INIT, packed.data, packed.len);
}

static void index_incident(struct bt_index *x, const Healbus__Incident *i)
{
	char key[TOKEN_MAX + 16];

	if (i->set_by && str_eq(i->set_by, monitor_core.fold->name))
		*idmap_at(&x->said, bt_revision_key(key, i)) = BT_COMES;
}

static void index_story(struct bt_index *x, const struct recording_record *r, struct arena *arena)
{
	struct topic topic;
	ProtobufCMessage *msg = NULL;

	if (topic_parse(r->subject, &topic) ||
	    (topic.kind != KIND_INCIDENT && topic.kind != KIND_PLAN) ||
	    wire_unpack(topic.kind, r->data, r->len, arena, &msg, NULL))
		return;
	if (topic.kind == KIND_INCIDENT)
		index_incident(x, (const Healbus__Incident *)msg);
	else
		*idmap_at(&x->plans, ((const Healbus__Plan *)msg)->id) =
			bt_plan_deeds((const Healbus__Plan *)msg);
	arena_reset(arena);
}

int bt_index_read(struct bt_index *x, struct recording *file, struct bt_report *report,
		  struct why *out_why)
{
	uint64_t start = recording_offset(file);
	struct recording_record r;
	struct arena arena = {0};
	int rc;

	while (!(rc = recording_next(file, &r, &report->torn_why))) {
		x->streams[r.stream]++;
		if (str_eq(recording_streams[r.stream], STREAM_STORY))
			index_story(x, &r, &arena);
	}
	arena_release(&arena);
	report->torn = rc == ERR_CORRUPT;
	if (rc != ERR_NOT_FOUND && rc != ERR_CORRUPT)
		return why_set(out_why, rc, "%s", report->torn_why.text);
	return recording_seek(file, start, out_why);
}

void bt_index_release(struct bt_index *x)
{
	idmap_release(&x->said);
	idmap_release(&x->plans);
}
