/*
 * The notifier's fold over STORY: what people see, and what they are told. It keeps incidents, the
 * index of every story, approvals, decisions, changes, silences, notices and the machinery's state,
 * and it emits Notice{QUEUED} (what the routing tree says, grouped and throttled) and
 * Decision{EXPIRED} (nobody answered in time). Deleted and rebuilt from the bus it is the same.
 *
 * Timers: "a:<approval>" its deadline, "e:<ladder>" the next call, "f:<incident>" whether a repair
 * held, "g:<group>" the next flush, "h:<matter>" what is told of healbus itself, "r:<incident>" and
 * "s:<silence>" the end of retention, "u:<saying>" what no channel took is said anew.
 */
#ifndef NOTIFIER_PROJECTION_H
#define NOTIFIER_PROJECTION_H

#include "notifier/render.h"
#include "notifier/routing.h"
#include "notifier/tables.h"

extern const struct fold_def notifier_fold;

/* One function a kind of message; called after the story's index has it. */
typedef int project(struct fold *f, const struct fold_input *in, struct why *out_why);
project project_incident;
project project_plan;
project project_approval;
project project_decision;
project project_step;
project project_outcome;
project project_notice;
project project_control;

/* Parts that look on: called after the message was projected, with what that left in the tables. */
typedef void follow(struct fold *f, const struct fold_input *in);
follow ladder_follow; /* escalations */
follow kpi_follow;
follow health_follow; /* of healbus itself */
follow tools_follow;

/* One function a kind of timer; id is the key behind its letter. */
typedef void on_timer(struct fold *f, const char *id);
on_timer approval_deadline;
on_timer feedback_ask;
on_timer group_flush;
on_timer incident_retire;
on_timer silence_retire;
on_timer ladder_due;
on_timer ladder_retire;
on_timer kpi_retire;
on_timer health_due;
on_timer unsent_due;

/* Lets the routing tree decide who hears of it, and when. bits: TELL_*. */
void tell(struct fold *f, const Healbus__Incident *i, uint32_t bits);
/* At once, past mutes and throttles. incident may be NULL. */
void tell_approval(struct fold *f, const Healbus__ApprovalRequest *a, const Healbus__Incident *i);
/* People are called: one notice a channel. */
struct call {
	const char *kind;
	const char *incident;
	const char *approval; /* NULL: not a question */
	const char *what;     /* the same what is told once a channel */
	const struct notice_text *text;
	const struct route *route;
	const struct receiver *receiver;
	const char *channel; /* NULL: all of the receiver's */
	char **to;
	size_t n_to;
};
/* At once, past mutes; past throttles too if it is a question. What a throttle holds back is told
 * in the receiver's digest. */
void tell_call(struct fold *f, const struct call *c);
/* The question is settled: whoever was asked is told by whom. NULL: the plan ended by itself. */
void tell_decided(struct fold *f, const Healbus__ApprovalRequest *a, const Healbus__Decision *d);
/* A question that was sent when it was settled already. Nothing for other notices. */
void tell_too_late(struct fold *f, const Healbus__Notice *n);
/* A repair worked: later somebody is asked whether it held. */
void feedback_later(struct fold *f, const Healbus__Outcome *o, const char *incident);
/* Answers a `/heal status` that is new, where it was asked. old: the row before; may be NULL. */
void tell_status(struct fold *f, const Healbus__Incident *i, const Healbus__Incident *old);
/* A human has it: no repeats. */
void tell_acked(struct fold *f, const char *incident);
/* Who has it is told wherever the incident was told of, once; pagers stop there. */
void tell_taken(struct fold *f, const Healbus__Control *ack);
/* Control ONCALL; duty.h reads it. */
void duty_change(struct fold *f, const Healbus__Control *c);
/* The groups forget the incident. */
void tell_forget(struct fold *f, const char *incident);

/* How the incident's plans ended, oldest first, in the fold's arena. */
size_t incident_attempts(struct fold *f, const char *incident, Healbus__Attempt **out, size_t max);
Healbus__Incident *incident_row(struct fold *f, const char *incident);

/* Labels of an incident for matchers, with severity, state, trusted and pr (the pull request that
 * its events name) where no label says so. */
const char *incident_lookup(const void *incident, const char *name);
/* Its labels as Notice.labels has them, in the arena: with pr. How many. */
size_t incident_labels(const Healbus__Incident *i, struct arena *arena, Healbus__Label ***out);

#endif
