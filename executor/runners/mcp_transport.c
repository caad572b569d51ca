/* The three ways of a conversation: requests with answers, a stream beside posts, a program. */
#include "executor/runners/mcp_talk.h"

#include <sys/mman.h>

#include "common/clock.h"
#include "common/mem.h"
#include "executor/config.h"
#include "executor/sandboxes/sandbox.h"

#define SESSION_HEADER "Mcp-Session-Id"

/* A line that may be a message; what is none is left out. */
static void take_text(struct mcp_talk *t, const char *text, size_t len)
{
	json_t *message = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (message)
		mcp_talk_take(t, message);
	json_decref(message);
}

/* ---- server-sent events ---- */

struct events {
	struct buf line, data;
	char name[32];
	size_t seen; /* bytes, all in all */
	void (*take)(void *ctx, const char *name, const char *data, size_t len);
	void *ctx;
};

static void events_release(struct events *e)
{
	buf_release(&e->line);
	buf_release(&e->data);
}

static void events_line(struct events *e)
{
	const char *line = buf_str(&e->line);
	if (*line == 0 && e->data.len)
		e->take(e->ctx, *e->name ? e->name : "message", buf_str(&e->data), e->data.len);
	if (*line == 0) {
		buf_reset(&e->data);
		e->name[0] = 0;
	} else if (str_starts(line, "data:")) {
		if (e->data.len)
			buf_add_char(&e->data, '\n');
		buf_add_str(&e->data, line + 5 + (line[5] == ' '));
	} else if (str_starts(line, "event:")) {
		snprintf(e->name, sizeof(e->name), "%s", line + 6 + (line[6] == ' '));
	}
	buf_reset(&e->line);
}

/* False: more than a conversation may be. */
static bool events_add(struct events *e, const char *data, size_t len)
{
	e->seen += len;
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n')
			events_line(e);
		else if (data[i] != '\r')
			buf_add_char(&e->line, data[i]);
	}
	return e->seen <= MCP_TALK_MAX_BYTES;
}

static void take_event(void *ctx, const char *name, const char *data, size_t len)
{
	if (str_eq(name, "message"))
		take_text(ctx, data, len);
}

/* ---- posting ---- */

struct post {
	struct mcp_talk *talk;
	struct http_client *http;
	int64_t deadline_ms;
	char url[MCP_ENDPOINT_MAX];
	char session[MCP_SESSION_TEXT_MAX]; /* "": none */
	size_t seen;
};

static int64_t time_left(const struct post *p)
{
	return MAX(p->deadline_ms - clock_mono_ms(), (int64_t)1);
}

static int post_call(struct post *p, const char *method, const char *text, struct http_answer *out)
{
	static const char *const keep[] = {SESSION_HEADER, "Content-Type", NULL};
	const struct mcp_server *s = p->talk->server;
	auto_free char *session = mem_printf(SESSION_HEADER ": %s", p->session);
	const char *const headers[] = {"Content-Type: application/json",
				       "Accept: application/json, text/event-stream",
				       *p->session ? session : NULL, NULL};
	struct http_call c = {.method = method,
			      .url = p->url,
			      .headers = headers,
			      .body = text,
			      .body_len = text ? strlen(text) : 0,
			      .timeout_ms = time_left(p),
			      .body_max_bytes = MCP_TALK_MAX_BYTES - p->seen,
			      .ca_file = s->ca_file,
			      .bearer_file = s->token_file,
			      .keep = keep};
	struct why why = {0};
	int rc = http_client_call(p->http, &c, out, &why);
	p->seen += out->body.len;
	if (rc)
		mcp_talk_fail(p->talk, rc, "%s", why.text);
	else if (http_status_err(out->status))
		mcp_talk_fail(p->talk, http_status_err(out->status), "answers %ld", out->status);
	return p->talk->rc;
}

static void post_heard(struct post *p, const struct http_answer *answer)
{
	struct events events = {.take = take_event, .ctx = p->talk};
	const char *type = answer->kept[1];
	if (answer->kept[0] && strlen(answer->kept[0]) < sizeof(p->session))
		snprintf(p->session, sizeof(p->session), "%s", answer->kept[0]);
	if (type && str_starts(type, "text/event-stream")) {
		events_add(&events, buf_str(&answer->body), answer->body.len);
		events_add(&events, "\n\n", 2);
	} else {
		take_text(p->talk, buf_str(&answer->body), answer->body.len);
	}
	events_release(&events);
}

/* Sends all there is to send. heard: answers come in the answers. */
static void post_all(struct post *p, bool heard)
{
	char *text;
	while (!p->talk->done && (text = mcp_talk_next(p->talk))) {
		struct http_answer answer = {0};
		if (post_call(p, "POST", text, &answer) == 0 && heard)
			post_heard(p, &answer);
		http_answer_release(&answer);
		free(text);
	}
}

static void hold_http(struct mcp_talk *t, const struct run_limits *limits)
{
	struct post p = {.talk = t,
			 .http = limits->http,
			 .deadline_ms = clock_mono_ms() + limits->timeout_ms};
	struct mcp_talk quiet = {.server = t->server};
	snprintf(p.url, sizeof(p.url), "%s", t->server->url);
	post_all(&p, true);
	mcp_talk_fail(t, ERR_UNAVAILABLE, "gave no answer");
	if (!*p.session)
		return;
	/* It may end the session, and need not. */
	struct http_answer answer = {0};
	p.talk = &quiet;
	post_call(&p, "DELETE", NULL, &answer);
	http_answer_release(&answer);
}

/* ---- a stream beside posts ---- */

struct stream {
	struct post post; /* by a client of its own: the stream's is busy */
	struct events events;
	bool open; /* the endpoint is known */
};

/* An endpoint is a path at the very server that was configured: else a token could go astray. */
static void set_endpoint(struct stream *s, const char *path)
{
	const char *base = s->post.talk->server->url;
	const char *host = strstr(base, "://") + 3;
	size_t origin = (size_t)(host - base) + strcspn(host, "/?#");
	if (strncmp(path, base, origin) == 0 && path[origin] == '/')
		path += origin;
	if (path[0] != '/' || path[1] == '/' || origin + strlen(path) >= sizeof(s->post.url)) {
		mcp_talk_fail(s->post.talk, ERR_DENIED, "names an endpoint that is not its own");
		return;
	}
	snprintf(s->post.url, sizeof(s->post.url), "%.*s%s", (int)origin, base, path);
	s->open = true;
}

static void stream_event(void *ctx, const char *name, const char *data, size_t len)
{
	struct stream *s = ctx;
	if (str_eq(name, "endpoint") && !s->open)
		set_endpoint(s, data);
	else if (str_eq(name, "message"))
		take_text(s->post.talk, data, len);
	if (s->open)
		post_all(&s->post, false);
}

static bool stream_sink(void *ctx, const char *data, size_t len)
{
	struct stream *s = ctx;
	if (!events_add(&s->events, data, len))
		mcp_talk_fail(s->post.talk, ERR_TOO_LARGE, "says too much");
	return !s->post.talk->done;
}

static void hold_sse(struct mcp_talk *t, const struct run_limits *limits)
{
	static const char *const headers[] = {"Accept: text/event-stream", NULL};
	struct stream s = {
		.post = {.talk = t, .deadline_ms = clock_mono_ms() + limits->timeout_ms}};
	struct http_answer answer = {0};
	struct why why = {0};
	if (http_client_new(&s.post.http)) {
		mcp_talk_fail(t, ERR_INTERNAL, "http client");
		return;
	}
	s.events = (struct events){.take = stream_event, .ctx = &s};
	struct http_call c = {.url = t->server->url,
			      .headers = headers,
			      .timeout_ms = limits->timeout_ms,
			      .ca_file = t->server->ca_file,
			      .bearer_file = t->server->token_file,
			      .sink = stream_sink,
			      .sink_ctx = &s};
	int rc = http_client_call(limits->http, &c, &answer, &why);
	if (rc)
		mcp_talk_fail(t, rc, "%s", why.text);
	mcp_talk_fail(t, ERR_UNAVAILABLE, "closed its stream (status %ld)", answer.status);
	http_answer_release(&answer);
	events_release(&s.events);
	http_client_free(s.post.http);
}

/* ---- a program ---- */

/* All that was said so far, and what is to be said now: it begins anew each time, so that nothing
 * need be read while it runs. The call itself is in the last round alone. */
static int stdin_of(struct mcp_talk *t)
{
	size_t i;
	json_t *message;
	auto_buf all = {0};
	char *text;
	while ((text = mcp_talk_next(t)))
		free(text);
	json_array_foreach(t->history, i, message)
	{
		auto_free char *line = json_dumps(message, JSON_COMPACT);
		buf_add_str(&all, line);
		buf_add_char(&all, '\n');
	}
	int fd = memfd_create("mcp", MFD_CLOEXEC);
	if (fd < 0 || write(fd, buf_str(&all), all.len) != (ssize_t)all.len ||
	    lseek(fd, 0, SEEK_SET) != 0) {
		mcp_talk_fail(t, ERR_IO, "its input could not be written");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static void hear_lines(struct mcp_talk *t, const struct run_result *r)
{
	const char *p = buf_str(&r->output);
	while (*p) {
		size_t len = strcspn(p, "\n");
		take_text(t, p, len);
		p += len + (p[len] == '\n');
	}
}

static void run_round(struct mcp_talk *t, const struct run_limits *limits)
{
	static char *const env[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
				    (char *)"LANG=C.UTF-8", (char *)"HOME=/tmp", NULL};
	char *argv[MCP_ARGV_MAX + 5] = {(char *)"/usr/bin/bash", (char *)"-c",
					(char *)"exec \"$@\" <&10 2>/dev/null", (char *)"mcp"};
	struct run_result r = {0};
	for (size_t i = 0; t->server->argv[i]; i++)
		argv[4 + i] = t->server->argv[i];
	int fd = stdin_of(t);
	if (fd < 0)
		return;
	struct sandbox_job job = {
		.argv = argv, .env = env, .fd = fd, .network = t->server->network};
	sandbox_run(&job, limits, &r);
	close(fd);
	hear_lines(t, &r);
	if (r.state != RUN_ENDED)
		mcp_talk_fail(t, ERR_UNAVAILABLE, "%s", r.why.text);
	else if (!t->done && !json_array_size(t->outbox))
		mcp_talk_fail(t, ERR_UNAVAILABLE, "ended (%d) without an answer", r.exit_code);
	buf_release(&r.output);
}

static void hold_stdio(struct mcp_talk *t, const struct run_limits *limits)
{
	struct run_limits own = *limits;
	int64_t deadline_ms = clock_mono_ms() + limits->timeout_ms;
	own.output_limit_bytes = MCP_TALK_MAX_BYTES;
	if (sandbox_level() == SANDBOX_NONE)
		mcp_talk_fail(t, ERR_DENIED, "this machine has no sandbox for programs");
	while (!t->done) {
		own.timeout_ms = deadline_ms - clock_mono_ms();
		if (own.timeout_ms <= 0)
			mcp_talk_fail(t, ERR_TIMEOUT, "took too long");
		else
			run_round(t, &own);
	}
}

void mcp_talk_hold(struct mcp_talk *t, const struct run_limits *limits)
{
	static void (*const hold[MCP_TRANSPORTS])(struct mcp_talk *, const struct run_limits *) = {
		[MCP_HTTP] = hold_http, [MCP_SSE] = hold_sse, [MCP_STDIO] = hold_stdio};
	mcp_talk_start(t);
	hold[t->server->transport](t, limits);
}
