#include "monitor/sources/github.h"

/* Builds: jobs, runs, check runs, suites and commit statuses. A job and its check run have one
 * name, and are one alert. */

#define ACTIONS "github-actions"

struct build {
	const char *kind, *unit; /* what the alert is named by */
	const char *workflow, *job;
	const char *app; /* who reports; NULL: not said */
	const char *branch, *sha, *conclusion;
	const char *message; /* the head commit's; NULL: not said */
	int64_t starts_ms, ends_ms;
	bool ends_all; /* a success ends whatever failed under its labels */
	bool by_bot;   /* what was built is a bot's */
};

static const char *first_pull(const struct delivery *g, const char *object, const char *field)
{
	char path[64];
	const json_t *pulls, *value;

	snprintf(path, sizeof(path), "%s.pull_requests", object);
	pulls = json_array_get(at(g, path), 0);
	if (!pulls)
		return NULL;
	if (str_eq(field, "number")) {
		value = json_object_get(pulls, "number");
		return json_is_integer(value) ? arena_printf(g->r->arena, "%" JSON_INTEGER_FORMAT,
							     json_integer_value(value))
					      : NULL;
	}
	return json_string_value(json_object_get(json_object_get(pulls, field), "ref"));
}

static void annotate_pull(struct delivery *g, const char *object)
{
	add_annotation(g, "pr", first_pull(g, object, "number"));
	add_annotation(g, "base", first_pull(g, object, "base"));
}

/* 0 with *out unknown for a conclusion that says neither. */
static Healbus__Status status_of(const struct delivery *g, const char *conclusion)
{
	if (str_eq(conclusion, "success"))
		return HEALBUS__STATUS__STATUS_RESOLVED;
	if (names_has(&g->rules->failures, conclusion))
		return HEALBUS__STATUS__STATUS_FIRING;
	return HEALBUS__STATUS__STATUS_UNKNOWN;
}

static void draft_severity(struct delivery *g, const char *branch)
{
	const char *main_branch = at_text(g, "repository.default_branch");
	bool is_main = main_branch && str_eq(main_branch, branch);

	add_label(g, "severity", is_main ? "error" : "warning");
}

static int draft_build(struct delivery *g, const struct build *b)
{
	const char *what = b->unit;
	bool skip;

	g->d.status = status_of(g, b->conclusion);
	if (!g->d.status)
		return ignore(g, "conclusion");
	draft_branch(g, b->branch, b->sha);
	name_alert(g, b->branch, b->kind, b->unit);
	skip = read_message(g, b->branch, b->message);
	add_label(g, "workflow", b->workflow);
	add_label(g, "job", b->job);
	add_label(g, "app", b->app);
	add_annotation(g, "conclusion", b->conclusion);
	g->d.starts_at_ms = b->starts_ms;
	if (g->d.status == HEALBUS__STATUS__STATUS_RESOLVED) {
		g->d.ends_at_ms = b->ends_ms;
		g->d.covers = b->ends_all;
	} else {
		if (b->by_bot)
			return ignore(g, "bot");
		if (skip) {
			/* Told to the correlator: other events of this commit lack its message. */
			g->d.status = HEALBUS__STATUS__STATUS_UNKNOWN;
			g->d.note = true;
		}
		draft_severity(g, b->branch);
		g->d.summary = arena_printf(g->r->arena, "%s %s: %s %s (%s)", g->repository,
					    b->branch, b->kind, what, b->conclusion);
	}
	draft_add(g->r, &g->d);
	return 0;
}

/* "https://github.com/o/r/actions/runs/123/job/456" -> "123" */
static const char *run_of_url(const struct delivery *g, const char *url)
{
	static const char mark[] = "/actions/runs/";
	const char *found = url ? strstr(url, mark) : NULL;
	size_t len;

	if (!found)
		return NULL;
	found += sizeof(mark) - 1;
	len = strspn(found, "0123456789");
	return len && len < 20 ? arena_printf(g->r->arena, "%.*s", (int)len, found) : NULL;
}

/* A sha of SHA-1 or SHA-256. */
static int need_sha(const struct delivery *g, const char *path, const char **out,
		    struct why *out_why)
{
	int rc = need_text(g, path, out, out_why);

	if (rc)
		return rc;
	if (strspn(*out, "0123456789abcdef") != strlen(*out) ||
	    (strlen(*out) != 40 && strlen(*out) != 64))
		return why_set(out_why, ERR_INVALID, "%s: not a commit's id", path);
	return 0;
}

static int need_object(const struct delivery *g, const char *path, struct why *out_why)
{
	return json_is_object(at(g, path)) ? 0 : why_set(out_why, ERR_INVALID, "%s: missing", path);
}

/* ---- jobs ---- */

/* Of the first step that failed. */
static const char *failed_step(const struct delivery *g)
{
	const json_t *step;
	size_t i;

	json_array_foreach(at(g, "workflow_job.steps"), i, step)
	{
		const char *conclusion = json_string_value(json_object_get(step, "conclusion"));

		if (conclusion && names_has(&g->rules->failures, conclusion))
			return json_string_value(json_object_get(step, "name"));
	}
	return NULL;
}

int read_workflow_job(struct delivery *g, struct why *out_why)
{
	struct build b = {.kind = "job", .app = ACTIONS, .by_bot = g->bot};
	const char *branch = at_text(g, "workflow_job.head_branch");
	int rc = need_object(g, "workflow_job", out_why);

	if (!rc)
		rc = need_text(g, "workflow_job.name", &b.unit, out_why);
	if (!rc)
		rc = need_sha(g, "workflow_job.head_sha", &b.sha, out_why);
	if (!rc)
		rc = need_text(g, "workflow_job.conclusion", &b.conclusion, out_why);
	if (!rc)
		rc = read_time(g, "workflow_job.started_at", &b.starts_ms, out_why);
	if (!rc)
		rc = read_time(g, "workflow_job.completed_at", &b.ends_ms, out_why);
	if (rc)
		return rc;
	b.job = b.unit;
	b.workflow = at_text(g, "workflow_job.workflow_name");
	b.branch = branch && *branch ? branch : b.sha;
	add_annotation(g, "run_id", at_number(g, "workflow_job.run_id"));
	add_annotation(g, "run_attempt", at_number(g, "workflow_job.run_attempt"));
	add_annotation(g, "job_id", at_number(g, "workflow_job.id"));
	add_annotation(g, "run_url", at_text(g, "workflow_job.html_url"));
	add_annotation(g, "step", failed_step(g));
	g->d.generator_url = at_text(g, "workflow_job.html_url");
	return draft_build(g, &b);
}

/* ---- runs ---- */

int read_workflow_run(struct delivery *g, struct why *out_why)
{
	struct build b = {.kind = "workflow", .app = ACTIONS, .by_bot = g->bot, .ends_all = true};
	const char *branch = NULL;
	int rc = need_object(g, "workflow_run", out_why);

	if (!rc && !at(g, "workflow_run.conclusion"))
		return ignore(g, "not_concluded");
	if (!rc)
		rc = need_text(g, "workflow_run.name", &b.unit, out_why);
	if (!rc)
		rc = need_sha(g, "workflow_run.head_sha", &b.sha, out_why);
	if (!rc)
		rc = need_text(g, "workflow_run.conclusion", &b.conclusion, out_why);
	if (!rc)
		rc = read_time(g, "workflow_run.run_started_at", &b.starts_ms, out_why);
	if (!rc)
		rc = read_time(g, "workflow_run.updated_at", &b.ends_ms, out_why);
	if (rc)
		return rc;
	branch = at_text(g, "workflow_run.head_branch");
	b.branch = branch_of(g, branch && *branch ? branch : b.sha,
			     at_text(g, "workflow_run.head_repository.full_name"));
	b.workflow = b.unit;
	b.message = at_text(g, "workflow_run.head_commit.message");
	add_annotation(g, "run_id", at_number(g, "workflow_run.id"));
	add_annotation(g, "run_attempt", at_number(g, "workflow_run.run_attempt"));
	add_annotation(g, "run_url", at_text(g, "workflow_run.html_url"));
	annotate_pull(g, "workflow_run");
	g->d.generator_url = at_text(g, "workflow_run.html_url");
	return draft_build(g, &b);
}

/* Its jobs will not say whose branch it is, nor what the commit says. */
int read_workflow_begun(struct delivery *g, struct why *out_why)
{
	const char *sha, *name = at_text(g, "workflow_run.head_branch"), *branch;
	bool skip;
	int rc = need_object(g, "workflow_run", out_why);

	if (!rc)
		rc = need_sha(g, "workflow_run.head_sha", &sha, out_why);
	if (rc)
		return rc;
	name = name && *name ? name : sha;
	branch = branch_of(g, name, at_text(g, "workflow_run.head_repository.full_name"));
	draft_branch(g, branch, sha);
	skip = read_message(g, branch, at_text(g, "workflow_run.head_commit.message"));
	if (!skip && branch == name)
		return ignore(g, "action");
	draft_note(g, branch);
	return 0;
}

/* ---- checks ---- */

/* Its sender is often the app that reports, which says nothing about who is built. */
static bool bot_but_reporter(const struct delivery *g, const char *slug)
{
	size_t len = slug ? strlen(slug) : 0;

	return g->bot &&
	       !(len && strncasecmp(g->sender, slug, len) == 0 && str_eq(g->sender + len, "[bot]"));
}

static const char *branch_or(const struct delivery *g, const char *object, const char *branch,
			     const char *sha)
{
	if (!branch || !*branch)
		branch = first_pull(g, object, "head");
	return branch && *branch ? branch : sha;
}

int read_check_run(struct delivery *g, struct why *out_why)
{
	struct build b = {.kind = "job", .app = at_text(g, "check_run.app.slug")};
	int rc = need_object(g, "check_run", out_why);

	if (!rc)
		rc = need_text(g, "check_run.name", &b.unit, out_why);
	if (!rc)
		rc = need_sha(g, "check_run.head_sha", &b.sha, out_why);
	if (!rc)
		rc = need_text(g, "check_run.conclusion", &b.conclusion, out_why);
	if (!rc)
		rc = read_time(g, "check_run.started_at", &b.starts_ms, out_why);
	if (!rc)
		rc = read_time(g, "check_run.completed_at", &b.ends_ms, out_why);
	if (rc)
		return rc;
	b.job = b.unit;
	b.by_bot = bot_but_reporter(g, b.app);
	b.branch =
		branch_or(g, "check_run", at_text(g, "check_run.check_suite.head_branch"), b.sha);
	add_annotation(g, "run_id", run_of_url(g, at_text(g, "check_run.details_url")));
	add_annotation(g, "run_url", at_text(g, "check_run.html_url"));
	annotate_pull(g, "check_run");
	g->d.generator_url = at_text(g, "check_run.html_url");
	return draft_build(g, &b);
}

/* A green suite says that all its app looked at is well. Those of Actions are one a workflow, and
 * do not say of which: they end their own alert only. */
int read_check_suite(struct delivery *g, struct why *out_why)
{
	struct build b = {.kind = "app", .app = at_text(g, "check_suite.app.slug")};
	int rc = need_object(g, "check_suite", out_why);

	if (!rc && !at(g, "check_suite.conclusion"))
		return ignore(g, "not_concluded");
	if (!rc)
		rc = need_sha(g, "check_suite.head_sha", &b.sha, out_why);
	if (!rc)
		rc = need_text(g, "check_suite.conclusion", &b.conclusion, out_why);
	if (!rc)
		rc = read_time(g, "check_suite.updated_at", &b.starts_ms, out_why);
	if (rc)
		return rc;
	b.ends_ms = b.starts_ms;
	b.unit = b.app && *b.app ? b.app : at_text(g, "check_suite.app.name");
	b.unit = b.unit && *b.unit ? b.unit : "checks";
	b.by_bot = bot_but_reporter(g, b.app);
	b.ends_all = !str_eq(b.unit, ACTIONS);
	b.branch = branch_or(g, "check_suite", at_text(g, "check_suite.head_branch"), b.sha);
	b.message = at_text(g, "check_suite.head_commit.message");
	annotate_pull(g, "check_suite");
	return draft_build(g, &b);
}

/* ---- commit statuses ---- */

/* The branches whose head it is; the default one goes before others. */
static const char *branch_of_status(const struct delivery *g, const char *sha)
{
	const char *main_branch = at_text(g, "repository.default_branch"), *found = NULL;
	const json_t *branch;
	size_t i;

	json_array_foreach(at(g, "branches"), i, branch)
	{
		const char *name = json_string_value(json_object_get(branch, "name"));

		if (!name || !*name)
			continue;
		if (!found || (main_branch && str_eq(name, main_branch)))
			found = name;
	}
	return found ? found : sha;
}

int read_status(struct delivery *g, struct why *out_why)
{
	struct build b = {.kind = "status"};
	const char *state, *run, *author = at_text(g, "commit.author.login");
	int rc = need_text(g, "context", &b.unit, out_why);

	if (!rc)
		rc = need_sha(g, "sha", &b.sha, out_why);
	if (!rc)
		rc = need_text(g, "state", &state, out_why);
	if (!rc)
		rc = read_time(g, "updated_at", &b.starts_ms, out_why);
	if (rc)
		return rc;
	if (str_eq(state, "pending"))
		return ignore(g, "not_concluded");
	b.ends_ms = b.starts_ms;
	b.conclusion = str_eq(state, "error") ? "failure" : state;
	b.job = b.unit;
	b.branch = branch_of_status(g, b.sha);
	b.message = at_text(g, "commit.commit.message");
	b.by_bot = author && strstr(author, "[bot]") && !login_in(&g->rules->allow_bots, author);
	run = run_of_url(g, at_text(g, "target_url"));
	/* Of a run of Actions, or of a system that only its own success speaks for. */
	b.app = run ? ACTIONS : "status";
	add_annotation(g, "run_url", at_text(g, "target_url"));
	add_annotation(g, "run_id", run);
	g->d.generator_url = at_text(g, "target_url");
	return draft_build(g, &b);
}
