/* From a pinned commit and edits to a commit that the checks have passed. */
#include "executor/runners/git_private.h"

#include <fcntl.h>

#include "common/mem.h"
#include "executor/edits/edits.h"
#include "executor/guard.h"

enum { RECORD_BYTES = 4096, GUARD_TEXT_BYTES = 2000 };
#define RECORD "record.json"

/* ---- the record ---- */

void git_record_release(struct git_record *r)
{
	free(r->target);
	free(r->base);
	free(r->commit);
	free(r->incident);
	free(r->branch);
	*r = (struct git_record){0};
}

int git_record_write(struct git_work *w, const struct git_record *r)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s?}", "target", r->target, "base", r->base,
			      "commit", r->commit, "incident", r->incident, "branch", r->branch);
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : mem_strdup("");
	json_decref(o);
	int rc = workspace_write(&w->ws, RECORD, text, strlen(text), &w->result->why);
	return rc ? ERR_REJECTED : 0;
}

static char *text_of(const json_t *o, const char *name)
{
	return mem_strdup(json_string_value(json_object_get(o, name)));
}

int git_record_read(struct git_work *w, struct git_record *out)
{
	auto_buf text = {0};
	struct why why = {0};
	*out = (struct git_record){0};
	if (workspace_find(w->limits->config->stage.state_dir, w->limits->plan, &w->ws, &why) ||
	    workspace_read(&w->ws, RECORD, RECORD_BYTES, &text, &why))
		return git_fail(w, "this plan has no proven fix here: run code_fix first (%s)",
				why.text);
	json_t *o = json_loadb(text.data, text.len, 0, NULL);
	*out = (struct git_record){.target = text_of(o, "target"),
				   .base = text_of(o, "base"),
				   .commit = text_of(o, "commit"),
				   .incident = text_of(o, "incident"),
				   .branch = text_of(o, "branch")};
	json_decref(o);
	if (!out->target || !out->commit || !out->base || !out->incident)
		return git_fail(w, "the plan's record of its fix is unreadable");
	if (!str_eq(out->target, w->job->target.id))
		return git_fail(w, "this plan's fix is for %s", out->target);
	return 0;
}

/* ---- cloning ---- */

static int make_dirs(struct git_work *w)
{
	static const char *const names[] = {"git", "tree", "check", "out"};
	int rc = workspace_open(w->limits->config->stage.state_dir, w->limits->plan, &w->ws,
				&w->result->why);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(names); i++)
		rc = workspace_fresh(&w->ws, names[i], w->ids.uid, w->ids.gid, &w->result->why);
	return rc ? ERR_REJECTED : git_configure(w);
}

/* One commit without its history; from a server that gives out no single commits, the branch. */
static int fetch(struct git_work *w)
{
	const struct git_job *j = w->job;
	auto_git_said said = {0};
	int rc = GIT(w, GIT_REMOTE, &said, "fetch", "--quiet", "--no-tags", "--depth=1",
		     "--filter=blob:none", "origin", j->sha);
	if (rc || said.exit_code == 0)
		return rc;
	if (!*j->branch)
		return git_fail(w, "cannot fetch %s: %s", j->sha, git_last_line(&said));
	auto_free char *ref = mem_printf("refs/heads/%s", j->branch);
	return GIT_MUST(w, GIT_REMOTE, "cannot fetch the branch", "fetch", "--quiet", "--no-tags",
			"--filter=blob:none", "origin", ref);
}

static int read_head(struct git_work *w, char out[static GIT_SHA_LEN + 1])
{
	auto_git_said said = {0};
	int rc = GIT(w, GIT_LOCAL, &said, "rev-parse", "--verify", "--quiet", "HEAD^{commit}");
	if (rc)
		return rc;
	if (said.exit_code != 0 || said.text.len < GIT_SHA_LEN)
		return git_fail(w, "the commit is not there");
	memcpy(out, said.text.data, GIT_SHA_LEN);
	out[GIT_SHA_LEN] = 0;
	return git_sha_valid(out) ? 0 : git_fail(w, "git does not say which commit this is");
}

static int clone_pinned(struct git_work *w)
{
	char head[GIT_SHA_LEN + 1];
	int rc = GIT_MUST(w, GIT_LOCAL, "cannot make a repository", "init", "--quiet",
			  "--template=", "--initial-branch=healbus");
	if (!rc)
		rc = fetch(w);
	/* The files come now, from the remote that keeps them. */
	if (!rc)
		rc = GIT_MUST(w, GIT_REMOTE, "cannot check out the commit", "checkout", "--quiet",
			      "--force", "--no-recurse-submodules", "--detach", w->job->sha);
	if (!rc)
		rc = read_head(w, head);
	if (!rc && !str_eq(head, w->job->sha))
		rc = git_fail(w, "the remote gave %s for %s", head, w->job->sha);
	return rc;
}

int git_clone(struct git_work *w)
{
	int rc = make_dirs(w);
	if (!rc)
		rc = clone_pinned(w);
	w->result->not_tried = rc != 0;
	return rc;
}

/* ---- editing ---- */

static int write_paths(struct git_work *w, const struct edits *e)
{
	auto_buf paths = {0};
	for (size_t i = 0; i < e->n; i++) {
		buf_add(&paths, e->files[i].path, strlen(e->files[i].path) + 1);
		if (e->files[i].old_path)
			buf_add(&paths, e->files[i].old_path, strlen(e->files[i].old_path) + 1);
	}
	return workspace_write(&w->ws, "in/paths", paths.data, paths.len, &w->result->why)
		       ? ERR_REJECTED
		       : 0;
}

static int apply_edits(struct git_work *w)
{
	struct edits e = {0};
	struct why why = {0};
	auto_fd int tree =
		openat(w->ws.fd, "tree", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_buf report = {0};
	int rc = edits_parse(w->job->edits, strlen(w->job->edits), &e, &why);
	if (!rc)
		rc = edits_apply(&e, tree, &report, &why);
	buf_add(&w->result->output, buf_str(&report), MIN(report.len, (size_t)CHECK_TEXT_BYTES));
	rc = rc ? git_fail(w, "the edits do not apply: %s", why.text) : write_paths(w, &e);
	edits_release(&e);
	return rc;
}

static int write_message(struct git_work *w)
{
	const struct git_job *j = w->job;
	auto_buf text = {0};
	buf_add_str(&text, *j->message ? j->message : "Fix the build");
	buf_add_str(&text, "\n");
	if (*j->incident)
		buf_printf(&text, "\n%s: %s\n", GIT_TRAILER, j->incident);
	return workspace_write(&w->ws, "in/message", text.data, text.len, &w->result->why)
		       ? ERR_REJECTED
		       : 0;
}

/* Only what the edits name goes into the commit, ignored or not. */
static int commit(struct git_work *w, char out[static GIT_SHA_LEN + 1])
{
	auto_free char *paths = mem_printf("--pathspec-from-file=%s/in/paths", w->ws.path);
	auto_free char *message = mem_printf("--file=%s/in/message", w->ws.path);
	auto_git_said said = {0};
	int rc = write_message(w);
	if (!rc)
		rc = GIT_MUST(w, GIT_LOCAL, "cannot stage the edits", "add", "--all", "--force",
			      "--pathspec-file-nul", paths);
	if (!rc)
		rc = GIT(w, GIT_LOCAL, &said, "diff", "--cached", "--quiet", "--no-ext-diff");
	if (!rc && said.exit_code == 0)
		rc = git_fail(w, "the edits change nothing");
	if (!rc)
		rc = GIT_MUST(w, GIT_LOCAL, "cannot commit", "commit", "--quiet", "--no-verify",
			      "--no-gpg-sign", "--cleanup=verbatim", message);
	return rc ? rc : read_head(w, out);
}

/* ---- looking at it ---- */

/* The diff of what was committed, not of what was asked for. */
static int read_patch(struct git_work *w, const char *head, struct buf *out)
{
	auto_free char *output = mem_printf("--output=%s/out/patch", w->ws.path);
	int rc = GIT_MUST(w, GIT_LOCAL, "cannot compare", "diff", "--no-ext-diff", "--no-textconv",
			  "--no-color", "--full-index", "--find-renames", "--ignore-submodules=all",
			  "--src-prefix=a/", "--dst-prefix=b/", output, w->job->sha, head);
	if (!rc && workspace_read(&w->ws, "out/patch", WIRE_PATCH_MAX, out, &w->result->why))
		rc = git_fail(w, "the patch cannot be looked at: %s", w->result->why.text);
	if (!rc && memchr(buf_str(out), 0, out->len))
		rc = git_fail(w, "the patch is binary");
	if (!rc)
		w->result->patch = mem_strdup(buf_str(out));
	return rc;
}

/* The commit is to hold what the plan's edits name, whatever git or the repository made of them. An
 * agent has none: what it changed becomes a plan's. */
static int expect_paths(const struct git_job *j, struct guard_policy *policy, struct why *out_why)
{
	struct edits e = {0};
	int rc = j->edits ? edits_parse(j->edits, strlen(j->edits), &e, out_why) : 0;
	for (size_t i = 0; !rc && i < e.n; i++) {
		guard_policy_plan(policy, e.files[i].path);
		if (e.files[i].old_path)
			guard_policy_plan(policy, e.files[i].old_path);
	}
	edits_release(&e);
	return rc;
}

int git_review(struct git_work *w, const struct buf *patch)
{
	struct guard_changes changes = {0};
	struct guard_policy policy = {0};
	struct guard_report report = {0};
	struct why why = {0};
	auto_buf text = {0};
	int rc = guard_changes_from_diff(buf_str(patch), patch->len, &changes, &why);
	if (!rc)
		rc = guard_policy_parse(w->job->target.guard, NULL, &policy, &why);
	if (!rc)
		rc = expect_paths(w->job, &policy, &why);
	if (rc) {
		rc = git_fail(w, "the guard cannot read the patch: %s", why.text);
	} else {
		guard_review(&policy, changes.items, changes.n, &report);
		guard_report_text(&report, &text);
		buf_add(&w->result->output, buf_str(&text),
			MIN(text.len, (size_t)GUARD_TEXT_BYTES));
		/* Who agreed to the plan saw what the edits say, and nothing of this. */
		bool unasked =
			report.verdict == GUARD_ASK && w->job->level < HEALBUS__LEVEL__LEVEL_HARD;
		if (report.verdict == GUARD_REFUSE || unasked)
			rc = git_fail(w, "the guard %s the patch: %.*s",
				      unasked ? "would have asked about" : "refuses",
				      (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
	}
	guard_report_release(&report);
	guard_policy_release(&policy);
	guard_changes_release(&changes);
	return rc;
}

/* The tree that the checks see is what git makes of the commit, in a directory of its own. */
static int make_check_tree(struct git_work *w, const char *head)
{
	auto_free char *tree = mem_printf("--work-tree=%s/check", w->ws.path);
	return GIT_MUST(w, GIT_LOCAL, "cannot lay out the commit", tree, "checkout", "--quiet",
			"--force", "--no-recurse-submodules", head, "--", ".");
}

static void prove(struct git_work *w, const char *head)
{
	const struct git_job *j = w->job;
	if (make_check_tree(w, head) || git_check_all(w))
		return;
	struct git_record record = {.target = j->target.id,
				    .base = j->sha,
				    .commit = (char *)head,
				    .incident = j->incident};
	if (git_record_write(w, &record))
		return;
	w->result->state = RUN_ENDED;
	w->result->exit_code = 0;
	buf_printf(&w->result->output, "commit %s on %s\n", head, j->sha);
}

void git_fix(struct git_work *w)
{
	char head[GIT_SHA_LEN + 1];
	auto_buf patch = {0};
	int rc = git_clone(w);
	if (!rc)
		rc = apply_edits(w);
	if (!rc)
		rc = commit(w, head);
	if (!rc)
		rc = read_patch(w, head, &patch);
	if (!rc)
		rc = git_review(w, &patch);
	if (!rc)
		prove(w, head);
}

void git_fixed(struct git_work *w)
{
	auto_git_record record = {0};
	if (git_record_read(w, &record))
		return;
	w->result->state = RUN_ENDED;
	buf_printf(&w->result->output, "commit %s on %s\n", record.commit, record.base);
}
