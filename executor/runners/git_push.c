/* Pushes exactly the commit that was proven. A person's push wins: the remote moves the branch only
 * when it is where we think it is. */
#include "common/mem.h"
#include "executor/runners/git_private.h"

/* Who committed it, and for which incident. */
static const char signs[] = "--format=<%ce>%n%(trailers:key=" GIT_TRAILER ",valueonly)";

/* Is the remote's branch a commit that we made for this incident? */
static int is_ours(struct git_work *w, const struct git_record *r, bool *out)
{
	const char *branch = w->job->branch;
	auto_free char *ref = mem_printf("refs/heads/%s", branch);
	auto_git_said said = {0};
	*out = false;
	int rc = GIT_MUST(w, GIT_REMOTE, "cannot fetch the branch", "fetch", "--quiet", "--no-tags",
			  "--depth=1", "--filter=blob:none", "origin", ref);
	if (!rc)
		rc = GIT(w, GIT_LOCAL, &said, "log", "-1", "--no-color", signs, "FETCH_HEAD");
	if (rc || said.exit_code != 0 || !said.text.len)
		return rc;
	auto_free char *wanted =
		mem_printf("<%s>\n%s\n", w->limits->config->git_email, r->incident);
	*out = *r->incident && str_starts(said.text.data, wanted);
	return 0;
}

/* Where the branch must be for the push; "" when it must not exist. */
static int lease(struct git_work *w, const struct git_record *r, const char *now, const char **out)
{
	const struct git_job *j = w->job;
	bool ours = false;
	*out = now;
	if (*j->expect && !str_eq(j->expect, now))
		return git_fail(w, "a person pushed to %s: it is at %s, not at %s", j->branch,
				*now ? now : "nothing", j->expect);
	if (*j->expect || !*now)
		return 0;
	int rc = is_ours(w, r, &ours);
	if (!rc && !ours)
		rc = git_fail(w, "a person pushed to %s: it is at %s, which is not ours", j->branch,
			      now);
	return rc;
}

static void done(struct git_work *w, const struct git_record *r, const char *how)
{
	struct git_record with = *r;
	with.branch = w->job->branch;
	if (git_record_write(w, &with))
		return;
	w->result->state = RUN_ENDED;
	w->result->exit_code = 0;
	w->result->why = (struct why){0};
	buf_printf(&w->result->output, "%s %s: %s\n", w->job->branch, how, r->commit);
}

static bool rejected(const struct git_said *s)
{
	static const char *const words[] = {"stale info", "fetch first", "non-fast-forward",
					    "cannot lock ref", "reference already exists"};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (s->text.len && strstr(s->text.data, words[i]))
			return true;
	return false;
}

/* It was not said that it went well: the remote knows. */
static void settle(struct git_work *w, const struct git_record *r, struct git_said *said)
{
	char now[GIT_SHA_LEN + 1];
	if (git_remote_head(w, w->job->branch, now)) {
		w->result->state = RUN_UNKNOWN;
		return;
	}
	if (str_eq(now, r->commit))
		done(w, r, "is at");
	else if (rejected(said))
		git_fail(w, "a person pushed to %s meanwhile", w->job->branch);
	else
		git_fail(w, "the remote refused the push: %s", git_last_line(said));
}

static void send(struct git_work *w, const struct git_record *r, const char *expected)
{
	const char *branch = w->job->branch;
	auto_free char *held = mem_printf("--force-with-lease=refs/heads/%s:%s", branch, expected);
	auto_free char *spec = mem_printf("%s:refs/heads/%s", r->commit, branch);
	auto_git_said said = {0};
	int rc = GIT(w, GIT_REMOTE, &said, "push", "--porcelain", "--no-verify",
		     "--no-recurse-submodules", held, "origin", spec);
	if (!rc && said.exit_code == 0)
		done(w, r, "was pushed");
	else
		settle(w, r, &said);
}

void git_push(struct git_work *w)
{
	char now[GIT_SHA_LEN + 1];
	const char *expected = NULL;
	auto_git_record record = {0};
	if (git_record_read(w, &record))
		return;
	/* A remote that does not answer says nothing against what was proven. */
	w->result->not_tried = true;
	if (git_configure(w) || git_remote_head(w, w->job->branch, now))
		return;
	w->result->not_tried = false;
	if (str_eq(now, record.commit))
		done(w, &record, "is there already");
	else if (lease(w, &record, now, &expected) == 0)
		send(w, &record, expected);
}

void git_pushed(struct git_work *w)
{
	char now[GIT_SHA_LEN + 1];
	auto_git_record record = {0};
	if (git_record_read(w, &record) || git_configure(w))
		return;
	const char *branch = *w->job->branch ? w->job->branch : record.branch;
	if (!branch) {
		git_fail(w, "nothing was pushed yet");
		return;
	}
	if (git_remote_head(w, branch, now))
		return;
	w->result->state = RUN_ENDED;
	w->result->exit_code = str_eq(now, record.commit) ? 0 : 1;
	buf_printf(&w->result->output, "%s is at %s, the proven commit is %s\n", branch,
		   *now ? now : "nothing", record.commit);
}
