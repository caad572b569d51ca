#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "executor/mcp/mcp_private.h"

#define JSON_TYPE "application/json"
#define STREAM_TYPE "text/event-stream"
#define SESSION_HEADER "Mcp-Session-Id"

static struct metric requests_metric =
	METRIC_COUNTER("healbus_executor_mcp_requests_total", "Requests of MCP clients.", "method");

struct mcp *mcp_new(struct stage *s, struct journal *journal)
{
	struct mcp *m = mem_alloc(sizeof(*m));
	pthread_condattr_t attr;
	m->stage = s;
	m->journal = journal;
	m->sessions = mcp_sessions_new();
	pthread_mutex_init(&m->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->wake, &attr);
	pthread_condattr_destroy(&attr);
	return m;
}

void mcp_free(struct mcp *m)
{
	if (!m)
		return;
	mcp_sessions_free(m->sessions);
	pthread_cond_destroy(&m->wake);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* ---- answers ---- */

static void reply_json(struct http_request *req, unsigned status, json_t *message)
{
	auto_free char *text = json_dumps(message, JSON_COMPACT);
	json_decref(message);
	http_reply(req, status, JSON_TYPE, text, strlen(text));
}

static void reply_error(struct http_request *req, unsigned status, enum rpc_code code,
			const char *text)
{
	reply_json(req, status, rpc_error(NULL, code, text));
}

static int job_event(struct mcp *m, struct mcp_job *job, json_t *message)
{
	auto_free char *text = json_dumps(message, JSON_COMPACT);
	json_decref(message);
	if (job->stream)
		return mcp_event(job->stream, "message", text);
	return mcp_session_say(m->sessions, job->session, "message", text);
}

void mcp_job_tell(struct mcp *m, struct mcp_job *job, json_t *message)
{
	job_event(m, job, message);
}

/* The end of the job. Takes message. */
static void job_answer(struct mcp *m, struct mcp_job *job, json_t *message)
{
	if (job->req)
		reply_json(job->req, 200, message);
	else if (job_event(m, job, message) == ERR_FULL)
		job_event(m, job,
			  rpc_error(job->message.id, RPC_INTERNAL,
				    "the answer is too long for this stream"));
	http_stream_close(job->stream);
	rpc_release(&job->message);
	free(job);
}

/* True: answered. False: it goes on. */
static bool job_run(struct mcp *m, struct mcp_job *job)
{
	json_t *result = NULL;
	struct why why = {0};
	int rc = job->method->answer(m, job, &result, &why);
	if (rc)
		job_answer(m, job, rpc_error(job->message.id, rpc_code_of(rc), why.text));
	else if (result)
		job_answer(m, job, rpc_result(job->message.id, result));
	return rc || result;
}

static bool job_enqueue(struct mcp *m, struct mcp_job *job)
{
	pthread_mutex_lock(&m->lock);
	bool room = !m->stopped && m->n_queue < MCP_QUEUE_MAX;
	if (room) {
		struct mcp_job **end = &m->queue;
		while (*end)
			end = &(*end)->next;
		*end = job;
		m->n_queue++;
		pthread_cond_signal(&m->wake);
	}
	pthread_mutex_unlock(&m->lock);
	return room;
}

static void job_start(struct mcp *m, struct mcp_job *job)
{
	job->method = mcp_method_find(job->message.method);
	metric_add(&requests_metric, 1, job->method ? job->method->name : "unknown");
	if (!job->method)
		job_answer(m, job, rpc_error(job->message.id, RPC_METHOD, "no such method"));
	else if (!job->method->asks)
		job_run(m, job);
	else if (!job_enqueue(m, job))
		job_answer(m, job,
			   rpc_error(job->message.id, RPC_INTERNAL, "too much to do: try again"));
}

/* ---- doors ---- */

static bool is_enabled(struct mcp *m)
{
	const struct executor_config *config = stage_config_get(m->stage);
	bool enabled = config->mcp_enabled;
	stage_config_put(m->stage, config);
	return enabled;
}

static bool header_has(const struct http_request *req, const char *name, const char *part)
{
	const char *value = http_header(req, name);
	return value && strcasestr(value, part);
}

/* Answers where it says false. */
static bool may_enter(struct mcp *m, struct http_request *req, const char *accept)
{
	const char *version = http_header(req, "MCP-Protocol-Version");
	if (!is_enabled(m))
		reply_error(req, 404, RPC_REQUEST, "mcp.enabled is false in executor.yaml");
	else if (accept && !header_has(req, "Accept", accept))
		reply_error(req, 406, RPC_REQUEST, "Accept: must list what may be answered");
	else if (version && !mcp_version_known(version))
		reply_error(req, 400, RPC_REQUEST, "MCP-Protocol-Version: not one of ours");
	else
		return true;
	return false;
}

static bool read_message(struct http_request *req, struct rpc_message *out)
{
	size_t len;
	const char *body = http_body(req, &len);
	enum rpc_code code = RPC_PARSE;
	struct why why = {0};
	if (!header_has(req, "Content-Type", JSON_TYPE)) {
		reply_error(req, 415, RPC_REQUEST, "Content-Type: must be application/json");
		return false;
	}
	if (rpc_parse(body, len, out, &code, &why) == 0)
		return true;
	reply_error(req, 400, code, why.text);
	return false;
}

static const char *client_name(const struct rpc_message *message)
{
	return json_string_value(
		json_object_get(json_object_get(message->params, "clientInfo"), "name"));
}

static bool is_initialize(const struct rpc_message *message)
{
	return message->kind == RPC_IS_REQUEST && str_eq(message->method, "initialize");
}

/* Finds or opens the session; answers where it says false. */
static bool take_session(struct mcp *m, struct http_request *req, const struct rpc_message *message,
			 struct mcp_job *job)
{
	const char *id = http_header(req, SESSION_HEADER);
	if (is_initialize(message)) {
		mcp_session_open(m->sessions, client_name(message), clock_mono_ms(), job->session);
		http_reply_header(req, SESSION_HEADER, job->session);
		id = job->session;
	}
	if (!id)
		reply_error(req, 400, RPC_REQUEST, "Mcp-Session-Id: missing; initialize gives it");
	else if (mcp_session_touch(m->sessions, id, clock_mono_ms(), job->who))
		reply_error(req, 404, RPC_REQUEST, "Mcp-Session-Id: that session has ended");
	else
		return true;
	return false;
}

static const json_t *progress_token(const struct rpc_message *message)
{
	return json_object_get(json_object_get(message->params, "_meta"), "progressToken");
}

void mcp_on_post(struct mcp *m, struct http_request *req)
{
	struct mcp_job job = {.req = req};
	if (!may_enter(m, req, JSON_TYPE) || !may_enter(m, req, STREAM_TYPE) ||
	    !read_message(req, &job.message))
		return;
	if (!take_session(m, req, &job.message, &job)) {
		rpc_release(&job.message);
		return;
	}
	if (job.message.kind != RPC_IS_REQUEST) {
		rpc_release(&job.message);
		http_reply(req, 202, NULL, "", 0);
		return;
	}
	if (progress_token(&job.message)) {
		job.stream = http_reply_stream(req, STREAM_TYPE);
		job.req = NULL;
	}
	job_start(m, mem_dup(&job, sizeof(job)));
}

void mcp_on_get(struct mcp *m, struct http_request *req)
{
	char who[MCP_NAME_BYTES];
	char id[MCP_SESSION_BYTES];
	if (!may_enter(m, req, STREAM_TYPE))
		return;
	snprintf(id, sizeof(id), "%s",
		 http_header(req, SESSION_HEADER) ? http_header(req, SESSION_HEADER) : "");
	if (mcp_session_touch(m->sessions, id, clock_mono_ms(), who)) {
		reply_error(req, *id ? 404 : 400, RPC_REQUEST, "Mcp-Session-Id: no such session");
		return;
	}
	mcp_session_listen(m->sessions, id, http_reply_stream(req, STREAM_TYPE));
}

void mcp_on_delete(struct mcp *m, struct http_request *req)
{
	if (!may_enter(m, req, NULL))
		return;
	if (mcp_session_end(m->sessions, http_header(req, SESSION_HEADER)))
		reply_error(req, 404, RPC_REQUEST, "Mcp-Session-Id: no such session");
	else
		http_reply(req, 204, NULL, "", 0);
}

/* ---- the older transport ---- */

void mcp_on_sse(struct mcp *m, struct http_request *req)
{
	char id[MCP_SESSION_BYTES];
	if (!may_enter(m, req, NULL))
		return;
	mcp_session_open(m->sessions, NULL, clock_mono_ms(), id);
	auto_free char *where = mem_printf("/messages?session=%s", id);
	struct http_stream *stream = http_reply_stream(req, STREAM_TYPE);
	mcp_event(stream, "endpoint", where);
	mcp_session_listen(m->sessions, id, stream);
}

void mcp_on_message(struct mcp *m, struct http_request *req)
{
	struct mcp_job job = {0};
	const char *id = http_query(req, "session");
	if (!may_enter(m, req, NULL) || !read_message(req, &job.message))
		return;
	if (!id || mcp_session_touch(m->sessions, id, clock_mono_ms(), job.who)) {
		reply_error(req, 404, RPC_REQUEST, "session: it has ended");
		rpc_release(&job.message);
		return;
	}
	snprintf(job.session, sizeof(job.session), "%s", id);
	if (is_initialize(&job.message))
		mcp_session_name(m->sessions, id, client_name(&job.message));
	http_reply(req, 202, NULL, "", 0);
	if (job.message.kind == RPC_IS_REQUEST)
		job_start(m, mem_dup(&job, sizeof(job)));
	else
		rpc_release(&job.message);
}

/* ---- the thread ---- */

static struct mcp_job *take_queue(struct mcp *m)
{
	struct timespec until;
	int64_t ms = m->n_calls ? MCP_POLL_MS : MCP_IDLE_MS;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&m->lock);
	if (!m->queue)
		pthread_cond_timedwait(&m->wake, &m->lock, &until);
	struct mcp_job *jobs = m->queue;
	m->queue = NULL;
	m->n_queue = 0;
	pthread_mutex_unlock(&m->lock);
	return jobs;
}

static void start_jobs(struct mcp *m, struct mcp_job *jobs)
{
	while (jobs) {
		struct mcp_job *job = jobs;
		jobs = job->next;
		job->next = NULL;
		if (job_run(m, job))
			continue;
		job->next = m->calls;
		m->calls = job;
		m->n_calls++;
	}
}

static void poll_calls(struct mcp *m)
{
	struct mcp_job **at = &m->calls;
	while (*at) {
		struct mcp_job *job = *at;
		json_t *result = mcp_call_poll(m, job);
		if (!result) {
			at = &job->next;
			continue;
		}
		*at = job->next;
		m->n_calls--;
		job_answer(m, job, rpc_result(job->message.id, result));
	}
}

/* A reload may have changed the tools. */
static void tell_changes(struct mcp *m, const void **known)
{
	const struct executor_config *config = stage_config_get(m->stage);
	const void *now = config->catalogue;
	stage_config_put(m->stage, config);
	if (*known && *known != now) {
		json_t *o = rpc_notification("notifications/tools/list_changed", json_object());
		auto_free char *text = json_dumps(o, JSON_COMPACT);
		json_decref(o);
		mcp_sessions_tell(m->sessions, text);
	}
	*known = now;
}

static void answer_all(struct mcp *m, struct mcp_job *jobs)
{
	while (jobs) {
		struct mcp_job *job = jobs;
		jobs = job->next;
		job_answer(m, job,
			   rpc_error(job->message.id, RPC_INTERNAL, "the executor is stopping"));
	}
}

void mcp_run(struct mcp *m)
{
	const void *known = NULL;
	int64_t beat_ms = 0;
	while (!stage_stopping(m->stage)) {
		start_jobs(m, take_queue(m));
		poll_calls(m);
		tell_changes(m, &known);
		if (clock_mono_ms() - beat_ms < MCP_HEARTBEAT_MS)
			continue;
		mcp_sessions_beat(m->sessions);
		beat_ms = clock_mono_ms();
	}
	pthread_mutex_lock(&m->lock);
	m->stopped = true;
	pthread_mutex_unlock(&m->lock);
	answer_all(m, take_queue(m));
	answer_all(m, m->calls);
	m->calls = NULL;
}
