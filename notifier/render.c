#include "notifier/render.h"

#include "common/clock.h"
#include "notifier/tables.h"

enum { LABELS_SHOWN_MAX = 8, VALUE_SHOWN_MAX = 120, REASON_SHOWN_MAX = 400, PREFIX_SHOWN = 8 };
enum { EVIDENCE_SHOWN_MAX = 5, RECALLED_SHOWN_MAX = 3 };

void notice_text_release(struct notice_text *t)
{
	buf_release(&t->subject);
	buf_release(&t->text);
}

static void add_text(struct buf *b, const char *s, size_t max)
{
	if (!s)
		return;
	auto_free char *cut = wire_text(NULL, s, strlen(s), max);
	buf_add_printable(b, cut, strlen(cut));
}

/* One line whatever it contains. */
static void add_line(struct buf *b, const char *s, size_t max)
{
	auto_buf one = {0};
	add_text(&one, s, max);
	for (size_t i = 0; i < one.len; i++)
		if (one.data[i] == '\n' || one.data[i] == '\t')
			one.data[i] = ' ';
	buf_add(b, buf_str(&one), one.len);
}

static void add_id(struct buf *b, const char *id)
{
	buf_printf(b, "%.*s", PREFIX_SHOWN, str_or_empty(id));
}

static void add_time(struct buf *b, int64_t ms)
{
	char text[TIME_TEXT_BYTES];
	time_format(ms, text);
	buf_printf(b, "%.10s %.8s UTC", text, text + 11);
}

/* Subjects and texts stay within what wire.c lets pass, cut at a UTF-8 border. */
static void cut(struct buf *b, size_t max)
{
	if (b->len <= max)
		return;
	auto_free char *shorter = wire_text(NULL, buf_str(b), b->len, max);
	buf_reset(b);
	buf_add_str(b, shorter);
}

static const char *severity_name(Healbus__Severity s)
{
	return wire_enum_name(&healbus__severity__descriptor, (int)s);
}

static const char *verdict_name(const Healbus__Attempt *a)
{
	return wire_enum_name(&healbus__verdict__descriptor, (int)a->verdict);
}

static const Healbus__Attempt *last_attempt(const struct render_incident *r)
{
	return r->n_attempts ? r->attempts[r->n_attempts - 1] : NULL;
}

const char *render_kind(const struct render_incident *r)
{
	bool escalated = r->incident->state == HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED;
	if ((r->tell & TELL_ESCALATED) || (!r->tell && escalated))
		return "escalated";
	if (r->tell & TELL_RESOLVED)
		return "resolved";
	return r->tell & TELL_OUTCOME ? "outcome" : "opened";
}

static void add_headline(struct buf *b, const struct render_incident *r)
{
	const Healbus__Attempt *last = last_attempt(r);
	const char *kind = render_kind(r);
	if (str_eq(kind, "outcome") && last)
		kind = verdict_name(last);
	else if (str_eq(kind, "resolved") && last &&
		 last->verdict == HEALBUS__VERDICT__VERDICT_HEALED)
		kind = "healed and resolved";
	else if (str_eq(kind, "escalated"))
		kind = "needs you";
	else if (!r->tell)
		kind = "still open";
	buf_printf(b, "[%s] %s: ", severity_name(r->incident->severity), kind);
	add_line(b, r->incident->title, VALUE_SHOWN_MAX);
}

static void add_broke(struct buf *b, const Healbus__Incident *i)
{
	buf_add_str(b, "What broke: ");
	add_line(b, i->title, WIRE_TITLE_MAX);
	buf_printf(b, " (%s", severity_name(i->severity));
	if (i->firing)
		buf_printf(b, ", %u firing", i->firing);
	buf_add_str(b, ", since ");
	add_time(b, i->opened_at_ms);
	buf_add_str(b, ")\n");
	for (size_t n = 0; n < i->n_labels && n < LABELS_SHOWN_MAX; n++) {
		buf_add_str(b, n ? ", " : "  ");
		add_line(b, i->labels[n]->name, VALUE_SHOWN_MAX);
		buf_add_char(b, '=');
		add_line(b, i->labels[n]->value, VALUE_SHOWN_MAX);
	}
	if (i->n_labels)
		buf_add_char(b, '\n');
	if (i->has_trusted && !i->trusted)
		buf_add_str(b, "  The source did not prove who it is.\n");
}

static void add_done(struct buf *b, const struct render_incident *r)
{
	buf_add_str(b, "What was done: ");
	if (!r->n_attempts)
		buf_add_str(b, "nothing yet");
	for (size_t n = 0; n < r->n_attempts; n++) {
		const Healbus__Attempt *a = r->attempts[n];
		buf_add_str(b, n ? "\n  then " : "");
		add_line(b, a->what && *a->what ? a->what : "no step ran", REASON_SHOWN_MAX);
		buf_printf(b, ": %s", verdict_name(a));
		if (a->reason && *a->reason) {
			buf_add_str(b, ", ");
			add_line(b, a->reason, REASON_SHOWN_MAX);
		}
	}
	buf_add_char(b, '\n');
}

static void add_helped(struct buf *b, const struct render_incident *r)
{
	const Healbus__Attempt *last = last_attempt(r);
	buf_add_str(b, "Did it help: ");
	if (r->incident->state == HEALBUS__INCIDENT_STATE__INCIDENT_RESOLVED) {
		buf_add_str(b, last ? "yes, over since " : "it is over since ");
		add_time(b, r->incident->resolved_at_ms);
	} else if (!last) {
		buf_add_str(b, "not known yet");
	} else if (last->verdict == HEALBUS__VERDICT__VERDICT_HEALED) {
		buf_add_str(b, "its check says yes; the alert is still to clear");
	} else {
		buf_add_str(b, "no");
	}
	buf_add_char(b, '\n');
}

static void add_needed(struct buf *b, const struct render_incident *r)
{
	buf_add_str(b, "Needed from you: ");
	if (r->incident->state != HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED) {
		buf_add_str(b, "nothing\n");
		return;
	}
	buf_add_str(b, "a look; ");
	add_line(b, r->incident->reason, REASON_SHOWN_MAX);
	buf_add_char(b, '\n');
}

void render_incident(const struct render_incident *r, struct notice_text *out)
{
	add_headline(&out->subject, r);
	add_broke(&out->text, r->incident);
	add_done(&out->text, r);
	add_helped(&out->text, r);
	add_needed(&out->text, r);
	buf_add_str(&out->text, "Story: healctl story ");
	add_id(&out->text, r->incident->id);
	buf_add_char(&out->text, '\n');
	cut(&out->subject, RENDER_SUBJECT_MAX);
	cut(&out->text, RENDER_TEXT_MAX);
}

void render_digest(const struct render_incident *items, size_t n, size_t total,
		   struct notice_text *out)
{
	buf_printf(&out->subject, "%zu incidents: ", total);
	for (size_t i = 0; i < n && i < 3; i++) {
		buf_add_str(&out->subject, i ? "; " : "");
		add_line(&out->subject, items[i].incident->title, 60);
	}
	if (total > 3)
		buf_add_str(&out->subject, "; ...");
	for (size_t i = 0; i < n && i < RENDER_LINES_MAX; i++) {
		add_headline(&out->text, &items[i]);
		buf_add_str(&out->text, " (healctl story ");
		add_id(&out->text, items[i].incident->id);
		buf_add_str(&out->text, ")\n");
	}
	if (total > MIN(n, (size_t)RENDER_LINES_MAX))
		buf_printf(&out->text, "and %zu more: healctl incidents\n",
			   total - MIN(n, (size_t)RENDER_LINES_MAX));
	cut(&out->subject, RENDER_SUBJECT_MAX);
	cut(&out->text, RENDER_TEXT_MAX);
}

static void add_lines(struct buf *b, char *const *lines, size_t n)
{
	for (size_t i = 0; i < n && i < RENDER_LINES_MAX; i++) {
		buf_printf(b, "  %zu. ", i + 1);
		render_exact(b, lines[i], WIRE_LINE_MAX);
		buf_add_char(b, '\n');
	}
	if (n > RENDER_LINES_MAX)
		buf_printf(b, "  and %zu more: healctl plan shows all\n", n - RENDER_LINES_MAX);
}

static void add_proposal(struct buf *b, const Healbus__ApprovalRequest *a)
{
	buf_printf(b, "What would be done (level %s)",
		   wire_enum_name(&healbus__level__descriptor, (int)a->level));
	for (size_t i = 0; i < a->n_reasons; i++) {
		buf_add_str(b, i ? "; " : ", a human is asked because ");
		add_line(b, a->reasons[i], REASON_SHOWN_MAX);
	}
	buf_add_str(b, ":\n");
	add_lines(b, a->rendered, a->n_rendered);
	buf_add_str(b, a->n_rollback ? "How it is taken back:\n" : "It cannot be taken back.\n");
	add_lines(b, a->rollback, a->n_rollback);
}

static void add_answer(struct buf *b, const Healbus__ApprovalRequest *a)
{
	buf_add_str(b, "Needed from you: healctl approve ");
	add_id(b, a->id);
	buf_add_str(b, " or healctl deny ");
	add_id(b, a->id);
	buf_add_str(b, " before ");
	add_time(b, a->deadline_ms);
	buf_add_str(b, "; silence means no.\nPlan digest: ");
	buf_add_hex(b, a->plan_digest.data, MIN(a->plan_digest.len, (size_t)4));
	buf_add_str(b, "\nStory: healctl story ");
	add_id(b, a->incident);
	buf_add_char(b, '\n');
}

void render_approval(const Healbus__ApprovalRequest *a, const Healbus__Incident *incident,
		     struct notice_text *out)
{
	buf_add_str(&out->subject, "approval needed until ");
	add_time(&out->subject, a->deadline_ms);
	buf_add_str(&out->subject, ": ");
	add_line(&out->subject, incident ? incident->title : a->incident, VALUE_SHOWN_MAX);
	auto_buf answer = {0};
	add_answer(&answer, a);
	if (incident)
		add_broke(&out->text, incident);
	add_proposal(&out->text, a);
	/* What may be cut is the proposal, never how to answer it. */
	render_fit(&out->text, RENDER_TEXT_MAX - answer.len, a);
	buf_add(&out->text, buf_str(&answer), answer.len);
	cut(&out->subject, RENDER_SUBJECT_MAX);
}

static void add_verdict(struct buf *b, const Healbus__Decision *d)
{
	static const char *const verbs[] = {"decided", "approved", "denied", "expired"};
	size_t verb = d && (size_t)d->verdict < ARRAY_SIZE(verbs) ? (size_t)d->verdict : 0;
	if (!d) {
		buf_add_str(b, "no longer needed");
		return;
	}
	buf_add_str(b, verbs[verb]);
	if (d->verdict == HEALBUS__DECISION_VERDICT__DECISION_EXPIRED)
		return;
	buf_add_str(b, " by ");
	add_line(b, d->by, VALUE_SHOWN_MAX);
}

static void add_decision(struct buf *b, const Healbus__Decision *d)
{
	buf_add_str(b, "Answer: ");
	add_verdict(b, d);
	if (!d) {
		buf_add_str(b, "; the plan ended before anybody answered\n");
		return;
	}
	buf_add_str(b, " at ");
	add_time(b, d->at_ms);
	if (d->channel && *d->channel) {
		buf_add_str(b, " through ");
		add_line(b, d->channel, VALUE_SHOWN_MAX);
	}
	if (d->reason && *d->reason) {
		buf_add_str(b, ": ");
		add_line(b, d->reason, REASON_SHOWN_MAX);
	}
	buf_add_char(b, '\n');
}

void render_decided(const Healbus__ApprovalRequest *a, const Healbus__Incident *incident,
		    const Healbus__Decision *d, struct notice_text *out)
{
	add_verdict(&out->subject, d);
	buf_add_str(&out->subject, ": ");
	add_line(&out->subject, incident ? incident->title : a->incident, VALUE_SHOWN_MAX);
	add_decision(&out->text, d);
	add_proposal(&out->text, a);
	buf_add_str(&out->text, "Story: healctl story ");
	add_id(&out->text, a->incident);
	buf_add_char(&out->text, '\n');
	cut(&out->subject, RENDER_SUBJECT_MAX);
	cut(&out->text, RENDER_TEXT_MAX);
}

void render_taken(const Healbus__Incident *i, const Healbus__Control *ack, struct notice_text *out)
{
	buf_add_str(&out->subject, "taken by ");
	add_line(&out->subject, str_or_empty(ack->by), VALUE_SHOWN_MAX);
	buf_add_str(&out->subject, ": ");
	add_line(&out->subject, i->title, VALUE_SHOWN_MAX);
	buf_add_str(&out->text, "Needed from you: nothing; ");
	add_line(&out->text, str_or_empty(ack->by), VALUE_SHOWN_MAX);
	buf_add_str(&out->text, " looks after it. No further plan, no reminder.\n");
	if (*str_or_empty(ack->reason)) {
		buf_add_str(&out->text, "In their words: ");
		add_line(&out->text, ack->reason, WIRE_LINE_MAX);
		buf_add_char(&out->text, '\n');
	}
	buf_add_str(&out->text, "Story: healctl story ");
	add_id(&out->text, i->id);
	buf_add_char(&out->text, '\n');
	cut(&out->subject, RENDER_SUBJECT_MAX);
}

void render_feedback(const Healbus__Incident *i, const Healbus__Attempt *what,
		     struct notice_text *out)
{
	buf_add_str(&out->subject, "did it hold? ");
	add_line(&out->subject, i->title, VALUE_SHOWN_MAX);
	buf_add_str(&out->text, "What was done: ");
	add_line(&out->text, what->what && *what->what ? what->what : "a repair", WIRE_LINE_MAX);
	buf_printf(&out->text, ": %s", verdict_name(what));
	buf_add_str(&out->text, "\nNeeded from you: does it hold? healctl feedback ");
	add_id(&out->text, i->id);
	buf_add_str(&out->text, " held, or healctl feedback ");
	add_id(&out->text, i->id);
	buf_add_str(&out->text, " broken. It counts for what is tried next time.\n");
	cut(&out->subject, RENDER_SUBJECT_MAX);
	cut(&out->text, RENDER_TEXT_MAX);
}

void render_what(const Healbus__Outcome *o, struct buf *out)
{
	for (size_t i = 0; i < o->n_steps; i++) {
		const Healbus__StepReport *s = o->steps[i];
		bool ran = s->state == HEALBUS__STEP_STATE__STEP_DONE ||
			   s->state == HEALBUS__STEP_STATE__STEP_FAILED ||
			   s->state == HEALBUS__STEP_STATE__STEP_UNKNOWN;
		if (s->phase != HEALBUS__PHASE__PHASE_ACT || !ran)
			continue;
		buf_printf(out, "%s%s", out->len ? ", " : "", str_or_empty(s->tool));
		if (s->target && *s->target)
			buf_printf(out, "(%s)", s->target);
	}
	cut(out, WIRE_LINE_MAX);
}

/* ---- calls ---- */

static void add_called(struct buf *b, const struct render_call *r)
{
	buf_printf(b, "Called (%zu of %zu): ", r->number, r->total);
	for (size_t i = 0; i < r->n_to; i++) {
		buf_add_str(b, i ? ", " : "");
		add_line(b, r->to[i], VALUE_SHOWN_MAX);
	}
	if (!r->n_to)
		buf_add_str(b, "whoever reads this");
	buf_add_str(b, "; since ");
	add_time(b, r->began_ms);
	buf_add_char(b, '\n');
}

static void add_stop(struct buf *b, const struct render_call *r)
{
	buf_add_str(b, "To stop the calls: healctl ack ");
	add_id(b, r->about->incident->id);
	buf_add_char(b, '\n');
}

void render_call(const struct render_call *r, struct notice_text *out)
{
	auto_notice_text body = {0};
	const Healbus__Incident *incident = r->about->incident;
	if (r->approval)
		render_approval(r->approval, incident->title ? incident : NULL, &body);
	else
		render_incident(r->about, &body);
	buf_printf(&out->subject, "call %zu of %zu: ", r->number, r->total);
	buf_add_str(&out->subject, buf_str(&body.subject));
	add_called(&out->text, r);
	if (!r->approval)
		add_stop(&out->text, r);
	/* How to answer a question stands at its end and is never cut. */
	if (out->text.len + body.text.len > RENDER_TEXT_MAX)
		buf_reset(&out->text);
	buf_add(&out->text, buf_str(&body.text), body.text.len);
	cut(&out->subject, RENDER_SUBJECT_MAX);
	cut(&out->text, RENDER_TEXT_MAX);
}

static void add_evidence(struct buf *b, const Healbus__Diagnosis *d)
{
	if (!d)
		return;
	buf_add_str(b, "Evidence: ");
	add_line(b, d->failure_type && *d->failure_type ? d->failure_type : "no known failure",
		 VALUE_SHOWN_MAX);
	buf_printf(b, " (%.0f %% sure)\n", 100 * d->confidence);
	for (size_t i = 0; i < d->n_evidence && i < EVIDENCE_SHOWN_MAX; i++) {
		const Healbus__Evidence *e = d->evidence[i];
		buf_add_str(b, "  ");
		add_line(b, e->source, VALUE_SHOWN_MAX);
		if (e->line)
			buf_printf(b, ":%u", e->line);
		buf_add_str(b, ": ");
		add_line(b, e->text, REASON_SHOWN_MAX);
		buf_add_char(b, '\n');
	}
}

/* The runbook's advice stands behind the first line of why the incident was given up. */
static const char *advice_of(const Healbus__Incident *i)
{
	const char *line = strchr(str_or_empty(i->reason), '\n');
	return line ? line + 1 : "";
}

static void add_recalled(struct buf *b, const Healbus__Recalled *r)
{
	buf_add_str(b, "  what helped before: ");
	add_line(b, r->what, REASON_SHOWN_MAX);
	buf_printf(b, " (%.0f %% alike; healctl story ", 100 * r->similarity);
	add_id(b, r->incident);
	buf_add_str(b, ")\n");
}

static void add_to_try(struct buf *b, const struct render_call *r)
{
	const char *advice = advice_of(r->about->incident);
	const Healbus__Diagnosis *d = r->diagnosis;
	auto_buf ideas = {0};
	if (*advice) {
		buf_add_str(&ideas, "  ");
		add_line(&ideas, advice, WIRE_REASON_MAX);
		buf_add_char(&ideas, '\n');
	}
	for (size_t i = 0, said = 0; d && i < d->n_recalled && said < RECALLED_SHOWN_MAX; i++) {
		if (!d->recalled[i]->healed)
			continue;
		add_recalled(&ideas, d->recalled[i]);
		said++;
	}
	if (ideas.len)
		buf_printf(b, "What to try:\n%s", buf_str(&ideas));
}

void render_summary(const struct render_call *r, struct notice_text *out)
{
	const Healbus__Incident *i = r->about->incident;
	buf_printf(&out->subject, "[%s] nobody answered %zu calls: ", severity_name(i->severity),
		   r->number - 1);
	add_line(&out->subject, i->title, VALUE_SHOWN_MAX);
	buf_printf(&out->text, "Nobody answered %zu calls since ", r->number - 1);
	add_time(&out->text, r->began_ms);
	buf_add_str(&out->text, ". This is the last.\n");
	add_broke(&out->text, i);
	add_done(&out->text, r->about);
	add_helped(&out->text, r->about);
	add_evidence(&out->text, r->diagnosis);
	add_to_try(&out->text, r);
	add_needed(&out->text, r->about);
	add_stop(&out->text, r);
	buf_add_str(&out->text, "Story: healctl story ");
	add_id(&out->text, i->id);
	buf_add_char(&out->text, '\n');
	cut(&out->subject, RENDER_SUBJECT_MAX);
	cut(&out->text, RENDER_TEXT_MAX);
}
