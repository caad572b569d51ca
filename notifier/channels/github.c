/*
 * A comment on the pull request or issue that the incident is about: one an incident, edited in
 * place, found again by a marker that readers do not see. Says what was tried and how to command.
 */
#include "common/github.h"
#include "common/expr.h"
#include "notifier/channels/channel.h"
#include "notifier/channels/fit.h"

/* GitHub takes 65536 characters; escaping makes more of what we have, at most sixfold. */
enum { COMMENT_MAX = 65536, COMMENTS_SEARCHED_MAX = 1000, NUMBER_MAX_BYTES = 18 };

#define REPOSITORY "{{ .labels.repository }}"
#define NUMBER "{{ .labels.pr }}"

struct github_channel {
	struct github_config config;
	struct github *github;
	char *repository; /* templates */
	char *number;
};

struct github_session {
	struct template *repository, *number;
};

/* Where the comment goes. */
struct place {
	char *repository, *number;
};

static void place_release(struct place *p)
{
	free(p->repository);
	free(p->number);
}
#define auto_place __attribute__((cleanup(place_release))) struct place

static void session_free(void *session)
{
	struct github_session *s = session;
	if (!s)
		return;
	template_free(s->repository);
	template_free(s->number);
	free(s);
}

static int github_session_open(const struct channel *c, void **out_session, struct why *out_why)
{
	const struct github_channel *g = c->settings;
	struct github_session *s = mem_alloc(sizeof(*s));
	int rc = template_compile(g->repository ? g->repository : REPOSITORY, &s->repository,
				  out_why);
	if (!rc)
		rc = template_compile(g->number ? g->number : NUMBER, &s->number, out_why);
	if (rc) {
		session_free(s);
		return why_prefix(out_why, rc, "channels: %s: repository, number", c->name);
	}
	*out_session = s;
	return 0;
}

/* Compiled once here so that a wrong template is a configuration error. */
static int templates_check(const struct channel *c, const struct yaml_node *node,
			   struct why *out_why)
{
	struct why why = {0};
	void *session = NULL;
	int rc = github_session_open(c, &session, &why);
	session_free(session);
	return rc ? yaml_error(node, out_why, "%s", why.text) : 0;
}

static int github_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"api_url", "token_file", "app_id", "app_key_file",
					   "ca_file", "repository", "number"};
	struct github_channel *g = c->settings;
	struct github_config *f = &g->config;
	struct why why = {0};
	int rc = channel_keys(node, keys, ARRAY_SIZE(keys), out_why);
	rc = rc ? rc : channel_str(node, "api_url", &f->api_url, out_why);
	rc = rc ? rc : channel_path(node, "token_file", &f->token_file, out_why);
	rc = rc ? rc : channel_str(node, "app_id", &f->app_id, out_why);
	rc = rc ? rc : channel_path(node, "app_key_file", &f->app_key_file, out_why);
	rc = rc ? rc : channel_path(node, "ca_file", &f->ca_file, out_why);
	rc = rc ? rc : channel_str(node, "repository", &g->repository, out_why);
	rc = rc ? rc : channel_str(node, "number", &g->number, out_why);
	rc = rc ? rc : templates_check(c, node, out_why);
	if (rc)
		return rc;
	if (!f->token_file && !f->app_id)
		return yaml_error(node, out_why,
				  "channels: %s: a github channel needs token_file, or app_id with "
				  "app_key_file",
				  c->name);
	rc = github_new(f, &g->github, &why);
	return rc ? yaml_error(node, out_why, "channels: %s: %s", c->name, why.text) : 0;
}

static void github_release(void *settings)
{
	struct github_channel *g = settings;
	github_free(g->github);
	free(g->config.api_url);
	free(g->config.token_file);
	free(g->config.app_id);
	free(g->config.app_key_file);
	free(g->config.ca_file);
	free(g->repository);
	free(g->number);
}

static int place_find(struct github_session *s, const Healbus__Notice *n, struct place *out,
		      struct why *out_why)
{
	auto_buf repository = {0}, number = {0};
	json_t *input = wire_to_json(&n->base);
	int rc = template_render(s->repository, input, &repository, out_why);
	if (!rc)
		rc = template_render(s->number, input, &number, out_why);
	json_decref(input);
	if (rc)
		return rc;
	const char *digits = buf_str(&number);
	if (!number.len || number.len > NUMBER_MAX_BYTES ||
	    strspn(digits, "0123456789") != number.len || *digits == '0')
		return why_set(
			out_why, ERR_REJECTED,
			"no pull request or issue to comment on: route only pr=~\".+\" here");
	if (!github_repository_valid(buf_str(&repository)))
		return why_set(out_why, ERR_REJECTED, "no repository to comment in");
	out->repository = buf_detach(&repository);
	out->number = buf_detach(&number);
	return 0;
}

/* ---- the text ---- */

/*
 * Within <pre>, Markdown means nothing; & < > are what HTML means something by. @ is broken by a
 * comment, for GitHub tells whom it mentions, even in HTML.
 */
static void comment_escape(const char *s, struct buf *out)
{
	auto_buf shown = {0};
	buf_add_printable(&shown, s, strlen(s));
	for (size_t i = 0; i < shown.len; i++) {
		char c = shown.data[i];
		if (c == '&')
			buf_add_str(out, "&amp;");
		else if (c == '<')
			buf_add_str(out, "&lt;");
		else if (c == '>')
			buf_add_str(out, "&gt;");
		else if (c == '@')
			buf_add_str(out, "&#64;");
		else if (c == '#')
			buf_add_str(out, "&#35;");
		else
			buf_add_char(out, c);
	}
}

static void add_marker(struct buf *out, const char *incident)
{
	buf_printf(out, "<!-- healbus:%s -->", incident);
}

static const char commands[] =
	"\n</pre>\n\nComment `/heal fix` (with a hint, if you have one), `/heal retry`, `/heal "
	"stop` "
	"or `/heal status` to command; a push of yours stops attempts on this branch.\n";

static const char cut_mark[] = "\n(cut; healctl story shows all)";

/* An empty line would end the HTML block; a "/" at the beginning of a line could be read as a
 * command of ours. */
static void add_block(struct buf *out, const char *text, size_t max)
{
	size_t len = fit_prefix(text, strlen(text), max, FIT_CHARACTERS);
	for (size_t i = 0; i < len; i++) {
		bool first = i == 0 || text[i - 1] == '\n';
		if (first && text[i] == '\n')
			buf_add_char(out, ' ');
		if (first && text[i] == '/')
			buf_add_str(out, "&#47;");
		else
			buf_add_char(out, text[i]);
	}
	if (text[len])
		buf_add_str(out, cut_mark);
}

static void comment_body(const Healbus__Notice *n, struct buf *out)
{
	auto_buf text = {0};
	add_marker(out, n->incident);
	buf_add_str(out, "\n<pre>");
	comment_escape(n->subject, &text);
	buf_add_char(&text, '\n');
	comment_escape(n->text, &text);
	add_block(out, buf_str(&text), COMMENT_MAX / 2);
	buf_add_str(out, commands);
}

/* ---- sending ---- */

struct call {
	const struct channel_job *job;
	const struct place *place;
	struct channel_result *out;
};

static struct github_request request_of(const struct call *k, const char *method, const char *path)
{
	return (struct github_request){.http = k->job->http,
				       .method = method,
				       .path = path,
				       .repository = k->place->repository,
				       .timeout_ms = k->job->channel->timeout_ms};
}

/* The oldest comment with our marker: who copies it later does not take its place. */
static int comment_find(const struct call *k, json_int_t *out_id, struct why *out_why)
{
	const struct github_channel *g = k->job->channel->settings;
	auto_buf path = {0}, marker = {0};
	json_t *all = NULL, *item;
	size_t i;
	struct github_list list = {.max = COMMENTS_SEARCHED_MAX, .out_retry_ms = &k->out->retry_ms};
	github_path(&path, "/repos/{+}/issues/{}/comments?per_page=100", k->place->repository,
		    k->place->number);
	struct github_request req = request_of(k, "GET", buf_str(&path));
	add_marker(&marker, k->job->notice->incident);
	int rc = github_all(g->github, &req, &list, &all, out_why);
	if (rc)
		return rc;
	json_array_foreach(all, i, item)
	{
		const char *body = json_string_value(json_object_get(item, "body"));
		json_int_t id = json_integer_value(json_object_get(item, "id"));
		if (body && str_starts(body, buf_str(&marker)) && (!*out_id || id < *out_id))
			*out_id = id;
	}
	json_decref(all);
	return 0;
}

static int comment_put(const struct call *k, json_int_t id, struct why *out_why)
{
	const struct github_channel *g = k->job->channel->settings;
	auto_github_answer answer = {0};
	auto_buf path = {0}, body = {0};
	auto_free char *number = mem_printf("%" JSON_INTEGER_FORMAT, id);
	if (id)
		github_path(&path, "/repos/{+}/issues/comments/{}", k->place->repository, number);
	else
		github_path(&path, "/repos/{+}/issues/{}/comments", k->place->repository,
			    k->place->number);
	comment_body(k->job->notice, &body);
	json_t *json = json_pack("{s:s}", "body", buf_str(&body));
	struct github_request req = request_of(k, id ? "PATCH" : "POST", buf_str(&path));
	req.json = json;
	int rc = github_call(g->github, &req, &answer, out_why);
	k->out->retry_ms = answer.retry_ms;
	json_decref(json);
	if (!rc)
		snprintf(k->out->ref, sizeof(k->out->ref), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(json_object_get(answer.json, "id")));
	return rc;
}

/* Decisions and questions are for those who may answer them, elsewhere. */
static bool is_for_readers(const Healbus__Notice *n)
{
	return !str_eq(n->kind, "feedback") && !str_eq(n->kind, "decided") &&
	       !str_eq(n->kind, "acked") && n->n_incidents <= 1;
}

static int github_send(const struct channel_job *job, struct channel_result *out,
		       struct why *out_why)
{
	auto_place place = {0};
	struct call k = {job, &place, out};
	json_int_t id = 0;
	if (!is_for_readers(job->notice))
		return 0;
	int rc = place_find(job->session, job->notice, &place, out_why);
	if (!rc)
		rc = comment_find(&k, &id, out_why);
	if (!rc)
		rc = comment_put(&k, id, out_why);
	/* Somebody deleted it meanwhile. */
	if (rc == ERR_NOT_FOUND && id)
		rc = comment_put(&k, 0, out_why);
	return rc;
}

const struct channel_kind channel_github = {
	.name = "github",
	.parse = github_parse,
	.release = github_release,
	.settings_size = sizeof(struct github_channel),
	.open = github_session_open,
	.close = session_free,
	.send = github_send,
	.answers_commands = true,
};
