#include "executor/runners/github_private.h"

#include <poll.h>

#include "common/clock.h"
#include "common/mem.h"

/* ---- calling ---- */

int github_fail(struct github_work *w, const char *fmt, ...)
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

const char *github_text(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));
	return text ? text : "";
}

bool github_pause(struct github_work *w, int64_t ms)
{
	int64_t left = w->deadline_mono_ms - clock_mono_ms();
	if (left <= ms)
		return false;
	poll(NULL, 0, (int)ms);
	return true;
}

static struct github_request request(const struct github_work *w)
{
	const struct git_target *t = &w->job->target;
	int64_t left = w->deadline_mono_ms - clock_mono_ms();
	return (struct github_request){.http = w->limits->http,
				       .repository = t->repository,
				       .token_file = t->token_file,
				       .api_url = t->api,
				       .timeout_ms =
					       MIN(MAX(left, 1), (int64_t)HTTP_CLIENT_TIMEOUT_MS)};
}

/* A limit refuses before anything is done, so the same may be sent again. */
static bool wait_for_limit(struct github_work *w, int rc, int64_t retry_ms)
{
	return rc == ERR_BUSY && retry_ms <= GITHUB_LIMIT_WAIT_MS && github_pause(w, retry_ms);
}

static int call_failed(struct github_work *w, int rc, const char *method,
		       const struct github_answer *a)
{
	bool writes = !str_eq(method, "GET");
	bool answered = a->status >= 400 && a->status < 500;
	w->result->exit_code = (int)a->status;
	w->result->state = writes && a->sent && !answered ? RUN_UNKNOWN : RUN_FAILED;
	return rc;
}

int github_send(struct github_work *w, const char *method, const char *path, const json_t *body,
		struct github_answer *out)
{
	for (;;) {
		auto_github_answer a = {0};
		struct github_request req = request(w);
		req.method = method;
		req.path = path;
		req.json = body;
		w->result->why = (struct why){0};
		int rc = github_call(w->limits->config->github_client, &req, &a, &w->result->why);
		if (wait_for_limit(w, rc, a.retry_ms))
			continue;
		w->failed = rc;
		if (rc)
			rc = call_failed(w, rc, method, &a);
		if (out) {
			*out = a;
			a = (struct github_answer){0};
		}
		return rc;
	}
}

int github_get_all(struct github_work *w, const char *path, const char *member, size_t max,
		   json_t **out)
{
	for (;;) {
		int64_t retry_ms = 0;
		struct github_request req = request(w);
		struct github_list list = {.member = member, .max = max, .out_retry_ms = &retry_ms};
		req.method = "GET";
		req.path = path;
		w->result->why = (struct why){0};
		int rc = github_all(w->limits->config->github_client, &req, &list, out,
				    &w->result->why);
		if (wait_for_limit(w, rc, retry_ms))
			continue;
		w->failed = rc;
		return rc;
	}
}

void github_done(struct github_work *w, const json_t *with_url, const char *what)
{
	const char *url = github_text(with_url, "html_url");
	w->result->state = RUN_ENDED;
	w->result->exit_code = 0;
	w->result->why = (struct why){0};
	if (str_starts(url, "https://") || str_starts(url, "http://"))
		w->result->url = mem_strdup(url);
	buf_printf(&w->result->output, "%s%s%s\n", what, *url ? " " : "", url);
}

/* ---- open or update ---- */

/* The open pull request of this head; json_null() when there is none. */
static int find_open(struct github_work *w, json_t **out)
{
	const struct github_job *j = w->job;
	json_t *list = NULL;
	auto_buf path = {0};
	auto_free char *owner = mem_dup(j->target.repository, strcspn(j->target.repository, "/"));
	auto_free char *head = mem_printf("%s:%s", owner, j->head);
	github_path(&path, "/repos/{+}/pulls?state=open&head={}&per_page=100", j->target.repository,
		    head);
	int rc = github_get_all(w, buf_str(&path), NULL, GITHUB_PAGE, &list);
	if (rc)
		return rc;
	*out = json_null();
	const json_t *item;
	size_t i;
	json_array_foreach(list, i, item)
	{
		/* Asked for by head; still, another's is never touched. */
		const char *ref = github_text(json_object_get(item, "head"), "ref");
		const char *base = github_text(json_object_get(item, "base"), "ref");
		if (str_eq(ref, j->head) && (!*j->base || str_eq(base, j->base)))
			*out = json_incref((json_t *)item);
	}
	json_decref(list);
	return 0;
}

static void update(struct github_work *w, const json_t *pull)
{
	const struct github_job *j = w->job;
	auto_buf path = {0};
	auto_free char *number = mem_printf("%" JSON_INTEGER_FORMAT,
					    json_integer_value(json_object_get(pull, "number")));
	auto_github_answer a = {0};
	json_t *body = json_pack("{s:O, s:O}", "title", json_object_get(j->body, "title"), "body",
				 json_object_get(j->body, "body"));
	github_path(&path, "/repos/{+}/pulls/{}", j->target.repository, number);
	int rc = github_send(w, "PATCH", buf_str(&path), body, &a);
	json_decref(body);
	if (!rc)
		github_done(w, a.json, "updated");
}

static void create(struct github_work *w)
{
	auto_buf path = {0};
	auto_github_answer a = {0};
	github_path(&path, "/repos/{+}/pulls", w->job->target.repository);
	if (github_send(w, "POST", buf_str(&path), w->job->body, &a) == 0)
		github_done(w, a.json, "opened");
}

void github_run_open(struct github_work *w)
{
	json_t *pull = NULL;
	if (find_open(w, &pull))
		return;
	if (json_is_null(pull))
		create(w);
	else
		update(w, pull);
	json_decref(pull);
}

void github_run_opened(struct github_work *w)
{
	json_t *pull = NULL;
	if (find_open(w, &pull))
		return;
	if (json_is_null(pull))
		github_fail(w, "there is no open pull request of %s", w->job->head);
	else
		github_done(w, pull, "is open");
	json_decref(pull);
}

/* ---- comment and label ---- */

/* The id of the comment that carries our mark; 0: none. */
static int find_comment(struct github_work *w, int64_t *out)
{
	const struct github_job *j = w->job;
	json_t *list = NULL;
	auto_buf path = {0};
	auto_free char *number = mem_printf("%" PRId64, j->number);
	*out = 0;
	if (!j->marker)
		return 0;
	github_path(&path, "/repos/{+}/issues/{}/comments?per_page=100", j->target.repository,
		    number);
	int rc = github_get_all(w, buf_str(&path), NULL, GITHUB_COMMENTS_MAX, &list);
	const json_t *item;
	size_t i;
	json_array_foreach(list, i, item)
	{
		const char *text = github_text(item, "body");
		size_t len = strlen(text), mark = strlen(j->marker);
		if (len >= mark && str_eq(text + len - mark, j->marker))
			*out = json_integer_value(json_object_get(item, "id"));
	}
	json_decref(list);
	return rc;
}

void github_run_comment(struct github_work *w)
{
	const struct github_job *j = w->job;
	auto_buf path = {0};
	auto_github_answer a = {0};
	int64_t id = 0;
	if (find_comment(w, &id))
		return;
	auto_free char *number = mem_printf("%" PRId64, id ? id : j->number);
	if (id)
		github_path(&path, "/repos/{+}/issues/comments/{}", j->target.repository, number);
	else
		github_path(&path, "/repos/{+}/issues/{}/comments", j->target.repository, number);
	if (github_send(w, id ? "PATCH" : "POST", buf_str(&path), j->body, &a) == 0)
		github_done(w, a.json, id ? "changed" : "commented");
}

void github_run_label(struct github_work *w)
{
	auto_buf path = {0};
	auto_free char *number = mem_printf("%" PRId64, w->job->number);
	github_path(&path, "/repos/{+}/issues/{}/labels", w->job->target.repository, number);
	if (github_send(w, "POST", buf_str(&path), w->job->body, NULL) == 0)
		github_done(w, NULL, "labelled");
}
