#include "common/wire.h"

#include "tests/unit/wire_new.h"

#include <setjmp.h>
#include <cmocka.h>

#define DIGEST "0123456789abcdef0123456789abcdef"

/* ---- refusals, by path ---- */

static ProtobufCMessage *plan_step_tool(struct arena *a)
{
	Healbus__Plan *p = plan_new(a, 3);
	p->steps[2]->tool = arena_strdup(a, "rm -rf");
	return &p->base;
}

static ProtobufCMessage *plan_no_steps(struct arena *a)
{
	return &plan_new(a, 0)->base;
}

static ProtobufCMessage *plan_many_steps(struct arena *a)
{
	return &plan_new(a, WIRE_STEPS_MAX + 1)->base;
}

static ProtobufCMessage *plan_param_two_values(struct arena *a)
{
	Healbus__Plan *p = plan_new(a, 1);
	Healbus__Param *q = param_new_string(a, "name", "x");
	SET(q, int_value, 5);
	p->steps[0]->params = arena_alloc(a, sizeof(q));
	p->steps[0]->params[0] = q;
	p->steps[0]->n_params = 1;
	return &p->base;
}

static ProtobufCMessage *plan_param_name(struct arena *a)
{
	Healbus__Plan *p = plan_new(a, 1);
	p->steps[0]->params = arena_alloc(a, sizeof(void *));
	p->steps[0]->params[0] = param_new_string(a, "Name", "x");
	p->steps[0]->n_params = 1;
	return &p->base;
}

static ProtobufCMessage *plan_confidence(struct arena *a)
{
	Healbus__Plan *p = plan_new(a, 1);
	SET(p, confidence, 0.0 / 0.0 * 1.5);
	return &p->base;
}

static ProtobufCMessage *plan_interval(struct arena *a)
{
	Healbus__Plan *p = plan_new(a, 1);
	p->verify = arena_alloc(a, sizeof(*p->verify));
	healbus__check__init(p->verify);
	p->verify->tool = arena_strdup(a, "http-ok");
	SET(p->verify, interval_ms, 99);
	return &p->base;
}

static ProtobufCMessage *plan_enum(struct arena *a)
{
	Healbus__Plan *p = plan_new(a, 1);
	SET(p, provenance, (Healbus__Provenance)77);
	return &p->base;
}

static ProtobufCMessage *event_control_character(struct arena *a)
{
	Healbus__Event *e = event_new(a);
	e->summary = arena_strdup(a, "red \033[31m");
	return &e->base;
}

static ProtobufCMessage *event_c1_control(struct arena *a)
{
	Healbus__Event *e = event_new(a);
	e->summary = arena_strdup(a, "\xc2\x9b");
	return &e->base;
}

static ProtobufCMessage *event_utf8(struct arena *a)
{
	Healbus__Event *e = event_new(a);
	e->labels[1]->value = arena_strdup(a, "\xc0\xaf");
	return &e->base;
}

static ProtobufCMessage *event_label_name(struct arena *a)
{
	Healbus__Event *e = event_new(a);
	e->labels[1] = label_new(a, "a b", "x");
	return &e->base;
}

static ProtobufCMessage *event_labels_unsorted(struct arena *a)
{
	Healbus__Event *e = event_new(a);
	e->labels[2] = label_new(a, "bad", "x");
	e->n_labels = 3;
	return &e->base;
}

static ProtobufCMessage *event_label_twice(struct arena *a)
{
	Healbus__Event *e = event_new(a);
	e->labels[2] = label_new(a, "service", "x");
	e->n_labels = 3;
	return &e->base;
}

static ProtobufCMessage *event_label_value(struct arena *a)
{
	Healbus__Event *e = event_new(a);
	char *value = arena_alloc(a, WIRE_LABEL_VALUE_MAX + 2);
	memset(value, 'x', WIRE_LABEL_VALUE_MAX + 1);
	e->labels[1] = label_new(a, "service", value);
	return &e->base;
}

static ProtobufCMessage *event_fingerprint(struct arena *a)
{
	Healbus__Event *e = event_new(a);
	e->fingerprint = arena_strdup(a, "0123456789ABCDEF");
	return &e->base;
}

static ProtobufCMessage *event_no_source(struct arena *a)
{
	Healbus__Event *e = event_new(a);
	e->source = arena_strdup(a, "");
	return &e->base;
}

static ProtobufCMessage *event_time(struct arena *a)
{
	Healbus__Event *e = event_new(a);
	SET(e, starts_at_ms, -1);
	return &e->base;
}

static ProtobufCMessage *incident_partition(struct arena *a)
{
	Healbus__Incident *i = arena_alloc(a, sizeof(*i));
	healbus__incident__init(i);
	i->id = i->key = arena_strdup(a, "k");
	SET(i, partition, 16);
	return &i->base;
}

static ProtobufCMessage *incident_event(struct arena *a)
{
	Healbus__Incident *i = arena_alloc(a, sizeof(*i));
	healbus__incident__init(i);
	i->id = i->key = arena_strdup(a, "k");
	i->events = arena_alloc(a, sizeof(void *));
	i->events[0] = (Healbus__Event *)event_fingerprint(a);
	i->n_events = 1;
	return &i->base;
}

static Healbus__Decision *decision_new(struct arena *a)
{
	Healbus__Decision *d = arena_alloc(a, sizeof(*d));
	healbus__decision__init(d);
	d->id = d->incident = d->plan_id = arena_strdup(a, "x");
	SET(d, plan_digest, ((ProtobufCBinaryData){32, (uint8_t *)arena_strdup(a, DIGEST)}));
	return d;
}

static ProtobufCMessage *decision_no_digest(struct arena *a)
{
	Healbus__Decision *d = decision_new(a);
	d->has_plan_digest = 0;
	return &d->base;
}

static ProtobufCMessage *decision_short_digest(struct arena *a)
{
	Healbus__Decision *d = decision_new(a);
	d->plan_digest.len = 31;
	return &d->base;
}

static ProtobufCMessage *decision_seq(struct arena *a)
{
	Healbus__Decision *d = decision_new(a);
	SET(d, plan_seq, UINT64_MAX);
	return &d->base;
}

static ProtobufCMessage *control_silence(struct arena *a)
{
	return &control_new(a, HEALBUS__CONTROL_KIND__CONTROL_SILENCE)->base;
}

static ProtobufCMessage *control_silence_all(struct arena *a)
{
	Healbus__Control *c = control_new(a, HEALBUS__CONTROL_KIND__CONTROL_SILENCE);
	c->silence = arena_alloc(a, sizeof(*c->silence));
	healbus__silence__init(c->silence);
	c->silence->id = arena_strdup(a, "s");
	return &c->base;
}

static ProtobufCMessage *control_undo(struct arena *a)
{
	return &control_new(a, HEALBUS__CONTROL_KIND__CONTROL_UNDO)->base;
}

static ProtobufCMessage *control_tick(struct arena *a)
{
	return &control_new(a, HEALBUS__CONTROL_KIND__CONTROL_TICK)->base;
}

static const struct refusal {
	enum kind kind;
	ProtobufCMessage *(*make)(struct arena *a);
	int rc;
	const char *why;
} refusals[] = {
	{KIND_PLAN, plan_step_tool, ERR_INVALID, "plan.steps[2].tool: not a token"},
	{KIND_PLAN, plan_no_steps, ERR_INVALID, "plan.steps: missing"},
	{KIND_PLAN, plan_many_steps, ERR_TOO_LARGE, "plan.steps: too many"},
	{KIND_PLAN, plan_param_two_values, ERR_INVALID,
	 "plan.steps[0].params[0]: not exactly one value"},
	{KIND_PLAN, plan_param_name, ERR_INVALID,
	 "plan.steps[0].params[0].name: not a parameter name"},
	{KIND_PLAN, plan_confidence, ERR_INVALID, "plan.confidence: out of range"},
	{KIND_PLAN, plan_interval, ERR_INVALID, "plan.verify.interval_ms: out of range"},
	{KIND_PLAN, plan_enum, ERR_INVALID, "plan.provenance: unknown value"},
	{KIND_EVENT, event_control_character, ERR_INVALID,
	 "event.summary: holds a control character"},
	{KIND_EVENT, event_c1_control, ERR_INVALID, "event.summary: holds a control character"},
	{KIND_EVENT, event_utf8, ERR_INVALID, "event.labels[1].value: not UTF-8"},
	{KIND_EVENT, event_label_name, ERR_INVALID, "event.labels[1].name: not a label name"},
	{KIND_EVENT, event_labels_unsorted, ERR_INVALID,
	 "event.labels[2]: not sorted by name, or named twice"},
	{KIND_EVENT, event_label_twice, ERR_INVALID,
	 "event.labels[2]: not sorted by name, or named twice"},
	{KIND_EVENT, event_label_value, ERR_TOO_LARGE, "event.labels[1]: value too long"},
	{KIND_EVENT, event_fingerprint, ERR_INVALID, "event.fingerprint: not 16 hex digits"},
	{KIND_EVENT, event_no_source, ERR_INVALID, "event.source: missing"},
	{KIND_EVENT, event_time, ERR_INVALID, "event.starts_at_ms: out of range"},
	{KIND_INCIDENT, incident_partition, ERR_INVALID, "incident.partition: out of range"},
	{KIND_INCIDENT, incident_event, ERR_INVALID,
	 "incident.events[0].fingerprint: not 16 hex digits"},
	{KIND_DECISION, decision_no_digest, ERR_INVALID, "decision.plan_digest: missing"},
	{KIND_DECISION, decision_short_digest, ERR_INVALID, "decision.plan_digest: too short"},
	{KIND_DECISION, decision_seq, ERR_INVALID, "decision.plan_seq: out of range"},
	{KIND_CONTROL, control_silence, ERR_INVALID, "control.silence: missing"},
	{KIND_CONTROL, control_silence_all, ERR_INVALID, "control.silence.matchers: missing"},
	{KIND_CONTROL, control_undo, ERR_INVALID, "control.change: missing"},
	{KIND_CONTROL, control_tick, ERR_INVALID, "control.tick: missing"},
};

static void test_refusals_name_the_field(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *r = &refusals[i];
		auto_arena a = {0};
		auto_buf packed = {0};
		struct why why = {0};
		ProtobufCMessage *msg = r->make(&a), *out = NULL;
		print_message("# %s\n", r->why);
		assert_int_equal(wire_check(r->kind, msg, &why), r->rc);
		assert_string_equal(why.text, r->why);
		if (r->make == plan_enum)
			continue;
		why = (struct why){0};
		wire_pack(msg, &packed);
		assert_int_equal(wire_unpack(r->kind, packed.data, packed.len, &a, &out, &why),
				 r->rc);
		assert_string_equal(why.text, r->why);
		assert_null(out);
	}
}

static void test_outsiders_may_leave_ids_out(void **state)
{
	(void)state;
	auto_arena a = {0};
	Healbus__Event *e = event_new(&a);
	e->id = e->source = e->fingerprint = NULL;
	auto_buf packed = {0};
	wire_pack(&e->base, &packed);
	ProtobufCMessage *out = NULL;
	struct why why = {0};
	assert_int_equal(wire_unpack(KIND_EVENT, packed.data, packed.len, &a, &out, &why),
			 ERR_INVALID);
	assert_int_equal(wire_unpack(KIND_RAW, packed.data, packed.len, &a, &out, NULL), 0);
	buf_reset(&packed);
	e->labels[0]->name = NULL;
	wire_pack(&e->base, &packed);
	why = (struct why){0};
	assert_int_equal(wire_unpack(KIND_RAW, packed.data, packed.len, &a, &out, &why),
			 ERR_INVALID);
	assert_string_equal(why.text, "raw.labels[0].name: missing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals_name_the_field),
		cmocka_unit_test(test_outsiders_may_leave_ids_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
