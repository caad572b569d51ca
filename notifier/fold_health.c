#include "notifier/matter.h"
#include "notifier/saying.h"

/*
 * What healbus tells about itself: repairs that fail too often, messages that nobody could read, a
 * stage that is behind, a repair that was not easy, a channel that takes nothing, a model that
 * fails or whose budget ends (fold_models.c). Routed like an incident with the labels alertname and
 * service="healbus"; what happens again within a while is told in one notice.
 */

enum {
	GROUP_WAIT_MS = 30 * 1000,
	REPEAT_MS = 3600 * 1000,
	STORY_DAYS = 30, /* one story after the other, so that the old ones are retired */
	RATE_WINDOW_MS = 3600 * 1000,
	RATE_KEPT = 64,
	RATE_MIN = 5,      /* fewer repairs say nothing */
	RATE_PERCENT = 30, /* more failures than this are too many */
	COMPLEX_ATTEMPT = 3,
	COMPLEX_STEPS = 5,
	LAG_MESSAGES = 1000,
	SUBJECT_SAID_MAX = 220, /* bytes */
};

#define BUDGET_NEXT                                                                                \
	"more in models.budget.day or the provider's budget (reasoner.yaml), or patience: it "     \
	"begins anew at midnight UTC; rules and memory go on without models"

static const struct {
	const char *key; /* of the row and the timer */
	const char *name;
	Healbus__Severity severity;
	const char *next; /* what to do */
	/* Put into words when it is due; NULL: as it was raised. */
	void (*say)(struct fold *f, char said[static MATTER_SAID_MAX]);
	void (*told)(struct fold *f);
} matters[MATTERS] = {
	[MATTER_RATE] = {"rate", "HealbusHealingFailing", HEALBUS__SEVERITY__SEVERITY_CRITICAL,
			 "healctl incidents, healctl story; healctl pause stops further repairs",
			 NULL, NULL},
	[MATTER_DEAD] = {"dead", "HealbusDeadLetters", HEALBUS__SEVERITY__SEVERITY_WARNING,
			 "healctl dead ls says which and why", NULL, NULL},
	[MATTER_LAG] = {"lag", "HealbusStageLag", HEALBUS__SEVERITY__SEVERITY_WARNING,
			"the stage's log, and healctl doctor", NULL, NULL},
	[MATTER_COMPLEX] = {"complex", "HealbusComplexHeal", HEALBUS__SEVERITY__SEVERITY_INFO,
			    "healctl story; the next time may not end so well", NULL, NULL},
	[MATTER_CHANNEL] = {"channel", "HealbusChannelDead", HEALBUS__SEVERITY__SEVERITY_CRITICAL,
			    "healctl undelivered says what nobody got, and why", NULL, NULL},
	[MATTER_MODEL] = {"model", "HealbusModelFailing", HEALBUS__SEVERITY__SEVERITY_WARNING,
			  "a look at its key, quota and address in reasoner.yaml; rules, memory "
			  "and the next model go on without it",
			  models_failing_say, models_failing_told},
	/* As severe, so that it reaches whoever heard of the failure. */
	[MATTER_MODEL_OVER] = {"modelok", "HealbusModelFailing",
			       HEALBUS__SEVERITY__SEVERITY_WARNING, "nothing", models_over_say,
			       models_over_told},
	[MATTER_BUDGET] = {"budget", "HealbusBudgetNearEnd", HEALBUS__SEVERITY__SEVERITY_WARNING,
			   BUDGET_NEXT, NULL, NULL},
	[MATTER_BUDGET_OUT] = {"spent", "HealbusBudgetNearEnd",
			       HEALBUS__SEVERITY__SEVERITY_CRITICAL, BUDGET_NEXT, NULL, NULL},
};

struct matter_row {
	int64_t told_ms;  /* last; 0: never */
	int64_t first_ms; /* of what is not told yet */
	uint64_t times;   /* not told yet */
	char said[MATTER_SAID_MAX];
};

struct rate_row {
	int64_t at_ms[RATE_KEPT];
	uint8_t failed[RATE_KEPT];
	uint64_t n; /* ever */
};

static struct matter_row matter_get(struct fold *f, enum matter m)
{
	struct matter_row row = {0};
	row_struct(fold_txn(f), &table_health, matters[m].key, &row, sizeof(row));
	return row;
}

static void matter_put(struct fold *f, enum matter m, const struct matter_row *row)
{
	store_put_str(fold_txn(f), &table_health, matters[m].key, row, sizeof(*row));
}

void matter_raise(struct fold *f, enum matter m, const char *said)
{
	struct matter_row row = matter_get(f, m);
	char timer[16];
	memset(row.said, 0, sizeof(row.said));
	snprintf(row.said, sizeof(row.said), "%s", said);
	if (!row.times++) {
		row.first_ms = fold_now_ms(f);
		int64_t due = MAX(fold_now_ms(f) + GROUP_WAIT_MS,
				  row.told_ms ? row.told_ms + REPEAT_MS : 0);
		snprintf(timer, sizeof(timer), "h:%s", matters[m].key);
		fold_timer_set(f, timer, due);
	}
	matter_put(f, m, &row);
}

void matter_forget(struct fold *f, enum matter m)
{
	struct matter_row row = matter_get(f, m);
	char timer[16];
	if (!row.times)
		return;
	snprintf(timer, sizeof(timer), "h:%s", matters[m].key);
	fold_timer_cancel(f, timer);
	row.times = 0;
	matter_put(f, m, &row);
}

void matter_want(struct fold *f, enum matter m, bool wanted)
{
	if (!wanted)
		matter_forget(f, m);
	else if (!matter_get(f, m).times)
		matter_raise(f, m, "");
}

/* ---- what is seen ---- */

static void rate_judge(struct fold *f, const struct rate_row *rate)
{
	uint64_t all = 0, failed = 0;
	for (size_t i = 0; i < MIN(rate->n, (uint64_t)RATE_KEPT); i++) {
		if (rate->at_ms[i] <= fold_now_ms(f) - RATE_WINDOW_MS)
			continue;
		all++;
		failed += rate->failed[i];
	}
	if (all < RATE_MIN || failed * 100 <= all * RATE_PERCENT) {
		matter_forget(f, MATTER_RATE);
		return;
	}
	char said[MATTER_SAID_MAX];
	snprintf(said, sizeof(said), "%" PRIu64 " of the last %" PRIu64 " repairs failed (%.0f %%)",
		 failed, all, 100 * (double)failed / (double)all);
	matter_raise(f, MATTER_RATE, said);
}

static void rate_add(struct fold *f, bool failed)
{
	struct rate_row rate = {0};
	row_struct(fold_txn(f), &table_health, "outcomes", &rate, sizeof(rate));
	rate.at_ms[rate.n % RATE_KEPT] = fold_now_ms(f);
	rate.failed[rate.n % RATE_KEPT] = failed;
	rate.n++;
	store_put_str(fold_txn(f), &table_health, "outcomes", &rate, sizeof(rate));
	rate_judge(f, &rate);
}

static size_t acts_of(const Healbus__Outcome *o)
{
	size_t n = 0;
	for (size_t i = 0; i < o->n_steps; i++)
		n += o->steps[i]->phase == HEALBUS__PHASE__PHASE_ACT &&
		     o->steps[i]->state == HEALBUS__STEP_STATE__STEP_DONE;
	return n;
}

static void on_outcome(struct fold *f, const struct fold_input *in)
{
	static const struct {
		Healbus__Verdict verdict;
		bool failed;
	} rows[] = {
		{HEALBUS__VERDICT__VERDICT_HEALED, false},
		{HEALBUS__VERDICT__VERDICT_FAILED, true},
		{HEALBUS__VERDICT__VERDICT_ROLLED_BACK, true},
		{HEALBUS__VERDICT__VERDICT_ROLLBACK_FAILED, true},
		{HEALBUS__VERDICT__VERDICT_UNKNOWN, true},
	};
	const Healbus__Outcome *o = (const Healbus__Outcome *)in->msg;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].verdict == o->verdict)
			rate_add(f, rows[i].failed);
	size_t acts = acts_of(o);
	if (o->verdict != HEALBUS__VERDICT__VERDICT_HEALED ||
	    (o->attempt < COMPLEX_ATTEMPT && acts < COMPLEX_STEPS))
		return;
	char said[MATTER_SAID_MAX];
	snprintf(said, sizeof(said), "incident %.8s was healed at attempt %u with %zu steps",
		 in->token, o->attempt, acts);
	matter_raise(f, MATTER_COMPLEX, said);
}

static void on_dead(struct fold *f, uint64_t seq)
{
	uint64_t known = 0;
	char said[MATTER_SAID_MAX];
	row_struct(fold_txn(f), &table_health, "dead_seq", &known, sizeof(known));
	if (seq > known) {
		snprintf(said, sizeof(said), "%" PRIu64 " message%s could not be read", seq - known,
			 seq - known > 1 ? "s" : "");
		matter_raise(f, MATTER_DEAD, said);
	}
	/* A smaller one: the stream was made anew. */
	store_put_str(fold_txn(f), &table_health, "dead_seq", &seq, sizeof(seq));
}

static void on_channels(struct fold *f, const Healbus__Health *h)
{
	auto_buf names = {0};
	char said[MATTER_SAID_MAX];
	for (size_t i = 0; i < h->n_channels; i++)
		buf_printf(&names, "%s%.64s", i ? ", " : "", h->channels[i]);
	if (!h->n_channels)
		return; /* told or not: another notifier may not have tried it */
	snprintf(said, sizeof(said), "nothing can be told through %.300s", buf_str(&names));
	matter_raise(f, MATTER_CHANNEL, said);
}

static void on_control(struct fold *f, const struct fold_input *in)
{
	const Healbus__Control *c = (const Healbus__Control *)in->msg;
	char said[MATTER_SAID_MAX];
	if (c->kind != HEALBUS__CONTROL_KIND__CONTROL_HEALTH || !c->health)
		return;
	on_dead(f, c->health->dead_seq);
	on_channels(f, c->health);
	if (c->health->behind < LAG_MESSAGES) {
		matter_forget(f, MATTER_LAG);
		return;
	}
	snprintf(said, sizeof(said), "%.64s is %" PRIu64 " messages behind",
		 str_or_empty(c->health->slowest), c->health->behind);
	matter_raise(f, MATTER_LAG, said);
}

void health_follow(struct fold *f, const struct fold_input *in)
{
	if (in->kind == KIND_OUTCOME)
		on_outcome(f, in);
	else if (in->kind == KIND_CONTROL)
		on_control(f, in);
	else if (in->kind == KIND_MODEL)
		models_follow(f, in);
}

/* ---- telling ---- */

static void text_make(struct fold *f, enum matter m, const struct matter_row *row,
		      struct notice_text *out)
{
	/* Words of a provider may be in it. */
	char *title = wire_text(fold_arena(f), row->said, strlen(row->said), SUBJECT_SAID_MAX);
	buf_printf(&out->subject, "[%s] healbus: %s",
		   wire_enum_name(&healbus__severity__descriptor, (int)matters[m].severity), title);
	buf_printf(&out->text, "%s: %s.\n", matters[m].name, row->said);
	if (row->times > 1)
		buf_printf(&out->text,
			   "%" PRIu64 " times in %" PRId64 " min; this is the latest.\n",
			   row->times, (fold_now_ms(f) - row->first_ms) / 60000);
	buf_printf(&out->text, "Needed from you: %s.\n", matters[m].next);
}

/* When the route's quiet hours end; 0: it is none. */
static int64_t quiet_until(struct fold *f, const struct route *r)
{
	const struct intervals *all = &rules_of(fold_config(f))->intervals;
	int64_t now = fold_now_ms(f);
	if (!intervals_cover(all, r->mute.items, r->mute.n, now))
		return 0;
	return intervals_end(all, r->mute.items, r->mute.n, now);
}

/* To those routes that are not quiet; the last says when to ask again if all are. */
static int64_t tell_routes(struct fold *f, enum matter m, struct saying *s)
{
	const struct rules *rules = rules_of(fold_config(f));
	const struct route *routes[ROUTES_MATCHED_MAX];
	Healbus__Label name = HEALBUS__LABEL__INIT, service = HEALBUS__LABEL__INIT;
	Healbus__Label *labels[] = {&name, &service};
	Healbus__Incident self = HEALBUS__INCIDENT__INIT;
	int64_t quiet_ms = 0;
	name.name = (char *)"alertname";
	name.value = (char *)matters[m].name;
	service.name = (char *)"service";
	service.value = (char *)"healbus";
	self.labels = labels;
	self.n_labels = ARRAY_SIZE(labels);
	SET(&self, severity, matters[m].severity);
	SET(&self, trusted, 1);
	size_t n = route_match(&rules->route, incident_lookup, &self, routes), told = 0;
	for (size_t i = 0; i < n; i++) {
		s->receiver = routes[i]->receiver
				      ? receiver_find(&rules->receivers, routes[i]->receiver)
				      : NULL;
		if (!s->receiver || (int64_t)self.severity < routes[i]->severity)
			continue;
		int64_t until = quiet_until(f, routes[i]);
		quiet_ms = MAX(quiet_ms, until);
		if (until)
			continue;
		saying_tell(f, s);
		told++;
	}
	return told ? 0 : quiet_ms;
}

void health_due(struct fold *f, const char *key)
{
	enum matter m = 0;
	while (m < MATTERS && !str_eq(matters[m].key, key))
		m++;
	if (m == MATTERS)
		return;
	struct matter_row row = matter_get(f, m);
	auto_notice_text text = {0};
	char at[24], timer[16], story[32];
	if (matters[m].say)
		matters[m].say(f, row.said);
	text_make(f, m, &row, &text);
	snprintf(story, sizeof(story), "healbus-%" PRId64,
		 fold_now_ms(f) / (STORY_DAYS * INT64_C(86400000)));
	snprintf(at, sizeof(at), "%" PRId64, fold_now_ms(f));
	struct saying s = {
		.incident = story,
		.kind = "health",
		.severity = matters[m].severity,
		.subject = &text.subject,
		.text = &text.text,
	};
	id_make(s.base, "health", matters[m].key, at);
	int64_t again_ms = tell_routes(f, m, &s);
	if (again_ms) {
		snprintf(timer, sizeof(timer), "h:%s", key);
		fold_timer_set(f, timer, again_ms);
		return;
	}
	if (matters[m].told)
		matters[m].told(f);
	row.told_ms = fold_now_ms(f);
	row.times = 0;
	matter_put(f, m, &row);
}
