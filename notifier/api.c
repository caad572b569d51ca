#include "notifier/api.h"

#include "common/log.h"
#include "common/metrics.h"
#include "notifier/config.h"
#include "notifier/page.h"

#include <fcntl.h>

enum { BY_MAX_BYTES = 128 };

/* A pipe of job pointers: the kernel's queue, its bound and its wake-ups. */
struct api {
	int queue_in, queue_out;
	struct sign_key *key;
	struct token_key *tokens;
	struct page *page;
};

struct job {
	struct http_request *req;
	api_func *run;
};

const struct sign_key *api_sign_key(struct stage *s)
{
	const struct api *api = stage_data(s);
	return api->key;
}

const struct token_key *api_token_key(struct stage *s)
{
	const struct api *api = stage_data(s);
	return api->tokens;
}

struct page *page_of(struct stage *s)
{
	const struct api *api = stage_data(s);
	return api->page;
}

static struct metric requests =
	METRIC_COUNTER("healbus_api_requests_total", "Answers of the API.", "status");

static void queue_put(void *ctx, struct http_request *req, api_func *run)
{
	struct stage *s = ctx;
	struct api *api = stage_data(s);
	struct job *job = mem_alloc(sizeof(*job));
	*job = (struct job){req, run};
	if (!stage_stopping(s) && write(api->queue_in, &job, sizeof(job)) == sizeof(job))
		return;
	free(job);
	http_reply_retry(req, 503, 1, "stopping, or too many requests under way");
}

/* method, path, what it takes, function */
#define API_ROUTES(X)                                                                              \
	X("GET", "/api/oncall", RIGHT_READ, api_oncall)                                            \
	X("POST", "/api/oncall", RIGHT_ONCALL, api_oncall_set)                                     \
	X("DELETE", "/api/oncall/*", RIGHT_ONCALL, api_oncall_clear)                               \
	X("GET", "/api/kpis", RIGHT_READ, api_kpis)                                                \
	X("GET", "/api/status", RIGHT_READ, api_status)                                            \
	X("GET", "/api/incidents", RIGHT_READ, api_incidents)                                      \
	X("GET", "/api/incidents/*", RIGHT_READ, api_incident)                                     \
	X("GET", "/api/story/*", RIGHT_READ, api_story)                                            \
	X("GET", "/api/plans/*", RIGHT_READ, api_plan)                                             \
	X("GET", "/api/approvals", RIGHT_READ, api_approvals)                                      \
	X("POST", "/api/decisions", RIGHT_DECIDE, api_decide)                                      \
	X("POST", "/api/rehearse", RIGHT_REHEARSE, api_rehearse)                                   \
	X("GET", "/api/tools", RIGHT_READ, api_tools)                                              \
	X("GET", "/api/silences", RIGHT_READ, api_silences)                                        \
	X("POST", "/api/silences", RIGHT_SILENCE, api_silence_add)                                 \
	X("DELETE", "/api/silences/*", RIGHT_SILENCE, api_silence_expire)                          \
	X("POST", "/api/pause", RIGHT_PAUSE, api_pause)                                            \
	X("POST", "/api/resume", RIGHT_PAUSE, api_resume)                                          \
	X("POST", "/api/ack", RIGHT_ACK, api_ack)                                                  \
	X("POST", "/api/feedback", RIGHT_FEEDBACK, api_feedback)                                   \
	X("GET", "/api/people", RIGHT_PEOPLE, api_people)                                          \
	X("GET", "/api/info/*", RIGHT_READ, api_info)                                              \
	X("GET", "/api/undelivered", RIGHT_READ, api_undelivered)                                  \
	X("GET", "/api/changes", RIGHT_READ, api_changes)                                          \
	X("GET", "/api/shadow", RIGHT_READ, api_shadow)                                            \
	X("POST", "/api/undo", RIGHT_UNDO, api_undo)                                               \
	X("GET", "/api/dead", RIGHT_READ, api_dead)                                                \
	X("GET", "/api/dead/*", RIGHT_READ, api_dead_one)                                          \
	X("POST", "/api/dead/**", RIGHT_REQUEUE, api_dead_requeue)                                 \
	X("GET", "/api/search", RIGHT_READ, api_search)                                            \
	X("GET", "/api/models", RIGHT_READ, api_models)                                            \
	X("GET", "/api/session", RIGHT_READ, page_session)                                         \
	X("POST", "/logout", RIGHT_READ, page_logout)

#define ENQUEUE(method, path, right, run)                                                          \
	static void enqueue_##run(void *ctx, struct http_request *req)                             \
	{                                                                                          \
		queue_put(ctx, req, run);                                                          \
	}
API_ROUTES(ENQUEUE)

ENQUEUE("", "", 0, api_channel)
ENQUEUE("", "", 0, page_login)

#define ROUTE(m, p, right, run)                                                                    \
	{.method = m, .path = p, .handler = enqueue_##run, .auth = PAGE_NEEDS(right)},
/* The vendors' own signatures are looked at by the channel's kind. */
#define CHANNEL_ROUTE(m)                                                                           \
	{                                                                                          \
		.method = m, .path = "/channel/*", .handler = enqueue_api_channel,                 \
		.auth = HTTP_AUTH_HANDLER                                                          \
	}
/* Public, with /healthz, /readyz and /metrics: there is nothing in them, or they look themselves.
 */
#define PUBLIC(m, p, run)                                                                          \
	{                                                                                          \
		.method = m, .path = p, .handler = run, .auth = HTTP_AUTH_NONE                     \
	}
#define FILE_ROUTE(p, file, type) PUBLIC("GET", p, page_file),
const struct http_route api_routes[] = {
	API_ROUTES(ROUTE) PAGE_FILES(FILE_ROUTE) PUBLIC("POST", "/login", enqueue_page_login),
	{.method = "GET",
	 .path = "/api/events",
	 .handler = page_events,
	 .auth = PAGE_NEEDS(RIGHT_READ)},
	CHANNEL_ROUTE("POST"),
	CHANNEL_ROUTE("GET"),
};
const size_t api_routes_n = ARRAY_SIZE(api_routes);

static void job_run(struct stage *s, const struct job *job)
{
	struct api *api = stage_data(s);
	struct api_call call = {.stage = s, .req = job->req, .key = api->key};
	size_t len;
	const char *body = http_body(job->req, &len);
	if (job->run == api_channel) {
		api_channel(&call); /* the body is as its vendor writes it */
		return;
	}
	call.body = len ? json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL) : json_object();
	if (json_is_object(call.body)) {
		job->run(&call);
	} else {
		struct why why = {0};
		why_set(&why, ERR_INVALID, "the body is not a JSON object");
		api_fail(&call, ERR_INVALID, &why);
	}
	json_decref(call.body);
	arena_release(&call.arena);
}

static struct job *queue_take(const struct api *api)
{
	struct job *job = NULL;
	if (read(api->queue_out, &job, sizeof(job)) != sizeof(job))
		return NULL; /* another thread was faster */
	return job;
}

void api_run(struct stage *s)
{
	const struct api *api = stage_data(s);
	while (!stage_await(s, api->queue_out, -1)) {
		auto_free struct job *job = queue_take(api);
		if (job)
			job_run(s, job);
	}
}

int api_start(struct stage *s, struct why *out_why)
{
	int fds[2];
	struct api *api = mem_alloc(sizeof(*api));
	auto_buf path = {0};
	const struct notifier_config *config = stage_config_get(s);
	notifier_key_path(config, &path);
	auto_buf tokens = {0};
	notifier_token_path(config, &tokens);
	stage_config_put(s, config);
	int rc = sign_key_load_or_create(buf_str(&path), &api->key, out_why);
	if (!rc)
		rc = token_key_load_or_create(buf_str(&tokens), &api->tokens, out_why);
	if (!rc && pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		rc = why_set(out_why, err_from_errno(errno), "pipe: %s", strerror(errno));
	if (rc) {
		sign_key_free(api->key);
		token_key_free(api->tokens);
		free(api);
		return rc;
	}
	api->queue_out = fds[0];
	api->queue_in = fds[1];
	api->page = page_new();
	config = stage_config_get(s);
	auto_free char *web_dir = shipped_path(config->web_dir, "notifier", "web");
	stage_config_put(s, config);
	page_open(api->page, web_dir);
	stage_set_data(s, api);
	return 0;
}

void api_stop(struct stage *s)
{
	struct api *api = stage_data(s);
	if (!api)
		return;
	for (struct job *job; (job = queue_take(api)); free(job))
		http_reply_retry(job->req, 503, 1, "stopping");
	close(api->queue_in);
	close(api->queue_out);
	sign_key_free(api->key);
	token_key_free(api->tokens);
	page_free(api->page);
	free(api);
	stage_set_data(s, NULL);
}

void api_reply(struct api_call *call, unsigned status, json_t *out)
{
	char code[8];
	snprintf(code, sizeof(code), "%u", status);
	metric_add(&requests, 1, code);
	auto_free char *text = json_dumps(out, JSON_COMPACT);
	json_decref(out);
	if (!text)
		http_reply(call->req, 500, "application/json", "{\"error\":\"internal\"}", 20);
	else
		http_reply(call->req, status, "application/json", text, strlen(text));
}

/* A decision that came too late is a conflict with what the deadline decided, not a refusal of the
 * caller. */
void api_fail(struct api_call *call, int rc, const struct why *why)
{
	if (rc == ERR_EXPIRED) {
		api_reply(call, 409,
			  json_pack("{s:s,s:s}", "error", err_name(rc), "reason", why->text));
		return;
	}
	metric_add(&requests, 1, err_name(rc));
	http_reply_error(call->req, rc, why);
}

struct store_txn *api_read(struct api_call *call)
{
	return store_begin_read(fold_store(stage_fold(call->stage, 0, 0)));
}

const char *api_str(const struct api_call *call, const char *name)
{
	const char *text = json_string_value(json_object_get(call->body, name));
	return text ? text : "";
}

size_t api_limit(struct api_call *call, const char *name, size_t fallback, size_t max)
{
	const char *text = http_query(call->req, name);
	char *end = NULL;
	if (!text || *text < '0' || *text > '9')
		return fallback;
	unsigned long long n = strtoull(text, &end, 10);
	return *end ? fallback : (size_t)MIN(n, (unsigned long long)max);
}

int api_find(struct api_call *call, struct store_txn *txn, const struct store_table *table,
	     const char *prefix, char out[static TOKEN_MAX + 1])
{
	auto_buf candidates = {0};
	struct why why = {0};
	int rc = id_find(txn, table, prefix, out, &candidates);
	if (rc == ERR_CONFLICT)
		why_set(&why, rc, "ambiguous: %s", buf_str(&candidates));
	else if (rc)
		why_set(&why, rc, "nothing has the id %.64s", prefix);
	if (rc)
		api_fail(call, rc, &why);
	return rc;
}

/* A name of people: is used by whoever has shown to be that person; answers 403 itself. */
static bool is_persons_name(struct api_call *call, const char *given)
{
	struct why why = {0};
	const struct notifier_config *c = stage_config_get(call->stage);
	const struct person *p = person_by(&c->people, "name", given);
	if (p)
		why_set(&why, ERR_DENIED,
			"%s must log in, or send a token of their own: healctl token %s, and "
			"token_file in people",
			p->name, p->name);
	stage_config_put(call->stage, c);
	if (p)
		api_fail(call, ERR_DENIED, &why);
	return p != NULL;
}

const char *api_by(struct api_call *call, const char *given)
{
	struct why why = {0};
	if (*http_request_user(call->req))
		return http_request_user(call->req);
	if (is_persons_name(call, given))
		return NULL;
	size_t len = given ? strlen(given) : 0;
	bool ok = len > 0 && len <= BY_MAX_BYTES && utf8_valid(given, len);
	for (size_t i = 0; ok && i < len; i++)
		ok = (unsigned char)given[i] >= ' ' && given[i] != 0x7f;
	if (ok)
		return given;
	why_set(&why, ERR_INVALID, "by: say who you are, in 1 to %d bytes", BY_MAX_BYTES);
	api_fail(call, ERR_INVALID, &why);
	return NULL;
}
