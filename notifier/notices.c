#include "notifier/notices.h"

#include "common/breaker.h"
#include "common/clock.h"
#include "common/failpoint.h"
#include "common/metrics.h"
#include "notifier/api.h"
#include "notifier/channel_state.h"
#include "notifier/config.h"
#include "notifier/sent_before.h"
#include "notifier/tables.h"

#include <sys/random.h>

enum {
	RETRY_BASE_MS = 1000,
	RETRY_CAP_MS = 60 * 1000, /* a channel that is back is noticed within it */
	APPROVAL_RETRY_CAP_MS = 5000,
	RECORD_TIMEOUT_MS = 5000,
	UNRECORDED_MAX = 64,
};

static struct metric sent =
	METRIC_COUNTER("healbus_notices_total", "Notices by channel and what became of them.",
		       "channel", "result");
static struct metric took = METRIC_HISTOGRAM("healbus_notice_send_seconds",
					     "How long a channel took for a notice.", "channel");

static struct metric breaker_open = METRIC_GAUGE(
	"healbus_breaker_open", "1 while a peer that failed too often is left alone.", "peer");

/* A channel that comes back is to be noticed within a minute. */
static const struct breaker_options breaker_options = {.open_ms = 1000, .open_max_ms = 60000};

/* One channel as this worker sees it. */
struct line {
	void *session;
	struct breaker breaker;
	int64_t backoff_ms;
};

struct worker {
	struct stage *stage;
	struct http_client *http;
	const struct notifier_config *config; /* held while the sessions live */
	struct line *lines;                   /* as many as channels */
	/* Sent, but the bus did not take the record: a redelivery must not send them again. */
	char unrecorded[UNRECORDED_MAX][ID_BYTES];
	size_t unrecorded_next;
};

static void lines_close(struct worker *w)
{
	for (size_t i = 0; w->config && i < w->config->channels.n; i++) {
		const struct channel_kind *kind = w->config->channels.items[i].kind;
		if (kind->close && w->lines[i].session)
			kind->close(w->lines[i].session);
	}
	free(w->lines);
	w->lines = NULL;
	if (w->config)
		stage_config_put(w->stage, w->config);
	w->config = NULL;
}

static int lines_open(struct worker *w, struct why *out_why)
{
	const struct channels *all = &w->config->channels;
	w->lines = mem_calloc(all->n, sizeof(*w->lines));
	for (size_t i = 0; i < all->n; i++) {
		breaker_init(&w->lines[i].breaker, &breaker_options);
		const struct channel_kind *kind = all->items[i].kind;
		int rc = kind->open ? kind->open(&all->items[i], &w->lines[i].session, out_why) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

/* After a reload the sessions belong to the old configuration. */
static int worker_refresh(struct stage *s, struct worker *w, struct why *out_why)
{
	const struct notifier_config *now = stage_config_get(s);
	if (w->config && w->config->serial == now->serial) {
		stage_config_put(s, now);
		return 0;
	}
	lines_close(w);
	w->config = now;
	return lines_open(w, out_why);
}

static void worker_close(void *worker)
{
	struct worker *w = worker;
	lines_close(w);
	http_client_free(w->http);
	free(w);
}

static int worker_open(struct stage *s, void **out_worker, struct why *out_why UNUSED)
{
	struct worker *w = mem_alloc(sizeof(*w));
	int rc = http_client_new(&w->http);
	if (rc) {
		free(w);
		return rc;
	}
	w->stage = s;
	*out_worker = w;
	return 0;
}

static bool was_sent(const struct worker *w, const char *id)
{
	for (size_t i = 0; i < UNRECORDED_MAX; i++)
		if (str_eq(w->unrecorded[i], id))
			return true;
	return false;
}

static void remember_sent(struct worker *w, const char *id)
{
	char *slot = w->unrecorded[w->unrecorded_next++ % UNRECORDED_MAX];
	snprintf(slot, ID_BYTES, "%.*s", ID_LEN, id);
}

/* A person who reads it twice is told why. */
static void mark_repeat(struct effect_job *job, Healbus__Notice *n)
{
	char *subject = arena_printf(job->arena, "(may be a repeat) %s", n->subject);
	SET(n, repeated, 1);
	if (subject)
		n->subject = wire_text(job->arena, subject, strlen(subject), WIRE_TITLE_MAX);
}

/* Did the fold already see how it ended? */
static bool is_settled(struct stage *s, const char *id, struct arena *arena)
{
	auto_txn txn = store_begin_read(fold_store(stage_fold(s, 0, 0)));
	const Healbus__Notice *n = row_get(txn, &table_notices, id, Healbus__Notice, notice, arena);
	return n && n->state != HEALBUS__NOTICE_STATE__NOTICE_QUEUED;
}

static bool is_answered(struct stage *s, const char *approval)
{
	struct store_val val;
	auto_txn txn = store_begin_read(fold_store(stage_fold(s, 0, 0)));
	return !store_get_str(txn, &table_decisions, approval, &val);
}

static int record(struct stage *s, const struct effect_job *job, const Healbus__Notice *n,
		  Healbus__NoticeState state, const char *error)
{
	char msg_id[TOKEN_MAX + 16];
	auto_free char *text =
		error ? wire_text(NULL, error, strlen(error), WIRE_REASON_MAX) : NULL;
	Healbus__Notice out = HEALBUS__NOTICE__INIT;
	bool ok = state == HEALBUS__NOTICE_STATE__NOTICE_SENT;
	out.id = n->id;
	out.incident = n->incident;
	out.channel = n->channel;
	out.kind = n->kind;
	SET(&out, state, state);
	out.subject = n->subject;
	SET(&out, attempts, (uint32_t)MIN(job->delivered, (uint64_t)UINT32_MAX));
	SET(&out, at_ms, clock_real_ms());
	out.error = text;
	out.approval = n->approval;
	out.ref = n->ref;
	if (n->repeated || (!ok && sent_before(job, n->id)))
		SET(&out, repeated, 1);
	snprintf(msg_id, sizeof(msg_id), "%s:%s", n->id, ok ? "sent" : "failed");
	metric_add(&sent, 1, n->channel, ok ? "sent" : "failed");
	return stage_publish(s, KIND_NOTICE, job->token, &out.base, msg_id, job->id, out.at_ms,
			     RECORD_TIMEOUT_MS, NULL, NULL);
}

static void record_or_retry(struct stage *s, struct effect_job *job, const Healbus__Notice *n,
			    const char *error)
{
	bool failed = error != NULL;
	int rc = record(s, job, n,
			failed ? HEALBUS__NOTICE_STATE__NOTICE_FAILED
			       : HEALBUS__NOTICE_STATE__NOTICE_SENT,
			error);
	FAILPOINT("notice-recorded");
	if (rc) {
		job->verdict = RETRY;
		why_set(&job->why, rc, "could not record the notice");
	}
}

static double random_unit(void)
{
	uint32_t n = 0;
	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		return 0.5;
	return (double)n / 4294967296.0;
}

static bool is_question(const Healbus__Notice *n)
{
	return n->approval && *n->approval && !str_eq(str_or_empty(n->kind), "decided");
}

/* Until the notice is given up and the next channel asked; 0 when that is due. */
static int64_t time_left_ms(const struct notifier_config *c, const Healbus__Notice *n)
{
	int64_t limit = is_question(n) ? c->approval_give_up_after_ms : c->give_up_after_ms;
	return MAX(0, n->at_ms + limit - clock_real_ms());
}

/*
 * What the peer understood and refused stays refused. Everything else may pass (an outage, a
 * password to repair), but a question has no time for that: its next channel is asked.
 */
static bool is_hopeless(int rc, const Healbus__Notice *n)
{
	enum err_class class = err_class(rc);
	bool may_pass = class == ERR_CLASS_TRANSIENT || class == ERR_CLASS_INTERNAL;
	return rc == ERR_REJECTED || class == ERR_CLASS_INPUT || (is_question(n) && !may_pass);
}

/* However long the peer wants to be left alone: when the time is over, the next channel is asked.
 */
static void retry(const struct worker *w, struct line *line, struct effect_job *job,
		  const Healbus__Notice *n, int64_t asked_ms)
{
	int64_t cap = is_question(n) ? APPROVAL_RETRY_CAP_MS : RETRY_CAP_MS;
	line->backoff_ms = backoff_next_ms(line->backoff_ms, RETRY_BASE_MS, cap, random_unit());
	job->verdict = RETRY;
	job->retry_ms = MIN(MAX(asked_ms, line->backoff_ms), time_left_ms(w->config, n) + 1);
}

struct sending {
	const struct channel *channel;
	void *session;
	const Healbus__Notice *notice;
};

/* With what the projection knows about the question, as of now. */
static int channel_send(struct stage *s, const struct worker *w, struct effect_job *job,
			const struct sending *what, struct channel_result *out)
{
	const char *approval = str_or_empty(what->notice->approval);
	struct channel_job send = {
		.channel = what->channel,
		.session = what->session,
		.http = w->http,
		.notice = what->notice,
		.tokens = api_token_key(s),
		.people = &w->config->people,
	};
	auto_txn txn = store_begin_read(fold_store(stage_fold(s, 0, 0)));
	if (*approval) {
		send.approval = row_get(txn, &table_approvals, approval, Healbus__ApprovalRequest,
					approval_request, job->arena);
		send.decision = row_get(txn, &table_decisions, approval, Healbus__Decision,
					decision, job->arena);
	}
	store_end(txn);
	txn = NULL;
	return what->channel->kind->send(&send, out, &job->why);
}

static void send_now(struct stage *s, struct worker *w, struct effect_job *job,
		     const Healbus__Notice *n)
{
	const struct channel *c = channel_find(&w->config->channels, n->channel);
	struct line *line = &w->lines[c - w->config->channels.items];
	int64_t start = clock_mono_ms();
	struct channel_result result = {0};
	FAILPOINT("notice-sending");
	int rc = channel_send(s, w, job, &(struct sending){c, line->session, n}, &result);
	FAILPOINT("notice-sent");
	int64_t now = clock_mono_ms();
	breaker_record(&line->breaker, now, !rc || rc == ERR_REJECTED, now - start);
	metric_observe(&took, (double)(now - start) / 1000, n->channel);
	metric_set(&breaker_open, line->breaker.state == BREAKER_OPEN, n->channel);
	/* One that refuses a notice lives: the next one may be to its liking. */
	channel_state_put(n->channel, clock_real_ms(),
			  rc && rc != ERR_REJECTED ? job->why.text : NULL);
	if (!rc) {
		line->backoff_ms = 0;
		remember_sent(w, n->id);
		Healbus__Notice told = *n;
		told.ref = *result.ref ? result.ref : NULL;
		record_or_retry(s, job, &told, NULL);
	} else if (is_hopeless(rc, n)) {
		record_or_retry(s, job, n, job->why.text);
	} else {
		metric_add(&sent, 1, n->channel, "retried");
		if (rc == ERR_TIMEOUT || rc == ERR_CLOSED || result.partly)
			sent_before_maybe(n->id);
		else
			sent_before_no(n->id);
		retry(w, line, job, n, result.retry_ms);
	}
}

/* Not when this worker goes on where it failed: what it posted of it is not posted again. */
static bool may_be_repeat(const struct channel *c, const struct line *line,
			  const struct effect_job *job, const Healbus__Notice *n)
{
	if (c->kind->resumes && c->kind->resumes(line->session, n))
		return false;
	return n->repeated || sent_before(job, n->id);
}

static void notice_handle(struct stage *s, struct worker *w, struct effect_job *job,
			  const Healbus__Notice *n)
{
	int64_t wait_ms;
	const struct channel *c = channel_find(&w->config->channels, n->channel);
	if (is_settled(s, n->id, job->arena))
		return;
	if (was_sent(w, n->id)) {
		record_or_retry(s, job, n, NULL);
		return;
	}
	if (is_question(n) && is_answered(s, n->approval)) {
		record_or_retry(s, job, n, "it was answered before it was sent");
		return;
	}
	/* What comes late the first time, since we were away or busy with others, is tried once. */
	if (!c || (job->delivered > 1 && time_left_ms(w->config, n) == 0)) {
		record_or_retry(s, job, n,
				c ? "the channel did not take it in time"
				  : "no such channel in the configuration");
		return;
	}
	struct line *line = &w->lines[c - w->config->channels.items];
	if (!breaker_allow(&line->breaker, clock_mono_ms(), &wait_ms)) {
		sent_before_no(n->id);
		retry(w, line, job, n, is_question(n) ? 0 : wait_ms);
		why_set(&job->why, ERR_UNAVAILABLE, "%s: deferred, it failed just now", n->channel);
		return;
	}
	Healbus__Notice told = *n;
	if (may_be_repeat(c, line, job, n))
		mark_repeat(job, &told);
	send_now(s, w, job, &told);
}

static void notices_handle(struct stage *s, void *worker, struct effect_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct effect_job *job = &jobs[i];
		Healbus__Notice notice = *(const Healbus__Notice *)job->msg;
		if (notice.state != HEALBUS__NOTICE_STATE__NOTICE_QUEUED)
			continue;
		notice.channel = notice.channel ? notice.channel : (char *)"";
		notice.subject = notice.subject ? notice.subject : (char *)"";
		notice.text = notice.text ? notice.text : (char *)"";
		int rc = worker_refresh(s, worker, &job->why);
		if (rc) {
			sent_before_no(notice.id);
			job->verdict = RETRY;
			continue;
		}
		notice_handle(s, worker, job, &notice);
	}
}

const struct effect_def notices_effect = {
	.consumer = "notices",
	.workers_offset = offsetof(struct notifier_config, notice_workers),
	.batch_max = 1,
	.after_fold = true,
	.open = worker_open,
	.close = worker_close,
	.handle = notices_handle,
};
