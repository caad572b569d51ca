#include "reasoner/context/source.h"

/* https://docs.github.com/rest; what each answer means is in github_read.c. */

enum {
	COMMENTS = 50,
	COMMITS = 10,
	RUNS = 5,
	SHA_LEN = 40,
};

/* ---- calls ---- */

/* The first may have to make an installation's token, with two more calls. */
static int64_t call_ms(struct gathering *g)
{
	int64_t left = gathering_left_ms(g);

	return g->calls++ ? left : MAX(left / 3, (int64_t)1);
}

int github_get(struct gathering *g, const char *path, json_t **out, struct why *out_why)
{
	auto_github_answer a = {0};
	struct github_request req = {.http = g->http,
				     .path = path,
				     .repository = g->ask->repository,
				     .installation_id = g->ask->installation_id,
				     .timeout_ms = call_ms(g)};
	int rc = github_call(g->config->github, &req, &a, out_why);

	if (!rc && !a.json)
		rc = why_set(out_why, ERR_INVALID, "answered what is no JSON");
	if (!rc) {
		*out = a.json;
		a.json = NULL;
	}
	return rc;
}

int github_download(struct gathering *g, const struct bytes_wanted *wanted, struct buf *out,
		    struct why *out_why)
{
	auto_github_answer a = {0};
	struct github_request req = {.http = g->http,
				     .path = wanted->path,
				     .accept = wanted->accept,
				     .repository = g->ask->repository,
				     .installation_id = g->ask->installation_id,
				     .timeout_ms = call_ms(g),
				     .max_bytes = wanted->max,
				     .download = true};
	int rc = github_call(g->config->github, &req, &a, out_why);

	if (!rc || rc == ERR_TOO_LARGE) {
		buf_release(out);
		*out = a.raw;
		a.raw = (struct buf){0};
	}
	return rc;
}

/* Asks for one thing and hands it to a reader: one item. */
static int get_item(struct gathering *g, const char *path, const char *title,
		    void (*read)(const json_t *, struct buf *))
{
	auto_buf text = {0};
	json_t *answer = NULL;
	struct why why = {0};
	int rc = github_get(g, path, &answer, &why);

	if (!rc) {
		read(answer, &text);
		found_item(g, title, buf_str(&text), text.len);
	} else {
		found_missing(g, title, rc, &why);
	}
	json_decref(answer);
	return rc;
}

static void set_text(char **field, const struct gathering *g, const char *value)
{
	if (!*value)
		return;
	free(*field);
	*field = text_line(g->config->redactor, value, CONTEXT_TITLE_MAX_BYTES);
}

/* ---- the job that failed ---- */

static int find_run(struct gathering *g, int64_t *out_run, struct why *out_why)
{
	auto_buf path = {0};
	json_t *runs = NULL;
	const json_t *run;
	size_t i;

	*out_run = g->ask->run_id;
	if (*out_run || strlen(g->ask->sha) != SHA_LEN)
		return 0;
	github_path(&path, "/repos/{+}/actions/runs?head_sha={}&status=failure", g->ask->repository,
		    g->ask->sha);
	buf_printf(&path, "&per_page=%d", RUNS);
	int rc = github_get(g, buf_str(&path), &runs, out_why);
	json_array_foreach(json_object_get(runs, "workflow_runs"), i, run)
	{
		bool named = str_eq(answer_text(run, "name"), g->ask->workflow);
		if (!*out_run || named)
			*out_run = answer_number(run, "id");
	}
	json_decref(runs);
	return rc;
}

static void jobs_path(const struct gathering *g, int64_t run, struct buf *out)
{
	bool attempt = g->ask->run_attempt > 0 && run == g->ask->run_id;

	github_path(out, "/repos/{+}", g->ask->repository);
	if (attempt)
		buf_printf(out, "/actions/runs/%" PRId64 "/attempts/%" PRId64 "/jobs?per_page=100",
			   run, g->ask->run_attempt);
	else
		buf_printf(out, "/actions/runs/%" PRId64 "/jobs?filter=latest&per_page=100", run);
}

/* By its id when the event said it, else by the run's, else by the commit's. *out: none when NULL.
 */
static int find_job(struct gathering *g, int64_t *out_run, json_t **out, struct why *out_why)
{
	auto_buf path = {0};
	json_t *answer = NULL;
	int rc = 0;

	*out_run = g->ask->run_id;
	if (g->ask->job_id) {
		github_path(&path, "/repos/{+}", g->ask->repository);
		buf_printf(&path, "/actions/jobs/%" PRId64, g->ask->job_id);
		rc = github_get(g, buf_str(&path), out, out_why);
		if (!rc && !*out_run)
			*out_run = answer_number(*out, "run_id");
		return rc;
	}
	rc = find_run(g, out_run, out_why);
	if (rc || !*out_run)
		return rc;
	jobs_path(g, *out_run, &path);
	rc = github_get(g, buf_str(&path), &answer, out_why);
	*out = json_incref(
		(json_t *)github_failed_job(json_object_get(answer, "jobs"), g->ask->job));
	json_decref(answer);
	return rc;
}

/* ---- its log ---- */

static int archived_log(struct gathering *g, int64_t run, const char *job, struct buf *out,
			struct why *out_why)
{
	auto_buf path = {0}, zip = {0};

	github_path(&path, "/repos/{+}", g->ask->repository);
	buf_printf(&path, "/actions/runs/%" PRId64 "/logs", run);
	struct bytes_wanted wanted = {buf_str(&path), NULL, CONTEXT_LOG_FETCH_MAX_BYTES};
	int rc = github_download(g, &wanted, &zip, out_why);
	if (rc)
		return rc;
	buf_reset(out);
	rc = zip_job_log(buf_str(&zip), zip.len, job, CONTEXT_LOG_FETCH_MAX_BYTES, out);
	if (rc && rc != ERR_TOO_LARGE)
		return why_set(out_why, rc, "the run's archive has no readable log of this job");
	return rc;
}

static void take_log(struct gathering *g, const struct buf *raw, int rc)
{
	auto_buf clean = {0}, safe = {0};

	text_clean(buf_str(raw), raw->len, &clean);
	redact(g->config->redactor, buf_str(&clean), clean.len, &safe);
	size_t cut = job_log_keep(buf_str(&safe), safe.len, (size_t)g->config->log_max_bytes,
				  g->step ? g->step : "", &g->log);
	if (cut)
		found_line(g, "github: log of %s, %zu bytes, %zu of them left out",
			   g->job ? g->job : "the job", safe.len, cut);
	else
		found_line(g, "github: log of %s, %zu bytes", g->job ? g->job : "the job",
			   safe.len);
	if (rc == ERR_TOO_LARGE)
		found_line(g, "github: the log goes on behind its first %d MiB",
			   CONTEXT_LOG_FETCH_MAX_BYTES >> 20);
}

static void add_log(struct gathering *g, int64_t run, int64_t job_id)
{
	auto_buf path = {0}, raw = {0};
	struct why why = {0}, second = {0};
	int rc = ERR_NOT_FOUND;

	if (job_id) {
		github_path(&path, "/repos/{+}", g->ask->repository);
		buf_printf(&path, "/actions/jobs/%" PRId64 "/logs", job_id);
		rc = github_download(
			g,
			&(struct bytes_wanted){buf_str(&path), NULL, CONTEXT_LOG_FETCH_MAX_BYTES},
			&raw, &why);
	}
	if (rc && !is_away(rc) && run) {
		int archived = archived_log(g, run, g->job ? g->job : g->ask->job, &raw, &second);
		rc = archived == 0 || rc != ERR_TOO_LARGE ? archived : rc;
		why = archived && rc == archived ? second : why;
	}
	if (rc == 0 || rc == ERR_TOO_LARGE)
		take_log(g, &raw, rc);
	else
		found_missing(g, "log of the job", rc, &why);
}

static void add_annotations(struct gathering *g, int64_t job_id)
{
	auto_buf path = {0}, text = {0};
	json_t *answer = NULL;
	const json_t *a;
	struct why why = {0};
	size_t i;

	github_path(&path, "/repos/{+}", g->ask->repository);
	buf_printf(&path, "/check-runs/%" PRId64 "/annotations?per_page=50", job_id);
	int rc = github_get(g, buf_str(&path), &answer, &why);
	if (rc)
		found_missing(g, "annotations", rc, &why);
	json_array_foreach(answer, i, a)
	{
		const char *file = answer_text(a, "path");
		found_named(g, file, strlen(file), answer_number(a, "start_line"));
	}
	github_read_annotations(answer, &text);
	found_item(g, "annotations", buf_str(&text), text.len);
	json_decref(answer);
}

static int gather_job(struct gathering *g, struct why *out_why)
{
	auto_buf text = {0};
	json_t *job = NULL;
	struct why why = {0};
	int64_t run = 0;
	int rc = find_job(g, &run, &job, &why);

	if (is_away(rc) || rc == ERR_BUSY) {
		*out_why = why;
		return rc;
	}
	if (rc)
		found_missing(g, "the job", rc, &why);
	if (job) {
		set_text(&g->job, g, answer_text(job, "name"));
		set_text(&g->step, g, github_failed_step(job));
		set_text(&g->workflow, g, answer_text(job, "workflow_name"));
		set_text(&g->sha, g, *g->ask->sha ? "" : answer_text(job, "head_sha"));
		github_read_steps(job, &text);
		found_item(g, "steps of the job", buf_str(&text), text.len);
	}
	int64_t id = job ? answer_number(job, "id") : g->ask->job_id;
	if (id || run)
		add_log(g, run, id);
	if (job)
		add_annotations(g, id);
	json_decref(job);
	return 0;
}

/* ---- the change ---- */

static void take_files(struct gathering *g, const json_t *files, const char *title)
{
	auto_buf text = {0};
	const json_t *file;
	size_t i;

	json_array_foreach(files, i, file)
	{
		found_file(g, answer_text(file, "filename"));
		found_file(g, answer_text(file, "previous_filename"));
	}
	github_read_diff(files, &text);
	found_item(g, title, buf_str(&text), text.len);
	found_line(g, "github: %s, %zu files", title, json_array_size(files));
}

/* A pull request's files; else from the base; else the commit's own. */
static void gather_change(struct gathering *g)
{
	const struct context_ask *ask = g->ask;
	const char *base = g->base ? g->base : ask->base;
	const char *sha = g->sha ? g->sha : ask->sha;
	int64_t pr = g->pr ? g->pr : ask->pr;
	auto_buf path = {0};
	json_t *answer = NULL;
	struct why why = {0};
	const char *title = "diff of the commit";

	github_path(&path, "/repos/{+}", ask->repository);
	if (pr) {
		buf_printf(&path, "/pulls/%" PRId64 "/files?per_page=100", pr);
		title = "diff of the pull request";
	} else if (*base && *sha && !str_eq(base, ask->branch)) {
		github_path(&path, "/compare/{}...{}?per_page=1", base, sha);
		title = "diff from the base";
	} else if (*sha) {
		github_path(&path, "/commits/{}", sha);
	} else {
		return;
	}
	int rc = github_get(g, buf_str(&path), &answer, &why);
	if (rc)
		found_missing(g, title, rc, &why);
	else
		take_files(g, json_is_array(answer) ? answer : json_object_get(answer, "files"),
			   title);
	json_decref(answer);
}

/* Of a push to a branch that has one, the event does not say it. */
static void find_pull(struct gathering *g)
{
	const struct context_ask *ask = g->ask;
	auto_buf path = {0};
	json_t *list = NULL;
	const json_t *pull;
	size_t i;

	if (ask->pr || !*ask->sha || str_eq(ask->branch, ask->default_branch))
		return;
	github_path(&path, "/repos/{+}/commits/{}/pulls", ask->repository, ask->sha);
	if (github_get(g, buf_str(&path), &list, NULL) == 0) {
		json_array_foreach(list, i, pull)
		{
			if (!g->pr && str_eq(answer_text(pull, "state"), "open"))
				g->pr = answer_number(pull, "number");
		}
	}
	json_decref(list);
}

static void gather_pull(struct gathering *g)
{
	int64_t pr = g->pr ? g->pr : g->ask->pr;
	auto_buf path = {0}, comments = {0}, text = {0};
	json_t *pull = NULL;
	struct why why = {0};

	if (!pr)
		return;
	github_path(&path, "/repos/{+}", g->ask->repository);
	github_path(&comments, "/repos/{+}", g->ask->repository);
	buf_printf(&path, "/pulls/%" PRId64, pr);
	buf_printf(&comments, "/issues/%" PRId64 "/comments?per_page=%d", pr, COMMENTS);
	int rc = github_get(g, buf_str(&path), &pull, &why);
	if (rc) {
		found_missing(g, "pull request", rc, &why);
		return;
	}
	set_text(&g->base, g, answer_text(pull, "base.ref"));
	set_text(&g->default_branch, g, answer_text(pull, "base.repo.default_branch"));
	github_read_pull(pull, &text);
	found_item(g, "pull request", buf_str(&text), text.len);
	found_line(g, "github: pull request #%" PRId64, pr);
	if (answer_number(pull, "comments"))
		get_item(g, buf_str(&comments), "comments", github_read_comments);
	json_decref(pull);
}

static void gather_commits(struct gathering *g)
{
	auto_buf path = {0};
	const char *ref = *g->ask->branch ? g->ask->branch : g->ask->sha;

	github_path(&path, "/repos/{+}/commits?sha={}", g->ask->repository, ref);
	buf_printf(&path, "&per_page=%d", COMMITS);
	if (*ref)
		get_item(g, buf_str(&path), "recent commits", github_read_commits);
}

static bool wanted(const struct context_config *c, const struct context_ask *ask)
{
	return c->github && c->github_enabled && *ask->repository;
}

/* The log first: when time runs out, it is what counts. */
static int gather(struct gathering *g, struct why *out_why)
{
	struct why why = {0};
	int rc = gather_job(g, out_why);

	if (rc)
		return rc;
	rc = github_add_alert(g, &why);
	if (rc)
		found_missing(g, "security alert", rc, &why);
	find_pull(g);
	gather_pull(g);
	gather_change(g);
	gather_commits(g);
	github_add_files(g, g->sha ? g->sha : g->ask->sha);
	return 0;
}

const struct context_source context_github = {"github", CONTEXT_GITHUB, wanted, gather};
