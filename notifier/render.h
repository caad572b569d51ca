/*
 * The words people read: short and factual; what broke, what was done, did it help, what is needed
 * from you. Pure. Everything from outside goes through buf_add_printable, so that what is shown
 * cannot lie; each channel escapes further for its own protocol.
 */
#ifndef NOTIFIER_RENDER_H
#define NOTIFIER_RENDER_H

#include "common/wire.h"

enum { RENDER_SUBJECT_MAX = 256, RENDER_TEXT_MAX = 16000, RENDER_LINES_MAX = 20 };

/* What is known about one incident. */
struct render_incident {
	const Healbus__Incident *incident;
	Healbus__Attempt *const *attempts; /* oldest first */
	size_t n_attempts;
	uint32_t tell; /* TELL_* bits of tables.h that are news; 0: a repeat */
};

struct notice_text {
	struct buf subject;
	struct buf text;
};
void notice_text_release(struct notice_text *t);
#define auto_notice_text __attribute__((cleanup(notice_text_release))) struct notice_text

/* The kind of the notice about this: opened, outcome, escalated, resolved. */
const char *render_kind(const struct render_incident *r);
void render_incident(const struct render_incident *r, struct notice_text *out);
/* Several incidents in one notice; total counts those that did not fit as well. */
void render_digest(const struct render_incident *items, size_t n, size_t total,
		   struct notice_text *out);
/* incident may be NULL. */
void render_approval(const Healbus__ApprovalRequest *a, const Healbus__Incident *incident,
		     struct notice_text *out);

/* People are called about an incident, or about a question. */
struct render_call {
	const struct render_incident *about;
	const Healbus__ApprovalRequest *approval; /* NULL: about the incident */
	const Healbus__Diagnosis *diagnosis;      /* of the incident; NULL: nobody looked */
	const char *const *to;                    /* who is called */
	size_t n_to;
	size_t number, total; /* this is call `number` of `total`, from 1 */
	int64_t began_ms;
};
void render_call(const struct render_call *r, struct notice_text *out);
/* After the last call: what was tried, what speaks for which cause, what to try. */
void render_summary(const struct render_call *r, struct notice_text *out);
/* What became of the question; d NULL: its plan ended before anybody answered. */
void render_decided(const Healbus__ApprovalRequest *a, const Healbus__Incident *incident,
		    const Healbus__Decision *d, struct notice_text *out);
/* Somebody has it. */
void render_taken(const Healbus__Incident *i, const Healbus__Control *ack, struct notice_text *out);
/* "Did it hold?" about the attempt that healed. */
void render_feedback(const Healbus__Incident *i, const Healbus__Attempt *what,
		     struct notice_text *out);

/* Everything about a question: what "More info" shows. */
struct render_info {
	const Healbus__ApprovalRequest *approval;
	const Healbus__Incident *incident;   /* NULL: not known */
	const Healbus__Decision *decision;   /* NULL: still open */
	const Healbus__Plan *plan;           /* the bytes asked about; NULL: not to be had */
	bool plan_differs;                   /* what is on the bus in its place is another */
	const Healbus__Diagnosis *diagnosis; /* NULL: none */
	const Healbus__Outcome *rehearsal;   /* a dry run of this plan; NULL: none */
};
/* Appends it: from the plan's canonical bytes, a model's prose last and labelled, at most
 * RENDER_TEXT_MAX bytes. */
void render_info(const struct render_info *r, struct buf *out);

/* One line that cannot lie: escapes as buf_add_printable does, newlines and tabs as \n and \t; of
 * more than max bytes it says how many more there are. NULL: nothing. */
void render_exact(struct buf *out, const char *s, size_t max);
/* Cuts text to max bytes at a line's end, and says how many lines are left out, and where they are.
 */
void render_fit(struct buf *text, size_t max, const Healbus__ApprovalRequest *a);

/* "restart_service(web-1), http_check(web-1)": the acts of an outcome, for Attempt.what. */
void render_what(const Healbus__Outcome *o, struct buf *out);

#endif
