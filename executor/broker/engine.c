#include "executor/broker/engine.h"

#include "common/mem.h"

enum {
	LOG_READ_MAX_BYTES = 64 << 20, /* of a log's stream, whatever is kept of it */
	OK = 200,
	NO_CONTENT = 204,
	NOT_MODIFIED = 304,
	BAD_REQUEST = 400,
	FORBIDDEN = 403,
	NOT_FOUND = 404,
	CONFLICT = 409,
	TOO_MANY = 429,
	ENGINE_ERROR = 500,
	BAD_GATEWAY = 502,
	UNAVAILABLE = 503,
	GATEWAY_TIMEOUT = 504,
	RETRY_S = 5,
};

static const char *const kept[] = {"Api-Version", NULL};

static void fail(struct broker_reply *r, unsigned status, const char *reason)
{
	r->status = status;
	why_set(&r->why, ERR_REJECTED, "%s", reason);
}

/* ---- asking ---- */

/* What no answer means. Whoever reads a 502 or 504 knows that it may have been done. */
static void no_answer(struct broker_reply *r, int rc, const struct http_answer *a, bool acts)
{
	bool unknown = acts && a->sent;

	r->status = rc == ERR_TIMEOUT && a->sent     ? GATEWAY_TIMEOUT
		    : a->sent || rc == ERR_TOO_LARGE ? BAD_GATEWAY
						     : UNAVAILABLE;
	if (r->status == UNAVAILABLE)
		r->retry_s = RETRY_S;
	why_prefix(&r->why, rc, "the Engine%s",
		   unknown                    ? ": whether it was done, nobody knows"
		   : r->status == UNAVAILABLE ? " cannot be reached, nothing was done"
					      : "");
}

static int ask(const struct broker_engine *e, const char *method, const struct broker_call *call,
	       struct http_call *more, struct http_answer *a, struct broker_reply *r)
{
	auto_buf url = {0};
	const struct broker_config *c = e->config;
	const char *container = r->container.id[0] ? r->container.id : call->container;

	buf_add_str(&url, "http://docker");
	broker_path(call, container, c->label, &url);
	more->method = method;
	more->url = buf_str(&url);
	more->unix_socket = c->engine_socket;
	more->timeout_ms = c->engine_timeout_ms + broker_patience_s(call) * 1000;
	if (!more->body_max_bytes)
		more->body_max_bytes = (size_t)c->answer_max_bytes;
	int rc = http_client_call(e->http, more, a, &r->why);
	if (rc)
		no_answer(r, rc, a, broker_acts(call->action));
	return rc;
}

/* The Engine's refusals go back as they are, others say that something is wrong there. */
static void pass_error(struct broker_reply *r, const struct http_answer *a)
{
	static const unsigned known[] = {BAD_REQUEST, NOT_FOUND, CONFLICT, ENGINE_ERROR};
	auto_buf message = {0};

	broker_message(&a->body, &message);
	r->status = BAD_GATEWAY;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (a->status == (long)known[i])
			r->status = known[i];
	}
	why_set(&r->why, ERR_REJECTED, "the Engine answered %ld%s%s", a->status,
		message.len ? ": " : "", buf_str(&message));
}

/* ---- reading ---- */

static void pass_json(const struct broker_engine *e, enum broker_action action,
		      const struct buf *text, struct broker_reply *r)
{
	r->status = OK;
	r->type = "application/json";
	if (broker_answer(action, text, e->config->label, &r->body, &r->why))
		r->status = BAD_GATEWAY;
}

static void ask_plain(const struct broker_engine *e, const struct broker_call *call,
		      struct broker_reply *r)
{
	struct http_call more = {.keep = kept};
	struct http_answer a = {0};

	if (ask(e, "GET", call, &more, &a, r) == 0 && a.status != OK)
		pass_error(r, &a);
	else if (r->status == 0 && call->action != BROKER_PING)
		pass_json(e, call->action, &a.body, r);
	else if (r->status == 0) {
		r->status = OK;
		r->type = "text/plain";
		buf_add_str(&r->body, "OK");
		snprintf(r->api, sizeof(r->api), "%s", a.kept[0] ? a.kept[0] : "");
	}
	http_answer_release(&a);
}

struct log_sink {
	struct broker_log log;
	size_t read;
};

static bool take_log(void *ctx, const char *data, size_t len)
{
	struct log_sink *s = ctx;

	s->read += len;
	return s->read <= LOG_READ_MAX_BYTES && broker_log_take(&s->log, data, len);
}

static void ask_logs(const struct broker_engine *e, const struct broker_call *call,
		     struct broker_reply *r)
{
	struct log_sink sink = {
		.log = {.tty = r->container.tty, .max_bytes = (size_t)e->config->logs_max_bytes}};
	struct http_call more = {
		.sink = take_log, .sink_ctx = &sink, .body_max_bytes = LOG_READ_MAX_BYTES};
	struct http_answer a = {0};
	int rc = ask(e, "GET", call, &more, &a, r);

	if (!rc && a.status != OK)
		pass_error(r, &a);
	else if (!rc && sink.log.broken)
		fail(r, BAD_GATEWAY, "the Engine's log is not in frames");
	if (r->status == 0) {
		broker_log_end(&sink.log);
		r->status = OK;
		r->type = "text/plain; charset=utf-8";
		r->cut = sink.log.cut || sink.read > LOG_READ_MAX_BYTES;
		buf_add(&r->body, buf_str(&sink.log.text), sink.log.text.len);
	}
	broker_log_release(&sink.log);
	http_answer_release(&a);
}

/* ---- acting ---- */

static void act(const struct broker_engine *e, const struct broker_call *call,
		struct broker_reply *r)
{
	struct http_call more = {0};
	struct http_answer a = {0};
	int64_t wait_ms = 0;

	if (e->may_act(e->may_act_ctx, r->container.id, &wait_ms, &r->why)) {
		r->status = TOO_MANY;
		r->retry_s = wait_ms / 1000 + 1;
		return;
	}
	if (ask(e, "POST", call, &more, &a, r) == 0) {
		if (a.status == NO_CONTENT || a.status == NOT_MODIFIED)
			r->status = (unsigned)a.status;
		else
			pass_error(r, &a);
	}
	http_answer_release(&a);
}

/* What the name or id means now, and whether it may be touched. From here on its id stands for it:
 * whoever gets its name meanwhile is not meant. */
static void ask_container(const struct broker_engine *e, const struct broker_call *call,
			  struct broker_reply *r)
{
	struct broker_call look = *call;
	struct http_call more = {0};
	struct http_answer a = {0};

	look.action = BROKER_INSPECT;
	look.params[BROKER_T] = -1;
	if (ask(e, "GET", &look, &more, &a, r) == 0 && a.status != OK)
		pass_error(r, &a);
	if (r->status == 0) {
		int rc = broker_container(&a.body, e->config->label, &r->container, &r->why);
		r->status = rc == ERR_DENIED ? FORBIDDEN : rc ? BAD_GATEWAY : 0;
	}
	if (r->status == 0 && call->action == BROKER_INSPECT)
		pass_json(e, BROKER_INSPECT, &a.body, r);
	http_answer_release(&a);
}

/* ---- all of it ---- */

void broker_ask(const struct broker_engine *e, const struct broker_call *call,
		struct broker_reply *out)
{
	*out = (struct broker_reply){0};
	if (!broker_names_container(call->action)) {
		ask_plain(e, call, out);
		return;
	}
	ask_container(e, call, out);
	if (out->status)
		return;
	if (broker_acts(call->action))
		act(e, call, out);
	else
		ask_logs(e, call, out);
}

void broker_reply_release(struct broker_reply *r)
{
	buf_release(&r->body);
}

int broker_engine_ready(const struct broker_engine *e, struct why *out_why)
{
	struct http_call c = {.url = "http://docker/_ping",
			      .unix_socket = e->config->engine_socket,
			      .timeout_ms = BROKER_READY_MS};
	struct http_answer a = {0};
	int rc = http_client_call(e->http, &c, &a, out_why);

	if (!rc)
		rc = http_status_err(a.status);
	http_answer_release(&a);
	return rc;
}
