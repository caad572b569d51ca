#include "monitor/sources/github.h"

#include <fnmatch.h>

#define FIRING HEALBUS__STATUS__STATUS_FIRING
#define RESOLVED HEALBUS__STATUS__STATUS_RESOLVED

/* No action stands for all of them. */
static const struct row {
	const char *event, *action;
	github_reader *read;
	Healbus__Status means;
} rows[] = {
	{"workflow_job", "completed", read_workflow_job, 0},
	{"workflow_run", "completed", read_workflow_run, 0},
	{"workflow_run", "requested", read_workflow_begun, 0},
	{"workflow_run", "in_progress", read_workflow_begun, 0},
	{"check_run", "completed", read_check_run, 0},
	{"check_run", "requested_action", read_button, 0},
	{"check_suite", "completed", read_check_suite, 0},
	{"status", NULL, read_status, 0},
	{"push", NULL, read_push, 0},
	{"delete", NULL, read_delete, 0},
	{"merge_group", "destroyed", read_merge_group, 0},
	{"pull_request", "opened", read_pull_request, 0},
	{"pull_request", "reopened", read_pull_request, 0},
	{"pull_request", "synchronize", read_pull_request, 0},
	{"pull_request", "ready_for_review", read_pull_request, 0},
	{"pull_request", "closed", read_pull_closed, 0},
	{"pull_request_review", "submitted", read_review, 0},
	{"issue_comment", "created", read_comment, 0},
	{"dependabot_alert", "created", read_dependabot, FIRING},
	{"dependabot_alert", "reopened", read_dependabot, FIRING},
	{"dependabot_alert", "auto_reopened", read_dependabot, FIRING},
	{"dependabot_alert", "reintroduced", read_dependabot, FIRING},
	{"dependabot_alert", "fixed", read_dependabot, RESOLVED},
	{"dependabot_alert", "dismissed", read_dependabot, RESOLVED},
	{"dependabot_alert", "auto_dismissed", read_dependabot, RESOLVED},
	{"repository_vulnerability_alert", "create", read_vulnerability, FIRING},
	{"repository_vulnerability_alert", "reopen", read_vulnerability, FIRING},
	{"repository_vulnerability_alert", "resolve", read_vulnerability, RESOLVED},
	{"repository_vulnerability_alert", "dismiss", read_vulnerability, RESOLVED},
	{"code_scanning_alert", "created", read_code_scanning, FIRING},
	{"code_scanning_alert", "reopened", read_code_scanning, FIRING},
	{"code_scanning_alert", "reopened_by_user", read_code_scanning, FIRING},
	{"code_scanning_alert", "appeared_in_branch", read_code_scanning, FIRING},
	{"code_scanning_alert", "fixed", read_code_scanning, RESOLVED},
	{"code_scanning_alert", "closed_by_user", read_code_scanning, RESOLVED},
	{"secret_scanning_alert", "created", read_secret_scanning, FIRING},
	{"secret_scanning_alert", "reopened", read_secret_scanning, FIRING},
	{"secret_scanning_alert", "publicly_leaked", read_secret_scanning, FIRING},
	{"secret_scanning_alert", "resolved", read_secret_scanning, RESOLVED},
	{"secret_scanning_alert", "revoked", read_secret_scanning, RESOLVED},
};

/* ---- what is in a body ---- */

const json_t *at(const struct delivery *g, const char *path)
{
	const json_t *value = g->r->json;

	while (value && *path) {
		size_t len = strcspn(path, ".");
		char key[64];

		assert(len < sizeof(key));
		memcpy(key, path, len);
		key[len] = '\0';
		value = json_object_get(value, key);
		path += len + (path[len] == '.');
	}
	return json_is_null(value) ? NULL : value;
}

const char *at_text(const struct delivery *g, const char *path)
{
	return json_string_value(at(g, path));
}

const char *at_number(const struct delivery *g, const char *path)
{
	const json_t *value = at(g, path);

	if (!json_is_integer(value))
		return NULL;
	return arena_printf(g->r->arena, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
}

int need_text(const struct delivery *g, const char *path, const char **out, struct why *out_why)
{
	const json_t *value = at(g, path);
	const char *text = json_string_value(value);

	if (!value)
		return why_set(out_why, ERR_INVALID, "%s: missing", path);
	if (!text)
		return why_set(out_why, ERR_INVALID, "%s: not text", path);
	if (!*text)
		return why_set(out_why, ERR_INVALID, "%s: empty", path);
	*out = text;
	return 0;
}

int read_time(const struct delivery *g, const char *path, int64_t *out_ms, struct why *out_why)
{
	return draft_time(at(g, path), path, out_ms, out_why);
}

/* ---- what is made of it ---- */

int ignore(struct delivery *g, const char *reason)
{
	g->r->ignored = reason;
	return 0;
}

void add_label(struct delivery *g, const char *name, const char *value)
{
	if (value && *value && g->d.n_labels < DRAFT_PAIRS_MAX)
		g->d.labels[g->d.n_labels++] = (struct label_view){name, value};
}

void add_annotation(struct delivery *g, const char *name, const char *value)
{
	if (value && *value && g->d.n_annotations < DRAFT_PAIRS_MAX)
		g->d.annotations[g->d.n_annotations++] = (struct label_view){name, value};
}

void name_alert(struct delivery *g, const char *branch, const char *kind, const char *unit)
{
	const struct label_view parts[] = {
		{"branch", branch}, {"kind", kind}, {"repository", g->repository}, {"unit", unit}};
	char *fingerprint = arena_alloc(g->r->arena, FINGERPRINT_LEN + 1);

	if (fingerprint)
		fingerprint_labels(parts, ARRAY_SIZE(parts), fingerprint);
	g->d.fingerprint = fingerprint;
}

void draft_branch(struct delivery *g, const char *branch, const char *sha)
{
	add_label(g, "alertname", CI_FAILURE);
	add_label(g, "repository", g->repository);
	add_label(g, "branch", branch);
	add_annotation(g, "sha", sha);
	add_annotation(g, "github_event", g->event);
	add_annotation(g, "actor", g->sender);
	add_annotation(g, "default_branch", at_text(g, "repository.default_branch"));
	add_annotation(g, "installation_id", at_number(g, "installation.id"));
	g->d.per_body = true;
}

void draft_note(struct delivery *g, const char *branch)
{
	name_alert(g, branch, "note", "");
	g->d.note = true;
	draft_add(g->r, &g->d);
}

const char *branch_of(const struct delivery *g, const char *branch, const char *head_repository)
{
	size_t owner = head_repository ? strcspn(head_repository, "/") : 0;

	if (!owner || strcasecmp(head_repository, g->repository) == 0)
		return branch;
	return arena_printf(g->r->arena, "%.*s:%s", (int)owner, head_repository, branch);
}

/* The token behind "Healbus-Incident:" at the beginning of a line. */
static const char *trailer_of(struct arena *arena, const char *message)
{
	static const char name[] = "Healbus-Incident:";
	const char *line = message;

	while (line && strncasecmp(line, name, sizeof(name) - 1) != 0) {
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	if (!line)
		return NULL;
	line += sizeof(name) - 1;
	line += strspn(line, " \t");
	return arena_printf(arena, "%.*s", (int)MIN(strcspn(line, " \t\r\n"), (size_t)TOKEN_MAX),
			    line);
}

bool read_message(struct delivery *g, const char *branch, const char *message)
{
	const struct github_rules *rules = g->rules;
	const char *incident;
	bool skip;

	if (!message)
		return false;
	add_annotation(g, "message",
		       arena_printf(g->r->arena, "%.*s", (int)strcspn(message, "\r\n"), message));
	skip = rules->skip_marker && *rules->skip_marker && strstr(message, rules->skip_marker);
	if (skip)
		add_annotation(g, "skip", "true");
	if (!rules->fix_prefix || !*rules->fix_prefix || !str_starts(branch, rules->fix_prefix))
		return skip;
	incident = trailer_of(g->r->arena, message);
	if (incident && token_valid(incident))
		add_annotation(g, "incident", incident);
	return skip;
}

bool is_our_commit(const struct delivery *g, const char *message)
{
	static const char merge[] = "Merge pull request #";
	const char *prefix = g->rules->fix_prefix, *from;

	if (!message)
		return false;
	if (trailer_of(g->r->arena, message))
		return true;
	if (!prefix || !*prefix || !str_starts(message, merge))
		return false;
	/* "... from owner/fix/test-1234": the branch follows the owner. */
	from = strstr(message, " from ");
	from = from ? strchr(from, '/') : NULL;
	return from && str_starts(from + 1, prefix);
}

bool login_in(const struct names *list, const char *login)
{
	for (size_t i = 0; i < list->n; i++) {
		if (strcasecmp(list->items[i], login) == 0)
			return true;
	}
	return false;
}

/* ---- the body ---- */

static bool repository_listed(const struct delivery *g)
{
	const struct names *list = &g->rules->repositories;

	for (size_t i = 0; i < list->n; i++) {
		if (fnmatch(list->items[i], g->repository, FNM_PATHNAME | FNM_CASEFOLD) == 0)
			return true;
	}
	return list->n == 0;
}

static bool repository_valid(const char *name)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t owner = strspn(name, letters), rest;

	if (!owner || name[owner] != '/')
		return false;
	rest = strspn(name + owner + 1, letters);
	return rest && !name[owner + 1 + rest];
}

static int frame_read(struct delivery *g, struct why *out_why)
{
	const char *type = at_text(g, "sender.type");
	int rc;

	if (!json_is_object(g->r->json))
		return why_set(out_why, ERR_INVALID, "body: not an object");
	rc = need_text(g, "repository.full_name", &g->repository, out_why);
	if (rc)
		return rc;
	if (!repository_valid(g->repository))
		return why_set(out_why, ERR_INVALID, "repository.full_name: not owner/name");
	g->action = at_text(g, "action") ? at_text(g, "action") : "";
	g->sender = at_text(g, "sender.login") ? at_text(g, "sender.login") : "";
	g->bot = ((type && str_eq(type, "Bot")) || strstr(g->sender, "[bot]")) &&
		 !login_in(&g->rules->allow_bots, g->sender);
	return 0;
}

static int row_run(struct delivery *g, bool *out_known, struct why *out_why)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!str_eq(rows[i].event, g->event))
			continue;
		*out_known = true;
		if (rows[i].action && !str_eq(rows[i].action, g->action))
			continue;
		g->means = rows[i].means;
		return rows[i].read(g, out_why);
	}
	return ignore(g, *out_known ? "action" : "event");
}

static bool event_known(const char *event)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (str_eq(rows[i].event, event))
			return true;
	}
	return false;
}

static int github_read(struct reading *r, struct why *out_why)
{
	struct delivery g = {
		.r = r,
		.rules = &r->rules->github,
		.event = r->kind,
		.action = "",
		.repository = "",
		.sender = "",
		.d = {.where = ""},
	};
	bool known = false;
	int rc;

	if (!r->kind || !*r->kind)
		return why_set(out_why, ERR_INVALID,
			       "X-GitHub-Event: missing; on the bus it is the parameter `event` "
			       "of Content-Type");
	rc = reading_json(r, out_why);
	if (rc)
		return rc;
	if (!event_known(r->kind))
		return ignore(&g, "event");
	rc = frame_read(&g, out_why);
	if (rc)
		return rc;
	if (!repository_listed(&g))
		return ignore(&g, "repository");
	return row_run(&g, &known, out_why);
}

static const char *const group_by[] = {"repository", "branch", "pr", "alertname", "number", NULL};

const struct source_format format_github = {
	.name = "github",
	.resolves = true,
	.sealed = true,
	.group_by = group_by,
	.read = github_read,
};
