/* Clones, fixes, proves and pushes: everything git does runs in the sandbox, and what the
 * repository's checks could write is never read by git or followed by us. */
#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"
#include "executor/edits/edits.h"
#include "executor/guard.h"
#include "executor/runners/git_private.h"

struct git_spec {
	enum git_do what;
	bool given;
};

static void *spec_new(void)
{
	return mem_alloc(sizeof(struct git_spec));
}

static void spec_free(void *spec)
{
	free(spec);
}

/* ---- parsing ---- */

static int parse(void *spec, struct catalogue *cat, const struct yaml_node *node,
		 struct why *out_why)
{
	static const char *const names[] = {"fix", "fixed", "push", "pushed"};
	static const char *const keys[] = {"do"};
	struct git_spec *s = spec;
	const struct yaml_node *git = yaml_get(node, "git");
	const char *what = NULL;
	(void)cat;
	if (!git)
		return 0;
	int rc = yaml_only_keys(git, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = yaml_str(yaml_get(git, "do"), "do", &what, out_why);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(names); i++) {
		if (!str_eq(names[i], what))
			continue;
		s->what = (enum git_do)i;
		s->given = true;
		return 0;
	}
	return rc ? rc : yaml_error(git, out_why, "do: fix, fixed, push or pushed");
}

static int check(const void *spec, struct why *out_why)
{
	const struct git_spec *s = spec;
	return s->given ? 0 : why_set(out_why, ERR_CONFIG, "git: missing");
}

/* ---- rendering ---- */

static void rendered_free(void *rendered)
{
	struct git_job *j = rendered;
	if (!j)
		return;
	git_target_release(&j->target);
	free(j->sha);
	free(j->branch);
	free(j->expect);
	free(j->message);
	free(j->incident);
	free(j->edits);
	lines_release(&j->concerns);
	free(j);
}

static char *param(const struct render_input *in, const char *name)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(in->json, "params"), name));
	return mem_strdup(text ? text : "");
}

static void show_checks(const struct git_target *t, struct buf *out)
{
	for (size_t i = 0; i < t->n_checks; i++) {
		buf_add_str(out, i ? "; " : "");
		for (size_t k = 0; t->checks[i].argv[k]; k++)
			buf_printf(out, "%s%s", k ? " " : "", t->checks[i].argv[k]);
	}
}

static void show_files(const struct edits *e, struct buf *out)
{
	static const char *const kinds[] = {"", " (new)", " (deleted)", " (renamed)"};
	for (size_t i = 0; i < e->n; i++)
		buf_printf(out, "%s%s%s", i ? ", " : "", e->files[i].path, kinds[e->files[i].kind]);
}

/* The guard's first look, at what the plan says; the second is at what became of it. */
static int look_at(struct git_job *j, const struct edits *e, struct why *out_why)
{
	struct guard_changes changes = {0};
	struct guard_policy policy = {0};
	struct guard_report report = {0};
	int rc = guard_policy_parse(j->target.guard, NULL, &policy, out_why);
	if (rc)
		return rc;
	guard_changes_from_edits(e, &changes);
	guard_review(&policy, changes.items, changes.n, &report);
	j->level = guard_report_level(&report, &j->concerns);
	guard_report_release(&report);
	guard_changes_release(&changes);
	guard_policy_release(&policy);
	return 0;
}

static Healbus__Level inspect(const void *rendered, struct lines *out)
{
	const struct git_job *j = rendered;
	for (size_t i = 0; i < j->concerns.n; i++)
		lines_add(out, "%s", j->concerns.items[i]);
	return j->level;
}

static int render_fix(struct git_job *j, struct buf *out, struct why *out_why)
{
	struct edits e = {0};
	uint8_t digest[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1];
	if (!git_sha_valid(j->sha))
		return why_set(out_why, ERR_INVALID, "parameter sha: must be a full commit id");
	if (*j->branch && !git_branch_valid(j->branch))
		return why_set(out_why, ERR_INVALID, "parameter branch: not a branch's name");
	if (j->target.n_checks == 0)
		return why_set(out_why, ERR_CONFIG,
			       "attributes.checks: none, so nothing could prove a fix");
	int rc = edits_parse(j->edits, strlen(j->edits), &e, out_why);
	if (!rc)
		rc = look_at(j, &e, out_why);
	if (!rc) {
		digest_sha256(j->edits, strlen(j->edits), digest);
		hex_encode(digest, sizeof(digest), hex);
		buf_printf(out, "fix %s at %s: change ", j->target.repository, j->sha);
		show_files(&e, out);
		buf_add_str(out, "; prove it by: ");
		show_checks(&j->target, out);
		buf_printf(out, "\nedits (%zu bytes, sha256 %s):\n%s", strlen(j->edits), hex,
			   j->edits);
	}
	edits_release(&e);
	return rc;
}

static int render_push(struct git_job *j, struct buf *out, struct why *out_why)
{
	if (!git_branch_valid(j->branch))
		return why_set(out_why, ERR_INVALID, "parameter branch: not a branch's name");
	if (*j->expect && !git_sha_valid(j->expect))
		return why_set(out_why, ERR_INVALID, "parameter expect: a full commit id or empty");
	buf_printf(out, "push the commit that this plan proved to branch %s of %s, which must ",
		   j->branch, j->target.url);
	if (*j->expect)
		buf_printf(out, "be at %s", j->expect);
	else
		buf_add_str(out, "not exist or be one of ours");
	return 0;
}

static int render_fixed(struct git_job *j, struct buf *out, struct why *out_why)
{
	(void)out_why;
	buf_printf(out, "is there a proven fix for %s in the plan's workspace?",
		   j->target.repository);
	return 0;
}

static int render_pushed(struct git_job *j, struct buf *out, struct why *out_why)
{
	if (*j->branch && !git_branch_valid(j->branch))
		return why_set(out_why, ERR_INVALID, "parameter branch: not a branch's name");
	buf_printf(out, "is branch %s of %s at the commit that this plan proved?", j->branch,
		   j->target.url);
	return 0;
}

static int (*const renderers[])(struct git_job *, struct buf *,
				struct why *) = {[GIT_DO_FIX] = render_fix,
						 [GIT_DO_FIXED] = render_fixed,
						 [GIT_DO_PUSH] = render_push,
						 [GIT_DO_PUSHED] = render_pushed};

static int render(const void *spec, const struct render_input *in, void **out, struct buf *out_text,
		  struct why *out_why)
{
	const struct git_spec *s = spec;
	struct git_job *j = mem_alloc(sizeof(*j));
	j->what = s->what;
	j->sha = param(in, "sha");
	j->branch = param(in, "branch");
	j->expect = param(in, "expect");
	j->message = param(in, "message");
	j->incident = param(in, "incident");
	j->edits = param(in, "edits");
	int rc = git_target_parse(json_object_get(in->json, "target"), &j->target, out_why);
	if (!rc)
		rc = renderers[j->what](j, out_text, out_why);
	if (rc) {
		rendered_free(j);
		return rc;
	}
	*out = j;
	return 0;
}

/* ---- running ---- */

int git_fail(struct git_work *w, const char *fmt, ...)
{
	char text[WHY_TEXT_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w->result->state = RUN_FAILED;
	w->result->why = (struct why){0};
	return why_set(&w->result->why, ERR_REJECTED, "%s", text);
}

int64_t git_left_ms(const struct git_work *w)
{
	return w->deadline_mono_ms - clock_mono_ms();
}

static void (*const acts[])(struct git_work *) = {[GIT_DO_FIX] = git_fix,
						  [GIT_DO_FIXED] = git_fixed,
						  [GIT_DO_PUSH] = git_push,
						  [GIT_DO_PUSHED] = git_pushed};

/* From here on a failure is the plan's own, unless it says otherwise. */
static void act(struct git_work *w)
{
	w->result->not_tried = false;
	acts[w->job->what](w);
}

static void run(const void *rendered, const struct run_limits *limits, struct run_result *result)
{
	struct git_work w = {.job = rendered,
			     .limits = limits,
			     .ws = WORKSPACE_NONE,
			     .deadline_mono_ms = clock_mono_ms() + limits->timeout_ms,
			     .result = result};
	result->state = RUN_FAILED;
	result->not_tried = true;
	if (sandbox_level() == SANDBOX_NONE)
		why_set(&result->why, ERR_DENIED, "no sandbox: refused");
	else if (sandbox_user(NULL, &w.ids, &result->why) == 0)
		act(&w);
	secret_release(&w.token);
	workspace_close(&w.ws);
}

static const char *const keys[] = {"git"};

const struct runner runner_git = {.name = "git",
				  .keys = keys,
				  .n_keys = ARRAY_SIZE(keys),
				  .takes_texts = true,
				  .confined = true,
				  .ticks = true,
				  .spec_new = spec_new,
				  .spec_free = spec_free,
				  .parse = parse,
				  .check = check,
				  .render = render,
				  .rendered_free = rendered_free,
				  .inspect = inspect,
				  .run = run};
