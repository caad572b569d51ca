/* Checks of a commit, merging when they have passed, and taking a merge back. */
#include "executor/runners/github_private.h"

#include "common/mem.h"

enum {
	NAMES_BYTES = 1500,
	CAME_MAX = 50, /* commits that one pull request may have brought by rebasing */
	PULLS_OF_COMMIT = 100,
};

/* ---- checks ---- */

struct checks {
	size_t passed, failed, pending;
	struct buf names; /* of those that failed */
};

static bool one_of(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(word, words[i]))
			return true;
	return false;
}

static void count(struct checks *c, bool done, bool good, const char *name)
{
	c->pending += !done;
	c->passed += done && good;
	c->failed += done && !good;
	if (done && !good && c->names.len < NAMES_BYTES)
		buf_printf(&c->names, "%s%.100s", c->names.len ? ", " : "", name);
}

static int add_check_runs(struct github_work *w, const char *sha, struct checks *c)
{
	static const char *const good[] = {"success", "neutral", "skipped"};
	json_t *runs = NULL;
	auto_buf path = {0};
	github_path(&path, "/repos/{+}/commits/{}/check-runs?filter=latest&per_page=100",
		    w->job->target.repository, sha);
	int rc = github_get_all(w, buf_str(&path), "check_runs", GITHUB_CHECKS_MAX, &runs);
	const json_t *item;
	size_t i;
	json_array_foreach(runs, i, item)
	{
		const char *conclusion = github_text(item, "conclusion");
		count(c, str_eq(github_text(item, "status"), "completed"),
		      one_of(conclusion, good, ARRAY_SIZE(good)), github_text(item, "name"));
	}
	json_decref(runs);
	return rc;
}

/* Without any status the combined state is "pending", which means nothing: each counts for itself.
 */
static int add_statuses(struct github_work *w, const char *sha, struct checks *c)
{
	json_t *statuses = NULL;
	auto_buf path = {0};
	github_path(&path, "/repos/{+}/commits/{}/status?per_page=100", w->job->target.repository,
		    sha);
	int rc = github_get_all(w, buf_str(&path), "statuses", GITHUB_CHECKS_MAX, &statuses);
	const json_t *item;
	size_t i;
	json_array_foreach(statuses, i, item)
	{
		const char *state = github_text(item, "state");
		count(c, !str_eq(state, "pending"), str_eq(state, "success"),
		      github_text(item, "context"));
	}
	json_decref(statuses);
	return rc;
}

static int read_checks(struct github_work *w, const char *sha, struct checks *c)
{
	buf_release(&c->names);
	*c = (struct checks){0};
	int rc = add_check_runs(w, sha, c);
	return rc ? rc : add_statuses(w, sha, c);
}

/* A commit that nobody has begun to check yet has no checks: that is not the same as passing. */
void github_run_wait(struct github_work *w)
{
	struct checks c = {0};
	bool settled = false;
	int rc = 0;
	do {
		rc = read_checks(w, w->job->sha, &c);
		settled = c.pending == 0 && c.passed + c.failed > 0;
	} while (!rc && !settled && github_pause(w, w->job->interval_ms));
	if (!rc) {
		w->result->state = RUN_ENDED;
		w->result->exit_code = settled && c.failed == 0 ? 0 : 1;
		buf_printf(&w->result->output, "checks: %zu passed, %zu failed, %zu not over%s%s\n",
			   c.passed, c.failed, c.pending, c.failed ? "; failed: " : "",
			   buf_str(&c.names));
	}
	buf_release(&c.names);
}

/* ---- merging ---- */

static int get_pull(struct github_work *w, struct github_answer *out)
{
	auto_buf path = {0};
	auto_free char *number = mem_printf("%" PRId64, w->job->number);
	github_path(&path, "/repos/{+}/pulls/{}", w->job->target.repository, number);
	return github_send(w, "GET", buf_str(&path), NULL, out);
}

static bool is_merged(const struct github_answer *pull)
{
	return json_is_true(json_object_get(pull->json, "merged"));
}

static int may_merge(struct github_work *w, const struct github_answer *pull)
{
	const char *head = github_text(json_object_get(pull->json, "head"), "sha");
	struct checks c = {0};
	if (!str_eq(head, w->job->sha))
		return github_fail(w, "a person pushed: the head is %s, not %s", head, w->job->sha);
	if (json_is_true(json_object_get(pull->json, "draft")))
		return github_fail(w, "it is a draft");
	int rc = read_checks(w, head, &c);
	if (!rc && c.failed)
		rc = github_fail(w, "checks failed: %s", buf_str(&c.names));
	else if (!rc && (c.pending || c.passed == 0))
		rc = github_fail(w, "checks are not over: wait for them first");
	buf_release(&c.names);
	return rc;
}

void github_run_merge(struct github_work *w)
{
	auto_github_answer pull = {0};
	auto_buf path = {0};
	auto_free char *number = mem_printf("%" PRId64, w->job->number);
	if (get_pull(w, &pull))
		return;
	if (is_merged(&pull)) {
		github_done(w, pull.json, "is merged already");
		return;
	}
	if (may_merge(w, &pull))
		return;
	github_path(&path, "/repos/{+}/pulls/{}/merge", w->job->target.repository, number);
	if (github_send(w, "PUT", buf_str(&path), w->job->body, NULL) == 0)
		github_done(w, pull.json, "merged");
}

void github_run_merged(struct github_work *w)
{
	auto_github_answer pull = {0};
	if (get_pull(w, &pull))
		return;
	if (is_merged(&pull))
		github_done(w, pull.json, "is merged");
	else
		github_fail(w, "it is not merged");
}

/* ---- taking back ---- */

/* The id that the answer's object has under "sha". */
static int get_sha(struct github_work *w, const struct buf *path, const char *object, char **out)
{
	auto_github_answer a = {0};
	int rc = github_send(w, "GET", buf_str(path), NULL, &a);
	if (rc)
		return rc;
	const json_t *parent = json_object_get(a.json, object);
	if (json_is_array(parent))
		parent = json_array_get(parent, 0);
	*out = mem_strdup(github_text(parent, "sha"));
	return git_sha_valid(*out)
		       ? 0
		       : github_fail(w, "GitHub does not say where %s is", buf_str(path));
}

static int branch_head(struct github_work *w, const char *branch, char **out)
{
	auto_buf path = {0};
	github_path(&path, "/repos/{+}/git/ref/heads/{+}", w->job->target.repository, branch);
	return get_sha(w, &path, "object", out);
}

static int of_commit(struct github_work *w, const char *commit, const char *object, char **out)
{
	auto_buf path = {0};
	github_path(&path, "/repos/{+}/git/commits/{}", w->job->target.repository, commit);
	return get_sha(w, &path, object, out);
}

/* Going back to the tree before the merge takes back others' work, too, when some came after. */
static int still_last(struct github_work *w, const char *base, const char *merge)
{
	auto_free char *now = NULL;
	int rc = branch_head(w, base, &now);
	if (!rc && !str_eq(now, merge))
		rc = github_fail(w,
				 "%s has moved on since the merge, so going back would take other "
				 "work back, too: take it back by hand (git revert %.12s)",
				 base, merge);
	return rc;
}

/* Did this commit, too, come with the pull request? */
static int came_with_it(struct github_work *w, const char *commit, bool *out)
{
	json_t *pulls = NULL;
	auto_buf path = {0};
	github_path(&path, "/repos/{+}/commits/{}/pulls?per_page=100", w->job->target.repository,
		    commit);
	int rc = github_get_all(w, buf_str(&path), NULL, PULLS_OF_COMMIT, &pulls);
	const json_t *item;
	size_t i;
	*out = false;
	json_array_foreach(pulls, i, item)
	{
		bool merged = *github_text(item, "merged_at") != 0;
		int64_t number = json_integer_value(json_object_get(item, "number"));
		*out = *out || (merged && number == w->job->number);
	}
	json_decref(pulls);
	return rc;
}

/* The commit that the branch was at before: a merge that rebases brings several. */
static int commit_before(struct github_work *w, const char *merge, char **out)
{
	bool came = true;
	auto_free char *at = mem_strdup(merge);
	for (int i = 0; i < CAME_MAX; i++) {
		char *parent = NULL;
		int rc = of_commit(w, at, "parents", &parent);
		if (!rc)
			rc = came_with_it(w, parent, &came);
		free(at);
		at = parent;
		if (rc)
			return rc;
		if (came)
			continue;
		*out = at;
		at = NULL;
		return 0;
	}
	return github_fail(w, "it brought more than %d commits: take it back by hand", CAME_MAX);
}

static int tree_before(struct github_work *w, const char *merge, char **out)
{
	auto_free char *before = NULL;
	int rc = commit_before(w, merge, &before);
	if (!rc)
		rc = of_commit(w, before, "tree", out);
	return rc;
}

static int make_revert(struct github_work *w, const char *base, const char *merge, char **out)
{
	auto_buf commits = {0};
	auto_free char *tree = NULL;
	auto_github_answer a = {0};
	int rc = still_last(w, base, merge);
	if (!rc)
		rc = tree_before(w, merge, &tree);
	if (rc)
		return rc;
	auto_free char *message = mem_printf("Revert pull request #%" PRId64, w->job->number);
	json_t *body =
		json_pack("{s:s, s:s, s:[s]}", "message", message, "tree", tree, "parents", merge);
	github_path(&commits, "/repos/{+}/git/commits", w->job->target.repository);
	rc = github_send(w, "POST", buf_str(&commits), body, &a);
	json_decref(body);
	if (!rc)
		*out = mem_strdup(github_text(a.json, "sha"));
	return rc;
}

static void open_revert(struct github_work *w, const char *base, const char *sha, const char *title)
{
	const char *repository = w->job->target.repository;
	auto_buf refs = {0}, pulls = {0};
	auto_github_answer a = {0};
	auto_free char *head = mem_printf("revert-%" PRId64 "-%.8s", w->job->number, sha);
	auto_free char *ref = mem_printf("refs/heads/%s", head);
	auto_free char *name = mem_printf("Revert \"%.200s\"", title);
	auto_free char *text = mem_printf("This takes back #%" PRId64 ".", w->job->number);
	json_t *body = json_pack("{s:s, s:s}", "ref", ref, "sha", sha);
	github_path(&refs, "/repos/{+}/git/refs", repository);
	int rc = github_send(w, "POST", buf_str(&refs), body, NULL);
	json_decref(body);
	if (rc)
		return;
	body = json_pack("{s:s, s:s, s:s, s:s}", "title", name, "head", head, "base", base, "body",
			 text);
	github_path(&pulls, "/repos/{+}/pulls", repository);
	rc = github_send(w, "POST", buf_str(&pulls), body, &a);
	json_decref(body);
	if (!rc)
		github_done(w, a.json, "opened");
}

void github_run_revert(struct github_work *w)
{
	auto_github_answer pull = {0};
	auto_free char *sha = NULL;
	if (get_pull(w, &pull))
		return;
	const char *base = github_text(json_object_get(pull.json, "base"), "ref");
	if (!is_merged(&pull)) {
		github_fail(w, "pull request %" PRId64 " is not merged", w->job->number);
		return;
	}
	if (make_revert(w, base, github_text(pull.json, "merge_commit_sha"), &sha) == 0)
		open_revert(w, base, sha, github_text(pull.json, "title"));
}
