/* Pull requests and checks by GitHub's REST API. What is sent is rendered beforehand, and that is
 * what people approve. */
#include "executor/runners/github_private.h"

#include "common/clock.h"
#include "common/mem.h"

struct github_spec {
	enum github_do what;
	int64_t interval_ms;
	bool given;
};

static void *spec_new(void)
{
	return mem_alloc(sizeof(struct github_spec));
}

static void spec_free(void *spec)
{
	free(spec);
}

/* ---- parsing ---- */

static const char *const do_names[] = {"open",  "opened", "comment", "label",
				       "merge", "merged", "revert",  "wait"};

static int parse(void *spec, struct catalogue *cat, const struct yaml_node *node,
		 struct why *out_why)
{
	static const char *const keys[] = {"do", "interval"};
	struct github_spec *s = spec;
	const struct yaml_node *github = yaml_get(node, "github");
	const char *what = NULL;
	(void)cat;
	if (!github)
		return 0;
	s->interval_ms = GITHUB_POLL_MS;
	int rc = yaml_only_keys(github, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = yaml_str(yaml_get(github, "do"), "do", &what, out_why);
	if (!rc)
		rc = yaml_duration_ms(yaml_get(github, "interval"), "interval", 100, 60000,
				      &s->interval_ms, out_why);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(do_names); i++) {
		if (!str_eq(do_names[i], what))
			continue;
		s->what = (enum github_do)i;
		s->given = true;
		return 0;
	}
	return rc ? rc
		  : yaml_error(github, out_why,
			       "do: open, opened, comment, label, merge, merged, revert or wait");
}

static int check(const void *spec, struct why *out_why)
{
	const struct github_spec *s = spec;
	return s->given ? 0 : why_set(out_why, ERR_CONFIG, "github: missing");
}

/* ---- rendering ---- */

static void rendered_free(void *rendered)
{
	struct github_job *j = rendered;
	if (!j)
		return;
	git_target_release(&j->target);
	json_decref(j->body);
	free(j->head);
	free(j->base);
	free(j->sha);
	free(j->marker);
	free(j);
}

static const char *text_param(const struct render_input *in, const char *name)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(in->json, "params"), name));
	return text ? text : "";
}

/* Longer is refused by the API. Where it was cut is said in the text itself. */
static json_t *bounded_text(const char *text, const char *marker)
{
	auto_buf out = {0};
	size_t len = strlen(text);
	bool cut = len > GITHUB_TEXT_MAX_BYTES;
	if (cut)
		for (len = GITHUB_TEXT_MAX_BYTES;
		     len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
	buf_add(&out, text, len);
	if (cut)
		buf_add_str(&out, "\n\n[The rest was too long.]");
	if (marker && *marker)
		buf_printf(&out, "\n\n%s", marker);
	return json_string(buf_str(&out));
}

static int render_open(struct github_job *j, const struct render_input *in, struct why *out_why)
{
	const char *title = text_param(in, "title");
	if (!git_branch_valid(j->head) || !git_branch_valid(j->base))
		return why_set(out_why, ERR_INVALID, "head, base: must be names of branches");
	if (str_eq(j->head, j->base))
		return why_set(out_why, ERR_INVALID, "head and base are the same branch");
	if (!*title || strlen(title) > GITHUB_TITLE_MAX_BYTES)
		return why_set(out_why, ERR_INVALID, "parameter title: 1-256 bytes");
	json_object_set_new(j->body, "title", json_string(title));
	json_object_set_new(j->body, "head", json_string(j->head));
	json_object_set_new(j->body, "base", json_string(j->base));
	json_object_set_new(j->body, "body", bounded_text(text_param(in, "body"), NULL));
	return 0;
}

static int render_opened(struct github_job *j, const struct render_input *in, struct why *out_why)
{
	(void)in;
	return git_branch_valid(j->head)
		       ? 0
		       : why_set(out_why, ERR_INVALID, "parameter head: must be a branch");
}

static int render_comment(struct github_job *j, const struct render_input *in, struct why *out_why)
{
	const char *text = text_param(in, "body"), *key = text_param(in, "key");
	if (!*text)
		return why_set(out_why, ERR_INVALID, "parameter body: empty");
	if (*key)
		j->marker = mem_printf("<!-- healbus %s -->", key);
	json_object_set_new(j->body, "body", bounded_text(text, j->marker));
	return 0;
}

static int render_label(struct github_job *j, const struct render_input *in, struct why *out_why)
{
	json_t *labels = json_array();
	const char *list = text_param(in, "labels");
	json_object_set_new(j->body, "labels", labels);
	while (*list) {
		list += strspn(list, ", ");
		size_t len = strcspn(list, ",");
		if (len > 0 && len <= GITHUB_LABEL_MAX_BYTES)
			json_array_append_new(labels, json_stringn(list, len));
		list += len;
	}
	return json_array_size(labels) ? 0
				       : why_set(out_why, ERR_INVALID, "parameter labels: none");
}

static int render_merge(struct github_job *j, const struct render_input *in, struct why *out_why)
{
	if (!git_sha_valid(j->sha))
		return why_set(out_why, ERR_INVALID, "parameter sha: the full commit id to merge");
	json_object_set_new(j->body, "sha", json_string(j->sha));
	json_object_set_new(j->body, "merge_method", json_string(text_param(in, "method")));
	return 0;
}

static int render_number(struct github_job *j, const struct render_input *in, struct why *out_why)
{
	(void)in;
	(void)j;
	(void)out_why;
	return 0;
}

static int render_wait(struct github_job *j, const struct render_input *in, struct why *out_why)
{
	(void)in;
	return git_sha_valid(j->sha)
		       ? 0
		       : why_set(out_why, ERR_INVALID, "parameter sha: a full commit id");
}

static const struct {
	int (*render)(struct github_job *, const struct render_input *, struct why *);
	const char *text; /* {r} the repository, {n} the number, {h} the head, {s} the commit */
	bool numbered;
	bool looks; /* whether it is done, before it does it: so it may be begun again */
} acts[] = {
	[GITHUB_DO_OPEN] =
		{.render = render_open,
		 .text = "POST /repos/{r}/pulls, or PATCH of the open one with this head",
		 .looks = true},
	[GITHUB_DO_OPENED] = {.render = render_opened,
			      .text = "is there an open pull request of {h} in {r}?",
			      .looks = true},
	[GITHUB_DO_COMMENT] = {.render = render_comment,
			       .text = "POST /repos/{r}/issues/{n}/comments, or PATCH of ours",
			       .numbered = true},
	[GITHUB_DO_LABEL] = {.render = render_label,
			     .text = "POST /repos/{r}/issues/{n}/labels",
			     .numbered = true,
			     .looks = true},
	[GITHUB_DO_MERGE] =
		{.render = render_merge,
		 .text = "once every check of {s} has passed: PUT /repos/{r}/pulls/{n}/merge",
		 .numbered = true,
		 .looks = true},
	[GITHUB_DO_MERGED] = {.render = render_number,
			      .text = "is pull request {n} of {r} merged?",
			      .numbered = true,
			      .looks = true},
	[GITHUB_DO_REVERT] = {.render = render_number,
			      .text = "open a pull request that takes back pull request {n} of {r}",
			      .numbered = true},
	[GITHUB_DO_WAIT] = {.render = render_wait,
			    .text = "wait for every check of {s} in {r}",
			    .looks = true},
};

static void show(const struct github_job *j, struct buf *out)
{
	for (const char *p = acts[j->what].text; *p; p++) {
		if (p[0] != '{') {
			buf_add_char(out, *p);
			continue;
		}
		if (p[1] == 'n')
			buf_printf(out, "%" PRId64, j->number);
		else
			buf_add_str(out, p[1] == 'r'   ? j->target.repository
					 : p[1] == 'h' ? j->head
						       : j->sha);
		p += 2;
	}
	if (!json_object_size(j->body))
		return;
	auto_free char *body = json_dumps(j->body, JSON_INDENT(1));
	buf_printf(out, "\n%s", body);
}

static int render(const void *spec, const struct render_input *in, void **out, struct buf *out_text,
		  struct why *out_why)
{
	const struct github_spec *s = spec;
	struct github_job *j = mem_alloc(sizeof(*j));
	const json_t *params = json_object_get(in->json, "params");
	j->what = s->what;
	j->interval_ms = s->interval_ms;
	j->body = json_object();
	j->head = mem_strdup(text_param(in, "head"));
	j->base = mem_strdup(text_param(in, "base"));
	j->sha = mem_strdup(text_param(in, "sha"));
	j->number = json_integer_value(json_object_get(params, "number"));
	int rc = git_target_parse(json_object_get(in->json, "target"), &j->target, out_why);
	if (!rc && acts[j->what].numbered && j->number <= 0)
		rc = why_set(out_why, ERR_INVALID, "parameter number: must be a pull request's");
	if (!rc)
		rc = acts[j->what].render(j, in, out_why);
	if (rc) {
		rendered_free(j);
		return rc;
	}
	show(j, out_text);
	*out = j;
	return 0;
}

/* ---- running ---- */

static void (*const runs[])(struct github_work *) = {
	[GITHUB_DO_OPEN] = github_run_open,       [GITHUB_DO_OPENED] = github_run_opened,
	[GITHUB_DO_COMMENT] = github_run_comment, [GITHUB_DO_LABEL] = github_run_label,
	[GITHUB_DO_MERGE] = github_run_merge,     [GITHUB_DO_MERGED] = github_run_merged,
	[GITHUB_DO_REVERT] = github_run_revert,   [GITHUB_DO_WAIT] = github_run_wait};

/* GitHub could not be asked, or could not answer: what a minute later may be otherwise. */
static bool may_pass(const struct github_work *w)
{
	return w->result->state != RUN_ENDED && w->failed == ERR_UNAVAILABLE;
}

/* A comment is found again by its mark alone. */
static bool may_begin_again(const struct github_job *j)
{
	return acts[j->what].looks || (j->what == GITHUB_DO_COMMENT && j->marker);
}

/* Until it is done, is refused, or the time is over. Once an answer was lost, only a later look can
 * tell that it was not done. */
static void run_act(struct github_work *w)
{
	bool unsure = false;
	for (int64_t ms = GITHUB_AGAIN_MS;; ms = MIN(ms * 2, (int64_t)GITHUB_AGAIN_MAX_MS)) {
		w->result->state = RUN_FAILED;
		runs[w->job->what](w);
		unsure = unsure || w->result->state == RUN_UNKNOWN;
		if (!may_pass(w) || !may_begin_again(w->job) || !github_pause(w, ms))
			break;
	}
	if (unsure && w->result->state == RUN_FAILED)
		w->result->state = RUN_UNKNOWN;
}

static void run(const void *rendered, const struct run_limits *limits, struct run_result *result)
{
	struct github_work w = {.job = rendered,
				.limits = limits,
				.deadline_mono_ms = clock_mono_ms() + limits->timeout_ms,
				.result = result};
	result->state = RUN_FAILED;
	if (limits->config->github_client)
		run_act(&w);
	else
		why_set(&result->why, ERR_CONFIG, "github: is not configured");
}

static const char *const keys[] = {"github"};

const struct runner runner_github = {.name = "github",
				     .keys = keys,
				     .n_keys = ARRAY_SIZE(keys),
				     .takes_texts = true,
				     .spec_new = spec_new,
				     .spec_free = spec_free,
				     .parse = parse,
				     .check = check,
				     .render = render,
				     .rendered_free = rendered_free,
				     .run = run};
