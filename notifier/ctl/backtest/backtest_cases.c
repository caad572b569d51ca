#include "notifier/ctl/backtest/backtest.h"

#include "common/mem.h"

/* What becomes of a plan made here. */
enum fate {
	FATE_RECORDED = 1, /* the recording has it: so has it the reports on it */
	FATE_OBSERVED,     /* nobody ran it: as if autonomy were `observe` */
};

struct bt_cases {
	struct backtest *b;
	size_t side;
	void *config;
	struct fold *fold;
	uint64_t seq;       /* of the last recorded message: part of the ids of outputs */
	struct idmap plans; /* id -> enum fate */
	size_t at;          /* in the window's inputs */
	/* outcomes of ours, which come next */
	struct fold_message *pending;
	size_t n_pending, cap_pending, next_pending;
	struct fold_message now;
	bool ticking; /* `now` is a tick that comes first */
};

/* ---- what the reasoner says ---- */

static void pend(struct bt_cases *c, const struct fold_message *m)
{
	if (c->n_pending == c->cap_pending) {
		c->cap_pending = c->cap_pending ? c->cap_pending * 2 : 16;
		c->pending = mem_realloc(c->pending, c->cap_pending * sizeof(*c->pending));
	}
	c->pending[c->n_pending++] = *m;
}

/* Nobody ran this plan, and nobody says how it would have gone. */
static void observe(struct bt_cases *c, const Healbus__Plan *plan, const struct fold_row *row)
{
	char subject[SUBJECT_MAX + 1], id[ID_BYTES], message_id[TOKEN_MAX + 16];
	uint8_t digest[DIGEST_BYTES];
	Healbus__Outcome o = HEALBUS__OUTCOME__INIT;
	auto_buf packed = {0};

	plan_digest(row->msg.data, row->msg.len, digest);
	id_make(id, "backtest", plan->id);
	o.id = id;
	o.incident = plan->incident;
	o.incident_key = plan->incident_key;
	o.plan_id = plan->id;
	o.has_plan_digest = 1;
	o.plan_digest = (ProtobufCBinaryData){sizeof(digest), digest};
	o.runbook = plan->runbook;
	o.reason = (char *)(uintptr_t) "backtest: nothing ran";
	SET(&o, attempt, plan->attempt);
	SET(&o, verdict, HEALBUS__VERDICT__VERDICT_OBSERVED);
	SET(&o, ended_at_ms, row->msg.time_ms);
	wire_pack(&o.base, &packed);
	snprintf(message_id, sizeof(message_id), "backtest:%.64s", plan->id);
	struct fold_message m = {.subject = subject_story(subject, KIND_OUTCOME, plan->incident),
				 .id = message_id,
				 .time_ms = row->msg.time_ms,
				 .stream_ns = row->msg.time_ms * 1000000,
				 .data = packed.data,
				 .len = packed.len};
	m = bt_message_copy(&c->b->window.arena, &m);
	pend(c, &m);
}

static void on_plan(struct bt_cases *c, const Healbus__Plan *plan, const struct fold_row *row)
{
	const uint64_t *deeds = idmap_find(&c->b->index.plans, plan->id);
	bool recorded = deeds && *deeds == bt_plan_deeds(plan);
	bool undo = plan->provenance == HEALBUS__PROVENANCE__PROVENANCE_UNDO;

	*idmap_at(&c->plans, plan->id) = recorded ? FATE_RECORDED : FATE_OBSERVED;
	bt_report_plan(c->b->report, c->side, plan, row->msg.data, row->msg.len);
	if (recorded)
		bt_report_recorded(c->b->report, c->side, plan->incident);
	else if (!undo)
		observe(c, plan, row);
}

static void on_output(void *ctx, const struct fold_row *row)
{
	struct bt_cases *c = ctx;
	struct topic topic;
	struct arena arena = {0};
	ProtobufCMessage *msg = NULL;

	if (topic_parse(row->msg.subject, &topic))
		return;
	if (topic.kind == KIND_DEAD) {
		c->b->report->buried += c->side == 0;
		return;
	}
	if (c->side == 0)
		backtest_write(c->b, &row->msg, row->cause);
	if (wire_unpack(topic.kind, row->msg.data, row->msg.len, &arena, &msg, NULL) == 0) {
		if (topic.kind == KIND_PLAN)
			on_plan(c, (const Healbus__Plan *)msg, row);
		else if (topic.kind == KIND_INCIDENT)
			bt_report_escalation(c->b->report, c->side, (const Healbus__Incident *)msg);
	}
	arena_release(&arena);
}

/* ---- what it hears ---- */

static bool is_for_us(struct bt_cases *c, const struct bt_input *in)
{
	const uint64_t *fate = in->plan ? idmap_find(&c->plans, in->plan) : NULL;

	if (!in->plan || (fate && *fate == FATE_RECORDED))
		return true;
	c->b->report->unmatched += c->side == 0;
	return false;
}

static const struct fold_message *next_message(void *ctx)
{
	struct bt_cases *c = ctx;
	const struct bt_window *w = &c->b->window;
	const struct bt_input *in;

	if (c->next_pending < c->n_pending) {
		c->now = c->pending[c->next_pending++];
		c->now.seq = c->seq;
		return &c->now;
	}
	c->n_pending = c->next_pending = 0;
	do {
		if (c->at == w->n_inputs)
			return NULL;
		in = &w->inputs[c->at++];
	} while (!is_for_us(c, in));
	if (in->result)
		bt_report_result(c->b->report, c->side, in->incident, in->plan, in->result);
	c->now = in->m;
	c->seq = in->m.seq ? in->m.seq : c->seq;
	c->now.seq = c->seq;
	return &c->now;
}

static const struct fold_message *next_tick(void *ctx)
{
	struct bt_cases *c = ctx;

	if (!c->ticking)
		return next_message(ctx);
	c->ticking = false;
	return &c->now;
}

static int tick(struct bt_cases *c, int64_t due_ms, struct why *out_why)
{
	char subject[SUBJECT_MAX + 1], id[TOKEN_MAX + 32];
	Healbus__Tick t = HEALBUS__TICK__INIT;
	Healbus__Control control = HEALBUS__CONTROL__INIT;
	auto_buf packed = {0};
	struct fold_message m = {.subject = subject_story(subject, KIND_CONTROL, "tick"),
				 .id = id,
				 .time_ms = due_ms,
				 .stream_ns = due_ms * 1000000,
				 .seq = c->seq};

	t.stage = (char *)(uintptr_t)reasoner_core.fold->name;
	SET(&t, due_ms, due_ms);
	SET(&t, at_ms, due_ms);
	snprintf(id, sizeof(id), "tick:%s:%" PRId64, t.stage, due_ms);
	control.id = (char *)(uintptr_t) "tick";
	control.by = t.stage;
	control.tick = &t;
	SET(&control, kind, HEALBUS__CONTROL_KIND__CONTROL_TICK);
	SET(&control, at_ms, due_ms);
	wire_pack(&control.base, &packed);
	m.data = packed.data;
	m.len = packed.len;
	c->now = m;
	c->ticking = true;
	return fold_apply_each(c->fold, next_tick, c, out_why);
}

int bt_cases_run(struct bt_cases *c, struct why *out_why)
{
	int64_t limit_ms = c->b->window.until_ms;
	int rc;

	c->at = 0;
	rc = fold_apply_each(c->fold, next_message, c, out_why);
	while (!rc && fold_next_due_ms(c->fold) <= limit_ms)
		rc = tick(c, fold_next_due_ms(c->fold), out_why);
	return rc;
}

/* ---- opening ---- */

/* The configuration is read as the stage reads it: what --runbooks says comes from its
 * environment. */
static int config_load_with(struct bt_cases *c, const char *runbooks, struct why *out_why)
{
	static const char dir_name[] = "HEALBUS_REASONER_RUNBOOKS_DIR";
	static const char local_name[] = "HEALBUS_REASONER_RUNBOOKS_LOCAL_DIR";
	auto_free char *dir = mem_strdup(runbooks);
	char *comma = dir ? strchr(dir, ',') : NULL;

	if (comma)
		*comma = '\0';
	if (dir) {
		setenv(dir_name, dir, 1);
		setenv(local_name, comma ? comma + 1 : "", 1);
	}
	return bt_config_load(&reasoner_core, c->b->options->config_dir, &c->config, out_why);
}

int bt_cases_open(struct backtest *b, size_t side, const char *dir, struct why *out_why)
{
	struct bt_cases *c = mem_alloc(sizeof(*c));
	auto_free char *path = mem_printf("%s/reasoner-%zu", dir, side);
	int rc;

	b->cases[side] = c;
	c->b = b;
	c->side = side;
	c->seq = 1; /* 0 is no message to a fold */
	rc = config_load_with(c, b->options->runbooks[side], out_why);
	if (rc)
		return rc;
	struct fold_options o = {.dir = path,
				 .config = c->config,
				 .map_bytes = BT_MAP_BYTES,
				 .no_sync = true,
				 .output = on_output,
				 .output_ctx = c};
	return fold_open(reasoner_core.fold, &o, &c->fold, out_why);
}

void bt_cases_close(struct bt_cases *c)
{
	if (!c)
		return;
	fold_close(c->fold);
	bt_config_free(&reasoner_core, c->config);
	idmap_release(&c->plans);
	free(c->pending);
	free(c);
}
