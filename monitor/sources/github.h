/*
 * GitHub's webhooks (docs.github.com/webhooks/webhook-events-and-payloads): what the readers share.
 * github.c holds the table of events and what every body has; github_ci.c reads builds,
 * github_people.c what people do, github_alerts.c security alerts. Nobody else includes this.
 *
 * A reader gives at most one Event, or says by a word why it gives none; for what is missing or of
 * another type it returns ERR_INVALID with the field's path.
 */
#ifndef MONITOR_SOURCES_GITHUB_H
#define MONITOR_SOURCES_GITHUB_H

#include "monitor/sources/source.h"

#define CI_FAILURE "CIFailure"

struct delivery {
	struct reading *r;
	const struct github_rules *rules;
	const char *event;
	const char *action; /* "" when the event has none */
	const char *repository;
	const char *sender;    /* login; "" when not said */
	bool bot;              /* the sender is one, and is not in allow_bots */
	Healbus__Status means; /* by the table, where the action alone says it */
	struct draft d;
};

/* ---- github.c ---- */

/* The value at "a.b.c"; NULL when it or one above it is absent or null. */
const json_t *at(const struct delivery *g, const char *path);
/* Text there; NULL when there is none, or none that is text. */
const char *at_text(const struct delivery *g, const char *path);
/* A whole number there as text; NULL when there is none. */
const char *at_number(const struct delivery *g, const char *path);
/* Text that must be there and not be empty. */
int need_text(const struct delivery *g, const char *path, const char **out, struct why *out_why);
/* RFC 3339 there, if it is there. */
int read_time(const struct delivery *g, const char *path, int64_t *out_ms, struct why *out_why);

/* No event, and why: a word. Returns 0. */
int ignore(struct delivery *g, const char *reason);
/* NULL and "" add nothing. */
void add_label(struct delivery *g, const char *name, const char *value);
void add_annotation(struct delivery *g, const char *name, const char *value);
/* Something to know of the branch, that neither fires nor resolves. */
void draft_note(struct delivery *g, const char *branch);
/* What names the alert: a kind of thing and its name, within repository and branch. */
void name_alert(struct delivery *g, const char *branch, const char *kind, const char *unit);
/* Labels alertname, repository, branch, and what each event of a build or branch is annotated with.
 */
void draft_branch(struct delivery *g, const char *branch, const char *sha);
/* A branch as it is called in this repository: of a fork "owner:branch", as GitHub labels it. */
const char *branch_of(const struct delivery *g, const char *branch, const char *head_repository);
/* What the head commit's message says to us: skip, or whose fix it is. True when it says to skip.
 */
bool read_message(struct delivery *g, const char *branch, const char *message);
/* Does a head commit's message say that we made it, or that it merges what we made? */
bool is_our_commit(const struct delivery *g, const char *message);
/* Is this login in the list? Case does not count. */
bool login_in(const struct names *list, const char *login);

/* ---- the readers ---- */

typedef int github_reader(struct delivery *g, struct why *out_why);
github_reader read_workflow_job, read_workflow_run, read_workflow_begun, read_check_run,
	read_check_suite, read_status;
github_reader read_push, read_delete, read_merge_group, read_pull_request, read_pull_closed,
	read_review, read_comment, read_button;
github_reader read_dependabot, read_vulnerability, read_code_scanning, read_secret_scanning;

#endif
