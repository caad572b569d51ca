#include "common/github_private.h"

#include "common/clock.h"
#include "common/mem.h"

enum { KEEP_LINK, KEEP_RETRY_AFTER, KEEP_REMAINING, KEEP_RESET, KEEP_LOCATION };

static const char *const keep[] = {
	"link", "retry-after", "x-ratelimit-remaining", "x-ratelimit-reset", "location", NULL};

/* ---- lifetime ---- */

static bool is_url(const char *s)
{
	return s && (str_starts(s, "https://") || str_starts(s, "http://"));
}

static bool given(const char *s)
{
	return s && *s;
}

static int check(const struct github_config *c, struct why *out_why)
{
	if (given(c->api_url) && !is_url(c->api_url))
		return why_set(out_why, ERR_CONFIG, "github.api_url: not an http or https URL");
	if (given(c->app_id) != given(c->app_key_file))
		return why_set(out_why, ERR_CONFIG,
			       "github.app_id and github.app_key_file: only together");
	if (given(c->app_id) && given(c->token_file))
		return why_set(out_why, ERR_CONFIG,
			       "github: token_file or app_id, not both: remove one");
	return 0;
}

static char *copy(const char *s)
{
	return given(s) ? mem_strdup(s) : NULL;
}

int github_new(const struct github_config *config, struct github **out, struct why *out_why)
{
	int rc = check(config, out_why);

	if (rc)
		return rc;
	struct github *g = mem_alloc(sizeof(*g));
	g->config = (struct github_config){
		.api_url = mem_strdup(given(config->api_url) ? config->api_url : GITHUB_API_URL),
		.token_file = copy(config->token_file),
		.app_id = copy(config->app_id),
		.app_key_file = copy(config->app_key_file),
		.ca_file = copy(config->ca_file)};
	size_t len = strlen(g->config.api_url);
	while (len > 0 && g->config.api_url[len - 1] == '/')
		g->config.api_url[--len] = 0;
	pthread_mutex_init(&g->lock, NULL);
	*out = g;
	return 0;
}

void github_free(struct github *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_accounts; i++) {
		free(g->accounts[i]->key);
		secret_release(&g->accounts[i]->token);
		free(g->accounts[i]);
	}
	free(g->accounts);
	free(g->config.api_url);
	free(g->config.token_file);
	free(g->config.app_id);
	free(g->config.app_key_file);
	free(g->config.ca_file);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

bool github_has_credentials(const struct github *g)
{
	return g->config.token_file || g->config.app_id;
}

void github_answer_release(struct github_answer *a)
{
	json_decref(a->json);
	buf_release(&a->raw);
	free(a->next);
	*a = (struct github_answer){0};
}

static const char *github_api_url(const struct github *g, const struct github_request *req)
{
	return given(req->api_url) ? req->api_url : g->config.api_url;
}

/* ---- one exchange ---- */

static const char *message_of(const json_t *body)
{
	const char *text = json_string_value(json_object_get(body, "message"));

	return text ? text : "";
}

/* 422 tells in errors[] what is wrong with which field. */
static void add_errors(struct buf *out, const json_t *body)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(body, "errors"), i, item)
	{
		const char *text = json_string_value(item);
		const char *field = json_string_value(json_object_get(item, "field"));
		const char *code = json_string_value(json_object_get(item, "code"));
		const char *words = json_string_value(json_object_get(item, "message"));

		if (text || words)
			buf_printf(out, "; %.200s", text ? text : words);
		else if (field)
			buf_printf(out, "; %.100s: %.100s", field, code ? code : "wrong");
	}
}

static int refused(const struct github_request *req, const struct github_answer *a, int rc,
		   struct why *out_why)
{
	auto_buf details = {0};
	const char *path = req->path ? req->path : "";

	add_errors(&details, a->json);
	return why_set(out_why, rc, "GitHub: %s %.*s: %ld %.200s%s", req->method ? req->method : "",
		       (int)strcspn(path, "?"), path, a->status, message_of(a->json),
		       buf_str(&details));
}

/* Only within the API: a header cannot send our token elsewhere. */
static char *next_path(const struct github *g, const struct github_request *req, const char *link)
{
	const char *api = github_api_url(g, req);
	auto_free char *url = github_next_url(link);

	if (!url || !str_starts(url, api) || url[strlen(api)] != '/')
		return NULL;
	return mem_strdup(url + strlen(api));
}

static bool redirects(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where logs lie is said by GitHub alone; still, the public API only points at public places. */
static int follow(const struct github *g, const struct github_request *req, const char *location,
		  struct http_answer *a, struct why *out_why)
{
	const char *api = github_api_url(g, req);
	bool tls = str_starts(api, "https://");

	if (!str_starts(location, "https://") && (tls || !str_starts(location, "http://")))
		return why_set(out_why, ERR_DENIED, "GitHub: redirect to what is not https");
	struct http_call call = {.method = "GET",
				 .url = location,
				 .timeout_ms = req->timeout_ms,
				 .body_max_bytes =
					 req->max_bytes ? req->max_bytes : GITHUB_BODY_MAX_BYTES,
				 .ca_file = g->config.ca_file,
				 .public_only = str_eq(api, GITHUB_API_URL)};
	return http_client_call(req->http, &call, a, out_why);
}

static int send_call(struct github *g, const struct github_request *req,
		     const struct secret *bearer, struct http_answer *a, struct why *out_why)
{
	const char *headers[8] = {"User-Agent: healbus/" HEALBUS_VERSION,
				  "X-GitHub-Api-Version: 2022-11-28"};
	size_t n = 2;
	auto_free char *accept =
		mem_printf("Accept: %s", req->accept ? req->accept : "application/vnd.github+json");
	auto_free char *url = mem_printf("%s%s", github_api_url(g, req), req->path);
	auto_free char *body = req->json ? json_dumps(req->json, JSON_COMPACT) : NULL;
	char *authorization = NULL;

	headers[n++] = accept;
	if (body)
		headers[n++] = "Content-Type: application/json";
	if (bearer && bearer->len)
		headers[n++] = authorization = mem_printf("Authorization: Bearer %s", bearer->data);
	struct http_call call = {.method = req->method,
				 .url = url,
				 .headers = headers,
				 .body = body,
				 .body_len = body ? strlen(body) : 0,
				 .timeout_ms = req->timeout_ms,
				 .body_max_bytes =
					 req->max_bytes ? req->max_bytes : GITHUB_BODY_MAX_BYTES,
				 .ca_file = g->config.ca_file,
				 .keep = keep};
	int rc = http_client_call(req->http, &call, a, out_why);
	if (authorization)
		explicit_bzero(authorization, strlen(authorization));
	free(authorization);
	return rc;
}

static int judge(const struct github_request *req, const struct http_answer *a,
		 struct github_answer *out, struct why *out_why)
{
	bool limited = false;
	struct github_limits limits = {.status = a->status,
				       .retry_after = a->kept[KEEP_RETRY_AFTER],
				       .remaining = a->kept[KEEP_REMAINING],
				       .reset = a->kept[KEEP_RESET],
				       .message = message_of(out->json)};
	out->retry_ms = github_limit_ms(&limits, clock_real_ms(), &limited);
	int rc = limited ? ERR_BUSY : http_status_err(a->status);
	if (rc == ERR_BUSY && out->retry_ms == 0)
		out->retry_ms = MAX(a->retry_after_ms, 1000);
	return rc ? refused(req, out, rc, out_why) : 0;
}

int github_exchange(struct github *g, const struct github_request *req, const struct secret *bearer,
		    struct github_answer *out, struct why *out_why)
{
	struct http_answer a = {0}, second = {0};
	int rc = send_call(g, req, bearer, &a, out_why);
	bool elsewhere = !rc && req->download && redirects(a.status) && a.kept[KEEP_LOCATION];

	out->status = a.status;
	out->sent = a.sent;
	out->next = next_path(g, req, a.kept[KEEP_LINK]);
	if (elsewhere) {
		rc = follow(g, req, a.kept[KEEP_LOCATION], &second, out_why);
		out->status = second.status;
	}
	struct http_answer *last = elsewhere ? &second : &a;
	out->raw = (struct buf){.data = last->body.data, .len = last->body.len};
	out->raw.cap = last->body.cap;
	last->body = (struct buf){0};
	if (!rc && (!req->download || out->status >= 300))
		out->json = json_loadb(buf_str(&out->raw), out->raw.len, JSON_DECODE_ANY, NULL);
	if (!rc)
		rc = judge(req, last, out, out_why);
	http_answer_release(&a);
	http_answer_release(&second);
	return rc;
}

/* ---- calls ---- */

static int check_request(const struct github_request *req, struct why *out_why)
{
	if (!req->path || req->path[0] != '/' || strpbrk(req->path, " \t\r\n"))
		return why_set(out_why, ERR_INVALID, "github: path must begin with a slash");
	if (given(req->api_url) && (!is_url(req->api_url) || !given(req->token_file)))
		return why_set(out_why, ERR_CONFIG,
			       "github: another api_url needs a token_file of its own");
	return 0;
}

static int check_blocked(struct github *g, const struct github_request *req,
			 struct github_answer *out, struct why *out_why)
{
	pthread_mutex_lock(&g->lock);
	int64_t left = github_account(g, req)->blocked_until_ms - clock_real_ms();
	pthread_mutex_unlock(&g->lock);
	if (left <= 0)
		return 0;
	out->retry_ms = MIN(left, (int64_t)GITHUB_RETRY_MAX_MS);
	return why_set(out_why, ERR_BUSY,
		       "GitHub: the rate limit was reached: again in %" PRId64 " s",
		       out->retry_ms / 1000 + 1);
}

static void note(struct github *g, const struct github_request *req, const struct github_answer *a)
{
	pthread_mutex_lock(&g->lock);
	struct github_account *account = github_account(g, req);
	if (a->retry_ms > 0)
		account->blocked_until_ms =
			MAX(account->blocked_until_ms, clock_real_ms() + a->retry_ms);
	if (a->status == 401)
		account->token_until_ms = 0; /* revoked, or its permissions changed */
	pthread_mutex_unlock(&g->lock);
}

int github_call(struct github *g, const struct github_request *req, struct github_answer *out,
		struct why *out_why)
{
	auto_secret bearer = {0};

	*out = (struct github_answer){0};
	int rc = check_request(req, out_why);
	if (!rc)
		rc = check_blocked(g, req, out, out_why);
	if (!rc)
		rc = github_token(g, req, &bearer, out_why);
	if (rc)
		return rc;
	rc = github_exchange(g, req, &bearer, out, out_why);
	note(g, req, out);
	return rc;
}

int github_all(struct github *g, const struct github_request *req, const struct github_list *list,
	       json_t **out, struct why *out_why)
{
	struct github_request page = *req;
	auto_free char *path = mem_strdup(req->path);
	json_t *all = json_array();
	int rc = 0;

	while (!rc && path && json_array_size(all) < list->max) {
		auto_github_answer a = {0};
		page.path = path;
		rc = github_call(g, &page, &a, out_why);
		if (rc && list->out_retry_ms)
			*list->out_retry_ms = a.retry_ms;
		const json_t *items = list->member ? json_object_get(a.json, list->member) : a.json;
		const json_t *item;
		size_t i;
		json_array_foreach(items, i, item)
		{
			if (!rc && json_array_size(all) < list->max)
				json_array_append(all, (json_t *)item);
		}
		free(path);
		path = a.next;
		a.next = NULL;
	}
	if (rc) {
		json_decref(all);
		return rc;
	}
	*out = all;
	return 0;
}
