/* A notifier's fold without a bus: messages go in, outputs come out and back in. */
#ifndef TESTS_NOTIFIER_BENCH_H
#define TESTS_NOTIFIER_BENCH_H

#include "notifier/config.h"
#include "notifier/projection.h"

#include <setjmp.h>
#include <ftw.h>
#include <cmocka.h>

#define T0 INT64_C(1700000000000) /* Tuesday, 2023-11-14 22:13:20 UTC */
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)

/* A message as the stream holds it. */
struct bench_msg {
	char *subject, *id;
	int64_t time_ms;
	uint64_t seq;
	void *data;
	size_t len;
};

struct bench {
	char dir[64];
	struct fold *fold;
	struct notifier_config config;
	struct bench_msg *log;
	size_t n_log;
	int64_t now_ms;
	uint64_t row; /* first outbox row not yet fed back */
	struct arena arena;
	bool keep_outputs; /* outputs are not fed back by themselves */
};

static inline void bench_rules(struct bench *b, const char *yaml)
{
	struct yaml_doc doc = {0};
	struct why why = {0};
	assert_int_equal(yaml_parse_text("test", yaml, strlen(yaml), &doc, &why), 0);
	struct rules *r = &b->config.rules;
	int rc = channels_parse(&b->config.channels, yaml_get(doc.root, "channels"), &why);
	if (!rc)
		rc = receivers_parse(&r->receivers, yaml_get(doc.root, "receivers"), &why);
	if (!rc)
		rc = intervals_parse(&r->intervals, yaml_get(doc.root, "time_intervals"), &why);
	if (!rc)
		rc = oncalls_parse(&r->oncalls, yaml_get(doc.root, "oncall"), &why);
	if (!rc)
		rc = escalations_parse(&r->escalations, yaml_get(doc.root, "escalations"), &why);
	if (!rc)
		rc = route_parse(&r->route, yaml_get(doc.root, "route"), &why);
	if (!rc)
		rc = notifier_prepare(&b->config, &why);
	if (rc)
		print_error("%s\n", why.text);
	assert_int_equal(rc, 0);
	yaml_release(&doc);
}

static inline void bench_start(struct bench *b)
{
	struct why why = {0};
	struct fold_options options = {
		.dir = b->dir, .config = &b->config, .map_bytes = 16 << 20, .no_sync = true};
	int rc = fold_open(&notifier_fold, &options, &b->fold, &why);
	if (rc)
		print_error("%s\n", why.text);
	assert_int_equal(rc, 0);
}

static inline void bench_open(struct bench *b, const char *yaml)
{
	*b = (struct bench){.now_ms = T0};
	snprintf(b->dir, sizeof(b->dir), "/tmp/healbus-test-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->config.rules.retain_ms = INT64_C(90) * 86400000;
	bench_rules(b, yaml);
	bench_start(b);
}

static inline int bench_remove(const char *path, const struct stat *st UNUSED, int flag UNUSED,
			       struct FTW *ftw UNUSED)
{
	return remove(path);
}

static inline void bench_close(struct bench *b)
{
	fold_close(b->fold);
	nftw(b->dir, bench_remove, 8, FTW_DEPTH | FTW_PHYS);
	channels_release(&b->config.channels);
	receivers_release(&b->config.rules.receivers);
	intervals_release(&b->config.rules.intervals);
	oncalls_release(&b->config.rules.oncalls);
	escalations_release(&b->config.rules.escalations);
	route_release(&b->config.rules.route);
	for (size_t i = 0; i < b->n_log; i++) {
		free(b->log[i].subject);
		free(b->log[i].id);
		free(b->log[i].data);
	}
	free(b->log);
	arena_release(&b->arena);
}

static inline struct fold_message bench_view(const struct bench_msg *m)
{
	return (struct fold_message){
		.subject = m->subject,
		.id = m->id,
		.time_ms = m->time_ms,
		.stream_ns = m->time_ms * 1000000,
		.seq = m->seq,
		.data = m->data,
		.len = m->len,
	};
}

static inline void bench_apply(struct bench *b, const struct bench_msg *m)
{
	struct why why = {0};
	struct fold_message view = bench_view(m);
	int rc = fold_apply(b->fold, &view, 1, &why);
	if (rc)
		print_error("%s\n", why.text);
	assert_int_equal(rc, 0);
}

static inline struct bench_msg *bench_log(struct bench *b, const char *subject, const char *id,
					  int64_t time_ms, const void *data, size_t len)
{
	b->log = mem_realloc(b->log, (b->n_log + 1) * sizeof(*b->log));
	b->log[b->n_log] = (struct bench_msg){
		.subject = mem_strdup(subject),
		.id = mem_strdup(id),
		.time_ms = time_ms,
		.seq = b->n_log + 1,
		.data = mem_dup(data, len),
		.len = len,
	};
	return &b->log[b->n_log++];
}

struct bench_row {
	struct bench *bench;
	size_t first; /* of the copied rows in the log */
};

static inline int bench_copy_row(void *ctx, const struct fold_row *row)
{
	struct bench *b = ctx;
	bench_log(b, row->msg.subject, row->msg.id, row->msg.time_ms, row->msg.data, row->msg.len);
	b->row = row->row + 1;
	return 0;
}

/* Feeds back what the fold put out, as the bus would, until it says no more. */
static inline void bench_settle(struct bench *b)
{
	while (fold_outbox_next(b->fold) > b->row) {
		size_t first = b->n_log;
		uint64_t from = b->row;
		fold_outbox_each(b->fold, from, bench_copy_row, b);
		assert_true(b->n_log > first);
		for (uint64_t row = from; row < b->row; row++)
			fold_outbox_acked(b->fold, row, b->now_ms);
		for (size_t end = b->n_log; first < end; first++)
			if (str_starts(b->log[first].subject, "heal."))
				bench_apply(b, &b->log[first]);
	}
}

/* Applies a message with the bench's time; id NULL: one of its own. */
static inline void bench_send(struct bench *b, enum kind kind, const char *token,
			      const ProtobufCMessage *msg, const char *id)
{
	char subject[SUBJECT_MAX + 1], own[32];
	auto_buf packed = {0};
	struct why why = {0};
	int rc = wire_check(kind, msg, &why);
	if (rc)
		print_error("%s\n", why.text);
	assert_int_equal(rc, 0);
	wire_pack(msg, &packed);
	snprintf(own, sizeof(own), "m%zu", b->n_log);
	subject_story(subject, kind, token);
	bench_log(b, subject, id ? id : own, b->now_ms, packed.data, packed.len);
	bench_apply(b, &b->log[b->n_log - 1]);
	if (!b->keep_outputs)
		bench_settle(b);
}

/* Time passes, and a tick says so. */
static inline void bench_wait(struct bench *b, int64_t ms)
{
	Healbus__Tick tick = HEALBUS__TICK__INIT;
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	char id[32];
	b->now_ms += ms;
	snprintf(id, sizeof(id), "tick%zu", b->n_log);
	tick.stage = (char *)"notifier";
	SET(&tick, at_ms, b->now_ms);
	c.id = id;
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_TICK);
	SET(&c, at_ms, b->now_ms);
	c.tick = &tick;
	bench_send(b, KIND_CONTROL, "tick", &c.base, NULL);
}

/* The n-th message of a kind in the log, from 0; NULL when there are fewer. */
static inline ProtobufCMessage *bench_nth(struct bench *b, enum kind kind, size_t n)
{
	for (size_t i = 0; i < b->n_log; i++) {
		struct topic t;
		ProtobufCMessage *msg;
		if (topic_parse(b->log[i].subject, &t) || t.kind != kind || n-- > 0)
			continue;
		assert_int_equal(
			wire_unpack(kind, b->log[i].data, b->log[i].len, &b->arena, &msg, NULL), 0);
		return msg;
	}
	return NULL;
}

static inline size_t bench_count(struct bench *b, enum kind kind)
{
	size_t n = 0;
	for (size_t i = 0; i < b->n_log; i++) {
		struct topic t;
		n += !topic_parse(b->log[i].subject, &t) && t.kind == kind;
	}
	return n;
}

static inline Healbus__Notice *bench_notice(struct bench *b, size_t n)
{
	return (Healbus__Notice *)bench_nth(b, KIND_NOTICE, n);
}

/* ---- messages as the other stages send them ---- */

static inline void bench_incident(struct bench *b, const char *id, Healbus__IncidentState state,
				  uint32_t revision, const char *service)
{
	Healbus__Label label = HEALBUS__LABEL__INIT, *labels[] = {&label};
	Healbus__Incident i = HEALBUS__INCIDENT__INIT;
	auto_free char *title = mem_printf("%s is down", service);
	label.name = (char *)"service";
	label.value = (char *)service;
	i.id = (char *)id;
	i.key = (char *)"key";
	SET(&i, state, state);
	SET(&i, revision, revision);
	i.title = title;
	SET(&i, severity, HEALBUS__SEVERITY__SEVERITY_CRITICAL);
	i.labels = labels;
	i.n_labels = 1;
	SET(&i, firing, state == HEALBUS__INCIDENT_STATE__INCIDENT_OPEN ? 1u : 0u);
	SET(&i, opened_at_ms, T0 + (int64_t)(fnv1a(FNV_INIT, id, strlen(id)) % 1000));
	SET(&i, updated_at_ms, b->now_ms);
	if (state == HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED)
		SET(&i, resolved_at_ms, b->now_ms);
	SET(&i, trusted, 1);
	i.set_by = (char *)(state == HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED ? "reasoner"
										 : "monitor");
	i.reason = (char *)(state == HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED
				    ? "three attempts did not help"
				    : NULL);
	bench_send(b, KIND_INCIDENT, id, &i.base, NULL);
}

#define OPEN HEALBUS__INCIDENT_STATE__INCIDENT_OPEN
#define RESOLVED HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED
#define SUPPRESSED HEALBUS__INCIDENT_STATE__INCIDENT_SUPPRESSED
#define ESCALATED HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED

static inline void bench_plan(struct bench *b, const char *id, const char *incident,
			      const char *undoes)
{
	Healbus__Plan p = HEALBUS__PLAN__INIT;
	Healbus__Step step = HEALBUS__STEP__INIT, *steps[] = {&step};
	step.tool = (char *)"restart";
	step.target = (char *)"web-1";
	p.id = (char *)id;
	p.incident = (char *)incident;
	SET(&p, attempt, 1);
	p.steps = steps;
	p.n_steps = 1;
	p.undoes = (char *)undoes;
	bench_send(b, KIND_PLAN, incident, &p.base, NULL);
}

static inline void bench_ask(struct bench *b, const char *id, const char *plan,
			     const char *incident, int64_t deadline_ms)
{
	static uint8_t digest[DIGEST_BYTES] = {0xab, 0xcd, 0xef, 0x01};
	Healbus__ApprovalRequest a = HEALBUS__APPROVAL_REQUEST__INIT;
	char *rendered[] = {(char *)"systemctl restart nginx"};
	char *reasons[] = {(char *)"autonomy is approve"};
	a.id = (char *)id;
	a.incident = (char *)incident;
	a.plan_id = (char *)plan;
	a.has_plan_digest = 1;
	a.plan_digest = (ProtobufCBinaryData){sizeof(digest), digest};
	SET(&a, level, HEALBUS__LEVEL__LEVEL_HARD);
	a.rendered = rendered;
	a.n_rendered = 1;
	a.reasons = reasons;
	a.n_reasons = 1;
	SET(&a, asked_at_ms, b->now_ms);
	SET(&a, deadline_ms, deadline_ms);
	bench_send(b, KIND_APPROVAL, incident, &a.base, NULL);
}

static inline void bench_decide(struct bench *b, const char *approval, const char *plan,
				const char *incident, Healbus__DecisionVerdict verdict,
				const char *by)
{
	static uint8_t digest[DIGEST_BYTES] = {0xab, 0xcd, 0xef, 0x01};
	Healbus__Decision d = HEALBUS__DECISION__INIT;
	char id[32];
	snprintf(id, sizeof(id), "d%zu", b->n_log);
	d.id = id;
	d.incident = (char *)incident;
	d.plan_id = (char *)plan;
	d.has_plan_digest = 1;
	d.plan_digest = (ProtobufCBinaryData){sizeof(digest), digest};
	d.approval = (char *)approval;
	SET(&d, verdict, verdict);
	d.by = (char *)by;
	SET(&d, at_ms, b->now_ms);
	bench_send(b, KIND_DECISION, incident, &d.base, NULL);
}

static inline void bench_outcome(struct bench *b, const char *plan, const char *incident,
				 Healbus__Verdict verdict, const char *change)
{
	static uint8_t digest[DIGEST_BYTES] = {1};
	Healbus__Outcome o = HEALBUS__OUTCOME__INIT;
	Healbus__StepReport report = HEALBUS__STEP_REPORT__INIT, *steps[] = {&report};
	Healbus__Rollback undo = HEALBUS__ROLLBACK__INIT;
	Healbus__Change c = HEALBUS__CHANGE__INIT, *changes[] = {&c};
	char id[32];
	snprintf(id, sizeof(id), "o%zu", b->n_log);
	report.incident = (char *)incident;
	report.plan_id = (char *)plan;
	report.step_id = (char *)"step";
	report.tool = (char *)"restart";
	report.target = (char *)"web-1";
	SET(&report, phase, HEALBUS__PHASE__PHASE_ACT);
	SET(&report, state, HEALBUS__STEP_STATE__STEP_DONE);
	undo.tool = (char *)"stop";
	c.id = (char *)change;
	c.tool = (char *)"restart";
	c.what = (char *)"systemctl restart nginx";
	SET(&c, at_ms, b->now_ms);
	c.undo = &undo;
	o.id = id;
	o.incident = (char *)incident;
	o.plan_id = (char *)plan;
	o.has_plan_digest = 1;
	o.plan_digest = (ProtobufCBinaryData){sizeof(digest), digest};
	SET(&o, attempt, 1);
	SET(&o, verdict, verdict);
	o.reason = (char *)"nginx answers again";
	o.steps = steps;
	o.n_steps = 1;
	o.changes = changes;
	o.n_changes = change ? 1 : 0;
	bench_send(b, KIND_OUTCOME, incident, &o.base, NULL);
}

/* For stories with a channel to fall back on. */
static const char two_channels[] UNUSED =
	"channels:\n"
	"  - {name: tty, type: terminal, path: /dev/null}\n"
	"  - {name: mail, type: terminal, path: /dev/null}\n"
	"receivers:\n"
	"  - {name: ops, channels: [tty], fallback: [mail]}\n"
	"route: {receiver: ops, group_by: [service], group_wait: 10s,\n"
	"        group_interval: 60s, repeat_interval: 1h}\n";

static inline void settle_notice(struct bench *b, const Healbus__Notice *n,
				 Healbus__NoticeState how)
{
	Healbus__Notice out = HEALBUS__NOTICE__INIT;
	out.id = n->id;
	out.incident = n->incident;
	out.channel = n->channel;
	SET(&out, state, how);
	bench_send(b, KIND_NOTICE, n->incident, &out.base, NULL);
}

static inline size_t bench_rows(struct bench *b, const struct store_table *table)
{
	auto_txn txn = store_begin_read(fold_store(b->fold));
	return store_count(txn, table);
}

static inline void bench_control(struct bench *b, Healbus__Control *c, Healbus__ControlKind kind,
				 const char *token)
{
	c->id = (char *)"control";
	SET(c, kind, kind);
	SET(c, at_ms, b->now_ms);
	bench_send(b, KIND_CONTROL, token, &c->base, NULL);
}

#endif
