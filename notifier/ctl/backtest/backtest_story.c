#include "notifier/ctl/backtest/backtest.h"

#include "common/mem.h"

/* ---- what the cases see ---- */

static struct bt_input *input_add(struct bt_window *w, const struct fold_message *m)
{
	if (w->n_inputs == w->cap_inputs) {
		w->cap_inputs = w->cap_inputs ? w->cap_inputs * 2 : 1024;
		w->inputs = mem_realloc(w->inputs, w->cap_inputs * sizeof(*w->inputs));
	}
	w->inputs[w->n_inputs] = (struct bt_input){.m = *m};
	return &w->inputs[w->n_inputs++];
}

static void said_by_monitor(struct backtest *b, const struct fold_message *m)
{
	backtest_write(b, m, "");
	input_add(&b->window, m);
}

/* Ours in place of the recorded one; the reasoner's own it knows already. */
static void recorded_incident(struct backtest *b, const struct fold_message *m,
			      const Healbus__Incident *i)
{
	char key[TOKEN_MAX + 16];
	struct fold_message ours;

	if (i->set_by && str_eq(i->set_by, reasoner_core.fold->name))
		return;
	if (!b->events) {
		bt_report_monitor(b->report, i);
		said_by_monitor(b, m);
		return;
	}
	*idmap_at(&b->index.said, bt_revision_key(key, i)) = BT_PASSED;
	if (!bt_events_held(b, key, &ours))
		return;
	ours.seq = m->seq;
	said_by_monitor(b, &ours);
}

/* The plan that a message reports on; NULL for the others. */
static const char *plan_of(enum kind kind, const ProtobufCMessage *msg)
{
	switch (kind) {
	case KIND_APPROVAL:
		return ((const Healbus__ApprovalRequest *)msg)->plan_id;
	case KIND_DECISION:
		return ((const Healbus__Decision *)msg)->plan_id;
	case KIND_STEP:
		return ((const Healbus__StepReport *)msg)->plan_id;
	case KIND_OUTCOME:
		return ((const Healbus__Outcome *)msg)->plan_id;
	default:
		return NULL;
	}
}

static void recorded_other(struct backtest *b, const struct fold_message *m, enum kind kind,
			   const ProtobufCMessage *msg)
{
	struct bt_window *w = &b->window;
	const char *plan = plan_of(kind, msg);
	struct bt_input *in = input_add(w, m);

	if (plan)
		in->plan = arena_strdup(&w->arena, plan);
	if (kind == KIND_OUTCOME) {
		const Healbus__Outcome *o = (const Healbus__Outcome *)msg;

		in->incident = arena_strdup(&w->arena, o->incident);
		in->result = wire_enum_name(&healbus__verdict__descriptor, (int)o->verdict);
	}
}

static void story_item(struct backtest *b, const struct fold_message *m)
{
	struct topic topic;
	struct arena arena = {0};
	ProtobufCMessage *msg = NULL;

	if (topic_parse(m->subject, &topic) ||
	    wire_unpack(topic.kind, m->data, m->len, &arena, &msg, NULL))
		input_add(&b->window, m); /* the fold buries it */
	else if (topic.kind == KIND_INCIDENT)
		recorded_incident(b, m, (const Healbus__Incident *)msg);
	else if (topic.kind != KIND_PLAN)
		recorded_other(b, m, topic.kind, msg);
	arena_release(&arena);
}

static int by_place(const void *a, const void *b)
{
	const struct bt_extra *x = a, *y = b;

	if (x->position != y->position)
		return x->position < y->position ? -1 : 1;
	if (x->after != y->after)
		return x->after ? 1 : -1;
	if (!x->after && x->m.time_ms != y->m.time_ms)
		return x->m.time_ms < y->m.time_ms ? -1 : 1;
	return x->n < y->n ? -1 : 1;
}

/* Recorded story and what the correlators said, in one order. */
void bt_story_merge(struct backtest *b)
{
	struct bt_window *w = &b->window;
	size_t x = 0;

	if (w->n_extras)
		qsort(w->extras, w->n_extras, sizeof(*w->extras), by_place);
	for (size_t i = 0; i <= w->n; i++) {
		for (; x < w->n_extras && w->extras[x].position == i && !w->extras[x].after; x++)
			said_by_monitor(b, &w->extras[x].m);
		if (i < w->n && w->items[i].stream == 2)
			story_item(b, &w->items[i].m);
		for (; x < w->n_extras && w->extras[x].position == i; x++)
			said_by_monitor(b, &w->extras[x].m);
	}
}
