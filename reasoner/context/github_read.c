#include "reasoner/context/source.h"

/* https://docs.github.com/rest (API version 2022-11-28) */

enum {
	ANNOTATIONS_MAX = 30,
	COMMENTS_MAX = 10,
	COMMITS_MAX = 10,
	BODY_MAX = 4000,
	PATCH_MAX = 12 << 10, /* of one file */
	MESSAGE_MAX = 1000,
};

static bool is_failure(const char *conclusion)
{
	return str_eq(conclusion, "failure") || str_eq(conclusion, "timed_out") ||
	       str_eq(conclusion, "cancelled") || str_eq(conclusion, "startup_failure");
}

const json_t *github_failed_job(const json_t *jobs, const char *name)
{
	const json_t *job, *best = NULL;
	size_t i;

	json_array_foreach(jobs, i, job)
	{
		const char *conclusion = answer_text(job, "conclusion");
		if (*name && str_eq(answer_text(job, "name"), name))
			return job;
		if (!is_failure(conclusion))
			continue;
		/* What was cancelled was so because of another, mostly. */
		if (!best || (str_eq(answer_text(best, "conclusion"), "cancelled") &&
			      !str_eq(conclusion, "cancelled")))
			best = job;
	}
	return best;
}

const char *github_failed_step(const json_t *job)
{
	const json_t *step;
	size_t i;

	json_array_foreach(json_object_get(job, "steps"), i, step)
	{
		if (is_failure(answer_text(step, "conclusion")))
			return answer_text(step, "name");
	}
	return "";
}

void github_read_steps(const json_t *job, struct buf *out)
{
	const json_t *step;
	size_t i;

	buf_printf(out, "job %.200s of workflow %.200s: %s\n", answer_text(job, "name"),
		   answer_text(job, "workflow_name"), answer_text(job, "conclusion"));
	json_array_foreach(json_object_get(job, "steps"), i, step)
	{
		if (!str_eq(answer_text(step, "conclusion"), "skipped"))
			buf_printf(out, "%" PRId64 ". %.200s: %s\n", answer_number(step, "number"),
				   answer_text(step, "name"), answer_text(step, "conclusion"));
	}
}

void github_read_annotations(const json_t *list, struct buf *out)
{
	const json_t *a;
	size_t i;

	json_array_foreach(list, i, a)
	{
		if (i >= ANNOTATIONS_MAX)
			break;
		buf_printf(out, "%s:%" PRId64 ": %s: ", answer_text(a, "path"),
			   answer_number(a, "start_line"), answer_text(a, "annotation_level"));
		if (*answer_text(a, "title"))
			buf_printf(out, "%.200s: ", answer_text(a, "title"));
		buf_printf(out, "%.*s\n", MESSAGE_MAX, answer_text(a, "message"));
	}
}

void github_read_diff(const json_t *files, struct buf *out)
{
	const json_t *f;
	size_t i;

	json_array_foreach(files, i, f)
	{
		const char *name = answer_text(f, "filename"), *patch = answer_text(f, "patch");
		const char *from = answer_text(f, "previous_filename");
		buf_printf(out, "--- %.500s (%s, +%" PRId64 " -%" PRId64 ")%s%.500s\n", name,
			   answer_text(f, "status"), answer_number(f, "additions"),
			   answer_number(f, "deletions"), *from ? " from " : "", from);
		size_t len = strlen(patch), kept = MIN(len, (size_t)PATCH_MAX);
		while (kept > 0 && kept < len && patch[kept - 1] != '\n')
			kept--;
		buf_add(out, patch, kept);
		if (kept < len)
			buf_printf(out, "[%zu of %zu bytes left out]\n", len - kept, len);
		else if (len)
			buf_add_char(out, '\n');
	}
}

void github_read_pull(const json_t *pull, struct buf *out)
{
	buf_printf(out, "#%" PRId64 " %.300s\n", answer_number(pull, "number"),
		   answer_text(pull, "title"));
	buf_printf(out,
		   "by %.64s, %s%s, %.200s into %.200s, +%" PRId64 " -%" PRId64 " in %" PRId64
		   " files\n",
		   answer_text(pull, "user.login"), answer_text(pull, "state"),
		   json_is_true(json_object_get(pull, "draft")) ? " draft" : "",
		   answer_text(pull, "head.ref"), answer_text(pull, "base.ref"),
		   answer_number(pull, "additions"), answer_number(pull, "deletions"),
		   answer_number(pull, "changed_files"));
	if (*answer_text(pull, "mergeable_state"))
		buf_printf(out, "mergeable: %s\n", answer_text(pull, "mergeable_state"));
	buf_printf(out, "\n%.*s\n", BODY_MAX, answer_text(pull, "body"));
}

/* The newest are the last of the list. */
void github_read_comments(const json_t *list, struct buf *out)
{
	size_t n = json_array_size(list);

	for (size_t i = n > COMMENTS_MAX ? n - COMMENTS_MAX : 0; i < n; i++) {
		const json_t *c = json_array_get(list, i);
		buf_printf(out, "%.64s at %s:\n%.*s\n", answer_text(c, "user.login"),
			   answer_text(c, "created_at"), MESSAGE_MAX, answer_text(c, "body"));
	}
}

void github_read_commits(const json_t *list, struct buf *out)
{
	const json_t *c;
	size_t i;

	json_array_foreach(list, i, c)
	{
		const char *message = answer_text(c, "commit.message");
		if (i >= COMMITS_MAX)
			break;
		buf_printf(out, "%.12s %s %.64s: %.*s\n", answer_text(c, "sha"),
			   answer_text(c, "commit.author.date"),
			   answer_text(c, "commit.author.name"),
			   (int)MIN(strcspn(message, "\n"), (size_t)200), message);
	}
}
